-- What finish.lua and sweep.lua share: taking jobs that wait on a lane.
--
-- The score of a job says what it waits for, in whole numbers:
--   its deadline in 10 ms          a worker; and somebody waits for its answer
--   5e11 + when enqueued, 10 ms    a worker; nobody waits for its answer
--   1e12 and above, ms             a worker has it until then (or a stock arq client has deferred it until then)
-- arq's own worker compares with milliseconds: to it, whatever waits is due.

-- Take at most `room` jobs for a worker: by deadline those that have `least` ms left, enough to be done; then
-- refreshes; then those whose time is up, so that dead work never delays live work. Return {id, try, body, ...}.
local function take(lane, worker, now, lapse, room, least)
  local soonest, until_ms = string.format('%d', (now + least) / 10), string.format('%d', now + lapse)
  local bands = {{soonest, '(5e11'}, {'5e11', '(1e12'}, {'-inf', '(' .. soonest}}
  local taken = {}
  for _, band in ipairs(bands) do
    while #taken < room * 3 do
      local ids = redis.call('ZRANGEBYSCORE', lane, band[1], band[2], 'LIMIT', 0, room - #taken / 3)
      if #ids == 0 then break end
      for _, id in ipairs(ids) do
        local body = redis.call('GET', 'arq:job:' .. id)
        if not body then
          redis.call('ZREM', lane, id)
        else
          redis.call('ZADD', lane, until_ms, id)
          if redis.call('SET', 'arq:in-progress:' .. id, worker, 'NX', 'PX', lapse) then
            taken[#taken + 1] = id
            taken[#taken + 1] = (redis.call('GET', 'arq:retry:' .. id) or 0) + 1
            taken[#taken + 1] = body
          end
        end
      end
    end
  end
  return taken
end
