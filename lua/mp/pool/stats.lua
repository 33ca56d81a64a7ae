-- stats: what a pool knows of its tasks: how many, how long, how they failed;
-- and how a lost one is told of.
--
-- SPDX-License-Identifier: MIT

local core = require "mp.core"
local remote = require "mp.error"
local board = require "mp.pool.board"

local SLOWEST = 5

local Stats = {}
Stats.__index = Stats

local M = {}

function M.new()
  return setmetatable({ tasks = 0, ns = 0, least = 0, slowest = {} }, Stats)
end

local function brief(value)
  local text = type(value) == "string" and ("%q"):format(value):gsub("\n", "n") or tostring(value)
  return #text > 40 and text:sub(1, 37) .. "..." or text
end

local function function_name(f)
  if type(f) ~= "function" then return type(f) end
  local info = debug.getinfo(f, "S")
  if info.what == "C" then return "a C function" end
  return ("function at %s:%d"):format(info.short_src, info.linedefined)
end

-- "function at x.lua:3 with 17, "a""
local function describe(job, first)
  local list, n, args = job.args, job.n or 0, {}
  if first then
    if list == nil then return ("%s, item %d"):format(function_name(job.f), first) end
    return ("%s, item %d: %s"):format(function_name(job.f), first, brief(list[first]))
  end
  for i = 1, math.min(n, 4) do args[i] = brief(list[i]) end
  if #args == 0 then return function_name(job.f) end
  return ("%s with %s%s"):format(function_name(job.f), table.concat(args, ", "), n > 4 and ", ..." or "")
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

-- A task, or n items of a map from the first-th, took so long.
function Stats:add(ns, job, first, n)
  self.tasks = self.tasks + (n or 1)
  self.ns = self.ns + ns
  if ns > self.least then self:note(ns, job, first, n) end
end

-- { workers = {{number=, pid=, tasks=, busy=, idle=, restarts=, memory=, task=}...},
--   tasks, busy, waiting, running, slowest = {{seconds=, task=}...} }
function M.of(client)
  local workers, running = { n = 0 }, 0
  for number = 1, board.capacity(client.spec.board) do
    local w = board.worker(client.spec.board, number)
    if w then
      w.number = number
      w.restarts = client.workers[number] and client.workers[number].starts - 1 or 0
      if w.task then running = running + 1 end
      w.task = nil
      workers.n = workers.n + 1
      workers[workers.n] = w
    elseif number > client.size then
      break
    end
  end
  local slowest = {}
  for i, s in ipairs(client.stats.slowest) do slowest[i] = { seconds = s.seconds, task = s.task } end
  return { workers = workers, size = client.size, tasks = client.stats.tasks,
           busy = client.stats.ns / 1e9, waiting = client.tasks:qsize(), running = running,
           slowest = slowest }
end

-- lost tasks -----------------------------------------------------------------------------

local function how(d)
  local who = ("%s (pid %s)"):format(d.name, d.pid or "?")
  if not d.exitcode then return who .. " ended, it is unknown how" end
  if d.exitcode < 0 then return ("%s killed by %s"):format(who, core.signame(-d.exitcode)) end
  return ("%s ended with exit code %d"):format(who, d.exitcode)
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
    message = ("%s%s during %s"):format(how(d), HINT[d.exitcode] or "", what) }
end

return M
