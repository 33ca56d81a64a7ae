-- fold: the folds of a flow as operators: with a key, and without.  Pure but for
-- what the script's functions do.
-- SPDX-License-Identifier: MIT

local weigh = require("mp.flow.ledger").weigh

local core = require "mp.core"
local slots = require("mp.flow.key").slots

local fold = {}

local MARK_EVERY <const> = 256
local HEAVIEST <const> = 1000000

local function no_accumulator(label)
  error(("fold '%s': 'add' returned nothing; it returns the new accumulator"):format(label), 0)
end

-- Accumulators by key; remembers the order of keys and which have changed.
local function keyed_state(label)
  local self = { accs = {}, keys = {} }
  local dirty, changed, n = {}, {}, 0

  function self.put(k, acc)
    if acc == nil then no_accumulator(label) end
    local accs = self.accs
    if accs[k] == nil then table.insert(self.keys, k) end
    accs[k] = acc
    if not dirty[k] then
      dirty[k] = true
      n = n + 1
      changed[n] = k
    end
  end

  -- key, accumulator, …; nil when that is heavier than the limit
  local function message_of(list, count, limit)
    local message, weight, accs = { n = 2 * count }, 2 * count, self.accs
    for i = 1, count do
      local k = list[i]
      local acc = accs[k]
      message[2 * i - 1], message[2 * i] = k, acc
      if type(acc) == "table" then weight = weight + weigh(acc, limit - weight) end
      if weight > limit then return nil, true end
    end
    return message, weight
  end

  function self.changes(limit)
    if n == 0 then return nil end
    local message, weight = message_of(changed, n, limit)
    dirty, changed, n = {}, {}, 0
    return message, weight
  end

  function self.all()
    local message, weight = message_of(self.keys, #self.keys, math.maxinteger)
    dirty, changed, n = {}, {}, 0
    return message, weight
  end

  function self.apply(message)
    for i = 1, message.n, 2 do self.put(message[i], message[i + 1]) end
    dirty, changed, n = {}, {}, 0
  end

  function self.reset()
    self.accs, self.keys = {}, {}
    dirty, changed, n = {}, {}, 0
  end

  function self.load(message)
    self.reset()
    self.apply(message)
  end

  return self
end

function fold.keyed(node, ctx, out)
  local spec, key, name = node.spec, node.key.f, node.key.name
  local init, add, merge, done = spec.init, spec.add, spec.merge, spec.done
  local state = keyed_state(node.id)
  local put = state.put
  local op = { state = state, emits = out }

  function op.item(v)
    local k = key(v)
    if k == nil then error(("the key '%s' is nil"):format(name), 0) end
    local acc = state.accs[k]
    if acc == nil then acc = init(k) end
    put(k, add(acc, v))
  end

  function op.partial(sums)
    local accs = state.accs
    for i = 1, sums.n, 2 do
      local k, more = sums[i], sums[i + 1]
      local acc = accs[k]
      put(k, acc == nil and more or merge(acc, more))
    end
  end

  function op.finish(gone, mark)
    local keys, accs = state.keys, state.accs
    for i = gone + 1, #keys do
      local k = keys[i]
      ctx.key = k
      local r
      if done then r = done(k, accs[k]) else r = { k, accs[k] } end
      if r ~= nil then out(r) end
      if i % MARK_EVERY == 0 then mark(i) end
    end
    mark(#keys)
  end

  return op
end

-- count@key, in C.
function fold.counted(node, ctx, out)
  local key, name = node.key.f, node.key.name
  local tally, slot = core.tally(), slots(1)
  local state, op, entries = {}, { emits = out }, {}
  op.state = state

  function state.all()
    return { tally:pack() }, tally:size()
  end

  function state.load(message)
    tally:clear()
    if message[1] then tally:unpack(message[1]) end
  end

  function state.reset() tally:clear() end

  function op.item(v)
    local k = key(v)
    if k == nil then error(("the key '%s' is nil"):format(name), 0) end
    if not tally:add(k) then slot(k) end         -- raises what is wrong with it
  end

  function op.partial(part) tally:unpack(part[1]) end

  function op.finish(gone, mark)
    local from, n = gone + 1
    repeat
      n, from = tally:read(entries, from, MARK_EVERY)
      for i = 1, n or 0, 2 do
        ctx.key = entries[i]
        out({ entries[i], entries[i + 1] })
      end
      if from then mark(from - 1) end
    until not from
  end

  return op
end

-- `part`: one of several workers, whose accumulator goes on to be merged.
function fold.single(spec, label, out, part)
  local init, add, merge, done = spec.init, spec.add, spec.merge, spec.done
  local acc, seen, changed = init(), false, false
  local state, op = {}, { emits = out }
  op.state = state

  function state.all()
    changed = false
    return { acc = acc, seen = seen }, weigh(acc, HEAVIEST)
  end

  function state.changes(limit)
    if not changed then return nil end
    changed = false
    local weight = weigh(acc, limit + 1)
    if weight > limit then return nil, true end
    return { acc = acc, seen = seen }, weight
  end

  function state.load(message) acc, seen, changed = message.acc, message.seen, false end
  state.apply = state.load

  function state.reset() acc, seen, changed = init(), false, true end

  function op.item(v)
    seen, changed = true, true
    acc = add(acc, v)
    if acc == nil then no_accumulator(label) end
  end

  -- { acc } from a part of it, {key, acc} from a combiner
  function op.partial(sum)
    local more = sum[sum.n or 1]
    if seen then acc = merge(acc, more) else acc = more end
    seen, changed = true, true
  end

  function op.finish(gone, mark)
    if gone == 0 and part then
      if seen then out({ acc, n = 1 }) end
    elseif gone == 0 then
      local r = acc
      if done then r = done(nil, acc) end
      if r ~= nil then out(r) end
    end
    mark(1)
  end

  return op
end

return fold
