-- ledger: what a worker must remember, so that its death costs nothing.
-- SPDX-License-Identifier: MIT
--
-- Each commit also puts what changed into a link that belongs to this worker
-- alone. So state, finished items and results change in one store, and a worker
-- that takes a dead one's place reads the link and has what was committed, no
-- more and no less. When the link has become much longer than the state, the
-- commit takes all that is in it and puts one full copy in its place: what is
-- written is in proportion to what was done.
--
-- What is kept:
--   states   of the worker's stages (`op.state`, see operator): what changed, where
--            the state can tell and it is not much; else the items themselves,
--            which a successor works through again, unheard (`replay`)
--   notes    values that replace each other: how far a fold's results have gone,
--            an item that emits more than fits into one commit, a source's mark
-- Where a state cannot be sent the ledger is given up, in a commit that says so to
-- the owner, and a death ends the run.
--
-- ledger.new{ link, core, states = { [place] = state }, head = place whose items are
--             logged, parts = those are added up already (combiner),
--             replay = function(items), lost = function() -> link, message }
--   recover() -> notes | nil       what the worker before this one had
--   note(name, value)              nil: no more
--   before(items, from, to) -> items as they are before the head stage works them
--                                  through, for took: an accumulator may take one
--                                  over, and change it
--   took(items, from, to)          items that the head stage worked through
--   load(args, n) -> n             adds what belongs to the commit to its arguments
--   committed(), refresh()

local ledger = {}
ledger.__index = ledger

local SLACK <const> = 4096          -- entries before a full copy
local PER_ITEM <const> = 16         -- a change may be so much heavier than its items

local function no_items() return { n = 0, weight = 0 } end

-- Of what a producer has added up: packed counts, or values.
local function part_weight(part)
  return type(part[1]) == "string" and part.n == 1 and #part[1] // 16 + 1 or part.n + 1
end

function ledger.new(t)
  local self = setmetatable(t, ledger)
  self.length, self.whole, self.notes, self.items = 0, 0, {}, no_items()
  return self
end

-- Takes all that is in the link into this transaction.
local function take(self)
  local messages = {}
  while true do
    local list = self.link:lease(256, 0)
    if not list then return messages end
    for i = 1, list.n do messages[#messages + 1] = list[i] end
  end
end

local function apply(self, m)
  for place, value in pairs(m.all or {}) do self.states[place].load(value) end
  if m.log then self.replay(m.log) end
  for place, value in pairs(m.changes or {}) do self.states[place].apply(value) end
  if m.notes then self.notes = m.notes end
end

local function whole(self)
  local m, weight = { all = {}, notes = self.notes }, 1
  for place, state in pairs(self.states) do
    local value, more = state.all()
    m.all[place], weight = value, weight + (more or 1)
  end
  return m, weight
end

function ledger:recover()
  local messages = take(self)
  for _, m in ipairs(messages) do apply(self, m) end
  self.items = no_items()
  if #messages == 0 then
    self.core.release()
    return nil
  end
  local m, weight = whole(self)
  self.core.commit(self.link, { n = 1, m })
  self.length, self.whole = weight, weight
  return self.notes
end

function ledger:note(name, value)
  if self.notes[name] == value then return end
  self.notes[name], self.noted = value, true
end

local function copy(v, seen)
  if type(v) ~= "table" then return v end
  if seen[v] then return seen[v] end
  local new = setmetatable({}, getmetatable(v))
  seen[v] = new
  for k, x in next, v do new[copy(k, seen)] = copy(x, seen) end
  return new
end

-- Only what a script adds up; a state that never tells its changes keeps no items.
function ledger:before(items, from, to)
  if not self.logs then return items end
  local copies = {}
  for i = from, to do copies[i] = copy(items[i], {}) end
  return copies
end

function ledger:took(items, from, to)
  if not self.head then return end
  local list, parts = self.items, self.parts
  local n, weight = list.n, list.weight
  for i = from, to do
    n = n + 1
    list[n] = items[i]
    weight = weight + (parts and part_weight(items[i]) or 1)
  end
  list.n, list.weight = n, weight
end

-- What this commit changes, and how heavy that is; nil: nothing. math.huge: the first
-- change that is too heavy; items are kept from now on.
local function changed(self)
  local m, weight = { changes = {} }, 0
  local worked = self.items.weight
  for place, state in pairs(self.states) do
    local value, more
    if state.changes then value, more = state.changes(PER_ITEM * worked + 64) end
    if value ~= nil then
      m.changes[place], weight = value, weight + (more or 1)
    elseif more and place == self.head and not self.logs then
      self.logs, weight = true, math.huge
    elseif place == self.head and worked > 0 and (not state.changes or more) then
      m.log, weight = self.items, weight + worked
      self.items = no_items()
    end
  end
  if self.noted then m.notes, weight = self.notes, weight + 1 end
  if weight > 0 then return m, weight end
end

function ledger:load(args, n)
  local m, weight = changed(self)
  self.items.n, self.items.weight = 0, 0
  if not m then return n end
  self.length = self.length + weight
  if self.length > 4 * self.whole + SLACK then
    take(self)
    m, self.whole = whole(self)
    self.length = self.whole
  end
  args[n + 1], args[n + 2] = self.link, { n = 1, m }
  return n + 2
end

-- The next commit writes everything: a window has ended.
function ledger:refresh() self.length, self.items = math.maxinteger // 2, no_items() end

function ledger:committed() self.noted = nil end

-- The last commit of a ledger: from here on there is none.
function ledger:stop(args, n)
  self.stopped = true
  args[n + 1], args[n + 2] = self.lost()
  return n + 2
end

-- How heavy an accumulator is, counted no further than it matters.
function ledger.weigh(v, most)
  if type(v) ~= "table" then return 1 end
  local seen, total, open = { [v] = true }, 1, { v }
  while #open > 0 and total < most do
    for k, x in next, table.remove(open) do
      total = total + 1
      if type(k) == "table" and not seen[k] then
        seen[k] = true
        open[#open + 1] = k
      end
      if type(x) == "table" and not seen[x] then
        seen[x] = true
        open[#open + 1] = x
      end
    end
  end
  return total
end

return ledger
