-- Own memory: what a child changes is its own; the parent's stays as it was.
-- What is to come back is returned, or put into a queue.
local mp = require "mp"

balance = 100

local p = mp.spawn(function()
  balance = balance + 50
  print("the child has " .. balance)
  return balance
end)
p:join()
print("the parent has " .. balance)
print("the child returned " .. p:result())
