-- A traffic light and cars: the cars wait for the event, all go when it is set.
local mp = require "mp"

local green, arrived = mp.Event(), mp.Queue()

local function car(i)
  print(("car %d waits"):format(i))
  arrived:put(i)
  green:wait()
  print(("car %d drives"):format(i))
end

local cars = {}
for i = 1, 3 do cars[i] = mp.spawn(car, i) end
for _ = 1, 3 do arrived:get() end
print("green")
green:set()
for _, p in ipairs(cars) do p:join() end
