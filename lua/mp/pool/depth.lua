-- depth: pools made by workers of pools: how deep, and of what size.
--
-- enter(spec)      this process or thread is a worker of that pool now
-- next() -> depth of a pool that is made here
-- share() -> processors that are left for it
--
-- What a worker starts, a process or a thread, is as deep as it: a process has
-- core.nesting as it was there, a thread is given it (thread.lua).
--
-- SPDX-License-Identifier: MIT

local core = require "mp.core"

local M = { most = 10 }

function M.enter(spec)
  core.nesting = { depth = spec.depth, share = spec.share }
end

function M.next() return (core.nesting and core.nesting.depth or 0) + 1 end

function M.share() return core.nesting and core.nesting.share or core.mp.cpu_count() end

return M
