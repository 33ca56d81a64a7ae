-- consume: how a worker takes its input: one by one, in trains, in order.
-- SPDX-License-Identifier: MIT
--
-- Items are leased, worked through, and finished in the commit of their results.
-- An item that was leased before comes alone (the link sees to that), so what takes
-- a worker down is found at its second try at the latest, and costs no other item.

local board = require "mp.flow.board"
local emit = require "mp.flow.emit"
local guard = require "mp.flow.guard"
local order = require "mp.flow.order"
local show = require "mp.flow.show"
local train = require "mp.flow.train"

local consume = {}

local QUICK <const>, SLOW <const> = 0.002, 0.010   -- seconds for a batch
local HOLD <const> = 0.010                          -- seconds that items are held
local LEAST_TASKS <const>, MOST_TASKS <const> = 0.010, 0.500   -- the same, of tasks
local MOST_KEYS <const> = 200000                    -- added up before they are sent
local IDLE <const> = 1                              -- seconds until a worker too many ends

-- an item that took workers down ------------------------------------------------------------

local function why_failed(self, first, deaths)
  local late = false
  for i = 1, self.stage.workers do
    late = late or self.board[board.line(self.stage, i) + board.LATE] == first
  end
  if late then
    return ("took longer than timeout=%gs (%d tries)"):format(self.stage.timeout, deaths)
  end
  return ("took %d workers down"):format(deaths)
end

local function give_up(self, v, first)
  local e = { flow_error = true, message = why_failed(self, first, self.deaths) }
  self.current, self.at = v, 1
  guard.failed(self, self.stage.chain[1], v, e, self.deaths)
end

local function value_of(self, v) return self.stage.tagged and v[5] or v end

-- Tells the owner; true if the item shall not be tried again.
local function again(self, list)
  self.deaths = list.tries - 1
  self.control:put { kind = "again", index = self.stage.index, worker = self.index, first = list.first,
                     deaths = self.deaths, item = not self.stage.tasks and show.item(value_of(self, list[1])) or nil }
  return self.deaths >= math.max(1, self.stage.restarts)
end

-- one by one -----------------------------------------------------------------------------------

local function work_on(self, v)
  self.current = v
  if self.stage.timeout then
    self.board[self.line + board.BEGAN] = math.floor(self.time() * 1e9)
    local r = self.head.item(v)
    self.board[self.line + board.BEGAN] = 0
    return r
  end
  return self.head.item(v)
end

-- Works through a list; "enough" when the stage needs no more.
local function work(self, list)
  local item, timed, o, half = self.head.item, self.stage.timeout, self.outlet, self.half
  self.list, self.logged = list, 0
  for i = 1, list.n do
    local v = list[i]
    self.i, self.current, self.gone = i, v, self.counts_all and self.gone or 0
    local r
    if timed then r = work_on(self, v) else r = item(v) end
    if self.open_item then
      self.open_item = nil
      self.ledger:note("open", nil)
    end
    if r == "enough" then return r end
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

local function note_lease(self, list)
  self.board[self.line + board.FIRST] = list.first or 0
  if list.n ~= self.has then
    self.has = list.n
    self.board[self.line + board.HAS] = list.n
  end
end

-- Until when to wait for input, nil: for ever.
local function patience(self, held)
  if held > 0 then return 0 end
  local due = self:due()
  if due then return math.max(0, due - self.time()) end
  if self.elastic then return IDLE end
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

local function nothing_came(self, why)
  if why == "closed" then return "closed" end
  if why ~= "timeout" then error("lease: " .. tostring(why), 0) end
  if self:due() or not self.elastic then return nil end
  self.retired = true
  return "closed"
end

-- One turn: what was leased; how it went.
local function turn(self, list)
  local started = self.time()
  emit.to = self.head.emits
  note_lease(self, list)
  local r
  if list.tries and again(self, list) then
    give_up(self, list[1], list.first)
  else
    r = self.work(self, list)
  end
  self.deaths, self.current, self.list = 0, nil, nil
  count_taken(self, list)
  local took = self.time() - started
  self.words[board.BUSY] = self.words[board.BUSY] + took * 1e9
  return r, took
