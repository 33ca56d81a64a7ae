-- rule: what a whole graph must satisfy, node by node.
-- SPDX-License-Identifier: MIT
--
-- The order of items is in order.lua.

local key = require "mp.flow.key"
local name = require "mp.flow.check.name"
local way = require "mp.flow.check.way"

local rule = {}

-- roles ----------------------------------------------------------------------------

-- Which nodes are sources and sinks is known when all ways are.
function rule.role(check, node)
  local spec = node.spec
  if spec.kind == "either" then
    spec = name.either(check, spec, check.fed[node], node.out or check.cut[node])
  elseif spec.kind == "map" and not check.fed[node] then
    spec = { kind = "source", f = spec.f }
  end
  node.spec = spec
  node.role = spec.role or spec.kind == "source" and "source" or "between"
end

-- ends -----------------------------------------------------------------------------

local function first_link(outlet) return way.links(outlet)[1] end

local function beginning(check, node)
  local reached = check.fed[node] or check.lost[node]
  if node.role == "source" and #node.ins > 0 then
    check:mistake(node, ("'%s' is a source: nothing can flow into it"):format(node.id))
  elseif node.role ~= "source" and not reached then
    check:mistake(node, ("'%s' has nothing to read: a flow begins with a source"):format(node.id))
  end
end

local function results(check, node)
  local link = first_link(node.out)
  if node.role == "sink" and link then
    check:mistake(link, ("nothing comes out of '%s', which is a sink"):format(node.id))
  elseif node.role ~= "sink" and not node.out and not check.cut[node] then
    local lost = check.text:match("^[^\n]-(%-%->)", node.pos)
    local hint = "'-> null' drops them, '-> stdout' prints them"
    if lost then
      hint = "'-->' begins a comment; a link is '->'"
    elseif node.err then
      hint = ("a statement of its own says where: '%s -> …'"):format(node.id)
    end
    check:mistake(node, ("the results of '%s' go nowhere"):format(node.id), hint)
  end
end

local function errors(check, node)
  local link, def = first_link(node.err), node.spec.def
  if not link then return end
  if node.role == "source" then
    check:mistake(link, ("'%s' is a source: it takes no items on which it could fail"):format(node.id))
  elseif def and (def.owner or def.port) then
    check:mistake(link, ("'%s' only takes items: it fails on none"):format(node.id))
  end
end

function rule.ends(check, node)
  beginning(check, node)
  results(check, node)
  errors(check, node)
end

-- labels ---------------------------------------------------------------------------

local gives_labels = { map = true, stage = true, source = true, broken = true }

-- A label is chosen by once: a group that asks again asks in vain.
local function nested_routes(outlet, within, found)
  if not outlet then return end
  if outlet.kind == "route" and within then found[#found + 1] = outlet end
  within = within or outlet.kind == "route"
  for _, part in ipairs(outlet) do nested_routes(part, within, found) end
  nested_routes(outlet.other, within, found)
end

local function first_route(outlet)
  local found
  way.each(outlet, function(o) found = found or o.kind == "route" and o end)
  return found
end

function rule.labels(check, node)
  local by_error, group = first_route(node.err), first_route(node.out)
  if by_error then
    check:mistake(by_error, "an item that failed has no label")
  end
  if group and not gives_labels[node.spec.kind] then
    check:mistake(group, ("'%s' gives no labels"):format(node.id),
      "they are the second value that a function of the script returns")
  end
  local again = {}
  nested_routes(node.out, false, again)
  for _, inner in ipairs(again) do
    check:mistake(inner, ("labels within labels: that of '%s' has chosen already"):format(node.id))
  end
end

-- workers --------------------------------------------------------------------------

local function most(pool) return type(pool) == "table" and pool.high or pool end

function rule.workers(check, node)
  local spec, pool, at = node.spec, most(node.pool), check.pool_at[node] or node
  if node.role == "source" and node.key then
    check:mistake(node.key, ("'%s' is a source: it has no items to tell apart by key"):format(node.id))
  end
  if not pool or pool == 1 then return end
  local def = spec.def
  if node.key and pool ~= "cpu" and pool > key.most_workers then
    check:mistake(at, ("a pool with a key has up to %d processes"):format(key.most_workers))
  elseif spec.kind == "fold" and not node.key and not spec.merge then
    check:mistake(at, ("'%s' is a fold without a key and without 'merge': it needs one worker")
      :format(node.id), ("'%s@key' or a 'merge' function allow more"):format(node.id))
  elseif def and def.pool == "key" and not node.key then
    check:mistake(at, ("'%s' on several workers needs a key: '%s@key'"):format(node.id, node.id))
  elseif def and def.pool == "one" then
    check:mistake(at, ("'%s' works in one process"):format(node.id))
  end
end

-- what there is once ---------------------------------------------------------------

-- What a script reads with recv, and what run returns, comes from one place.
local function only_one(check, node, seen)
  local def = node.spec.def
  if not def or not (def.owner or def.port) then return end
  if seen[def] then
    check:mistake(node, ("a flow has one '%s'"):format(node.name),
      ("several ways may lead %s it"):format(node.role == "source" and "out of" or "to"))
  end
  seen[def] = true
end

local function plain_path(path)
  path = path:gsub("/+", "/")
  repeat
    local n
    path, n = path:gsub("/%./", "/")
  until n == 0
  return (path:gsub("^%./", ""))
end

-- Built-in stages that write a file have its path in params.path.
local function written_by(node)
  local path = node.role ~= "source" and node.spec.params and node.spec.params.path
  return type(path) == "string" and plain_path(path) or nil
end

-- Sources that read files have them in params.paths, or one in params.path.
local function read_by(node)
  local params = node.role == "source" and node.spec.params
  return params and (params.paths or { params.path }) or {}
end

local function read_and_written(check, writers)
  for _, node in ipairs(check.nodes) do
    for _, path in ipairs(read_by(node)) do
      local writer = type(path) == "string" and writers[plain_path(path)]
      if writer then
        check:mistake(writer, ("'%s' writes '%s', which '%s' reads"):format(writer.id, path, node.id),
          "write another file, and rename it afterwards")
      end
    end
  end
end

function rule.singles(check)
  local writers, seen = {}, {}
  for _, node in ipairs(check.nodes) do
    only_one(check, node, seen)
    local path = written_by(node)
    if path and writers[path] then
      check:mistake(node, ("'%s' writes '%s', as '%s' does"):format(node.id, path, writers[path].id),
        "several ways may lead to one of them")
    end
    if path then writers[path] = writers[path] or node end
  end
  read_and_written(check, writers)
end

return rule
