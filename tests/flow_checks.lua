-- flow_checks: what the specs of flow checks share: a script's stages, built-in
-- stages that do nothing, and short forms of what check gives.
-- SPDX-License-Identifier: MIT

local check = require "mp.flow.check"
local flow = require "mp.flow"
local grammar = require "mp.flow.grammar"
local place = require "mp.flow.place"
local way = require "mp.flow.check.way"

local checks = {}

checks.stages = {
  fetch = function(x) return x end,
  parse = function(x) return x end,
  path = function(x) return x.path end,
  bytes = flow.fold { init = 0, add = function(sum) return sum end },
  total = flow.fold { init = 0, add = function(s) return s end, merge = function(a) return a end },
  look = flow.stage { item = function(x) return x end, timeout = "5s", cap = 16 },
  gen = flow.source(function() end),
  big = flow.filter(function() return true end),
  number = 3,
}
for name in ("abcdefgh"):gmatch "." do checks.stages[name] = function(x) return x end end

-- Built-in stages of which nothing but the place in a flow matters.
checks.builtin = {}
for name, def in pairs(require "mp.flow.builtin") do checks.builtin[name] = def end

local function fake(name, role, more)
  local def = { role = role, pool = "any",
                arguments = function(list) return { path = list[1] } end }
  for k, v in pairs(more or {}) do def[k] = v end
  checks.builtin[name] = def
  return def
end

fake("in", "source", { port = true, pool = "one" })
fake("out", "sink", { port = true, pool = "one" })
fake("append", "sink")
fake("tee", "between")
for _, name in ipairs { "csv", "jsonl" } do
  checks.builtin[name] = { either = true, source = fake(name, "source"), sink = fake(name, "sink") }
end

-- What check gives for a text of which the notation is right.
function checks.check(text, env)
  env = env or {}
  env.stages = env.stages or checks.stages
  env.globals = env.globals or setmetatable({}, { __index = _G })
  env.builtin = env.builtin or checks.builtin
  local ast, wrong = grammar.parse(text)
  if wrong[1] then error(("%s: %s"):format(text, wrong[1].message), 2) end
  return check(ast, env, text, false)
end

-- Mistakes as they are printed for a file p.lua that is just this text.
function checks.printed(text, mistakes)
  local where = { file = "p.lua", source = text, offset = 0, line = 1 }
  local list = {}
  for i, m in ipairs(mistakes) do list[i] = place.format(where, m) end
  return table.concat(list, "\n")
end

function checks.complaints(text, env)
  local _, mistakes = checks.check(text, env)
  return checks.printed(text, mistakes)
end

-- Only the messages, for what needs no picture.
function checks.messages(text, env)
  local _, mistakes = checks.check(text, env)
  for i, m in ipairs(mistakes) do mistakes[i] = m.message .. (m.hint and " | " .. m.hint or "") end
  return mistakes
end

-- A graph in words: each node that has a way out, with its ways.
function checks.ways(graph)
  local list = {}
  for _, node in ipairs(graph) do
    local line = node.id
    if node.out then line = line .. " " .. way.links(node.out)[1].op .. " " .. way.text(node.out) end
    if node.err then line = line .. " !> " .. way.text(node.err) end
    if node.out or node.err then list[#list + 1] = line end
  end
  return table.concat(list, "; ")
end

-- Raises what is not right about a graph that has no mistakes.
function checks.validate(graph)
  local places = {}                    -- link -> how often it stands in an outlet
  for _, node in ipairs(graph) do
    for _, field in ipairs { "out", "err" } do
      way.each(node[field], function(o)
        if o.kind == "to" then
          places[o] = (places[o] or 0) + 1
          assert(o.from == node, "a link from another node")
          assert((o.op == "!>") == (field == "err"), "a link in the wrong outlet")
        elseif o.kind == "route" then
          assert(#o + (o.other and 1 or 0) > 0 and #o.labels == #o, "labels of a route")
        else
          assert((o.kind == "all" or o.kind == "any") and #o > 1, "a group of one")
        end
        assert(math.type(o.pos) == "integer" and o.len >= 1, "an outlet without a place")
      end)
    end
  end
  local total = 0
  for _, node in ipairs(graph) do
    local has_out, has_in = node.out ~= nil, #node.ins > 0
    assert(has_in == (node.role ~= "source"), node.id .. ": ways in and its role")
    assert(has_out == (node.role ~= "sink"), node.id .. ": ways out and its role")
    assert(node.spec.kind ~= "broken" and node.spec.kind ~= "either", node.id .. ": its spec")
    assert(not (node.err and node.role == "source"), node.id .. ": errors of a source")
    assert(type(node.options) == "table", node.id .. ": its options")
    for _, link in ipairs(node.ins) do
      assert(link.to == node and places[link] == 1, node.id .. ": a link in no outlet, or in two")
      total = total + 1
    end
    assert(not node.next or not way.leads(node.next, node), node.id .. ": a loop")
  end
  for _ in pairs(places) do total = total - 1 end
  assert(total == 0, "a link that nobody reads")
end

return checks
