-- suggest: the nearest of several names to a mistyped one.  Pure.
-- SPDX-License-Identifier: MIT

local suggest = {}

-- Insertions, deletions, changes, and swaps of neighbours.
local function distance(a, b)
  local before, row = nil, {}
  for j = 0, #b do row[j] = j end
  for i = 1, #a do
    local next_ = { [0] = i }
    for j = 1, #b do
      local cost = a:byte(i) == b:byte(j) and 0 or 1
      local best = math.min(row[j] + 1, next_[j - 1] + 1, row[j - 1] + cost)
      if before and j > 1 and a:byte(i) == b:byte(j - 1) and a:byte(i - 1) == b:byte(j) then
        best = math.min(best, before[j - 2] + 1)
      end
      next_[j] = best
    end
    before, row = row, next_
  end
  return row[#b]
end

-- The nearest candidate, or nil when none is near; ties go to the first in order.
function suggest.nearest(name, candidates)
  local limit = math.max(1, #name // 3)
  local best, least
  for _, c in ipairs(candidates) do
    if c ~= name and math.abs(#c - #name) <= limit then
      local d = distance(name:lower(), c:lower())
      if d <= limit and (not least or d < least or d == least and c < best) then
        best, least = c, d
      end
    end
  end
  return best
end

function suggest.hint(name, candidates)
  local best = suggest.nearest(name, candidates)
  return best and ("did you mean '%s'?"):format(best) or nil
end

return suggest
