-- lazy: parts of mp that are loaded when a script first asks for them; and
-- what is yet to come: who asks for that learns it, instead of calling nil.
--
-- SPDX-License-Identifier: MIT

local core = require "mp.core"

local parts = {
  Pool = "mp.pool", as_completed = "mp.pool", wait_all = "mp.pool", wait_any = "mp.pool",
  ProcessPoolExecutor = "mp.pool.executor", ThreadPoolExecutor = "mp.pool.executor",
}

local later = { Thread = "mp.Process", current_thread = "mp.current_process" }

setmetatable(core.mp, { __index = function(mp, name)
  local part = parts[name]
  if part then
    require(part)
    return rawget(mp, name)
  end
  local instead = later[name]
  if not instead then return nil end
  error(("mp.%s is not available in this version; there is %s"):format(name, instead), 2)
end })

return true
