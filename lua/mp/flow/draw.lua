-- draw: a flow as text, one chain a line.  Pure.
-- SPDX-License-Identifier: MIT

local function node_text(node)
  local text = node.id
  if node.key then text = text .. "@" .. node.key.name end
  if node.pool then text = text .. "*" .. node.pool end
  return text
end

-- draw(nodes) -> text: each source's way to its sink; a stage where ways meet
-- is drawn once, later ways end in "^name".
return function(nodes)
  local drawn, lines = {}, {}
  for _, node in ipairs(nodes) do
    if #node.before == 0 then
      local parts, at = {}, node
      while at and not drawn[at] do
        drawn[at] = true
        parts[#parts + 1] = node_text(at)
        at = at.next
      end
      if at then parts[#parts + 1] = "^" .. at.id end
      lines[#lines + 1] = table.concat(parts, " -> ")
    end
  end
  return table.concat(lines, "\n")
end
