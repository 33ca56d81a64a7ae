-- timer: mp.Timer: a function that runs later, in a process of its own.
--
-- A Timer is a table with two shared objects in it: the process that waits,
-- and the event that ends the waiting. So it can be sent, and cancelled from
-- anywhere; it can be started only where it was made.
--
-- SPDX-License-Identifier: MIT

local mp = require "mp.core".mp

local Timer = { __name = "Timer" }

local function fail(level, call, text, ...)
  error(("%s: %s"):format(call, text:format(...)), level + 1)
end

local function callable(f)
  local m = getmetatable(f)
  return type(f) == "function" or (type(m) == "table" and m.__call ~= nil)
end

local function done(finished, ...)
  finished:set()
  return ...
end

-- What the process does: f is not run when finished is set before its time.
local function run(finished, seconds, f, args)
  if finished:wait(seconds) then return end
  return done(finished, f(table.unpack(args, 1, args.n or #args)))
end

local function new(_, seconds, f, args)
  if type(seconds) ~= "number" then
    fail(2, "mp.Timer", "the time must be a number of seconds, got %s", type(seconds))
  elseif seconds < 0 or seconds ~= seconds then
    fail(2, "mp.Timer", "the time must not be negative, got %s", tostring(seconds))
  elseif not callable(f) then
    fail(2, "mp.Timer", "expected a function, got %s", type(f))
  elseif args ~= nil and type(args) ~= "table" then
    fail(2, "mp.Timer", "args must be a list, got %s", type(args))
  end
  local finished = mp.Event()
  local process = mp.Process { target = run, args = { finished, seconds, f, args or {} } }
  return setmetatable({ interval = seconds, finished = finished, process = process }, Timer)
end

-- methods ----------------------------------------------------------------------

local methods = {}

local function check(t, call)
  if getmetatable(t) ~= Timer then
    fail(3, call, "expected a Timer, got %s (call it with a colon)", type(t))
  end
  return t.process
end

-- An error of the process's method speaks of the Timer.
local function pass(call, ok, ...)
  if ok then return ... end
  local e = ...
  local text, n = tostring(e):gsub("^.-Process:%w+: ", call .. ": ", 1)
  if type(e) ~= "string" or n == 0 then error(e, 0) end
  error(text, 2)
end

for _, name in ipairs { "join", "is_alive", "terminate", "kill", "close" } do
  local call = "Timer:" .. name
  methods[name] = function(t, ...)
    local p = check(t, call)
    return pass(call, pcall(p[name], p, ...))
  end
end

function methods.start(t)
  local p = check(t, "Timer:start")
  return pass("Timer:start", pcall(function() p:start() return t end))
end

function methods.result(t, ...)
  return check(t, "Timer:result"):result(...)
end

function methods.cancel(t)
  check(t, "Timer:cancel")
  t.finished:set()
end

-- fields -------------------------------------------------------------------------

local FIELDS = { name = true, daemon = true, pid = true, ident = true, exitcode = true,
                 error = true, sentinel = true }

function Timer.__index(t, key)
  if FIELDS[key] then return rawget(t, "process")[key] end
  return methods[key]
end

function Timer.__newindex(t, key, value)
  if FIELDS[key] then
    t.process[key] = value
  else
    rawset(t, key, value)
  end
end

Timer.__close = methods.cancel

function Timer.__tostring(t)
  return (tostring(t.process):gsub("^Process", "Timer", 1))
end

mp.Timer = setmetatable(Timer, { __call = new })

return Timer
