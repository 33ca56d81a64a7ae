-- check: arguments that several calls of pools take. level is where the error
-- is to point at the least, as error has it: our own frames are passed over.
--
-- SPDX-License-Identifier: MIT

local M = {}

local function is_ours(level)
  local info = debug.getinfo(level + 1, "S")
  return info and (info.what == "C" or info.short_src:find "^mp/")
end

-- The level, for the caller, of the first frame from this one that is not ours.
local function outside(level)
  level = level + 1
  while is_ours(level) do level = level + 1 end
  return level - 1
end

function M.fail(level, call, text, ...)
  error(("%s: %s"):format(call, text:format(...)), outside(level + 1))
end

-- A value cannot travel: what the codec says of it, as an error of this call. It
-- counts what we sent with it, too: the first `before` are ours.
function M.unsent(e, call, before)
  local text = tostring(e):gsub("^mp/[^:]*:%d+: ", ""):gsub("^[%w_.:]+: ", call .. ": ")
  return (text:gsub("at argument (%d+)(,? ?)", function(n, comma)
    n = tonumber(n) - before
    if n > 0 then return "at argument " .. n .. comma end
    return comma == "" and "at the function" or "at "
  end))
end

-- The same of a map's items, which were sent behind three of ours: the first-th
-- by itself, or a list of them.
function M.unsent_item(e, call, first, alone)
  local text = M.unsent(e, call, 3)
  if alone then return (text:gsub("at argument 1", "at item " .. first)) end
  return (text:gsub("at argument 1%[(%d+)%]", function(i)
    return "at item " .. first - 1 + tonumber(i)
  end))
end

function M.is_callable(f)
  if type(f) == "function" then return true end
  local m = getmetatable(f)
  return type(m) == "table" and m.__call ~= nil
end

function M.callable(f, call, level)
  if not M.is_callable(f) then
    M.fail(level, call, "expected a function, got %s", type(f))
  end
end

function M.optional_callable(f, call, what, level)
  if f ~= nil and not M.is_callable(f) then
    M.fail(level, call, "%s must be a function, got %s", what, type(f))
  end
end

function M.timeout(t, call, level)
  if t == nil then return end
  if type(t) ~= "number" then
    M.fail(level, call, "the timeout must be a number of seconds, got %s", type(t))
  elseif t < 0 or t ~= t then
    M.fail(level, call, "the timeout must not be negative, nor NaN")
  end
end

-- An integer from least, or nil.
function M.count(n, least, call, what, level)
  if n ~= nil and (math.type(n) ~= "integer" or n < least) then
    if math.type(n) == "float" and n >= least and n == math.floor(n) then return n // 1 | 0 end
    M.fail(level, call, "%s must be an integer from %d, got %s", what, least,
           type(n) == "number" and tostring(n) or type(n))
  end
  return n
end

function M.list(t, call, what, level)
  if type(t) ~= "table" then
    M.fail(level, call, "%s must be a list, got %s", what, type(t))
  end
  return t.n or #t
end

return M
