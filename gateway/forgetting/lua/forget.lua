-- Forget sessions: erase the records that their indexes name, keep the jobs that are under way for them from
-- writing others, and tell every gateway.
--
-- KEYS: the index of each session
-- ARGV[1] channel of all gateways   ARGV[2] sorted set of what is told there, for gateways that are not listening just
-- now   ARGV[3] ms for which it is kept   ARGV[4] prefix of record keys   ARGV[5] prefix of flight keys
-- ARGV[6] prefix of waiters keys   ARGV[7] ms for which a job cannot write its record any more
-- then one per session: its name
-- Returns the number of records erased
--
-- Gateways are published a msgpack array: now, in ms on this server's clock, and the array of the names.
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local removed, names = 0, {}

for i, index in ipairs(KEYS) do
  local begun = redis.call('HGETALL', index)
  for j = 1, #begun, 2 do
    local record, job = begun[j], begun[j + 1]
    removed = removed + redis.call('UNLINK', record)
    redis.call('DEL', ARGV[5] .. record:sub(#ARGV[4] + 1))
    if redis.call('EXISTS', 'arq:job:' .. job, 'arq:in-progress:' .. job) > 0 then
      redis.call('SADD', ARGV[6] .. job, '')
      redis.call('PEXPIRE', ARGV[6] .. job, ARGV[7])
    end
  end
  redis.call('DEL', index)
  local name = ARGV[7 + i]
  names[i] = '\218' .. struct.pack('>H', #name) .. name
end

local message = '\146\203' .. struct.pack('>d', now) .. '\220' .. struct.pack('>H', #names) .. table.concat(names)
redis.call('ZADD', ARGV[2], string.format('%.17g', now), message)
redis.call('ZREMRANGEBYSCORE', ARGV[2], '-inf', string.format('%.17g', now - ARGV[3]))
redis.call('PEXPIRE', ARGV[2], ARGV[3])
redis.call('PUBLISH', ARGV[1], message)
return removed
