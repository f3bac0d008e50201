-- Restore records that were made while Redis was lost, unless a younger one is here.
--
-- KEYS
--   forgotten   sorted set: the sessions and users that gateways must forget
-- KEYS, for each record
--   record      string: the answer that is kept
-- ARGV
--   since       score of the last of those messages that the gateway has done, as an exclusive minimum
-- ARGV, for each record
--   age         ms since the backend gave the answer
--   kept        ms for which the record is kept
--   data        its variables, user and found, msgpack
--   session     key of its session's index, or ''
--   indexed     ms for which the index is kept
-- Reply: the number of records written; -1 if the gateway has yet to forget somebody, and then none is written
--
-- A record is the msgpack array [written, variables, user, found]. The time is written here, by this server's clock.
local forgotten = unpack(KEYS, 1, 1)
local since = unpack(ARGV, 1, 1)
local records = #KEYS - 1
local function record_keys(i) return unpack(KEYS, 1 * i + 1, 1 * i + 1) end
local function record_arguments(i) return unpack(ARGV, 5 * i - 3, 5 * i + 1) end

if redis.call('ZCOUNT', forgotten, since, '+inf') > 0 then return -1 end
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local written = 0

for i = 1, records do
  local record = record_keys(i)
  local age, kept, data, session, indexed = record_arguments(i)
  local born = now - age
  local other = written_at(redis.call('GETRANGE', record, 0, 10), now)
  if not other or other < born then
    redis.call('SET', record, ARRAY_4 .. float(born) .. data, 'PX', kept)
    if session ~= '' then
      redis.call('HSETNX', session, record, '')  -- no job has written it
      redis.call('PEXPIRE', session, indexed)
    end
    written = written + 1
  end
end
return written
