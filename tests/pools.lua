-- pools: what the specs of pools share: tasks, pools that end with their test,
-- whether processes have ended.
--
-- SPDX-License-Identifier: MIT

local mp = require "mp"
local support = require "tests.support"

local M = {}

local pools = {}

-- Ends p with the test (M.end_all).
local function ends_with_test(p)
  pools[#pools + 1] = p
  return p
end

function M.end_all()
  for i = #pools, 1, -1 do
    getmetatable(pools[i]).__close(pools[i])
    pools[i] = nil
  end
  support.clean()
end

-- tasks ----------------------------------------------------------------------------

function M.square(i) return i * i end

function M.numbers(n)
  local list = {}
  for i = 1, n do list[i] = i end
  return list
end

function M.squares(n)
  local list = { n = n }
  for i = 1, n do list[i] = i * i end
  return list
end

function M.forever() while true do mp.sleep(60) end end

-- Takes no notice of being asked to end.
function M.stubborn(running)
  mp.on_signal("TERM", function() end)
  if running then running:put(mp.getpid()) end
  while true do mp.sleep(60) end
end

-- processes ------------------------------------------------------------------------

-- Is it there, and not only as a zombie?
function M.alive(pid)
  local file = io.open(("/proc/%d/stat"):format(pid))
  if not file then return false end
  local state = (file:read "a" or ""):match "%) (%a)"
  file:close()
  return state ~= nil and state ~= "Z" and state ~= "X"
end

function M.gone(pids)
  support.eventually(function()
    for _, pid in ipairs(pids) do
      if M.alive(pid) then return false end
    end
    return true
  end, "their end")
end

-- workers --------------------------------------------------------------------------

-- What those of p that live have as that field of stats().
function M.workers(p, field)
  local list = {}
  for _, w in ipairs(p:stats().workers) do list[#list + 1] = w.pid and w[field] end
  return list
end

-- The same, when n are ready.
function M.full(p, n, field)
  local list
  support.eventually(function()
    list = M.workers(p, field)
    return #list == n
  end, n .. " workers")
  return list
end

-- of(kind) -> pool(options) and executor(options) that end with the test, and
-- script(text), a script in which KIND is the kind.
function M.of(kind)
  local function pool(options)
    local o = type(options) == "table" and options or { options }
    o.kind = kind
    return ends_with_test(mp.Pool(o))
  end
  local function executor(options)
    return ends_with_test(mp[kind == "process" and "ProcessPoolExecutor" or "ThreadPoolExecutor"](options))
  end
  local function script(text)
    return support.script((text:gsub("KIND", ("kind = %q"):format(kind))), "s.lua")
  end
  return pool, executor, script
end

return M
