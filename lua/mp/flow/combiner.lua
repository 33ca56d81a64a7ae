-- combiner: what producers work out for a stage before they send: sums per key,
-- the best items, the new ones.  Results are those of the items themselves, with
-- far less to send.  Pure but for what the script's functions do.
-- SPDX-License-Identifier: MIT
--
-- combiner(stage, n) -> c for a stage that reads n links, or nil where it has none
--   c.add(v) -> more     an item; it cannot be taken back. more: 1 if there is one more
--                        thing to send
--   c.take() -> parts    parts[i]: the message for link i, nil where no item was
--                        for it; then there are no items
--   c.forget()           what was sent counts no more: a window has ended
--   c.blame()            the item whose key or sum was being worked out, if add or
--                        take raised
--   c.tally              of a count with @key: the core.tally that it adds to
--   c.prompt             true where the stage passes items on before its input ends
-- A part has n fields and stands for `items` items; the stage's op takes it with
-- partial(part):
--   fold                 { key, acc, key, acc, … }, merged by key; 0 without @key
--   count                the same without @key; with it { what a core.tally packed }
--   top, distinct        { item, item, … }
-- A fold has a combiner if it has `merge`: merge(a, b) is then what adding b's items
-- to a gives, so `init` must be neutral.

local best = require "mp.flow.best"
local core = require "mp.core"
local identity = require "mp.flow.identity"
local slots = require("mp.flow.key").slots

local MOST_KNOWN <const> = 100000
local MOST_KEYS <const>, MOST_BYTES <const> = 250000, 64 << 20   -- whose way a count knows

-- parts by link, made when an item is for it
local function part_for(parts, at)
  local part = parts[at]
  if not part then
    part = { n = 0, items = 0 }
    parts[at] = part
  end
  part.items = part.items + 1
  return part
end

local function nothing() end

-- folds -------------------------------------------------------------------------------

local function key_of(stage)
  local key = stage.key
  if not key then return function() return 0 end end
  return function(v)
    local k = key(v)
    if k == nil then error(("the key '%s' is nil"):format(stage.key_name), 0) end
    return k
  end
end

-- Sums per key: step(acc, v, times, k) -> acc, where acc is nil at first.
local function sums(stage, n, step)
  local key, slot = key_of(stage), slots(n)
  local parts, part_of, place, working = {}, {}, {}, nil
  local self = { forget = nothing }

  function self.add(v, times)
    working = v
    local k = key(v)
    local part = part_of[k]
    if part then
      local i = place[k]
      part[i] = step(part[i], v, times, k)
      part.items, working = part.items + times, nil
      return 0
    else
      local at, acc = slot(k), step(nil, v, times, k)
      part = part_for(parts, at)
      part[part.n + 1], part[part.n + 2] = k, acc
      part.n, part.items = part.n + 2, part.items + times - 1
      part_of[k], place[k], working = part, part.n, nil
      return 1
    end
  end

  function self.take()
    local taken = parts
    parts, part_of, place = {}, {}, {}
    return taken
  end

  function self.blame() return working end
  return self
end

local function folding(stage, n, fold)
  local init, add, keyed = fold.init, fold.add, stage.key ~= nil
  local function step(acc, v, _, k)
    if acc == nil then
      if keyed then acc = init(k) else acc = init() end
    end
    acc = add(acc, v)
    if acc == nil then
      error(("fold '%s': 'add' returned nothing; it returns the new accumulator"):format(stage.label), 0)
    end
    return acc
  end
  local self = sums(stage, n, step)
  local sum = self.add
  function self.add(v) return sum(v, 1) end
  return self
end

local function counting_all()
  local items = 0
  return {
    add = function() items = items + 1 end,
    take = function()
      if items == 0 then return {} end
      local part = { 0, items, n = 2, items = items }
      items = 0
      return { part }
    end,
    forget = nothing, blame = nothing,
  }
end

-- Counted in C. (A table of Lua's takes strings faster, but keeps them all alive: with
-- many of them the collector costs more than is won.) The key of a value is worked out
-- once, so that a word count spends its time in the words; what is no string, number or
-- boolean has one each time.
local function counting(stage, n)
  if not stage.key then return counting_all() end
  local key, slot, tally, working = key_of(stage), slots(n), core.tally(n), nil
  local add, waiting = tally.add, 0

  local function aim(v)
    working = v
    local k = key(v)
    local at = slot(k)
    working = nil
    return at, k
  end

  local self = { tally = tally, forget = nothing, blame = function() return working end }

  function self.add(v)
    local k = add(tally, v)
    if not k then
      tally:pour(aim)              -- keys are in the order of their first items
      tally:into(aim(v))
      k = waiting + 1
    end
    local more = k - waiting
    waiting = k
    return more
  end

  function self.take()
    tally:pour(aim)
    local parts = {}
    for i = 1, n do
      local bytes, items = tally:pack(i)
      if bytes then parts[i] = { bytes, n = 1, items = items } end
    end
    if tally:size() > MOST_KEYS or tally:bytes() > MOST_BYTES then tally:clear() else tally:empty() end
    waiting = 0
    return parts
  end

  return self
end

-- items ---------------------------------------------------------------------------------

local by_name = {}

-- What has been sent is still known: a worse item than n of those is none of the
-- best, in whatever batch it comes.
function by_name.best(stage)
  local params = stage.spec.params
  local b, items, working
  local self = { blame = function() return working end }

  function self.add(v)
    working = v
    b.add(v)
    items, working = items + 1, nil
  end

  function self.take()
    if items == 0 then return {} end
    local part = b.new()
    part.items, items = items, 0
    return { part }
  end

  function self.forget() b, items = best(params.n, params.by), 0 end

  self.forget()
  return self
end

-- What this producer has not sent yet, as far as it remembers.
function by_name.new(stage, n)
  local id, slot = identity(stage, "distinct"), n > 1 and slots(n) or function() return 1 end
  local known, remembered, parts, working = {}, 0, {}, nil
  local self = { prompt = true, blame = function() return working end }

  function self.forget() known, remembered = {}, 0 end

  function self.add(v)
    working = v
    local k = id(v)
    local part = part_for(parts, slot(k))
    working = nil
    if known[k] then return end
    if remembered >= MOST_KNOWN then self.forget() end
    known[k], remembered = true, remembered + 1
    part.n = part.n + 1
    part[part.n] = v
    return 1
  end

  function self.take()
    local taken = parts
    parts = {}
    return taken
  end

  return self
end

return function(stage, n)
  local spec = stage.spec
  local fold = spec.kind == "partial" and spec.fold or spec.kind == "fold" and spec
  if fold then
    if not fold.merge then return nil end
    return (fold.counts and counting or folding)(stage, n, fold)
  end
  local make = spec.def and by_name[spec.def.combine]
  return make and make(stage, n)
end
