-- plan: from a checked graph to what is started: stages, their workers, and the
-- inboxes between them.  Pure.
-- SPDX-License-Identifier: MIT
--
-- plan(graph, { cpus =, apart = }) -> { stages, inboxes, nodes }
--   stage   one pool of processes: { index, label, chain = { node… } that run in each of
--           its workers, role, workers (at most), least, inbox = what it reads | nil, out =
--           outlet | nil, err = outlet | nil, outboxes = { inbox… } all that it feeds,
--           key, chunk, limit = most items leased at once, restarts, timeout, tasks,
--           produces, owner, port, prints, state, ordered, windowed, origin, … }
--   inbox   what one or several stages read: { index, label, links (one a worker where it
--           has a key), cap, key, key_name, readers, feeders, tagged, orders, full,
--           combines = the gathering node whose producers add up beforehand }
--   outlet  { kind = "to", inbox, link = the checked link }, or "all", "any", "route"
-- Things that are not in the notation, and change no result: chains (plan/fuse),
-- trains (plan/region), stages that pass on (plan/copy), adding up beforehand
-- (combiner), and the stage that merges what the workers of a fold without a key
-- have added up.

local copy = require "mp.flow.plan.copy"
local fuse = require "mp.flow.plan.fuse"
local key = require "mp.flow.key"
local option = require "mp.flow.option"
local region = require "mp.flow.plan.region"

local MOST_LEASED <const> = 256

local function def_of(node) return node.spec.def or {} end

local function get(node, name)
  local v = node.options[name]
  if v == nil then return option.default(name) end
  return v
end

-- least and most workers of a pool
local function size(pool, cpus, head)
  if pool == "cpu" then pool = cpus end
  local low, high = pool or 1, pool or 1
  if type(pool) == "table" then low, high = pool.low, pool.high end
  if head.key then low, high = math.min(high, key.most_workers), math.min(high, key.most_workers) end
  return low, high
end

-- stages -----------------------------------------------------------------------------

local function first_option(chain, name)
  for _, node in ipairs(chain) do
    local v = node.options[name]
    if v ~= nil then return v end
  end
end

