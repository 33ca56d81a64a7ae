-- svg: a drawn flow as a page of its own, for light and dark surroundings.  Pure.
-- SPDX-License-Identifier: MIT
--
-- svg(scene) -> text. A flow runs to the right, a tall one downwards. What shares
-- processes lies on one patch.

local layout = require "mp.flow.draw.layout"
local style = require "mp.flow.draw.style"

local escape = style.escape
local colours = style.light

local NAME <const>, SMALL <const>, LABEL <const> = 13, 10, 10.5   -- sizes of text
local STEP <const> = 13.5                  -- from one small line to the next
local PAD <const> = { x = 15, y = 10 }     -- between a box's edge and its text
local RUN <const> = 14                     -- how far an arrow runs straight at least
local HEAD <const> = { 8, 3.6 }            -- an arrow's head
local PATCH <const> = 7                    -- how far a patch reaches over its boxes
local SPACE <const> = 26                   -- between boxes
local MARGIN <const> = 16

-- sizes ----------------------------------------------------------------------------

local function measure(b)
  if b.role == "fork" then
    b.w, b.h = 10, 10
    return
  end
  local w = style.width(b.name, NAME, b.command)
  for _, line in ipairs(b.small) do w = math.max(w, style.width(line.text, SMALL)) end
  b.h = 2 * PAD.y + NAME + #b.small * STEP
  b.w = math.max(52, w + 2 * PAD.x) + (b.role ~= "between" and b.h / 3 or 0)
end

-- Where the labels of arrows stand: at the end that is an arrow's own, as there none
-- is in another's way; if both are shared, where it passes a layer, or on its bend.
local function place_labels(scene)
  local into, out = {}, {}
  for _, a in ipairs(scene.arrows) do
    into[a.to], out[a.from] = (into[a.to] or 0) + 1, (out[a.from] or 0) + 1
  end
  for _, a in ipairs(scene.arrows) do
    a.at = a.label and (into[a.to] == 1 and "to" or out[a.from] == 1 and "from" or "between")
  end
end

-- How far arrows run straight before and behind each layer: labels need room there.
local function runs(scene)
  local before, behind = {}, {}
  local least = scene.tall and 9 or RUN
  local function need(list, layer, a)
    local size = scene.tall and LABEL + 6 or style.width(a.label, LABEL) + 12
    list[layer] = math.max(list[layer] or least, size + (list == before and HEAD[1] or 0))
  end
  for _, a in ipairs(scene.arrows) do
    if a.at == "to" then need(before, a.to.layer, a) end
    if a.at == "from" then need(behind, a.from.layer, a) end
  end
  return function(n) return before[n] or least end, function(n) return behind[n] or least end
end

local function place(scene)
  for _, b in ipairs(scene.boxes) do
    measure(b)
    b.along, b.across = b.w, b.h
    if scene.tall then b.along, b.across = b.h, b.w end
  end
  place_labels(scene)
  for _, a in ipairs(scene.arrows) do a.pull = a.op == "!>" and 0.004 or 1 end
  if scene.tall then     -- a label stands beside its arrow, before the box
    for _, a in ipairs(scene.arrows) do
      local b = a.at == "to" and a.to or a.at == "from" and a.from
      if b then b.across = math.max(b.across, 2 * style.width(a.label, LABEL) + 12) end
    end
  end
  local before, behind = runs(scene)
  layout(scene.boxes, scene.arrows, before, behind, SPACE)
  for _, b in ipairs(scene.boxes) do
    b.x, b.y = b.a, b.c
    if scene.tall then b.x, b.y = b.c, b.a end
  end
end

-- marks ------------------------------------------------------------------------------

