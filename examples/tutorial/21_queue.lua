-- A queue of three: what happens when it is full, and when it is empty.
local mp = require "mp"

local q = mp.Queue(3)
print("empty:", q:empty())
for i = 1, 3 do q:put("item " .. i) end
print("full:", q:full(), q:qsize())
print("put_nowait:", q:put_nowait("item 4"))
print("put for 0.1 s:", q:put("item 4", 0.1))
for _ = 1, 3 do print("get:", (q:get())) end
print("get_nowait:", q:get_nowait())
print("get for 0.1 s:", q:get(0.1))
