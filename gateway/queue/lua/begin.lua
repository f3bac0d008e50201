-- Begin lookups, of one callback or of several: per lookup, its record if it will do, or the job in flight
-- joined, or a new job, handed to an idle worker if there is one and left on the lane if there is none.
--
-- KEYS, five per lookup: record, flight, lane, free, pace
-- ARGV[1] reply channel of the gateway     ARGV[2] prefix of waiters keys
-- ARGV[3] ms for which a job that nobody finishes is kept   ARGV[4] most jobs on a lane
-- ARGV[5] ms past its longest run until a job's worker is taken for dead
-- then nine per lookup: ms left until its deadline, fresh (ms), revalidate (ms that a record may be served beyond,
-- and is refreshed behind; -1 when nobody waits in any case), late (ms that a job may run past its deadline), id and
-- body of the new job, key of the user's record or '', index of the session or '', ms for which it is kept
-- Returns {seconds, microseconds, then four per lookup: state, record or '', job id or '', user's record or ''};
-- in place of a refused job's id stands how many are on its lane
-- States: 0 fresh, 1 joined, 2 begun, 3 refused because the lane is full, 4 revalidating, 5 begun, but nobody is
-- there to run it, 6 begun as a refresh, because it could not have been done in time
--
-- A job is a msgpack array [deadline, enqueued, job, reply channel]; its two float64 are written here, from this
-- server's clock, so that no other clock takes part. A deadline of 0 is none: nobody waits for a refresh. A
-- worker is published [now, [[id, try, job], ...]]; with no job in it, that it shall sweep, since another worker
-- was found gone. take.lua says what scores mean.
--
-- Every redis.call() costs some microseconds of everyone's time, and so does every number that is written or read
-- as text here: there is none to spare. A whole number is told as it is, and redis.call() writes it.
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local channel, waiters, kept, limit, margin = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])

local whole = math.floor

-- Tell whether a worker listens; one that was killed does no longer, before anyone has noticed.
local function listens(worker)
  return redis.call('PUBSUB', 'NUMSUB', worker)[2] > 0
end

local boxes = {}  -- by lane's free key: the worker with the most free slots, and the jobs that it gets

