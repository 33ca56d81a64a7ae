-- A process is killed while it holds a lock: the next one gets the lock, and is
-- told that what it protects may be half done.
local mp = require "mp"

local lock, held = mp.Lock(), mp.Event()
local p = mp.spawn(function()
  lock:acquire()
  held:set()
  mp.sleep(60)
end)
held:wait()
print("held by " .. lock.owner_name)
p:kill()
print("acquire:", lock:acquire())
lock:release()
print("acquire:", lock:acquire())
lock:release()
