-- Finish a job: keep its record, tell every gateway that waits, and clear what arq and begin.lua left.
--
-- KEYS: record, lane, waiters (channels that joined), arq job, arq retry, arq in-progress
-- ARGV[1] job id   ARGV[2] answer   ARGV[3] variables of the record as msgpack, '' to leave the record as it is
-- ARGV[4] ms for which the record is kept   ARGV[5] channel of the gateway that began the job, '' for none
-- Returns the number of gateways that were told
--
-- A record is a msgpack array [written, variables]; the time is this server's, like that of begin.lua. The
-- flight is left to lapse: one that points to a job that is gone counts for nothing.
if ARGV[3] ~= '' then
  local time = redis.call('TIME')
  local written = struct.pack('>d', time[1] * 1000 + time[2] / 1000)
  redis.call('SET', KEYS[1], '\146\203' .. written .. ARGV[3], 'PX', ARGV[4])
end
local told = 0
if ARGV[5] ~= '' then
  told = redis.call('PUBLISH', ARGV[5], ARGV[2])
end
for _, channel in ipairs(redis.call('SMEMBERS', KEYS[3])) do
  if channel ~= ARGV[5] then
    told = told + redis.call('PUBLISH', channel, ARGV[2])
  end
end
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('DEL', KEYS[3], KEYS[4], KEYS[5], KEYS[6])
return told
