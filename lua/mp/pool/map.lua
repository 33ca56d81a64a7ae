-- map: map, starmap and their asynchronous forms: a list's items, in chunks.
--
-- Without a chunk size there are at least eight chunks a worker, of at most 512
-- items and about 64 KiB; a worker that finds one long shares the rest of it
-- with who has nothing to do (worker.lua). So tiny tasks travel together, long
-- ones alone, and the end is not a wait for one worker.
--
-- SPDX-License-Identifier: MIT

local core = require "mp.core"
local remote = require "mp.error"
local board = require "mp.pool.board"
local check = require "mp.pool.check"
local future = require "mp.pool.future"
local mode = require "mp.pool.mode"
local stats = require "mp.pool.stats"

local AUTO, STAR, ALONE, LOST = mode.AUTO, mode.STAR, mode.ALONE, mode.LOST

local MOST = 512           -- items
local BYTES = 65536        -- of a chunk's message
local GROWTH = 8           -- a chunk has at most so many times the items of the one before
local SHARE = 8            -- chunks a worker, at least

local Map = {}
Map.__index = Map

local M = { MOST = MOST, BYTES = BYTES }

-- Items of the next chunk, after one of n items took so many bytes.
function M.fit(size, n, bytes)
  if bytes <= BYTES then return size end
  return math.max(1, math.min(size, n * BYTES // bytes))
end

-- Sends items first to first + k - 1 of a job: one by itself, or a list. What
-- is raised names the item.
function M.send(job, call, how, first, items, k)
  job.sending = k
  local ok, bytes = pcall(job.client.send, job.client, call, job.id, job.code,
                          k == 1 and how | ALONE or how, first, items, k, job.timeout, job.retries)
  if ok then return bytes end
  error(check.unsent_item(bytes, call, first, k == 1), 0)
end

-- n items that were sent have a result.
function M.answered(job, n)
  if n > 0 then job.client:answered(job, job.bytes * n // job.out) end
  job.out = job.out - n
end

-- o: { chunksize=, star=, timeout=, retries=, progress= }
function M.start(client, call, f, list, o)
  local n = check.list(list, call, "the list")
  local job = setmetatable({ client = client, f = f, args = list, star = o.star, values = core.room(n),
    n = 0, left = n, total = n, out = 0, timeout = o.timeout, retries = o.retries, progress = o.progress,
    what = o.what }, Map)
  local fut = future.bare(client, job)
  client:add(job, true)
  if n == 0 then
    job:finish()
    return fut
  end
  local ok, e = pcall(job.send_all, job, call, list, n, o)
  if not ok then
    client:withdraw(job.id)
    job:release()
    if job.progress then job.progress:close() end
    client:forget(job)
    error(e, 0)
  end
  return fut
end

function Map:send_all(call, list, n, o)
  local client = self.client
  self.code = client.code:keep(self.f, call)
  local how = (o.star and STAR or 0)
  local chunk = o.chunksize
  if not chunk and not (o.timeout or o.retries) then
    how = how | AUTO
    chunk = math.max(1, math.min(MOST, n // (SHARE * client.size)))
  end
  chunk = chunk or 1
  if how & AUTO ~= 0 then return self:send_growing(call, list, n, how, chunk) end
  for first = 1, n, chunk do
    self:send_some(call, how, list, first, math.min(chunk, n - first + 1))
  end
end

-- The first chunk is one item: it tells how large they are. Should those after
-- it be so much larger that a chunk has no room, it becomes smaller.
function Map:send_growing(call, list, n, how, chunk)
  local first, size = 1, 1
  while first <= n do
    local k = math.min(size, n - first + 1)
    local ok, bytes = pcall(self.send_some, self, call, how, list, first, k)
    if ok then
      first = first + k
      size = M.fit(math.min(chunk, k * GROWTH), k, bytes)
    elseif k > 1 then
      size = k // 2
    else
      error(bytes, 0)
    end
  end
end

function Map:send_some(call, how, list, first, k)
  local items = list[first]
  if k > 1 then items = core.part(list, first, k) end
  return M.send(self, call, how, first, items, k)
end

-- what comes ---------------------------------------------------------------------------

function Map:set(i, value) self.values[i] = value end

function Map:set_error(i, e)
  if not self.first_error or i < self.first_error then
    self.first_error, self.error = i, e
  end
  self.failed = (self.failed or 0) + 1
end

function Map:one_done(n)
  M.answered(self, n)
  self.left = self.left - n
  if self.progress then self.progress:tick(self.total - self.left, self.total, self.failed or 0) end
  if self.left == 0 then self:finish() end
end

-- Items whose worker died wait until it is known how: those of a chunk, which
-- died together.
local function wait_lost(job, chunk, items)
  job.waiting = job.waiting or {}
  items.chunk = chunk
  table.insert(job.waiting, items)
  job:lost()
end

-- Those of which it is known by now: f(items, error).
local function each_lost(job, f)
  local waiting = job.waiting or {}
  for k = #waiting, 1, -1 do
    local items = waiting[k]
    local d = job.client:death(job, items.chunk)
    if d then
      table.remove(waiting, k)
      job.client.stats:add_lost(#items)
      f(items, stats.lost(job.client, job, d, items[1]))
    end
  end
end
M.wait_lost, M.each_lost = wait_lost, each_lost

function Map:lost()
  each_lost(self, function(items, e)
    for _, i in ipairs(items) do self:set_error(i, e) end
    self:one_done(#items)
  end)
end

function Map:alone(i, ns, ok, value)
  if ok == "lost" then return wait_lost(self, i, { i }) end
  self.client:survived(self, i)
  self.client.stats:add(ns, self, i)
  if ok then
    self:set(i, value)
  else
    self.client.stats:add_failed(1)
    self:set_error(i, remote.new(value))
  end
  self:one_done(1)
end

-- How many of a chunk's n items were lost: with the worker that began it.
local function lost_of(errors, n)
  local lost = 0
  for i = 1, errors and n or 0 do
    if errors[i] == LOST then lost = lost + 1 end
  end
  return lost
end
M.lost_of = lost_of

function Map:result(first, n, ns, values, errors, slow, slow_n, slow_ns)
  if first == "undecodable" then return self:unreadable(n) end
  if n == 0 then return self:alone(first, ns, values, errors) end
  self.client.stats:add_items(ns, self, first, n - lost_of(errors, n), slow, slow_n, slow_ns)
  local lost = {}
  if lost_of(errors, n) == 0 then self.client:survived(self, first) end
  if not errors then return self:one_done(n) end  -- the values are in their places
  for i = 1, n do
    local e = errors[i]
    if e == LOST then
      lost[#lost + 1] = first + i - 1
    elseif e then
      self.client.stats:add_failed(1)
      self:set_error(first + i - 1, remote.new(e))
    end
  end
  self:one_done(n - #lost)
  if #lost > 0 then wait_lost(self, first, lost) end
end

-- A chunk, and nobody knows which: there is no result to wait for.
function Map:unreadable(e)
  self.client:withdraw(self.id)
  self:fail(type(e) == "table" and remote.new(e) or remote.new { name = "Error",
            message = "a result cannot be read here: " .. tostring(e), traceback = "" })
end

-- ending -------------------------------------------------------------------------------

function Map:release()
  if self.code then self.client.code:drop(self.code) end
  self.code = nil
end

function Map:finish()
  self:release()
  if self.progress then self.progress:done(self.total, self.failed or 0) end
  if self.error then
    future.settle_error(self.future, self.error)
  else
    future.settle_values(self.future, self.values)
  end
end

function Map:fail(e)
  self:release()
  if self.progress then self.progress:close() end
  future.settle_error(self.future, e)
end

-- Without its code nobody begins a chunk any more; by force, those at one end.
function Map:cancel(by_force)
  local client, id = self.client, self.id
  client:withdraw(id)
  self:fail(future.cancelled_error(self.future))
  if not by_force then return end
  client:condemn(id, function()
    return client:withdraw(id) == 0 and not board.runs(client.spec.board, id, client.workers)
  end)
end

return M
