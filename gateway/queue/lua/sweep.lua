-- What a worker does every now and then: say how many slots it has free, put back the jobs whose workers are
-- gone, and take what waits. What begin.lua and finish.lua hand out is never missed for longer than this.
--
-- KEYS: lane, free, pace
-- ARGV[1] worker   ARGV[2] slots it has   ARGV[3] ms for which a silent worker counts as there
-- ARGV[4] ms until its claims lapse   ARGV[5] ms for which a job that nobody finishes is kept
-- ARGV[6] most claims to look at   ARGV[7] jobs that it runs and has not begun to give back
-- ARGV[8] ms that its jobs take, on average, '' when it has run none lately   ARGV[9] jobs that it does per second
-- ARGV[10] '1' if what was on its way to the worker may be lost; then, one by one, the ids of the jobs that it has
-- Returns {} when the lane is empty, else {seconds, microseconds, then three per job taken: id, try, body}
--
-- A slot is free unless a job was handed to the worker that it has not given back: here, not in the worker, is known
-- what is on its way. What it runs counts only when Redis has lost the claims.
local lane, worker, lapse, kept = KEYS[1], ARGV[1], tonumber(ARGV[4]), tonumber(ARGV[5])

local function register(claimed, all)
  local free = math.max(0, ARGV[2] - math.max(claimed, tonumber(ARGV[7])))
  if all then redis.call('ZADD', KEYS[2], free, worker) else redis.call('ZADD', KEYS[2], 'NX', free, worker) end
  redis.call('PEXPIRE', KEYS[2], ARGV[3])
  if ARGV[8] ~= '' then
    redis.call('HSET', KEYS[3], worker, ARGV[8] .. ' ' .. ARGV[9])
    redis.call('PEXPIRE', KEYS[3], ARGV[3])
  end
  return all and free or tonumber(redis.call('ZSCORE', KEYS[2], worker))
end

if redis.call('EXISTS', lane) == 0 then
  register(0, true)
  return {}
end
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
redis.call('ZREMRANGEBYSCORE', lane, '-inf', string.format('%d', (now - kept) / 10))

local has = {}
for i = 11, #ARGV do has[ARGV[i]] = true end

local listening = {}
-- Tell whether a claim counts for nothing: it has lapsed, or its worker is gone or has never heard of the job.
-- Without an owner it lapsed when its score says so. A stock arq worker writes '1'; only time can tell that it is
-- gone.
local function void(id, owner, due)
  if not owner then return due <= now end
  if owner == worker then return ARGV[10] == '1' and not has[id] end
  if owner == '1' then return false end
  if listening[owner] == nil then listening[owner] = redis.call('PUBSUB', 'NUMSUB', owner)[2] > 0 end
  return not listening[owner]
end

local claims = redis.call('ZRANGEBYSCORE', lane, '1e12', '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[6])
local claimed = 0
for i = 1, #claims, 2 do
  local id = claims[i]
  local owner = redis.call('GET', 'arq:in-progress:' .. id)
  if void(id, owner, tonumber(claims[i + 1])) then
    local body = redis.call('GET', 'arq:job:' .. id)
    redis.call('DEL', 'arq:in-progress:' .. id)
    if not body then
      redis.call('ZREM', lane, id)
      redis.call('DEL', 'arq:retry:' .. id)
    else
      redis.call('INCR', 'arq:retry:' .. id)
      redis.call('PEXPIRE', 'arq:retry:' .. id, kept + lapse)
      local deadline = body:byte(1) == 148 and struct.unpack('>d', body, 3) or 0
      redis.call('ZADD', lane, string.format('%d', (deadline > 0 and deadline or 5e12 + now) / 10), id)
    end
  elseif owner == worker then
    claimed = claimed + 1
  end
end
local free = register(claimed, #claims < ARGV[6] * 2)
local taken = take(lane, worker, now, lapse, free, tonumber(ARGV[8]) or 0)
if #taken > 0 then redis.call('ZINCRBY', KEYS[2], -#taken / 3, worker) end
table.insert(taken, 1, time[2])
table.insert(taken, 1, time[1])
return taken
