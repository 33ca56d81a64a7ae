-- apply runs a function in a worker and waits for what it returns: one after
-- another, so a pool of four gains nothing. map has all four at work.
local mp = require "mp"

local function square(n)
  mp.sleep(0.1)
  return n * n
end

local function seconds(f)
  local start = mp.time()
  f()
  return mp.time() - start
end

local pool <close> = mp.Pool(4)
local one_by_one = seconds(function()
  for n = 1, 4 do print(n, pool:apply(square, { n })) end
end)
local together = seconds(function()
  print("map", table.concat(pool:map(square, { 1, 2, 3, 4 }), " "))
end)
print(("apply, four times: %.1f s"):format(one_by_one))
print(("map of four:       %.1f s"):format(together))
