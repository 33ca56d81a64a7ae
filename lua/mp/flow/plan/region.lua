-- plan/region: where items travel in numbered trains, so that their order, or
-- what belongs together, can be found again.  Pure.
-- SPDX-License-Identifier: MIT
--
-- A region reaches from an origin (a source, or a stage that gathers and so
-- begins a stream of its own) to the stages that read in order: behind `=>`, a
-- zip, and the gathering stages behind a window. Every item in it belongs to a
-- train { id, weight, flag, positions, item, … } (train.lua). A stage hands on a
-- train for each that it reads, be it empty; where ways part, the weight is
-- divided, and where they meet again a train is whole when its weight is.
-- The idea is Huang's weight throwing (termination detection, 1989).
--
-- A reader in order gives one credit back for each train (of a source that is
-- cut into tasks: for each task); who begins one has a credit for it. So what is
-- between them is bounded, and their links need no bound of their own, which
-- could shut out the one train that is waited for.
--
-- mark(nodes) sets      node.ordered     it reads in order
--                       node.windowed    its state begins anew with each window
--                       node.tagged      what it reads comes in trains
--                       node.origin      its trains begin here
-- weigh(stages) sets    stage.first      its number as an origin (its workers count on)
--                       inbox.expects[o] the weight of a whole train of origin o, a link
--                       stage.credits    { { inbox, link }, … }: whom it asks
--                       stage.positions  it divides trains: they say from here on where
--                                        in them an item stood

local each_way = require("mp.flow.plan.copy").ways
local gathers = require "mp.flow.gathers"

local M = {}

local function def_of(node) return node.spec.def or {} end

local function transparent(node)
  return #node.ins > 0 and not gathers(node)
end

local function reads_in_order(node)
  if def_of(node).zip then return true end
  for _, link in ipairs(node.ins) do
    if link.op == "=>" then return true end
  end
  return node.windowed
end

-- Everything behind a window that gathers does so window by window.
local function follow_window(node, seen)
  for _, link in ipairs(each_way(node)) do
    local to = link.to
    if not seen[to] then
      seen[to] = true
      if gathers(to) and not def_of(to).window then to.windowed = true end
      if not def_of(to).window then follow_window(to, seen) end
    end
  end
end

local function tagged(node, known)
  if known[node] ~= nil then return known[node] end
  local is = reads_in_order(node) or false
  if not is and transparent(node) then
    for _, link in ipairs(each_way(node)) do is = is or tagged(link.to, known) end
  end
  known[node] = is
  return is
end

function M.mark(nodes)
  for _, node in ipairs(nodes) do
    if def_of(node).window then follow_window(node, {}) end
  end
  local known = {}
  for _, node in ipairs(nodes) do
    node.ordered, node.tagged = reads_in_order(node), tagged(node, known)
    local begins = #node.ins == 0 or gathers(node)
    for _, link in ipairs(begins and each_way(node) or {}) do
      node.origin = node.origin or tagged(link.to, known)
    end
  end
end

-- weights ---------------------------------------------------------------------------

local function tagged_boxes(stage)
  local list = {}
  for _, inbox in ipairs(stage.outboxes) do
    if inbox.tagged then list[#list + 1] = inbox end
  end
  return list
end

-- Stages in an order in which every one stands behind its producers.
local function sorted(stages)
  local list, seen = {}, {}
  local function visit(stage)
    if seen[stage] then return end
    seen[stage] = true
    for _, inbox in ipairs(stage.outboxes) do
      for _, reader in ipairs(inbox.readers) do visit(reader) end
    end
    table.insert(list, 1, stage)
  end
  for _, stage in ipairs(stages) do visit(stage) end
  return list
end

-- for o in origins(stage): the numbers of a stage with which trains begin. Its workers
-- have each their own, unless they share tasks.
function M.origins(stage)
  local o, last = stage.first - 1, stage.first + (stage.tasks and 0 or stage.workers - 1)
  return function()
    o = o + 1
    return o <= last and o or nil
  end
end

local function spread(stages, origin)
  local share = { [origin] = 1 }
  for _, stage in ipairs(stages) do
    local mine, boxes = share[stage], tagged_boxes(stage)
    for _, inbox in ipairs(mine and (stage == origin or not stage.origin) and boxes or {}) do
      local part = mine / #boxes
      stage.positions = stage.positions or #boxes > 1 or inbox.links > 1
      for o in M.origins(origin) do
        inbox.expects[o] = (inbox.expects[o] or 0) + part / inbox.links
        inbox.origin_of[o] = origin
      end
      local reader = inbox.readers[1]
      share[reader] = (share[reader] or 0) + part
    end
  end
end

-- Of whom an origin needs a credit for each train: all that read it in order.
local function credits(stages, origin)
  local list = {}
  for _, stage in ipairs(stages) do
    local inbox = stage.inbox
    if inbox and inbox.orders and inbox.expects[origin.first] and stage == inbox.readers[1] then
      for link = 1, inbox.links do list[#list + 1] = { inbox = inbox, link = link } end
    end
  end
  return list
end

function M.weigh(stages)
  local in_order = sorted(stages)
  local next_origin = 1
  for _, stage in ipairs(stages) do
    if stage.origin then
      stage.first = next_origin
      next_origin = next_origin + (stage.tasks and 1 or stage.workers)
      spread(in_order, stage)
      stage.credits = credits(in_order, stage)
    end
  end
end

return M
