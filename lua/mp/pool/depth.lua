-- depth: pools made by workers of pools: how deep, and of what size.
--
-- enter(spec)      this process or thread is a worker of that pool now
-- next() -> depth of a pool that is made here
-- share() -> processors that are left for it
--
-- SPDX-License-Identifier: MIT

local mp = require "mp.core".mp

local M = { most = 10 }

local depth, share = 0, nil

function M.enter(spec)
  depth, share = spec.depth, spec.share
end

function M.next() return depth + 1 end

function M.share() return share or mp.cpu_count() end

return M
