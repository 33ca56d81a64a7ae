-- A timer runs a function later, in a process of its own; one that is cancelled
-- in time never does.
local mp = require "mp"

local late = mp.Timer(0.1, print, { "0.1 seconds later" })
local never = mp.Timer(60, print, { "this never appears" })
late:start()
never:start()
print("both have been started")
never:cancel()
never:join()
late:join()
print("done")
