-- pace: what the stages of a flow did in the last seconds, and which of them holds
-- the others up.  Pure: it knows no clock.
-- SPDX-License-Identifier: MIT
--
-- new(now) -> pace
-- pace:look(now, rows) -> a list with, for each row (see live.lua),
--     { rate   items a second: what a source gave, what another stage took
--       speed  the same of row.done, or of its progress, 0: it says nothing
--       busy, blocked   parts of its workers' time, 0 to 1
--       fill   part of its input that is taken, 0 to 1 }
-- bottleneck(rows, looks, [cpus]) -> index of the row, a sentence | nil: none is seen
--
-- Who holds the others up has work in its input and does not get it done: its queue
-- is full, its workers are busy, those before it wait for room and those behind it
-- for items. Where no queue fills up, it is the source.

local bar = require "mp.bar"
local columns = require "mp.flow.columns"

local M = {}

local SPAN <const> = 5       -- seconds that are looked back
local STEP <const> = 0.5     -- between two samples
local BUSY <const> = 0.8     -- parts of a whole, from which on it counts as such
local FULL <const> = 0.7
local EMPTY <const> = 0.25
local IDLE <const> = 0.5

local Pace = {}
Pace.__index = Pace

local fields = { "taken", "given", "busy", "blocked" }

local function done_of(row) return row.done or row.progress and row.progress[1] or 0 end

local function sample(now, rows)
  local s = { at = now }
  for i, row in ipairs(rows) do
    local one = { done = done_of(row) }
    for _, name in ipairs(fields) do one[name] = row[name] or 0 end
    s[i] = one
  end
  return s
end

function M.new(now) return setmetatable({ samples = { { at = now } } }, Pace) end

-- The sample to compare with: the youngest of those that are old enough.
local function base(pace, now)
  local list = pace.samples
  while list[2] and list[2].at <= now - SPAN do table.remove(list, 1) end
  return list[1]
end

local nothing = { taken = 0, given = 0, busy = 0, blocked = 0, done = 0 }

local function within(x) return math.max(0, math.min(1, x)) end

local function look(row, before, time)
  if time <= 0 then time = math.huge end
  local items = row.role == "source" and "given" or "taken"
  local function more(name) return math.max(0, (row[name] or 0) - before[name]) end
  local work = time * math.max(1, row.workers or 1)
  return { rate = more(items) / time, speed = math.max(0, done_of(row) - before.done) / time,
           busy = within(more "busy" / work), blocked = within(more "blocked" / work),
           fill = (row.cap or 0) > 0 and within((row.fill or 0) / row.cap) or 0 }
end

function Pace:look(now, rows)
  local from, looks = base(self, now), {}
  for i, row in ipairs(rows) do looks[i] = look(row, from[i] or nothing, now - from.at) end
  if now - self.samples[#self.samples].at >= STEP then
    table.insert(self.samples, sample(now, rows))
  end
  return looks
end

-- the bottleneck -----------------------------------------------------------------

local function percent(x) return ("%.0f %%"):format(100 * x) end

local function its_workers(row)
  if row.workers == 1 then return "its worker is busy" end
  return ("its %s workers are busy"):format(bar.count(row.workers))
end

-- What could be done about a stage whose workers are busy.
local function remedy(row, cpus)
  if row.most and row.workers < row.most then
    return ("it may have up to %s"):format(bar.count(row.most))
  elseif row.role == "sink" then
    return "the others wait for it"
  elseif cpus and row.workers >= cpus then
    return cpus == 1 and "there is one processor" or ("there are %s processors"):format(bar.count(cpus))
  end
  return "more would help"
end

-- Those that run, with what they did; a row inside another one has no workers.
local function running(rows, looks)
  local list = {}
  for i, row in ipairs(rows) do
    if not row.inside and (row.workers or 0) > 0 then
      list[#list + 1] = { index = i, row = row, look = looks[i] }
    end
  end
  return list
end

-- The one of the greatest value; of equal ones the last.
local function best(list, value)
  local found, most
  for _, x in ipairs(list) do
    local v = value(x.row, x.look)
    if v and (not most or v >= most) then found, most = x, v end
  end
  return found
end

local function overloaded(row, l)
  return row.role ~= "source" and l.fill >= FULL and l.blocked < IDLE and l.busy >= BUSY
    and l.busy - l.blocked
end

-- Several workers with a key, and the work of one: its queue is full, the others' are not.
local function lopsided(row, l)
  local n = row.workers
  return row.key and n > 1 and l.blocked < IDLE and l.fill >= FULL / n
    and l.busy * n >= BUSY and l.busy * n < 1.5 and l.fill
end

local function lazy(row, l)
  return row.role ~= "source" and l.fill >= FULL and l.blocked < IDLE and l.busy < BUSY and l.fill
end

local function waiting(list)
  for _, x in ipairs(list) do
    if x.look.blocked >= EMPTY then return true end
  end
  return false
end

-- A source counts only when no queue holds anybody up.
local function slow_source(list)
  for _, x in ipairs(list) do
    local l = x.look
    if x.row.role ~= "source" and (l.fill >= EMPTY or l.busy >= BUSY) then return nil end
  end
  return best(list, function(row, l)
    return row.role == "source" and l.blocked < EMPTY and l.busy
  end)
end

function M.bottleneck(rows, looks, cpus)
  local list = running(rows, looks)
  local function told(x, text)
    return x.index, ("%s: %s"):format(columns.clean(x.row.label), text)
  end
  local x = best(list, overloaded)
  if x then return told(x, ("%s; %s"):format(its_workers(x.row), remedy(x.row, cpus))) end
  x = waiting(list) and best(list, lopsided)
  if x then
    return told(x, ("one of its %s workers is busy; its keys are spread unevenly")
      :format(bar.count(x.row.workers)))
  end
  x = best(list, lazy)
  if x then
    return told(x, ("its queue is full, but its %s busy %s of the time")
      :format(x.row.workers == 1 and "worker is" or "workers are", percent(x.look.busy)))
  end
  x = slow_source(list)
  if not x then return nil end
  return told(x, x.look.busy >= BUSY and its_workers(x.row) .. "; the others wait for items"
    or "the others wait for items, and it for its input")
end

return M
