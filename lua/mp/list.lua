-- list: what mp.List has that compares values: sort, reverse, index, count,
-- remove. None of it holds anything while it compares: it looks, decides, and
-- changes the list if nobody has changed it since; else it begins again.
--
-- SPDX-License-Identifier: MIT

local core = require "mp.core"

local look, take, arrange = core.list.look, core.list.take, core.list.arrange
local List = core.list.methods

local function fail(call, text, ...)
  error(("%s: %s"):format(call, text:format(...)), 3)
end

local function callable(f)
  local m = getmetatable(f)
  return type(f) == "function" or (type(m) == "table" and m.__call ~= nil)
end

-- What is read is a copy, so tables are equal when their contents are.
local function equal(a, b)
  if a == b then return true end
  if type(a) ~= "table" or type(b) ~= "table" then return false end
  for key, value in next, a do
    if not equal(value, rawget(b, key)) then return false end
  end
  for key in next, b do
    if rawget(a, key) == nil then return false end
  end
  return true
end

local function find(items, value, first)
  for i = first, #items do
    if equal(items[i], value) then return i end
  end
end

-- index(value, [first = 1]) -> where it is, or nil
function List.index(l, value, first)
  if first ~= nil and math.type(first) ~= "integer" then
    fail("List:index", "the first index must be an integer, got %s", tostring(first))
  end
  local items = look(l, "List:index")
  return find(items, value, math.max(first or 1, 1))
end

function List.count(l, value)
  local items, n = look(l, "List:count"), 0
  for i = 1, #items do
    if equal(items[i], value) then n = n + 1 end
  end
  return n
end

-- remove(value) -> true, the first that is equal removed; false if none is
function List.remove(l, value)
  while true do
    local items, version = look(l, "List:remove")
    local i = find(items, value, 1)
    if not i then return false end
    if take(l, version, i) then return true end
  end
end

-- order(items) -> a list of the indices in their new order
local function rearrange(l, call, order)
  local items, version
  repeat
    items, version = look(l, call)
  until arrange(l, version, order(items), call)
end

local function indices(n)
  local list = {}
  for i = 1, n do list[i] = i end
  return list
end

-- sort([less]): as table.sort, but stable
function List.sort(l, less)
  if less ~= nil and not callable(less) then
    fail("List:sort", "expected a function that compares two items, got %s", type(less))
  end
  less = less or function(a, b) return a < b end
  rearrange(l, "List:sort", function(items)
    local order = indices(#items)
    table.sort(order, function(i, k)
      local a, b = items[i], items[k]
      return less(a, b) or (i < k and not less(b, a))
    end)
    return order
  end)
end

function List.reverse(l)
  rearrange(l, "List:reverse", function(items)
    local order, n = {}, #items
    for i = 1, n do order[i] = n + 1 - i end
    return order
  end)
end

return List
