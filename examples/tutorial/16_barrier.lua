-- Runners start together: nobody runs before all are at the line. If one dies at
-- the line, the barrier is broken, and the others do not wait for ever.
local mp = require "mp"

local function runner(line)
  print("at the line")
  local place, why = line:wait()
  print(place and "runs" or "does not run: " .. why)
end

local function race(line, n)
  local runners = {}
  for i = 1, n do runners[i] = mp.spawn(runner, line) end
  for _, p in ipairs(runners) do p:join() end
end

race(mp.Barrier(3), 3)

print "one dies"
local line = mp.Barrier(3)
local p = mp.spawn(function() line:wait() end)
while line.n_waiting < 1 do mp.sleep(0.01) end
p:kill()
p:join()
race(line, 2)
