-- files: the source of the paths that match patterns.
-- SPDX-License-Identifier: MIT

local core = require "mp.core"
local paths = require "mp.flow.source.paths"

local files = { role = "source", pool = "any" }

local MOST <const> = 64              -- paths in a task

function files.arguments(list)
  local patterns, err = paths.take("files", list)
  if not patterns then return nil, err end
  return { patterns = patterns }
end

-- Of each pattern, in their order, but each path once; folders are not files.
local function matching(patterns)
  local found, seen = {}, {}
  for _, pattern in ipairs(patterns) do
    local list, why = core.glob(pattern)
    if not list then return nil, ("files: cannot search for '%s': %s"):format(pattern, why) end
    for _, path in ipairs(list) do
      local about = not seen[path] and core.stat(path)
      seen[path] = true
      if about and about.kind ~= "directory" then found[#found + 1] = path end
    end
  end
  if #found == 0 then
    return nil, ("files: nothing matches '%s'"):format(table.concat(patterns, "' or '"))
  end
  return found
end

-- What is there is looked up once.
function files.ready(params)
  local found, why = matching(params.patterns)
  params.found = found
  return found and true, why
end

function files.tasks(params, workers)
  if not params.found then
    local fine, why = files.ready(params)
    if not fine then error(why, 0) end
  end
  local all, tasks = params.found, {}
  local size = math.max(1, math.min(MOST, #all // (4 * workers)))
  for from = 1, #all, size do
    tasks[#tasks + 1] = table.move(all, from, math.min(from + size - 1, #all), 1, {})
  end
  return tasks
end

function files.make(_, _, out)
  return function(task)
    for _, path in ipairs(task) do out(path) end
  end
end

return files
