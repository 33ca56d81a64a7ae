-- range: the source of the whole numbers from one to another.
-- SPDX-License-Identifier: MIT

local range = { role = "source", pool = "any" }

local MOST_TASKS <const>, MOST <const> = 65536, 256

function range.arguments(list)
  local a, b = math.tointeger(list[1]), math.tointeger(list[2])
  if list.n ~= 2 or not a or not b then
    return nil, "'range' expects two whole numbers: range(from, to)"
  end
  return { from = a, to = b }
end

function range.tasks(params, workers)
  local n = params.to - params.from + 1
  local size = math.max(1, math.min(MOST, n // (4 * workers)), n // MOST_TASKS)
  local tasks = {}
  for from = params.from, params.to, size do
    tasks[#tasks + 1] = { from = from, to = math.min(from + size - 1, params.to) }
  end
  return tasks
end

function range.make(_, _, out)
  return function(task)
    for i = task.from, task.to do out(i) end
  end
end

return range
