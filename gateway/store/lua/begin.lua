-- Begin the lookups of one callback: per lookup, its record if fresh, or the job in flight joined, or a new job.
--
-- KEYS, five per lookup: record, flight, lane, ready, waiters of the new job
-- ARGV[1] reply channel of the gateway     ARGV[2] prefix of waiters keys
-- ARGV[3] ms left until the deadline       ARGV[4] ms for which a job that nobody finishes is kept
-- ARGV[5] most jobs that a lane holds
-- then four per lookup: fresh (ms), late (ms that a job may run past its deadline), id and body of the new job
-- Returns {now (ms, as text), then three per lookup: state, record or '', job id}
-- States: 0 fresh, 1 joined, 2 begun, 3 refused because the lane is full
--
-- A job is a msgpack array [deadline, enqueued, body]; its two float64 are written here, from this server's clock,
-- so that no other clock takes part. Scores are in seconds where arq compares milliseconds: always due, in order.
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local channel, waiters, left, kept, limit = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local head = '\147\203' .. struct.pack('>d', now + left) .. '\203' .. struct.pack('>d', now)
local replies = {string.format('%.3f', now)}

for i = 0, #KEYS / 5 - 1 do
  local record, flight, lane, ready = KEYS[i * 5 + 1], KEYS[i * 5 + 2], KEYS[i * 5 + 3], KEYS[i * 5 + 4]
  local fresh, late = tonumber(ARGV[i * 4 + 6]), tonumber(ARGV[i * 4 + 7])
  local job, body = ARGV[i * 4 + 8], ARGV[i * 4 + 9]
  local known = redis.call('GET', record)
  local written = known and #known > 10 and struct.unpack('>d', known, 3)
  local state = 2
  if written and now - written < fresh then
    state, job = 0, ''
  else
    local flying = redis.call('GET', flight)
    if flying and redis.call('EXISTS', 'arq:job:' .. flying) == 1 then
      state, job = 1, flying
    else
      local depth = redis.call('ZCARD', lane)
      if depth >= limit then -- ids whose jobs have lapsed: without a worker nobody has taken them off
        depth = depth - redis.call('ZREMRANGEBYSCORE', lane, 1, (now - kept - left) / 1000)
      end
      if depth >= limit then
        state, job = 3, ''
      else
        redis.call('SET', 'arq:job:' .. job, head .. body, 'PX', math.ceil(left + kept))
        redis.call('ZADD', lane, now / 1000, job)
        if redis.call('RPUSH', ready, job) > limit then
          redis.call('LTRIM', ready, -limit, -1)
        end
        redis.call('SET', flight, job, 'PX', math.ceil(left + late))
      end
    end
    if job ~= '' then
      redis.call('SADD', waiters .. job, channel)
      redis.call('PEXPIRE', waiters .. job, math.ceil(left + kept))
    end
  end
  replies[#replies + 1] = state
  replies[#replies + 1] = known or ''
  replies[#replies + 1] = job
end
return replies
