-- layout: where the boxes and arrows of a drawn flow stand, when Graphviz does not say.
-- Pure.  SPDX-License-Identifier: MIT
--
-- layout(boxes, arrows, before, behind, space) -> nothing
--   Layers follow each other along; across, the boxes of a layer stand side by side.
--   boxes    list of { layer, along, across }, their sizes; each gets a and c, its middle
--   arrows   list of { from, to, pull }, to higher layers; pull: how much it wants to be
--            straight. Each gets `route`, its points { a, c } from the edge of one box
--            to that of the other: straight from the first to the second, a bend to the
--            third, straight to the fourth, and so on
--   before(n), behind(n) -> how far arrows run straight there, before and behind layer n
--   space    between neighbours in a layer
-- The steps are the usual ones: layers are given, an arrow over several gets a place in
-- each, boxes are ordered so that few arrows cross, then moved towards what they are
-- linked with.

local SWEEPS <const> = 12
local ROUNDS <const>, MORE <const> = 16, 120
local LANE <const> = 8      -- what an arrow takes of a layer that it passes
local BEND <const>, WIDE <const> = 34, 100   -- a bend's length, the least and the most

-- places: boxes, and arrows that pass ---------------------------------------------------

-- { layer, across, box | nil, up = { place … }, down = { place … }, pull }; up and down
-- list the neighbours in the layers before and behind, pull says how much they pull.
local function place_of(layers, layer, across, box)
  local p = { layer = layer, across = across, box = box, up = {}, down = {}, pull = {} }
  table.insert(layers[layer], p)
  return p
end

-- Arrows that pass pull hard at each other: nothing should make them bend.
local function link(from, to, pull)
  table.insert(from.down, to)
  table.insert(to.up, from)
  pull = pull * (from.box and 1 or 2) * (to.box and 1 or 2)
  from.pull[to], to.pull[from] = pull, pull
end

