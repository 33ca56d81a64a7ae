-- flow_combiner: what producers work out in advance changes no result, however
-- the items are cut into parts.
-- SPDX-License-Identifier: MIT

local combiner = require "mp.flow.combiner"
local gather = require "mp.flow.gather"
local operator = require "mp.flow.operator"
local ops = require "tests.flow_ops"
local slots = require("mp.flow.key").slots
local stage = require "mp.flow.stage"

local random = math.random

local function first(v) return v[1] end
local function itself(v) return v end

local function built_in(name, args, key)
  local def = gather[name]
  args.n = #args
  return { spec = { kind = "builtin", def = def, params = assert(def.arguments(args)) },
           key = key, key_name = "key", label = name }
end

local function folded(fold, key) return { spec = fold, key = key, key_name = "key", label = "sum" } end

-- The stage with n workers: put(v) and take(part, i) feed it, results() is what
-- each of them gave.
local function workers(at, n)
  local made, results = {}, {}
  for i = 1, n do
    results[i] = {}
    local function out(v) table.insert(results[i], v) end
    made[i] = operator({ spec = at.spec, id = at.label, key = at.key and { f = at.key, name = "key" } },
                       {}, out, at)
  end
  local slot = slots(n)
  return {
    put = function(v) made[n > 1 and slot(at.key(v)) or 1].item(v) end,
    take = function(part, i) made[i].partial(part) end,
    results = function()
      for _, op in ipairs(made) do
        if op.finish then op.finish(0, function() end) end
      end
      return results
    end,
  }
end

local function plainly(at, n, items)
  local stage_ = workers(at, n)
  for _, v in ipairs(items) do stage_.put(v) end
  return stage_.results()
end

