-- The consumer of 24_end_of_work.lua that nobody tells that nothing more comes:
-- it would wait for ever; it is reported instead, and mprun ends with status 3.
-- exits: 3
local mp = require "mp"

local q = mp.Queue()
mp.spawn(function()
  for i = 1, 3 do q:put(i) end
end)
local consumer = mp.spawn(function()
  while true do print((q:get())) end
end)
consumer:join()
