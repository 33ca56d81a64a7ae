-- options: what mp.Pool and the executors take.
--
-- of_pool(n_or_table) -> options; of_executor(call, kind, n_or_table) -> options
-- of_task(t, call) -> { timeout, retries }; of_map(x, call) -> { chunksize, ... }
--
-- SPDX-License-Identifier: MIT

local core = require "mp.core"
local check = require "mp.pool.check"
local depth = require "mp.pool.depth"

local fail = check.fail

local MOST = 256           -- workers that a pool can be resized to, if it did not begin with more

local M = {}

local POOL = { processes = true, initializer = true, initargs = true, maxtasksperchild = true,
               name = true, kind = true, on_death = true, retries = true, timeout = true,
               buffer = true, on_exit = true, max_memory = true }

local pools = 0

core.forked[#core.forked + 1] = function() pools = 0 end

local function default_name()
  pools = pools + 1
  local me = core.actor()
  return me.name == "main" and ("Pool-%d"):format(pools) or ("%s/Pool-%d"):format(me.name, pools)
end

local UNITS = { K = 2^10, M = 2^20, G = 2^30, T = 2^40 }

local function bytes(value, call, what)
  if value == nil then return nil end
  if type(value) == "string" then
    local number, unit = value:match "^(%d+%.?%d*)([KMGT]?)i?B?$"
    local n = number and tonumber(number) * (UNITS[unit] or 1)
    if n and n >= 1 then return n // 1 | 0 end
  elseif type(value) == "number" and value >= 1 and value < 2^62 then
    return value // 1 | 0
  end
  fail(call, "%s must be a number of bytes or a size such as \"300M\", got %s", what,
       type(value) == "table" and "table" or tostring(value))
end

local function seconds(value, call, what)
  if value ~= nil and (type(value) ~= "number" or value <= 0 or value ~= value) then
    fail(call, "%s must be a positive number of seconds, got %s", what,
         type(value) == "number" and tostring(value) or type(value))
  end
  return value
end

local function choice(value, call, what, a, b)
  if value ~= nil and value ~= a and value ~= b then
    fail(call, "%s must be \"%s\" or \"%s\", got %s", what, a, b, tostring(value))
  end
  return value
end

-- No option of that name: which there are.
local function unknown(key, set, call)
  local names = {}
  for name in pairs(set) do names[#names + 1] = name end
  table.sort(names)
  fail(call, "unknown option '%s' (there are %s and %s)", tostring(key),
       table.concat(names, ", ", 1, #names - 1), names[#names])
end

-- Arguments by position, as Python has them, would be passed over.
local function alone(call, more, name)
  if more > 0 then
    fail(call, "expected one argument; more options go into a table such as {%s = 4, initializer = f}",
         name)
  end
end

local function checked(o, call, size)
  check.count(size, 1, call, o.size_name)
  check.optional_callable(o.initializer, call, "initializer")
  check.optional_callable(o.on_exit, call, "on_exit")
  if o.initargs ~= nil then check.list(o.initargs, call, "initargs") end
  if o.name ~= nil and type(o.name) ~= "string" then
    fail(call, "name must be a string, got %s", type(o.name))
  end
  local r = {
    initializer = o.initializer, initargs = o.initargs, on_exit = o.on_exit,
    maxtasksperchild = check.count(o.maxtasksperchild, 1, call, o.tasks_name or "maxtasksperchild"),
    kind = choice(o.kind, call, "kind", "process", "thread") or "process",
    on_death = choice(o.on_death, call, "on_death", "fail", "retry") or "fail",
    retries = check.count(o.retries, 0, call, "retries") or 0,
    timeout = seconds(o.timeout, call, "timeout"),
    buffer = check.count(o.buffer, 1, call, "buffer"),
    max_memory = bytes(o.max_memory, call, "max_memory"),
    depth = depth.next(), share = depth.share(), most = MOST,
  }
  if r.depth > depth.most then
    fail(call, "pools are nested deeper than %d; give the work to the pool that is there",
         depth.most)
  end
  r.processes = size or r.share
  if r.max_memory and r.kind == "thread" then
    fail(call, "max_memory is for processes: threads share the memory of theirs")
  end
  r.name = o.name or default_name()
  return r
end

function M.of_pool(x, ...)
  local call = "mp.Pool"
  alone(call, select("#", ...), "processes")
  if x == nil or type(x) == "number" then x = { processes = x } end
  if type(x) ~= "table" then
    fail(call, "expected a number of processes or a table, got %s", type(x))
  end
  local o = { size_name = "processes" }
  for key, value in pairs(x) do
    if key == 1 and type(value) == "number" then
      key = "processes"
    elseif not POOL[key] then
      unknown(key, POOL, call)
    end
    o[key] = value
  end
  return checked(o, call, o.processes)
end

-- An executor's options, and what a pool calls them.
local EXECUTOR = { max_workers = "processes", max_tasks_per_child = "maxtasksperchild" }
for name in pairs(POOL) do
  if name ~= "kind" then EXECUTOR[name] = name end
end

function M.of_executor(call, kind, x, ...)
  alone(call, select("#", ...), "max_workers")
  if x == nil or type(x) == "number" then x = { max_workers = x } end
  if type(x) ~= "table" then
    fail(call, "expected a table such as {max_workers = 4}, got %s", type(x))
  end
  local o = { size_name = "max_workers", tasks_name = "max_tasks_per_child" }
  for key, value in pairs(x) do
    if not EXECUTOR[key] then unknown(key, EXECUTOR, call) end
    o[EXECUTOR[key]] = value
  end
  o.kind = kind
  local r = checked(o, call, o.processes)
  r.demand = true
  return r
end

-- { timeout=, retries= } of submit_with; the pool's hold where it says nothing.
function M.of_task(t, pool, call)
  if type(t) ~= "table" then
    fail(call, "expected a table such as {timeout = 5, retries = 2}, got %s", type(t))
  end
  for key in pairs(t) do
    if key ~= "timeout" and key ~= "retries" then
      unknown(key, { timeout = true, retries = true }, call)
    end
  end
  return seconds(t.timeout, call, "timeout") or pool.timeout,
         check.count(t.retries, 0, call, "retries") or pool.retries
end

function M.check_progress(p, call)
  if p ~= nil and type(p) ~= "boolean" and not check.is_callable(p) then
    fail(call, "progress must be true or a function, got %s", type(p))
  end
end

local MAP = { chunksize = true, buffer = true, progress = true, timeout = true, retries = true }

-- chunksize or a table of options, as map and its kin take last.
function M.of_map(x, pool, call)
  if x == nil or type(x) == "number" then x = { chunksize = x } end
  if type(x) ~= "table" then
    fail(call, "expected a chunk size or a table such as {chunksize = 10}, got %s", type(x))
  end
  for key in pairs(x) do
    if not MAP[key] then unknown(key, MAP, call) end
  end
  M.check_progress(x.progress, call)
  return {
    chunksize = check.count(x.chunksize, 1, call, "chunksize"),
    buffer = check.count(x.buffer, 1, call, "buffer") or pool.buffer,
    timeout = seconds(x.timeout, call, "timeout") or pool.timeout,
    retries = check.count(x.retries, 0, call, "retries") or (pool.retries > 0 and pool.retries or nil),
    progress = x.progress or nil,
  }
end

return M
