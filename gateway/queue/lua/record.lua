-- A prelude, behind msgpack.lua: when a record was written.

local ANOTHER_CLOCK = 1000  -- ms by which a record may be ahead of this server's clock

-- Return when a record was written; nil if that is not known, and then it counts as absent. `data` is the record, or its
-- first eleven bytes. After a failover this clock may be behind the one by which a record was dated: nobody knows how
-- old a record from the future is.
local function written_at(data, now)
  local written = first_float(data, ARRAY_4)
  if written and written <= now + ANOTHER_CLOCK then return written end
end

