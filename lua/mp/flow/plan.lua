-- plan: from checked nodes to what is started: stages, workers and links.  Pure.
-- SPDX-License-Identifier: MIT
--
-- plan(nodes, cpus) -> list of stages, producers before consumers where the
-- script wrote them so:
--   { label, spec, role, workers, key, next, before = number of producers,
--     links = number of links that it reads, cap, limit = most items leased at
--     once, chunk, restarts, again, keeps, owner, inside = { nodes }, counts }
-- Three things here are not in the notation, and change no result:
--   inside   a stateless built-in (words, split) that asked for no processes of
--            its own runs in its producer's workers
--   counts   what `count` adds up is added up per batch by its producers, so
--            its links carry {key, n, key, n, …} instead of items
--   merge    a fold on several workers without a key ends in one more stage
--            that merges their accumulators

local key = require "mp.flow.key"
local option = require "mp.flow.option"

local MOST_LEASED <const> = 256
local COMBINED_CAP <const> = 4      -- batches per producer

-- No state, or one that a ledger keeps.
local function replaceable(spec)
  local kind = spec.kind
  if kind == "builtin" then return not spec.def.gathers and not spec.def.produce end
  return kind == "map" or kind == "filter" or kind == "stage" or kind == "fold"
end

local function runs_inside(node)
  local def = node.spec.def
  return def and def.light and not node.pool and not node.key and #node.before == 1 and not node.tuned
end

local function workers_of(node, cpus)
  if node.pool == "cpu" then return node.key and math.min(cpus, key.most_workers) or cpus end
  return node.pool or 1
end

local function get(node, name)
  local v = node.options[name]
  if v == nil then return option.default(name) end
  return v
end

local function most_leased(chunk, cap, workers, links)
  if chunk ~= "auto" then return chunk end
  return math.max(1, math.min(MOST_LEASED, cap // (links > 1 and 2 or 2 * workers)))
end

local function stage_of(node, cpus)
  local workers = workers_of(node, cpus)
  local links = node.key and workers or 1
  local cap = math.max(1, get(node, "cap") // links)
  local chunk = get(node, "chunk")
  local def = node.spec.def
  return {
    label = node.id, node = node, spec = node.spec, role = node.role, workers = workers,
    key = node.key and node.key.f, key_name = node.key and node.key.name,
    links = (node.role ~= "source" or def and def.tasks) and links or 0,
    cap = cap, chunk = chunk, limit = def and def.tasks and 1
      or most_leased(chunk, cap, workers, links),
    restarts = get(node, "restarts"), again = replaceable(node.spec),
    owner = def and def.owner, inside = {}, before = 0,
    counts = node.spec.counts,
    keeps = node.spec.kind == "fold",
  }
end

-- The stage that merges what the workers of an unkeyed fold have added up.
local function merger(stage)
  local fold = stage.spec
  stage.spec = { kind = "partial", fold = fold }
  return {
    label = stage.label .. "(merge)", node = stage.node, role = "between", workers = 1,
    spec = { kind = "merge", fold = fold }, links = 1, cap = stage.workers, limit = 1,
    chunk = "auto", restarts = stage.restarts, again = true, keeps = true, inside = {}, before = 1, next = stage.next,
  }
end

local function plan(nodes, cpus)
  local stages, of = {}, {}
  for _, node in ipairs(nodes) do
    if not runs_inside(node) then
      of[node] = stage_of(node, cpus)
      table.insert(stages, of[node])
    end
  end
  for _, stage in ipairs(stages) do
    local to = stage.node.next
    while to and not of[to] do
      table.insert(stage.inside, to)
      to = to.next
    end
    stage.next = to and of[to]
  end
  for i = #stages, 1, -1 do
    local stage = stages[i]
    if stage.spec.kind == "fold" and not stage.key and stage.workers > 1 then
      stage.next = merger(stage)
      stage.next.inside, stage.inside = stage.inside, {}
      table.insert(stages, i + 1, stage.next)
    end
  end
  local producers = {}
  for _, stage in ipairs(stages) do
    local to = stage.next
    if to then
      to.before = to.spec.kind == "merge" and 1 or to.before + 1
      producers[to] = (producers[to] or 0) + stage.workers
    end
  end
  for i, stage in ipairs(stages) do
    stage.index = i
    if stage.counts then stage.cap = COMBINED_CAP * (producers[stage] or 1) end
  end
  return stages
end

return plan
