-- imap: maps whose results are taken one by one, in order or as they come, and
-- whose input is read only so far ahead.
--
-- new(pool, client, call, f, source, o) -> an iterator: it(), it:next(timeout),
-- it:close(). In a `for` it is closed however the loop ends; then tasks that
-- nobody has begun are taken back.
--
-- An item of a window is in work or is a result that nobody has taken. There
-- are at most `buffer` of them: 4 x workers x chunk if not said otherwise. A
-- chunk grows while its items are quick.
--
-- SPDX-License-Identifier: MIT

local core = require "mp.core"
local remote = require "mp.error"
local callbacks = require "mp.pool.callbacks"
local check = require "mp.pool.check"
local map = require "mp.pool.map"
local mode = require "mp.pool.mode"
local progress = require "mp.pool.progress"

local mp = core.mp
local AUTO, STAR, LOST = mode.AUTO, mode.STAR, mode.LOST

local AHEAD = 4            -- chunks a worker
local TARGET = 1e6         -- ns that a chunk shall take
local RARELY = progress.RARELY

local Iterator = { __name = "imap" }
Iterator.__index = Iterator

local Job = {}
Job.__index = Job

core.stays(Iterator, "an imap", "; send what it gives")

-- input --------------------------------------------------------------------------------

function Job:room()
  if self.unbound then return math.huge end
  local buffer = self.buffer or AHEAD * self.client.size * self.chunk
  return buffer - (self.sent - self.taken)
end

function Job:send(items, k)
  local first = self.sent + 1
  self.in_work = self.in_work + k
  if k == 1 then items = items[1] end
  local bytes = map.send(self, self.call, self.how, first, items, k)
  self.sent = first + k - 1
  if self.how & AUTO ~= 0 then self.chunk = map.fit(self.chunk, k, bytes) end
end

-- An item that cannot travel is that item's error.
function Job:refused(items, k, e)
  self.in_work = self.in_work - k
  if k == 1 then
    self.sent = self.sent + 1
    self.in_work, self.out = self.in_work + 1, self.out + 1
    self.client.stats:add_lost(1)
    self:put(self.sent, false, remote.new { name = "Error", message = e, value = e, traceback = "" })
    return
  end
  for i = 1, k do self:try_to_send({ items[i], n = 1 }, 1) end
end

function Job:try_to_send(items, k)
  local ok, e = pcall(self.send, self, items, k)
  if not ok then self:refused(items, k, e) end
end

-- How many items are to be read next, nil: there is no room.
function Job:next_size()
  local room = self:room()
  if room >= self.chunk then return self.chunk end
  return self.buffer and room >= 1 and room or nil
end

function Job:feed()
  while self.feeds and not self.source.over do
    local k = self:next_size()
    if not k then return end
    local items, n = self.source:take(k)
    if n > 0 then self:try_to_send(items, n) end
    if n == 0 and not self.source.over then return end  -- a queue that is empty now
  end
  if self.feeds and self.source.over then
    self.feeds = false
    if self.source.error then self.broken_at = self.sent + 1 end
    if self.client.closed then self.client:close_tasks() end
  end
end

function Job:feed_all()
  self.unbound = true
  self:feed()
end

-- The queue that is to be read as soon as something is in it.
function Job:awaits()
  return self.feeds and self:next_size() and self.source.queue or nil
end

-- results ------------------------------------------------------------------------------

-- Result i: ok and a value, or not and an error.
function Job:put(i, ok, value)
  map.answered(self, 1)
  self.in_work = self.in_work - 1
  self.arrived = self.arrived + 1
  if self.over then
    if self.in_work == 0 then self:release() end
    return
  end
  if not self.ordered then
    self.last = self.last + 1
    i = self.last
  end
  self.ready[i] = { ok, value }
  if not ok then self.failed = self.failed + 1 end
end

-- How many there are is known at the end of the input, if not before.
function Job:show()
  local p, input = self.progress, self.source
  if not p then return end
  local total = input.n or (input.over and not input.error and self.sent or nil)
  if self.arrived == total then
    p:done(total, self.failed)
  else
    p:tick(self.arrived, total, self.failed)
  end
end

