-- dot: a drawn flow in the language of Graphviz.  Pure.
-- SPDX-License-Identifier: MIT
--
-- dot(scene) -> text; parts have classes, which end up in svg

local style = require "mp.flow.draw.style"

local escape = style.escape
local colours = style.light

local function quoted(s) return '"' .. s:gsub('[\\"]', "\\%0") .. '"' end

local function attributes(list)
  local texts = {}
  for name, value in pairs(list) do
    value = tostring(value)
    texts[#texts + 1] = name .. "=" .. (value:find "^<.*>$" and value or quoted(value))
  end
  table.sort(texts)
  return "[" .. table.concat(texts, ", ") .. "]"
end

local function font(text, size, colour, family)
  return ('<FONT POINT-SIZE="%d" COLOR="%s"%s>%s</FONT>'):format(size, colour,
    family and (' FACE="%s"'):format(family) or "", escape(text))
end

local function label(box)
  local lines = { box.command and font(box.name, 12, colours.ink, style.MONO)
                  or "<B>" .. font(box.name, 13, colours.ink) .. "</B>" }
  for i, line in ipairs(box.small) do
    lines[i + 1] = font(line.text, 10, line.failed and colours.failed or colours.soft)
  end
  return "<" .. table.concat(lines, "<BR/>") .. ">"
end

local shapes = { source = "ellipse", sink = "ellipse" }

local function box(b)
  if b.role == "fork" then
    return attributes { shape = "circle", label = "", width = 0.14, height = 0.14, fixedsize = "true",
      style = "filled", class = "box fork", fillcolor = colours.fork.fill, color = colours.fork.line }
  end
  local kind = b.command and "command" or b.role
  return attributes { label = label(b), class = "box " .. kind, shape = shapes[b.role] or "box",
    style = shapes[b.role] and "filled" or "filled,rounded",
    fillcolor = colours[kind].fill, color = colours[kind].line }
end

local function arrow(a)
  local list = { class = "arrow", weight = a.op == "!>" and 1 or 4 }
  if a.op == "!>" then
    list.style, list.color, list.fontcolor, list.class = "dashed", colours.failed, colours.failed, "arrow error"
  elseif a.op == "=>" then
    list.color = colours.line .. ":invis:" .. colours.line
  end
  list.arrowhead = a.to.role == "fork" and "none" or nil
  list.label = a.label and " " .. a.label .. " "
  return attributes(list)
end

local function cluster(i, group, add)
  add(1, ("subgraph cluster_%d {"):format(i))
  add(2, "graph " .. attributes { class = "group", style = "filled,rounded", margin = 10,
    fillcolor = colours.group.fill, color = colours.group.line, label = "" } .. ";")
  for _, b in ipairs(group) do add(2, b.id .. ";") end
  add(1, "}")
end

-- What the patches mean: a box by itself, as a cluster's own label lies across its arrows.
local function legend(add)
  add(1, "legend " .. attributes { label = "same processes", class = "group", shape = "box", style = "filled,rounded",
    fillcolor = colours.group.fill, color = colours.group.line, fontcolor = colours.group.line,
    fontsize = 9, height = 0.2, margin = "0.08,0.03" } .. ";")
end

return function(scene)
  local out = { "digraph flow {" }
  local function add(indent, text) out[#out + 1] = ("  "):rep(indent) .. text end
  add(1, "graph " .. attributes { rankdir = scene.tall and "TB" or "LR", bgcolor = "transparent", pad = 0.15,
    nodesep = 0.3, ranksep = 0.5, fontname = style.FONT, fontsize = 14, fontcolor = colours.ink,
    label = scene.title, labelloc = "t" } .. ";")
  add(1, "node " .. attributes { fontname = style.FONT, fontsize = 13, penwidth = 1.3, margin = "0.16,0.09",
    height = 0.42 } .. ";")
  add(1, "edge " .. attributes { fontname = style.FONT, fontsize = 10, color = colours.line, penwidth = 1.3,
    fontcolor = colours.line, arrowsize = 0.75 } .. ";")
  for i, group in ipairs(scene.groups) do cluster(i, group, add) end
  for _, b in ipairs(scene.boxes) do add(1, b.id .. " " .. box(b) .. ";") end
  for _, a in ipairs(scene.arrows) do add(1, ("%s -> %s %s;"):format(a.from.id, a.to.id, arrow(a))) end
  if #scene.groups > 0 then legend(add) end
  add(0, "}")
  return table.concat(out, "\n")
end
