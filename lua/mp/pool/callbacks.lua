-- callbacks: functions that are due because a result has come, in order.
--
-- due(owner, f, ...)  f(...) shall run when the script is in a call of ours next
-- run([owner])        runs what is due; what goes wrong in one is reported, and
--                     stops nothing. Inside of a callback only those of this
--                     owner run, if it is another one: a callback may say
--                     `sum = sum + f:result()` of its own f, and finds no
--                     other one run in the middle of that.
--
-- SPDX-License-Identifier: MIT

local core = require "mp.core"
local remote = require "mp.error"

local mp = core.mp
local M = {}

local first, last = 1, 0
local queue = {}

function M.due(owner, f, ...)
  last = last + 1
  queue[last] = table.pack(f, ...)
  queue[last].owner = owner
end

local function report(e)
  core.stderr(("%s (pid %d): a callback failed: %s\n%s\n"):format(mp.current_process().name,
    mp.getpid(), e.message, e.traceback))
end

local busy = setmetatable({}, { __mode = "k" })  -- owners with a callback that runs

local function run(call)
  busy[call.owner] = true
  local ok, e = xpcall(call[1], remote.catch, table.unpack(call, 2, call.n))
  busy[call.owner] = nil
  if ok then return end
  if core.interrupted() then error(e.value, 0) end
  report(e)
end

-- The coroutine that runs callbacks; one that was left in the middle does not.
local runner

local function inside()
  local state = runner and coroutine.status(runner)
  return state == "running" or state == "normal"
end

local function run_of(owner)
  for i = first, last do
    local call = queue[i]
    if call and call.owner == owner then
      queue[i] = false
      run(call)
    end
  end
end

function M.run(owner)
  if first > last then return end
  if inside() then return owner and not busy[owner] and run_of(owner) end
  runner = coroutine.running()
  while first <= last do
    local call = queue[first]
    queue[first] = nil
    first = first + 1
    if call then run(call) end
  end
  runner = nil
end

core.forked[#core.forked + 1] = function()
  queue, first, last, runner = {}, 1, 0, nil
end

return M
