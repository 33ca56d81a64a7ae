-- flow_ops: drives the ops of built-in stages without an engine: a clock that
-- stands still until told, a ledger of messages, and deaths at any place.
--
--   open(def, args, [options]) -> run     args: the arguments as a list
--     run.op, run.results, run.ctx; run.time moves on by ctx.sleep and by hand
--     options: key = function, stops = the time when ctx.sleep is told to stop
--   items(list) -> events                 an event is { v } (an item), { wait = seconds }
--                                         or { window = true }
--   gives(def, args, events, [options]) -> results of a run that nothing disturbs
--   replaced(def, args, before, after, [options]) -> results of an op that had taken
--     `before` in when it took over the state of one that had taken `after` in
--   survives(def, args, events, random, keep, [options]) -> results of one whose
--     worker dies again and again; keep says what its ledger is made of:
--     "changes", "all", or "items" (given again to the op, as to one that has no
--     changes)
--
-- SPDX-License-Identifier: MIT

local ops = {}

-- A message as it arrives: a copy.
local function copy(v)
  if type(v) ~= "table" then return v end
  local new = {}
  for k, x in pairs(v) do new[k] = copy(x) end
  return new
end

local function context(run, options)
  return {
    stage = "op", worker = 1, workers = 1, stopping = false,
    time = function() return run.time end,
    sleep = function(seconds)
      local stops = options.stops or math.huge
      run.time = math.max(run.time, math.min(run.time + seconds, stops))
      return run.time < stops
    end,
  }
end

local Run = {}
Run.__index = Run

function ops.open(def, args, options)
  options = options or {}
  args.n = args.n or #args
  local run = setmetatable({ results = {}, time = 0, def = def,
    params = assert(def.arguments(args)), stage = { key = options.key, key_name = "key", label = "op" } }, Run)
  run.ctx = context(run, options)
  run:make()
  return run
end

-- A new op in the place of the one there was.
function Run:make()
  self.op = self.def.make(self.params, self.ctx, function(v) self:out(v) end, self.stage)
end

function Run:out(v)
  if self.muted then return end
  if self.dies and self.dies() then error(self, 0) end
  self.results[#self.results + 1] = copy(v)
end

function Run:pass(seconds)
  self.time = self.time + seconds
  if self.op.due and self.time >= self.op.due then self.op.tick() end
end

function Run:give(event)
  if event.wait then return self:pass(event.wait) end
  local enough = self.op.item(copy(event[1]))
  self:pass(0)
  return enough
end

function Run:finish(gone, mark)
  if self.op.finish then self.op.finish(gone or 0, mark or function() end) end
end

function ops.items(list)
  local events = {}
  for i, v in ipairs(list) do events[i] = { v } end
  return events
end

local function has_windows(events)
  for _, event in ipairs(events) do
    if event.window then return true end
  end
end

function ops.gives(def, args, events, options)
  local run = ops.open(def, args, options)
  local endless = has_windows(events)
  for _, event in ipairs(events) do
    if event.window then
      run:finish()
      run.op.state.reset()
    elseif run:give(event) == "enough" and not endless then
      break
    end
  end
  run:finish()
  return run.results
end

function ops.replaced(def, args, before, after, options)
  local run, other = ops.open(def, args, options), ops.open(def, args, options)
  for _, v in ipairs(before) do run.op.item(v) end
  for _, v in ipairs(after) do other.op.item(v) end
  run.results = {}
  run.op.state.load(other.op.state.all())
  run:finish()
  return run.results
end

-- A worker's life with commits: what is in `self.kept` was committed.
local Life = {}
Life.__index = Life

function Life:commit()
  local run, kept = self.run, self.kept
  if self.keep == "items" then
    if self.random(4) == 1 then self:whole() end
    table.move(self.items, 1, #self.items, #kept.ledger + 1, kept.ledger)
    self.items = {}
  elseif self.keep == "all" or self.random(8) == 1 then
    self:whole()
  else
    local message, weight = run.op.state.changes()
    assert((message == nil) == (weight == nil))
    if message ~= nil then table.insert(kept.ledger, { apply = copy(message) }) end
  end
  self:send()
end

function Life:whole()
  local message, weight = self.run.op.state.all()
  assert(math.type(weight) == "integer")
  self.kept.ledger, self.items = { { load = copy(message) } }, {}
end

-- Results go on, and the time is what it is when they do.
function Life:send()
  local run, kept = self.run, self.kept
  table.move(run.results, 1, #run.results, #kept.results + 1, kept.results)
  run.results, kept.time = {}, run.time
end

-- Another worker takes over; "enough" where it needs no more.
function Life:die()
  local run, enough = self.run, nil
  run.results, run.time, self.items = {}, self.kept.time, {}
  run:make()
  run.muted = true
  for _, entry in ipairs(self.kept.ledger) do
    if entry.load ~= nil then
      enough = run.op.state.load(copy(entry.load))
    elseif entry.apply ~= nil then
      enough = run.op.state.apply(copy(entry.apply))
    else
      enough = run.op.item(copy(entry[1]))
    end
  end
  run.muted = false
  return enough
end

-- The end of input or of a window, however often it is tried.
function Life:finish()
  local run, gone = self.run, 0
  self:commit()
  while true do
    run.dies = function() return self.random(300) == 1 end
    local fine, why = pcall(run.finish, run, gone, function(i)
      self:send()
      gone = i
      if self.random(3) == 1 then error(run, 0) end
    end)
    run.dies = nil
    if fine then return self:send() end
    assert(why == run, why)
    self:die()
  end
end

function Life:window()
  self:finish()
  self.run.op.state.reset()
  self.kept.ledger, self.items = {}, {}
  assert(self.keep ~= "changes" or self.run.op.state.changes() == nil)
end

function ops.survives(def, args, events, random, keep, options)
  local run = ops.open(def, args, options)
  local life = setmetatable({ run = run, random = random, keep = keep, items = {},
    kept = { results = {}, ledger = {}, time = 0 } }, Life)
  local endless, at, done = has_windows(events), 0, 0
  while at < #events do
    at = at + 1
    local event, enough = events[at], nil
    if event.window then
      life:window()
      done = at
    else
      enough = run:give(event)
      if not event.wait then table.insert(life.items, event) end
    end
    if random(3) == 1 then
      life:commit()
      done = at
    elseif random(6) == 1 or enough then
      enough = life:die()
      at = done
    end
    if enough and not endless and done == at then break end
  end
  life:finish()
  return life.kept.results
end

return ops
