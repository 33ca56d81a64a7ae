-- text: a flow as lines of characters.  Pure.
-- SPDX-License-Identifier: MIT
--
--   lines -> parse*4 -> sum@path -> stdout
--            └─ !> bad -> append
--   kind
--   ├─ x: fetch*2..8 -> store -> null
--   └─ else: -> ^store
--
-- A way goes on in its line. What else leads out of a node hangs below it: the branches
-- of a group behind `&`, `|` or their label, errors behind `!>`. Where a way meets a node
-- that is drawn already, it ends in "^name". Brackets hold what shares processes; the
-- parts of one such group that are apart have its number. Arguments are left out: what
-- counts here is the shape.

local columns = require "mp.flow.columns"
local words = require "mp.flow.draw.words"

local LONGEST <const> = 100   -- columns that a way may go on in one line

local function node_text(node)
  local text = words.name(node)
  local key, pool, options = words.key(node), words.pool(node), words.options(node)
  if key then text = text .. "@" .. key end
  if pool then text = text .. "*" .. pool end
  if #options > 0 then text = text .. "{" .. table.concat(options, ", ") .. "}" end
  return text
end

-- "->", "=>", "!>"; with something to say about the link "-12->".
local function arrow(self, link)
  local notes = words.notes(link, self.extra)
  if #notes == 0 then return link.op end
  local op = link.op == "!>" and "-!>" or link.op
  return op:sub(1, 1) .. table.concat(notes, ", ") .. op:sub(-2)
end

local function opening(self, node)
  local group = self.of[node]
  if not group then return "" end
  self.bracketed = true
  return self.numbers[group] and ("[%d: "):format(self.numbers[group]) or "["
end

-- ways ---------------------------------------------------------------------------
-- A block is { text =, hang = { { column, branches } … }, rest = what goes on below }.
-- A branch is a function that makes a block: what comes first on the page is made
-- first, so that names come before the references to them.

local way

-- What comes behind a branch's mark.
local function behind(self, mark, outlet)
  return function()
    if outlet.kind ~= "to" then return { text = mark, hang = { { 0, self:branches(outlet) } } } end
    local sign = arrow(self, outlet)
    if #sign > 2 or sign == "=>" then mark = sign:find "!>$" and sign or mark .. " " .. sign end
    return way(self, mark .. " ", outlet.to)
  end
end

local Drawing = {}
Drawing.__index = Drawing

function Drawing:branches(outlet)
  local list = {}
  for i, part in ipairs(outlet) do
    local label = words.label(outlet, i)
    list[i] = behind(self, label and label .. ":" or outlet.kind == "all" and "&" or "|", part)
  end
  if outlet.other then list[#list + 1] = behind(self, "else:", outlet.other) end
  return list
end

-- The ways out of a node that do not go on in its line.
function Drawing:hanging(node)
  local list = {}
  if node.out and node.out.kind ~= "to" then list = self:branches(node.out) end
  local err = node.err
  if err then list[#list + 1] = behind(self, "!>", err) end
  return list
end

-- A way from a node on. `before` is what stands in front of it.
function way(self, before, node)
  local block = { text = before, hang = {} }
  while true do
    if self.drawn[node] then
      block.text = block.text .. "^" .. words.name(node)
      return block
    end
    self.drawn[node] = true
    local group = self.of[node]
    if group ~= block.group then block.text = block.text .. opening(self, node) end
    block.group = group
    local branches = self:hanging(node)
    if #branches > 0 then table.insert(block.hang, { columns.width(block.text), branches }) end
    block.text = block.text .. node_text(node)
    local link = node.out and node.out.kind == "to" and node.out
    local to = link and link.to
    if group and (not to or self.of[to] ~= group or self.drawn[to]) then
      block.text = block.text .. "]"
      block.group = nil
    end
    if not link then return block end
    local sign = arrow(self, link) .. " "
    if columns.width(block.text) > LONGEST and not block.group then
      block.rest = function() return way(self, sign, to) end
      return block
    end
    block.text = block.text .. " " .. sign
    node = to
  end
end

-- lines --------------------------------------------------------------------------

-- Spaces up to a column, with the lines that go down to those that hang further left.
local function gutter(hang, n)
  local text, at = {}, 0
  for i = 1, n - 1 do
    text[#text + 1] = (" "):rep(hang[i][1] - at) .. "│"
    at = hang[i][1] + 1
  end
  text[#text + 1] = (" "):rep(hang[n][1] - at)
  return table.concat(text)
end

local function lines(block, out)
  out[#out + 1] = block.text
  for n = #block.hang, 1, -1 do
    local left, branches = gutter(block.hang, n), block.hang[n][2]
    for i, branch in ipairs(branches) do
      local last = i == #branches
      for k, line in ipairs(lines(branch(), {})) do
        out[#out + 1] = left .. (k > 1 and (last and "   " or "│  ") or last and "└─ " or "├─ ") .. line
      end
    end
  end
  if block.rest then
    for _, line in ipairs(lines(block.rest(), {})) do out[#out + 1] = "  " .. line end
  end
  return out
end

-- Groups that are not one way, from one node to the next, have a number.
local function numbers(groups, of)
  local list, n = {}, 0
  for _, group in ipairs(groups) do
    local steps = 0
    for _, node in ipairs(group) do
      if node.out and node.out.kind == "to" and of[node.out.to] == group then steps = steps + 1 end
    end
    if steps < #group - 1 then
      n = n + 1
      list[group] = n
    end
  end
  return list
end

return function(graph, extra)
  local groups, of = words.shared(graph, extra)
  local self = setmetatable({ extra = extra, drawn = {}, of = of, numbers = numbers(groups, of) }, Drawing)
  local out = { extra.title and columns.clean(extra.title) }
  for _, node in ipairs(graph) do
    if #node.ins == 0 then lines(way(self, "", node), out) end
  end
  if self.bracketed then out[#out + 1] = "[ ]: in the same processes" end
  return (table.concat(out, "\n"):gsub(" +\n", "\n"))
end
