-- Change an entry of the board, unless another process has changed it meanwhile, and tell all processes.
--
-- KEYS
--   entry       string: msgpack [version, value]
-- ARGV
--   channel     of all processes
--   name        of the entry
--   expected    the version that the new value was decided on; 0 if there was none
--   value       msgpack
--   kept        ms for which the entry is kept
-- Reply {seconds, microseconds, done, entry}
--   done        1 if the value was changed, else 0
--   entry       as it is now, or '' if there is none
--
-- All processes are published [now, name, entry]. A version is the µs at which it was written, or one more than the
-- version before: so it grows, even if the server has lost its data.
local entry = unpack(KEYS, 1, 1)
local channel, name, expected, value, kept = unpack(ARGV, 1, 5)

local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local data = redis.call('GET', entry)
local version = data and first_float(data, ARRAY_2) or 0
if version ~= tonumber(expected) then return {time[1], time[2], 0, data or ''} end
data = ARRAY_2 .. float(math.max(version + 1, time[1] * 1000000 + time[2])) .. value
redis.call('SET', entry, data, 'PX', kept)
redis.call('PUBLISH', channel, ARRAY_3 .. float(now) .. text(name) .. data)
return {time[1], time[2], 1, data}