function Job:adapt(n, ns)
  if self.how & AUTO == 0 then return end
  local each = ns / n
  local fit = math.floor(TARGET / math.max(each, 1))
  if self.buffer then fit = math.min(fit, self.buffer // (2 * self.client.size)) end
  self.chunk = math.max(1, math.min(map.MOST, fit, self.chunk * 4))
end

function Job:lost()
  map.each_lost(self, function(items, e)
    for _, i in ipairs(items) do self:put(i, false, e) end
  end)
end

function Job:result(first, n, ns, values, errors, slow, slow_n, slow_ns)
  if first == "undecodable" then
    return self:fail(type(n) == "table" and remote.new(n) or remote.new { name = "Error",
                     message = "a result cannot be read here: " .. tostring(n), traceback = "" })
  end
  if n == 0 then
    if values == "lost" then return map.wait_lost(self, first, { first }) end
    self.client:survived(self, first)
    self.client.stats:add(ns, self, first)
    if not values then self.client.stats:add_failed(1) end
    self:adapt(1, ns)
    if not values then errors = remote.new(errors) end  -- else the value, which may be nil
    self:put(first, values, errors)
    return self:show()
  end
  self.client.stats:add_items(ns, self, first, n - map.lost_of(errors, n), slow, slow_n, slow_ns)
  self:adapt(n, ns)
  local lost
  for i = 1, n do
    local e = errors and errors[i]
    if e == LOST then
      lost = lost or {}
      lost[#lost + 1] = first + i - 1
    elseif e then
      self.client.stats:add_failed(1)
      self:put(first + i - 1, false, remote.new(e))
    else
      self:put(first + i - 1, true, values[i])
    end
  end
  if lost then
    map.wait_lost(self, first, lost)
  else
    self.client:survived(self, first)
  end
  self:show()
end

-- Nothing more will come: that is the last result, unless all are there.
function Job:fail(e)
  if self.feeds or self.in_work > 0 then self.end_error = e end
  self.feeds = false
  self:release()
  self.client:withdraw(self.id)
end

function Job:release()
  if self.code then self.client.code:drop(self.code) end
  self.code = nil
  self.client:forget(self)
end

function Job:stop()
  if self.over then return end
  self.over, self.feeds = true, false
  if not self.client.foreign then
    if self.progress then self.progress:close() end
    self:release()  -- first: a worker that finds no code puts no rest of a chunk
    self.client:withdraw(self.id)
    if self.client.closed then self.client:close_tasks() end
  end
  self.ready = {}
end

-- Nobody will ask for results: what is in work is done, and no more is read.
function Job:detach()
  self.over, self.feeds, self.ready = true, false, {}
  if self.in_work == 0 then self:release() end
  if self.client.closed then self.client:close_tasks() end
end

-- the iterator -------------------------------------------------------------------------

-- The next result, if it is there.
function Job:pop()
  local i = self.taken + 1
  local r = self.ready[i]
  if not r then return nil end
  self.ready[i] = nil
  self.taken = i
  return r
end

local function give(job, r)
  if not r[1] then remote.raise(r[2]) end
  if r[2] == nil then
    check.fail(job.call, "the function gave nil for item %d, which would end the loop; return "
               .. "false, or use map", job.taken)
  end
  return r[2]
end

-- All that was sent has been taken.
local function at_end(job)
  if job.end_error then
    local e = job.end_error
    job:stop()
    remote.raise(e)
  elseif job.taken < job.sent or job.feeds then
    return false
  elseif job.broken_at then
    local e = job.source.error
    job.broken_at = nil
    job:stop()
    error(e.value, 0)
  end
  job:show()
  job:stop()
  return true
end

local function await(job, deadline)
  local left = deadline and math.max(0, deadline - mp.time())
  local queue = job:awaits()
  if queue then
    job.client:await_any({ queue }, job.progress and math.min(left or RARELY, RARELY) or left)
    if job.progress then job.progress:again() end
  elseif not job.progress then
    job.client:await(left)
  elseif not job.client:await(math.min(left or RARELY, RARELY)) then
    job.progress:again()
  end
  if job.progress then callbacks.run() end
  return not (left and left <= 0)
end

local function next_result(job, timeout)
  if job.over then return nil end
  local deadline = timeout and mp.time() + timeout
  local r = job:pop()
  while not r do
    job.client:take_in()
    r = job:pop()
    if r then break end
    job:feed()
    r = job:pop()
    if r then break end
    if job.over or at_end(job) then
      callbacks.run()
      return nil
    end
    if not await(job, deadline) and not job.ready[job.taken + 1] then return nil, "timeout" end
    r = job:pop()
  end
  job:feed()
  callbacks.run()
  return give(job, r)
end

-- The time for all may end before that for this one.
local function in_time(it, timeout)
  it.used = true
  local job, left = it.job, it.deadline and math.max(0, it.deadline - mp.time())
  local own = timeout and (not left or timeout < left)
  local value, why = next_result(job, own and timeout or left)
  if why == "timeout" and not own then
    job:stop()
    error(remote.new { name = "Timeout", traceback = "",
                       message = job.call .. ": not all results came in time" }, 0)
  end
  return value, why
end

function Iterator:next(timeout)
  if getmetatable(self) ~= Iterator then
    check.fail("imap:next", "expected an imap, got %s (call it with a colon)", type(self))
  end
  check.timeout(timeout, "imap:next")
  if self.job.client.foreign then
    check.fail("imap:next", "this imap belongs to the process that began it")
  end
  return in_time(self, timeout)
end

function Iterator:__call()
  local job = self.job
  if job.client.foreign then
    check.fail(job.call, "this imap belongs to the process that began it")
  end
  return (in_time(self))
end

function Iterator:close() self.job:stop() end
function Iterator:__close() self.job:stop() end

-- Who never asked for a result may want what the function does.
function Iterator:__gc()
  if self.used then return self.job:stop() end
  if not self.job.over and not self.job.client.foreign then self.job:detach() end
end

function Iterator:__tostring()
  return ("imap (%d taken)"):format(self.job.taken)
end

local M = {}

-- o: { chunksize=, buffer=, ordered=, star=, timeout= (a task's), within= (seconds for all), progress= }
-- The iterator keeps the pool: what is still to be read needs it.
function M.new(pool, client, call, f, source, o)
  local auto = not o.chunksize and not (o.timeout or o.retries)
  local job = setmetatable({ client = client, call = call, f = f, source = source,
    ordered = o.ordered, timeout = o.timeout, retries = o.retries, buffer = o.buffer,
    unbound = o.unbound, chunk = auto and 1 or o.chunksize or 1,
    how = (auto and AUTO or 0) | (o.star and STAR or 0), sent = 0, taken = 0, last = 0,
    in_work = 0, out = 0, arrived = 0, failed = 0, ready = {}, feeds = true, progress = o.progress }, Job)
  job.code = client.code:keep(f, call)
  client:add(job, true)
  job:feed()
  local it = setmetatable({ job = job, pool = pool, deadline = o.within and mp.time() + o.within },
                          Iterator)
  core.guard()  -- at the end of the script, what was sent is done before it is collected
  return it, nil, nil, it
end

return M
