-- Begin lookups, of one callback or of several. For each of them one of these happens: its record is returned, if it
-- will do; the job in flight is joined; a new job is made, and handed to a worker with a free slot or left on the lane.
--
-- KEYS, for each lookup
--   record      string: the answer that is kept, msgpack [written, variables, user, found]
--   flight      string: the id of the job in flight for the record
--   lane        sorted set: the lane's jobs (lane.lua)
--   free        sorted set: the lane's workers, each by its channel, with its free slots
--   pace        hash: the lane's workers, each with the ms that a job takes and its jobs per second
-- ARGV
--   channel     on which this gateway gets its answers
--   waiters     the keys of waiters begin with it
--   kept        ms for which a job is kept past its deadline, if no worker finishes it
--   limit       the most jobs on a lane
--   margin      ms past its longest run until a job's worker is taken for dead
--   jobs        the channels of workers begin with it
-- ARGV, for each lookup
--   left        ms until its deadline
--   fresh       ms for which a record is the answer
--   revalidate  ms for which it is the answer beyond that, and is refreshed behind; -1 if no callback waits in any case
--   not_found   ms for which a record is the answer that says "there is no such thing"; it is not refreshed behind
--   overrun     ms that a job may run past its deadline
--   id, body    of the new job, if there will be one
--   of_user     key of the user's record, or ''
--   session     key of the session's index, or ''
--   indexed     ms for which the index is kept
-- Reply {seconds, microseconds, error}, and for each lookup
--   state       one of the numbers below
--   record      as it is found, or ''
--   job         its id, or ''; for a refused lookup the number of jobs on its lane
--   of_user     the user's record as it is found, or ''
--
-- A job is the msgpack array [deadline, enqueued, job, reply channel]. Its two times are written here, by this
-- server's clock: no other clock takes part. The deadline of a refresh is 0: no callback waits for it. A worker is
-- published [now, [[id, try, job], ...]]; without a job in it, that asks for a sweep.
--
-- A server may refuse to write, for want of memory or rights, or because a key has another type. That is the trouble of
-- the lookup whose write it was: it has failed, the others go on. Its record is read before anything is written. The
-- reply has the first error that was met, or ''.
local channel, waiters, kept, limit, margin, jobs = unpack(ARGV, 1, 6)
local lookups = #KEYS / 5
local function lookup_keys(i) return unpack(KEYS, 5 * i - 4, 5 * i) end
local function lookup_arguments(i) return unpack(ARGV, 10 * i - 3, 10 * i + 6) end

local FRESH, JOINED, BEGUN, REFUSED, REVALIDATING, UNATTENDED, SHED, FAILED = 0, 1, 2, 3, 4, 5, 6, 7

local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
kept, limit, margin = tonumber(kept), tonumber(limit), tonumber(margin)

local trouble = ''  -- the first error

local function note(error)
  if trouble == '' then trouble = type(error) == 'table' and error.err or tostring(error) end
end

-- Like redis.call(), for a key that has no use but ours: one of another type is removed first.
local function call_anew(command, key, ...)
  local answer = redis.pcall(command, key, ...)
  if type(answer) ~= 'table' or not answer.err then return answer end
  if answer.err:sub(1, 9) ~= 'WRONGTYPE' then error(answer) end
  note(answer)
  redis.call('DEL', key)
  return redis.call(command, key, ...)
end

-- By a lane's free key: the worker with the most free slots, its room for more jobs, the jobs that it gets, and the
-- lookups that these are for.
local boxes = {}
local row = 0      -- the lookup at hand
local unsent = {}  -- the lookups whose jobs could not be sent

