-- Begin the lookups of one callback: per lookup, its record if fresh, or the job in flight joined, or a new job.
--
-- KEYS, four per lookup: record, flight, lane, ready
-- ARGV[1] reply channel of the gateway     ARGV[2] prefix of waiters keys
-- ARGV[3] ms left until the deadline       ARGV[4] ms for which a job that nobody finishes is kept
-- ARGV[5] most jobs that a lane holds
-- then four per lookup: fresh (ms), late (ms that a job may run past its deadline), id and body of the new job
-- Returns {now (ms, as text), then three per lookup: state, record or '', job id}
-- States: 0 fresh, 1 joined, 2 begun, 3 refused because the lane is full
--
-- A job is a msgpack array [deadline, enqueued, job, reply channel]; its two float64 are written here, from this
-- server's clock, so that no other clock takes part. Scores are in seconds where arq compares milliseconds:
-- always due, in order. Every redis.call() costs some microseconds of everyone's time: there is none to spare.
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local channel, waiters, left, kept, limit = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local head = '\148\203' .. struct.pack('>d', now + left) .. '\203' .. struct.pack('>d', now)

-- Tell whether a lane with more wake tokens than it may hold jobs is full, and take the newest token back if so.
-- Without a worker nobody takes off the jobs that have lapsed, nor their tokens.
local function full(lane, ready)
  redis.call('ZREMRANGEBYSCORE', lane, 1, (now - kept - left) / 1000)
  if redis.call('ZCARD', lane) >= limit then
    redis.call('RPOP', ready)
    return true
  end
  redis.call('LTRIM', ready, -limit, -1)
  return false
end

local replies = {string.format('%.3f', now)}

for i = 0, #KEYS / 4 - 1 do
  local record, flight, lane, ready = KEYS[i * 4 + 1], KEYS[i * 4 + 2], KEYS[i * 4 + 3], KEYS[i * 4 + 4]
  local fresh, late = tonumber(ARGV[i * 4 + 6]), tonumber(ARGV[i * 4 + 7])
  local job, body = ARGV[i * 4 + 8], ARGV[i * 4 + 9]
  local found = redis.call('MGET', record, flight)
  local known, flying = found[1], found[2]
  local written = known and #known > 10 and struct.unpack('>d', known, 3)
  local state = 2
  if written and now - written < fresh then
    state, job = 0, ''
  elseif flying and redis.call('EXISTS', 'arq:job:' .. flying) == 1 then
    state, job = 1, flying
    redis.call('SADD', waiters .. job, channel)
    redis.call('PEXPIRE', waiters .. job, math.ceil(left + kept))
  elseif redis.call('RPUSH', ready, job) > limit and full(lane, ready) then
    state, job = 3, ''
  else
    redis.call('SET', 'arq:job:' .. job, head .. body, 'PX', math.ceil(left + kept))
    redis.call('ZADD', lane, now / 1000, job)
    redis.call('SET', flight, job, 'PX', math.ceil(left + late))
  end
  replies[#replies + 1] = state
  replies[#replies + 1] = known or ''
  replies[#replies + 1] = job
end
return replies
