-- check: what a flow's notation means, or all that is wrong with it, before any
-- process starts.  Pure: it calls no stage; it evaluates arguments.
-- SPDX-License-Identifier: MIT
--
-- check(ast, env, text, broken) -> graph, mistakes, warnings
--   env       { stages = table to look names up in,
--               globals = environment of argument expressions,
--               defaults = { option = value }, set = { stage = { option = value } },
--               builtin = what stands for the built-in stages (for tests) }
--   broken    the notation had mistakes, so what is missing may be in them
--   graph     list of nodes, in order of appearance:
--             { id, name, args = { { text } … } | nil: as written in its brackets,
--               spec, role = "source" | "between" | "sink",
--               pool = nil | n | "cpu" | { low =, high = }, key = { name, f } | nil,
--               options, ins = { link … }, out = outlet | nil,
--               err = outlet | nil: where items go on which it failed,
--               tuned = true where options were given for it, pos, len,
--               next, before = its only way on, and its producers, in a chain }
--             Outlets are described in check/way.lua.  A node's options are
--             settled, without the defaults of the language.  Links have
--             options.full for themselves; all other options are the nodes'.
--   spec      { kind = "map", f } | { kind = "source", f } | what stage.lua makes
--             | { kind = "builtin", def, params, name } | { kind = "command", text }
--             | { kind = "broken" }, only beside a mistake
--   mistakes, warnings   lists of { pos, len, message, hint }, in order of place
-- check.unknown(set, graphs) -> messages about options of no stage

local builtin = require "mp.flow.builtin"
local graph = require "mp.flow.check.graph"
local order = require "mp.flow.check.order"
local rule = require "mp.flow.check.rule"
local setting = require "mp.flow.check.setting"

-- One check in progress:
--   nodes, by_id, macros           as found so far
--   fed, cut, lost                 sets of nodes, see check/graph.lua
--   routes                         groups with labels: { piece, at }
--   pool_at[node], place[options]  where something was said
local Check = {}
Check.__index = Check

function Check:mistake(at, message, hint)
  table.insert(self.mistakes, { pos = at.pos, len = at.len, message = message, hint = hint })
end

function Check:warning(at, message)
  table.insert(self.warnings, { pos = at.pos, len = at.len, message = message, level = "warning" })
end

local function new(env, text, broken)
  return setmetatable({
    env = env, text = text or "", partial = broken, builtin = env.builtin or builtin,
    nodes = {}, by_id = {}, macros = {}, fed = {}, cut = {}, lost = {}, pool_at = {}, place = {},
    routes = {},
    mistakes = {}, warnings = {},
  }, Check)
end

-- In a chain without groups: who reads it, and whom it reads.
local function in_a_row(node)
  node.next = node.out and node.out.kind == "to" and node.out.to or nil
  node.before = {}
  for i, link in ipairs(node.ins) do node.before[i] = link.from end
end

local function in_order(list)
  for i, m in ipairs(list) do m.order = i end
  table.sort(list, function(a, b)
    if a.pos ~= b.pos then return a.pos < b.pos end
    return a.order < b.order
  end)
  for _, m in ipairs(list) do m.order = nil end
  return list
end

local function check(_, ast, env, text, broken)
  local self = new(env, text, broken)
  graph.build(self, ast)
  if #ast == 0 and not broken then
    self:mistake({ pos = 1, len = 1 }, "the flow is empty")
  end
  for _, node in ipairs(self.nodes) do rule.role(self, node) end
  for _, node in ipairs(self.nodes) do
    in_a_row(node)
    if node.spec.kind ~= "broken" then setting.settle(self, node) end
  end
  for _, node in ipairs(self.nodes) do
    rule.labels(self, node)
    if not broken then order.check(self, node) end
    if node.spec.kind ~= "broken" then
      if not broken then rule.ends(self, node) end
      rule.workers(self, node)
    end
  end
  rule.singles(self)
  return self.nodes, in_order(self.mistakes), in_order(self.warnings)
end

return setmetatable({ unknown = setting.unknown }, { __call = check })
