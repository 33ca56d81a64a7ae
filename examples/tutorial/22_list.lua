-- A child sends a list to its parent: the parent has a copy of its own.
local mp = require "mp"

local q = mp.Queue()
local p = mp.spawn(function()
  q:put { 42, "hello", { nested = true } }
end)
local list = q:get()
p:join()
print(list[1], list[2], list[3].nested)