local function send(free)
  local box = boxes[free]
  if box and #box.jobs > 0 then
    local head = struct.pack('>BBdBH', 146, 203, now, 220, #box.jobs)
    redis.call('PUBLISH', box.worker, head .. table.concat(box.jobs))
    redis.call('ZINCRBY', free, -#box.jobs, box.worker)
  end
  boxes[free] = nil
end

-- Return a box with room for a job, or one without a worker, that tells whether there are any.
local function open(free)
  local box = boxes[free]
  if box and (box.room > 0 or not box.worker) then return box end
  send(free)
  box = {room = 0, attended = false, jobs = {}}
  local struck = false
  while true do
    local best = redis.call('ZREVRANGE', free, 0, 0, 'WITHSCORES')
    if not best[1] then break end
    if listens(best[1]) then
      if struck then redis.call('PUBLISH', best[1], struct.pack('>BBdB', 146, 203, now, 144)) end
      box.attended, box.room = true, tonumber(best[2])
      if box.room > 0 then box.worker = best[1] end
      break
    end
    redis.call('ZREM', free, best[1])
    struck = true
  end
  boxes[free] = box
  return box
end

-- Hand a job to a worker if one has a slot free; tell whether that was so, and whether there are workers at all.
local function hand_over(lane, free, job, try, body, lapse)
  local box = open(free)
  if not box.worker then return false, box.attended end
  box.room = box.room - 1
  box.jobs[#box.jobs + 1] = struct.pack('>BBH', 147, 218, #job) .. job .. string.char(try) .. body
  redis.call('SET', 'arq:in-progress:' .. job, box.worker, 'PX', whole(lapse))
  redis.call('ZADD', lane, whole(now + lapse), job)
  return true, true
end

-- Return how many jobs are on a lane on which no more may wait. Without a worker nobody takes off those that have
-- lapsed.
local function full(lane, left)
  if redis.call('ZCARD', lane) < limit then return nil end
  redis.call('ZREMRANGEBYSCORE', lane, '-inf', whole((now - kept) / 10))
  redis.call('ZREMRANGEBYSCORE', lane, '5e11', whole(5e11 + (now - kept - left) / 10))
  local depth = redis.call('ZCARD', lane)
  return depth >= limit and depth or nil
end

-- Tell whether a job that waits for its turn could be done in time, as the lane's workers have told their pace: the
-- ms that a job takes, and jobs per second. After some idle seconds none is known: then it could.
local function in_time(lane, pace, left)
  local rate, takes = 0, 0
  for _, told in ipairs(redis.call('HVALS', pace)) do
    local one, per_second = told:match('(%S+) (%S+)')
    takes, rate = math.max(takes, tonumber(one)), rate + per_second
  end
  if rate == 0 then return true end
  local before = redis.call('ZCOUNT', lane, whole(now / 10), '(5e11')
  return (before + 1) / rate * 1000 + takes <= left
end

-- Tell whether the job in flight is still under way. One whose worker is gone is handed to another worker; one
-- that could wait, because nobody waited for it, no longer can.
local function flies(lane, free, job, left, late)
  local body = redis.call('GET', 'arq:job:' .. job)
  if not body then return false end
  local owner = redis.call('GET', 'arq:in-progress:' .. job)
  local waits = not owner and tonumber(redis.call('ZSCORE', lane, job) or 0) or 0
  if owner and owner ~= '1' and not listens(owner) then  -- a stock arq worker writes '1', and is never asked
    local try = redis.call('INCR', 'arq:retry:' .. job) + 1
    redis.call('PEXPIRE', 'arq:retry:' .. job, whole(left + kept))
    if hand_over(lane, free, job, try, body, left + late + margin) then return true end
    redis.call('DEL', 'arq:in-progress:' .. job)
    waits = 5e11
  end
  if waits >= 5e11 and waits < 1e12 then redis.call('ZADD', lane, whole((now + left) / 10), job) end
  return true
end

local replies = {time[1], time[2]}
for i = 0, #KEYS / 5 - 1 do
  local record, flight, lane, free, pace = unpack(KEYS, i * 5 + 1, i * 5 + 5)
  local k = i * 9 + 6
  local left, fresh, revalidate = tonumber(ARGV[k]), tonumber(ARGV[k + 1]), tonumber(ARGV[k + 2])
  local late, job, body, of_user = tonumber(ARGV[k + 3]), ARGV[k + 4], ARGV[k + 5], ARGV[k + 6]
  local found = of_user == '' and redis.call('MGET', record, flight) or redis.call('MGET', record, flight, of_user)
  local known, flying = found[1], found[2]
  local head = known and known:sub(1, 2)  -- an array of three, or of two as in earlier releases; a float64
  local age = (head == '\147\203' or head == '\146\203') and #known > 10
    and math.max(0, now - struct.unpack('>d', known, 3))
  local behind = revalidate < 0 or age and age < fresh + revalidate
  local state = 2
  if age and age < fresh then
    state, job = 0, ''
  elseif flying and behind and redis.call('EXISTS', 'arq:job:' .. flying) == 1
      or flying and not behind and flies(lane, free, flying, left, late) then
    state, job = behind and 4 or 1, flying
    redis.call('SADD', waiters .. job, channel)
    redis.call('PEXPIRE', waiters .. job, whole(left + kept))
  else
    body = struct.pack('>BBdBd', 148, 203, behind and 0 or now + left, 203, now) .. body
    local handed, attended = hand_over(lane, free, job, 1, body, left + late + margin)
    local depth = not handed and full(lane, left)
    if depth then
      state, job = behind and 4 or 3, behind and '' or depth
    else
      redis.call('SET', 'arq:job:' .. job, body, 'PX', whole(left + kept))
      local refresh = behind
      if not handed and attended and not behind and not in_time(lane, pace, left) then
        state, refresh = 6, true
      end
      redis.call('SET', flight, job, 'PX', whole(refresh and kept or left + late))
      if ARGV[k + 7] ~= '' then
        redis.call('HSET', ARGV[k + 7], record, job)
        redis.call('PEXPIRE', ARGV[k + 7], ARGV[k + 8])
      end
      if not handed then
        redis.call('ZADD', lane, whole(refresh and 5e11 + now / 10 or (now + left) / 10), job)
        if not attended and redis.call('EXISTS', lane .. ':polled') == 0 then state = 5 end
      end
      if behind then state = 4 end
    end
  end
  replies[#replies + 1] = state
  replies[#replies + 1] = known or ''
  replies[#replies + 1] = job
  replies[#replies + 1] = found[3] or ''
end
for free in pairs(boxes) do send(free) end
return replies
