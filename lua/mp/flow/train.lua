-- train: how items travel in an ordered region.  Pure.
-- SPDX-License-Identifier: MIT
--
-- A train is a list { id, weight, flag, positions, item, item, …, n = }:
--   id         origin << 54 | task << 34 | number: of one origin they follow one
--              another: number by number, and after a LAST one the next task's first
--   weight     1 where it began; divided where ways part
--   flag       LAST: the last of its task; MARK: a window ends behind it;
--              plus BRANCH times the number of the branch that it came along,
--              where several meet
--   positions  false, or for each item where it stood in the train that began
-- Two trains with one id are parts of the same one. LATE is the id of those behind all
-- others: what came of no item, but of a stage's end.

local train = { HEAD = 4, LAST = 1, MARK = 2, BRANCH = 16, LATE = -1 }

local TASK <const>, ORIGIN <const> = 34, 54

function train.first(origin, task) return origin << ORIGIN | (task or 0) << TASK | 1 end
function train.origin(id) return id >> ORIGIN end

-- The id behind one with this flag.
function train.following(id, flag)
  if flag & 15 == train.LAST then return ((id >> TASK) + 1) << TASK | 1 end
  return id + 1
end

-- Items of several parts in the order in which they began; what came of one item
-- along several branches in the order of those.
function train.merged(parts)
  if #parts == 1 then return parts[1] end
  local rows = {}
  for at, part in ipairs(parts) do
    local positions, branch = part[4], part[3] // train.BRANCH
    for i = 5, part.n do
      rows[#rows + 1] = { positions and positions[i - 4] or 0, branch, at, i, part[i] }
    end
  end
  table.sort(rows, function(a, b)
    for k = 1, 3 do
      if a[k] ~= b[k] then return a[k] < b[k] end
    end
    return a[4] < b[4]
  end)
  local whole = { parts[1][1], 0, parts[1][3] % train.BRANCH, {}, n = 4 + #rows }
  for i, row in ipairs(rows) do whole[4 + i], whole[4][i] = row[5], row[1] end
  return whole
end

-- What two branches made of the same items, as pairs; a half without its other
-- one is dropped.
function train.paired(parts)
  local lefts, rights = {}, {}
  for _, part in ipairs(parts) do
    local side = part[3] // train.BRANCH == 1 and lefts or rights
    for i = 5, part.n do
      local at = part[4][i - 4]
      side[at] = side[at] or {}
      table.insert(side[at], part[i])
    end
  end
  local places = {}
  for at in pairs(lefts) do
    if rights[at] then places[#places + 1] = at end
  end
  table.sort(places)
  local whole = { parts[1][1], 0, parts[1][3] % train.BRANCH, {}, n = 4 }
  for _, at in ipairs(places) do
    for i = 1, math.min(#lefts[at], #rights[at]) do
      local n = whole.n + 1
      whole.n, whole[n], whole[4][n - 4] = n, { lefts[at][i], rights[at][i] }, at
    end
  end
  return whole
end

return train
