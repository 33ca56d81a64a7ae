-- A daemon ends with the script that started it, and may not have children.
local mp = require "mp"

local ticks = mp.Queue()
mp.Process { daemon = true, target = function()
  local ok, why = pcall(mp.spawn, print, "never")
  print(ok, why)
  for i = 1, math.huge do
    ticks:put(i)
    mp.sleep(0.05)
  end
end }:start()

for _ = 1, 3 do print("tick " .. ticks:get()) end
print("main ends, and the daemon with it")
