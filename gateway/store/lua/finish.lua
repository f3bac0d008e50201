-- Finish a job: keep its record, tell every gateway that waits, and clear what arq and begin.lua left.
--
-- KEYS: record, flight, lane, waiters, arq job, arq retry, arq in-progress
-- ARGV[1] job id   ARGV[2] answer   ARGV[3] variables of the record as msgpack, '' to leave the record as it is
-- ARGV[4] ms for which the record is kept
-- Returns the number of gateways that were told
--
-- A record is a msgpack array [written, variables]; the time is this server's, like that of begin.lua.
if ARGV[3] ~= '' then
  local time = redis.call('TIME')
  local written = struct.pack('>d', time[1] * 1000 + time[2] / 1000)
  redis.call('SET', KEYS[1], '\146\203' .. written .. ARGV[3], 'PX', ARGV[4])
end
if redis.call('GET', KEYS[2]) == ARGV[1] then
  redis.call('DEL', KEYS[2])
end
local told = 0
for _, channel in ipairs(redis.call('SMEMBERS', KEYS[4])) do
  told = told + redis.call('PUBLISH', channel, ARGV[2])
end
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('DEL', KEYS[4], KEYS[5], KEYS[6], KEYS[7])
return told
