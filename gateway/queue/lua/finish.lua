-- Finish jobs of one lane: keep their records, tell every gateway that waits, clear what arq and begin.lua left,
-- and give the worker its next jobs, or note that it has slots free.
--
-- KEYS[1] lane   KEYS[2] free   then five per job: record, waiters (channels that joined; '' among them says that
-- its session was forgotten meanwhile: then no record is kept), arq job, arq retry, arq in-progress
-- ARGV[1] worker   ARGV[2] jobs that it wants next   ARGV[3] now, ms on this server's clock as the worker reckons it
-- ARGV[4] ms until its next claims lapse   ARGV[5] least ms left that a job is worth taking with
-- then six per job: id, answer, record as msgpack, or '' to leave it as it is, ms for which the record is kept,
-- channel of the gateway that began the job, or '', key of the user's record, or ''
-- Returns the next jobs: three per job, id, try, body
--
-- A gateway is published an array of the answers. The flight is left to lapse: one that points to a job that is
-- gone counts for nothing.
local lane, free, worker, wanted = KEYS[1], KEYS[2], ARGV[1], tonumber(ARGV[2])
local answers, gone, ids = {}, {}, {}

local function tell(channel, answer)
  local list = answers[channel] or {}
  list[#list + 1] = answer
  answers[channel] = list
end

for i = 0, (#KEYS - 2) / 5 - 1 do
  local k, a = i * 5 + 3, i * 6 + 6
  local answer, channel = ARGV[a + 1], ARGV[a + 4]
  local forgotten = false
  ids[i + 1] = ARGV[a]
  if channel ~= '' then tell(channel, answer) end
  for _, joined in ipairs(redis.call('SMEMBERS', KEYS[k + 1])) do
    if joined == '' then
      forgotten = true
    elseif joined ~= channel then
      tell(joined, answer)
    end
  end
  if ARGV[a + 2] ~= '' and not forgotten then
    redis.call('SET', KEYS[k], ARGV[a + 2], 'PX', ARGV[a + 3])
    if ARGV[a + 5] ~= '' then redis.call('SET', ARGV[a + 5], ARGV[a + 2], 'PX', ARGV[a + 3]) end
  end
  -- What says that it was forgotten stays until it lapses: this script may be repeated.
  for j = forgotten and 2 or 1, 4 do gone[#gone + 1] = KEYS[k + j] end
end
redis.call('ZREM', lane, unpack(ids))
redis.call('DEL', unpack(gone))
for channel, list in pairs(answers) do
  redis.call('PUBLISH', channel, '\220' .. struct.pack('>H', #list) .. table.concat(list))
end
if wanted == 0 then return {} end
-- Nothing waits while a worker has slots free; but for what a sweep has put back, which the next sweep finds.
if tonumber(redis.call('ZINCRBY', free, ARGV[2], worker)) > wanted then return {} end
if not redis.call('ZRANGEBYSCORE', lane, '-inf', '(1e12', 'LIMIT', '0', '1')[1] then return {} end
local taken = take(lane, worker, tonumber(ARGV[3]), tonumber(ARGV[4]), wanted, tonumber(ARGV[5]))
if #taken > 0 then redis.call('ZINCRBY', free, -#taken / 3, worker) end
return taken
