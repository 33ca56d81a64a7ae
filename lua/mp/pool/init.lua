-- pool: mp.Pool: functions run by a set of processes or threads.
--
-- The parts: client.lua (tasks out, results in), worker.lua (what a worker
-- does), supervisor.lua (who starts and ends workers), future.lua, map.lua and
-- imap.lua (what results become), options.lua (what may be asked for).
--
-- SPDX-License-Identifier: MIT

local core = require "mp.core"
local remote = require "mp.error"
local callbacks = require "mp.pool.callbacks"
local check = require "mp.pool.check"
local client = require "mp.pool.client"
local board = require "mp.pool.board"
local future = require "mp.pool.future"
local imap = require "mp.pool.imap"
local map = require "mp.pool.map"
local options = require "mp.pool.options"
local progress = require "mp.pool.progress"
local source = require "mp.pool.source"
local stats = require "mp.pool.stats"
require "mp.pool.ending"

local mp = core.mp
local fail = check.fail

local Pool = { __name = "Pool" }
Pool.__index = Pool

core.stays(Pool, "a Pool", "; make one there, or send what its tasks return")

-- the client behind a pool -------------------------------------------------------------

local function of(pool, call)
  local c = type(pool) == "table" and rawget(pool, "client")
  local what = call:match "%w+"
  local a = what == "Executor" and "an" or "a"
  if not c then fail(call, "expected %s %s, got %s (call it with a colon)", a, what, type(pool)) end
  if c.foreign then
    fail(call, "this %s belongs to the process that made it; make one here, or send the work there",
         what)
  end
  return c
end

local function open(pool, call)
  local c = of(pool, call)
  if c.broken then fail(call, "the pool is broken: %s", c.broken.message) end
  if c.terminated then fail(call, "the pool was terminated") end
  if c.closed then fail(call, "the pool is closed") end
  return c
end

-- single tasks -------------------------------------------------------------------------

local OFTEN = 63  -- who only ever submits takes in results each 32nd time

local function submit(c, call, f, timeout, retries, args, n)
  check.callable(f, call)
  local fut, job = future.new(c, f, args, n)
  local code, holds = c.code:once(f)
  fut.holds = holds
  local ok, e = pcall(c.send, c, call, job.id, code, timeout, retries, table.unpack(args, 1, n))
  if not ok then
    -- The task's own error: whoever submits many learns of it from its future.
    e = check.unsent(e, call, 3)
    c.stats:add_lost(1)
    job:fail(remote.new { name = "Error", message = e, value = e, traceback = "",
                          process = mp.current_process().name, pid = mp.getpid() })
  end
  if c.next_id & OFTEN == 0 then c:take_in() end
  callbacks.run()
  return fut
end

function Pool:submit(f, ...)
  local c = open(self, "Pool:submit")
  return submit(c, "Pool:submit", f, c.timeout, c.retries, { ... }, select("#", ...))
end

function Pool:submit_with(how, f, ...)
  local call = "Pool:submit_with"
  local c = open(self, call)
  local timeout, retries = options.of_task(how, c, call)
  return submit(c, call, f, timeout, retries, { ... }, select("#", ...))
end

function Pool:apply(f, args)
  local c = open(self, "Pool:apply")
  local list, n = check.arguments(args, "Pool:apply", "args")
  return submit(c, "Pool:apply", f, c.timeout, c.retries, list, n):get()
end

local function check_callbacks(call, callback, error_callback)
  check.optional_callable(callback, call, "callback")
  check.optional_callable(error_callback, call, "error_callback")
end

function Pool:apply_async(f, args, callback, error_callback)
  local call = "Pool:apply_async"
  local c = open(self, call)
  local list, n = check.arguments(args, call, "args")
  check_callbacks(call, callback, error_callback)
  return future.on(submit(c, call, f, c.timeout, c.retries, list, n), callback, error_callback)
end

-- maps ---------------------------------------------------------------------------------

local function check_items(list, call)
  for i = 1, check.list(list, call, "the list") do
    local item = list[i]
    if type(item) ~= "table" then
      fail(call, "item %d must be a list of arguments, got %s", i, type(item))
    end
    check.arguments(item, call, "an item")
  end
end

