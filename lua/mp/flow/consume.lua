-- consume: how a worker takes its input: one by one, or in trains (trains.lua).
-- SPDX-License-Identifier: MIT
--
-- Items are leased, worked through, and finished in the commit of their results.
-- An item that was leased before comes alone (the link sees to that), so what takes
-- a worker down is found at its second try at the latest, and costs no other item.

local blame = require "mp.flow.blame"
local board = require "mp.flow.board"
local emit = require "mp.flow.emit"
local intake = require "mp.flow.intake"
local order = require "mp.flow.order"
local train = require "mp.flow.train"
local trains = require "mp.flow.trains"

local consume = {}

local HOLD <const> = 0.010                          -- seconds that items are held
local LEAST_TASKS <const>, MOST_TASKS <const> = 0.010, 0.500   -- the same, of tasks
local MOST_KEYS <const> = 200000                    -- added up before they are sent

-- one by one -----------------------------------------------------------------------------------

-- Works through a list; "enough" when the stage needs no more.
local function work(self, list)
  local item, timed, o, half = self.head.item, self.stage.timeout, self.outlet, self.half
  self.list, self.logged = list, 0
  self.kept = self.ledger and self.ledger:before(list, 1, list.n)
  for i = 1, list.n do
    local v = list[i]
    self.i, self.current, self.gone = i, v, self.counts_all and self.gone or 0
    local r
    if timed then r = intake.timed(self, v) else r = item(v) end
    if self.open_item then
      self.open_item = nil
      self.ledger:note("open", nil)
    end
    if r == "enough" then
      self:log_to(i)
      return r
    end
    if o.waiting >= half and i < list.n then
      self:log_to(i)
      self:commit_to(i)
    end
  end
  self:log_to(list.n)
end

local function count_taken(self, list)
  local n = list.n
  if self.partials then
    n = 0
    for i = 1, list.n do n = n + (list[i].items or 1) end
  end
  self:count("TAKEN", n)
end

-- The state, or what producers add up, changes less often than items come. For
-- tasks the time grows: who is killed often has little to do again.
local function may_hold(self, held, since)
  local stage = self.stage
  if not self.holds or self.outlet.waiting >= self.most_waiting then return false end
  local now = self.time()
  if not stage.tasks then return held < self.most_held and now - since < HOLD end
  if now - since < self.patient then return true end
  self.patient = math.min(self.patient * 2, MOST_TASKS)
  return false
end

-- An item that took workers down, or was the only one of a worker that died.
local function suspect(self, list)
  local stage, v = self.stage, list[1]
  self.telling = stage.tasks and #stage.chain > 1
  local over = blame.again(self, not stage.tasks and v or nil, list.first, list.tries - 1)
  local r
  if over then blame.give_up(self, v, list.first, self.deaths) else r = self.work(self, list) end
  self.telling = false
  return r
end

-- One turn: what was leased; how it went.
local function turn(self, list)
  local started = self.time()
  emit.to, self.at = self.head.emits, 1
  intake.show(self, list.first, list.n, (list.tries or 1) - 1)
  local r
  if list.tries then r = suspect(self, list) else r = self.work(self, list) end
  self.deaths, self.current, self.list = 0, nil, nil
  count_taken(self, list)
  return r, intake.busy(self, started)
end

