-- Claim jobs of a lane for one worker: those of its wake tokens, or, without tokens, whatever is due.
--
-- KEYS[1] lane
-- ARGV[1] most jobs to claim   ARGV[2] ms until a claim lapses (the worker is taken for dead)
-- ARGV[3] ids to look at when there are no tokens   ARGV[4...] tokens: job ids
-- Returns {job id, score as text, ...} of the jobs claimed
--
-- A token is a hint, the sorted set is the truth: a token that is lost, doubled or for a finished job does nothing.
-- A stock arq client's job has its score in ms and may be deferred; one of begin.lua is due at once.
local room, lapse = tonumber(ARGV[1]), ARGV[2]
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local ids = {}
if #ARGV > 3 then
  for i = 4, #ARGV do ids[#ids + 1] = ARGV[i] end
else
  ids = redis.call('ZRANGE', KEYS[1], 0, tonumber(ARGV[3]) - 1)
end
local claimed = {}
for _, id in ipairs(ids) do
  if #claimed >= room * 2 then break end
  local score = redis.call('ZSCORE', KEYS[1], id)
  if score and tonumber(score) <= now then
    if redis.call('EXISTS', 'arq:job:' .. id) == 0 then
      redis.call('ZREM', KEYS[1], id)
    elseif redis.call('SET', 'arq:in-progress:' .. id, '1', 'NX', 'PX', lapse) then
      claimed[#claimed + 1] = id
      claimed[#claimed + 1] = score
    end
  end
end
return claimed