local function start_map(self, call, f, iterable, how, star)
  local c = open(self, call)
  check.callable(f, call)
  local o = options.of_map(how, c, call)
  local list = type(iterable) == "table" and not check.is_callable(iterable) and iterable
               or source.new(iterable, call):all()
  if star then check_items(list, call) end
  o.star = star
  o.progress = o.progress and progress.new(o.progress, list.n or #list, c.name)
  return map.start(c, call, f, list, o), o.progress
end

-- A map that is waited for, with its progress.
local function finish_map(fut, shown)
  if not shown then return fut:get() end
  local _ <close> = shown
  while not fut:wait(progress.RARELY) do shown:again() end
  return fut:get()
end

function Pool:map(f, list, how) return finish_map(start_map(self, "Pool:map", f, list, how)) end

function Pool:starmap(f, list, how)
  return finish_map(start_map(self, "Pool:starmap", f, list, how, true))
end

function Pool:map_async(f, list, how, callback, error_callback)
  check_callbacks("Pool:map_async", callback, error_callback)
  return future.on((start_map(self, "Pool:map_async", f, list, how)), callback, error_callback)
end

function Pool:starmap_async(f, list, how, callback, error_callback)
  check_callbacks("Pool:starmap_async", callback, error_callback)
  return future.on((start_map(self, "Pool:starmap_async", f, list, how, true)), callback, error_callback)
end

local function start_imap(self, call, f, iterable, how, ordered)
  local c = open(self, call)
  check.callable(f, call)
  local o = options.of_map(how, c, call)
  o.ordered = ordered
  local input = source.new(iterable, call)
  o.progress = o.progress and progress.new(o.progress, input.n, c.name)
  return imap.new(self, c, call, f, input, o)
end

function Pool:imap(f, iterable, how)
  return start_imap(self, "Pool:imap", f, iterable, how, true)
end

function Pool:imap_unordered(f, iterable, how)
  return start_imap(self, "Pool:imap_unordered", f, iterable, how, false)
end

-- the pool itself ----------------------------------------------------------------------

function Pool:resize(n)
  local call = "Pool:resize"
  local c = open(self, call)
  if n == nil then fail(call, "expected a number of workers") end
  n = check.count(n, 1, call, "the number of workers")
  local most = board.capacity(c.spec.board)
  if n > most then
    fail(call, "this pool can have %d workers at most; make one that begins with more", most)
  end
  c.size = n
  if c.demand and n > c.target then return end
  c.target = n
  c.control:put { "size", n }
end

function Pool:close()
  local c = of(self, "Pool:close")
  if not c.closed then c:close() end
end

function Pool:terminate()
  of(self, "Pool:terminate"):terminate()
  callbacks.run()
end

function Pool:join(timeout)
  local c = of(self, "Pool:join")
  check.timeout(timeout, "Pool:join")
  if not c.closed then fail("Pool:join", "the pool is still open; close or terminate it first") end
  return c:join(timeout and mp.time() + timeout)
end

function Pool:stats()
  local c = of(self, "Pool:stats")
  c:look()
  callbacks.run()
  return stats.of(c)
end

function Pool:exit_results()
  local c = of(self, "Pool:exit_results")
  c:look()
  return table.move(c.exits, 1, c.exits.n, 1, { n = c.exits.n })
end

local index = Pool.__index

function Pool.__index(pool, key)
  if key == "size" then return of(pool, "Pool.size").size end
  return index[key]
end

function Pool.__newindex(_, key)
  fail("Pool", "field %s cannot be set", tostring(key))
end

-- The end of a scope ends the pool, as multiprocessing's `with` does.
function Pool.__close(pool)
  local c = rawget(pool, "client")
  if c.foreign or c.ended then return end
  c:terminate()
  c:join()
end

function Pool.__gc(pool)
  local c = rawget(pool, "client")
  if c then c:drop() end
end

function Pool.__tostring(pool)
  local c = rawget(pool, "client")
  local state = c.foreign and "of another process" or c.ended and "ended" or c.broken and "broken"
    or c.terminated and "terminated" or c.closed and "closed" or "running"
  return ("Pool %s (%d %s, %s)"):format(c.name, c.size, c.kind == "thread" and "threads" or "processes", state)
end

local M = { open = open, of = of, submit = submit, Pool = Pool }

function M.make(o, meta)
  local c = client.new(o)
  c.timeout, c.retries, c.buffer = o.timeout, o.retries > 0 and o.retries or nil, o.buffer
  c.retries = c.retries or 0
  local pool = setmetatable({ client = c }, meta)
  core.guard()  -- at the end of the script, callbacks find the pool open
  return pool
end

function mp.Pool(...)
  return M.make(options.of_pool(...), Pool)
end

return M
