-- Several at once: start all, then join all. Joining inside the starting loop
-- would run them one by one.
local mp = require "mp"

local function work() mp.sleep(0.1) end

local function seconds(f)
  local start = mp.time()
  f()
  return mp.time() - start
end

local together = seconds(function()
  local children = {}
  for i = 1, 5 do children[i] = mp.spawn(work) end
  for _, p in ipairs(children) do p:join() end
end)
local one_by_one = seconds(function()
  for _ = 1, 5 do mp.spawn(work):join() end
end)
print(("started, then joined: %.1f s"):format(together))
print(("joined in the loop:   %.1f s"):format(one_by_one))
