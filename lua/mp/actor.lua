-- actor: what mp.Process and mp.Thread have in common: classes, fields, what runs
-- in one, and its outcome.
--
-- Both are the userdata of a shared object. Its own fields (target, args, what
-- a subclass sets) are a table beside it, in this state only: sent to another
-- one it is the same process or thread, without them.
--
--   class(kind, methods, new) -> a class: core's methods and new()
--   demand(p, kind, call)         raises unless p is a Process or Thread
--   start(p, list, f)             f(p) starts it: true | nil, reason; list: those
--                                 that were started here
--   live(list) -> those of them that run, a new list
--   task(p) -> what p is to run; take(p, task) puts it there in another state
--   run(p) -> exit status         in what p is
--   report(text)                  to stderr, with the name of who runs here
--
-- SPDX-License-Identifier: MIT

local core = require "mp.core"
local remote = require "mp.error"

local mp = core.mp
local meta = core.process_meta
local fields, get = core.fields, core.get

local M = {}

-- keys of fields that no script meets; the same in every state
local CLASS, TARGET, ARGS, KWARGS, ERROR = "\0class", "\0target", "\0args", "\0kwargs", "\0error"

local base = {}  -- Process and Thread by these names: classes of what was made elsewhere

local function fail(level, call, text, ...)
  error(("%s: %s"):format(call, text:format(...)), level + 1)
end
M.fail = fail

local function callable(f)
  local m = getmetatable(f)
  return type(f) == "function" or (type(m) == "table" and m.__call ~= nil)
end
M.callable = callable

local function kind_of(p)
  return get(p, "thread") and "Thread" or "Process"
end

-- classes ----------------------------------------------------------------------

-- In core, and so known by a name: it is part of every class that travels.
function core.construct(class, ...)
  local ok, p = pcall(class.new)
  if not ok then error(p, 2) end
  fields(p)[CLASS] = class
  class.init(p, ...)
  return p
end

local function extend(class)
  return setmetatable({ super = class }, { __index = class, __call = core.construct })
end

-- What mp.Process{...} takes; a subclass's init may call it as
-- Class.super.init(self, { name = ... }).
local OPTIONS = { target = true, args = true, kwargs = true, name = true, daemon = true }

local function demand_type(call, options, key, wanted, text)
  local value = options[key]
  if value ~= nil and type(value) ~= wanted then
    fail(4, call, "%s must be %s, got %s", key, text, type(value))
  end
  return value
end

local function init(self, options)
  local f, call = fields(self), "mp." .. kind_of(self)
  if options == nil then return end
  if type(options) ~= "table" then
    fail(3, call, "expected a table such as {target=f, args={...}}, got %s", type(options))
  end
  for key in pairs(options) do
    if key == 1 then
      fail(3, call, "the function goes into target=, its arguments into args={...}")
    elseif not OPTIONS[key] then
      fail(3, call, "unknown option '%s'", tostring(key))
    end
  end
  if options.target ~= nil and not callable(options.target) then
    fail(3, call, "target must be a function, got %s", type(options.target))
  end
  f[TARGET] = options.target
  f[ARGS] = demand_type(call, options, "args", "table", "a list")
  f[KWARGS] = demand_type(call, options, "kwargs", "table", "a table")
  local name = demand_type(call, options, "name", "string", "a string")
  local daemon = demand_type(call, options, "daemon", "boolean", "true or false")
  if name ~= nil then self.name = name end
  if daemon ~= nil then self.daemon = daemon end
end

-- fields -----------------------------------------------------------------------

local getters = {}
for _, key in ipairs { "name", "pid", "daemon", "exitcode", "authkey" } do
  getters[key] = function(p) return get(p, key) end
end

function getters.sentinel(p)
  if get(p, "state") == "new" then
    fail(2, kind_of(p) .. ".sentinel", "it has not been started")
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
    fail(4, kind_of(p) .. "." .. key, "it can only be set before start")
  end
end

function setters.name(p, name)
  if type(name) ~= "string" then
    fail(3, kind_of(p) .. ".name", "expected a string, got %s", type(name))
  end
  before_start(p, "name")
  core.set(p, "name", name)
end

function setters.daemon(p, daemon)
  if type(daemon) ~= "boolean" then
    fail(3, kind_of(p) .. ".daemon", "expected a boolean, got %s", type(daemon))
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
  local class = f[CLASS]
  if class then return class[key] end
  local ok, kind = pcall(kind_of, p)  -- not of one that is closed here
  return base[ok and kind or "Process"][key]
