-- key: which of n workers an item with this key goes to.  Pure.
-- SPDX-License-Identifier: MIT
--
-- Equal keys go to equal workers in every process, so nothing here may depend
-- on a process: Lua's own hashes are seeded, hence a hash of our own, which
-- each process works out once per key and remembers.

local key = {}

-- A commit reaches no more links than this at once (one more is the ledger's).
key.most_workers = 1023

local MOST_REMEMBERED <const> = 250000

local unpack = string.unpack
local short = {}
for n = 1, 8 do short[n] = "<I" .. n end

-- Eight bytes at a time, the last ones twice rather than one by one.
local function hash(s)
  local h = #s
  if h == 0 then return 0 end
  if h < 8 then
    h = (h ~ unpack(short[h], s)) * 0x9E3779B97F4A7C15
  else
    for i = 1, #s - 7, 8 do h = (h ~ unpack("<i8", s, i)) * 0x9E3779B97F4A7C15 end
    h = (h ~ unpack("<i8", s, -8)) * 0x9E3779B97F4A7C15
  end
  return (h ~ (h >> 29)) >> 16
end

local function number_of(k)
  local t = math.type(k)
  if t == "integer" then return hash(tostring(k)) end
  if t == "float" then
    if k ~= k then error("a key must not be NaN", 0) end
    return hash(tostring(math.tointeger(k) or k))
  end
  if type(k) == "string" then return hash(k) end
  if type(k) == "boolean" then return k and 1 or 0 end
  error(("a key must be a string, a number or a boolean, got %s"):format(type(k)), 0)
end

-- slots(n) -> function(key) -> 1..n; raises what cannot be a key
function key.slots(n)
  if n == 1 then
    return function(k)
      if type(k) ~= "string" then number_of(k) end
      return 1
    end
  end
  local known, remembered = {}, 0
  return function(k)
    local slot = known[k]
    if not slot then
      slot = number_of(k) % n + 1
      if remembered >= MOST_REMEMBERED then known, remembered = {}, 0 end
      known[k], remembered = slot, remembered + 1
    end
    return slot
  end
end

return key
