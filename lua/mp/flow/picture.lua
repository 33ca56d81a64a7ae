-- picture: what a drawing tells besides the notation: which stages run together,
-- what is added up beforehand, and, after a run, how much went where.  Pure.
-- SPDX-License-Identifier: MIT
--
-- picture(graph, plan, [result]) -> extra, see draw. The plan may be that of an
-- earlier check of the same text, so nodes are known by their ids and links by
-- where they stand.

local copy = require "mp.flow.plan.copy"

local function joined(plan, nodes)
  local list = {}
  for i, stage in ipairs(plan.stages) do
    for _, part in ipairs(#stage.chain > 1 and stage.chain or {}) do
      list[nodes[part.id] or false] = i
    end
  end
  list[false] = nil
  return list
end

local function lifted(plan, links)
  local list = {}
  for _, node in ipairs(plan.nodes) do
    for _, way in ipairs(copy.ways(node)) do
      local stage = plan.of[way.to]
      local inbox = stage and stage.chain[1].node == way.to.node and stage.inbox
      if inbox and inbox.combines and way.link and links[way.link.pos] then
        list[links[way.link.pos]] = "pre-added"
      end
    end
  end
  return list
end

local function counts(plan, result, links)
  local list = {}
  for pos, n in pairs(result.edges) do
    if links[pos] then list[links[pos]] = n end
  end
  for i, stage in ipairs(plan.stages) do
    for at = 2, #stage.chain do
      local way = stage.chain[at].ins[1]
      local n = result.inner[i] and result.inner[i][at]
      if n and way and way.link and links[way.link.pos] then list[links[way.link.pos]] = n end
    end
  end
  return list
end

local function rows(result, nodes)
  local list = {}
  for _, row in ipairs(result.rows) do
    if nodes[row.label] and not row.inside then list[nodes[row.label]] = row end
  end
  return list
end

return function(graph, plan, result)
  local nodes, links = {}, {}
  for _, node in ipairs(graph) do
    nodes[node.id] = node
    for _, link in ipairs(node.ins) do links[link.pos] = link end
  end
  local extra = { joined = joined(plan, nodes), lifted = lifted(plan, links) }
  if result and result.edges then
    extra.counts, extra.rows = counts(plan, result, links), rows(result, nodes)
  end
  return extra
end
