-- run: starts a plan's processes and sees it through to its end.
-- SPDX-License-Identifier: MIT
--
-- run.prepare(plan, engine) -> self      makes all links
-- run.supervise(self) -> { collected, rows, edges, seconds, processes, deaths, signal }
--                      | nil, report, unread: it ended for want of a reader of stdout
--   engine  { core, Process, time, sleep, words = function(n) -> array of n integers,
--             say = function(text), signal = function(name, f) | nil,
--             watch = function(now, rows function, over) | nil }
-- One loop in the owner: it reads the control link and what `collect` gathers,
-- and notices which processes have ended. When all workers of a stage have
-- ended in good order, the links that the stage fed are closed, if it was the
-- last that fed them, and the links that it read are dropped: so the end of
-- input travels down, and "enough" travels up. A worker that died is replaced;
-- what cannot be taken over ends the run.

local board = require "mp.flow.board"
local death = require "mp.flow.death"
local region = require "mp.flow.plan.region"
local rows = require "mp.flow.rows"
local scale = require "mp.flow.scale"
local worker = require "mp.flow.worker"

local run = {}

local CONTROL_CAP <const> = 1000000
local TASK_SIZE <const>, COUNTED_TASK_SIZE <const> = 64 * 1024, 4 * 1024 * 1024
local GRACE <const> = 0.8          -- seconds that sources have to stop by themselves
local LOOK <const> = 0.1           -- seconds between two looks at what is shown

-- links ----------------------------------------------------------------------------

local function link_inbox(self, inbox)
  for i = 1, inbox.links do
    local bound = not inbox.tagged and inbox.full == "wait"
    local cap = inbox.combines and 4 * math.max(1, inbox.feeders_workers) or inbox.cap
    inbox.sends[i] = inbox.sends[i] or self.core.link(bound and cap or 0)
  end
end

local function fill(self, link, n)
  local list = { n = n }
  for i = 1, n do list[i] = true end
  self.core.commit(link, list)
end

-- How many trains, or tasks, may be between an origin and its readers. (Each worker
-- with which trains begin has its own: those of one that is ahead, in another
-- window, wait at the readers until the others have come that far.)
local function credits_of(self, stage)
  if stage.tasks then return 2 * stage.workers + 4 end
  local n = 8
  for _, other in ipairs(self.stages) do n = n + (other.tagged and 2 * other.workers or 0) end
  return n
end

local function link_credits(self, stage)
  for _, to in ipairs(stage.credits) do
    local all = to.inbox.credits or {}
    to.inbox.credits = all
    for origin in region.origins(stage) do
      all[origin] = all[origin] or {}
      local link = self.core.link(0)
      all[origin][to.link] = link
      fill(self, link, credits_of(self, stage))
    end
  end
end

local function task_size(stage)
  local all, any = true, false
  for _, inbox in ipairs(stage.outboxes) do all, any = all and inbox.combines, true end
  return all and any and COUNTED_TASK_SIZE or TASK_SIZE
end

