-- check: arguments that several calls of pools take. What is wrong is raised
-- at the script's line, however deep in here that is found.
--
-- SPDX-License-Identifier: MIT

local M = {}

-- "script.lua:7: ", the line of the script that called one of our modules.
local function place()
  local level = 2
  while true do
    local info = debug.getinfo(level, "Sl")
    if not info then return "" end
    if info.currentline > 0 and info.source:sub(1, 4) ~= "=mp/" then
      return ("%s:%d: "):format(info.short_src, info.currentline)
    end
    level = level + 1
  end
end

function M.fail(call, text, ...)
  error(("%s%s: %s"):format(place(), call, text:format(...)), 0)
end

-- The text of an error that the runtime raised in our call, without where that
-- was, as it knows it, and who was called.
local function bare(e, call)
  local text = tostring(e)
  local _, last = text:find(call .. ": ", 1, true)
  if last then return text:sub(last + 1) end
  return (text:gsub("^mp/[^:]*:%d+: ", ""):gsub("^Dict: ", ""))
end

-- A value cannot travel: what the codec says of it, as an error of this call. It
-- counts what we sent with it, too: the first `before` are ours.
function M.unsent(e, call, before)
  local text = bare(e, call):gsub("%(at argument (%d+)(,? ?)", function(n, comma)
    n = tonumber(n) - before
    if n > 0 then return ("(at argument %d%s"):format(n, comma) end
    return comma == "" and "(at the function" or "(at "
  end)
  return ("%s%s: %s"):format(place(), call, text)
end

-- The same of a map's items, which were sent behind three of ours: the first-th
-- by itself, or a list of them.
function M.unsent_item(e, call, first, alone)
  local text = M.unsent(e, call, 3)
  if alone then return (text:gsub("%(at argument 1", "(at item " .. first)) end
  return (text:gsub("%(at argument 1%[(%d+)%]", function(i)
    return "(at item " .. first - 1 + tonumber(i)
  end))
end

function M.is_callable(f)
  if type(f) == "function" then return true end
  local m = getmetatable(f)
  return type(m) == "table" and m.__call ~= nil
end

function M.callable(f, call)
  if not M.is_callable(f) then
    M.fail(call, "expected a function, got %s", type(f))
  end
end

function M.optional_callable(f, call, what)
  if f ~= nil and not M.is_callable(f) then
    M.fail(call, "%s must be a function, got %s", what, type(f))
  end
end

function M.timeout(t, call)
  if t == nil then return end
  if type(t) ~= "number" then
    M.fail(call, "the timeout must be a number of seconds, got %s", type(t))
  elseif t < 0 or t ~= t then
    M.fail(call, "the timeout must not be negative, nor NaN")
  end
end

-- An integer from least, or nil.
function M.count(n, least, call, what)
  if n ~= nil and (math.type(n) ~= "integer" or n < least) then
    if math.type(n) == "float" and n >= least and n == math.floor(n) then return n // 1 | 0 end
    M.fail(call, "%s must be an integer from %d, got %s", what, least,
           type(n) == "number" and tostring(n) or type(n))
  end
  return n
end

-- How many elements it has: its n, where it has one.
function M.list(t, call, what)
  if type(t) ~= "table" then
    M.fail(call, "%s must be a list, got %s", what, type(t))
  end
  local given = rawget(t, "n")
  if given == nil then
    -- With keys alone it is an object's or keyword arguments: all would be passed over.
    if #t == 0 and next(t) ~= nil and not getmetatable(t) then
      M.fail(call, "%s has keys but no item 1; it must be a list", what)
    end
    return #t
  end
  local n = type(given) == "number" and math.tointeger(given)
  if not n or n < 0 then
    M.fail(call, "%s: its n must be a count, got %s", what,
           type(given) == "number" and tostring(given) or type(given))
  end
  return n
end

local MOST = 65535

-- A list of arguments: it, and how many; nil: none.
function M.arguments(t, call, what)
  if t == nil then return {}, 0 end
  local n = M.list(t, call, what)
  if n > MOST then M.fail(call, "%s: %d arguments are too many", what, n) end
  return t, n
end

return M
