-- A room for four, ten visitors: a semaphore lets four in at a time.
local mp = require "mp"

local room, log = mp.Semaphore(4), mp.Queue()

local function visit()
  room:with(function()
    log:put(1)
    mp.sleep(0.05)
    log:put(-1)
  end)
end

local visitors = {}
for i = 1, 10 do visitors[i] = mp.spawn(visit) end
for _, p in ipairs(visitors) do p:join() end

log:close()
local inside, most, visits = 0, 0, 0
for step in log:items() do
  inside = inside + step
  most = math.max(most, inside)
  if step == 1 then visits = visits + 1 end
end
print(("%d visits, at most %d at a time"):format(visits, most))
