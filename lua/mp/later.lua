-- later: what multiprocessing has and this version does not: who asks for it
-- learns that, instead of calling a nil value.
--
-- SPDX-License-Identifier: MIT

local core = require "mp.core"

local later = {
  RLock = "mp.Lock", Semaphore = "mp.Queue(n) and its items", BoundedSemaphore = "mp.Queue(n) and its items",
  Condition = "mp.Event and mp.Queue", Barrier = "mp.Event and mp.Queue", Timer = "mp.Process and mp.sleep",
  SimpleQueue = "mp.Queue", JoinableQueue = "mp.Queue", Pipe = "two of mp.Queue",
  Value = "mp.Queue", Array = "mp.Queue", Buffer = "mp.Queue", Dict = "mp.Queue", List = "mp.Queue",
  Namespace = "mp.Queue", Manager = "mp.Queue: there is no server process",
  Pool = "a flow, or mp.Process and mp.Queue", ProcessPoolExecutor = "a flow, or mp.Process and mp.Queue",
  ThreadPoolExecutor = "a flow, or mp.Process and mp.Queue", Thread = "mp.Process",
  wait = "a timeout of get, wait or join", as_completed = "mp.Queue", wait_all = "mp.Queue", wait_any = "mp.Queue",
  fd = "the file's name", fdopen = "the file's name", tcp = "the address",
}

setmetatable(core.mp, { __index = function(_, name)
  local instead = later[name]
  if not instead then return nil end
  error(("mp.%s is not available in this version; there is %s"):format(name, instead), 2)
end })

return true
