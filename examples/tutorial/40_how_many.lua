-- How many workers? For work that computes, as many as there are processors; for
-- work that waits (for a disk, a server, a person), as many as may wait at once.
local mp = require "mp"

local function compute()
  local x = 0
  for i = 1, 1000000 do x = x + i % 7 end
  return x
end

local function wait() mp.sleep(0.02) end

local function measure(workers, f)
  local pool <close> = mp.Pool(workers)
  local start = mp.time()
  local results = {}
  for i = 1, 8 do results[i] = pool:apply_async(f) end
  for _, r in ipairs(results) do r:get() end
  return mp.time() - start
end

print(mp.cpu_count() .. " processors")
print("workers", "compute", "wait")
for _, workers in ipairs { 1, 2, 4, 8 } do
  print(workers, ("%.3f s"):format(measure(workers, compute)),
        ("%.3f s"):format(measure(workers, wait)))
end
