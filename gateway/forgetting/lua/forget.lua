-- Forget sessions: erase the records that their indexes name, keep their jobs that are under way from writing others,
-- and tell every gateway.
--
-- KEYS, for each session
--   index       hash: its record keys, each with the jobs begun for it that may be under way, one a line
-- ARGV
--   channel     of all gateways
--   forgotten   key of the sorted set of these messages, for gateways that do not listen just now
--   messages_kept   ms for which a message is kept there
--   record, flight, waiters   the keys of this kind begin with it
--   void_kept   ms for which a job that is under way cannot write its record any more, nor anybody its history
--   history     key of a session's entries in the history begins with it
--   histories   key of the sorted set of the sessions that have some
--   void        key of the ms at which a session was forgotten begins with it
--   last        key of the ms at which the last message was sent
-- ARGV, for each session
--   name        as gateways know it
-- Reply {removed, message}
--   removed     the number of records erased
--   message     as gateways are published it
--
-- A message is the msgpack array [at, [name, ...]]. `at` is the ms on this server's clock, or one more than that of the
-- message before: so it grows, even if a failover has set the clock back.
local channel, forgotten, messages_kept, record, flight, waiters, void_kept, history, histories, void, last = unpack(ARGV, 1, 11)
local sessions = #KEYS
local function session_keys(i) return unpack(KEYS, 1 * i, 1 * i) end
local function session_arguments(i) return unpack(ARGV, 1 * i + 11, 1 * i + 11) end

local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local at = math.max(now, (tonumber(redis.pcall('GET', last)) or 0) + 1)
local removed, names = 0, {}

for i = 1, sessions do
  local index = session_keys(i)
  local name = session_arguments(i)
  local begun = redis.call('HGETALL', index)
  for j = 1, #begun, 2 do
    local known, jobs = begun[j], begun[j + 1]
    removed = removed + redis.call('UNLINK', known)
    redis.call('DEL', flight .. known:sub(#record + 1))
    for job in jobs:gmatch('[^\n]+') do
      if redis.call('EXISTS', JOB .. job, CLAIM .. job) > 0 then
        redis.call('SADD', waiters .. job, '')
        redis.call('PEXPIRE', waiters .. job, void_kept)
      end
    end
  end
  redis.call('DEL', index)
  redis.call('UNLINK', history .. name)
  redis.call('ZREM', histories, name)
  redis.call('SET', void .. name, string.format('%.17g', now), 'PX', void_kept)
  names[i] = text(name)
end

local message = ARRAY_2 .. float(at) .. array(names)
redis.call('ZADD', forgotten, string.format('%.17g', at), message)
redis.call('ZREMRANGEBYSCORE', forgotten, '-inf', string.format('%.17g', now - messages_kept))
redis.call('PEXPIRE', forgotten, messages_kept)
redis.call('SET', last, string.format('%.17g', at))
redis.call('PUBLISH', channel, message)
return {removed, message}
