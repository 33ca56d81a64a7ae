-- namespace: mp.Namespace: fields that processes share, by name.
--
-- A Namespace is a table with nothing in it but its Dict, at 1; fields are
-- strings, so they never meet. It travels as any table does, and its metatable
-- by name.
--
-- SPDX-License-Identifier: MIT

local core = require "mp.core"

local mp = core.mp

local Namespace = {}
local Closed = {}     -- what it is when it was closed here

local function fail(call, text, ...)
  error(("%s: %s"):format(call, text:format(...)), 3)
end

local function check(key)
  if type(key) ~= "string" then
    error(("Namespace: a field's name must be a string, got %s"):format(type(key)), 3)
  end
end

function Namespace.__index(ns, key)
  check(key)
  return rawget(ns, 1):get(key)
end

function Namespace.__newindex(ns, key, value)
  check(key)
  local ok, why = pcall(rawget(ns, 1).set, rawget(ns, 1), key, value)
  if not ok then error(tostring(why):gsub("^Dict:set", "Namespace"), 2) end
end

function Namespace.__pairs(ns)
  return rawget(ns, 1):items()
end

function Namespace.__eq(a, b)
  return rawget(a, 1) == rawget(b, 1)
end

-- Fields whose names begin with _ are not shown.
function Namespace.__tostring(ns)
  local shown = {}
  for key, value in pairs(ns) do
    if key:sub(1, 1) ~= "_" then
      local text = type(value) == "string" and ("%q"):format(value) or tostring(value)
      shown[#shown + 1] = key .. " = " .. text
    end
  end
  table.sort(shown)
  return ("Namespace(%s)"):format(table.concat(shown, ", "))
end

-- Gives up this process's part, as a Dict's does.
function Namespace.__close(ns)
  local _ <close> = rawget(ns, 1)
  setmetatable(ns, Closed)
end

local CLOSED = "Namespace: this Namespace is closed here"
function Closed.__index() error(CLOSED, 2) end
function Closed.__newindex() error(CLOSED, 2) end
function Closed.__pairs() error(CLOSED, 3) end
function Closed.__tostring() return "Namespace (closed here)" end
function Closed.__close() end

function mp.Namespace(fields)
  if fields ~= nil and type(fields) ~= "table" then
    fail("mp.Namespace", "expected a table, got %s", type(fields))
  end
  for key in next, fields or {} do
    if type(key) ~= "string" then
      fail("mp.Namespace", "a field's name must be a string, got %s", type(key))
    end
  end
  local ok, dict = pcall(mp.Dict, fields)
  if not ok then error(tostring(dict):gsub("^mp%.Dict", "mp.Namespace"), 2) end
  return setmetatable({ dict }, Namespace)
end

return Namespace
