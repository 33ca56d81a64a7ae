-- Hello: the parent starts a child with an argument, goes on with its own work,
-- and joins it at the end.
local mp = require "mp"

local function hello(name)
  print("hello, " .. name)
end

local p = mp.Process { target = hello, args = { "world" } }
p:start()
print("the parent goes on")
p:join()
print("the child has ended with " .. p.exitcode)
