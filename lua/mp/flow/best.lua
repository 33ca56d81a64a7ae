-- best: the n best of all items that were added, in memory for about 2n.  Pure.
-- SPDX-License-Identifier: MIT
--
-- best(n, by) -> b
--   b.add(v)              an item; raises where by(v) cannot be compared
--   b.list() -> list      the best ones, with n, the greatest by(v) first.  Ties are
--                         in the order of keys (the first field of a table; what
--                         is no table is its own key), then in that of arrival
--   b.new() -> list       those added since the last new() that may yet be among
--                         the best
-- To add the list(), or every new(), of one to another makes them equal: only
-- what is equal in all is in the order of arrival, and stays so in a list.

local compare = require "mp.flow.compare"

local SLACK <const> = 64

local VALUE <const>, ARRIVAL <const>, ITEM <const>, KEY <const> = 1, 2, 3, 4

local ranks = { number = 1, string = 2 }
local function rank(k) return k == k and ranks[type(k)] or 3 end

local function tie(a, b)
  local x, y = a[KEY], b[KEY]
  local p, q = rank(x), rank(y)
  if p ~= q then return p < q end
  if p < 3 then
    if x < y then return true end
    if y < x then return false end
  end
  return a[ARRIVAL] < b[ARRIVAL]
end

local function better(a, b)
  local x, y = a[VALUE], b[VALUE]
  if x > y then return true end
  if y > x then return false end
  return tie(a, b)
end

-- Rows of which the best n are kept; one that is not better than `worst` is none
-- of them.
local Shortlist = {}
Shortlist.__index = Shortlist

local function shortlist(n) return setmetatable({ n = n, count = 0 }, Shortlist) end

function Shortlist:cut()
  local n = self.n
  table.sort(self, better)
  for i = self.count, n + 1, -1 do self[i] = nil end
  self.count = math.min(self.count, n)
  self.worst = self[n]
end

-- false where it is not among the best.
function Shortlist:add(row)
  if self.worst and not better(row, self.worst) then return false end
  local count = self.count + 1
  self.count, self[count] = count, row
  if count >= 2 * self.n + SLACK then self:cut() end
  return true
end

function Shortlist:items()
  self:cut()
  local list = { n = self.count }
  for i = 1, list.n do list[i] = self[i][ITEM] end
  return list
end

return function(n, by)
  local check = compare "top"
  local whole, new, arrived = shortlist(n), shortlist(n), 0
  local self = {}

  function self.add(v)
    local value, worst = check(by(v), v), whole.worst
    if worst and value < worst[VALUE] then return end
    local row = { value, arrived + 1, v, type(v) == "table" and v[1] or v }
    if whole:add(row) then
      arrived = arrived + 1
      new:add(row)
    end
  end

  function self.list() return whole:items() end

  function self.new()
    local last = new
    new = shortlist(n)
    return last:items()
  end

  return self
end
