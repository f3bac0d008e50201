-- Finish jobs of one lane: keep their records, push their answers to every gateway that waits, clear their keys, and
-- give the worker its next jobs, or note that it has slots free.
--
-- KEYS
--   lane        sorted set: the lane's jobs (lane.lua)
--   free        sorted set: the lane's workers, each by its channel, with its free slots
-- KEYS, for each job
--   record      string: the answer that is kept
--   waiters     set: the channels of the gateways that joined; '' in it says that the session was forgotten meanwhile,
--               and then no record is kept
--   job, retry, claim   arq's keys of the job
-- ARGV
--   worker      its channel
--   wanted      the number of jobs that it wants next
--   reckoned    ms on this server's clock, as the worker reckons it
--   lapse       ms until its next claims lapse
--   least       the least ms left that a job is worth taking with
--   late        '1' if some of these answers were given a while ago, or may have been given back before: the reply to
--               this script was lost
--   records     the keys of records begin with it
--   void        the key of the ms at which a session was forgotten begins with it
-- ARGV, for each job
--   id          of the job
--   answer      msgpack
--   data        the record, msgpack; '' leaves it as it is
--   age         ms since the backend gave the answer
--   took        ms from the job's beginning, when it was enqueued, to the answer
--   kept        ms for which the record is kept
--   channel     of the gateway that began the job, or ''
--   of_user     key of the user's record, or ''
--   pass_on     '1' if the worker has another version of the lookup: then a worker of another configuration gets the
--               job, if one is free; else the job is finished with this answer
-- Reply {} without a next job, else {seconds, microseconds}, and for each next job id, try, body
--
-- A gateway is published the array of its answers. The flight is left to lapse: without its job it counts for nothing.
local lane, free = unpack(KEYS, 1, 2)
local worker, wanted, reckoned, lapse, least, late, records, void = unpack(ARGV, 1, 8)
local jobs = (#KEYS - 2) / 5
local function job_keys(i) return unpack(KEYS, 5 * i - 2, 5 * i + 2) end
local function job_arguments(i) return unpack(ARGV, 9 * i, 9 * i + 8) end

local AT_ONCE = 1000  -- ms that this may be on its way, or it comes late

local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
late = late == '1' or math.abs(now - reckoned) > AT_ONCE  -- or the worker knows another clock, from before a failover

local answers, gone, ids = {}, {}, {}  -- by channel the answers; the keys and the ids to remove

local function push(channel, answer)
  local list = answers[channel] or {}
  list[#list + 1] = answer
  answers[channel] = list
end

-- A worker's channel ends with the digest of its configuration, a point, and its own name.
local function configuration(channel) return channel:match(':([^:.]*)%.[^:]*$') end

-- Hand a job to a free worker of another configuration. Return true if there is one.
local function hand_on(id)
  local body = redis.call('GET', JOB .. id)
  local workers = body and redis.call('ZREVRANGEBYSCORE', free, '+inf', 1) or {}
  for _, other in ipairs(workers) do
    if configuration(other) ~= configuration(worker) and listens(other) then
      local try = redis.call('INCR', RETRY .. id) + 1
      redis.call('PEXPIRE', RETRY .. id, lapse)
      redis.call('SET', CLAIM .. id, other, 'PX', lapse)
      redis.call('ZADD', lane, whole(now + lapse), id)
      redis.call('ZINCRBY', free, -1, other)
      redis.call('PUBLISH', other, ARRAY_2 .. float(now) .. array({ARRAY_3 .. text(id) .. small(try) .. body}))
      return true
    end
  end
  return false
end

-- True if a record's session or user was forgotten since a job was begun. Redis may not have known the job then: it was
-- begun on another server, before a failover.
local function forgotten_since(record, begun)
  local at = record ~= '' and redis.pcall('GET', void .. (record:sub(#records + 1):match('^[^:]*:[^:]*') or ''))
  return type(at) == 'string' and (tonumber(at) or 0) >= begun
end

-- True if an answer is older than its record.
local function outdated(record, data)
  local given = first_float(data, ARRAY_4)
  local head = redis.pcall('GETRANGE', record, 0, 10)
  local written = type(head) == 'string' and written_at(head, now)
  return written and written > given
end

for i = 1, jobs do
  local record, waiters, job, retry, claim = job_keys(i)
  local id, answer, data, age, took, kept, channel, of_user, pass_on = job_arguments(i)
  if pass_on == '' or not hand_on(id) then
    local forgotten = false
    if channel ~= '' then push(channel, answer) end
    for _, joined in ipairs(redis.call('SMEMBERS', waiters)) do
      if joined == '' then
        forgotten = true
      elseif joined ~= channel then
        push(joined, answer)
      end
    end
    if data ~= '' and not forgotten then
      local given = math.min(first_float(data, ARRAY_4), now - age)
      data = ARRAY_4 .. float(given) .. data:sub(11)
      forgotten = forgotten_since(record, given - took) or forgotten_since(of_user, given - took)
    end
    if data ~= '' and not forgotten then
      if not late or not outdated(record, data) then redis.call('SET', record, data, 'PX', kept) end
      if of_user ~= '' and (not late or not outdated(of_user, data)) then redis.call('SET', of_user, data, 'PX', kept) end
    end
    ids[#ids + 1] = id
    local last = #gone
    gone[last + 1], gone[last + 2], gone[last + 3] = job, retry, claim
    -- The mark of a forgotten session stays until it lapses: this script may be repeated.
    if not forgotten then gone[last + 4] = waiters end
  end
end
if #ids > 0 then
  redis.call('ZREM', lane, unpack(ids))
  redis.call('DEL', unpack(gone))
end
for channel, list in pairs(answers) do redis.call('PUBLISH', channel, array(list)) end

wanted = tonumber(wanted)
if wanted == 0 then return {} end
-- Invariant: if a slot is free, the lane is empty. Exception: a sweep has just put jobs back; the next one finds them.
if tonumber(redis.call('ZINCRBY', free, wanted, worker)) > wanted then return {} end
if not redis.call('ZRANGEBYSCORE', lane, '-inf', BELOW_CLAIMED, 'LIMIT', '0', '1')[1] then return {} end
local taken = take(lane, worker, now, tonumber(lapse), wanted, tonumber(least))
if #taken == 0 then return {} end
redis.call('ZINCRBY', free, -#taken / 3, worker)
return {time[1], time[2], unpack(taken)}
