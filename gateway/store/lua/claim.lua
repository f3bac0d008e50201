-- Claim jobs of a lane for one worker: those of its wake tokens, or, without tokens, whatever is due.
--
-- KEYS[1] lane
-- ARGV[1] most jobs to claim   ARGV[2] ms until a claim lapses (the worker is taken for dead)
-- ARGV[3] ids to look at when there are no tokens   ARGV[4...] tokens: job ids
-- Returns {} when there is nothing to look at, else {now (ms, as text), then four per job claimed: id, score as
-- text, body, number of this try}
--
-- A token is a hint, the sorted set is the truth: a token that is lost, doubled or for a finished job does nothing.
-- A stock arq client's job has its score in ms and may be deferred; one of begin.lua is due at once.
local room, lapse = tonumber(ARGV[1]), ARGV[2]
local ids = {}
if #ARGV > 3 then
  for i = 4, #ARGV do ids[#ids + 1] = ARGV[i] end
else
  ids = redis.call('ZRANGE', KEYS[1], 0, tonumber(ARGV[3]) - 1)
end
if #ids == 0 then return ids end
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local claimed = {string.format('%.3f', now)}
for _, id in ipairs(ids) do
  if #claimed > room * 4 then break end
  local score = redis.call('ZSCORE', KEYS[1], id)
  if score and tonumber(score) <= now then
    local body = redis.call('GET', 'arq:job:' .. id)
    if not body then
      redis.call('ZREM', KEYS[1], id)
    elseif redis.call('SET', 'arq:in-progress:' .. id, '1', 'NX', 'PX', lapse) then
      local try = 1
      if not redis.call('SET', 'arq:retry:' .. id, 1, 'NX', 'EX', 88400) then
        try = redis.call('INCR', 'arq:retry:' .. id)
      end
      local size = #claimed
      claimed[size + 1], claimed[size + 2], claimed[size + 3], claimed[size + 4] = id, score, body, try
    end
  end
end
return claimed
