-- Keep entries of the history, unless their session has been forgotten since they began.
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
--   entry       its text
-- Reply: the number of entries kept
local histories, history_of, void_of, kept, most, sessions = unpack(ARGV, 1, 6)
local entries = #KEYS
local function entry_keys(i) return unpack(KEYS, 1 * i, 1 * i) end
local function entry_arguments(i) return unpack(ARGV, 2 * i + 5, 2 * i + 6) end

local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local score = string.format('%.17g', now)
local lists, names, voids, written, noted = {}, {}, {}, 0, {}
most = tonumber(most)

for i = 1, entries do
  local history = entry_keys(i)
  lists[i] = history
  names[i] = history:sub(#history_of + 1)
  voids[i] = void_of .. names[i]
end
local forgotten = entries > 0 and redis.call('MGET', unpack(voids)) or {}

for i = 1, entries do
  local began, entry = entry_arguments(i)
  if not forgotten[i] or now - began > (tonumber(forgotten[i]) or math.huge) then
    if redis.call('LPUSH', lists[i], entry) > most then redis.call('LTRIM', lists[i], 0, most - 1) end
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
