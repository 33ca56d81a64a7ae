-- callbacks: functions that are due because a result has come, in order.
--
-- due(f, ...)   f(...) shall run when the script is in a call of ours next
-- run()         runs what is due; what goes wrong in one is reported, and
--               stops nothing. One may call whatever it likes, so this nests.
--
-- SPDX-License-Identifier: MIT

local core = require "mp.core"
local remote = require "mp.error"

local mp = core.mp
local M = {}

local first, last = 1, 0
local queue = {}

function M.due(f, ...)
  last = last + 1
  queue[last] = table.pack(f, ...)
end

local function report(e)
  core.stderr(("%s (pid %d): a callback failed: %s\n%s\n"):format(mp.current_process().name,
    mp.getpid(), e.message, e.traceback))
end

function M.run()
  while first <= last do
    local call = queue[first]
    queue[first] = nil
    first = first + 1
    local ok, e = xpcall(call[1], remote.catch, table.unpack(call, 2, call.n))
    if not ok then report(e) end
  end
end

core.forked[#core.forked + 1] = function()
  queue, first, last = {}, 1, 0
end

return M
