-- lazy: parts of mp that are loaded when a script first asks for them.
--
-- SPDX-License-Identifier: MIT

local core = require "mp.core"

local parts = {
  Pool = "mp.pool", as_completed = "mp.pool", wait_all = "mp.pool", wait_any = "mp.pool",
  ProcessPoolExecutor = "mp.pool.executor", ThreadPoolExecutor = "mp.pool.executor",
}

setmetatable(core.mp, { __index = function(mp, name)
  local part = parts[name]
  if not part then return nil end
  require(part)
  return rawget(mp, name)
end })

return true
