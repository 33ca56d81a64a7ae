-- flow_cost.lua WHAT: what a flow itself costs, apart from what its stages do; prints
-- nanoseconds per item (memory: bytes). Run by scripts/bench with mprun.
-- SPDX-License-Identifier: MIT

local core = require "mp.core"

-- A link with options joins nobody to a neighbour's process.
local APART <const> = "{cap=1024%s}"
local BATCH <const> = 256         -- items that a stage takes at once when they are quick

function pass(v) return v end

local function seconds(text)
  local began = mp.time()
  flow(text):run()
  return mp.time() - began
end

-- Flows without the stage and with it, in turn: what is more in the latter.
local function stage(n, more)
  limit = n
  local link = ("-> " .. APART):format(more)
  local without = ("range(1, limit) %s null"):format(link)
  local with = ("range(1, limit) %s pass %s null"):format(link, link)
  local a, b = math.huge, math.huge
  for _ = 1, 3 do a, b = math.min(a, seconds(without)), math.min(b, seconds(with)) end
  return (b - a) / n
end

local function pool(op)
  limit = 500000
  return seconds(("range(1, limit) -> %s pass*2 %s %s null"):format(APART:format "", op, APART:format "")) / limit
end

-- A process gives n items to another, which hands them on to us.
local function through(n, give, relay, take)
  local list = {}
  for i = 1, BATCH do list[i] = i end
  local began = mp.time()
  local producer = mp.spawn(function()
    for _ = 1, n // BATCH do give(list) end
  end)
  local middle = mp.spawn(function()
    local got = 0
    while got < n do got = got + relay() end
  end)
  local got = 0
  while got < n do got = got + take() end
  began = mp.time() - began
  producer:join()
  middle:join()
  return began / n
end

local what = {}

function what.stage() return stage(1000000, "") end
function what.stage1() return stage(100000, ", chunk=1") end
function what.ordered() return pool "=>" end
function what.unordered() return pool "->" end

local ITEMS <const> = 4096 * BATCH

function what.commit()
  local a, b = core.link(1024), core.link(1024)
  return through(ITEMS, function(list) core.commit(a, list) end, function()
    local list = a:lease(BATCH)
    core.commit(b, list)
    return list.n
  end, function()
    local list = b:lease(BATCH)
    core.commit()
    return list.n
  end)
end

function what.handover()
  local a, b = mp.Queue(1024), mp.Queue(1024)
  return through(ITEMS, function(list) a:put_many(list) end, function()
    local list = a:get_many(BATCH)
    b:put_many(list)
    return list.n
  end, function()
    return b:get_many(BATCH).n
  end)
end

-- What all processes of a program have at once, memory that they share counted once.
local function memory_of(pid)
  local sum = 0
  local f = io.open(("/proc/%d/smaps_rollup"):format(pid))
  if f then
    sum = tonumber((f:read "a" or ""):match "\nPss:%s*(%d+) kB" or 0) * 1024
    f:close()
  end
  f = io.open(("/proc/%d/task/%d/children"):format(pid, pid))
  if f then
    for child in (f:read "a" or ""):gmatch "%d+" do sum = sum + memory_of(tonumber(child)) end
    f:close()
  end
  return sum
end

-- Word count of a file: the most memory that it had, as far as was seen.
function what.memory()
  local command = ("exec %s examples/bench/flow_words.lua %s"):format(arg[-1], arg[2])
  local p = mp.spawn(function() os.execute(command .. " >/dev/null 2>&1") end)
  local most = 0
  while p:is_alive() do
    most = math.max(most, memory_of(p.pid))
    mp.sleep(0.01)
  end
  return most / 1e9  -- no nanoseconds, these
end

print(("%.1f"):format(what[arg[1]]() * 1e9))