end

-- How many to lease next: more while they are quick.
local function next_size(max, most, n, took)
  if took < QUICK and n == max then return math.min(max * 2, most) end
  if took > SLOW then return math.max(1, max // 2) end
  return max
end

-- Until the input ends; false when nobody takes the results any more.
local function one_by_one(self, link)
  local stage, held, since = self.stage, 0, self.time()
  local auto = stage.chunk == "auto"
  local max = auto and 1 or stage.limit
  while true do
    if self.trains and held == 0 then self.trains:ready() end
    local list, why = link:lease(max, patience(self, held))
    if stage.tasks and board.stopped(self.board) then
      self.core.release()
      list, why = nil, "closed"
    end
    if list then
      local r, took = turn(self, list)
      held = held + list.n
      self.enough = self.enough or r == "enough"
      if auto then max = next_size(max, stage.limit, list.n, took) end
    end
    if held > 0 and (not list or self.enough or not may_hold(self, held, since)) then
      if not self:commit() then return false end
      held, since = 0, self.time()
    elseif not list then
      local what = nothing_came(self, why)
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

-- trains --------------------------------------------------------------------------------------

-- A train through a stage that hands on what it makes of it.
local function pass_train(self, t, weight)
  local item, o, positions = self.head.item, self.outlet, t[4]
  if self.hands_on then o:begin(t[1], weight) end
  for i = 5, t.n do
    self.current, o.pos = t[i], positions and positions[i - 4] or i - 4
    local r
    if self.stage.timeout then r = work_on(self, t[i]) else r = item(t[i]) end
    if r == "enough" then
      self.enough = true
      break
    end
  end
  if self.hands_on then o:close(t[3] % train.BRANCH) end
  self:count("TAKEN", t.n - 4)
end

-- A train whose item took workers down: if it has several, each goes again in a
-- train of its own, which is a part of this one.
local function shatter(self, list)
  local t = list[1]
  if t.n <= 5 then return false end
  local parts, n = { n = t.n - 4 }, t.n - 4
  for i = 1, n do
    parts[i] = { t[1], t[2] / n, t[3], { t[4] and t[4][i] or i }, t[i + 4], n = 5 }
  end
  self.core.commit(self.link, parts)
  return true
end

local function trains_as_they_come(self, list)
  for i = 1, list.n do pass_train(self, list[i], list[i][2]) end
end

local function give_up_train(self, list)
  local t = list[1]
  if self.hands_on then self.outlet:begin(t[1], t[2]) end
  self.outlet.pos = t[4] and t[4][1] or 1
  if t.n > 4 then give_up(self, t[5], list.first) end
  if self.hands_on then self.outlet:close(t[3] % train.BRANCH) end
end

local function in_trains(self, link)
  local max = 1
  while true do
    local list, why = link:lease(max, patience(self, 0))
    if list then
      local started = self.time()
      emit.to = self.head.emits
      note_lease(self, list)
      local over = list.tries and again(self, list)
      if list.tries and shatter(self, list) then
        list.n = 0
      elseif over then
        give_up_train(self, list)
      else
        trains_as_they_come(self, list)
      end
      self.current, self.deaths = nil, 0
      local took = self.time() - started
      self.words[board.BUSY] = self.words[board.BUSY] + took * 1e9
      if not self:commit() then return false end
      if self.enough then return true end
      if took < QUICK and list.n == max then max = math.min(max * 2, 16) elseif took > SLOW then max = 1 end
    else
      local what = nothing_came(self, why)
      if what then return what == "closed" end
    end
    if not self:tick() then return false end
  end
end

-- in order ----------------------------------------------------------------------------------------

local function runs(leases, f)
  local i = 1
  while i <= #leases do
    local j = i
    while leases[j + 1] == leases[j] + 1 do j = j + 1 end
    f(leases[i], j - i + 1)
    i = j + 1
  end
end

-- One credit for a train, or for a task of a source that is cut into tasks.
local function give_credit(self, t)
  local inbox = self.stage.inbox
  local from = inbox.origin_of[train.origin(t[1])]
  if from.tasks and t[3] % train.BRANCH ~= train.LAST then return end
  local link = inbox.credits[from.first][inbox.links > 1 and self.index or 1]
  local list = self.returns[link] or { n = 0 }
  list.n = list.n + 1
  list[list.n] = true
  self.returns[link] = list
end

local function end_window(self)
  local op = self.head
  emit.to, self.current = op.emits, nil
  if op.finish then op.finish(0, function() end) end
  if op.state then op.state.reset() end
  if self.ledger then self.ledger:refresh() end
end

-- What is in line now: trains, and all of their leases that are not of this list.
local function in_line(self, list)
  local o, batch, used = self.order, {}, {}
  for i = 1, list.n do o:put(list[i], list.lease + i - 1) end
  local t, leases = o:next()
  while t do
    batch[#batch + 1] = { t, leases }
    for _, lease in ipairs(leases) do used[lease] = true end
    t, leases = o:next()
  end
  local rest = {}
  for lease = list.lease, list.lease + list.n - 1 do
    if not used[lease] then rest[#rest + 1] = lease end
  end
  runs(rest, self.core.keep)
  return batch
end

-- The trains behind the i-th wait for a later commit.
local function set_aside(self, batch, i, first)
  for k = i + 1, #batch do
    for _, lease in ipairs(batch[k][2]) do
      if lease >= first then self.core.keep(lease, 1) end
    end
  end
end

local function deliver(self, batch, first)
  local windowed, o = self.stage.windowed, self.outlet
  local all_aside = false
  for i, entry in ipairs(batch) do
    local t, leases = entry[1], entry[2]
    for _, lease in ipairs(leases) do
      if all_aside or lease < first then self.core.claim(lease, 1) end
    end
    pass_train(self, t, self.order.expects[train.origin(t[1])])
    if self.ledger then self.ledger:took(t, 5, t.n) end
    give_credit(self, t)
    local mark = windowed and t[3] % train.BRANCH == train.MARK
    if mark then end_window(self) end
    if mark or o.waiting >= self.half and i < #batch then
      if not all_aside then set_aside(self, batch, i, first) end
      all_aside = true
      if not self:commit(mark and train.MARK or 0) then return false end
      if self.trains then self.trains:ready() end
    end
    if self.enough then return true end
  end
  return self:commit()
end

local function in_order(self, link)
  while true do
    if self.trains then self.trains:ready() end
    local list, why = link:lease(64, patience(self, 0))
    if list then
      local started = self.time()
      emit.to = self.head.emits
      note_lease(self, list)
      if list.tries then again(self, list) end
      if not deliver(self, in_line(self, list), list.lease) then return false end
      self.current = nil
      self.words[board.BUSY] = self.words[board.BUSY] + (self.time() - started) * 1e9
      if self.enough then return true end
    else
      local what = nothing_came(self, why)
      if what then return what == "closed" end
    end
    if not self:tick() then return false end
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

-- An item that was being emitted in several commits when its worker died.
local function resume(self, open)
  local v, gone, deaths = open[1], open[2], open[3] + 1
  self.open_item, self.deaths, self.skip = { v, gone, deaths }, deaths, gone
  self.ledger:note("open", self.open_item)
  self:commit()
  emit.to = self.head.emits
  if deaths >= math.max(1, self.stage.restarts) then
    self.skip, self.open_item = 0, nil
    give_up(self, v, 0)
    self.ledger:note("open", nil)
  else
    self.counts_all, self.gone = true, gone
    work(self, { v, n = 1 })
    self.counts_all = nil
  end
  self.deaths, self.current, self.list, self.skip = 0, nil, nil, 0
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
    self.trains:begin_task(task)
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
  self.holds = all_added or self.ops[1] and self.ops[1].state and #self.stage.outboxes <= 1 or false
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
  local take = stage.ordered and in_order or stage.tagged and in_trains or one_by_one
  if take(self, link) then self:end_of_input() end
  self:commit()
  if self.retired then self:leave_nothing() end
end

return consume
