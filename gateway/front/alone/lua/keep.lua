-- Keep records that were made while Redis was lost, but for those of which a younger one is here.
--
-- KEYS[1] sorted set of whom gateways were told to forget   then one per record: its key
-- ARGV[1] score of the last of it that the gateway has done, as an exclusive minimum   then five per record: its age
-- (ms), ms for which it is kept, its variables and user as msgpack, index of its session or '', ms for which that is kept
-- Returns the number of records written; -1, and nothing is, when somebody is to be forgotten of whom the gateway
-- has not heard
--
-- A record is a msgpack array [written, variables, user]; the time is told here, on this server's clock.
if redis.call('ZCOUNT', KEYS[1], ARGV[1], '+inf') > 0 then return -1 end
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local kept = 0

-- Return when the record under a key was written, if there is one that says so.
local function written(key)
  local head = redis.call('GETRANGE', key, 0, 10)
  local kind = head:sub(1, 2)  -- an array of three, or of two as in earlier releases; a float64
  if #head > 10 and (kind == '\147\203' or kind == '\146\203') then return (struct.unpack('>d', head, 3)) end
end

for i = 2, #KEYS do
  local key, a = KEYS[i], i * 5 - 8
  local born = now - ARGV[a]
  if (written(key) or -math.huge) < born then
    redis.call('SET', key, '\147\203' .. struct.pack('>d', born) .. ARGV[a + 2], 'PX', ARGV[a + 1])
    if ARGV[a + 3] ~= '' then
      redis.call('HSETNX', ARGV[a + 3], key, '')  -- no job has written it
      redis.call('PEXPIRE', ARGV[a + 3], ARGV[a + 4])
    end
    kept = kept + 1
  end
end
return kept
