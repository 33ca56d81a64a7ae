-- worker: the life of one process of a stage: lease, work, commit.
-- SPDX-License-Identifier: MIT
--
-- Items leave the input in the commit that puts their results into the next
-- link, so a worker may be killed anywhere.  A worker says how it ended in its
-- last message on the control link: { kind = "done" | "error", … }; one that
-- ends without such a message died.

local emit = require "mp.flow.emit"
local ledger = require "mp.flow.ledger"
local operator = require "mp.flow.operator"
local outlet = require "mp.flow.outlet"
local show = require "mp.flow.show"

local worker = {}

local QUICK <const>, SLOW <const> = 0.002, 0.010   -- seconds for a batch
local MOST_HELD <const> = 256                       -- items of a source per commit
local MOST_COUNTED <const> = 65536
local FINISH <const> = 64                           -- items per commit at the end

-- Raised to leave a source whose results nobody wants any more.
local closed = setmetatable({}, { __tostring = function() return "the flow has ended" end })

local Worker = {}
Worker.__index = Worker

local function context(stage, index)
  local label = ("%s[%d]"):format(stage.label, index)
  return {
    stage = stage.label, worker = index, workers = stage.workers, stopping = false,
    log = function(...)
      local parts = table.pack(...)
      for i = 1, parts.n do parts[i] = tostring(parts[i]) end
      io.stderr:write(label, ": ", table.concat(parts, "\t"), "\n")
    end,
  }
end

-- Counts what enters a stage that runs inside this worker.
local function counted(self, at, item)
  local counts = self.counts
  counts[at] = 0
  return function(v, n)
    counts[at] = counts[at] + (n or 1)
    item(v)
  end
end

-- Words need no lines: a block of them at once is half the work.
local function reads_blocks(stage)
  local def, first = stage.spec.def, stage.inside[1]
  return def and def.blocks and first and first.spec.def.whole
end

local function build(self, ctx)
  local stage = self.stage
  local out = self.outlet.push
  for i = #stage.inside, 1, -1 do
    local node = stage.inside[i]
    out = counted(self, i, (operator({ spec = node.spec, label = node.id }, ctx, out)))
  end
  self.out, emit.to = out, out
  if reads_blocks(stage) then
    self.item = stage.spec.def.blocks(stage.spec.params, ctx, out)
    return
  end
  if stage.spec.kind ~= "source" and not (stage.spec.def and stage.spec.def.produce) then
    self.item, self.finish, self.flush, self.state = operator(stage, ctx, out)
  end
end

-- With the ledger of a fold; where its accumulators cannot be sent, without.
function Worker:put(args, n)
  local book = self.ledger
  if not book then return self.core.commit(table.unpack(args, 1, n)) end
  local fine, ok = pcall(self.core.commit, table.unpack(args, 1, book:load(args, n)))
  if not fine and not book.stopped then
    ok = self.core.commit(table.unpack(args, 1, book:stop(args, n)))
  elseif not fine then
    error(ok, 0)
  end
  if book.stopped then self.ledger = nil end
  return ok
end

-- false when the next stage takes nothing any more.
function Worker:commit()
  local args = self.args
  if self.flush then self.flush() end
  local n = self.outlet.load(args)
  local ok = self:put(args, n)
  self.outlet.sent()
  return ok
end

-- For results that are not bound to a lease: they go on by themselves, single
-- ones at once, fast ones in batches.
function Worker:flow_freely(first)
  local time, last = self.time, self.time()
  local chunk, adds_up = self.stage.chunk, self.next and self.next.counts
  local limit = chunk ~= "auto" and chunk or adds_up and MOST_COUNTED or first
  local function full()
    if not self:commit() then error(closed, 0) end
    if chunk == "auto" and not adds_up then
      local now = time()
      if now - last < QUICK then
        limit = math.min(limit * 2, MOST_HELD)
      elseif now - last > SLOW then
        limit = first
      end
      last = now
    end
    self.outlet.spill(limit, full)
  end
  self.outlet.spill(limit, full)
end

function Worker:produce(ctx)
  local stage = self.stage
  self:flow_freely(1)
  local started = self.time()
  if stage.spec.kind == "source" then
    stage.spec.f(ctx)
  else
    stage.spec.def.produce(stage.spec.params, ctx, self.out)
  end
  self.busy = self.time() - started
  self:commit()
end

-- One batch; true when the stage needs no more.
function Worker:work(items)
  local item = self.item
  for i = 1, items.n do
    self.current = items[i]
    if item(items[i]) == "enough" then return true end
  end
