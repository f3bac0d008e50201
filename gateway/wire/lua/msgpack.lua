-- A prelude: msgpack, as far as scripts write and read it themselves. Its bytes are written here and nowhere else.
-- All other values reach a script encoded, and leave it so.

local ARRAY_0, ARRAY_2, ARRAY_3, ARRAY_4 = '\144', '\146', '\147', '\148'  -- heads of arrays of this length

local FALSE = '\194'

-- A whole number below 128.
local small = string.char

-- A number as float64.
local function float(number) return struct.pack('>Bd', 203, number) end

-- Text of at most 65,535 bytes.
local function text(bytes) return struct.pack('>BH', 218, #bytes) .. bytes end

-- An array of at most 65,535 items, each of them encoded.
local function array(items) return struct.pack('>BH', 220, #items) .. table.concat(items) end

-- Return the float64 that an array with this head begins with; nil if the data is no such array. A float64 ends
-- with the tenth byte, and more must follow.
local function first_float(data, head)
  if #data > 10 and data:sub(1, 2) == head .. '\203' then return (struct.unpack('>d', data, 3)) end
end

