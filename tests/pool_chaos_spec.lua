-- pool_chaos: random kills under load, with exact accounts. Workers, and now
-- and then the supervisor, are killed while tiny tasks run:
--  - every task ends once, with its result or a WorkerLost;
--  - with on_death = "fail" none runs twice, with "retry" none more than four
--    times, and it is lost only after the fourth;
--  - in the end the pool works, and nothing is left of it.
--
-- MP_CHAOS=10 makes it ten times as long; MP_SEED repeats a run's choices.
--
-- SPDX-License-Identifier: MIT

local mp = require "mp"
local support = require "tests.support"

local KILL = 24            -- tasks that begin between two kills, at most: so there is progress
local REGENT = 12          -- one kill in so many is the supervisor's
local TASKS = 3300 * (tonumber(os.getenv "MP_CHAOS") or 1)
local BATCH = 20           -- items of a map

local seed = tonumber(os.getenv "MP_SEED") or math.random(1 << 30)

-- A process that kills, by handle: a number might be another process by now.
local function killer(p, begun)
  local client, targets, kills = rawget(p, "client"), mp.Dict(), mp.Array("i64", 2)
  local known = {}
  local function show(key, process)
    if known[key] == process then return end
    known[key], targets[key] = process, process
  end
  local self = {}
  -- Who there is now.
  function self.look()
    for number, w in pairs(client.workers) do show(number, w.process) end
    show(5, client.supervisor)
  end
  self.look()
  local stop = mp.Event()
  local process = mp.spawn(function()
    math.randomseed(seed)
    local at = 0
    while not stop:wait(math.random() * 0.001) do
      if begun:get() < at then goto continue end
      at = begun:get() + math.random(KILL)
      local who = math.random(REGENT) == 1 and 5 or math.random(4)
      local victim = targets[who]
      if victim and pcall(victim.kill, victim) then
        kills[who // 5 + 1] = kills[who // 5 + 1] + 1
      end
      ::continue::
    end
  end)
  function self.stop()
    stop:set()
    assert.is_true(process:join(60))
    return kills[1], kills[2]
  end
  return self
end

local Account = {}
Account.__index = Account

local function account(n, death)
  return setmetatable({ n = n, death = death, runs = mp.Array("i64", n), ended = {},
                        begun = mp.Value("i64", 0), done = 0, lost = 0, unsure = 0 }, Account)
end

function Account:task()
  local runs, begun = self.runs, self.begun
  return function(i)
    begun:add(1)
    runs[i] = runs[i] + 1
    for _ = 1, i * 7919 % 60000 do end
    return i * i
  end
end

function Account:once(i, what)
  assert.is_nil(self.ended[i], what .. "ended twice")
  self.ended[i] = true
  assert.is_true(self.runs[i] <= (self.death == "fail" and 1 or 4), what .. self.runs[i] .. " runs")
end

-- An item of a map that has an error: its own, or another's.
function Account:untold(i)
  self:once(i, ("item %d, seed %d: "):format(i, seed))
  self.unsure = self.unsure + 1
end

function Account:note(i, ok, value)
  local what = ("task %d, seed %d: "):format(i, seed)
  self:once(i, what)
  if ok then
    assert.equal(i * i, value, what)
    assert.is_true(self.runs[i] >= 1, what .. "never ran")
    self.done = self.done + 1
  else
    assert.equal("WorkerLost", value.name, what .. tostring(value))
    assert.is_true(self.death == "fail" or self.runs[i] >= 3, what .. "lost after " .. self.runs[i])
    self.lost = self.lost + 1
  end
end

function Account:close(n, kills)
  assert.equal(n, self.done + self.lost + self.unsure, "seed " .. seed)
  assert.is_true(self.done > n // 10, "seed " .. seed)
  assert.is_true(kills >= 10, "seed " .. seed)
end

local ways = {}

function ways.submit(p, a, chaos)
  local task, list, first = a:task(), {}, 1
  for i = 1, a.n do
    list[i] = p:submit(task, i)
    if i - first < 200 and i < a.n then goto continue end
    for k = first, i do
      local e = list[k]:exception(60)
      if e then a:note(k, false, e) else a:note(k, true, list[k]:result(60)) end
      list[k] = nil
      chaos.look()
    end
    first = i + 1
    ::continue::
  end
end

function ways.imap(p, a, chaos)
  local items = {}
  for i = 1, a.n do items[i] = i end
  local results = p:imap(a:task(), items, 1)
  for i = 1, a.n do
    local ok, value = pcall(results.next, results, 60)
    a:note(i, ok, value)
    chaos.look()
  end
  assert.is_nil(results())
end

-- A map tells of one error: then its other items are counted by their runs.
function ways.map(p, a, chaos)
  local task, first = a:task(), 1
  while first <= a.n do
    local items = {}
    for i = first, math.min(first + BATCH - 1, a.n) do items[#items + 1] = i end
    local f = p:map_async(task, items, 1)
    for _ = 1, BATCH // 2 do
      chaos.look()
      f:wait(0.0005)
    end
    local e = f:exception(60)
    if e then assert.equal("WorkerLost", e.name, tostring(e)) end
    local values = not e and f:result(60)
    for k, i in ipairs(items) do
      if values then a:note(i, true, values[k]) else a:untold(i) end
    end
    first = first + BATCH
  end
end

describe("under random kills", function()
  for _, death in ipairs { "fail", "retry" } do
    for _, way in ipairs { "submit", "map", "imap" } do
      it(("AA13, AA26: %s with on_death = %q: every task ends once"):format(way, death), function()
        local before, children = support.arena(), #mp.active_children()
        local p = mp.Pool { 4, on_death = death }
        local a = account(TASKS, death)
        local chaos = killer(p, a.begun)
        ways[way](p, a, chaos)
        local kills, regents = chaos.stop()
        a:close(TASKS, kills)
        assert.equal("still here", p:apply(function() return "still here" end))
        p:close()
        assert.is_true(p:join(60), "seed " .. seed)
        p, chaos = nil, nil  -- luacheck: ignore 311
        collectgarbage()
        assert.equal(children, #mp.active_children())
        support.given_back(before)
        if os.getenv "MP_CHAOS" then
          print(way, death, a.done, a.lost, a.unsure, kills, regents)
        end
      end)
    end
  end
end)