end

function Worker:count(items)
  local n = items.n
  if self.stage.counts then
    n = 0
    for i = 1, items.n do n = n + (items[i].items or 0) end
  end
  self.counts[0] = self.counts[0] + n
  if self.ledger then self.ledger.items = self.ledger.items + n end
end

-- Works until the input ends; false when the next stage has ended before.
function Worker:consume(link)
  local time, most = self.time, self.stage.limit
  local max = self.stage.chunk == "auto" and 1 or most
  while true do
    local items, why = link:lease(max)
    if not items then
      if why ~= "closed" then error("lease: " .. tostring(why), 0) end
      return true
    end
    local started = time()
    emit.to = self.out
    local enough = self:work(items)
    self.current = nil
    local took = time() - started
    self.busy = self.busy + took
    self:count(items)
    if not self:commit() then return false end
    if enough then return true end
    if took < QUICK and items.n == max then
      max = math.min(max * 2, most)
    elseif took > SLOW then
      max = math.max(1, max // 2)
    end
  end
end

-- The results of a fold, in commits that say how many have gone.
function Worker:finish_fold()
  local book = self.ledger
  self.finish(book and book.gone or 0, function(gone)
    if book then book.gone = gone end
    if not self:commit() then error(closed, 0) end
  end)
end

function Worker:end_of_input()
  local started = self.time()
  emit.to = self.out
  if self.state then
    self:finish_fold()
  else
    self:flow_freely(FINISH)
    self.finish()
  end
  self.busy = self.busy + self.time() - started
end

-- A fold goes on with what the worker before it, if there was one, had added.
function Worker:open_ledger()
  local link = self.state and self.stage.ledgers and self.stage.ledgers[self.index]
  if not link then return end
  self.ledger = ledger.new(link, self.core, self.state, { link = self.control,
    message = { kind = "bare", index = self.stage.index, worker = self.index } })
  self.ledger:recover()
end

function Worker:run(ctx)
  if not self.item then return self:produce(ctx) end
  if self.stage.fragile then self:flow_freely(1) end
  self:open_ledger()
  local links = self.stage.reads
  local goes_on = self:consume(links[#links > 1 and self.index or 1])
  if goes_on and self.finish then self:end_of_input() end
  self:commit()
end

-- A traceback without the runtime's own lines; nil if nothing is left.
local function trim(traceback)
  local kept, own = {}, false
  for line in traceback:gmatch "[^\n]+" do
    if not line:find "mp[./]flow" and not line:find "^%s+mp/actor%.lua:"
       and not line:find "%[C%]: in function 'x?pcall'" and not line:find "%(%.%.%.tail calls%.%.%.%)" then
      own = own or #kept > 0 and not line:find "%[C%]"
      kept[#kept + 1] = line
    end
  end
  return own and table.concat(kept, "\n") or nil
end

local function handler(e)
  if e == closed then return e end
  local unsent = type(e) == "string" and e:match "core%.commit: (.*)$"
  if unsent then return { message = "its result: " .. unsent } end
  return { message = type(e) == "string" and e or show.value(e),
           traceback = trim(debug.traceback(nil, 2)) }
end

function Worker:report(e)
  local blamed = self.outlet and self.outlet.blame()
  local stage, item = self.stage.label, self.current
  if self.stage.role == "source" then item = nil end
  if blamed ~= nil then stage, item = self.next.label, blamed end
  return { kind = "error", stage = stage, worker = self.index, message = e.message,
           traceback = e.traceback, item = item ~= nil and show.item(item) or nil }
end

function Worker:tell(message)
  message.index, message.worker = self.stage.index, self.index
  self.core.commit(self.control, { n = 1, message })
end

-- worker.main(run, stage, index): what the process executes.
function worker.main(run, stage, index)
  local self = setmetatable({ core = run.core, time = run.time, control = run.control,
    stage = stage, index = index, next = stage.next, args = {}, counts = { [0] = 0 },
    busy = 0 }, Worker)
  local fine, e = xpcall(function()
    local ctx = context(stage, index)
    self.outlet = outlet(stage.next, stage.next and stage.next.reads)
    build(self, ctx)
    self:run(ctx)
  end, handler)
  emit.to = nil
  if not fine and e ~= closed then
    self.core.release()
    self:tell(self:report(e))
    return
  end
  self.core.release()
  self.counts[#stage.inside + 1] = self.outlet.total()
  self:tell { kind = "done", counts = self.counts, busy = self.busy }
end

return worker
