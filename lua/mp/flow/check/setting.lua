-- setting: the options of nodes and links, and which of them wins.
-- SPDX-License-Identifier: MIT

local option = require "mp.flow.option"
local suggest = require "mp.flow.suggest"

local setting = {}

-- Reads options of the notation into each of several tables; where they stand
-- is kept in check.place[table][name].
function setting.read(check, opts, tables)
  for _, opt in ipairs(opts or {}) do
    local value, message, hint = option.read(opt.name, opt.value)
    local twice = false
    for _, into in ipairs(tables) do
      if into[opt.name] ~= nil then twice = true end
      into[opt.name] = value
      check.place[into] = check.place[into] or {}
      check.place[into][opt.name] = opt
    end
    if value == nil then
      check:mistake(message:find "expects" and opt.value or opt, message, hint)
    elseif twice then
      check:mistake(opt, ("the option '%s' is given twice"):format(opt.name))
    end
  end
end

local function in_order(t)
  local names = {}
  for name in pairs(t) do names[#names + 1] = tostring(name) end
  table.sort(names)
  return names
end

-- Those of stage{…}: Lua values.
local function own(check, node)
  local values = {}
  local given = node.spec.options or {}
  for _, name in ipairs(in_order(given)) do
    local value, message, hint = option.read(name, given[name])
    if value == nil then check:mistake(node, message, hint) end
    values[name] = value
  end
  return values
end

-- What the links into a node say of it.  Only `full` may differ among them.
local function of_links(check, node)
  local all, from, differs = {}, {}, false
  for _, link in ipairs(node.ins) do
    for name, value in pairs(link.options) do
      if from[name] and all[name] ~= value and name ~= "full" then
        check:mistake(check.place[link.options][name],
          ("another link into '%s' has another '%s'"):format(node.id, name),
          "options of a link are those of the stage that it leads to")
      end
      all[name], from[name] = value, link
    end
  end
  for _, link in ipairs(node.ins) do
    differs = differs or link.options.full ~= all.full
  end
  if differs then all.full = nil end
  return all
end

-- Puts the options of one layer over those of the layers within.  What means
-- nothing here is a mistake, unless it was said to all.
local function put(check, node, values, over, at)
  for name, value in pairs(values) do
    local refused = option.refused(name, node)
    if not refused then
      over[name] = value
    elseif at then
      local place = check.place[values]
      check:mistake(place and place[name] or at, refused)
    end
  end
end

-- Links say for themselves what happens when they are full.
local function settle_links(node, outermost)
  for _, link in ipairs(node.ins) do
    link.options.full = outermost.full or link.options.full or node.options.full
  end
end

-- defaults{} < stage{} < the node < its links < -o.
function setting.settle(check, node)
  local env, all = check.env, {}
  local set = env.set and env.set[node.id] or {}
  put(check, node, env.defaults or {}, all)
  put(check, node, own(check, node), all, node)
  put(check, node, node.options, all, node)
  local links = of_links(check, node)
  for _, link in ipairs(node.ins) do put(check, node, link.options, {}, link) end
  put(check, node, links, all)
  put(check, node, set, all)
  node.tuned = next(node.options) ~= nil or next(links) ~= nil or next(set) ~= nil
  node.options = all
  settle_links(node, set)
end

-- Messages about those of -o whose stage no flow has, or for which they mean
-- nothing: set { stage = { option = value } }, graphs of flows without mistakes.
function setting.unknown(set, graphs)
  local nodes, ids, wrong = {}, {}, {}
  for _, graph in ipairs(graphs) do
    for _, node in ipairs(graph) do
      ids[#ids + 1] = node.id
      nodes[node.id] = nodes[node.id] or {}
      table.insert(nodes[node.id], node)
    end
  end
  local function complain(id, name, message, hint)
    wrong[#wrong + 1] = option.hinted(("mprun: -o %s.%s: %s"):format(id, name, message), hint)
  end
  for id, options in pairs(set) do
    for name in pairs(options) do
      local message
      for _, node in ipairs(nodes[id] or {}) do
        message = option.refused(name, node)
        if not message then break end
      end
      if message then
        complain(id, name, message)
      elseif not nodes[id] then
        complain(id, name, ("no stage '%s'"):format(id), suggest.hint(id, ids))
      end
    end
  end
  table.sort(wrong)
  return wrong
end

return setting
