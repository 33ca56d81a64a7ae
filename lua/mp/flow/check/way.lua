-- way: outlets, the ways that lead out of a node.  Pure.
-- SPDX-License-Identifier: MIT
--
-- An outlet is one of
--   { kind = "to", to = node, from = node, op, options, pos, len }, a link
--   { kind = "all", outlet, outlet, … }      each of them
--   { kind = "any", outlet, outlet, … }      whichever is free
--   { kind = "route", outlet, …, labels = { "x", … }, other = outlet | nil }
-- labels[i] belongs to outlet i; `other` takes what no label names.  Groups have
-- the pos and len of their bracket.

local way = {}

-- Calls f(outlet) for an outlet and all that it consists of.
function way.each(outlet, f)
  if not outlet then return end
  f(outlet)
  for _, part in ipairs(outlet) do way.each(part, f) end
  way.each(outlet.other, f)
end

-- The links of an outlet, as a list.
function way.links(outlet)
  local list = {}
  way.each(outlet, function(o)
    if o.kind == "to" then list[#list + 1] = o end
  end)
  return list
end

-- Whether two outlets lead to the same nodes in the same manner.
function way.same(a, b)
  if not (a and b) then return a == b end
  if a.kind ~= b.kind or a.to ~= b.to or #a ~= #b then return false end
  for i, part in ipairs(a) do
    local label = a.labels and a.labels[i]
    if label ~= (b.labels and b.labels[i]) or not way.same(part, b[i]) then return false end
  end
  return way.same(a.other, b.other)
end

local signs = { all = " & ", any = " | ", route = " | " }

-- As it is written: "b", "(b & c)", "(x: b | else: c)".
function way.text(outlet)
  if outlet.kind == "to" then return outlet.to.id end
  local parts = {}
  for i, part in ipairs(outlet) do
    local label = outlet.labels and outlet.labels[i]
    if label and not label:find "^[%a_][%w_]*$" then label = ("%q"):format(label) end
    parts[i] = (label and label .. ": " or "") .. way.text(part)
  end
  if outlet.other then parts[#parts + 1] = "else: " .. way.text(outlet.other) end
  return "(" .. table.concat(parts, signs[outlet.kind]) .. ")"
end

-- Whether items, or errors, of one node may come to another.
function way.leads(from, to)
  local seen = {}
  local function search(node)
    if node == to then return true end
    if seen[node] then return false end
    seen[node] = true
    for _, field in ipairs { "out", "err" } do
      for _, link in ipairs(way.links(node[field])) do
        if search(link.to) then return true end
      end
    end
    return false
  end
  return search(from)
end

return way
