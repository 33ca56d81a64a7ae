-- pool_crash: a worker or a supervisor is killed at each crash point that it
-- meets, by scripts in a program that has such points.
--
-- SPDX-License-Identifier: MIT

local support = require "tests.support"

local program = support.build .. "/crash/mprun"

local PARTS = [[
local mp = require "mp"
local core = mp.core
local N = arg[1] == "map" and 48 or 12

local function check(n, ok, what) return ok or error(("killed at point %d: %s"):format(n, what), 0) end

-- What each of N tasks gives: a value, or the error of one that was lost.
local ways = {}

function ways.submit(p, task)
  local list, seen = {}, {}
  for i = 1, N do list[i] = p:submit(task, i) end
  for i = 1, N do seen[i] = list[i]:exception(30) or list[i]:result() end
  return seen
end

function ways.imap(p, task)
  local items, seen = {}, {}
  for i = 1, N do items[i] = i end
  local results = p:imap(task, items, 3)
  for i = 1, N do
    local ok, value = pcall(results.next, results, 30)
    seen[i] = value
  end
  return seen
end

-- In chunks of several items; the first item takes so long that its chunk is
-- shared.
function ways.map(p, task)
  local items = {}
  for i = 1, N do items[i] = i end
  local f = p:map_async(function(i)
    local till = mp.time() + (i == 1 and 0.006 or 0)
    while mp.time() < till do end
    return task(i)
  end, items)
  local e = f:exception(30)
  if e then return e end
  return f:result()
end

local function account(n, seen, runs, death)
  local lost = 0
  if seen.name then
    check(n, death == "fail" and seen.name == "WorkerLost", tostring(seen))
    lost, seen = 1, {}
  end
  for i = 1, N do
    check(n, runs[i] <= (death == "fail" and 1 or 2), "item " .. i .. " ran " .. runs[i] .. " times")
    local got = seen[i]
    if type(got) == "table" then
      check(n, death == "fail" and got.name == "WorkerLost", tostring(got))
      lost = lost + 1
    elseif lost == 0 or got then
      check(n, got == i * i and runs[i] >= 1, "item " .. i .. " gave " .. tostring(got))
    end
  end
  return lost
end
]]

local WORKER = PARTS .. [[
local way, death, chunk = arg[1], arg[2], arg[1] == "imap" and 3 or 1

-- The first of so many workers is killed at its n-th point: was it?
local function trial(n, workers)
  local runs, armed, left = mp.Array("i64", N), mp.Value("i64", 0), mp.Event()
  local p = mp.Pool { workers, on_death = death, initializer = function()
    if armed:add(1) > 1 then return end
    mp.worker.first = true
    core.crash_at(n)
  end, on_exit = function()
    core.crash_at(0)
    if mp.worker.first then left:set() end
  end }
  local lost = account(n, ways[way](p, function(i) runs[i] = runs[i] + 1 return i * i end), runs, death)
  check(n, lost <= chunk, lost .. " are lost")
  check(n, p:submit_with({ retries = 1 }, function() return 7 end):result(30) == 7, "no pool any more")
  p:close()
  check(n, p:join(30), "it does not end")
  return not left:is_set()
end

-- Alone, it does everything: when it is not killed there are no more points.
local STEP = tonumber(arg[3])
local kills, n = 0, math.random(STEP)
while trial(n, 1) do
  kills, n = kills + 1, n + STEP
  if trial(n, 2) then kills = kills + 1 end
end
print(kills)
]]

-- The supervisor starts workers, buries one, is told of a new size, of a task
-- to cancel and one that is late, and of the end. Some 500 points: each STEP-th.
local SUPERVISOR = PARTS .. [[
local STEP = tonumber(arg[3])
local first, n = nil, math.random(STEP) - STEP
core.forked[#core.forked + 1] = function()
  if core.actor().name == "regent" and first and first:add(1) == 1 then core.crash_at(n) else core.crash_at(0) end
end
local function forever() while true do mp.sleep(60) end end
local kills, quiet = 0, 0
while quiet < 3 do
  n = n + STEP
  first = mp.Value("i64", 0)
  local runs = mp.Array("i64", N)
  local p = mp.Pool { 2, name = "regent" }
  local running = mp.Queue()
  local doomed = p:submit(os.exit, 3)
  local endless = p:submit(function() running:put(1) forever() end)
  local late = p:submit_with({ timeout = 0.01 }, forever)
  p:resize(3)
  local seen = ways.submit(p, function(i) runs[i] = runs[i] + 1 return i * i end)
  check(n, account(n, seen, runs, "fail") == 0, "a task is lost")
  local e = doomed:exception(30)
  check(n, e and e.name == "WorkerLost", tostring(e))
  e = late:exception(30)
  check(n, e and (e.name == "TaskTimeout" or e.exitcode == -15), tostring(e))
  running:get(30)
  check(n, endless:cancel(true), "not cancelled")
  p:resize(1)
  check(n, p:apply(function() return 7 end) == 7, "no pool any more")
  p:close()
  check(n, p:join(30), "it does not end")
  local died = first:get() > 1
  kills, quiet = kills + (died and 1 or 0), died and 0 or quiet + 1
end
print(kills)
]]

-- At each step-th point, so many points; all of them in the long form.
local function kills(script, way, death, step)
  step = os.getenv "MP_PROVE" and 1 or step
  local r = support.run { program, support.script(script), way, death, step, seconds = 100 }
  assert.equal(0, r.status, r.err)
  assert.equal("", r.err)
  return tonumber(r.out) * step
end

describe("killed at each crash point,", function()
  after_each(support.clean)

  for way, step in pairs { submit = 2, imap = 1, map = 3 } do
    for _, death in ipairs { "fail", "retry" } do
      it(("Y06, Y09, Y13: a worker costs what it has in hand: %s, on_death = %q"):format(way, death), function()
        local n = kills(WORKER, way, death, step)
        assert.is_true(n >= 60, n)
      end)
    end
  end

  it("a supervisor costs nothing", function()
    local n = kills(SUPERVISOR, "submit", "fail", 8)
    assert.is_true(n >= 100, n)
  end)
end)
