-- identity: by what two items are the same: their key, or all that is in them.
-- Pure.
-- SPDX-License-Identifier: MIT
--
-- identity(stage, name) -> function(v) -> a string, a number or a boolean, equal
-- for equal items only.  With stage.key it is the key, without one the content.

local slots = require("mp.flow.key").slots

local DEEPEST <const> = 100
local byte = string.byte

local function refuse(name, v)
  error(("%s: cannot tell whether a %s is the same as another; %s@key compares keys")
    :format(name, type(v), name), 0)
end

-- A value as a text that equal ones share, exact for floats.
local function content(name, v, depth)
  local t = type(v)
  if t == "string" then return ("%q"):format(v) end
  if t == "number" then return ("%q"):format(math.tointeger(v) or v) end
  if t == "boolean" then return tostring(v) end
  if t ~= "table" then refuse(name, v) end
  if depth > DEEPEST then error(name .. ": a table is nested too deeply", 0) end
  local parts = {}
  for k, x in next, v do
    parts[#parts + 1] = content(name, k, depth + 1) .. "=" .. content(name, x, depth + 1)
  end
  table.sort(parts)
  return "{" .. table.concat(parts, ",") .. "}"
end

-- What is no plain string begins with a zero, and so does a string that does.
local function by_content(name)
  return function(v)
    local t = type(v)
    if t == "string" then return byte(v) == 0 and "\0s" .. v or v end
    if t == "number" and v == v or t == "boolean" then return v end
    return "\0t" .. content(name, v, 0)
  end
end

local function by_key(key, key_name)
  local check = slots(1)
  return function(v)
    local k = key(v)
    if k == nil then error(("the key '%s' is nil"):format(key_name), 0) end
    if type(k) ~= "string" and math.type(k) ~= "integer" then check(k) end
    return k
  end
end

return function(stage, name)
  if stage.key then return by_key(stage.key, stage.key_name) end
  return by_content(name)
end
