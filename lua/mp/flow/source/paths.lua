-- paths: the files that a source is given.
-- SPDX-License-Identifier: MIT

local core = require "mp.core"
local suggest = require "mp.flow.suggest"

local paths = {}

local function names_of(known)
  local names = {}
  for name in pairs(known) do names[#names + 1] = name end
  table.sort(names)
  return names
end

-- paths.take(name, list, known) -> paths, options | nil, message
-- Arguments are paths, lists of paths, and tables with fields of `known`.
function paths.take(name, list, known)
  local taken, options = {}, {}
  for i = 1, list.n do
    local given = type(list[i]) == "table" and list[i] or { list[i] }
    for k, v in pairs(given) do
      if known and known[k] then
        options[k] = v
      elseif math.type(k) ~= "integer" then
        local hint = known and suggest.hint(tostring(k), names_of(known))
        return nil, ("'%s' has no option '%s'%s"):format(name, tostring(k), hint and " (" .. hint .. ")" or "")
      end
    end
    for _, path in ipairs(given) do
      if type(path) ~= "string" then
        return nil, ("'%s' expects paths, got %s"):format(name, type(path))
      end
      taken[#taken + 1] = path
    end
  end
  if #taken == 0 then return nil, ("'%s' expects at least one path"):format(name) end
  return taken, options
end

-- paths.size(name, path) -> size, or false for what has none (a pipe, a
-- terminal) | nil, message: it cannot be read.  Opening a pipe may take for ever, so
-- that is left to the worker.
function paths.size(name, path)
  local about, why = core.stat(path)
  if not about then return nil, ("%s: cannot open %s: %s"):format(name, path, why) end
  if about.kind == "directory" then
    return nil, ("%s: cannot read %s: it is a directory"):format(name, path)
  end
  if about.kind ~= "file" then return false end
  local file, err = io.open(path, "rb")
  if not file then return nil, ("%s: cannot open %s"):format(name, err) end
  file:close()
  return about.size
end

-- What a definition's `ready` is, for params.paths.
function paths.ready(name)
  return function(params)
    for _, path in ipairs(params.paths) do
      local size, why = paths.size(name, path)
      if size == nil then return nil, why end
    end
    return true
  end
end

local BLOCK <const> = 1 << 16

-- paths.place(path, offset) -> "path:line" of that byte; for what cannot be read
-- twice, "path, byte n".  Counted when it is asked for: marks are offsets.
function paths.place(path, offset)
  local about = core.stat(path)
  local file = about and about.kind == "file" and io.open(path, "rb")
  if not file then return ("%s, byte %d"):format(path, offset) end
  local line = 1
  while offset > 0 do
    local text = file:read(math.min(BLOCK, offset))
    if not text then break end
    line = line + select(2, text:gsub("\n", ""))
    offset = offset - #text
  end
  file:close()
  return ("%s:%d"):format(path, line)
end

return paths
