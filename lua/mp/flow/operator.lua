-- operator: what one stage does with its items, inside one worker.  Pure but
-- for what the script's functions do.
-- SPDX-License-Identifier: MIT
--
-- operator(stage, ctx, out) -> item, finish, flush, state
--   item(v)     takes an item; calls out(v) for each result; returns "enough"
--               when it needs no more
--   finish()    or nil: at the end of input
--   flush()     or nil: before each commit
--   state       of a fold: see there and in ledger

local weigh = require("mp.flow.ledger").weigh

local makers = {}

function makers.map(stage, ctx, out)
  local f, key = stage.spec.f, stage.key
  if not key then
    return function(v)
      local r = f(v, ctx)
      if r ~= nil then out(r) end
    end
  end
  return function(v)
    ctx.key = key(v)
    local r = f(v, ctx)
    if r ~= nil then out(r) end
  end
end

function makers.filter(stage, ctx, out)
  local pred = stage.spec.pred
  return function(v)
    if pred(v, ctx) then out(v) end
  end
end

function makers.stage(stage, ctx, out)
  local spec = stage.spec
  if spec.open then spec.open(ctx) end
  local item = makers.map({ spec = { f = spec.item }, key = stage.key }, ctx, out)
  return item, spec.close and function()
    local r = spec.close(ctx)
    if r ~= nil then out(r) end
  end
end

function makers.builtin(stage, ctx, out)
  local op = stage.spec.def.make(stage.spec.params, ctx, out, stage)
  if type(op) == "function" then return op end       -- a source's: takes a task
  return op.item, op.finish, op.flush
end

-- folds -------------------------------------------------------------------------
--
-- A fold's maker also gives its state, for the ledger; its `finish(gone, mark)`
-- sends the results of the keys behind the first `gone` ones, and calls
-- mark(number of keys gone) from time to time, for a commit.

local MARK_EVERY <const> = 256
local HEAVIEST <const> = 1000000

local function no_accumulator(label)
  error(("fold '%s': 'add' returned nothing; it returns the new accumulator"):format(label), 0)
end

-- Accumulators by key; remembers the order of keys and which have changed.
local function keyed_state(label)
  local self = { accs = {}, keys = {} }
  local accs, keys = self.accs, self.keys
  local dirty, changed, n = {}, {}, 0

  function self.put(k, acc)
    if acc == nil then no_accumulator(label) end
    if accs[k] == nil then keys[#keys + 1] = k end
    accs[k] = acc
    if not dirty[k] then
      dirty[k] = true
      n = n + 1
      changed[n] = k
    end
  end

  local function message_of(list, count)
    local message, weight = { n = 2 * count }, 0
    for i = 1, count do
      local k = list[i]
      local acc = accs[k]
      message[2 * i - 1], message[2 * i] = k, acc
      weight = weight + weigh(acc, HEAVIEST)
    end
    message.weight = weight
    return message
  end

  function self.changes()
    if n == 0 then return nil end
    local message = message_of(changed, n)
    dirty, changed, n = {}, {}, 0
    return message
  end

  function self.all() return message_of(keys, #keys) end

  function self.apply(message)
    for i = 1, message.n, 2 do self.put(message[i], message[i + 1]) end
    dirty, changed, n = {}, {}, 0
  end

  return self
end

local function keyed(stage, ctx, out)
  local fold, key = stage.spec, stage.key
  local init, add, merge = fold.init, fold.add, fold.merge
  local state = keyed_state(stage.label)
  local accs, keys, put = state.accs, state.keys, state.put

  local function item(v)
    local k = key(v)
    if k == nil then error(("the key '%s' is nil"):format(stage.key_name), 0) end
    local acc = accs[k]
    if acc == nil then acc = init(k) end
    put(k, add(acc, v))
  end

  local function batch(sums)
    for i = 1, sums.n, 2 do
      local k, more = sums[i], sums[i + 1]
      local acc = accs[k]
      put(k, acc == nil and more or merge(acc, more))
    end
  end

  local function finish(gone, mark)
    for i = gone + 1, #keys do
      local k = keys[i]
      ctx.key = k
      local r
      if fold.done then r = fold.done(k, accs[k]) else r = { k, accs[k] } end
      if r ~= nil then out(r) end
      if i % MARK_EVERY == 0 then mark(i) end
    end
    mark(#keys)
  end

  return stage.counts and batch or item, finish, nil, state
end

-- `partial`: one of several workers, whose accumulator goes on to be merged.
local function unkeyed(stage, out, fold, partial)
  local acc, seen, changed = fold.init(), false, false
  local add, merge = fold.add, fold.merge
  local state = {}

  function state.all()
    return { n = 0, acc = acc, seen = seen, weight = weigh(acc, HEAVIEST) }
  end

  function state.changes()
    if not changed then return nil end
    changed = false
    return state.all()
  end

  function state.apply(message) acc, seen = message.acc, message.seen end

  local function item(v)
    seen, changed = true, true
    acc = add(acc, v)
    if acc == nil then no_accumulator(stage.label) end
  end

  local at = stage.counts and 2 or 1      -- {key, acc} from an outlet, {acc} from a part
  local function batch(sum)
    if seen then acc = merge(acc, sum[at]) else acc = sum[at] end
    seen, changed = true, true
  end

  local function finish(gone, mark)
    if gone == 0 and partial then
      if seen then out({ acc }) end
    elseif gone == 0 then
      local r = acc
      if fold.done then r = fold.done(nil, acc) end
      if r ~= nil then out(r) end
    end
    mark(1)
  end

  return (stage.counts or stage.spec.kind == "merge") and batch or item, finish, nil, state
end

function makers.fold(stage, ctx, out)
  if stage.key then return keyed(stage, ctx, out) end
  return unkeyed(stage, out, stage.spec, false)
end

function makers.partial(stage, _, out)
  return unkeyed(stage, out, stage.spec.fold, true)
end

function makers.merge(stage, _, out)
  return unkeyed(stage, out, stage.spec.fold, false)
end

return function(stage, ctx, out)
  return makers[stage.spec.kind](stage, ctx, out)
end