-- The same by several producers, each of which takes what comes; they send at
-- random, and now and then one of them dies and another takes its place.
local function combined(at, n, items, producers)
  local stage_, made, sent = workers(at, n), {}, 0
  for i = 1, producers do made[i] = combiner(at, n) end
  local function send(c)
    local parts = c.take()
    for i = 1, n do
      if parts[i] then
        sent = sent + parts[i].items
        stage_.take(parts[i], i)
      end
    end
  end
  for _, v in ipairs(items) do
    local i = random(producers)
    made[i].add(v)
    if random(20) == 1 then send(made[i]) end
    if random(50) == 1 then
      send(made[i])
      made[i] = combiner(at, n)
    end
  end
  for _, c in ipairs(made) do send(c) end
  assert.equal(#items, sent)
  return stage_.results()
end

local function rows(n)
  local list = {}
  for i = 1, n do
    list[i] = { ({ random(15), "k" .. random(9), random(2) == 1 })[random(3)], random(30), i }
  end
  return list
end

local function mixed(n)
  local list = {}
  for i = 1, n do
    local x = random(20)
    list[i] = ({ x, "w" .. x, "w" .. x, { x } })[random(4)]
  end
  return list
end

local function words(n)
  local list = mixed(n)
  for i, v in ipairs(list) do list[i] = "w" .. tostring(type(v) == "table" and v[1] or v) end
  return list
end

local lists = stage.fold {
  init = function() return {} end,
  add = function(acc, v)
    acc[#acc + 1] = v[3]
    return acc
  end,
  merge = function(a, b) return table.move(b, 1, #b, #a + 1, a) end,
}

local function length(v) return type(v) == "table" and "table" or #tostring(v) end

-- name, stage, items, most links
local kinds = {
  { "count", folded(gather.count.fold), mixed, 1 },
  { "count by key", folded(gather.count.fold, length), mixed, 4 },
  { "count of words by key", folded(gather.count.fold, itself), words, 4 },
  { "a fold", folded(lists), rows, 1 },
  { "a fold by key", folded(lists, first), rows, 4 },
  { "top", built_in("top", { 4 }), rows, 1 },
  { "a long top", built_in("top", { 200, function(v) return v[2] % 3 end }), rows, 1 },
  { "distinct", built_in("distinct", {}), mixed, 1 },
  { "distinct by key", built_in("distinct", {}, first), rows, 4 },
}

describe("a combiner changes nothing", function()
  for _, kind in ipairs(kinds) do
    local name, at, items, most = table.unpack(kind)
    it("in " .. name, function()
      for seed = 1, 15 do
        math.randomseed(seed)
        local list, n = items(random(0, 1500)), random(most)
        assert.same(plainly(at, n, list), combined(at, n, list, 1), "seed " .. seed)
      end
    end)
  end

  -- The order in which the items of several producers come is nobody's.
  local function in_order(results)
    for _, list in ipairs(results) do
      for _, v in ipairs(list) do
        if type(v[2]) == "table" then table.sort(v[2]) end
      end
      table.sort(list, function(a, b) return tostring(a[1]) < tostring(b[1]) end)
    end
    return results
  end

  local function by_number(list)
    for i, v in ipairs(list) do v[1] = i end
    return list
  end

  it("in sums and counts of several producers", function()
    for seed = 1, 10 do
      math.randomseed(seed)
      local n = random(3)
      for _, at in ipairs { folded(lists, first), folded(gather.count.fold, first) } do
        local list = rows(1000)
        assert.same(in_order(plainly(at, n, list)), in_order(combined(at, n, list, 4)), "seed " .. seed)
      end
    end
  end)

  it("in the best of several producers", function()
    for seed = 1, 10 do
      math.randomseed(seed)
      local at, list = built_in("top", { random(60) }), by_number(rows(1000))
      assert.same(plainly(at, 1, list), combined(at, 1, list, 4), "seed " .. seed)
    end
  end)

  it("in which keys of several producers are distinct", function()
    for seed = 1, 10 do
      math.randomseed(seed)
      local at, list, n = built_in("distinct", {}, first), rows(1000), random(3)
      local function keys(results)
        for _, found in ipairs(results) do
          for i, v in ipairs(found) do found[i] = { v[1] } end
        end
        return in_order(results)
      end
      assert.same(keys(plainly(at, n, list)), keys(combined(at, n, list, 4)), "seed " .. seed)
    end
  end)
end)

describe("a combiner", function()
  local function sent(c)
    local part = c.take()[1]
    return part and table.move(part, 1, part.n, 1, {}), part and part.items
  end

  it("is there for folds with merge, top and distinct", function()
    assert.is_nil(combiner(folded(stage.fold { add = function(a) return a end }), 1))
    assert.is_nil(combiner(built_in("sort", {}), 1))
    assert.is_nil(combiner({ spec = { kind = "map", f = print } }, 1))
    assert.is_truthy(combiner({ spec = { kind = "partial", fold = lists } }, 1))
  end)

  it("sends nothing where there was nothing", function()
    for _, kind in ipairs(kinds) do assert.same({}, combiner(kind[2], 1).take()) end
  end)

  it("sends a key once, in the order of first items", function()
    local c = combiner(folded(gather.count.fold, itself), 1)
    for _, v in ipairs { "b", "a", 7, "b", "c", 7, "b" } do c.add(v) end
    local tally, list = require("mp.core").tally(), {}
    tally:unpack(sent(c)[1])
    assert.equal(8, (tally:read(list)))
    assert.same({ "b", 3, "a", 1, 7, 2, "c", 1 }, list)
  end)

  it("tells when there is one more key to send", function()
    local c = combiner(folded(gather.count.fold, function(v) return type(v) == "table" and v[1] or v end), 1)
    local function more(...)
      local list = {}
      for i, v in ipairs { ... } do list[i] = c.add(v) end
      return list
    end
    assert.same({ 1, 1, 0, 0, 1 }, more("a", "b", "a", "b", 1))
    sent(c)
    assert.same({ 1, 0 }, more("a", "a"))
    assert.same({ 1, 1 }, more({ "a" }, { "b" }))
  end)

  it("sends no more than the best, and few that are worse than what was sent", function()
    local c = combiner(built_in("top", { 2 }), 1)
    for i = 1, 500 do c.add { "k", i } end
    local list, items = sent(c)
    assert.same({ { "k", 500 }, { "k", 499 } }, list)
    assert.equal(500, items)
    for i = 1, 400 do c.add { "k", i } end
    c.add { "k", 600 }
    assert.same({ { "k", 600 } }, sent(c))
    c.add { "k", 1 }
    list, items = sent(c)
    assert.same({}, list)
    assert.equal(1, items)
    c.forget()
    c.add { "k", 1 }
    assert.same({ { "k", 1 } }, sent(c))
  end)

  it("sends an item that is equal to another once, until it forgets", function()
    local c = combiner(built_in("distinct", {}), 1)
    assert.is_true(c.prompt)
    for _, v in ipairs { "a", "b", "a" } do c.add(v) end
    assert.same({ "a", "b" }, sent(c))
    c.add "b"
    c.add "c"
    assert.same({ "c" }, sent(c))
    c.forget()
    c.add "b"
    assert.same({ "b" }, sent(c))
  end)

  it("remembers a bounded number of them", function()
    local c = combiner(built_in("distinct", {}), 1)
    for i = 1, 100000 do c.add(i) end
    c.add(1)
    c.take()
    c.add(100001)
    c.add(1)
    assert.same({ 100001, 1 }, sent(c))
  end)

  it("says on which item a function raised", function()
    local function blames(item, message, c, ...)
      for _, v in ipairs { ... } do c.add(v) end
      assert.is_nil(c.blame())
      assert.has_error(function()
        c.add(item)
        c.take()
      end, message)
      assert.equal(item, c.blame())
    end
    local function short(v) return #v < 3 and v or nil end
    blames("long", "the key 'key' is nil", combiner(folded(gather.count.fold, short), 1), "a", "b")
    blames("long", "the key 'key' is nil", combiner(folded(lists, short), 2), "a")
    blames("long", "the key 'key' is nil", combiner(built_in("distinct", {}, short), 2), "a")
    blames(true, "a key must be a string, a number or a boolean, got table",
      combiner(folded(gather.count.fold, function(v) return v == true and {} or v end), 1), "a")
    blames("x", 'top: {key, n} expected, got "x" (top(n, by) takes a key function)',
      combiner(built_in("top", { 3 }), 1), { "a", 1 })
    local none = stage.fold { add = function(_, v) return v ~= "x" and v or nil end, merge = itself }
    blames("x", "fold 'sum': 'add' returned nothing; it returns the new accumulator",
      combiner(folded(none, itself), 1), "a")
  end)

  it("begins the sum of all without a key", function()
    local asked = {}
    local fold = stage.fold {
      init = function(...)
        table.insert(asked, select("#", ...))
        return 0
      end,
      add = function(a, v) return a + v end, merge = function(a, b) return a + b end,
    }
    local c = combiner(folded(fold), 1)
    c.add(1)
    c.add(2)
    assert.same({ 0, 3 }, sent(c))
    assert.same({ 0 }, asked)
  end)
end)

describe("an op takes parts", function()
  it("as it takes items, and keeps them", function()
    for _, name in ipairs { "top", "distinct" } do
      local run = ops.open(gather[name], name == "top" and { 2, itself } or {})
      run.op.partial { 3, 1, 3, 2, n = 4, items = 9 }
      local other = ops.open(gather[name], name == "top" and { 2, itself } or {})
      other.op.state.load(run.op.state.all())
      for _, r in ipairs { run, other } do
        r.op.item(3)
        r:finish()
      end
      assert.same(name == "top" and { 3, 3 } or { 3, 1, 2 }, run.results)
      assert.same(name == "top" and { 3, 3 } or {}, other.results)
    end
  end)
end)
