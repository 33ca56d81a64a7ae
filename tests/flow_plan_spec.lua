-- flow_plan: which stages, workers and links a flow becomes.
-- SPDX-License-Identifier: MIT

local check = require "mp.flow.check"
local flow = require "mp.flow"
local grammar = require "mp.flow.grammar"
local plan = require "mp.flow.plan"

local stages = {
  f = function(x) return x end,
  key = function(x) return x end,
  sum = flow.fold { init = 0, add = function(a, b) return a + b end,
                    merge = function(a, b) return a + b end },
}

local function planned(text, cpus)
  local nodes, mistakes = check(grammar.parse(text), { stages = stages, globals = _G }, text)
  assert.same({}, mistakes)
  return plan(nodes, cpus or 2)
end

local function labels(list)
  local out = {}
  for i, stage in ipairs(list) do out[i] = stage.label .. "*" .. stage.workers end
  return table.concat(out, " ")
end

describe("a plan", function()
  it("gives each node its workers, `cpu` meaning what it is told", function()
    assert.equal("range*1 f*3 f#2*5 null*1", labels(planned("range(1, 2) -> f*3 -> f#2*cpu -> null", 5)))
  end)

  it("gives a keyed stage one link per worker, others one in all", function()
    local list = planned "range(1, 2)*2 -> f*3 -> f#2@key*4 -> collect"
    assert.same({ 1, 1, 4, 1 }, { list[1].links, list[2].links, list[3].links, list[4].links })
    assert.equal(256, list[3].cap)
    assert.is_true(list[4].owner)
  end)

  it("lets a worker lease no more than its share of a link", function()
    local list = planned "range(1, 2) -> f*8{cap=32} -> f#2{cap=1} -> f#3{chunk=7} -> null"
    assert.same({ 2, 1, 7 }, { list[2].limit, list[3].limit, list[4].limit })
  end)

  it("runs stateless built-ins inside their producers, unless they ask for more", function()
    local list = planned "lines('x')*2 -> words -> f -> words#2*3 -> split('a'){cap=2} -> null"
    assert.equal("lines*2 f*1 words#2*3 split*1 null*1", labels(list))
    assert.equal("words", list[1].inside[1].id)
    assert.equal("f", list[1].next.label)
  end)

  it("lets producers of count add up", function()
    local list = planned "range(1, 2)*3 -> count@key*2 -> collect"
    assert.is_truthy(list[2].counts)
    assert.equal(12, list[2].cap)
  end)

  it("merges the workers of a fold without a key in a stage of its own", function()
    local list = planned "range(1, 2) -> sum*4 -> words -> collect"
    assert.equal("range*1 sum*4 sum(merge)*1 collect*1", labels(list))
    assert.equal("words", list[3].inside[1].id)
    assert.equal(list[3], list[2].next)
    assert.equal(list[4], list[3].next)
  end)

  it("knows how many producers a stage has", function()
    local list = planned "range(1, 2) -> f; range#2(1, 2)*3 -> f; f -> sum*2 -> null"
    assert.equal("range*1 f*1 range#2*3 sum*2 sum(merge)*1 null*1", labels(list))
    assert.same({ 0, 2, 0, 1, 1, 1 }, { list[1].before, list[2].before, list[3].before,
                                        list[4].before, list[5].before, list[6].before })
  end)

  it("replaces only the workers of stages without a state, or with one that is kept", function()
    local list = planned "lines('x') -> f -> sum -> top(3) -> stdout; stdin -> null"
    local again = {}
    for i, stage in ipairs(list) do again[i] = stage.again and true or false end
    assert.same({ true, true, true, false, true, false, true }, again)
  end)
end)