local function feed(self, stage)
  local def = stage.spec.def
  local workers = stage.workers
  for _, other in ipairs(stage.origin and self.stages or {}) do workers = math.max(workers, other.workers) end
  local tasks, fragile = def.tasks(stage.spec.params, workers, task_size(stage))
  stage.fragile, stage.ntasks = fragile, not fragile and #tasks or nil
  stage.feed = self.core.link(#tasks + 1)
  for i, task in ipairs(tasks) do task.number = i end
  if #tasks > 0 then
    tasks.n = #tasks
    self.core.commit(stage.feed, tasks)
  end
  stage.feed:close()
end

local function ready(stage)
  for _, node in ipairs(stage.chain) do
    local def = node.spec.def
    if def and def.ready then
      local fine, why = def.ready(node.spec.params)
      if not fine then error(why, 0) end
    end
  end
end

local function producers(self)
  for _, inbox in ipairs(self.inboxes) do inbox.feeders_workers = 0 end
  for _, stage in ipairs(self.stages) do
    for _, inbox in ipairs(stage.outboxes) do
      inbox.feeders_workers = inbox.feeders_workers + stage.workers
    end
  end
end

function run.prepare(plan, engine)
  local self = { stages = plan.stages, inboxes = plan.inboxes, core = engine.core, time = engine.time,
    sleep = engine.sleep, signal = engine.signal, Process = engine.Process, say = engine.say,
    watch = engine.watch, live = {}, done = {}, bare = {}, edges = {}, started = 0, deaths = 0, dropped = 0,
    control = engine.core.link(CONTROL_CAP), due = engine.time() }
  self.board = engine.words(board.assign(self.stages))
  for _, stage in ipairs(self.stages) do ready(stage) end
  producers(self)
  for _, inbox in ipairs(self.inboxes) do link_inbox(self, inbox) end
  for _, stage in ipairs(self.stages) do
    stage.running, stage.deaths, stage.fruitless = 0, 0, 0
    link_credits(self, stage)
    if stage.tasks then feed(self, stage) end
    stage.ledgers = {}
    for i = 1, stage.workers do stage.ledgers[i] = not stage.owner and self.core.link(CONTROL_CAP) end
  end
  return self
end

-- processes ------------------------------------------------------------------------

local function start(self, stage, index)
  board.open(self.board, board.line(stage, index))
  local p = self.Process {
    target = worker.main, args = { self, stage, index },
    name = ("%s[%d]"):format(stage.label, index),
  }
  local fine, why = pcall(p.start, p)
  if not fine then
    if type(why) ~= "string" then error(why, 0) end
    why = why:gsub("^mp/flow/run%.lua:%d+: ", ""):gsub("^Process:start: ", "")
    error(("%s: no process for it: %s"):format(p.name, why), 0)
  end
  self.board[board.line(stage, index) + board.PID] = p.pid
  stage.running = stage.running + 1
  stage.indexes = stage.indexes or {}
  stage.indexes[index] = p
  self.live[p] = { stage = stage, index = index, taken = self.board[board.line(stage, index) + board.TAKEN] }
  self.started = self.started + 1
end
run.start = start

-- Consumers first: a source finds somebody who reads.
local function start_all(self)
  for i = #self.stages, 1, -1 do
    local stage = self.stages[i]
    if stage.owner and stage.port then
      stage.by_script = true
    elseif stage.owner and self.apart then
      stage.by_script = true
    elseif stage.owner then
      self.collected, self.gather = { n = 0 }, stage.inbox.sends[1]
    else
      for index = 1, stage.least do start(self, stage, index) end
    end
  end
end

local function kill_all(self)
  for p in pairs(self.live) do p:kill() end
  for p in pairs(self.live) do p:join() end
  self.live = {}
end

local function all_ended(inbox)
  for _, reader in ipairs(inbox.readers) do
    if not reader.ended then return false end
  end
  return true
end

-- Nobody reads this link of an inbox any more, nor gives credits for it.
local function close_link(inbox, i)
  inbox.sends[i]:close(true)
  for _, links in pairs(inbox.credits or {}) do
    if links[i] then links[i]:close(true) end
  end
end

-- The workers of a stage have ended: on to the links around it.
local function stage_ended(self, stage)
  stage.ended = true
  if stage.feed then stage.feed:close(true) end
  if stage.inbox and all_ended(stage.inbox) then
    for i = 1, stage.inbox.links do close_link(stage.inbox, i) end
  end
  for _, inbox in ipairs(stage.outboxes) do
    inbox.feeders = inbox.feeders - 1
    if inbox.feeders == 0 then
      for _, link in ipairs(inbox.sends) do link:close() end
    end
  end
end

-- With a key, each worker has a link of its own, which nobody else reads.
local function close_own_link(stage, index, message)
  local inbox = stage.inbox
  if inbox and inbox.links > 1 and message and not message.retired then close_link(inbox, index) end
end

local function died(self, p, at)
  local stage = at.stage
  stage.deaths, self.deaths = stage.deaths + 1, self.deaths + 1
  local why, unread = death.fatal(self, at, p.exitcode)
  if why then
    self.unread = unread
    self.report = self.report or death.who(at, p) .. ": " .. why
    return
  end
  death.tell(self, at, p)
  start(self, stage, at.index)
end

local function ended(self, p)
  local at = self.live[p]
  if not at then return end
  p:join()
  self.live[p] = nil
  self.board[board.line(at.stage, at.index) + board.PID] = 0
  at.stage.running, at.stage.indexes[at.index] = at.stage.running - 1, nil
  local message = self.done[p]
  self.done[p] = nil
  if not message and self.report then
    if p.exitcode ~= 0 then death.tell(self, at, p) end
  elseif not message and not self.stopped_source(self, at) then
    return died(self, p, at)
  end
  close_own_link(at.stage, at.index, message)
  if at.stage.running == 0 then stage_ended(self, at.stage) end
end

-- messages -------------------------------------------------------------------------

local function failure(message)
  local item = message.item and (" on item %s"):format(message.item) or ""
  return ("%s[%d]: error%s: %s%s"):format(message.stage, message.worker, item, message.message,
    message.traceback and "\n" .. message.traceback or "")
end

local function add_edges(self, message)
  for _, edge in ipairs(message.edges) do
    self.edges[edge[1]] = (self.edges[edge[1]] or 0) + edge[2]
  end
  local stage = self.stages[message.index]
  stage.inner = stage.inner or {}
  for at, n in pairs(message.inner) do stage.inner[at] = (stage.inner[at] or 0) + n end
end

local handle = {}

function handle.error(self, message)
  death.blame(self, message)
  self.report = self.report or failure(message)
end

function handle.bare(self, message)
  self.bare[message.index .. ":" .. message.worker] = true
end

function handle.stop(self, message)
  if message.how == "cancel" then self.at_once, self.cancelled = true, true else run.stop(self) end
end

function handle.again(self, message) death.again(self, message) end
function handle.at(self, message) death.at(self, message) end

function handle.done(self, message)
  local stage = self.stages[message.index]
  self.done[stage.indexes[message.worker]] = message
  add_edges(self, message)
  self.dropped = self.dropped + message.dropped
end

local function read_control(self)
  while true do
    local list = self.control:lease(64, 0)
    if not list then return end
    self.core.commit()
    for i = 1, list.n do handle[list[i].kind](self, list[i]) end
  end
end

local function read_results(self)
  local all = self.collected
  while self.gather do
    local list, why = self.gather:lease(1024, 0)
    if not list then
      if why == "closed" then self.gather = nil end
      return
    end
    for i = 1, list.n do all[all.n + i] = list[i] end
    all.n = all.n + list.n
    self.core.commit()
  end
end

-- stopping --------------------------------------------------------------------------

local function is_source(stage) return stage.role == "source" or #stage.chain[1].ins == 0 end

-- Sources end, what is inside is finished.
function run.stop(self)
  if self.stopping then return end
  self.stopping = self.time()
  board.stop(self.board)
  for p, at in pairs(self.live) do
    if is_source(at.stage) and not at.stage.tasks and not at.stage.port then p:terminate() end
  end
  for _, stage in ipairs(self.stages) do
    if stage.port and stage.inbox and stage.role == "source" then
      for _, link in ipairs(stage.inbox.sends) do link:close() end
    end
  end
end

-- A source that does not stop is killed; what it has not sent yet, it has not.
local function insist(self)
  if not self.stopping or self.insisted or self.time() - self.stopping < GRACE then return end
  self.insisted = true
  for p, at in pairs(self.live) do
    if is_source(at.stage) and not at.stage.port then p:kill() end
  end
end

local wake = {}

local function on_signal(self, name)
  return function()
    self.signals = (self.signals or 0) + 1
    self.signal_name = self.signal_name or name
    if self.waiting then
      self.waiting = false
      error(wake, 0)
    end
  end
end

local function look_at_signals(self)
  self.seen = self.signals
  if not self.signals then return end
  run.stop(self)
  if self.signals > 1 then self.at_once = true end
end

-- the loop ---------------------------------------------------------------------------

local function waiting_for(self)
  local list = { self.control, self.gather }
  for p in pairs(self.live) do list[#list + 1] = p end
  return list
end

local function patience(self)
  local seconds
  if self.watch then seconds = LOOK end
  if self.stopping and not self.insisted then seconds = 0.05 end
  return scale.patience(self, seconds)
end

-- A signal ends the wait: one that has come already, too.
local function wait_for(self, list, seconds)
  self.waiting = true
  local ready_ = self.signals == self.seen and self.core.wait(list, seconds)
  self.waiting = false
  return ready_ or {}
end

local function wait(self)
  local fine, ready_ = pcall(wait_for, self, waiting_for(self), patience(self))
  if fine then return ready_ end
  self.waiting = false
  if ready_ == wake then return {} end
  error(ready_, 0)
end

-- A source that was stopped may end as it likes.
function run.stopped_source(self, at)
  return self.stopping and is_source(at.stage)
end

local function supervise(self)
  start_all(self)
  while not self.report and not self.at_once and (next(self.live) or self.gather) do
    local ready_ = wait(self)
    look_at_signals(self)
    read_control(self)
    read_results(self)
    for _, x in ipairs(ready_) do
      if self.live[x] then
        read_control(self)       -- its last message came before its end
        ended(self, x)
      end
    end
    scale.look(self)
    insist(self)
    if self.watch then
      self.watch(self.time(), function() return rows(self) end, false, self.stopping and "stopping")
    end
  end
end

-- Deaths that the end of the run has overtaken.
local function tell_the_rest(self)
  if not self.report then return end
  for p, at in pairs(self.live) do
    if not p:is_alive() and not self.done[p] then
      p:join()
      if p.exitcode ~= 0 then death.tell(self, at, p) end
    end
  end
end

local function catch_signals(self)
  if not self.signal then return end
  self.signal("INT", on_signal(self, "INT"))
  self.signal("TERM", on_signal(self, "TERM"))
end

local function drop_signals(self)
  if not self.signal then return end
  self.signal("INT", nil)
  self.signal("TERM", nil)
end

-- Nobody waits for a flow that has ended.
local function end_ports(self)
  for _, stage in ipairs(self.stages) do
    if stage.owner or stage.port then
      for _, link in ipairs(stage.inbox.sends) do link:close() end
    end
  end
end

-- Items that entered the stages inside each stage, by their places.
local function inner(self)
  local list = {}
  for i, stage in ipairs(self.stages) do list[i] = stage.inner or {} end
  return list
end

function run.supervise(self)
  local begun = self.time()
  self.stopped_source = run.stopped_source
  local fine, e = pcall(function()
    local _ <close> = setmetatable({}, { __close = function()
      kill_all(self)
      drop_signals(self)
    end })
    catch_signals(self)
    supervise(self)
    tell_the_rest(self)
    death.tell_rest(self)
  end)
  end_ports(self)
  if self.watch then self.watch(self.time(), function() return rows(self) end, true) end
  if not fine and type(e) ~= "string" then error(e, 0) end   -- a signal's handler
  if not fine then return nil, e end
  if self.cancelled then return nil, "it was cancelled" end
  if self.report then return nil, self.report, self.unread end
  return { collected = self.collected, rows = rows(self), seconds = self.time() - begun,
           processes = self.started, deaths = self.deaths, edges = self.edges,
           inner = inner(self), dropped = self.dropped, signal = self.signal_name }
end

-- Both, one after the other.
function run.run(plan, engine)
  local fine, self = pcall(run.prepare, plan, engine)
  if not fine and type(self) ~= "string" then error(self, 0) end
  if not fine then return nil, self end
  return run.supervise(self)
end

return run
