-- option: the options of stages and links, their values and their defaults.
-- SPDX-License-Identifier: MIT
--
-- option.read(name, value) -> value | nil, message, hint.  A value is what the
-- grammar read ({ kind, value, unit, text }) or a plain Lua value.  Pure.

local suggest = require "mp.flow.suggest"

local option = {}

local scale = { K = 1024, M = 1024 ^ 2, G = 1024 ^ 3 }

-- A literal as a Lua value, for arguments: 4K is 4096, 5s is 5, 10% is 0.1.
local factor = { ms = 0.001, s = 1, m = 60, h = 3600, ["%"] = 0.01, ["/s"] = 1 }

function option.plain(v)
  if v.kind == "name" then return v.text end
  local by = v.unit and (scale[v.unit] or factor[v.unit]) or 1
  if by == 1 then return v.value end
  return math.tointeger(v.value * by) or v.value * by
end

local function count(least)
  return function(v)
    if v.unit and not scale[v.unit] then return nil end
    local n = type(v.value) == "number" and math.tointeger(option.plain(v))
    return n and n >= least and n or nil
  end, least == 0 and "a whole number" or "a whole number from 1 on"
end

local function chunk(v)
  if v.text == "auto" then return "auto" end
  return (count(1))(v)
end

local kinds = {}
local function define(name, read, expects, default)
  kinds[name] = { read = read, expects = expects, default = default }
end

do
  local read, expects = count(1)
  define("cap", read, expects, 1024)
  define("chunk", chunk, expects .. ", or auto", "auto")
  read, expects = count(0)
  define("restarts", read, expects, 3)
end

-- Part of the notation, but not executed yet.
local later = { "full", "retry", "backoff", "timeout", "on_error", "replay", "per" }

local names = {}
for name in pairs(kinds) do names[#names + 1] = name end
for _, name in ipairs(later) do names[#names + 1] = name end
table.sort(names)
option.names = names

local function written(v)
  if v.text then return v.text .. (v.unit or "") end
  return tostring(v.value)
end

function option.read(name, value)
  local v = type(value) == "table" and value or { value = value, text = type(value) == "string" and value or nil }
  local kind = kinds[name]
  if not kind then
    for _, other in ipairs(later) do
      if other == name then
        return nil, ("the option '%s' is not available in this version"):format(name)
      end
    end
    return nil, ("no option '%s'"):format(tostring(name)), suggest.hint(tostring(name), names)
  end
  local got = kind.read(v)
  if got == nil then
    return nil, ("'%s' expects %s, not %s"):format(name, kind.expects, written(v)),
      v.text and name == "chunk" and suggest.hint(v.text, { "auto" }) or nil
  end
  return got
end

function option.default(name) return kinds[name].default end

return option