local function places(boxes, arrows)
  local layers, of, ways = {}, {}, {}
  local last = 0
  for _, b in ipairs(boxes) do last = math.max(last, b.layer) end
  for i = 1, last do layers[i] = {} end
  for _, b in ipairs(boxes) do of[b] = place_of(layers, b.layer, b.across, b) end
  for _, arrow in ipairs(arrows) do
    local way = { of[arrow.from] }
    for layer = arrow.from.layer + 1, arrow.to.layer - 1 do
      way[#way + 1] = place_of(layers, layer, LANE)
    end
    way[#way + 1] = of[arrow.to]
    for i = 2, #way do link(way[i - 1], way[i], arrow.pull) end
    ways[arrow] = way
  end
  return layers, ways
end

-- order -------------------------------------------------------------------------------

-- As the ways are walked from the first boxes on: a good beginning.
local function walk(layers)
  local seen, lists = {}, {}
  for i = 1, #layers do lists[i] = {} end
  local function visit(p)
    if seen[p] then return end
    seen[p] = true
    table.insert(lists[p.layer], p)
    for _, to in ipairs(p.down) do visit(to) end
  end
  for _, layer in ipairs(layers) do
    for _, p in ipairs(layer) do visit(p) end
  end
  return lists
end

local function number(layer)
  for i, p in ipairs(layer) do p.at = i end
end

-- How many of the arrows between a layer and the next one cross.
local function crossings_below(layer)
  local ends, n = {}, 0
  for _, p in ipairs(layer) do
    local own = {}
    for _, to in ipairs(p.down) do
      for _, other in ipairs(ends) do
        if other > to.at then n = n + 1 end
      end
      own[#own + 1] = to.at
    end
    table.move(own, 1, #own, #ends + 1, ends)
  end
  return n
end

local function crossings(layers)
  local n = 0
  for i = 1, #layers - 1 do n = n + crossings_below(layers[i]) end
  return n
end

local function mean_at(list)
  local sum = 0
  for _, p in ipairs(list) do sum = sum + p.at end
  return sum / #list
end

-- Orders a layer by where its neighbours on one side are; who has none stays.
local function by_mean(layer, side)
  local key = {}
  for i, p in ipairs(layer) do key[p] = #p[side] > 0 and mean_at(p[side]) or i end
  table.sort(layer, function(x, y)
    if key[x] ~= key[y] then return key[x] < key[y] end
    return x.at < y.at
  end)
  number(layer)
end

-- How many arrows of p cross some of q on one side, with p before q.
local function crossing(p, q, side)
  local n = 0
  for _, x in ipairs(p[side]) do
    for _, y in ipairs(q[side]) do
      if x.at > y.at then n = n + 1 end
    end
  end
  return n
end

-- Swaps neighbours where that saves crossings.
local function swap(layers)
  for _, layer in ipairs(layers) do
    for k = 1, #layer - 1 do
      local p, q = layer[k], layer[k + 1]
      if crossing(p, q, "up") + crossing(p, q, "down") > crossing(q, p, "up") + crossing(q, p, "down") then
        layer[k], layer[k + 1] = q, p
        p.at, q.at = k + 1, k
      end
    end
  end
end

local function copy(layers)
  local all = {}
  for i, layer in ipairs(layers) do all[i] = table.move(layer, 1, #layer, 1, {}) end
  return all
end

local function ordered(layers)
  layers = walk(layers)
  for _, layer in ipairs(layers) do number(layer) end
  local best, least = copy(layers), crossings(layers)
  for sweep = 1, SWEEPS do
    local down = sweep % 2 == 1
    for i = down and 2 or #layers - 1, down and #layers or 1, down and 1 or -1 do
      by_mean(layers[i], down and "up" or "down")
    end
    swap(layers)
    local n = crossings(layers)
    if n < least then best, least = copy(layers), n end
  end
  for _, layer in ipairs(best) do number(layer) end
  return best
end

-- places across ---------------------------------------------------------------------------

-- What neighbours of a layer need between their middles.
local function apart(p, q, space)
  return (p.across + q.across) / 2 + (p.box and q.box and space or space / 2)
end

-- Moves the places of a layer to where they want to be, as near as their order and
-- sizes allow: the least squares of what is left. Places that would overlap become
-- a block that moves as one.
local function settle(layer, space, want)
  local blocks, offset = {}, 0
  for i, p in ipairs(layer) do
    if i > 1 then
      offset = offset + apart(layer[i - 1], p, space)
    end
    local w, weight = want(p)
    local block = { first = i, sum = (w - offset) * weight, weight = weight }
    p.offset = offset
    while #blocks > 0 and blocks[#blocks].sum / blocks[#blocks].weight > block.sum / block.weight do
      local b = table.remove(blocks)
      block = { first = b.first, sum = b.sum + block.sum, weight = b.weight + block.weight }
    end
    blocks[#blocks + 1] = block
  end
  for n, block in ipairs(blocks) do
    local stop = blocks[n + 1] and blocks[n + 1].first - 1 or #layer
    for i = block.first, stop do layer[i].c = block.sum / block.weight + layer[i].offset end
  end
end

-- Where a place wants to be, by its neighbours on some sides.
local function wanted(sides)
  return function(p)
    local sum, weight = 0, 0
    for _, side in ipairs(sides) do
      for _, other in ipairs(p[side]) do
        local pull = p.pull[other]
        sum, weight = sum + other.c * pull, weight + pull
      end
    end
    if weight == 0 then return p.c, 0.1 end
    return sum / weight, weight
  end
end

-- The one that pulls most among those on a side, if it is the only one that does.
local function strongest(p, side)
  local found, most, second = nil, 0, 0
  for _, other in ipairs(p[side]) do
    local pull = p.pull[other]
    if pull > most then found, most, second = other, pull, most else second = math.max(second, pull) end
  end
  return most > second and found
end

-- What is nearly straight becomes straight, where there is room.
local function straighten(layers, space)
  for i = 2, #layers do
    local layer = layers[i]
    for k, p in ipairs(layer) do
      local from = strongest(p, "up")
      if from and strongest(from, "down") == p then
        local low = layer[k - 1] and layer[k - 1].c + apart(layer[k - 1], p, space) or -math.huge
        local high = layer[k + 1] and layer[k + 1].c - apart(p, layer[k + 1], space) or math.huge
        p.c = math.max(low, math.min(high, from.c))
      end
    end
  end
end

local function align(layers, space)
  for _, layer in ipairs(layers) do
    for _, p in ipairs(layer) do p.c = 0 end
    settle(layer, space, function() return 0, 1 end)
  end
  local down, up, both = wanted { "up" }, wanted { "down" }, wanted { "up", "down" }
  for _ = 1, ROUNDS do
    for i = 2, #layers do settle(layers[i], space, down) end
    for i = #layers - 1, 1, -1 do settle(layers[i], space, up) end
  end
  for _ = 1, MORE do
    for _, layer in ipairs(layers) do settle(layer, space, both) end
  end
  for _ = 1, 3 do straighten(layers, space) end    -- each makes room for the next
end

-- places along --------------------------------------------------------------------------------

-- Between two layers: the steeper the arrows are, the more room they have to bend.
local function bend(layer)
  local most = 0
  for _, p in ipairs(layer) do
    for _, to in ipairs(p.down) do most = math.max(most, math.abs(p.c - to.c)) end
  end
  return math.max(BEND, math.min(WIDE, 0.4 * most))
end

local function stretch(layers, before, behind)
  local at = 0
  for i, layer in ipairs(layers) do
    local size = 0
    for _, p in ipairs(layer) do size = math.max(size, p.box and p.box.along or 0) end
    for _, p in ipairs(layer) do
      p.first, p.last = at - before(i), at + size + behind(i)
      p.a = at + size / 2
    end
    at = at + size + behind(i) + bend(layer) + before(i + 1)
  end
end

-- arrows ----------------------------------------------------------------------------------------

-- Which of some arrows at a box meets it in the middle: the one that pulls most, or
-- between the first and the last.
local function middle(list)
  local found, most, second = nil, 0, 0
  for i, x in ipairs(list) do
    local pull = x.arrow.pull
    if pull > most then found, most, second = i, pull, most else second = math.max(second, pull) end
  end
  return most > second and found or (#list + 1) / 2
end

-- Where arrows meet a box, side by side in the order of where they come from or go to.
local function ports(arrows, ways, space)
  local sides, port = {}, {}
  local function add(box, key, arrow, other)
    sides[box] = sides[box] or { from = {}, to = {} }
    table.insert(sides[box][key], { arrow = arrow, c = other.c })
  end
  for _, arrow in ipairs(arrows) do
    local way = ways[arrow]
    add(arrow.from, "from", arrow, way[2])
    add(arrow.to, "to", arrow, way[#way - 1])
    port[arrow] = {}
  end
  for box, both in pairs(sides) do
    for key, list in pairs(both) do
      for i, x in ipairs(list) do x.order = i end
      table.sort(list, function(x, y)
        if x.c ~= y.c then return x.c < y.c end
        return x.order < y.order
      end)
      local at = middle(list)
      local most = math.max(at - 1, #list - at)
      local step = most > 0 and box.across > space and math.min(14, 0.4 * box.across / most) or 0
      for i, x in ipairs(list) do port[x.arrow][key] = (i - at) * step end
    end
  end
  return port
end

local function route(arrow, way, port)
  local from, to = arrow.from, arrow.to
  local c, last = from.c + port.from, to.c + port.to
  local points = { { from.a + from.along / 2, c }, { way[1].last, c } }
  for i = 2, #way - 1 do
    points[#points + 1] = { way[i].first, way[i].c }
    points[#points + 1] = { way[i].last, way[i].c }
  end
  points[#points + 1] = { way[#way].first, last }
  points[#points + 1] = { to.a - to.along / 2, last }
  arrow.route = points
end

return function(boxes, arrows, before, behind, space)
  local layers, ways = places(boxes, arrows)
  layers = ordered(layers)
  align(layers, space)
  stretch(layers, before, behind)
  for _, layer in ipairs(layers) do
    for _, p in ipairs(layer) do
      if p.box then p.box.a, p.box.c = p.a, p.c end
    end
  end
  local port = ports(arrows, ways, space)
  for _, arrow in ipairs(arrows) do route(arrow, ways[arrow], port[arrow]) end
end
