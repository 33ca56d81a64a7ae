-- One daemon and one ordinary child. Main ends at once: it waits for the child,
-- whose last line appears; the daemon is ended, its last line never does.
local mp = require "mp"

local began = mp.Queue()

local function talk(name, seconds)
  print(name .. " begins")
  began:put(name)
  mp.sleep(seconds)
  print(name .. " is done")
end

mp.Process { daemon = true, target = talk, args = { "the daemon", 60 } }:start()
mp.Process { target = talk, args = { "the child", 0.2 } }:start()
began:get()
began:get()
print("main ends")
