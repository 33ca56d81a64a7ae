-- flow_gather: built-in stages with a state over their items: what they give, and
-- that they give the same however often their worker dies.
-- SPDX-License-Identifier: MIT

local gather = require "mp.flow.gather"
local ops = require "tests.flow_ops"

local gives, items = ops.gives, ops.items

local function first(v) return v[1] end
local function field(name) return function(v) return v[name] end end

local function of(name, args, list, key)
  return gives(gather[name], args, items(list), { key = key })
end

local function failure(name, args, list, key)
  local fine, why = pcall(of, name, args, list, key)
  assert.is_false(fine)
  return why
end

describe("head", function()
  it("passes exactly so many", function()
    assert.same({ "a", "b" }, of("head", { 2 }, { "a", "b", "c", "d" }))
    assert.same({ "a" }, of("head", { 2 }, { "a" }))
  end)

  it("says that it has enough with the last one", function()
    local run = ops.open(gather.head, { 2 })
    assert.is_nil(run.op.item "a")
    assert.equal("enough", run.op.item "b")
    assert.equal("enough", run.op.item "c")
    assert.same({ "a", "b" }, run.results)
  end)

  it("says so too when a worker takes over that had enough", function()
    local run = ops.open(gather.head, { 1 })
    run.op.item "a"
    local all = run.op.state.all()
    run:make()
    assert.equal("enough", run.op.state.load(all))
  end)
end)