local function send(free)
  local box = boxes[free]
  boxes[free] = nil
  if not box or #box.jobs == 0 then return end
  local ok, error = pcall(redis.call, 'PUBLISH', box.worker, ARRAY_2 .. float(now) .. array(box.jobs))
  if not ok then
    note(error)
    for _, row in ipairs(box.rows) do unsent[row] = true end
    return
  end
  redis.call('ZINCRBY', free, -#box.jobs, box.worker)
end

-- Return a box with room for a job. If no worker has room, the box has no worker; if there are workers, it is attended.
-- A worker that does not listen any more is struck off, and the next one is asked to sweep up its jobs.
local function open(free)
  local box = boxes[free]
  if box and (box.room > 0 or not box.worker) then return box end
  send(free)
  box = {room = 0, attended = false, jobs = {}, rows = {}}
  local struck = false
  while true do
    local best = redis.call('ZREVRANGE', free, 0, 0, 'WITHSCORES')
    if not best[1] then break end
    if best[1]:sub(1, #jobs) == jobs and listens(best[1]) then
      if struck then redis.call('PUBLISH', best[1], ARRAY_2 .. float(now) .. ARRAY_0) end
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

-- Hand a job to a worker if one has a slot free. Return true if so, and true if there are workers at all.
local function hand_over(lane, free, id, try, body, lapse)
  local box = open(free)
  if not box.worker then return false, box.attended end
  redis.call('ZADD', lane, whole(now + lapse), id)
  redis.call('SET', CLAIM .. id, box.worker, 'PX', whole(lapse))
  box.room = box.room - 1
  box.jobs[#box.jobs + 1] = ARRAY_3 .. text(id) .. small(try) .. body
  box.rows[#box.rows + 1] = row
  return true, true
end

-- If the lane is full, return the number of its jobs, else nil. Without a worker nobody else removes lapsed jobs.
local function full(lane, left)
  if redis.call('ZCARD', lane) < limit then return nil end
  redis.call('ZREMRANGEBYSCORE', lane, '-inf', awaited_score(now - kept))
  redis.call('ZREMRANGEBYSCORE', lane, REFRESHES, refresh_score(now - kept - left))
  local depth = redis.call('ZCARD', lane)
  return depth >= limit and depth or nil
end

-- True if a job that waits for its turn can be done in time, by the pace of the lane's workers. After some idle seconds
-- no pace is known; then true.
local function in_time(lane, pace, left)
  local rate, takes = 0, 0
  for _, each in ipairs(redis.call('HVALS', pace)) do
    local one, per_second = each:match('(%S+) (%S+)')
    takes, rate = math.max(takes, tonumber(one)), rate + per_second
  end
  if rate == 0 then return true end
  local before = redis.call('ZCOUNT', lane, awaited_score(now), BELOW_REFRESHES)
  return (before + 1) / rate * 1000 + takes <= left
end

-- True if the job in flight is still under way, and true if there are workers at all. If its worker is gone, it is handed
-- to another one. If it was a refresh that waits, it gets a deadline: a callback waits for it now.
local function flies(lane, free, id, left, overrun)
  local body = redis.call('GET', JOB .. id)
  if not body then return false end
  local owner = redis.call('GET', CLAIM .. id)
  local score = not owner and tonumber(redis.call('ZSCORE', lane, id) or 0) or 0
  local put_back = false
  if owner and owner ~= STOCK and not listens(owner) then
    local try = redis.call('INCR', RETRY .. id) + 1
    redis.call('PEXPIRE', RETRY .. id, whole(left + kept))
    if hand_over(lane, free, id, try, body, left + overrun + margin) then return true, true end
    redis.call('DEL', CLAIM .. id)
    put_back = true
  end
  if put_back or score >= REFRESHES and score < CLAIMED then
    redis.call('ZADD', lane, awaited_score(now + left), id)
  end
  if owner and not put_back then return true, true end
  local box = open(free)
  return true, box.attended or box.worker or redis.call('EXISTS', lane .. ':polled') == 1
end

-- Note a job in its session's index, beside those before it that may still write the same record: a flight may lapse
-- while its job waits.
local function index(session, record, id, indexed)
  local ids = id
  local noted = redis.pcall('HGET', session, record)
  for before in (type(noted) == 'string' and noted or ''):gmatch('[^\n]+') do
    if before ~= id and redis.call('EXISTS', JOB .. before) == 1 then ids = before .. '\n' .. ids end
  end
  call_anew('HSET', session, record, ids)
  redis.call('PEXPIRE', session, indexed)
end

-- The free keys that have a box: sending removes it.
local function in_use()
  local found = {}
  for free in pairs(boxes) do found[#found + 1] = free end
  return found
end

local known, servable  -- of the lookup at hand: its record as found, and whether it may be served while it is refreshed

-- Begin a lookup; return its state, its job, and the user's record.
local function begin(i)
  local record, flight, lane, free, pace = lookup_keys(i)
  local left, fresh, revalidate, not_found, overrun, id, body, of_user, session, indexed = lookup_arguments(i)
  left, fresh, revalidate, overrun = tonumber(left), tonumber(fresh), tonumber(revalidate), tonumber(overrun)
  local found = of_user == '' and redis.call('MGET', record, flight) or redis.call('MGET', record, flight, of_user)
  local flying, users = found[2], found[3]
  known = found[1]
  local written = known and written_at(known, now)
  local age = written and math.max(0, now - written)
  if written and known:sub(-1) == FALSE then fresh, revalidate = tonumber(not_found), math.min(revalidate, 0) end
  if age and age < fresh then return FRESH, '', users end
  servable = age and age < fresh + revalidate
  local behind = revalidate < 0 or servable
  local under_way, attended
  if flying and behind then under_way, attended = redis.call('EXISTS', JOB .. flying) == 1, true end
  if flying and not behind then under_way, attended = flies(lane, free, flying, left, overrun) end
  if under_way then
    call_anew('SADD', waiters .. flying, channel)
    redis.call('PEXPIRE', waiters .. flying, whole(left + kept))
    return behind and REVALIDATING or attended and JOINED or UNATTENDED, flying, users
  end
  body = ARRAY_4 .. float(behind and 0 or now + left) .. float(now) .. body
  local handed
  handed, attended = hand_over(lane, free, id, 1, body, left + overrun + margin)
  local depth = not handed and full(lane, left)
  if depth then return behind and REVALIDATING or REFUSED, behind and '' or depth, users end
  redis.call('SET', JOB .. id, body, 'PX', whole(left + kept))
  local state, refresh = BEGUN, behind
  if not handed and attended and not behind and not in_time(lane, pace, left) then
    state, refresh = SHED, true
  end
  redis.call('SET', flight, id, 'PX', whole(refresh and kept or left + overrun))
  if session ~= '' then index(session, record, id, indexed) end
  if not handed then
    redis.call('ZADD', lane, refresh and refresh_score(now) or awaited_score(now + left), id)
    if not attended and redis.call('EXISTS', lane .. ':polled') == 0 then state = UNATTENDED end
  end
  return behind and REVALIDATING or state, id, users
end

local replies = {time[1], time[2], ''}
for i = 1, lookups do
  row, known, servable = i, nil, false
  local ok, state, job, users = pcall(begin, i)
  if not ok then
    note(state)
    state, job = servable and REVALIDATING or FAILED, ''
  end
  replies[#replies + 1] = state
  replies[#replies + 1] = known or ''
  replies[#replies + 1] = job
  replies[#replies + 1] = users or ''
end
for _, free in ipairs(in_use()) do send(free) end
for i in pairs(unsent) do
  local at = 4 * i
  if replies[at] ~= REVALIDATING then replies[at] = FAILED end
  replies[at + 2] = ''
end
replies[3] = trouble
return replies
