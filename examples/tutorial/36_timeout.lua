-- Two timeouts: get(seconds) stops waiting, and the task goes on; the task's own
-- ends it, with its worker. And a task that is no longer wanted is cancelled.
local mp = require "mp"

local pool <close> = mp.Pool(2)

local function slow(seconds)
  mp.sleep(seconds)
  return "done"
end

local r = pool:apply_async(slow, { 0.5 })
print("get(0.1):", r:get(0.1))
print("get():", r:get())

local f = pool:submit_with({ timeout = 0.1 }, slow, 60)
local e = f:exception()
print(e.name)
print(e.message)

-- An endless loop ends, too.
print("a loop:", pool:submit_with({ timeout = 0.1 }, function() while true do end end):exception().name)

f = pool:submit(slow, 60)
while not f:running() do mp.sleep(0.01) end
print("cancel:", f:cancel())        -- too late: it has begun
print("by force:", f:cancel(true))  -- its worker is ended, and replaced
