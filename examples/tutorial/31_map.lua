-- The maps: map and starmap give a list in the order of the items, imap_unordered
-- one result after the other as they come, also of an input without end.
local mp = require "mp"

local pool <close> = mp.Pool(4)

print("map:", table.concat(pool:map(string.upper, { "a", "b", "c" }), " "))
print("starmap:", table.concat(pool:starmap(math.max, { { 1, 2 }, { 9, 3 }, { 4, 5 } }), " "))

local function wait(n)
  mp.sleep(0.1 * n)
  return n
end
local order = {}
for n in pool:imap_unordered(wait, { 5, 1 }) do order[#order + 1] = n end
print("as they come:", table.concat(order, " "))

-- map would read the whole input first, and never return. imap reads it only so
-- far ahead, and the `for` takes back what nobody needs any more.
local n = 0
local function naturals()
  n = n + 1
  return n
end
for square in pool:imap(function(i) return i * i end, naturals) do
  if square > 1000 then
    print("the first above 1000:", square)
    break
  end
end
