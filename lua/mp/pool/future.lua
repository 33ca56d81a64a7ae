-- future: what a task will give: AsyncResult and Future in one.
--
-- A future is also the job that the client keeps for its task: job.result is
-- therefore the raw `arrived`, and the method of users is Future.result.
--
-- new(client, call) -> future, to be added to the client
--
-- SPDX-License-Identifier: MIT

local core = require "mp.core"
local remote = require "mp.error"
local board = require "mp.pool.board"
local callbacks = require "mp.pool.callbacks"
local check = require "mp.pool.check"
local mode = require "mp.pool.mode"
local stats = require "mp.pool.stats"

local mp = core.mp

local Future = { __name = "Future" }
Future.__index = Future

local M = { Future = Future, wait = nil }  -- wait: mp.wait for those (pool/wait.lua)

core.stays(Future, "a Future", "; send what its task gives")

-- What the client calls on a job, with a future or another in it.
local Job = {}
Job.__index = Job

-- Those with callbacks: a future that nobody else refers to has its called.
local held = {}

local function hold(f)
  if next(held) == nil then core.watch_results(M.wait) end
  held[f] = true
end

local function unhold(f)
  if not held[f] then return end
  held[f] = nil
  if next(held) == nil then core.watch_results(nil) end
end

core.forked[#core.forked + 1] = function()
  if next(held) == nil then return end
  held = {}
  core.watch_results(nil)
end

-- outcomes -----------------------------------------------------------------------------

local completed = 0

local function settle(f, state)
  local client = f.client
  completed = completed + 1
  f.state, f.order = state, completed
  client:forget(f.job)
  f.job, f.holds = nil, nil
  local list = f.callbacks
  if list then
    f.callbacks = nil
    for _, cb in ipairs(list) do callbacks.due(f, cb, f) end
  end
  local done, failed = f.on_done, f.on_error
  f.on_done, f.on_error = nil, nil
  if state == "done" and done then callbacks.due(f, done, f[1]) end
  if state ~= "done" and failed then callbacks.due(f, failed, f.error) end
  unhold(f)
end

local function values(f, ...)
  local n = select("#", ...)
  f.n = n
  if n == 1 then
    f[1] = ...
  else
    table.move({ ... }, 1, n, 1, f)
  end
  settle(f, "done")
end

local function failed(f, e)
  f.error = e
  settle(f, e.name == "Cancelled" and "cancelled" or "failed")
end

local function cancelled(f)
  return remote.new { name = "Cancelled", message = "the task was cancelled", traceback = "",
                      process = f.client.name }
end

function Job:result(ok, ns, ...)
  local f = self.future
  local client = f.client
  if ok == true then
    client.stats:add(ns, self)
    values(f, ...)
  elseif ok == "lost" then
    self.is_lost = true
    self:lost()
  elseif ok == "undecodable" then
    client.stats:add_lost(1)
    failed(f, remote.new { name = "Error", message = "its result cannot be read here: " .. tostring(ns),
                           traceback = "" })
  else
    client.stats:add(ns, self)
    client.stats:add_failed(1)
    failed(f, remote.new((...)))
  end
end

-- Its worker has died, and how is known, too: the two come in any order.
function Job:lost()
  local client = self.future.client
  local d = self.is_lost and client:death(self)
  if not d then return end
  local e = stats.lost(client, self, d)
  if self.forced then e = cancelled(self.future) else client.stats:add_lost(1) end
  failed(self.future, e)
end

function Job:fail(e)
  failed(self.future, e)
end

-- making -------------------------------------------------------------------------------

-- There are many: their tables are made with all that will be in them.
function M.new(client, f, args, n)
  local job = setmetatable({ f = f, args = args, n = n, future = false, id = 0 }, Job)
  local future = setmetatable({ client = client, state = "pending", job = job, holds = false,
                                n = 0, order = 0, nil }, Future)
  job.future = future
  client:add(job)
  return future, job
end

-- mp.wait looks after those with callbacks, too.
function M.clients_held()
  local set = {}
  for f in pairs(held) do set[f.client] = true end
  return set
end

-- The callbacks of apply_async and its like.
function M.on(f, done, on_error)
  f.on_done, f.on_error = done, on_error
  if f.state ~= "pending" then
    if f.state == "done" and done then callbacks.due(f, done, f[1]) end
    if f.state ~= "done" and on_error then callbacks.due(f, on_error, f.error) end
    f.on_done, f.on_error = nil, nil
  elseif done or on_error then
    hold(f)
  end
  return f
end

-- For jobs with a future that are not single tasks.
M.settle_values, M.settle_error, M.cancelled_error = values, failed, cancelled

function M.bare(client, job)
  local future = setmetatable({ client = client, state = "pending", job = job }, Future)
  job.future = future
  return future
end

-- waiting ------------------------------------------------------------------------------

local function demand(f, call)
  if getmetatable(f) ~= Future then
    check.fail(call, "expected a Future, got %s (call it with a colon)", type(f))
  end
  if f.client.foreign then
    check.fail(call, "this Future belongs to the process that submitted the task")
  end
end

local function await(f, timeout)
  local client = f.client
  client:take_in()
  if f.state == "pending" then
    local deadline = timeout and mp.time() + timeout
    repeat
      local left = deadline and math.max(0, deadline - mp.time())
      client:await(left)
    until f.state ~= "pending" or (left and left <= 0)
  end
  callbacks.run(f)
  return f.state ~= "pending"
end

-- With the callbacks of what else has come.
local function look(f)
  if f.state == "pending" then f.client:look() end
  callbacks.run()
end

local function get(f, timeout, call)
  check.timeout(timeout, call)
  if not await(f, timeout) then return nil, "timeout" end
  if f.error then remote.raise(f.error) end
  if f.n == 1 then return f[1] end
  return table.unpack(f, 1, f.n)
end

function Future:get(timeout)
  demand(self, "AsyncResult:get")
  return get(self, timeout, "AsyncResult:get")
end

function Future:result(timeout)
  demand(self, "Future:result")
  return get(self, timeout, "Future:result")
end

function Future:exception(timeout)
  demand(self, "Future:exception")
  check.timeout(timeout, "Future:exception")
  if not await(self, timeout) then return nil, "timeout" end
  return self.error
end

function Future:wait(timeout)
  demand(self, "AsyncResult:wait")
  check.timeout(timeout, "AsyncResult:wait")
  if not await(self, timeout) then return nil, "timeout" end
  return true
end

function Future:ready()
  demand(self, "AsyncResult:ready")
  look(self)
  return self.state ~= "pending"
end

function Future:done()
  demand(self, "Future:done")
  look(self)
  return self.state ~= "pending"
end

function Future:successful()
  demand(self, "AsyncResult:successful")
  look(self)
  if self.state == "pending" then
    check.fail("AsyncResult:successful", "the task is not over; wait for it, or ask ready()")
  end
  return self.state == "done"
end

function Future:running()
  demand(self, "Future:running")
  look(self)
  return self.state == "pending" and board.runs(self.client.spec.board, self.job.id, self.client.workers)
end

function Future:cancelled()
  demand(self, "Future:cancelled")
  look(self)
  return self.state == "cancelled"
end

-- cancelling ---------------------------------------------------------------------------

-- Ends the workers that are at it, and waits until that is done.
local function force(f)
  local client, job = f.client, f.job
  job.forced = true
  client.spec.codes[mode.cancelled(job.id)] = true  -- until it is forgotten
  client:condemn(job.id, function() return f.state ~= "pending" end)
end

function Future:cancel(by_force)
  demand(self, "Future:cancel")
  if by_force ~= nil and type(by_force) ~= "boolean" then
    check.fail("Future:cancel", "force must be true or false, got %s", type(by_force))
  end
  look(self)
  if self.state ~= "pending" then return self.state == "cancelled" end
  if self.job.cancel then
    self.job:cancel(by_force)
  elseif self.client:withdraw(self.job.id) > 0 then
    failed(self, cancelled(self))
  elseif by_force then
    force(self)
  end
  callbacks.run(self)
  return self.state == "cancelled"
end

M.force = force

-- callbacks ----------------------------------------------------------------------------

function Future:add_done_callback(f)
  demand(self, "Future:add_done_callback")
  check.callable(f, "Future:add_done_callback")
  if self.state ~= "pending" then
    callbacks.due(self, f, self)
    return callbacks.run()
  end
  local list = self.callbacks
  if not list then
    list = {}
    self.callbacks = list
  end
  list[#list + 1] = f
  hold(self)
end

function Future:__tostring()
  local state = self.state
  if state == "pending" and not self.client.foreign
     and board.runs(self.client.spec.board, self.job.id, self.client.workers) then
    state = "running"
  elseif state == "failed" then
    state = ("finished: raised %s"):format(self.error.name)
  elseif state == "done" then
    state = ("finished: returned %s"):format(self.n == 0 and "nothing" or type(self[1]))
  end
  return ("Future (%s)"):format(state)
end

return M
