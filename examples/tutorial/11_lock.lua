-- Three processes print a line at their start and one at their end: mixed up
-- without a lock, in pairs with one.
local mp = require "mp"

local function work(i)
  print(("process %d starts"):format(i))
  mp.sleep(0.05)
  print(("process %d ends"):format(i))
end

local function run(f)
  local children = {}
  for i = 1, 3 do children[i] = mp.spawn(f, i) end
  for _, p in ipairs(children) do p:join() end
end

print("without a lock")
run(work)

print("with a lock")
local lock = mp.Lock()
run(function(i) lock:with(work, i) end)
