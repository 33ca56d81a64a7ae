-- gather: built-in stages that have a state over their items: head, sort, top,
-- distinct, uniq, count.
-- SPDX-License-Identifier: MIT
--
-- An op's state is what a worker that takes a killed one's place must have:
--   all() -> message, weight              everything that counts
--   changes() -> message, weight | nil    what is new since the last of either
--   load(message), apply(message)         take such messages over; both return
--                                         "enough" where nothing more is needed
--   reset()                               as a new op, which has told nothing yet
-- weight is the number of items in a message.  An item that raises has changed
-- nothing.  `combine` names the combiner whose parts an op takes by partial(part).

local argument = require "mp.flow.argument"
local best = require "mp.flow.best"
local compare = require "mp.flow.compare"
local hand_on = require "mp.flow.hand_on"
local identity = require "mp.flow.identity"
local show = require "mp.flow.show"
local stage = require "mp.flow.stage"

local gather = {}

-- states ------------------------------------------------------------------------------

-- One small value, told when it is another one.
local function value_state(first, get, set)
  local told = first
  local state = {}

  function state.all()
    told = get()
    return { told }, 1
  end

  function state.changes()
    if get() == told then return nil end
    return state.all()
  end

  function state.load(message)
    told = message[1]
    return set(told)
  end
  state.apply = state.load

  function state.reset()
    told = first
    set(first)
  end

  return state
end

-- A list that only grows: list() -> list, n.  add(v) appends to it.
local function list_state(list, add, reset)
  local told = 0
  local state = {}

  local function message(from)
    local values, n = list()
    told = n
    return table.move(values, from, n, 1, { n = n - from + 1 }), n - from + 1
  end

  function state.all() return message(1) end

  function state.changes()
    local _, n = list()
    if n > told then return message(told + 1) end
  end

  function state.apply(given)
    for i = 1, given.n do add(given[i]) end
    local _, n = list()
    told = n
  end

  function state.reset()
    reset()
    told = 0
  end

  function state.load(given)
    state.reset()
    state.apply(given)
  end

  return state
end

-- head -----------------------------------------------------------------------------------

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
    local function enough() return left == 0 and "enough" or nil end
    local function set(n)
      left = n
      return enough()
    end
    return { item = function(v)
      if left > 0 then
        left = left - 1
        out(v)
      end
      return enough()
    end, state = value_state(params.n, function() return left end, set) }
  end,
}

-- sort, top --------------------------------------------------------------------------------

local function itself(v) return v end

local function key_function(list, at, name)
  local by = list[at]
  if by ~= nil and not stage.callable(by) then
    return nil, ("'%s' expects a key function, got %s"):format(name, type(by))
  end
  return by or itself
end

-- Items, and their keys in a list of their own: less memory than a table each.
local function make_sort(params, _, out)
  local by = params.by
  local items, keys, n, check

  local function reset() items, keys, n, check = {}, {}, 0, compare "sort" end
  reset()

  local function item(v)
    local k = check(by(v), v)
    n = n + 1
    items[n], keys[n] = v, k
  end

  local function before(i, j)
    local a, b = keys[i], keys[j]
    if a < b then return true end
    if b < a then return false end
    return i < j
  end

  local function finish(gone, mark)
    local order = {}
    for i = 1, n do order[i] = i end
    table.sort(order, before)
    for i = 1, n do order[i] = items[order[i]] end
    hand_on(order, n, out, gone, mark)
  end

  return { item = item, finish = finish,
           state = list_state(function() return items, n end, item, reset) }
end

gather.sort = {
  role = "between", pool = "one", gathers = true,
  arguments = function(list)
    if list.n > 1 then return nil, "'sort' takes one argument: a key function" end
    local by, err = key_function(list, 1, "sort")
    return by and { by = by }, err
  end,
  make = make_sort,
}

local function second(v)
  if type(v) ~= "table" or v[2] == nil then
    error(("top: {key, n} expected, got %s (top(n, by) takes a key function)"):format(show.item(v)), 0)
  end
  return v[2]
end

local function make_top(params, _, out)
  local b
  local function reset() b = best(params.n, params.by) end

  local function add(list)
    for i = 1, list.n do b.add(list[i]) end
  end

  local function apply(list)
    add(list)
    b.new()
  end

  local function finish(gone, mark)
    local list = b.list()
    hand_on(list, list.n, out, gone, mark)
  end

  local function changes()
    local list = b.new()
    if list.n > 0 then return list, list.n end
  end

  local function all()
    b.new()
    local list = b.list()
    return list, list.n
  end

  local function load(list)
    reset()
    apply(list)
  end

  reset()
  return { item = function(v) b.add(v) end, partial = add, finish = finish,
           state = { all = all, load = load, changes = changes, apply = apply, reset = reset } }
end

gather.top = {
  role = "between", pool = "one", gathers = true, combine = "best",
  arguments = function(list)
    local n = math.tointeger(list[1])
    if list.n < 1 or list.n > 2 or not n or n < 1 then
      return nil, "'top' expects a number from 1 on, and perhaps a key function: top(20)"
    end
    local by, err = key_function(list, 2, "top")
    return by and { n = n, by = list[2] and by or second }, err
  end,
  make = make_top,
}

-- distinct, uniq ------------------------------------------------------------------------------

gather.distinct = {
  role = "between", pool = "key", gathers = true, combine = "new",
  arguments = argument.nothing "distinct",
  make = function(_, _, out, at)
    local id, seen, keys, n = identity(at, "distinct"), {}, {}, 0

    local function add(k)
      n = n + 1
      seen[k], keys[n] = true, k
    end

    local function item(v)
      local k = id(v)
      if seen[k] then return end
      add(k)
      out(v)
    end

    local function partial(list)
      for i = 1, list.n do item(list[i]) end
    end

    local function reset() seen, keys, n = {}, {}, 0 end

    return { item = item, partial = partial,
             state = list_state(function() return keys, n end, add, reset) }
  end,
}

gather.uniq = {
  role = "between", pool = "one", gathers = true,
  arguments = argument.nothing "uniq",
  make = function(_, _, out, at)
    local id, last = identity(at, "uniq"), nil
    return { item = function(v)
      local k = id(v)
      if k ~= last then
        last = k
        out(v)
      end
    end, state = value_state(nil, function() return last end, function(k) last = k end) }
  end,
}

-- count ------------------------------------------------------------------------------------------

-- `counts`: the producers count their own batches.
local count = stage.fold {
  init = 0,
  add = function(n) return n + 1 end,
  merge = function(a, b) return a + b end,
}
count.counts = true

gather.count = { role = "between", pool = "any", gathers = true, arguments = argument.nothing "count", fold = count }

return gather
