-- A pot that cooks fill and guests empty: each waits, holding the pot's lock,
-- until it is his turn, and tells the others what he changed.
local mp = require "mp"

local SIZE, MEALS, GUESTS = 3, 12, 4
local pot = mp.Queue()          -- the portions in it
local kitchen = mp.Condition()

local function cook()
  for _ = 1, MEALS // SIZE do
    kitchen:with(function()
      kitchen:wait_for(function() return pot:empty() end)
      for i = 1, SIZE do pot:put(i) end
      kitchen:notify_all()
    end)
  end
end

local function guest()
  for _ = 1, MEALS // GUESTS do
    kitchen:with(function()
      kitchen:wait_for(function() return not pot:empty() end)
      pot:get()
      if pot:empty() then kitchen:notify_all() end
    end)
  end
  return MEALS // GUESTS
end

local c, guests, eaten = mp.spawn(cook), {}, 0
for i = 1, GUESTS do guests[i] = mp.spawn(guest) end
for _, p in ipairs(guests) do eaten = eaten + p:result() end
c:join()
print(("%d guests have eaten %d meals from a pot of %d"):format(GUESTS, eaten, SIZE))
