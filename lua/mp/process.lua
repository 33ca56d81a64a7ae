-- process: mp.Process and its subclasses, and what ends with a process.
--
-- SPDX-License-Identifier: MIT

local core = require "mp.core"
local remote = require "mp.error"
local actor = require "mp.actor"

local mp = core.mp
local fail, callable = actor.fail, actor.callable

local children = {}   -- started here and perhaps still running

-- closers ------------------------------------------------------------------------

local closers = {}
local plain_xpcall = xpcall  -- Lua's: the script's lets Ctrl-C pass (bind/protect.c)

-- Ctrl-C ends but the one that runs; that it did is said at the very end.
local function run_one(f)
  local ok, e = plain_xpcall(f, remote.catch)
  if not ok and not core.is_interrupt(e.value) then
    actor.report(("%s\n%s"):format(e.message, e.traceback))
  end
end

-- Last first; one that is registered meanwhile runs as well.
local function close_all()
  while #closers > 0 do run_one(table.remove(closers)) end
end

-- What our own modules do at the end, after the script's closers, and in a
-- child before its target.
local finishers = {}
core.forked = {}

function core.finish(f)
  finishers[#finishers + 1] = f
  core.guard()
end

local function end_all()
  close_all()
  for _, f in ipairs(finishers) do run_one(f) end
  close_all()
end

core.closer(end_all)

function mp.atexit(f)
  if not callable(f) then fail(2, "mp.atexit", "expected a function, got %s", type(f)) end
  closers[#closers + 1] = f
  core.guard()
  return f
end

-- Process ------------------------------------------------------------------------

local Process = actor.class("Process", core.methods, core.new)

-- In the child, which is a copy.
local function child(p)
  if #children > 0 then children = {} end
  if #closers > 0 then closers = {} end
  core.forget_threads()
  for _, f in ipairs(core.forked) do f() end
  return actor.run(p)
end

local function fork(p)
  return core.start(p, child)
end

function Process:start()
  actor.demand(self, "Process", "Process:start")
  return actor.start(self, children, fork)
end

-- the module's part ----------------------------------------------------------------

mp.Process = Process

function mp.spawn(f, ...)
  if not callable(f) then fail(2, "mp.spawn", "expected a function, got %s", type(f)) end
  return Process { target = f, args = table.pack(...) }:start()
end

mp.current_process = core.current
mp.parent_process = core.parent

function mp.active_children()
  return actor.live(children)
end

return Process
