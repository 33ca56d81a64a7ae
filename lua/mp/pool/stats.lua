-- stats: what a pool knows of its tasks and workers: how many, how long, how they
-- failed; and how a lost task is told of.
--
-- A client's workers[number] is a table of this module, too: started, left and
-- ended keep it. What its former lives did is in it, what it does now is on the
-- board.
--
-- SPDX-License-Identifier: MIT

local core = require "mp.core"
local remote = require "mp.error"
local board = require "mp.pool.board"
local report = require "mp.pool.report"

local SLOWEST = 5

local Stats = {}
Stats.__index = Stats

local M = {}

function M.new()
  return setmetatable({ tasks = 0, failed = 0, ns = 0, least = 0, slowest = {} }, Stats)
end

local brief

-- "{1, "a", ...}": the address of a table, as tostring gives it, tells nobody anything.
local function brief_list(t)
  local items = {}
  for i = 1, math.min(#t, 4) do
    items[i] = type(t[i]) == "table" and "{...}" or brief(t[i])
  end
  if #t > 4 or #t == 0 and next(t) ~= nil then items[#items + 1] = "..." end
  return "{" .. table.concat(items, ", ") .. "}"
end

function brief(value)
  if type(value) == "table" and not getmetatable(value) then return brief_list(value) end
  if type(value) == "string" then value = value:sub(1, 40) end  -- it may be long
  local text = type(value) == "string" and ("%q"):format(value):gsub("\n", "n") or tostring(value)
  return #text > 40 and text:sub(1, 37) .. "..." or text
end

-- "math.abs"
local function library_name(f)
  for module, t in pairs(package.loaded) do
    for name, value in pairs(type(t) == "table" and t or {}) do
      if value == f then return module == "_G" and name or ("%s.%s"):format(module, name) end
    end
  end
end

local function function_name(f)
  if type(f) ~= "function" then return type(f) end
  local info = debug.getinfo(f, "S")
  if info.what == "C" then return library_name(f) or "a C function" end
  return ("function at %s:%d"):format(info.short_src, info.linedefined)
end

-- "function at x.lua:3 with 17, "a""
local function with_arguments(job, first)
  local list, n, args = job.args, job.n or 0, {}
  if first then
    if list == nil then return ("%s, item %d"):format(function_name(job.f), first) end
    return ("%s, item %d: %s"):format(function_name(job.f), first, brief(list[first]))
  end
  for i = 1, math.min(n, 4) do args[i] = brief(list[i]) end
  if #args == 0 then return function_name(job.f) end
  return ("%s with %s%s"):format(function_name(job.f), table.concat(args, ", "), n > 4 and ", ..." or "")
end

-- The script's __tostring and __index may raise; then it is the function alone.
local function describe(job, first)
  local ok, text = pcall(with_arguments, job, first)
  return ok and text or function_name(job.f)
end
M.describe = describe

function Stats:note(ns, job, first, n)
  local list = self.slowest
  local at = #list + 1
  while at > 1 and list[at - 1].seconds < ns / 1e9 do at = at - 1 end
  local what = describe(job, first)
  if n and n > 1 then what = ("%s, and %d more with it"):format(what, n - 1) end
  table.insert(list, at, { seconds = ns / 1e9, task = what })
  list[SLOWEST + 1] = nil
  if #list == SLOWEST then self.least = list[SLOWEST].seconds * 1e9 end
end

-- A task, or an item of a map, took so long.
function Stats:add(ns, job, first)
  self.tasks = self.tasks + 1
  self.ns = self.ns + ns
  if ns > self.least then self:note(ns, job, first) end
end

-- n items of a map from the first-th. The slow-th of them, or slow_n from there
-- on, took slow_ns; nil: they are taken to be all alike.
function Stats:add_items(ns, job, first, n, slow, slow_n, slow_ns)
  self.tasks = self.tasks + n
  self.ns = self.ns + ns
  local took = slow and slow_ns or ns / math.max(n, 1)
  if took > self.least then
    self:note(took, job, slow and first + slow - 1 or first, slow_n)
  end
end

-- n of those that were added have failed; or, without a result, were lost.
function Stats:add_failed(n) self.failed = self.failed + n end

function Stats:add_lost(n)
  self.tasks, self.failed = self.tasks + n, self.failed + n
end

-- workers --------------------------------------------------------------------------------

local LEFT = { tasks = "maxtasksperchild", memory = "max_memory", leave = "resize", closed = "closed" }

-- w: the worker that had its number before, nil: none.
function M.started(w, process)
  if not w then return { process = process, restarts = 0, tasks = 0, busy = 0, idle = 0 } end
  w.process, w.over = process, nil
  w.restarts, w.why, w.left = w.restarts + 1, w.left or "unknown", nil
  return w
end

function M.left(w, why) w.left = LEFT[why] end

-- life: what the board said of it, nil: it was never ready.
function M.ended(w, why, exitcode, life)
  w.left = why or w.left or M.how_ended(exitcode)
  w.over = true
  if not life then return end
  w.tasks, w.busy, w.idle = w.tasks + life.tasks, w.busy + life.busy, w.idle + life.idle
end

local function worker_of(client, number, w)
  local r = { number = number, tasks = w.tasks, busy = w.busy, idle = w.idle, restarts = w.restarts,
              why = w.why }
  local life = not w.over and board.worker(client.spec.board, number)
  if not life then return r, false end
  r.pid = life.pid
  r.tasks, r.busy, r.idle = r.tasks + life.tasks, r.busy + life.busy, r.idle + life.idle
  if client.kind == "process" then
    local bytes = core.resident(life.pid)
    r.memory = bytes > 0 and bytes or nil
  end
  return r, life.task ~= nil
end

-- Items that are not over, as far as is known here.
local function outstanding(client)
  local n = 0
  for _, job in pairs(client.jobs) do n = n + (job.left or job.in_work or 1) end
  return n
end

-- What Pool:stats gives:
-- { name, kind, size, tasks, failed, waiting, running, busy,
--   workers = { n =, { number, pid, tasks, busy, idle, restarts, why, memory }... },
--   slowest = { { seconds, task }... } }
-- Times are in seconds, memory in bytes; why is that of the last restart. Of a
-- worker that has ended there is no pid and no memory.
function M.of(client)
  local s = client.stats
  local workers, running, last = { n = 0 }, 0, 0
  for number in pairs(client.workers) do last = math.max(last, number) end
  for number = 1, last do
    local w = client.workers[number]
    if w then
      local r, runs = worker_of(client, number, w)
      workers.n = workers.n + 1
      workers[workers.n] = r
      running = running + (runs and 1 or 0)
    end
  end
  local slowest = {}
  for i, x in ipairs(s.slowest) do slowest[i] = { seconds = x.seconds, task = x.task } end
  return setmetatable({ name = client.name, kind = client.kind, size = client.size, tasks = s.tasks,
    failed = s.failed, waiting = math.max(0, outstanding(client) - running), running = running,
    busy = s.ns / 1e9, workers = workers, slowest = slowest }, report.Report)
end

-- lost tasks -----------------------------------------------------------------------------

function M.how_ended(exitcode)
  if not exitcode then return "ended, it is unknown how" end
  if exitcode < 0 then return "killed by " .. core.signame(-exitcode) end
  return ("ended with exit code %d"):format(exitcode)
end

local HINT = { [0] = " (os.exit in the task?)" }

-- d: what is known of the death, or nil; first: which item of a map.
function M.lost(client, job, d, first)
  local what = describe(job, first)
  if not d then
    return remote.new { name = "WorkerLost", traceback = "", process = client.name,
                        message = ("a worker of %s ended during %s"):format(client.name, what) }
  end
  if d.why == "timeout" then
    return remote.new { name = "TaskTimeout", traceback = "", process = d.name, pid = d.pid,
      exitcode = d.exitcode,
      message = ("%s took longer than its timeout; its worker %s (pid %s) was ended"):format(what,
        d.name, d.pid or "?") }
  end
  return remote.new { name = "WorkerLost", traceback = "", process = d.name, pid = d.pid,
    exitcode = d.exitcode,
    message = ("%s (pid %s) %s%s during %s"):format(d.name, d.pid or "?", M.how_ended(d.exitcode),
      HINT[d.exitcode] or "", what) }
end

return M
