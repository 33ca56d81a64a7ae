-- client: a pool as its creator sees it: sends tasks, takes in results, keeps
-- a supervisor. What a task means, its job knows.
--
-- A job is a table with
--   job:result(...)     what the worker handed over, see worker.lua
--   job:fail(e)         the pool is broken or ended: nothing will come
--   job.feeds           true: it sends more tasks later (lazily); then
--   job:feed_all()      it sends the rest
--   job.values          a list that its results go into as they are read (core.part)
-- It is in client.jobs[id] until it is over (client:forget). job.bytes is the
-- length of its messages that nobody has answered; of a map, job.out says how
-- many items are in these, and job.sending how many are in the next.
--
-- SPDX-License-Identifier: MIT

local core = require "mp.core"
local remote = require "mp.error"
local board = require "mp.pool.board"
local callbacks = require "mp.pool.callbacks"
local check = require "mp.pool.check"
local code = require "mp.pool.code"
local mode = require "mp.pool.mode"
local stats = require "mp.pool.stats"
local supervisor = require "mp.pool.supervisor"

local mp = core.mp
local got, put = core.task_got, core.task_put

local CONTROL = mode.CONTROL
local SHARE = 4            -- of the shared memory, for tasks: one in so many; results need room, too
local PATIENCE = 0.1       -- seconds to wait for memory before results are taken in

local Client = {}
Client.__index = Client

-- All clients of this process, for the end of the script and for forks.
local clients = setmetatable({}, { __mode = "k" })

-- Made after a client's queues, so that it is collected before these are.
local Entry = { __gc = function(e) clients[e.client] = nil end }

