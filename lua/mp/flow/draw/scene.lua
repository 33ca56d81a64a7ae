-- scene: the boxes and arrows of a drawn flow, wherever they will stand.  Pure.
-- SPDX-License-Identifier: MIT
--
-- scene(graph, extra) -> { boxes, arrows, groups, title, tall }
--   box     { id = "n1", role = "source" | "between" | "sink" | "fork", command = true | nil,
--             name, small = list of { text, failed = true | nil }, layer = from 1 on }
--           A fork stands where items go to whichever is free; it has no name.
--   arrow   { from = box, to = box, op = "->" | "=>" | "!>", label = text | nil }
--   groups  lists of boxes that share processes
--   tall    it is long, and better drawn from top to bottom
-- Arrows lead to higher layers; a source stands just before who reads it.

local bar = require "mp.bar"
local columns = require "mp.flow.columns"
local words = require "mp.flow.draw.words"

local LINE <const> = 30     -- columns of a small line
local LONG <const> = 9      -- layers of a flow that is drawn downwards

-- boxes --------------------------------------------------------------------------

-- Texts in lines that are not too long.
local function filled(texts)
  local list = {}
  for _, text in ipairs(texts) do
    local last = list[#list]
    if last and columns.width(last) + columns.width(text) + 3 <= LINE then
      list[#list] = last .. " · " .. text
    else
      list[#list + 1] = text
    end
  end
  return list
end

local function marks(node)
  local list = {}
  local pool, key = words.pool(node), words.key(node)
  if pool then list[1] = "×" .. pool:gsub("%.%.", "–") end
  if key then list[#list + 1] = "by " .. key end
  table.move(words.options(node), 1, 100, #list + 1, list)
  return list
end

local function numbers(node, row)
  local list = {}
  if node.role ~= "source" then list[1] = bar.count(row.taken or 0) .. " in" end
  if node.role ~= "sink" then list[#list + 1] = bar.count(row.given or 0) .. " out" end
  if row.busy then list[#list + 1] = ("%.1f s"):format(row.busy) end
  return list
end

local function small(node, row)
  local list = {}
  local function add(texts)
    for _, text in ipairs(filled(texts)) do list[#list + 1] = { text = text } end
  end
  add { words.args(node) }
  add(marks(node))
  if row then
    add(numbers(node, row))
    if (row.failed or 0) > 0 then list[#list + 1] = { text = bar.count(row.failed) .. " failed", failed = true } end
  end
  return list
end

local function box(self, role)
  local b = { id = "n" .. #self.boxes + 1, role = role, small = {} }
  table.insert(self.boxes, b)
  return b
end

local function node_box(self, node)
  local b = box(self, node.role)
  b.command = node.spec and node.spec.kind == "command" or nil
  b.name = words.name(node)
  if b.command then b.name = b.name:gsub("^`", ""):gsub("`(#?%d*)$", "%1") end
  b.small = small(node, self.extra.rows and self.extra.rows[node])
  return b
end

-- arrows -------------------------------------------------------------------------

-- What a way is called, and one more.
local function joined(label, more)
  return label and more and label .. " · " .. more or label or more
end

-- The arrows of an outlet. `label`: what the way has been called so far.
local function lead(self, from, outlet, label)
  if outlet.kind == "to" then
    for _, note in ipairs(words.notes(outlet, self.extra)) do label = joined(label, note) end
    table.insert(self.arrows, { from = from, to = self.of[outlet.to], op = outlet.op, label = label })
    return
  end
  if outlet.kind == "any" and #outlet > 1 then
    local fork = box(self, "fork")
    local first = outlet
    while first.kind ~= "to" do first = first[1] or first.other end
    table.insert(self.arrows, { from = from, to = fork, op = first.op, label = label })
    from, label = fork, nil
  end
  for i, part in ipairs(outlet) do lead(self, from, part, joined(label, words.label(outlet, i))) end
  if outlet.other then lead(self, from, outlet.other, joined(label, words.label(outlet))) end
end

-- layers ---------------------------------------------------------------------------

local function layers(self)
  local into, out, deepest = {}, {}, 0
  for _, b in ipairs(self.boxes) do into[b], out[b] = {}, {} end
  for _, a in ipairs(self.arrows) do
    table.insert(into[a.to], a.from)
    table.insert(out[a.from], a.to)
  end
  local function layer(b)
    if not b.layer then
      local most = 0
      for _, from in ipairs(into[b]) do most = math.max(most, layer(from)) end
      b.layer = most + 1
      deepest = math.max(deepest, b.layer)
    end
    return b.layer
  end
  for _, b in ipairs(self.boxes) do layer(b) end
  for _, b in ipairs(self.boxes) do
    if #into[b] == 0 and #out[b] > 0 then
      local least = math.huge
      for _, to in ipairs(out[b]) do least = math.min(least, to.layer) end
      b.layer = least - 1
    end
  end
  return deepest
end

return function(graph, extra)
  local self = { boxes = {}, arrows = {}, groups = {}, of = {}, extra = extra,
                 title = extra.title and columns.clean(extra.title) }
  for _, node in ipairs(graph) do self.of[node] = node_box(self, node) end
  for _, node in ipairs(graph) do
    if node.out then lead(self, self.of[node], node.out) end
    if node.err then lead(self, self.of[node], node.err) end
  end
  for i, group in ipairs((words.shared(graph, extra))) do
    local boxes = {}
    for k, node in ipairs(group) do boxes[k] = self.of[node] end
    self.groups[i] = boxes
  end
  self.tall = layers(self) > LONG
  return self
end
