-- Add counts to those of the whole fleet.
--
-- ARGV
--   kept        ms for which a slot is kept
-- ARGV, for each count
--   slot        key of the hash of a slot
--   field       its field
--   count       what is added
-- Reply: nothing
local kept = unpack(ARGV, 1, 1)
local counts = (#ARGV - 1) / 3
local function count_arguments(i) return unpack(ARGV, 3 * i - 1, 3 * i + 1) end

local slots = {}
for i = 1, counts do
  local slot, field, count = count_arguments(i)
  redis.call('HINCRBY', slot, field, count)
  slots[slot] = true
end
for slot in pairs(slots) do redis.call('PEXPIRE', slot, kept) end
