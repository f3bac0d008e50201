-- Sweep, as every worker does now and then: register the worker with its free slots, put back the jobs of workers that
-- are gone, take jobs that wait. A job that begin.lua and finish.lua have missed waits for this and no longer.
--
-- KEYS
--   lane        sorted set: the lane's jobs (lane.lua)
--   free        sorted set: the lane's workers, each by its channel, with its free slots
--   pace        hash: the lane's workers, each with the ms that a job takes and its jobs per second
-- ARGV
--   worker      its channel
--   slots       the number of its slots
--   silent      ms for which a worker that is not heard of counts as there
--   lapse       ms until its claims lapse
--   kept        ms for which a job is kept past its deadline, if no worker finishes it
--   most        the most claims to look at
--   running     the number of jobs that it has and has not begun to give back
--   takes       ms that its jobs take on average, '' if it has run none lately
--   rate        its jobs per second, or ''
--   census      '1' if the lane's workers shall be counted, else ''
--   lost        '1' if jobs that were on their way to the worker may be lost, else ''
-- ARGV, for each job that it has, if some may be lost
--   id          of the job
-- Reply {workers} if the lane is empty, else {workers, seconds, microseconds}, and for each job taken id, try, body
--   workers     the number of the lane's workers that listen, 0 if they were not counted
--
-- A slot is free unless the worker was handed a job that it has not given back. Redis knows that, the worker does not:
-- a job may be on its way. The number of jobs that it runs counts only after Redis has lost the claims.
local lane, free, pace = unpack(KEYS, 1, 3)
local worker, slots, silent, lapse, kept, most, running, takes, rate, census, lost = unpack(ARGV, 1, 11)
local had = #ARGV - 11
local function had_arguments(i) return unpack(ARGV, 1 * i + 11, 1 * i + 11) end

lapse, kept, takes = tonumber(lapse), tonumber(kept), tonumber(takes)

-- Register the worker and its pace; return its free slots. If not all claims were looked at, its own may be more than
-- `claimed`: then the count that is there stays.
local function register(claimed, all)
  local slots_free = math.max(0, slots - math.max(claimed, tonumber(running)))
  if all then redis.call('ZADD', free, slots_free, worker) else redis.call('ZADD', free, 'NX', slots_free, worker) end
  redis.call('PEXPIRE', free, silent)
  if takes then
    redis.call('HSET', pace, worker, takes .. ' ' .. rate)
    redis.call('PEXPIRE', pace, silent)
  end
  return all and slots_free or tonumber(redis.call('ZSCORE', free, worker))
end

-- The number of workers that listen, this one included. One that does not is struck off.
local function count_workers()
  if census == '' then return 0 end
  local all = redis.call('ZRANGE', free, 0, 99)
  local listening, count = redis.call('PUBSUB', 'NUMSUB', unpack(all)), 0
  for i = 1, #listening, 2 do
    if listening[i + 1] > 0 or listening[i] == worker then count = count + 1 else redis.call('ZREM', free, listening[i]) end
  end
  return count
end

if redis.call('EXISTS', lane) == 0 then
  register(0, true)
  return {count_workers()}
end
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
redis.call('ZREMRANGEBYSCORE', lane, '-inf', awaited_score(now - kept))

local has = {}
for i = 1, had do
  local id = had_arguments(i)
  has[id] = true
end

local listening = {}  -- by worker

-- True if a claim counts for nothing. Without an owner, it has lapsed when its score says so. This worker's own counts
-- for nothing if the job was lost on its way. A stock arq worker does not listen: only time can tell that it is gone.
local function void(id, owner, lapses)
  if not owner then return lapses <= now end
  if owner == worker then return lost == '1' and not has[id] end
  if owner == STOCK then return false end
  if listening[owner] == nil then listening[owner] = listens(owner) end
  return not listening[owner]
end

local claims = redis.call('ZRANGEBYSCORE', lane, CLAIMED, '+inf', 'WITHSCORES', 'LIMIT', 0, most)
local claimed = 0
for i = 1, #claims, 2 do
  local id = claims[i]
  local owner = redis.call('GET', CLAIM .. id)
  if void(id, owner, tonumber(claims[i + 1])) then
    local body = redis.call('GET', JOB .. id)
    redis.call('DEL', CLAIM .. id)
    if not body then
      redis.call('ZREM', lane, id)
      redis.call('DEL', RETRY .. id)
    else
      redis.call('INCR', RETRY .. id)
      redis.call('PEXPIRE', RETRY .. id, kept + lapse)
      local deadline = first_float(body, ARRAY_4) or 0
      redis.call('ZADD', lane, deadline > 0 and awaited_score(deadline) or refresh_score(now), id)
    end
  elseif owner == worker then
    claimed = claimed + 1
  end
end
local slots_free = register(claimed, #claims < most * 2)
local taken = take(lane, worker, now, lapse, slots_free, takes or 0)
if #taken > 0 then redis.call('ZINCRBY', free, -#taken / 3, worker) end
table.insert(taken, 1, time[2])
table.insert(taken, 1, time[1])
table.insert(taken, 1, count_workers())
return taken
