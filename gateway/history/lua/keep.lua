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
--   name        of its session
--   began       ms since its callback or its lookup began
--   entry       its text
-- Reply: the number of entries kept
local histories, history_of, void_of, kept, most, sessions = unpack(ARGV, 1, 6)
local entries = #KEYS
local function entry_keys(i) return unpack(KEYS, 1 * i, 1 * i) end
local function entry_arguments(i) return unpack(ARGV, 3 * i + 4, 3 * i + 6) end

local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local written = 0

for i = 1, entries do
  local history = entry_keys(i)
  local name, began, entry = entry_arguments(i)
  local forgotten = tonumber(redis.call('GET', void_of .. name) or '-inf')
  if now - began > forgotten then
    redis.call('LPUSH', history, entry)
    redis.call('LTRIM', history, 0, most - 1)
    redis.call('PEXPIRE', history, kept)
    redis.call('ZADD', histories, string.format('%.17g', now), name)
    written = written + 1
  end
end

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