-- How many to lease next: more while they are quick.
local function next_size(max, most, n, took)
  if took < intake.QUICK and n == max then return math.min(max * 2, most) end
  if took > intake.SLOW then return math.max(1, max // 2) end
  return max
end

-- What was done goes on first: another death shall not be blamed on it.
local function commit_before(self, list)
  self.core.keep(list.lease, list.n)
  local ok = self:commit()
  self.core.claim(list.lease, list.n)
  return ok
end

-- Until the input ends; false when nobody takes the results any more.
local function one_by_one(self, link)
  local stage, held, since = self.stage, 0, self.time()
  local auto = stage.chunk == "auto"
  local max = auto and 1 or stage.limit
  while true do
    if self.trains and held == 0 then self.trains:ready() end
    local list, why = link:lease(max, held > 0 and 0 or intake.patience(self))
    if stage.tasks and board.stopped(self.board) then
      self.core.release()
      list, why = nil, "closed"
    end
    if list then
      if list.tries and held > 0 and not commit_before(self, list) then return false end
      local r, took = turn(self, list)
      held = held + list.n
      self.enough = self.enough or r == "enough"
      if auto then max = next_size(max, stage.limit, list.n, took) end
    end
    if held > 0 and (not list or list.tries or self.enough or not may_hold(self, held, since)) then
      if not self:commit() then return false end
      held, since = 0, self.time()
    elseif not list then
      local what = intake.nothing(self, why)
      if what then return what == "closed" end
    end
    if held == 0 then
      if not self:tick() then return false end
      since = self.time()
    end
    if self.enough then
      self:commit()
      return true
    end
  end
end

-- its life ------------------------------------------------------------------------------------------

-- The reorderer of a stage that reads in order.
function consume.order_of(self)
  local stage = self.stage
  if not stage.ordered then return nil end
  return order.new(stage.inbox.expects, stage.windowed, stage.zip and train.paired or nil)
end

-- Puts into the head what a worker before this one had worked through.
function consume.replay(self, items)
  local op = self.ops[1]
  local take = self.stage.inbox.combines and op.partial or op.item
  for i = 1, items.n do take(items[i]) end
end

-- An item that was being emitted in several commits when its worker died: what has
-- gone is not sent again.
local function resume(self, open)
  local v, gone, deaths, first = open[1], open[2], open[3] + 1, open[4]
  local tasks = self.stage.tasks
  self.open_item = { v, gone, deaths, first }
  self.ledger:note("open", self.open_item)
  if not self:commit() then return false end
  intake.show(self, first, 1, deaths)
  emit.to, self.at = self.head.emits, 1
  if blame.again(self, not tasks and v or nil, first, deaths) then
    self.open_item = nil
    self.ledger:note("open", nil)
    blame.give_up(self, v, first, deaths)
  else
    self.counts_all, self.gone, self.skip = true, gone, gone
    self.telling = tasks and #self.stage.chain > 1
    work(self, { v, n = 1, first = first })
    self.counts_all, self.telling, self.skip = nil, false, 0
  end
  self.deaths, self.current, self.list = 0, nil, nil
  return self:commit()
end

local function source_item(self)
  local stage, s = self.stage, self.source
  local def, params = stage.spec.def, stage.spec.params
  local second = stage.chain[2]
  local blocks = def.blocks and second and second.spec.def and second.spec.def.whole
  local item = (blocks and def.blocks or def.make)(params, s.ctx, s.out)
  if not self.trains then return item end
  return function(task)
    self.trains:begin_task(task, self.counts_all)
    item(task)
    self.trains:end_task()
  end
end

-- What a worker may wait with: as much as half a link of what it feeds.
local function bounds(self)
  local most, all_added = math.huge, #self.outlet.senders > 0
  for _, inbox in ipairs(self.stage.outboxes) do
    if inbox.combines then most = math.min(most, MOST_KEYS)
    elseif not inbox.tagged then
      most = math.min(most, math.max(inbox.cap * inbox.links, 64))
      all_added = false
    else
      all_added = false
    end
  end
  self.limit, self.half, self.most_waiting, self.patient = most, most / 2, most / 2, LEAST_TASKS
  self.holds = self.stage.restarts > 1
    and (all_added or self.ops[1] and self.ops[1].state and #self.stage.outboxes <= 1) or false
  self.most_held = self.stage.inbox and not self.stage.tasks and math.max(1, self.stage.inbox.cap // 2) or 1
end

function consume.run(self, notes)
  local stage = self.stage
  local links = stage.tasks and { stage.feed } or stage.inbox.sends
  local link = links[#links > 1 and self.index or 1]
  local op = self.ops[1]
  self.head = stage.tasks and { item = source_item(self), emits = self.source.out }
    or stage.inbox.combines and setmetatable({ item = op.partial }, { __index = op }) or op
  self.partials = stage.inbox and stage.inbox.combines
  self.hands_on = stage.tagged and not self.trains
  self.link, self.work = link, work
  bounds(self)
  if stage.fragile then self:flow_freely(1) end
  if notes.open and not resume(self, notes.open) then return end
  if notes.apart and not trains.resume(self, notes.apart) then return end
  local take = stage.ordered and trains.in_order or stage.tagged and trains.as_they_come or one_by_one
  if notes.retired then self.retired = true      -- it was about to, and takes no more
  elseif not take(self, link) then return end    -- what it has goes back, to who else reads it
  if self.retired and self.ledger then self.ledger:note("retired", true) end
  self:end_of_input()
  self:commit()
  if self.retired then self:leave_nothing() end
end

return consume
