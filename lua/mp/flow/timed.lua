-- timed: built-in stages that look at the clock: batch, window, rate.
-- SPDX-License-Identifier: MIT

local hand_on = require "mp.flow.hand_on"
local identity = require "mp.flow.identity"
local show = require "mp.flow.show"

local timed = {}

local function positive(v) return math.type(v) and v > 0 and v < math.huge end

-- batch -------------------------------------------------------------------------------
--
-- The batches that are not full yet, by key and by age.  With a time limit the
-- oldest is the next one due.  Its state tells of each batch that has changed
-- how it goes on: what has joined it, or that it is gone and another has begun.

local Batches = {}
Batches.__index = Batches

local function batches()
  return setmetatable({ by_key = {}, by_age = {}, first = 1, last = 0, touched = {} }, Batches)
end

function Batches:oldest()
  while self.first < self.last and not self.by_age[self.first] do self.first = self.first + 1 end
  return self.by_age[self.first]
end

-- All of them, the oldest first.
function Batches:list()
  local list = {}
  for _, b in pairs(self.by_age) do list[#list + 1] = b end
  table.sort(list, function(a, b) return a.age < b.age end)
  return list, #list
end

function Batches:begin(key, since)
  local b = { key = key, since = since, age = self.last + 1, items = {}, n = 0, told = 0 }
  self.last = b.age
  self.by_age[b.age], self.by_key[key] = b, b
  return b
end

function Batches:drop(b)
  self.by_age[b.age], self.by_key[b.key] = nil, nil
  self.touched[b.key] = true
end

function Batches:add(b, v)
  b.n = b.n + 1
  b.items[b.n] = v
  self.touched[b.key] = true
end

local function entry(b)
  local from = b.told + 1
  local e = { key = b.key, fresh = b.told == 0, since = b.since, n = b.n - b.told }
  b.told = b.n
  return table.move(b.items, from, b.n, 1, e)
end

-- What became of the keys that were touched, and how many items are in it.  Those
-- that are gone come first, then the others by age, to keep it.
function Batches:changes()
  local message, live, weight = {}, {}, 0
  for key in pairs(self.touched) do
    local b = self.by_key[key]
    if b then live[#live + 1] = b else message[#message + 1] = { key = key, n = 0 } end
  end
  table.sort(live, function(a, b) return a.age < b.age end)
  for _, b in ipairs(live) do message[#message + 1] = entry(b) end
  for _, e in ipairs(message) do weight = weight + e.n + 1 end
  self.touched = {}
  return message, weight
end

function Batches:all()
  for _, b in pairs(self.by_age) do b.told, self.touched[b.key] = 0, true end
  return self:changes()
end

function Batches:apply(message)
  for _, e in ipairs(message) do
    local b = self.by_key[e.key]
    if b and (e.fresh or e.n == 0) then
      self:drop(b)
      b = nil
    end
    if e.n > 0 then
      b = b or self:begin(e.key, e.since)
      for i = 1, e.n do self:add(b, e[i]) end
      b.told = b.n
    end
  end
  self.touched = {}
end

local function make_batch(params, ctx, out, stage)
  local most, wait = params.n, params.seconds
  local id = stage.key and identity(stage, "batch") or function() return true end
  local open, op = batches(), {}

  local function wake()
    local b = wait and open:oldest()
    op.due = b and b.since + wait or nil
  end

  local function emit(b)
    if stage.key then ctx.key = b.key end
    out(b.items)
  end

  local function send(b)
    open:drop(b)
    wake()
    emit(b)
  end

  function op.item(v)
    local key = id(v)
    local b = open.by_key[key]
    if not b then
      b = open:begin(key, wait and ctx.time())
      wake()
    end
    open:add(b, v)
    if b.n == most then send(b) end
  end

  function op.tick()
    local now = ctx.time()
    while op.due and op.due <= now do send(open:oldest()) end
  end

  function op.finish(gone, mark)
    local list, n = open:list()
    hand_on(list, n, emit, gone, mark)
  end

  local function reset()
    open = batches()
    wake()
  end

  local function apply(message)
    open:apply(message)
    wake()
  end

  op.state = {
    all = function() return open:all() end,
    changes = function()
      if next(open.touched) ~= nil then return open:changes() end
    end,
    load = function(message)
      reset()
      apply(message)
    end,
    apply = apply, reset = reset,
  }
  return op
end

timed.batch = {
  role = "between", pool = "any", gathers = true,
  arguments = function(list)
    local n, seconds = math.tointeger(list[1]), list[2]
    if list.n < 1 or list.n > 2 or not n or n < 1 then
      return nil, "'batch' expects a number from 1 on, and perhaps a time: batch(100, 5s)"
    end
    if list.n == 2 and not positive(seconds) then
      return nil, ("'batch' expects a time of more than 0 seconds, got %s"):format(
        type(seconds) == "table" and show.item(seconds) or tostring(seconds))
    end
    return { n = n, seconds = seconds }
  end,
  make = make_batch,
}

-- window ---------------------------------------------------------------------------------

-- It makes nothing itself: the stages behind it end with each window.
timed.window = {
  role = "between", pool = "one", window = true,
  arguments = function(list)
    if list.n ~= 1 or not positive(list[1]) then
      return nil, "'window' expects a time of more than 0 seconds: window(10s)"
    end
    return { seconds = list[1] }
  end,
}

-- rate -------------------------------------------------------------------------------------

-- Items go at even distances; time that was lost may be made up for by a tenth
-- of a second's items at once.  `paced`: it waits with an item, and those before
-- it must have gone on when it does.
timed.rate = {
  role = "between", pool = "one", paced = true,
  arguments = function(list)
    if list.n ~= 1 or not positive(list[1]) then
      return nil, "'rate' expects items per second, more than 0: rate(10/s)"
    end
    return { rate = list[1] }
  end,
  make = function(params, ctx, out)
    local distance = 1 / params.rate
    local late = distance * (math.max(1, params.rate / 10) - 1)
    local at = ctx.time()
    return { item = function(v)
      local now = ctx.time()
      while now < at and ctx.sleep(at - now) do now = ctx.time() end
      at = math.max(at, now - late) + distance
      out(v)
    end }
  end,
}

return timed
