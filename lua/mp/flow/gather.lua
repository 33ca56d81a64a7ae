-- gather: built-in stages that have a state over their items: head, sort, top,
-- distinct, uniq, count.
-- SPDX-License-Identifier: MIT

local argument = require "mp.flow.argument"
local stage = require "mp.flow.stage"

local gather = {}

gather.head = {
  role = "between", pool = "one", gathers = true,
  arguments = function(list)
    local n = math.tointeger(list[1])
    if list.n ~= 1 or not n or n < 1 then
      return nil, "'head' expects a number from 1 on: head(10)"
    end
    return { n = n }
  end,
  make = function(params, _, out)
    local left = params.n
    return { item = function(v)
      if left > 0 then
        left = left - 1
        out(v)
      end
      return left == 0 and "enough" or nil
    end }
  end,
}

local function identity(v) return v end

local function key_function(list, at, name)
  local by = list[at]
  if by ~= nil and not stage.callable(by) then
    return nil, ("'%s' expects a key function, got %s"):format(name, type(by))
  end
  return by or identity
end

gather.sort = {
  role = "between", pool = "one", gathers = true,
  arguments = function(list)
    if list.n > 1 then return nil, "'sort' takes one argument: a key function" end
    local by, err = key_function(list, 1, "sort")
    return by and { by = by }, err
  end,
  make = function(params, _, out)
    local rows, n, by = {}, 0, params.by
    local function before(a, b)
      if a[1] == b[1] then return a[2] < b[2] end
      return a[1] < b[1]
    end
    return { item = function(v)
      n = n + 1
      rows[n] = { by(v), n, v }
    end, finish = function()
      table.sort(rows, before)
      for i = 1, n do out(rows[i][3]) end
    end }
  end,
}

local function second(v)
  if type(v) ~= "table" then
    error(("top: {key, n} expected, got %s (top(n, by) takes a key function)"):format(type(v)), 0)
  end
  return v[2]
end

-- Ties are in the order of keys, the first field of {key, n}; else of arrival.
local function tie(a, b)
  local x, y = a[4], b[4]
  if x == y then return a[2] < b[2] end
  if type(x) ~= type(y) or type(x) ~= "number" and type(x) ~= "string" then
    x, y = tostring(x), tostring(y)
    if x == y then return a[2] < b[2] end
  end
  return x < y
end

local function better(a, b)
  if a[1] == b[1] then return tie(a, b) end
  return a[1] > b[1]
end

gather.top = {
  role = "between", pool = "one", gathers = true,
  arguments = function(list)
    local n = math.tointeger(list[1])
    if list.n < 1 or list.n > 2 or not n or n < 1 then
      return nil, "'top' expects a number from 1 on, and perhaps a key function: top(20)"
    end
    local by, err = key_function(list, 2, "top")
    return by and { n = n, by = list[2] and by or second }, err
  end,
  make = function(params, _, out)
    local rows, n, arrived, by = {}, 0, 0, params.by
    local function cut()
      table.sort(rows, better)
      for i = n, params.n + 1, -1 do rows[i] = nil end
      n = math.min(n, params.n)
    end
    return { item = function(v)
      n, arrived = n + 1, arrived + 1
      rows[n] = { by(v), arrived, v, type(v) == "table" and v[1] or nil }
      if n >= 2 * params.n + 64 then cut() end
    end, finish = function()
      cut()
      for i = 1, n do out(rows[i][3]) end
    end }
  end,
}

-- A table as a string that equal tables share.
local function content(v, depth)
  if type(v) == "string" then return ("%q"):format(v) end
  if type(v) ~= "table" then return tostring(v) end
  if depth > 100 then error("distinct: a table is nested too deeply", 0) end
  local parts = {}
  for k, x in pairs(v) do
    parts[#parts + 1] = content(k, depth + 1) .. "=" .. content(x, depth + 1)
  end
  table.sort(parts)
  return "{" .. table.concat(parts, ",") .. "}"
end

local function identical(key)
  if key then return key end
  return function(v)
    if type(v) == "table" then return "\0" .. content(v, 0) end
    return v
  end
end

gather.distinct = {
  role = "between", pool = "key", gathers = true,
  arguments = argument.nothing "distinct",
  make = function(_, _, out, at)
    local seen, id = {}, identical(at.key)
    return { item = function(v)
      local k = id(v)
      if not seen[k] then
        seen[k] = true
        out(v)
      end
    end }
  end,
}

gather.uniq = {
  role = "between", pool = "key", gathers = true,
  arguments = argument.nothing "uniq",
  make = function(_, _, out, at)
    local last, id = nil, identical(at.key)
    return { item = function(v)
      local k = id(v)
      if k ~= last then
        last = k
        out(v)
      end
    end }
  end,
}

-- `counts`: the producers count their own batches.
local count = stage.fold {
  init = 0,
  add = function(n) return n + 1 end,
  merge = function(a, b) return a + b end,
}
count.counts = true

gather.count = { role = "between", pool = "any", gathers = true, arguments = argument.nothing "count", fold = count }

return gather
