-- flow_timed: batch, window, rate, on a clock of their own; also zip's definition.
-- SPDX-License-Identifier: MIT

local builtin = require "mp.flow.builtin"
local ops = require "tests.flow_ops"
local timed = require "mp.flow.timed"

local items = ops.items

local function first(v) return v[1] end
local function parity(v) return v % 2 end

describe("batch", function()
  it("makes lists of so many items, and one of what is left", function()
    assert.same({ { 1, 2, 3 }, { 4, 5, 6 }, { 7 } }, ops.gives(timed.batch, { 3 }, items { 1, 2, 3, 4, 5, 6, 7 }))
    assert.same({ { 1, 2 } }, ops.gives(timed.batch, { 2 }, items { 1, 2 }))
    assert.same({}, ops.gives(timed.batch, { 2 }, {}))
  end)

  it("gives a list earlier when the time since its first item is over", function()
    local events = { { 1 }, { wait = 1 }, { 2 }, { wait = 0.5 }, { 3 }, { wait = 0.5 }, { 4 }, { wait = 9 }, { 5 } }
    assert.same({ { 1, 2, 3 }, { 4 }, { 5 } }, ops.gives(timed.batch, { 9, 2 }, events))
  end)

  it("wants to be called only while items wait", function()
    local run = ops.open(timed.batch, { 2, 5 })
    run.time = 100
    assert.is_nil(run.op.due)
    run:give { 1 }
    assert.equal(105, run.op.due)
    run:pass(3)
    run:give { 2 }
    assert.is_nil(run.op.due)
    run:give { 3 }
    assert.equal(108, run.op.due)
    run.op.tick()
    assert.equal(108, run.op.due)
    run:pass(5)
    assert.is_nil(run.op.due)
    assert.same({ { 1, 2 }, { 3 } }, run.results)
  end)

  it("makes a list per key, the one that is due first first", function()
    local options = { key = parity }
    assert.same({ { 1, 3 }, { 2, 4 }, { 5 } }, ops.gives(timed.batch, { 2 }, items { 1, 2, 3, 4, 5 }, options))
    local events = { { 2 }, { wait = 1 }, { 1 }, { wait = 1 }, { 3 }, { wait = 1 }, { 4 }, { wait = 1 }, { 6 } }
    assert.same({ { 2 }, { 1, 3 }, { 4, 6 } }, ops.gives(timed.batch, { 9, 3 }, events, options))
  end)

  it("says whose list it is by ctx.key", function()
    local run = ops.open(timed.batch, { 2, 5 }, { key = parity })
    local keys = {}
    run.out = function(self) table.insert(keys, self.ctx.key) end
    for i = 1, 5 do run:give { i } end
    run:pass(5)
    run:give { 8 }
    run:finish()
    assert.same({ 1, 0, 1, 0 }, keys)
  end)

  it("raises for an item without a key", function()
    local run = ops.open(timed.batch, { 2 }, { key = first })
    assert.has_error(function() run.op.item {} end, "the key 'key' is nil")
  end)

  it("goes on exactly where a killed worker stood", function()
    for _, args in ipairs { { 5 }, { 7, 4 }, { 40, 4 } } do
      for _, key in ipairs { false, function(v) return v[1] end } do
        for seed = 1, 12 do
          math.randomseed(seed)
          local events = {}
          for i = 1, math.random(0, 600) do
            events[i] = { { ({ "a", true, 3, false })[math.random(4)], i } }
            if math.random(4) == 1 then events[i] = { wait = math.random(3) } end
            if seed % 2 == 0 and math.random(90) == 1 then events[i] = { window = true } end
          end
          local options = { key = key or nil }
          local expected = ops.gives(timed.batch, args, events, options)
          for _, keep in ipairs { "changes", "all" } do
            assert.same(expected, ops.survives(timed.batch, args, events, math.random, keep, options),
              keep .. " seed " .. seed)
          end
        end
      end
    end
  end)

  it("goes on at the end of very many keys, too", function()
    local events = {}
    for i = 1, 700 do events[i] = { { i } } end
    local expected = ops.gives(timed.batch, { 2 }, events, { key = first })
    assert.equal(700, #expected)
    math.randomseed(1)
    assert.same(expected, ops.survives(timed.batch, { 2 }, events, math.random, "changes", { key = first }))
  end)

  it("takes over a state in the place of its own", function()
    assert.same({ { 8 } }, ops.replaced(timed.batch, { 9 }, { 1, 2 }, { 8 }))
    assert.same({ { 8 } }, ops.replaced(timed.batch, { 9 }, { 1, 2 }, { 8 }, { key = parity }))
  end)

  it("tells no more than what is new", function()
    local run = ops.open(timed.batch, { 10 })
    for i = 1, 4 do run.op.item(i) end
    assert.equal(5, select(2, run.op.state.changes()))
    assert.is_nil(run.op.state.changes())
    run.op.item(5)
    assert.equal(2, select(2, run.op.state.changes()))
    assert.equal(6, select(2, run.op.state.all()))
  end)
end)

describe("rate", function()
  -- When items pass that are there all the time, in seconds.
  local function times(args, n, options)
    local run = ops.open(timed.rate, args, options)
    local list = {}
    run.out = function(self) table.insert(list, self.time) end
    for i = 1, n do run:give { i } end
    return list, run
  end

  it("lets the first item pass at once and the others at even distances", function()
    assert.same({ 0, 0.25, 0.5, 0.75, 1 }, times({ 4 }, 5))
    assert.same({ 0, 2, 4 }, times({ 0.5 }, 3))
  end)

  it("makes up for lost time by no more than a tenth of a second's items", function()
    local list, run = times({ 40 }, 1)
    run:pass(60)
    for i = 1, 6 do run:give { i } end
    for i = 2, #list do list[i] = math.floor((list[i] - 60) * 1000 + 0.5) end
    assert.same({ 0, 0, 0, 0, 0, 25, 50 }, list)
  end)

  it("saves up nothing when it is slow", function()
    local list, run = times({ 8 }, 1)
    run:pass(60)
    for i = 1, 3 do run:give { i } end
    assert.same({ 0, 60, 60.125, 60.25 }, list)
  end)

  it("passes items on at once when it is stopping", function()
    local list = times({ 1 }, 6, { stops = 2.5 })
    assert.same({ 0, 1, 2, 2.5, 2.5 }, { table.unpack(list, 1, 5) })
  end)

  it("lets the worker commit before it waits", function() assert.is_true(timed.rate.paced) end)
end)

describe("arguments of timed stages", function()
  local function refused(name, args, message)
    args.n = args.n or #args
    local params, why = builtin[name].arguments(args)
    assert.is_nil(params)
    assert.equal(message, why)
  end

  it("are numbers of items and seconds", function()
    assert.same({ n = 3 }, builtin.batch.arguments { 3, n = 1 })
    assert.same({ n = 3, seconds = 0.5 }, builtin.batch.arguments { 3.0, 0.5, n = 2 })
    assert.same({ seconds = 60 }, builtin.window.arguments { 60, n = 1 })
    assert.same({ rate = 0.5 }, builtin.rate.arguments { 0.5, n = 1 })
    assert.same({}, builtin.zip.arguments { n = 0 })
  end)

  it("are refused with what is expected", function()
    local batch = "'batch' expects a number from 1 on, and perhaps a time: batch(100, 5s)"
    refused("batch", {}, batch)
    refused("batch", { 0 }, batch)
    refused("batch", { 1.5 }, batch)
    refused("batch", { "ten" }, batch)
    refused("batch", { 1, 2, 3 }, batch)
    refused("batch", { 1, 0 }, "'batch' expects a time of more than 0 seconds, got 0")
    refused("batch", { 1, "5s" }, "'batch' expects a time of more than 0 seconds, got 5s")
    refused("batch", { 1, { cap = 3 } }, "'batch' expects a time of more than 0 seconds, got {cap=3}")
    refused("batch", { 1, n = 2 }, "'batch' expects a time of more than 0 seconds, got nil")
    local window = "'window' expects a time of more than 0 seconds: window(10s)"
    refused("window", {}, window)
    refused("window", { -1 }, window)
    refused("window", { math.huge }, window)
    refused("window", { 1, 2 }, window)
    local rate = "'rate' expects items per second, more than 0: rate(10/s)"
    refused("rate", {}, rate)
    refused("rate", { 0 }, rate)
    refused("rate", { 0 / 0 }, rate)
    refused("rate", { "10" }, rate)
    refused("zip", { 1 }, "'zip' takes no arguments")
  end)
end)