local function tag(name, attributes, inside)
  local texts = {}
  for k, v in pairs(attributes) do
    if math.type(v) == "float" then v = ("%.1f"):format(v):gsub("%.0$", "") end
    texts[#texts + 1] = (' %s="%s"'):format(k, escape(tostring(v)))
  end
  table.sort(texts)
  return ("<%s%s%s"):format(name, table.concat(texts), inside and ">" .. inside .. "</" .. name .. ">" or "/>")
end

local function words(text, attributes)
  return tag("text", attributes, escape(text))
end

-- A point of the layout as "x y".
local function at(scene, a, c)
  if scene.tall then a, c = c, a end
  return ("%.1f %.1f"):format(a, c)
end

-- The way of an arrow, moved `aside`, and ended `short` of its box.
local function way(scene, a, aside, short)
  local r = a.route
  local d = { "M" .. at(scene, r[1][1], r[1][2] + aside) }
  for i = 2, #r do
    local from, to = r[i - 1], r[i]
    if i % 2 == 0 then
      d[#d + 1] = "L" .. at(scene, to[1] - (i == #r and short or 0), to[2] + aside)
    else
      local middle = (from[1] + to[1]) / 2
      d[#d + 1] = ("C%s %s %s"):format(at(scene, middle, from[2] + aside), at(scene, middle, to[2] + aside),
                                      at(scene, to[1], to[2] + aside))
    end
  end
  return table.concat(d)
end

-- arrows -----------------------------------------------------------------------------------

local function head(scene, a, colour)
  local tip = a.route[#a.route]
  local function point(back, aside) return at(scene, tip[1] - back, tip[2] + aside) end
  local wide = a.op == "=>" and HEAD[2] + 1.4 or HEAD[2]
  return tag("polygon", { fill = colour, stroke = colour, ["stroke-width"] = 1, ["stroke-linejoin"] = "round",
    points = table.concat({ point(0.5, 0), point(HEAD[1], -wide), point(HEAD[1], wide) }, " ") })
end

local function label(scene, a, colour)
  local r = a.route
  local from, to = r[1], r[2]
  if a.at == "to" then from, to = r[#r - 1], { r[#r][1] - HEAD[1], r[#r][2] } end
  if a.at == "between" then from, to = r[#r > 4 and 3 or 2], r[#r > 4 and 4 or 3] end
  local along, across = (from[1] + to[1]) / 2, (from[2] + to[2]) / 2
  local o = { ["font-size"] = LABEL, fill = colour }
  if scene.tall then
    o.x, o.y = across + 6.0, along + LABEL / 3
  else
    o.x, o.y, o["text-anchor"] = along, across - 5, "middle"
  end
  return words(a.label, o)
end

local function arrow(scene, a)
  local err = a.op == "!>"
  local colour = err and colours.failed or colours.line
  local o = { fill = "none", stroke = colour, ["stroke-width"] = 1.4, ["stroke-dasharray"] = err and "5 3" or nil }
  local ends = a.to.role ~= "fork"
  local inside = {}
  for _, aside in ipairs(a.op == "=>" and { -1.8, 1.8 } or { 0 }) do
    o.d = way(scene, a, aside, ends and HEAD[1] - 1 or 0)
    inside[#inside + 1] = tag("path", o)
  end
  if ends then inside[#inside + 1] = head(scene, a, colour) end
  if a.label then inside[#inside + 1] = label(scene, a, colour) end
  return tag("g", { class = err and "arrow error" or "arrow" }, table.concat(inside))
end

-- boxes ----------------------------------------------------------------------------------------

local function frame(b, more)
  local h = b.h + 2 * more
  return { x = b.x - b.w / 2 - more, y = b.y - h / 2, width = b.w + 2 * more, height = h,
           rx = (b.role == "between" and 9 or b.h / 2) + more }
end

local function box(b)
  local kind = b.command and "command" or b.role
  local o = frame(b, 0)
  o.fill, o.stroke, o["stroke-width"] = colours[kind].fill, colours[kind].line, 1.4
  local inside = { tag("rect", o) }
  if b.name then
    local y = b.y - b.h / 2 + PAD.y + NAME * 0.82
    inside[2] = words(b.name, { x = b.x, y = y, ["text-anchor"] = "middle", fill = colours.ink, ["font-size"] = NAME,
      ["font-weight"] = not b.command and "bold" or nil, ["font-family"] = b.command and style.MONO or nil })
    for i, line in ipairs(b.small) do
      inside[#inside + 1] = words(line.text, { x = b.x, y = y + 1 + i * STEP, ["text-anchor"] = "middle",
        class = line.failed and "failed" or "small", fill = line.failed and colours.failed or colours.soft,
        ["font-size"] = SMALL })
    end
  end
  return tag("g", { class = "box " .. kind }, table.concat(inside))
end

-- The patch that a group lies on: its boxes and what leads from one to another of
-- them, grown by some; first its rim, then the patch itself.
local function patch(scene, group)
  local member, out = {}, {}
  for _, b in ipairs(group) do member[b] = true end
  for _, layer in ipairs { { "rim", 1, colours.group.line }, { "hull", 0, colours.group.fill } } do
    local class, more, colour = table.unpack(layer)
    local inside = {}
    for _, a in ipairs(scene.arrows) do
      if member[a.from] and member[a.to] then
        inside[#inside + 1] = tag("path", { d = way(scene, a, 0, 0), fill = "none", stroke = colour,
          ["stroke-width"] = (a.label and not scene.tall and 34 or 20) + 2 * more })
      end
    end
    for _, b in ipairs(group) do
      local o = frame(b, PATCH + more)
      o.fill = colour
      inside[#inside + 1] = tag("rect", o)
    end
    out[#out + 1] = tag("g", { class = class }, table.concat(inside))
  end
  return table.concat(out, "\n")
end

-- the page ---------------------------------------------------------------------------------------

-- What everything lies in: x, y of its corners.
local function bounds(scene)
  local x1, y1, x2, y2 = math.huge, math.huge, -math.huge, -math.huge
  local function take(x, y)
    x1, y1, x2, y2 = math.min(x1, x), math.min(y1, y), math.max(x2, x), math.max(y2, y)
  end
  for _, b in ipairs(scene.boxes) do
    take(b.x - b.w / 2 - PATCH, b.y - b.h / 2 - PATCH)
    take(b.x + b.w / 2 + PATCH, b.y + b.h / 2 + PATCH)
  end
  for _, a in ipairs(scene.arrows) do
    for _, p in ipairs(a.route) do
      local x, y = p[1], p[2]
      if scene.tall then x, y = y, x end
      take(x - 4, y - 14)
      take(x + (scene.tall and a.label and style.width(a.label, LABEL) + 8 or 4), y + 4)
    end
  end
  return x1, y1, x2, y2
end

local function legend(x, y)
  return tag("g", { class = "group" },
    tag("rect", { x = x, y = y, width = 16, height = 11, rx = 4, fill = colours.group.fill,
                  stroke = colours.group.line })
    .. words("same processes", { x = x + 22, y = y + 9, ["font-size"] = 9.5, fill = colours.group.line }))
end

return function(scene)
  place(scene)
  local out, x1, y1, x2, y2 = {}, bounds(scene)
  local function add(text) out[#out + 1] = text end
  for _, group in ipairs(scene.groups) do add(patch(scene, group)) end
  for _, a in ipairs(scene.arrows) do add(arrow(scene, a)) end
  for _, b in ipairs(scene.boxes) do add(box(b)) end
  if #scene.groups > 0 then
    add(legend(x1 + PATCH, y2 + 10))
    x2, y2 = math.max(x2, x1 + 110), y2 + 22
  end
  if scene.title then
    y1, x2 = y1 - 26, math.max(x2, x1 + style.width(scene.title, 14) + PATCH)
    add(words(scene.title, { class = "title", x = x1 + PATCH, y = y1 + 12.0, fill = colours.ink, ["font-size"] = 14,
                             ["font-weight"] = "bold" }))
    table.insert(out, 1, tag("title", {}, escape(scene.title)))
  end
  table.insert(out, 1, tag("style", {}, style.css()))
  local w, h = x2 - x1 + 2 * MARGIN, y2 - y1 + 2 * MARGIN
  local box_of = ("%.1f %.1f %.1f %.1f"):format(x1 - MARGIN, y1 - MARGIN, w, h)
  return tag("svg", { xmlns = "http://www.w3.org/2000/svg", width = w, height = h, viewBox = box_of,
    ["font-family"] = style.FONT }, "\n" .. table.concat(out, "\n") .. "\n")
end
