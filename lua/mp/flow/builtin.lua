-- builtin: the stages that need not be written, and what each may do.
-- SPDX-License-Identifier: MIT
--
-- builtin[name] = {
--   role      "source" | "between" | "sink"
--   arguments function(list) -> params | nil, message
--   make      function(params, ctx, out, key) -> item, finish
--   pool      "any": any number of workers; "one": a single one;
--             "key": several only with @key, as each has a state of its own
--   again     true where a worker that died can be replaced: it has no state
--   inside    true where it may run inside its producer's workers
--   whole     true where a text of many lines gives what its lines give
--   owner     true where the owner of the run does it, without a process
--   fold      what it does, where it is a fold
-- }
-- `finish` runs at the end of input; `make` may return `"enough"` from item:
-- the stage needs no more.

local source = require "mp.flow.source"
local stage = require "mp.flow.stage"

local builtin = { lines = source.lines, range = source.range, stdin = source.stdin }

local function nothing(name)
  return function(list)
    if list.n > 0 then return nil, ("'%s' takes no arguments"):format(name) end
    return {}
  end
end

local function text_only(name, v)
  if type(v) == "string" then return v end
  if type(v) == "number" then return tostring(v) end
  error(("%s: a string expected, got %s"):format(name, type(v)), 0)
end

-- texts ------------------------------------------------------------------------

-- A word is a run of letters, digits and `_`; bytes beyond ASCII are letters.
builtin.words = {
  role = "between", pool = "any", again = true, inside = true, whole = true,
  arguments = nothing "words",
  make = function(_, _, out)
    local gmatch = string.gmatch
    return function(v)
      for w in gmatch(text_only("words", v), "[%w_\x80-\xFF]+") do out(w) end
    end
  end,
}

builtin.split = {
  role = "between", pool = "any", again = true, inside = true,
  arguments = function(list)
    local sep = list[1]
    if list.n ~= 1 or type(sep) ~= "string" or sep == "" then
      return nil, "'split' expects a separator: split(\",\")"
    end
    return { sep = sep }
  end,
  make = function(params, _, out)
    local sep = params.sep
    return function(v)
      local text, at = text_only("split", v), 1
      while true do
        local from, to = text:find(sep, at, true)
        if not from then break end
        out(text:sub(at, from - 1))
        at = to + 1
      end
      out(text:sub(at))
    end
  end,
}

-- order and choice -------------------------------------------------------------

builtin.head = {
  role = "between", pool = "one",
  arguments = function(list)
    local n = math.tointeger(list[1])
    if list.n ~= 1 or not n or n < 1 then
      return nil, "'head' expects a number from 1 on: head(10)"
    end
    return { n = n }
  end,
  make = function(params, _, out)
    local left = params.n
    return function(v)
      if left > 0 then
        left = left - 1
        out(v)
      end
      return left == 0 and "enough" or nil
    end
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

builtin.sort = {
  role = "between", pool = "one",
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
    return function(v)
      n = n + 1
      rows[n] = { by(v), n, v }
    end, function()
      table.sort(rows, before)
      for i = 1, n do out(rows[i][3]) end
    end
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

builtin.top = {
  role = "between", pool = "one",
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
    return function(v)
      n, arrived = n + 1, arrived + 1
      rows[n] = { by(v), arrived, v, type(v) == "table" and v[1] or nil }
      if n >= 2 * params.n + 64 then cut() end
    end, function()
      cut()
      for i = 1, n do out(rows[i][3]) end
    end
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

builtin.distinct = {
  role = "between", pool = "key",
  arguments = nothing "distinct",
  make = function(_, _, out, key)
    local seen, id = {}, identical(key)
    return function(v)
      local k = id(v)
      if not seen[k] then
        seen[k] = true
        out(v)
      end
    end
  end,
}

builtin.uniq = {
  role = "between", pool = "key",
  arguments = nothing "uniq",
  make = function(_, _, out, key)
    local last, id = nil, identical(key)
    return function(v)
      local k = id(v)
      if k ~= last then
        last = k
        out(v)
      end
    end
  end,
}

-- `counts`: the producers count their own batches.
local count = stage.fold {
  init = 0,
  add = function(n) return n + 1 end,
  merge = function(a, b) return a + b end,
}
count.counts = true

builtin.count = { role = "between", pool = "any", arguments = nothing "count", fold = count }

-- sinks ------------------------------------------------------------------------

local function encoder()
  local ok, cjson = pcall(require, "cjson")
  if not ok then
    error("stdout: a table is written as JSON, which needs the module 'cjson' (lua-cjson)", 0)
  end
  return cjson.encode
end

local function line_of()
  local encode
  return function(v)
    if type(v) ~= "table" then return tostring(v) end
    encode = encode or encoder()
    return encode(v)
  end
end

local function unwritable(why)
  error("cannot write to standard output: " .. why, 0)
end

builtin.stdout = {
  role = "sink", pool = "any", again = true, prints = true,
  arguments = nothing "stdout",
  make = function()
    local text, out = line_of(), io.stdout
    out:setvbuf "full"
    return function(v)
      local ok, err = out:write(text(v), "\n")
      if not ok then unwritable(err) end
    end, nil, function()
      local ok, err = out:flush()
      if not ok then unwritable(err) end
    end
  end,
}

builtin.null = {
  role = "sink", pool = "any", again = true,
  arguments = nothing "null",
  make = function() return function() end end,
}

builtin.collect = {
  role = "sink", pool = "one", owner = true,
  arguments = nothing "collect",
}

return builtin
