-- check: arguments that several calls of pools take. level is where the error
-- is to point, as error has it.
--
-- SPDX-License-Identifier: MIT

local M = {}

function M.fail(level, call, text, ...)
  error(("%s: %s"):format(call, text:format(...)), level + 1)
end

function M.is_callable(f)
  local m = getmetatable(f)
  return type(f) == "function" or (type(m) == "table" and m.__call ~= nil)
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
