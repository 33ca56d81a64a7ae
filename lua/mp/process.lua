-- process: mp.Process and its subclasses, and what a process does in between.
--
-- A Process is the userdata of a shared object. Its own fields (target, args,
-- what a subclass sets) are a table beside it, in this process only: sent to
-- another one it is the same process, without them.
--
-- SPDX-License-Identifier: MIT

local core = require "mp.core"
local remote = require "mp.error"

local mp = core.mp
local meta = core.process_meta
local fields, get = core.fields, core.get

-- keys of fields that no script can meet
local CLASS, TARGET, ARGS, KWARGS, ERROR = {}, {}, {}, {}, {}

local Process = {}
local children = {}   -- started here and perhaps still running
local children_max = 16

local function fail(level, call, text, ...)
  error(("%s: %s"):format(call, text:format(...)), level + 1)
end

local function callable(f)
  local m = getmetatable(f)
  return type(f) == "function" or (type(m) == "table" and m.__call ~= nil)
end

-- classes ----------------------------------------------------------------------

local class_meta = {}

local function construct(class, ...)
  local ok, p = pcall(core.new)
  if not ok then error(p, 3) end
  fields(p)[CLASS] = class
  class.init(p, ...)
  return p
end

function class_meta.__call(class, ...)
  return construct(class, ...)
end

setmetatable(Process, class_meta)

function Process.extend(class)
  return setmetatable({ super = class }, { __index = class, __call = construct })
end

-- What mp.Process{...} takes; a subclass's init may call it as
-- Class.super.init(self, { name = ... }).
local OPTIONS = { target = true, args = true, kwargs = true, name = true, daemon = true }

function Process:init(options)
  local f = fields(self)
  if options == nil then return end
  if type(options) ~= "table" then
    fail(3, "mp.Process", "expected a table such as {target=f, args={...}}, got %s", type(options))
  end
  for key in pairs(options) do
    if key == 1 then
      fail(3, "mp.Process", "the function goes into target=, its arguments into args={...}")
    elseif not OPTIONS[key] then
      fail(3, "mp.Process", "unknown option '%s'", tostring(key))
    end
  end
  local target, args, kwargs = options.target, options.args, options.kwargs
  if target ~= nil and not callable(target) then
    fail(3, "mp.Process", "target must be a function, got %s", type(target))
  end
  if args ~= nil and type(args) ~= "table" then
    fail(3, "mp.Process", "args must be a list, got %s", type(args))
  end
  if kwargs ~= nil and type(kwargs) ~= "table" then
    fail(3, "mp.Process", "kwargs must be a table, got %s", type(kwargs))
  end
  if options.name ~= nil and type(options.name) ~= "string" then
    fail(3, "mp.Process", "name must be a string, got %s", type(options.name))
  end
  if options.daemon ~= nil and type(options.daemon) ~= "boolean" then
    fail(3, "mp.Process", "daemon must be true or false, got %s", type(options.daemon))
  end
  f[TARGET], f[ARGS], f[KWARGS] = target, args, kwargs
  if options.name ~= nil then self.name = options.name end
  if options.daemon ~= nil then self.daemon = options.daemon end
end

-- fields -----------------------------------------------------------------------

local getters = {}
for _, key in ipairs { "name", "pid", "daemon", "exitcode", "authkey" } do
  getters[key] = function(p) return get(p, key) end
end

function getters.sentinel(p)
  if get(p, "state") == "new" then
    fail(2, "Process.sentinel", "it has not been started")
  end
  return get(p, "sentinel")
end

function getters.ident(p) return get(p, "pid") end

function getters.error(p)
  local f = fields(p)
  if f[ERROR] == nil then
    local kept, e = core.fetch(p, "error")
    if not kept then return nil end
    f[ERROR] = remote.new(e)
  end
  f[ERROR].exitcode = get(p, "exitcode")
  return f[ERROR]
end

local setters = {}

local function before_start(p, key)
  if get(p, "state") ~= "new" then
    fail(4, "Process." .. key, "it can only be set before start")
  end
end

function setters.name(p, name)
  if type(name) ~= "string" then
    fail(3, "Process.name", "expected a string, got %s", type(name))
  end
  before_start(p, "name")
  core.set(p, "name", name)
end

function setters.daemon(p, daemon)
  if type(daemon) ~= "boolean" then
    fail(3, "Process.daemon", "expected a boolean, got %s", type(daemon))
  end
  before_start(p, "daemon")
  core.set(p, "daemon", daemon)
end

function meta.__index(p, key)
  local f = fields(p)
  local value = f[key]
  if value ~= nil then return value end
  local getter = getters[key]
  if getter then return getter(p) end
  return (f[CLASS] or Process)[key]
end

function meta.__newindex(p, key, value)
  local setter = setters[key]
  if setter then
    setter(p, value)
  elseif getters[key] then
    fail(2, "Process." .. tostring(key), "it cannot be set")
  else
    fields(p)[key] = value
  end
end

