-- plan/copy: a flow's graph as the planner changes it, and the stages that the
-- notation does not name.  Pure.
-- SPDX-License-Identifier: MIT
--
-- copy(graph) -> list of nodes with ins and outlets of their own, complete(nodes):
--   node    { id, spec, role, pool, key, options, ins, out, err, node = the checked one }
--   outlet  { kind = "to", to = node, op, options, link = the checked link }, or
--           "all", "any", "route" as check makes them
-- each(outlet, f) calls f for every "to" in an outlet.
--
-- A stage named (order) or (pass) hands items on as they are:
--   order   before several workers that read in order, and before what the
--           script itself reads: one place must put things in order
--   pass    the way into a branch of (a | b) that cannot itself read the link
--           that its branches share

local M = {}

local function each(outlet, f)
  if not outlet then return end
  if outlet.kind == "to" then return f(outlet) end
  for _, branch in ipairs(outlet) do each(branch, f) end
  each(outlet.other, f)
end
M.each = each

-- All ways out of a node, those of errors too.
function M.ways(node)
  local list = {}
  local function add(to) list[#list + 1] = to end
  each(node.out, add)
  each(node.err, add)
  return list
end

local function duplicate(outlet, of, from)
  if not outlet then return nil end
  if outlet.kind == "to" then
    local to = { kind = "to", to = of[outlet.to], from = from, op = outlet.op,
                 options = outlet.options, link = outlet }
    table.insert(to.to.ins, to)
    return to
  end
  local new = { kind = outlet.kind, labels = outlet.labels }
  for i, branch in ipairs(outlet) do new[i] = duplicate(branch, of, from) end
  new.other = duplicate(outlet.other, of, from)
  return new
end

-- It only hands on: no item is to blame for its deaths.
local function passing(self, like, what)
  local options = { cap = like.options.cap, chunk = like.options.chunk, restarts = 1000 }
  local node = { id = ("%s(%s)"):format(like.id, what), spec = { kind = "pass" }, role = "between",
                 options = options, ins = {}, hidden = true, node = like.node }
  table.insert(self, node)
  return node
end

local function joined(from, to, op)
  local link = { kind = "to", to = to, from = from, op = op, options = {} }
  table.insert(to.ins, link)
  return link
end

local function ordered(node)
  for _, link in ipairs(node.ins) do
    if link.op == "=>" then return true end
  end
  return false
end

local function several(node)
  local pool = node.pool
  return pool == "cpu" or type(pool) == "table" or (pool or 1) > 1
end

local function put_in_order(self, node)
  local def = node.spec.def
  local read_by_script = def and (def.owner or def.port)
  if not ordered(node) or node.key or not (several(node) or read_by_script) then return end
  local order = passing(self, node, "order")
  order.ins, node.ins = node.ins, {}
  for _, link in ipairs(order.ins) do link.to = order end
  order.out = joined(order, node, "->")
end

-- A branch of (a | b) as the one link that its workers read together.
local function shares(branch)
  local to = branch.kind == "to" and branch.to
  return to and #to.ins == 1 and not to.key and not (to.spec.def and (to.spec.def.owner or to.spec.def.port))
    and (to.spec.kind ~= "builtin" or not to.spec.def.gathers) and to.spec.kind ~= "fold"
end

-- Where items travel one by one, the branches of (a | b) read one link together.
-- (Trains are dealt out by who sends them, as every branch must see every train.)
local function share(self, node, outlet)
  if not outlet or outlet.kind == "to" then return end
  for _, branch in ipairs(outlet) do share(self, node, branch) end
  share(self, node, outlet.other)
  local tagged = false
  each(outlet, function(to) tagged = tagged or to.to.tagged end)
  if outlet.kind ~= "any" or tagged then return end
  outlet.shared = true
  for i, branch in ipairs(outlet) do
    if not shares(branch) then
      local pass = passing(self, node, "pass")
      pass.out = branch
      each(branch, function(to) to.from = pass end)
      outlet[i] = joined(node, pass, "->")
    end
  end
end

-- A node's ways in, in the order in which they were written: zip tells them apart.
local function in_order(node)
  local of = {}
  for _, link in ipairs(node.ins) do of[link.link] = link end
  for i, link in ipairs(node.node.ins) do node.ins[i] = of[link] end
end

function M.copy(graph)
  local self, of = {}, {}
  for i, node in ipairs(graph) do
    self[i] = { id = node.id, spec = node.spec, role = node.role, pool = node.pool, key = node.key,
                options = node.options, ins = {}, node = node }
    of[node] = self[i]
  end
  for i, node in ipairs(graph) do
    self[i].out = duplicate(node.out, of, self[i])
    self[i].err = duplicate(node.err, of, self[i])
  end
  for _, node in ipairs(self) do in_order(node) end
  return self
end

-- Adds what the notation does not name; nodes are marked (region.mark).
function M.complete(self)
  for i = 1, #self do
    share(self, self[i], self[i].out)
    put_in_order(self, self[i])
  end
end

return M
