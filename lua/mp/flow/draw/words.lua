-- words: what is written on the parts of a drawn flow.  Pure.
-- SPDX-License-Identifier: MIT
--
-- name(node), pool(node), key(node) -> text; the last two nil if there is none
-- args(node) -> what stands in its brackets, nil: nothing does
-- options(node) -> list of texts, "retry=3"
-- label(outlet, i) -> the i-th branch's, i == nil: that of `other`; nil: it has none
-- notes(link, extra) -> list of texts: items that went over it, and what is done there
-- shared(graph, extra) -> list of groups, each a list of nodes that share processes, and
--                         { [node] = its group }; nodes by themselves are in none

local bar = require "mp.bar"
local columns = require "mp.flow.columns"

local M = {}

local LONGEST <const> = 40

function M.name(node)
  return columns.cut(columns.clean(node.id), LONGEST)
end

function M.pool(node)
  local pool = node.pool
  if type(pool) == "table" then return ("%d..%d"):format(pool.low, pool.high) end
  return pool and tostring(pool)
end

function M.key(node) return node.key and columns.clean(node.key.name) end

function M.args(node)
  local texts = {}
  for i, arg in ipairs(node.args or {}) do texts[i] = columns.clean(arg.text) end
  return #texts > 0 and columns.cut(table.concat(texts, ", "), LONGEST) or nil
end

local function time(seconds)
  for _, unit in ipairs { { 3600, "h" }, { 60, "m" }, { 1, "s" } } do
    if seconds >= unit[1] and seconds % unit[1] == 0 then
      return ("%d%s"):format(seconds // unit[1], unit[2])
    end
  end
  return seconds < 1 and ("%gms"):format(seconds * 1000) or ("%gs"):format(seconds)
end

local times = { timeout = true, backoff = true }

function M.options(node)
  local list = {}
  for name, value in pairs(node.options or {}) do
    if times[name] and type(value) == "number" then value = time(value) end
    list[#list + 1] = ("%s=%s"):format(name, columns.clean(tostring(value)))
  end
  table.sort(list)
  return list
end

-- As it is written in the notation.
function M.label(outlet, i)
  if not i then return "else" end
  local label = outlet.labels and outlet.labels[i]
  if not label or label:find "^[%a_][%w_]*$" then return label end
  return '"' .. columns.cut(columns.clean(label):gsub('[\\"]', "\\%0"), LONGEST) .. '"'
end

function M.notes(link, extra)
  local list = {}
  local n = extra.counts and extra.counts[link]
  if n then list[1] = bar.count(n) end
  list[#list + 1] = extra.lifted and extra.lifted[link]
  return list
end

-- The number or the node that a node's group goes by.
local function head(joined, node)
  local at = joined[node] or node
  while joined[at] and joined[at] ~= at do at = joined[at] end
  return at
end

function M.shared(graph, extra)
  local by, groups, of = {}, {}, {}
  for _, node in ipairs(graph) do
    local at = head(extra.joined or {}, node)
    local group = by[at]
    if not group then
      group = {}
      by[at] = group
    elseif #group == 1 then
      groups[#groups + 1] = group
      of[group[1]] = group
    end
    group[#group + 1] = node
    if #group > 1 then of[node] = group end
  end
  return groups, of
end

return M
