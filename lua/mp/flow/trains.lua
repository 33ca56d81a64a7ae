-- trains: how a worker takes its input in trains (train.lua): as they come, or in
-- order.
-- SPDX-License-Identifier: MIT
--
-- Trains that wait for their turn stay leased, and kept out of commits, until they
-- are worked through: whatever dies, they go back.

local blame = require "mp.flow.blame"
local emit = require "mp.flow.emit"
local intake = require "mp.flow.intake"
local order = require "mp.flow.order"
local train = require "mp.flow.train"

local trains = {}

local HEAD <const> = train.HEAD
local MOST_LEASED <const>, MOST_AT_ONCE <const> = 64, 16

-- one train ------------------------------------------------------------------------------

local function work_on(self, v)
  local r
  self.current = v
  if self.stage.timeout then r = intake.timed(self, v) else r = self.head.item(v) end
  if r == "enough" and not self.stage.windowed then self.enough = true end
end

local function begin(self, t, weight)
  if self.hands_on then self.outlet:begin(t[1], weight, t[4]) end
end

local function close(self, t)
  if self.hands_on then self.outlet:close(t[3] % train.BRANCH) end
end

local function pass(self, t, weight)
  local o, positions = self.outlet, self.hands_on and t[4]
  emit.to, self.at = self.head.emits, 1
  begin(self, t, weight)
  for i = 1, t.n - HEAD do
    if positions then o.pos = positions[i] end
    work_on(self, t[HEAD + i])
    if self.enough then break end
  end
  close(self, t)
  self:count("TAKEN", t.n - HEAD)
end

-- taking apart ---------------------------------------------------------------------------

local function commit(self, flag)
  if not self:commit(flag) then return false end
  if self.trains then self.trains:ready() end
  return true
end

local function pass_one(self, t, i, over, first)
  local v, positions = t[HEAD + i], self.hands_on and t[4]
  emit.to, self.at = self.head.emits, 1
  if positions then self.outlet.pos = positions[i] end
  if over then blame.give_up(self, v, first, self.deaths) else work_on(self, v) end
  self:count "TAKEN"
end

-- A train that took workers down: each of its items with a commit before it, in
-- which the ledger keeps the train, which item is next, and what they have come to; so
-- what takes the next worker down is known.  false when nobody takes the results any more;
-- the last item's are left for the next commit.
local function take_apart(self, t, weight, i, deaths, first, held)
  local n, o = t.n - HEAD, self.outlet
  begin(self, t, weight)
  if held then o:hold(held) end
  while i <= n and not self.enough do
    if self.ledger then
      self.ledger:note("apart", { t, weight, i, deaths, first, self.hands_on and o:held() or nil })
    end
    if not commit(self) then return false end
    intake.show(self, first, 1, deaths)
    local over = deaths > 0 and blame.again(self, t[HEAD + i], first, deaths)
    local kept = self.ledger and self.ledger:before(t, HEAD + i, HEAD + i)
    pass_one(self, t, i, over, first)
    if kept and not over then self.ledger:took(kept, HEAD + i, HEAD + i) end
    i, deaths = i + 1, 0
  end
  close(self, t)
  self.deaths = 0
  if self.ledger then self.ledger:note("apart", nil) end
  return true
end

-- Of several items nobody knows yet which it was.
local function suspect(self, t, weight, deaths, first)
  if t.n > HEAD + 1 then
    blame.again(self, nil, first, deaths, true)
    self.deaths, deaths = 0, 0
  end
  return take_apart(self, t, weight, 1, deaths, first)
end

-- Then no other train may be in the same commit.
local function one_death_is_enough(self) return self.stage.restarts < 2 end

-- as they come -----------------------------------------------------------------------------

local function all(self, list)
  if list.tries and list[1].n > HEAD then
    return suspect(self, list[1], list[1][2], list.tries - 1, list.first)
  end
  for i = 1, list.n do pass(self, list[i], list[i][2]) end
  return true
end

function trains.as_they_come(self, link)
  local max, most = 1, one_death_is_enough(self) and 1 or MOST_AT_ONCE
  while true do
    local list, why = link:lease(max, intake.patience(self))
    if list then
      local started = self.time()
      intake.show(self, list.first, list.n, (list.tries or 1) - 1)
      if not all(self, list) then return false end
      self.current = nil
      local took = intake.busy(self, started)
      if not self:commit() then return false end
      if took < intake.QUICK and list.n == max then max = math.min(max * 2, most)
      elseif took > intake.SLOW then max = 1 end
    else
      local what = intake.nothing(self, why)
      if what then return what == "closed" end
    end
    if not self:tick() then return false end
  end