end

function meta.__newindex(p, key, value)
  local setter = setters[key]
  if setter then
    setter(p, value)
  elseif getters[key] then
    fail(2, kind_of(p) .. "." .. tostring(key), "it cannot be set")
  else
    fields(p)[key] = value
  end
end

function meta.__tostring(p)
  local ok, state = pcall(get, p, "state")
  if not ok then return "Process (closed here)" end
  local who = ("%s %s"):format(kind_of(p), p.name)
  if state == "new" then return who .. " (not started)" end
  if p:is_alive() then return ("%s (pid %d)"):format(who, p.pid or 0) end
  return ("%s (ended, exit code %s)"):format(who, p.exitcode)
end

-- what runs in one -----------------------------------------------------------------

function M.report(text)
  local p = core.current_thread() or core.current()
  core.stderr(("%s (pid %d): %s\n"):format(p.name, mp.getpid(), text))
end

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
  M.report(("%s\n%s"):format(e.message, e.traceback))
  return 1
end

function M.run(p)
  math.randomseed(core.entropy())
  return finish(p, xpcall(p.run, remote.catch, p))
end

-- What it is to run, as something that can travel.
function M.task(p)
  local f = fields(p)
  local task = { class = f[CLASS], target = f[TARGET], args = f[ARGS], kwargs = f[KWARGS], fields = {} }
  for key, value in pairs(f) do
    if type(key) ~= "string" or key:byte() ~= 0 then task.fields[key] = value end
  end
  return task
end

function M.take(p, task)
  local f = fields(p)
  f[CLASS], f[TARGET], f[ARGS], f[KWARGS] = task.class, task.target, task.args, task.kwargs
  for key, value in pairs(task.fields) do f[key] = value end
end

-- starting ---------------------------------------------------------------------------

function M.demand(p, kind, call)
  if getmetatable(p) ~= meta then
    fail(3, call, "expected a %s, got %s (call it with a colon)", kind, type(p))
  end
end

-- A list of what was started here is looked through now and then.
local function prune(list)
  local kept = {}
  for _, p in ipairs(list) do
    local ok, state = pcall(get, p, "state")
    if ok and state ~= "ended" then kept[#kept + 1] = p end
  end
  for i = #list, #kept + 1, -1 do list[i] = nil end
  table.move(kept, 1, #kept, 1, list)
  list.most = math.max(16, 2 * #kept)
end

-- Called as the last step of a start method: errors are its caller's.
function M.start(p, list, f)
  local call, own = kind_of(p) .. ":start", fields(p)
  local thread = core.current_thread()
  if get(p, "state") == "new" and not own[CLASS] then
    fail(2, call, "it was made in another process; start it there")
  elseif thread and thread.daemon then
    fail(2, call, "a daemonic thread may not have children")
  end
  if #list >= (list.most or 16) then prune(list) end
  local ok, why = f(p)
  if not ok then fail(2, call, "%s", why) end
  list[#list + 1] = p
  own[TARGET], own[ARGS], own[KWARGS] = nil, nil, nil
  return p
end

function M.live(list)
  local found = { n = 0 }
  for _, p in ipairs(list) do
    local ok, alive = pcall(p.is_alive, p)
    if ok and alive then
      found.n = found.n + 1
      found[found.n] = p
    end
  end
  for i = #list, found.n + 1, -1 do list[i] = nil end
  table.move(found, 1, found.n, 1, list)
  return found
end

-- methods ----------------------------------------------------------------------------

local function unpack_result(p, ok, ...)
  if ok then
    return ...
  elseif p.exitcode ~= 0 then
    error(remote.killed(p), 0)
  elseif ok == false then
    error(("%s (in %s)"):format(..., p.name), 0)
  end
end

local function add_methods(Class, kind)
  function Class:run()
    M.demand(self, kind, kind .. ":run")
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

  function Class:result(timeout)
    M.demand(self, kind, kind .. ":result")
    if get(self, "state") == "new" then fail(2, kind .. ":result", "it has not been started") end
    local ok, why = self:join(timeout)
    if not ok then return nil, why end
    local e = self.error
    if e then remote.raise(e) end
    return unpack_result(self, core.fetch(self, "result"))
  end
end

function M.class(kind, methods, new)
  local Class = { new = new, init = init, extend = extend }
  for name, method in pairs(methods) do Class[name] = method end
  add_methods(Class, kind)
  base[kind] = Class
  return setmetatable(Class, { __call = core.construct })
end

return M