local function stage_of(chain, cpus)
  local head, last = chain[1], chain[#chain]
  local def = def_of(head)
  local least, most = size(chain.pool, cpus, head)
  if head.windowed and not head.key then least, most = 1, 1 end
  local stage = {
    label = fuse.heart(chain).id, chain = chain, spec = head.spec, role = #head.ins == 0 and "source" or last.role,
    least = least, workers = most, key = head.key and head.key.f,
    key_name = head.key and head.key.name, outboxes = {},
    chunk = first_option(chain, "chunk") or option.default "chunk",
    restarts = first_option(chain, "restarts") or option.default "restarts",
    timeout = get(head, "timeout"), owner = def.owner or def.port and head.role == "sink" or nil,
    port = def.port, fragile = false,
    tasks = def.tasks ~= nil, produces = head.spec.kind == "source" or def.produce ~= nil,
    ordered = head.ordered, windowed = head.windowed, origin = head.origin or nil, tagged = head.tagged,
    positions = false, credits = {}, zip = def.zip, paced = def.paced, window = def.window,
  }
  for _, node in ipairs(chain) do stage.prints = stage.prints or def_of(node).prints end
  if get(head, "retry") > 0 or stage.timeout or stage.paced or stage.restarts < 2 then stage.chunk = 1 end
  return stage
end

-- inboxes ----------------------------------------------------------------------------

local function limit_of(stage, cap)
  if stage.chunk ~= "auto" then return stage.chunk end
  local links = stage.inbox and stage.inbox.links or 1
  return math.max(1, math.min(MOST_LEASED, cap // (links > 1 and 2 or 2 * stage.workers)))
end

-- What a full link does; the last that says so counts.
local function full_of(head)
  local full = "wait"
  for _, link in ipairs(head.ins) do full = link.options and link.options.full or full end
  return full
end

local function new_inbox(self, stage, label)
  local head = stage.chain[1]
  local links = stage.key and stage.workers or 1
  local inbox = { index = #self.inboxes + 1, label = label or head.id, links = links,
    cap = math.max(1, get(head, "cap") // links), key = stage.key, key_name = stage.key_name,
    readers = { stage }, feeders = 0, tagged = head.tagged or false, orders = head.ordered or false,
    windowed = head.windowed, full = full_of(head), expects = {}, origin_of = {}, sends = {} }
  self.inboxes[inbox.index] = inbox
  return inbox
end

local function read(self, stage)
  local head = stage.chain[1]
  if (#head.ins > 0 or head.role == "source" and stage.port) and not stage.inbox then
    stage.inbox = new_inbox(self, stage)
  end
end

-- The link that the branches of (a | b) read together.
local function share(self, outlet)
  local first = self.of[outlet[1].to]
  local labels = {}
  for i, to in ipairs(outlet) do labels[i] = self.of[to.to].label end
  first.inbox = new_inbox(self, first, table.concat(labels, "|"))
  for i = 2, #outlet do
    local stage = self.of[outlet[i].to]
    stage.inbox = first.inbox
    table.insert(first.inbox.readers, stage)
    first.inbox.cap = math.max(first.inbox.cap, get(stage.chain[1], "cap"))
  end
end

local function share_all(self, outlet)
  if not outlet or outlet.kind == "to" then return end
  for _, branch in ipairs(outlet) do share_all(self, branch) end
  share_all(self, outlet.other)
  if outlet.shared then share(self, outlet) end
end

-- outlets ----------------------------------------------------------------------------

local function feed(stage, inbox)
  for _, known in ipairs(stage.outboxes) do
    if known == inbox then return end
  end
  table.insert(stage.outboxes, inbox)
  inbox.feeders = inbox.feeders + 1
end

local function place_in(ins, link)
  for i, one in ipairs(ins) do
    if one == link then return i end
  end
end

local function compile(self, stage, outlet)
  if not outlet then return nil end
  if outlet.kind == "to" or outlet.shared then
    local to = outlet.shared and outlet[1] or outlet
    local inbox = self.of[to.to].inbox
    feed(stage, inbox)
    if def_of(to.to).zip then
      inbox.zip = inbox.zip or {}
      inbox.zip[stage] = place_in(to.to.ins, to)
    end
    local links = {}
    copy.each(outlet, function(one) links[#links + 1] = one.link end)
    return { kind = "to", inbox = inbox, links = links }
  end
  local new = { kind = outlet.kind, labels = outlet.labels }
  for i, branch in ipairs(outlet) do new[i] = compile(self, stage, branch) end
  new.other = compile(self, stage, outlet.other)
  return new
end

-- adding up ----------------------------------------------------------------------------

local function producers(self, inbox)
  local n = 0
  for _, stage in ipairs(self.stages) do
    for _, to in ipairs(stage.outboxes) do
      if to == inbox then n = n + stage.workers end
    end
  end
  return n
end

-- Whether what goes into an inbox may be added up by those who send it. A heavy
-- fold of many workers is not for few producers to work out.
local function wants_guard(node)
  local o = node.options
  return (o.retry or 0) > 0 or o.timeout or o.on_error == "skip"
end

local function combines(self, inbox)
  local reader = inbox.readers[1]
  local head = reader.chain[1]
  local def = def_of(head)
  if inbox.tagged or #inbox.readers > 1 or inbox.full ~= "wait" or reader.err or wants_guard(head) then
    return false
  end
  if def.combine or head.spec.counts then return true end
  return head.spec.kind == "fold" and head.spec.merge and producers(self, inbox) >= reader.workers
end

-- The stage that merges what the workers of an unkeyed fold have added up.
local function merger(self, stage)
  local head = stage.chain[1]
  if head.spec.kind ~= "fold" or head.key or stage.workers == 1 then return end
  local rest = stage.chain
  stage.chain = { { id = head.id, spec = { kind = "partial", fold = head.spec }, options = head.options,
                    ins = head.ins, node = head.node, hidden = true, out = {} } }
  rest[1] = { id = head.id .. "(merge)", spec = { kind = "merge", fold = head.spec }, options = head.options,
              ins = { {} }, node = head.node, out = head.out, role = head.role }
  rest.pool = 1
  local new = stage_of(rest, 1)
  new.out, new.err, new.origin = stage.out, stage.err, stage.origin
  stage.out, stage.err, stage.origin = nil, nil, nil
  stage.spec = stage.chain[1].spec
  new.outboxes, stage.outboxes = stage.outboxes, {}
  new.inbox = new_inbox(self, new, new.label)
  feed(stage, new.inbox)
  stage.out = { kind = "to", inbox = new.inbox, links = {} }
  return new
end

-- the whole ------------------------------------------------------------------------------

local function build(self, nodes, how)
  for _, chain in ipairs(fuse(nodes, how.apart)) do
    local stage = stage_of(chain, how.cpus)
    table.insert(self.stages, stage)
    for _, node in ipairs(chain) do self.of[node] = stage end
  end
  for _, stage in ipairs(self.stages) do share_all(self, stage.chain[#stage.chain].out) end
  for _, stage in ipairs(self.stages) do read(self, stage) end
  for _, stage in ipairs(self.stages) do
    local last = stage.chain[#stage.chain]
    stage.out, stage.err = compile(self, stage, last.out), compile(self, stage, last.err)
  end
  for i = #self.stages, 1, -1 do
    local merge = merger(self, self.stages[i])
    if merge then table.insert(self.stages, i + 1, merge) end
  end
end

local function finish(self)
  for i, stage in ipairs(self.stages) do
    stage.index = i
    if stage.inbox then
      stage.limit = limit_of(stage, stage.inbox.tagged and 64 or stage.inbox.cap)
    else
      stage.limit = 1
    end
  end
  for _, inbox in ipairs(self.inboxes) do
    inbox.joins = inbox.feeders > 1
    if combines(self, inbox) then inbox.combines = inbox.readers[1].chain[1] end
  end
  region.weigh(self.stages)
end

return function(graph, how)
  local nodes = copy.copy(graph)
  region.mark(nodes)
  copy.complete(nodes)
  region.mark(nodes)
  local self = { stages = {}, inboxes = {}, of = {}, nodes = nodes }
  build(self, nodes, how)
  finish(self)
  return self
end