function meta.__tostring(p)
  local ok, state = pcall(get, p, "state")
  if not ok then return "Process (closed here)" end
  if state == "new" then return ("Process %s (not started)"):format(p.name) end
  if p:is_alive() then return ("Process %s (pid %d)"):format(p.name, p.pid or 0) end
  return ("Process %s (ended, exit code %s)"):format(p.name, p.exitcode)
end

-- closers ------------------------------------------------------------------------

local closers = {}
local plain_xpcall = xpcall  -- Lua's: the script's lets Ctrl-C pass (bind/protect.c)

local function report(text)
  local p = core.current()
  core.stderr(("%s (pid %d): %s\n"):format(p.name, mp.getpid(), text))
end

-- Ctrl-C ends but the one that runs; that it did is said at the very end.
local function run_one(f)
  local ok, e = plain_xpcall(f, remote.catch)
  if not ok and not core.is_interrupt(e.value) then
    report(("%s\n%s"):format(e.message, e.traceback))
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

function core.finish(f) finishers[#finishers + 1] = f end

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

-- in the child -----------------------------------------------------------------------

-- An error that cannot travel whole travels as text.
local function store_error(e)
  local plain = { name = e.name, message = e.message, traceback = e.traceback,
                  process = e.process, pid = e.pid, value = e.value }
  if pcall(core.store, "error", plain) then return end
  plain.value = type(e.value) == "string" and e.value or nil
  pcall(core.store, "error", plain)
end

local function store_result(...)
  if select("#", ...) == 0 then return end
  local ok, why = pcall(core.store, "result", ...)  -- false: no memory; it is noted
  if not ok then
    pcall(core.store, "unsent", tostring(why))
  end
end

local function finish(p, ok, ...)
  if ok then
    store_result(...)
    return 0
  end
  local e = ...
  if type(e) ~= "table" then  -- no memory for the handler
    e = remote.new { message = tostring(e), value = e, traceback = "" }
  end
  e.process, e.pid = p.name, mp.getpid()
  store_error(e)
  report(("%s\n%s"):format(e.message, e.traceback))
  return 1
end

local function child(p)
  if #children > 0 then children = {} end
  if #closers > 0 then closers = {} end
  children_max = 16
  for _, f in ipairs(core.forked) do f() end
  math.randomseed(core.entropy())
  return finish(p, xpcall(p.run, remote.catch, p))
end

-- methods ----------------------------------------------------------------------------

for name, method in pairs(core.methods) do
  Process[name] = method
end

local function prune()
  local kept = {}
  for _, p in ipairs(children) do
    local ok, state = pcall(get, p, "state")
    if ok and state ~= "ended" then kept[#kept + 1] = p end
  end
  children, children_max = kept, math.max(16, 2 * #kept)
end

local function demand_process(p, call)
  if getmetatable(p) ~= meta then
    fail(3, call, "expected a Process, got %s (call it with a colon)", type(p))
  end
end

function Process:start()
  demand_process(self, "Process:start")
  local f = fields(self)
  if get(self, "state") == "new" and not f[CLASS] then
    fail(2, "Process:start", "it was made in another process; start it there")
  end
  if #children >= children_max then prune() end
  local ok, why = core.start(self, child)
  if not ok then fail(2, "Process:start", "%s", why) end
  children[#children + 1] = self
  f[TARGET], f[ARGS], f[KWARGS] = nil, nil, nil
  return self
end

function Process:run()
  demand_process(self, "Process:run")
  local f = fields(self)
  local target, args, kwargs = f[TARGET], f[ARGS], f[KWARGS]
  if not target then return end
  args = args or {}
  local n = args.n or #args
  if not kwargs then return target(table.unpack(args, 1, n)) end
  args = table.move(args, 1, n, 1, {})
  args[n + 1] = kwargs
  return target(table.unpack(args, 1, n + 1))
end

local function unpack_result(p, ok, ...)
  if ok then
    return ...
  elseif p.exitcode ~= 0 then
    error(remote.killed(p), 0)
  elseif ok == false then
    error(("%s (in %s)"):format(..., p.name), 0)
  end
end

function Process:result(timeout)
  demand_process(self, "Process:result")
  if get(self, "state") == "new" then fail(2, "Process:result", "it has not been started") end
  local ok, why = self:join(timeout)
  if not ok then return nil, why end
  local e = self.error
  if e then remote.raise(e) end
  return unpack_result(self, core.fetch(self, "result"))
end

-- the module's part --------------------------------------------------------------------

mp.Process = Process

function mp.spawn(f, ...)
  if not callable(f) then fail(2, "mp.spawn", "expected a function, got %s", type(f)) end
  return Process { target = f, args = table.pack(...) }:start()
end

mp.current_process = core.current
core.actor = core.current  -- this process, or the thread in it (thread.lua)
mp.parent_process = core.parent

function mp.active_children()
  local list = { n = 0 }
  for _, p in ipairs(children) do
    local ok, alive = pcall(p.is_alive, p)
    if ok and alive then
      list.n = list.n + 1
      list[list.n] = p
    end
  end
  children = table.move(list, 1, list.n, 1, {})
  return list
end

return Process
