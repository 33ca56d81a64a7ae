-- An error in a task: it is raised where the result is taken, with the traceback
-- of the worker and that of the caller. The other tasks go on.
local mp = require "mp"

local function half(n)
  if n % 2 == 1 then error(n .. " is odd") end
  return n // 2
end

local pool <close> = mp.Pool(2)
local results = {}
for n = 1, 3 do results[n] = pool:apply_async(half, { n }) end

print(xpcall(results[1].get, debug.traceback, results[1]))
print("the next one:", results[2]:get())

-- Without raising it: what it was, and where.
local e = results[3]:exception()
print(e.name, e.message, e.process ~= "main")

-- A map waits for all items, and raises the error of the first that failed. imap
-- raises each at its place, and goes on.
local it = pool:imap(half, { 2, 3, 4 })
print("imap:", (pcall(it)), (pcall(it)), (pcall(it)))