end

-- in order ------------------------------------------------------------------------------------

-- One credit for a train, or for a task of a source that is cut into tasks (origin.lua).
local function give_credit(self, t)
  local inbox = self.stage.inbox
  local origin = train.origin(t[1])
  local from = inbox.origin_of[origin]
  if from.tasks and not from.fragile and t[3] % train.BRANCH ~= train.LAST then return end
  local link = inbox.credits[origin][inbox.links > 1 and self.index or 1]
  local list = self.returns[link] or { n = 0 }
  list.n = list.n + 1
  list[list.n] = true
  self.returns[link] = list
end

local function end_window(self)
  local op = self.head
  emit.to, self.at, self.current = op.emits, 1, nil
  if op.finish then op.finish(0, function() end) end
  if op.state then op.state.reset() end
  if self.ledger then self.ledger:refresh() end
end

-- Behind a train: the end of a window.
local function behind(self, t)
  local mark = self.stage.windowed and t[3] % train.BRANCH == train.MARK
  if mark then end_window(self) end
  return mark and train.MARK or 0
end

-- Their turn has come: the next commit finishes them. How often they were delivered
-- to workers that died, and the number of the first such one.
local function claim(self, leases)
  local deaths, first = 0, nil
  local i = 1
  while i <= #leases do
    local j = i
    while leases[j + 1] == leases[j] + 1 do j = j + 1 end
    self.core.claim(leases[i], j - i + 1)
    i = j + 1
  end
  for _, lease in ipairs(leases) do
    local before = self.suspects[lease]
    self.suspects[lease] = nil
    if before and before[1] > deaths then deaths, first = before[1], before[2] end
  end
  return deaths, first
end

-- Whether the next train took workers down: what was done is committed before it.
local function suspect_next(self)
  if one_death_is_enough(self) then return true end
  for _, lease in ipairs(self.order:next_leases()) do
    if self.suspects[lease] then return true end
  end
  return false
end

local function pass_in_order(self, t, leases)
  local weight = 1
  if t[1] ~= train.LATE then
    weight = self.order.expects[train.origin(t[1])]
    give_credit(self, t)
  end
  if weight > 1 - order.ENOUGH then t[4] = false end     -- nothing of it is elsewhere
  local deaths, first = claim(self, leases)
  if deaths > 0 and t.n > HEAD then return suspect(self, t, weight, deaths, first) end
  local kept = self.ledger and self.ledger:before(t, HEAD + 1, t.n)
  pass(self, t, weight)
  if kept then self.ledger:took(kept, HEAD + 1, t.n) end
  return true
end

-- All trains whose turn has come.
local function deliver(self)
  local some, flag = false, 0
  while self.order:ready() and not self.enough do
    if some and (flag ~= 0 or self.outlet.waiting >= self.half or suspect_next(self)) then
      if not commit(self, flag) then return false end
    end
    local t, leases = self.order:next()
    if not pass_in_order(self, t, leases) then return false end
    some, flag = true, behind(self, t)
  end
  return not some or self:commit(flag)
end

local function put(self, list)
  for i = 1, list.n do self.order:put(list[i], list.lease + i - 1) end
  if list.tries then self.suspects[list.lease] = { list.tries - 1, list.first } end
  self.core.keep(list.lease, list.n)
end

-- At the end of input. (For zip, it belongs to nothing.)
local function deliver_late(self)
  if self.stage.zip then return true end
  local t, leases = self.order:late()
  return not t or pass_in_order(self, t, leases) and commit(self)
end

function trains.in_order(self, link)
  self.suspects = {}
  while true do
    if self.trains then self.trains:ready() end
    local list, why = link:lease(MOST_LEASED, intake.patience(self))
    if list then
      local started = self.time()
      intake.show(self, list.first, list.n, (list.tries or 1) - 1)
      put(self, list)
      if not deliver(self) then return false end
      self.current = nil
      intake.busy(self, started)
      if self.enough then return true end
    else
      local what = intake.nothing(self, why)
      if what ~= "closed" and what then return false end
      while what and self.order:leap() do
        if not deliver(self) then return false end
      end
      if what then return deliver_late(self) end
    end
    if not self:tick() then return false end
  end
end

-- A train that was being taken apart when its worker died.
function trains.resume(self, kept)
  local t, weight, i, deaths, first, held = table.unpack(kept, 1, 6)
  if not take_apart(self, t, weight, i, deaths + 1, first, held) then return false end
  return commit(self, self.stage.ordered and behind(self, t) or 0)
end

return trains
