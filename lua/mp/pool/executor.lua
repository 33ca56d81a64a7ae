-- executor: mp.ProcessPoolExecutor and mp.ThreadPoolExecutor: the same pool
-- under the names of concurrent.futures. Workers start as tasks come.
--
-- SPDX-License-Identifier: MIT

local core = require "mp.core"
local callbacks = require "mp.pool.callbacks"
local check = require "mp.pool.check"
local imap = require "mp.pool.imap"
local options = require "mp.pool.options"
local pool = require "mp.pool"
local progress = require "mp.pool.progress"
local source = require "mp.pool.source"

local mp = core.mp
local fail = check.fail

local Executor = { __name = "Executor" }

core.stays(Executor, "an Executor", "; make one there, or send what its tasks return")

local methods = {}

local function open(ex, call)
  local c = pool.of(ex, call)
  if c.broken then fail(call, "the pool is broken: %s", c.broken.message) end
  if c.closed then fail(call, "the executor was shut down; it takes no new tasks") end
  return c
end

function methods:submit(f, ...)
  local c = open(self, "Executor:submit")
  return pool.submit(c, "Executor:submit", f, c.timeout, c.retries, { ... }, select("#", ...))
end

function methods:submit_with(how, f, ...)
  local call = "Executor:submit_with"
  local c = open(self, call)
  local timeout, retries = options.of_task(how, c, call)
  return pool.submit(c, call, f, timeout, retries, { ... }, select("#", ...))
end

local OPTIONS = { timeout = true, chunksize = true, buffersize = true, progress = true }

-- A table that is no list, for it has only names.
local function is_options(x)
  if type(x) ~= "table" or getmetatable(x) or next(x) == nil or x.n ~= nil then return false end
  for key in pairs(x) do
    if type(key) ~= "string" then return false end
  end
  return true
end

local function check_options(o, call)
  for key in pairs(o) do
    if not OPTIONS[key] then
      fail(call, "unknown option '%s' (there are buffersize, chunksize, progress and timeout)", key)
    end
  end
end

-- Several inputs, taken together until the shortest ends.
local function zip(sources)
  return function()
    local args = { n = #sources }
    for i, s in ipairs(sources) do
      local items, n = s:take(1, true)
      if n == 0 then
        if s.error then error(s.error.value, 0) end
        return nil
      end
      args[i] = items[1]
    end
    return args
  end
end

-- How many items zip gives, where that is known.
local function shortest(sources)
  local least = sources[1].n
  for _, s in ipairs(sources) do
    if not s.n then return nil end
    least = math.min(least, s.n)
  end
  return least
end

-- map(f, list, ..., [{timeout=, chunksize=, buffersize=}]) -> an iterator
function methods:map(f, ...)
  local call = "Executor:map"
  local c = open(self, call)
  check.callable(f, call)
  local inputs = table.pack(...)
  local o = {}
  while inputs.n > 1 and inputs[inputs.n] == nil do inputs.n = inputs.n - 1 end  -- no options
  if inputs.n > 0 and is_options(inputs[inputs.n]) then
    o = inputs[inputs.n]
    inputs.n = inputs.n - 1
    check_options(o, call)
  end
  if inputs.n == 0 then fail(call, "expected a list or an iterator function") end
  check.timeout(o.timeout, call)
  options.check_progress(o.progress, call)
  local sources = {}
  for i = 1, inputs.n do sources[i] = source.new(inputs[i], call) end
  local one = sources[1]
  if #sources > 1 then
    one = source.new(zip(sources), call)
    one.n = shortest(sources)
  end
  local buffer = check.count(o.buffersize, 1, call, "buffersize")
  return imap.new(self, c, call, f, one, {
    ordered = true, star = #sources > 1,
    chunksize = check.count(o.chunksize, 1, call, "chunksize"),
    buffer = buffer or c.buffer, unbound = not buffer and not c.buffer and sources[1].n ~= nil,
    timeout = c.timeout, retries = c.retries > 0 and c.retries or nil, within = o.timeout,
    progress = o.progress and progress.new(o.progress, one.n, c.name),
  })
end

-- shutdown([wait=true], [cancel_futures=false]), or a table of these two
function methods:shutdown(wait, cancel_futures)
  local call = "Executor:shutdown"
  local c = pool.of(self, call)
  if type(wait) == "table" then wait, cancel_futures = wait.wait, wait.cancel_futures end
  if wait ~= nil and type(wait) ~= "boolean" then
    fail(call, "wait must be true or false, got %s", type(wait))
  end
  if not c.closed then c:close() end
  if cancel_futures then c:cancel_waiting() end
  callbacks.run()
  if wait ~= false then c:join() end
end

for _, name in ipairs { "resize", "exit_results", "stats" } do
  methods[name] = pool.Pool.__index(setmetatable({}, nil), name)
end

function Executor.__index(ex, key)
  if key == "size" or key == "max_workers" then return pool.of(ex, "Executor." .. key).size end
  return methods[key]
end

function Executor.__newindex(_, key)
  fail("Executor", "field %s cannot be set", tostring(key))
end

-- A script that Ctrl-C ends waits for nothing.
function Executor.__close(ex)
  local c = rawget(ex, "client")
  if c.foreign or c.ended then return end
  if not core.interrupted() then return methods.shutdown(ex) end
  c:terminate()
  c:join()
end

Executor.__gc = pool.Pool.__gc

function Executor.__tostring(ex)
  return (pool.Pool.__tostring(ex):gsub("^Pool", "Executor"))
end

function mp.ProcessPoolExecutor(...)
  return pool.make(options.of_executor("mp.ProcessPoolExecutor", "process", ...), Executor)
end

function mp.ThreadPoolExecutor(...)
  return pool.make(options.of_executor("mp.ThreadPoolExecutor", "thread", ...), Executor)
end

return true
