-- order: what `=>`, zip and windows ask of the ways that lead to a stage.
-- SPDX-License-Identifier: MIT
--
-- Items have an order from where they were emitted: by a source, or by a stage
-- that gathers (a fold, sort, a command that reads lines, …), whose results are
-- new items.

local gathers = require "mp.flow.gathers"
local way = require "mp.flow.check.way"

local order = {}

-- The nodes that emitted what comes to a node, in order of discovery; nil where
-- some way to it is not known.
local function origins(node)
  local seen, list = {}, {}
  local function search(at)
    if seen[at] then return true end
    seen[at] = true
    if at ~= node and (at.role == "source" or gathers(at)) then
      list[#list + 1] = at
      return true
    end
    if #at.ins == 0 or at.spec.kind == "broken" then return false end
    for _, link in ipairs(at.ins) do
      if not search(link.from) then return false end
    end
    return true
  end
  return search(node) and list or nil
end

local function ids(nodes)
  local list = {}
  for i, node in ipairs(nodes) do list[i] = "'" .. node.id .. "'" end
  if #list > 3 then list = { list[1], list[2], ("%d others"):format(#nodes - 2) } end
  return table.concat(list, ", ", 1, #list - 1) .. " and " .. list[#list]
end

-- Several processes that emit each their own; those of a fold without a key are
-- merged into one result.
local function scattered(node)
  return gathers(node) and node.pool and node.pool ~= 1 and (node.key or node.spec.kind ~= "fold")
end

-- `=>`: of what one source has emitted.
local function ordered(check, node, link)
  local from = origins(node)
  if not from then return end
  if #from > 1 then
    check:mistake(link, ("'=>' keeps the order of one source, but what comes to '%s' is from %s")
      :format(node.id, ids(from)), "'->' takes items as they come")
  elseif scattered(from[1]) then
    check:mistake(link, ("'=>' has no order to keep: '%s' emits in several processes")
      :format(from[1].id), from[1].spec.kind == "command" and "'{per=item}' runs it once an item"
      or "'->' takes items as they come")
  end
end

-- Which of zip's two links, 1 or 2 or both (3), can be reached from a node.
local function reach_of(zip)
  local known = {}
  local reach
  local function of(outlet)
    local all = 0
    for _, link in ipairs(way.links(outlet)) do
      if link == zip.ins[1] then all = all | 1
      elseif link == zip.ins[2] then all = all | 2
      else all = all | reach(link.to) end
    end
    return all
  end
  function reach(node)
    known[node] = known[node] or of(node.out) | of(node.err)
    return known[node]
  end
  return of
end

-- Whether an item that takes one of these ways comes to one of zip's two alone.
local function apart(sets)
  local first, second = false, false
  for _, set in ipairs(sets) do first, second = first or set == 1, second or set == 2 end
  return first and second
end

-- The place where items go one way or the other, so that none goes both.
local function parting(check, zip)
  local of = reach_of(zip)
  for _, node in ipairs(check.nodes) do
    local found
    if apart { of(node.out), of(node.err) } then found = way.links(node.err)[1] end
    way.each(node.out, function(o)
      if o.kind ~= "any" and o.kind ~= "route" then return end
      local sets = { of(o.other) }
      for _, part in ipairs(o) do sets[#sets + 1] = of(part) end
      if apart(sets) then found = o end
    end)
    if found then return found end
  end
end

local PAIRS <const> = "'zip' pairs what came from the same item: "

local function zipped(check, node)
  if #node.ins ~= 2 then
    check:mistake(node, ("'zip' pairs two ways, and %d lead%s to it")
      :format(#node.ins, #node.ins == 1 and "s" or ""), "'a -> (b & c) -> zip'")
    return
  end
  local from = origins(node)
  if not from then return end
  if #from > 1 then
    for _, origin in ipairs(from) do
      if gathers(origin) then
        check:mistake(node, PAIRS .. ("'%s' on one of its ways makes new ones"):format(origin.id),
          origin.spec.kind == "command" and "'{per=item}' runs it once an item" or nil)
        return
      end
    end
    check:mistake(node, PAIRS .. ("its ways come from %s"):format(ids(from)),
      "'a -> (b & c) -> zip'")
    return
  end
  local at = parting(check, node)
  if at then
    check:mistake(at, PAIRS .. "here each goes one way or the other", "'&' sends to both")
  end
end

-- windows ------------------------------------------------------------------------------

-- Whether a stage that gathers does so window by window: it stands behind a
-- window, with no other window between.
local function windowed(node)
  local seen = {}
  local function search(at)
    for _, link in ipairs(at.ins) do
      local from = link.from
      if from.spec.def and from.spec.def.window then return true end
      if not seen[from] then
        seen[from] = true
        if search(from) then return true end
      end
    end
    return false
  end
  return search(node)
end

local function in_windows(check, node)
  local from = origins(node)
  if from and #from > 1 and windowed(node) then
    check:mistake(node, ("'%s' works window by window, but what comes to it is from %s")
      :format(node.id, ids(from)), "all of it must come through one window")
  end
end

function order.check(check, node)
  local def = node.spec.def or {}
  if def.zip and not check.lost[node] then zipped(check, node) end
  for _, link in ipairs(node.ins) do
    if link.op == "=>" then return ordered(check, node, link) end
  end
  if gathers(node) and not def.window then in_windows(check, node) end
end

return order
