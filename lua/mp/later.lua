-- later: what multiprocessing has and this version does not: who asks for it
-- learns that, instead of calling a nil value.
--
-- SPDX-License-Identifier: MIT

local core = require "mp.core"

local later = {
  Pool = "a flow, or mp.Process and mp.JoinableQueue",
  ProcessPoolExecutor = "a flow, or mp.Process and mp.JoinableQueue",
  ThreadPoolExecutor = "a flow, or mp.Process and mp.JoinableQueue",
  Thread = "mp.Process", current_thread = "mp.current_process",
  as_completed = "mp.wait", wait_all = "mp.wait", wait_any = "mp.wait",
}

setmetatable(core.mp, { __index = function(_, name)
  local instead = later[name]
  if not instead then return nil end
  error(("mp.%s is not available in this version; there is %s"):format(name, instead), 2)
end })

return true
