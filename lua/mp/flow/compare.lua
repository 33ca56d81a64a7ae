-- compare: whether values can be put in order, and what is wrong if not.  Pure.
-- SPDX-License-Identifier: MIT
--
-- compare(name) -> check, for the stage of that name.  check(k, item) returns k,
-- the sort key of item, or raises what is wrong with it: it must be a number, a
-- string, or an object with `__lt`, and of the same type as those before.

local show = require "mp.flow.show"

local function has_order(k)
  local t = type(k)
  if t == "number" or t == "string" then return true end
  local mt = getmetatable(k)
  return type(mt) == "table" and mt.__lt ~= nil
end

local function refuse(name, k, item, kind, first)
  local why
  if k == nil then
    why = ("%s has no key to sort by"):format(show.item(item))
  elseif k ~= k then
    why = ("%s sorts by NaN, which has no place among numbers"):format(show.item(item))
  elseif kind and type(k) ~= kind then
    why = ("cannot compare %s %s with %s %s"):format(type(k), show.item(k), kind, show.item(first))
  else
    why = ("cannot sort by %s %s: a key function gives a number or a string"):format(type(k), show.item(k))
  end
  error(name .. ": " .. why, 0)
end

return function(name)
  local kind, first
  return function(k, item)
    local t = type(k)
    if k ~= k or t ~= kind and (kind or not has_order(k)) or t == "table" and not has_order(k) then
      refuse(name, k, item, kind, first)
    end
    if not kind then kind, first = t, k end
    return k
  end
end