describe("sort", function()
  it("puts numbers and strings in order", function()
    assert.same({ -1, 2, 2.5, 10 }, of("sort", {}, { 10, 2.5, 2, -1 }))
    assert.same({ "10", "9", "a" }, of("sort", {}, { "a", "9", "10" }))
    assert.same({}, of("sort", {}, {}))
  end)

  it("leaves items with equal keys in the order of their arrival", function()
    local list, expected = {}, {}
    for i = 1, 500 do list[i] = { i % 3, i } end
    for k = 0, 2 do
      for i = 1, 500 do
        if i % 3 == k then expected[#expected + 1] = list[i] end
      end
    end
    assert.same(expected, of("sort", { first }, list))
  end)

  it("puts objects with an order of their own in order", function()
    local Date = {}
    Date.__lt = function(a, b) return a.day < b.day end
    local by = function(v) return setmetatable({ day = v[1] }, Date) end
    assert.same({ { 1, "b" }, { 2, "a" }, { 2, "c" } }, of("sort", { by }, { { 2, "a" }, { 1, "b" }, { 2, "c" } }))
  end)

  it("says which two it cannot compare, and which key is none", function()
    assert.equal('sort: cannot compare string "x" with number 3', failure("sort", {}, { 3, "x" }))
    assert.equal('sort: cannot compare number 3 with string "x"', failure("sort", {}, { "x", 3 }))
    assert.equal("sort: {1, 2} has no key to sort by", failure("sort", { field "x" }, { { 1, 2 } }))
    assert.equal("sort: {0} sorts by NaN, which has no place among numbers",
      failure("sort", { function() return 0 / 0 end }, { { 0 } }))
    assert.equal("sort: cannot sort by table {1, 2}: a key function gives a number or a string",
      failure("sort", {}, { { 1, 2 } }))
    assert.equal("sort: cannot sort by boolean true: a key function gives a number or a string",
      failure("sort", {}, { true }))
  end)

  it("goes on without an item that cannot be compared", function()
    local run = ops.open(gather.sort, {})
    for _, v in ipairs { 0 / 0, 3, "x", 1 } do pcall(run.op.item, v) end
    run:finish()
    assert.same({ 1, 3 }, run.results)
  end)
end)

describe("top", function()
  it("gives the greatest, ties in the order of their keys", function()
    local list = { { "d", 1 }, { "c", 7 }, { "a", 7 }, { "b", 9 }, { "e", 7 } }
    assert.same({ { "b", 9 }, { "a", 7 }, { "c", 7 } }, of("top", { 3 }, list))
    assert.same({ { "b", 9 }, { "a", 7 }, { "c", 7 }, { "e", 7 }, { "d", 1 } }, of("top", { 9 }, list))
  end)

  it("puts keys of several types in order: numbers, strings, and others as they came", function()
    local list = { { true, 1 }, { "9", 1 }, { 10, 1 }, { "1a", 1 }, { false, 1 }, { 9, 1 } }
    assert.same({ { 9, 1 }, { 10, 1 }, { "1a", 1 }, { "9", 1 }, { true, 1 }, { false, 1 } }, of("top", { 9 }, list))
  end)

  it("takes a key function, and what is no table for its own key", function()
    assert.same({ "ccc", "aa", "bb" }, of("top", { 3, function(s) return #s end }, { "x", "bb", "aa", "ccc" }))
  end)

  it("says what has no number, and which two it cannot compare", function()
    assert.equal('top: {key, n} expected, got "x" (top(n, by) takes a key function)', failure("top", { 1 }, { "x" }))
    assert.equal('top: {key, n} expected, got {1} (top(n, by) takes a key function)', failure("top", { 1 }, { { 1 } }))
    assert.equal('top: cannot compare string "x" with number 3', failure("top", { 1 }, { { 1, 3 }, { 1, "x" } }))
    assert.equal("top: {1} sorts by NaN, which has no place among numbers",
      failure("top", { 1, function() return 0 / 0 end }, { { 1 } }))
  end)

  it("holds a bounded number of items", function()
    local run = ops.open(gather.top, { 10, function(v) return v.n end })
    local held = setmetatable({}, { __mode = "k" })
    for i = 1, 2000 do
      local v = { n = i }
      held[v] = true
      run.op.item(v)
    end
    collectgarbage()
    local n = 0
    for _ in pairs(held) do n = n + 1 end
    assert.is_true(n <= 2 * (2 * 10 + 64), n)
    assert.equal(10, run.op.state.all().n)
  end)
end)

describe("distinct and uniq", function()
  it("drop all repetitions, and equal neighbours", function()
    assert.same({ 1, 2, 3 }, of("distinct", {}, { 1, 2, 1, 1, 3, 2 }))
    assert.same({ 1, 2, 1, 3, 2 }, of("uniq", {}, { 1, 2, 1, 1, 3, 2, 2 }))
  end)

  it("compare keys where they have one", function()
    local list = { { "a", 1 }, { "a", 2 }, { "b", 3 }, { "a", 4 } }
    assert.same({ { "a", 1 }, { "b", 3 } }, of("distinct", {}, list, first))
    assert.same({ { "a", 1 }, { "b", 3 }, { "a", 4 } }, of("uniq", {}, list, first))
  end)

  it("compare tables by what is in them", function()
    local list = { { 1, { x = "a", y = { 2 } } }, { 1.0, { y = { 2.0 }, x = "a" } }, { 1, { x = "a", y = { 3 } } } }
    assert.same({ list[1], list[3] }, of("distinct", {}, list))
    assert.same({ list[1], list[3] }, of("uniq", {}, list))
  end)

  it("take different things for different ones", function()
    local list = { 1, "1", true, "true", { 1 }, { "1" }, { true }, { "a", "b" }, { 'a",2="b' }, { 0.1 + 0.2 }, { 0.3 },
                   0.1 + 0.2, 0.3, "", {}, false, { {} }, { n = 1 }, "\0", "\0s\0" }
    assert.same(list, of("distinct", {}, list))
    assert.same(list, of("uniq", {}, list))
  end)

  it("take a text that looks like a table's for a text", function()
    local identity = require "mp.flow.identity"({}, "distinct")
    local id = identity { 1, "x" }
    assert.same({ { 1, "x" }, id }, of("distinct", {}, { { 1, "x" }, id, id }))
  end)

  it("take numbers that are equal, and NaNs, for the same", function()
    assert.same({ 1, 0 }, of("distinct", {}, { 1, 1.0, 0, -0.0 }))
    assert.equal(1, #of("distinct", {}, { 0 / 0, -(0 / 0), 0 / 0 }))
    assert.equal(1, #of("uniq", {}, { 0 / 0, 0 / 0 }))
  end)

  it("say what they cannot compare", function()
    local list = { print }
    assert.equal("distinct: cannot tell whether a function is the same as another; distinct@key compares keys",
      failure("distinct", {}, list))
    assert.equal("uniq: cannot tell whether a function is the same as another; uniq@key compares keys",
      failure("uniq", {}, { { list } }))
    local deep = {}
    deep[1] = deep
    local run = ops.open(gather.distinct, {})
    assert.has_error(function() run.op.item(deep) end, "distinct: a table is nested too deeply")
    assert.equal("the key 'key' is nil", failure("distinct", {}, { {} }, first))
    assert.equal("a key must be a string, a number or a boolean, got table", failure("uniq", {}, { { {} } }, first))
    assert.equal("a key must not be NaN", failure("uniq", {}, { { 0 / 0 } }, first))
  end)
end)

describe("count", function()
  it("is a fold whose parts can be put together", function()
    local fold = gather.count.fold
    assert.equal("fold", fold.kind)
    assert.is_true(fold.counts)
    assert.equal(5, fold.merge(fold.add(fold.add(fold.init(), "x"), "y"), 3))
  end)
end)

describe("a worker's death costs nothing", function()
  local random = math.random

  local function mixed(n, windows)
    local events = {}
    for i = 1, n do
      local v = random(12)
      events[i] = { ({ v, "s" .. v, { v, random(5) } })[random(3)] }
      if windows and random(40) == 1 then events[i] = { window = true } end
    end
    return events
  end

  local function pairs_of(n, windows)
    local events = {}
    for i = 1, n do
      events[i] = { { ({ random(9), "k" .. random(9) })[random(2)], random(40), i } }
      if windows and random(200) == 1 then events[i] = { window = true } end
    end
    return events
  end

  local function survives(what, name, args, make, key)
    for _, keep in ipairs { "changes", "all", "items" } do
      for _, windows in ipairs { false, true } do
        it(("to %s: its ledger holds %s%s"):format(what, keep, windows and ", in windows" or ""), function()
          for seed = 1, 6 do
            math.randomseed(seed)
            local events = make(random(0, 900), windows)
            local options = { key = key }
            assert.same(ops.gives(gather[name], args, events, options),
              ops.survives(gather[name], args, events, random, keep, options), "seed " .. seed)
          end
        end)
      end
    end
  end

  survives("head", "head", { 30 }, mixed)
  survives("sort", "sort", { field(2) }, pairs_of)
  survives("top", "top", { 5 }, pairs_of)
  survives("a long top", "top", { 400, field(3) }, pairs_of)
  survives("distinct", "distinct", {}, mixed)
  survives("distinct by key", "distinct", {}, pairs_of, first)
  survives("uniq", "uniq", {}, mixed)
  survives("uniq by key", "uniq", {}, pairs_of, first)

  it("as a state is taken over in the place of the op's own", function()
    assert.same({ 8, 9 }, ops.replaced(gather.sort, {}, { 1, 2 }, { 9, 8 }))
    assert.same({ "b" }, ops.replaced(gather.top, { 1, function(v) return v end }, { "x", "y" }, { "a", "b" }))
    local run = ops.open(gather.distinct, {})
    run.op.item "a"
    run.op.state.load(ops.open(gather.distinct, {}).op.state.all())
    run.op.item "a"
    assert.same({ "a", "a" }, run.results)
  end)

  it("and its changes are no more than what is new", function()
    local run = ops.open(gather.sort, {})
    local top = ops.open(gather.top, { 2, function(v) return v end })
    for i = 1, 100 do
      run.op.item(i)
      top.op.item(-i)
    end
    assert.equal(100, run.op.state.changes().n)
    assert.equal(2, top.op.state.changes().n)
    assert.is_nil(run.op.state.changes())
    run.op.item(7)
    top.op.item(-1000)
    assert.same({ 7, n = 1 }, run.op.state.changes())
    assert.is_nil(top.op.state.changes())
  end)
end)
