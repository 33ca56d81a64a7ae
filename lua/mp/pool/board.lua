-- board: what each worker of a pool is doing, in an array that all of it share.
--
-- The words and who may change them: runtime/msg/board.h. Here is how Lua
-- reads them; workers write through core.task_*.
--
-- SPDX-License-Identifier: MIT

local core = require "mp.core"
local mp = core.mp

local LINE = 8
local BEGAN, DEADLINE, PID, TASKS, BUSY, SINCE, FIRST = 2, 3, 4, 5, 6, 7, 8
local NEXT = 2        -- in the first line

local M = {}

function M.now() return math.floor(mp.time() * 1e9) end

-- A board for so many workers at most.
function M.new(workers)
  local b = mp.Array("i64", LINE * (workers + 1))
  b[NEXT] = math.maxinteger
  return b
end

function M.capacity(b) return #b // LINE - 1 end

function M.clear(b, number)
  for i = number * LINE + 1, number * LINE + LINE do b[i] = 0 end
end

-- The task that a worker has begun, nil: none; it may be being handed over. Of a
-- chunk, its first item as well.
function M.task(b, number)
  local first = b[number * LINE + FIRST]
  return (core.task_state(b, number)), first ~= 0 and first or nil
end

function M.ready(b, number) return b[number * LINE + SINCE] ~= 0 end

-- Its task and when that has to be over, nil: it has none, or all the time.
function M.deadline(b, number)
  local id, state = core.task_state(b, number)
  if state ~= "running" then return nil end
  local deadline = b[number * LINE + DEADLINE]
  if deadline == 0 or core.task_state(b, number) ~= id then return nil end
  return id, deadline
end

-- Why its task is to be ended, nil: it is not.
function M.condemned(b, number)
  local _, state = core.task_state(b, number)
  if state ~= "condemned" then return nil end
  local deadline = b[number * LINE + DEADLINE]
  return deadline ~= 0 and deadline <= M.now() and "timeout" or "cancelled"
end

-- When deadlines are looked at next, in ns; who has a nearer one must say so.
function M.next(b, at) core.task_next(b, at) end

-- So many workers are to leave.
function M.leave(b, n)
  core.task_leave(b, n)
end

-- { pid, tasks, busy, idle, task }, or nil: there is no such worker, or it is not
-- ready yet.
function M.worker(b, number)
  local at = number * LINE
  local since = b[at + SINCE]
  if since == 0 then return nil end
  local now, busy = M.now(), b[at + BUSY]
  local id, state = core.task_state(b, number)
  if state == "running" then busy = busy + math.max(0, now - b[at + BEGAN]) end
  return { pid = b[at + PID], tasks = b[at + TASKS], busy = busy / 1e9,
           idle = math.max(0, now - since - busy) / 1e9,
           task = state == "running" and id or nil }
end

-- Is anybody at this task?
function M.runs(b, id, workers)
  for number in pairs(workers) do
    if core.task_state(b, number) == id then return true end
  end
  return false
end

return M
