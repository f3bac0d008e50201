-- Keep entries of the history, unless their session or its user has been forgotten since they began.
--
-- KEYS, for each entry
--   history     list: the session's entries, newest first
-- ARGV
--   histories   key of the sorted set of the sessions that have one, each with the ms of its last entry
--   history_of, void_of   the keys of this kind begin with it
--   kept        ms for which a session's entries are kept after the last one
--   most        entries of a session
--   sessions    most sessions; those without an entry for the longest time go first
-- ARGV, for each entry
--   began       ms since its callback or its lookup began
--   user        its user, by the name that is forgotten; '' if there is none
--   entry       its text
-- Reply: the number of entries kept
local histories, history_of, void_of, kept, most, sessions = unpack(ARGV, 1, 6)
local entries = #KEYS
local function entry_keys(i) return unpack(KEYS, 1 * i, 1 * i) end
local function entry_arguments(i) return unpack(ARGV, 3 * i + 4, 3 * i + 6) end

local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local score = string.format('%.17g', now)
local lists, names, voids, begun, texts, written, noted = {}, {}, {}, {}, {}, 0, {}
most = tonumber(most)

for i = 1, entries do
  local history = entry_keys(i)
  local began, user, entry = entry_arguments(i)
  lists[i] = history
  names[i] = history:sub(#history_of + 1)
  voids[2 * i - 1], voids[2 * i] = void_of .. names[i], void_of .. user
  begun[i], texts[i] = now - began, entry
end
local forgotten = entries > 0 and redis.call('MGET', unpack(voids)) or {}

local function is_void(at, begun) return at and begun <= (tonumber(at) or math.huge) end

for i = 1, entries do
  if not is_void(forgotten[2 * i - 1], begun[i]) and not is_void(forgotten[2 * i], begun[i]) then
    if redis.call('LPUSH', lists[i], texts[i]) > most then redis.call('LTRIM', lists[i], 0, most - 1) end
    redis.call('PEXPIRE', lists[i], kept)
    written = written + 1
    noted[2 * written - 1], noted[2 * written] = score, names[i]
  end
end

if written > 0 then redis.call('ZADD', histories, unpack(noted)) end
redis.call('PEXPIRE', histories, kept)
redis.call('ZREMRANGEBYSCORE', histories, '-inf', string.format('%.17g', now - kept))
local over = redis.call('ZCARD', histories) - sessions
if over > 0 then
  for _, name in ipairs(redis.call('ZRANGE', histories, 0, over - 1)) do
    redis.call('UNLINK', history_of .. name)
    redis.call('ZREM', histories, name)
  end
end
return written
