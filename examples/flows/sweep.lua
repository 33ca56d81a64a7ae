-- sweep: a computation at each point of a grid, on all processors.
--   mprun examples/flows/sweep.lua [POINTS]
-- A weight on a spring with a damper: which pair of them comes to rest soonest?
-- On a terminal a bar shows how far it is, and how long it will still take.

points = tonumber(arg[1]) or 40                        -- in each direction

flow[[ range(0, points * points - 1) -> settle*cpu -> top(5, quickest) -> report -> stdout ]]

function settle(i)
  local spring, damper = 1 + i // points, 0.2 * (1 + i % points)
  local x, v, at, dt = 1.0, 0.0, 0.0, 0.0005
  for step = 1, 40000 do
    v = v - (spring * x + damper * v) * dt
    x = x + v * dt
    if math.abs(x) > 0.02 then at = step * dt end      -- not at rest until here
  end
  return { spring = spring, damper = damper, seconds = at }
end

function quickest(result) return -result.seconds end   -- top takes the largest

function report(r)
  return ("spring %3d  damper %4.1f  at rest after %5.2f s"):format(r.spring, r.damper, r.seconds)
end