core.forked[#core.forked + 1] = function()
  for c in pairs(clients) do c.foreign = true end
  clients = setmetatable({}, { __mode = "k" })
end

core.stays(Client, "a Pool or what belongs to it", "; send what its tasks return")

-- making -------------------------------------------------------------------------------

function Client:start_supervisor(adopted)
  local kind = self.kind == "thread" and mp.Thread or mp.Process
  self.supervisor = kind { target = supervisor.main, args = { self.spec, self.target, adopted },
                           name = self.name }
  self.supervisor:start()
end

-- o: checked options (options.lua). A demand pool starts its workers as tasks come.
function Client.new(o)
  local self = setmetatable({ name = o.name, kind = o.kind, size = o.processes,
    demand = o.demand, target = o.demand and 0 or o.processes, jobs = {}, awaited = 0,
    foreign = false, broken = false, terminated = false, closed = false, ended = false,
    next_id = 0, lists = {}, workers = {}, deaths = {}, exits = { n = 0 } }, Client)
  self.spec = {
    name = o.name, kind = o.kind, tasks = core.link(0, "tasks"), results = core.link(0, "results"),
    control = mp.Queue(), codes = mp.Dict(),
    board = board.new(math.max(o.processes, o.most)), creator = core.actor(),
    initializer = o.initializer, initargs = o.initargs, on_exit = o.on_exit,
    maxtasks = o.maxtasksperchild, max_memory = o.max_memory,
    repeats = o.on_death == "retry" and math.max(3, o.retries) or 0,
    depth = o.depth, share = math.max(1, o.share // o.processes),
  }
  self.tasks, self.results, self.control = self.spec.tasks, self.spec.results, self.spec.control
  self.code = code.new(self.spec.codes)
  self.stats = stats.new()
  self.bytes, self.most_bytes = 0, core.memory() // SHARE
  self:start_supervisor()
  clients[self] = true
  self.entry = setmetatable({ client = self }, Entry)
  if not self.demand then self:until_started() end
  return self
end

-- jobs -----------------------------------------------------------------------------------

-- Even numbers are single tasks, odd ones the items of a map.
function Client:add(job, odd)
  local id = self.next_id + 2
  self.next_id = id
  if odd then id = id + 1 end
  job.id, job.bytes = id, 0
  self.jobs[id], self.lists[id] = job, job.values
  self.awaited = self.awaited + 1
  return id
end

function Client:forget(job)
  local id = job.id
  if self.jobs[id] ~= job then return end
  self.jobs[id], self.lists[id] = nil, nil
  self.awaited = self.awaited - 1
  self:answered(job, job.bytes)
  if self.deaths[id] then self.deaths[id] = nil end
  if job.forced then self.spec.codes[mode.cancelled(id)] = nil end
end

-- How many workers there is work for, up to its size: a map's job is as many
-- tasks as it has items that are not done.
function Client:wanted()
  local n = self.awaited
  for _, job in pairs(self.jobs) do
    if n >= self.size then return self.size end
    n = n + (job.in_work or job.left or 1) - 1
  end
  return math.min(n, self.size)
end

-- More workers, while tasks wait for one.
function Client:demand_more()
  if self.target >= self.size then return end
  self:take_in()
  local wanted = self:wanted()
  if wanted > self.target then
    self.target = wanted
    self.control:put { "size", wanted }
  end
end

-- So many bytes of a job's messages wait for no answer any more.
function Client:answered(job, bytes)
  job.bytes = job.bytes - bytes
  self.bytes = self.bytes - bytes
end

-- Puts a task; while tasks take too much of the memory, or it is full, takes
-- in results, which free some. Returns its length in bytes.
function Client:send(call, id, ...)
  while self.bytes > self.most_bytes and not self.ended do self:await() end
  local n = put(self.tasks, call, id, PATIENCE, ...)
  while not n do
    if self.broken or self.tasks:closed() then return 0 end
    self:look()
    n = put(self.tasks, call, id, PATIENCE, ...)
  end
  local job = self.jobs[id]
  if job then
    self:answered(job, -n)
    if job.out then job.out = job.out + job.sending end
  end
  if self.demand then self:demand_more() end
  return n
end

-- Cancels what nobody has begun.
function Client:cancel_waiting()
  local list = {}
  for _, job in pairs(self.jobs) do list[#list + 1] = job end
  table.sort(list, function(a, b) return a.id < b.id end)
  for _, job in ipairs(list) do
    if job.stop_early then
      job:stop_early()
    elseif self:withdraw(job.id) > 0 and not job.left then
      job:fail(remote.new { name = "Cancelled", message = "the task was cancelled", traceback = "",
                            process = self.name })
    end
  end
end

-- Takes tasks that nobody has begun out again; how many messages that were. A
-- single task is one, so the others behind it need not be looked at.
function Client:withdraw(id)
  return core.task_withdraw(self.tasks, id, id & 1 == 0 and 1 or nil)
end

-- Ends the workers that are at a task, and goes on until over() says so: a
-- worker may be between two states when the supervisor looks at it.
function Client:condemn(id, over)
  repeat
    self.control:put { "cancel", id }
    self:await(0.05)
  until over() or self.ended
end

-- what comes -----------------------------------------------------------------------------

local on = {}

function on.worker(self, number, p)
  local w = self.workers[number]
  self.workers[number] = stats.started(w, p)
end

-- A worker is about to end by itself.
function on.left(self, number, why) stats.left(self.workers[number], why) end

function on.ended(self, number, why, exitcode, life)
  stats.ended(self.workers[number], why, exitcode, life)
end

function on.started(self) self.started = true end

function on.over(self) self:supervisor_ended() end

-- The death of a worker that had a task, or of a map the chunk that begins with
-- that item: nil, or what is known of it, once.
function Client:death(job, chunk)
  local list = self.deaths[job.id]
  for i, d in ipairs(list or {}) do
    if d.chunk == chunk then
      table.remove(list, i)
      if #list == 0 then self.deaths[job.id] = nil end
      return d
    end
  end
end

-- A chunk has come back whole: what died with it before, another has done again.
function Client:survived(job, chunk)
  while self.deaths[job.id] and self:death(job, chunk) do end
end

function on.died(self, number, pid, exitcode, id, why, chunk)
  local w = self.workers[number]
  if w then w.told = pid end
  local d = { number = number, pid = pid, exitcode = exitcode, why = why, chunk = chunk,
              name = w and w.process.name or ("%s:%d"):format(self.name, number) }
  if not id or not self.jobs[id] then return end
  local list = self.deaths[id]
  if not list then
    list = {}
    self.deaths[id] = list
  end
  list[#list + 1] = d
  local job = self.jobs[id]
  if job.lost then job:lost() end
end

function on.exit(self, number, ok, value)
  if not ok then
    local e = remote.new(value)
    core.stderr(("%s:%d: on_exit: %s\n%s\n"):format(self.name, number, e.message, e.traceback))
    return
  end
  local list = self.exits
  list.n = list.n + 1
  list[list.n] = value
end

local function end_of(self, name, text)
  return function()
    return remote.new { name = name, message = text, process = self.name, traceback = "" }
  end
end

-- Every job gets an error of its own.
function Client:fail_all(make)
  local list = {}
  for _, job in pairs(self.jobs) do list[#list + 1] = job end
  table.sort(list, function(a, b) return a.id < b.id end)
  for _, job in ipairs(list) do
    if self.jobs[job.id] == job then job:fail(make()) end
  end
end

function on.broken(self, e)
  self.broken = remote.new(e)
  self:fail_all(function()
    return remote.new { name = "BrokenPool", message = e.message, traceback = e.traceback,
                        process = e.process, pid = e.pid, value = nil }
  end)
end

local function dispatch(self, id, ...)
  if id == CONTROL then
    local kind = ...
    on[kind](self, select(2, ...))
    return true
  end
  local job = self.jobs[id]
  if job then job:result(...) end
  return true
end

-- Everything that is there.
function Client:take_in()
  local results = self.results
  repeat local more = got(results, nil, 0, dispatch, self, self.lists) until not more
end

-- A worker died, and its supervisor, perhaps before it could say so.
function Client:untold_death(number, p)
  if self.workers[number].told == p.pid then return end
  local id, chunk = board.task(self.spec.board, number)
  on.ended(self, number, nil, p.exitcode, board.worker(self.spec.board, number))
  if id then
    on.died(self, number, p.pid, p.exitcode, id, board.condemned(self.spec.board, number), chunk)
  end
end

-- Every worker has ended. The task that one was ended with came back after the
-- others were thrown away, and may be large.
function Client:leave_tasks()
  self.ended = true
  self.tasks:close(true)
end

-- The supervisor has ended. One that was killed gets a successor, which goes
-- on with the workers there are.
function Client:supervisor_ended()
  local p = self.supervisor
  p:join()
  self:take_in()
  if self.supervisor ~= p then return end  -- what was taken in said so, too
  if p.exitcode == 0 then
    self:leave_tasks()
    self:fail_all(end_of(self, "PoolTerminated", self.terminated and "the pool was terminated"
      or "the pool has ended"))
    return
  end
  if self.terminated or self.broken then return self:end_workers() end
  local adopted = {}
  for number, w in pairs(self.workers) do
    if w.process:is_alive() then
      adopted[number] = w.process
    else
      self:untold_death(number, w.process)
    end
  end
  self:start_supervisor(adopted)
end

-- With no supervisor to do it.
function Client:end_workers()
  for _, w in pairs(self.workers) do pcall(w.process.kill, w.process) end
  for _, w in pairs(self.workers) do pcall(w.process.join, w.process) end
  self:leave_tasks()
  self:take_in()
  self:fail_all(end_of(self, "PoolTerminated", "the pool was terminated"))
end

-- What has come until now, for who looks again and again and never waits.
function Client:look()
  if self.ended then return end
  self:take_in()
  if not self.supervisor:is_alive() then self:supervisor_ended() end
end

-- Waits for something to come, and takes it in with what else is there. False
-- when nothing came in that time. A signal's handler, which may have taken it
-- in, ends the wait, too.
function Client:await(timeout)
  if self.ended then return false end
  local ok, why = got(self.results, self.supervisor, timeout, dispatch, self, self.lists)
  if ok then
    self:take_in()
  elseif why == "lost" then
    self:supervisor_ended()
  else
    return why == "again"
  end
  return true
end

-- Or until one of a list is ready.
function Client:await_any(list, timeout)
  if self.ended then return core.wait(list, timeout) end
  list[#list + 1] = self.results
  list[#list + 1] = self.supervisor
  core.wait(list, timeout, true)
  self:take_in()
  if not self.supervisor:is_alive() then self:supervisor_ended() end
end

function Client:until_started()
  while not self.started and not self.broken and not self.ended do self:await() end
  if self.started then return end  -- what is wrong since then, tasks will tell
  self:join()
  check.fail("mp.Pool", "%s", self.broken.message)
end

-- ending ---------------------------------------------------------------------------------

-- No more tasks, but for what jobs begun still send.
function Client:close()
  self.closed = true
  self:close_tasks()
end

function Client:feeding()
  for _, job in pairs(self.jobs) do
    if job.feeds then return true end
  end
  return false
end

function Client:close_tasks()
  if self.ended or self.tasks:closed() or self:feeding() then return end
  self.tasks:close()
  self.control:put({ "look" }, false)  -- a finalizer may call this: it never waits
end

function Client:terminate()
  self.closed = true
  if self.ended or self.terminated then return end
  self.terminated = true
  self.tasks:close(true)
  self.control:put { "terminate" }
  self:fail_all(end_of(self, "PoolTerminated", "the pool was terminated"))
end

-- What imaps have not read yet; returns the queues that they still wait for.
function Client:feed_all()
  local feeding, queues = {}, {}
  for _, job in pairs(self.jobs) do
    if job.feeds then feeding[#feeding + 1] = job end
  end
  for _, job in ipairs(feeding) do
    job:feed_all()
    queues[#queues + 1] = job:awaits()
  end
  return queues
end

-- Waits until every task is over and every worker has ended. nil, "timeout".
function Client:join(deadline)
  local queues = self:feed_all()
  self:close_tasks()
  while not self.ended do
    local left = deadline and math.max(0, deadline - mp.time())
    if #queues > 0 then
      self:await_any(queues, left)
      queues = self:feed_all()
    else
      self:await(left)
    end
    callbacks.run()
    if left and left <= 0 and not self.ended then return nil, "timeout" end
  end
  callbacks.run()
  return true
end

-- The pool itself was collected: what was submitted is still done.
function Client:drop()
  if self.foreign or self.ended then return end
  for _, job in pairs(self.jobs) do
    if job.feeds then job:stop() end
  end
  if not self.closed then self:close() end
end

return { new = Client.new, all = function() return clients end }
