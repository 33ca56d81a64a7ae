-- plan/fuse: which neighbours share their workers and skip the queue.  Pure.
-- SPDX-License-Identifier: MIT
--
-- fuse.heart(chain) -> the node that gives a chain its name
-- fuse(nodes, apart) -> list of chains { node, node, … }, in the nodes' order.
-- Neighbours on `->` share workers where nothing is lost by it:
--   - both were given the same pool, or
--   - one of them is light (built in, cheap, without a state) and was given no
--     pool: it takes the other's, or
--   - both have one worker, and not both are functions of the script: two such
--     functions may be heavy, and `a -> b` promises that they work side by side.
-- Nothing is joined to a stage whose options need a process of its own (retry,
-- timeout, …), whose link has options, whose errors go their own way, or which
-- gathers or writes a file: such a stage begins a chain, so that what it keeps is
-- what its own items did, whatever an item before had in work when a worker died.
-- `apart`: join nothing (--no-fuse).

-- Options that ask for a process, or for a link, of the stage's own.
local function own_options(node)
  local o, tuned = node.options, node.node and node.node.tuned
  return (o.retry or 0) > 0 or o.timeout or o.on_error == "skip" or o.full and o.full ~= "wait"
    or tuned and (o.cap or o.chunk) or o.replay and o.replay ~= "no"
end

local function def_of(node) return node.spec.def or {} end

local function light(node)
  local def = def_of(node)
  return node.spec.kind == "builtin" and (def.light or def.tasks ~= nil)
end

local function scripted(node)
  local kind = node.spec.kind
  return kind == "map" or kind == "filter" or kind == "stage" or kind == "source"
end

-- Stages that only a process of their own can be.
local function alone(node)
  local def = def_of(node)
  return node.err or node.spec.kind == "command" or node.spec.kind == "pass" or def.owner or def.zip
    or def.port and node.role == "sink"
    or def.window or def.paced or own_options(node)
end

local function gathers(node)
  return node.spec.kind == "fold" or def_of(node).gathers or def_of(node).writes
end

local function same_pool(a, b)
  if type(a) == "table" and type(b) == "table" then return a.low == b.low and a.high == b.high end
  return a == b
end

local function one(pool) return pool == nil or pool == 1 end

-- Whether the script's own words say that these belong together.
local function suit(a, pool, b)
  if pool and b.pool then return same_pool(pool, b.pool) end
  if light(b) and not b.pool then return not (def_of(b).pool == "one" and not one(pool)) end
  if light(a) and not pool then return def_of(a).pool ~= "one" or one(b.pool) end
  return one(pool) and one(b.pool) and not (scripted(a) and scripted(b))
end

-- pool: of the chain that a ends.
local function joins(a, pool, b)
  local link = a.out
  return link and link.kind == "to" and link.op == "->" and #b.ins == 1 and not b.key
    and not a.err and not alone(b) and not gathers(b) and not next(link.options or {})
    and not (a.spec.kind == "command" or a.spec.kind == "pass" or def_of(a).window or def_of(a).zip
             or def_of(a).paced or own_options(a))
    and suit(a, pool, b)
end

-- The pool of a chain: the first that was written.
local function pool_of(chain)
  for _, node in ipairs(chain) do
    if node.pool then return node.pool end
  end
end

-- Such a source commits when what it sends to others is much, or when it waits: what
-- only goes to a terminal would stay in its worker.
local function produces(node)
  return node.spec.kind == "source" or def_of(node).produce ~= nil
end

-- A keyed stage keeps its own number of workers: its links are that many.
local function fits(chain, b)
  if produces(chain[1]) and def_of(b).prints then return false end
  local head = chain[1]
  if not head.key or head.pool then return true end
  return one(b.pool)
end

local function fuse(nodes, apart)
  local chains, taken = {}, {}
  for _, node in ipairs(nodes) do
    if #node.ins == 0 then taken[node] = false end
  end
  local function grow(chain)
    local last = chain[#chain]
    local b = not apart and last.out and last.out.kind == "to" and last.out.to
    if b and not taken[b] and joins(last, pool_of(chain), b) and fits(chain, b) then
      taken[b] = true
      chain[#chain + 1] = b
      return grow(chain)
    end
    chain.pool = pool_of(chain)
    return chain
  end
  local function starts(node)
    for _, link in ipairs(node.ins) do
      if not taken[link.from] then return false end
    end
    return true
  end
  local open = #nodes
  while open > 0 do
    local before = open
    for _, node in ipairs(nodes) do
      if not taken[node] and starts(node) then
        taken[node] = true
        chains[#chains + 1] = grow { node }
      end
    end
    open = 0
    for _, node in ipairs(nodes) do
      if not taken[node] then open = open + 1 end
    end
    assert(open < before, "a loop that check has let pass")
  end
  return chains
end

-- Whose name a chain goes by: the first that is more than a help to others.
local function heart(chain)
  for _, node in ipairs(chain) do
    if not light(node) then return node end
  end
  return chain[1]
end

return setmetatable({ heart = heart }, { __call = function(_, nodes, apart) return fuse(nodes, apart) end })
