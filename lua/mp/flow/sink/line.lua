-- line: an item as text: a string as it is, a number as Lua writes it, a table as
-- JSON, with its names in order.
-- SPDX-License-Identifier: MIT

local core = require "mp.core"

-- line.of(name) -> function(item) -> text;  line.json(name): the same, all as JSON.
-- They raise "NAME: …" for what has no such form.
local line = {}

function line.json(name)
  local write = core.json_write
  return function(v)
    local text, why = write(v)
    if not text then error(name .. ": " .. why, 0) end
    return text
  end
end

function line.of(name)
  local json = line.json(name)
  return function(v)
    local kind = type(v)
    if kind == "string" then return v end
    if kind == "number" then return tostring(v) end
    return json(v)
  end
end

return line
