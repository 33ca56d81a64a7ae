-- manager: mp.Manager: the constructors as methods, for who looks for them.
-- There is no server process: what it makes is what mp.Dict and so on make,
-- and outlives it.
--
-- SPDX-License-Identifier: MIT

local core = require "mp.core"

local mp = core.mp

local Manager = { __name = "Manager" }
Manager.__index = Manager

local NAMES = { "Dict", "List", "Namespace", "Queue", "JoinableQueue", "SimpleQueue", "Pipe", "Lock", "RLock",
  "Semaphore", "BoundedSemaphore", "Condition", "Event", "Barrier", "Value", "Array", "Buffer", "Pool" }
local ALIASES = { dict = "Dict", list = "List" }

local function finish(ok, ...)
  if not ok then error(..., 2) end
  return ...
end

local function add(method, name)
  Manager[method] = function(m, ...)
    if getmetatable(m) ~= Manager then
      error(("Manager:%s: expected a Manager, got %s (call it with a colon)"):format(method, type(m)), 2)
    end
    return finish(pcall(mp[name], ...))
  end
end

for _, name in ipairs(NAMES) do add(name, name) end
for method, name in pairs(ALIASES) do add(method, name) end

-- Nothing runs that could be started or shut down.
function Manager.start(m) return m end
function Manager.shutdown() end
Manager.__close = Manager.shutdown

function Manager.__tostring() return "Manager" end

function mp.Manager(...)
  if select("#", ...) > 0 then
    error("mp.Manager: it takes no arguments: there is no server with an address", 2)
  end
  return setmetatable({}, Manager)
end

return Manager
