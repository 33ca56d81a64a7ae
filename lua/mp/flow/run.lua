-- run: starts a plan's processes and sees it through to its end.
-- SPDX-License-Identifier: MIT
--
-- run(stages, engine) -> { collected, rows, seconds, processes, deaths }
--                      | nil, report, unread: it ended for want of a reader of stdout
--   engine  { core, Process, time, say = function(text) }
-- One loop in the owner: it reads the control link and what `collect` gathers,
-- and notices which processes have ended.  When all workers of a stage have
-- ended in good order, the links that the stage fed are closed, if it was the
-- last that fed them, and the links that it read are dropped: so the end of
-- input travels down, and "enough" travels up.  A worker that died is replaced
-- where its stage has no state or keeps it in a ledger; else, or past `restarts`,
-- the run ends.

local show = require "mp.flow.show"
local worker = require "mp.flow.worker"

local CONTROL_CAP <const> = 1000000
local SIGPIPE <const> = 13
local TASK_SIZE <const>, COUNTED_TASK_SIZE <const> = 64 * 1024, 4 * 1024 * 1024

-- links and tasks ------------------------------------------------------------------

local function feed(self, stage)
  local def = stage.spec.def
  local size = stage.next and stage.next.counts and COUNTED_TASK_SIZE or TASK_SIZE
  local tasks, fragile = def.tasks(stage.spec.params, stage.workers, size)
  stage.fragile, stage.again = fragile, stage.again and not fragile
  local link = self.core.link(#tasks + 1)
  if #tasks > 0 then
    tasks.n = #tasks
    self.core.commit(link, tasks)
  end
  link:close()
  stage.reads = { link }
end

local function connect(self, stage)
  stage.reads = {}
  for i = 1, stage.links do stage.reads[i] = self.core.link(stage.cap) end
  if not stage.keeps then return end
  stage.ledgers = {}
  for i = 1, stage.workers do stage.ledgers[i] = self.core.link(CONTROL_CAP) end
end

local function prepare(self)
  for _, stage in ipairs(self.stages) do
    stage.running, stage.deaths, stage.feeders = 0, 0, stage.before
    if stage.spec.def and stage.spec.def.tasks then
      feed(self, stage)
    else
      connect(self, stage)
    end
  end
end

-- processes ------------------------------------------------------------------------

local function start(self, stage, index)
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
  stage.running = stage.running + 1
  self.live[p] = { stage = stage, index = index }
  self.started = self.started + 1
end

-- Consumers first: a source finds somebody who reads.
local function start_all(self)
  for i = #self.stages, 1, -1 do
    local stage = self.stages[i]
    if stage.owner then
      self.collected, self.gather = { n = 0 }, stage.reads[1]
    else
      for index = 1, stage.workers do start(self, stage, index) end
    end
  end
end

local function kill_all(self)
  for p in pairs(self.live) do p:kill() end
  for p in pairs(self.live) do p:join() end
  self.live = {}
end

-- The workers of a stage have ended: on to the links around it.
local function stage_ended(stage)
  for _, link in ipairs(stage.reads) do link:close(true) end
  local to = stage.next
  if not to then return end
  to.feeders = to.feeders - 1
  if to.feeders == 0 then
    for _, link in ipairs(to.reads) do link:close() end
  end
end

local function prints(stage)
  local last = stage.inside[#stage.inside] or stage
  return last.spec.def and last.spec.def.prints
end

-- Why a death cannot be made good, or nil.
local function fatal(self, at, exitcode)
  local stage = at.stage
  if exitcode == -SIGPIPE and prints(stage) then
    self.unread = true
    return "nobody reads its output"
  elseif stage.role == "source" and not stage.again then
    return "a source like this cannot be resumed"
  elseif not stage.again or self.bare[stage.index .. ":" .. at.index] then
    return "what it had gathered is lost"
  elseif exitcode == -SIGPIPE then
    return "nobody reads its output"
  elseif stage.deaths > stage.restarts then
    return ("%d deaths, restarts=%d"):format(stage.deaths, stage.restarts)
  end
end

local function died(self, p, at)
  local stage = at.stage
  stage.deaths, self.deaths = stage.deaths + 1, self.deaths + 1
  local who = ("%s[%d] pid %s %s"):format(stage.label, at.index, p.pid, show.ending(p.exitcode))
  local why = fatal(self, at, p.exitcode)
  if why then
    self.report = self.report or who .. ": " .. why
    return
  end
  self.say(("%s: replaced (%d of %d)"):format(who, stage.deaths, stage.restarts))
  start(self, stage, at.index)
end

local function ended(self, p)
  local at = self.live[p]
  if not at then return end
  p:join()
  self.live[p] = nil
  at.stage.running = at.stage.running - 1
  local row = self.done[at.stage.index .. ":" .. at.index]
  if not row then
    if not self.report then died(self, p, at) end
  elseif at.stage.running == 0 then
    stage_ended(at.stage)
  end
end

-- messages -------------------------------------------------------------------------

local function failure(message)
  local item = message.item and (" on item %s"):format(message.item) or ""
  return ("%s[%d]: error%s: %s%s"):format(message.stage, message.worker, item, message.message,
    message.traceback and "\n" .. message.traceback or "")
end

local function read_control(self)
  while true do
    local list = self.control:lease(64, 0)
    if not list then return end
    self.core.commit()
    for i = 1, list.n do
      local message = list[i]
      if message.kind == "error" then
        self.report = self.report or failure(message)
      elseif message.kind == "bare" then
        self.bare[message.index .. ":" .. message.worker] = true
      else
        self.done[message.index .. ":" .. message.worker] = message
      end
    end
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

local function waiting_for(self)
  local list = { self.control, self.gather }
  for p in pairs(self.live) do list[#list + 1] = p end
  return list
end

local function supervise(self)
  start_all(self)
  while not self.report and (next(self.live) or self.gather) do
    local ready = self.core.wait(waiting_for(self))
    read_control(self)
    read_results(self)
    for _, x in ipairs(ready) do
      if self.live[x] then
        read_control(self)       -- its last message came before its end
        ended(self, x)
      end
    end
  end
end

-- One row per stage and per stage inside it, for the summary.
local function rows(self)
  local list = {}
  for _, stage in ipairs(self.stages) do
    local labels = { stage.label }
    for i, node in ipairs(stage.inside) do labels[i + 1] = node.id end
    for at, label in ipairs(labels) do
      local row = { label = label, workers = stage.workers, taken = 0, given = 0, busy = 0,
                    inside = at > 1, role = at == 1 and stage.role or "between" }
      for index = 1, stage.workers do
        local message = self.done[stage.index .. ":" .. index]
        if message then
          row.taken = row.taken + (message.counts[at - 1] or 0)
          row.given = row.given + (message.counts[at] or 0)
          row.busy = row.busy + message.busy
        end
      end
      if stage.owner then row.taken, row.workers = self.collected.n, 0 end
      list[#list + 1] = row
    end
  end
  return list
end

local function run(stages, engine)
  local self = { stages = stages, core = engine.core, time = engine.time,
    Process = engine.Process, say = engine.say, control = engine.core.link(CONTROL_CAP), live = {}, done = {},
    bare = {}, started = 0, deaths = 0 }
  local begun = self.time()
  local fine, e = pcall(function()
    local _ <close> = setmetatable({}, { __close = function() kill_all(self) end })
    prepare(self)
    supervise(self)
  end)
  if not fine and type(e) ~= "string" then error(e, 0) end   -- a signal's handler
  if not fine then return nil, e end
  if self.report then return nil, self.report, self.unread end
  return { collected = self.collected, rows = rows(self), seconds = self.time() - begun,
           processes = self.started, deaths = self.deaths }
end

return run
