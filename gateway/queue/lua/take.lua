-- A prelude of finish.lua and sweep.lua, behind lane.lua: take jobs that wait.

-- Take at most `room` jobs for a worker. First the awaited ones that have `least` ms left, enough to be done, in the
-- order of their deadlines; then refreshes; then those whose time is up, so that dead work never delays live work.
-- Return {id, try, body, ...}.
local function take(lane, worker, now, lapse, room, least)
  local soonest, until_ms = awaited_score(now + least), whole(now + lapse)
  local bands = {{soonest, BELOW_REFRESHES}, {REFRESHES, BELOW_CLAIMED}, {'-inf', '(' .. soonest}}
  local taken = {}
  for _, band in ipairs(bands) do
    while #taken < room * 3 do
      local ids = redis.call('ZRANGEBYSCORE', lane, band[1], band[2], 'LIMIT', 0, room - #taken / 3)
      if #ids == 0 then break end
      for _, id in ipairs(ids) do
        local body = redis.call('GET', JOB .. id)
        if not body then
          redis.call('ZREM', lane, id)
        else
          redis.call('ZADD', lane, until_ms, id)
          if redis.call('SET', CLAIM .. id, worker, 'NX', 'PX', lapse) then
            taken[#taken + 1] = id
            taken[#taken + 1] = (redis.call('GET', RETRY .. id) or 0) + 1
            taken[#taken + 1] = body
          end
        end
      end
    end
  end
  return taken
end

