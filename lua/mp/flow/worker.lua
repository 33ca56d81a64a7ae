-- worker: one process of a stage: what its stages do, and its commits.
-- SPDX-License-Identifier: MIT
--
-- Items leave the input in the commit that puts their results into the next
-- links, so a worker may be killed anywhere. How it takes its input is consume's
-- and produce's matter. A worker says how it ended in its last message on the
-- control link, { kind = "done" | "error", … }; one that ends without died.

local blame = require "mp.flow.blame"
local board = require "mp.flow.board"
local consume = require "mp.flow.consume"
local context = require "mp.flow.context"
local emit = require "mp.flow.emit"
local guard = require "mp.flow.guard"
local ledger = require "mp.flow.ledger"
local operator = require "mp.flow.operator"
local origin = require "mp.flow.origin"
local outlet = require "mp.flow.outlet"
local produce = require "mp.flow.produce"
local show = require "mp.flow.show"
local train = require "mp.flow.train"

local worker = {}

local SHOWN_EVERY <const> = 0.02       -- seconds between two looks that the board allows

-- Raised to leave a stage whose results nobody wants any more.
local closed = setmetatable({}, { __tostring = function() return "the flow has ended" end })
-- Raised in a source when the flow shall stop.
local stopped = setmetatable({}, { __tostring = function() return "the flow stops" end })

local Worker = {}
Worker.__index = Worker
Worker.closed, Worker.stopped = closed, stopped

function Worker.leaving(e) return e == closed or e == stopped end

-- counting ---------------------------------------------------------------------------

function Worker:count(word, n)
  local at = board[word]
  self.words[at] = self.words[at] + (n or 1)
end

-- Puts on the board what has changed, now and then.
function Worker:show(now)
  if now - self.shown < SHOWN_EVERY then return end
  self:count("GIVEN", self.take_given())
  self.shown = now
  local lines, words, at = self.board, self.words, self.line
  for word = 1, board.BLOCKED do lines[at + word] = math.floor(words[word]) end
end

-- The stage was worked on before: the counts go on.
function Worker:open_board()
  for word = 1, board.BLOCKED do self.words[word] = self.board[self.line + word] end
end

-- stages --------------------------------------------------------------------------------

-- Where the last stage's results go: counted, cut short where they have gone
-- before (an item that was begun by a worker that died).
local function exit(self)
  local o, trains, given = self.outlet, self.trains, 0
  local push, count
  if not trains then push, count = o:single() end
  if trains and o.fail then o.fail = trains:wrap(o.fail) end
  push = push or trains and trains:wrap(o.push) or o.push
  local tally = not trains and o:tally()
  local add = tally and tally.add

  -- How many have gone this way, since the last time that somebody asked.
  function self.take_given()
    local n = given
    given = 0
    if count then count.n = count.n + n end
    return n
  end

  return function(v, label, mark)
    if self.skip > 0 then
      self.skip = self.skip - 1
      return
    end
    given = given + 1
    local gone = self.gone + 1
    self.gone = gone
    if mark ~= nil then self.mark, self.marked_at = mark, gone end
    local waits = add and add(tally, v)     -- at once, where it can be counted as it is
    if waits then
      o.waiting = waits
    else
      o.waiting = o.waiting + (push(v, label) or 0)
    end
    if o.waiting >= self.limit then self:full() end
  end
end

-- The way into a stage behind the first: keeps whose turn it is, for `emit` and
-- for reports.
local function entrance(self, at, node, op)
  local item, emits, inner = op.item, op.emits, self.inner
  inner[at] = 0
  if at == 2 and self.stage.tasks then
    return function(v)          -- behind a source that emits nothing of its own
      inner[2] = inner[2] + 1
      if self.telling then blame.at(self, node, v) end
      self.at, self.current, emit.to = 2, v, emits
      item(v)
      self.at = 1
    end
  end
  return function(v)
    inner[at] = inner[at] + 1
    if self.telling then blame.at(self, node, v) end
    local was, item_was, to = self.at, self.current, emit.to
    self.at, self.current, emit.to = at, v, emits
    item(v)
    self.at, self.current, emit.to = was, item_was, to
  end
end

-- A stage whose results are only counted needs not even make them.
local function tallied(self, at, node, ctx)
  local def, tally = node.spec.def, self.outlet:tally()
  if not tally or self.trains or at < #self.stage.chain or not (def and def.tally) then return nil end
  local op = def.tally(node.spec.params, ctx, tally)
  local item, words, count = op.item, self.words, self.outlet.counted[1]
  local o = self.outlet
  function op.item(v)
    if self.skip > 0 then return end        -- it was counted before
    local n, different = item(v)
    words[board.GIVEN], count.n, o.waiting = words[board.GIVEN] + n, count.n + n, different
  end
  return op
end

local function make_op(self, at, node, ctx, out)
  local op = tallied(self, at, node, ctx)
  if op then return op end
  if guard.wants(node, self.stage) and at == 1 and node.role ~= "source" then
    return guard.wrap(self, node, ctx, out, function(to) return operator(node, ctx, to, self.stage) end)
  end
  return operator(node, ctx, out, self.stage)
end

local function build(self)
  local chain = self.stage.chain
  local out = exit(self)
  for at = #chain, 1, -1 do
    local node = chain[at]
    local ctx = context(self, node)
    self.contexts[at] = ctx
    if at == 1 and produce.is_source(node) then
      out = self.stage.tasks and out or produce.way_out(self, out)
      self.source = { node = node, ctx = ctx, out = out }
      emit.to = out
    else
      self.at = at
      local op = make_op(self, at, node, ctx, out)
      self.ops[at] = op
      if at > 1 then out = entrance(self, at, node, op) end
    end
  end
  self.at = 1
end

-- commits --------------------------------------------------------------------------------

local function flush(self)
  for at, op in pairs(self.ops) do
    if op.flush then
      local was = self.at
      self.at = at
      if op.flush() == "enough" then self.enough = true end
      self.at = was
    end
  end
end

-- Leaves out links whose readers have ended.
local function without_closed(args, n)
  local kept = 0
  for i = 1, n, 2 do
    if not args[i]:closed() then
      args[kept + 1], args[kept + 2] = args[i], args[i + 1]
      kept = kept + 2
    end
  end
  return kept
end

local function send(self, args, n)
  while true do
    local ok, why = self.core.commit(table.unpack(args, 1, n))
    if ok then return true end
    if why ~= "closed" then error("commit: " .. tostring(why), 0) end
    if self.outlet:shut() then return false end
    n = without_closed(args, n)
  end
end

-- With the ledger; where a state cannot be sent, without.
local function send_with_ledger(self, args, n)
  local book = self.ledger
  if not book then return send(self, args, n) end
  local fine, ok = pcall(send, self, args, book:load(args, n))
  if not fine then
    if Worker.leaving(ok) or book.stopped then error(ok, 0) end
    ok = send(self, args, book:stop(args, n))
  end
  book:committed()
  if book.stopped then self.ledger = nil end
  return ok
end

-- false when nobody takes the results any more. flag: of the train that ends.
function Worker:commit(flag)
  local args, began = self.args, self.time()
  flush(self)
  if self.trains then self.trains:close(flag or 0) end
  local n = self.outlet:load(args)
  for link, list in pairs(self.returns) do
    args[n + 1], args[n + 2] = link, list
    n, self.returns[link] = n + 2, nil
  end
  local ok = send_with_ledger(self, args, n)
  self.outlet:sent()
  if self.trains then self.trains:sent() end
  local now = self.time()
  self.words[board.BLOCKED] = self.words[board.BLOCKED] + (now - began) * 1e9
  self:show(now)
  self.last = now
  return ok
end

-- An item gives more than a link holds: what it has given so far goes on, and the
-- ledger keeps the item and how much that was. Items behind it stay leased. (Not
-- where there is a state: that knows of no half an item.)
function Worker:overflow()
  local list, i = self.list, self.i
  if not self.ledger or not list or self.remembers then return end
  if self.open_item then
    self.open_item = { self.open_item[1], self.gone, self.open_item[3], self.open_item[4] }
  else
    self.open_item = { list[i], self.gone, self.deaths, list.first and list.first + i - 1 or 0 }
  end
  self.ledger:note("open", self.open_item)
  self:commit_to(i)
end

-- Commits what the first i of the items in hand gave.
function Worker:commit_to(i)
  local list = self.list
  if list.lease and i < list.n then self.core.keep(list.lease + i, list.n - i) end
  if not self:commit() then error(closed, 0) end
  if list.lease and i < list.n then self.core.claim(list.lease + i, list.n - i) end
  if self.trains then self.trains:ready() end
end

Worker.full = Worker.overflow

-- The ledger keeps the items up to the i-th of those in hand.
function Worker:log_to(i)
  if self.ledger then self.ledger:took(self.kept, self.logged + 1, i) end
  self.logged = i
end

-- A worker too many has ended: whoever comes in its place begins anew.
function Worker:leave_nothing()
  for _, op in pairs(self.ops) do
    if op.state then op.state.reset() end
  end
  if not self.ledger then return end
  self.ledger:note("finished", nil)
  self.ledger:note("retired", nil)
  self.ledger:refresh()
  self:commit()
end

-- A source waits: nothing that it has given waits with it.
function Worker:idle()
  if not self.source then return end
  if self.outlet.waiting > 0 then self:full() else flush(self) end
end

function Worker:pause(seconds)
  self.words[board.BUSY] = self.words[board.BUSY] - seconds * 1e9
  self.sleep(seconds)
end

-- Calls what is due, and commits what comes of it; false when nobody takes it.
function Worker:tick()
  local now, flag, any = self.time(), 0, false
  for at, op in pairs(self.ops) do
    if op.due and op.due <= now then
      emit.to, self.at, any = op.emits, at, true
      local r = op.tick()
      if r == "enough" then self.enough = true else flag = r or flag end
    end
  end
  if not any then return true end
  local ok = self:commit(flag)
  if ok and self.trains then self.trains:ready() end
  return ok
end

-- When the first of them is due, nil: none.
function Worker:due()
  local first
  for _, op in pairs(self.ops) do
    if op.due and (not first or op.due < first) then first = op.due end
  end
  return first
end

-- the end of input --------------------------------------------------------------------------

local FINISH <const> = 64

-- finished[at] of a ledger: how many results of that stage have gone, true: all.
local function note_finished(self, at, n)
  local book = self.ledger
  if not book then return end
  local new = table.move(book.notes.finished or {}, 1, #self.stage.chain, 1, {})
  if n == true then
    for i = 1, at do new[i] = true end
  else
    new[at] = n
  end
  book:note("finished", new)
end

-- A stage with a state says itself how far its results have gone, and only then
-- they may go.
local function finish_by_marks(self, at, op, gone)
  self.limit = math.huge
  op.finish(gone, function(n)
    note_finished(self, at, n)
    self:commit_or_leave()
  end)
end

-- Of another one, results are counted at the exit; a successor's are cut short there.
local function finish_by_count(self, at, op, gone)
  self.skip, self.gone = gone, gone
  if self.late then self.limit = math.huge else self:flow_freely(FINISH) end
  local full = self.full
  function self.full()
    note_finished(self, at, self.gone)
    full(self)
  end
  op.finish(0, function() end)
  self.skip = 0
end

local function finish(self, at, op)
  local gone = self.ledger and self.ledger.notes.finished or {}
  if gone[at] == true then return end
  self.at, emit.to = at, op.emits
  local by_marks = op.state
  for i = at + 1, #self.stage.chain do by_marks = by_marks or self.ops[i].state end
  if by_marks then
    finish_by_marks(self, at, op, gone[at] or 0)
  else
    finish_by_count(self, at, op, gone[at] or 0)
  end
  note_finished(self, at, true)
end

function Worker:commit_or_leave()
  if not self:commit() then error(closed, 0) end
  if self.trains then self.trains:ready() end
end

local function ends(self)
  for _, op in pairs(self.ops) do
    if op.finish then return true end
  end
  return false
end

-- What a stage that only hands on trains gives at its end stands behind all of them,
-- and goes in one commit.
function Worker:begin_late()
  self.outlet:begin(train.LATE, 1)
  if self.trains then self.trains:leave() end
end

function Worker:end_of_input()
  local started = self.time()
  self.current, self.list = nil, nil
  self.late = ends(self) and (self.hands_on or self.trains and self.trains.by_task)
  if self.late then self:begin_late() end
  for at = 1, #self.stage.chain do
    local op = self.ops[at]
    if op and op.finish then finish(self, at, op) end
  end
  if self.late then self.outlet:close(0) end
  self.words[board.BUSY] = self.words[board.BUSY] + (self.time() - started) * 1e9
end

-- For results that are not bound to items of the input: they go on by themselves,
-- single ones at once, fast ones in batches.
function Worker:flow_freely(first, most)
  local limit, chunk = first, self.stage.chunk
  if chunk ~= "auto" then limit, most = chunk, chunk end
  most = most or 256
  self.limit = limit
  self.full = function()
    local last = self.last
    self:commit_or_leave()
    if chunk ~= "auto" then return end
    local took = self.last - last
    if took < 0.002 then limit = math.min(limit * 2, most)
    elseif took > 0.010 then limit = math.max(1, limit // 2) end
    self.limit = limit
  end
end

-- its life ------------------------------------------------------------------------------------

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

function Worker.handler(e)
  if Worker.leaving(e) or type(e) == "table" and e.flow_error then return e end
  local unsent = type(e) == "string" and e:match "core%.commit: (.*)$"
  if unsent then return { flow_error = true, message = "its result: " .. unsent } end
  return { flow_error = true, message = type(e) == "string" and e or show.value(e),
           traceback = trim(debug.traceback(nil, 2)) }
end

function Worker:report(e)
  local blamed, label
  if self.outlet then blamed, label = self.outlet:blame() end
  local node = self.stage.chain[self.at or 1]
  local item = self.current
  if node.role == "source" or self.source and self.at == 1 then item = nil end
  if blamed ~= nil then item = blamed end
  return { kind = "error", stage = label or node.id, message = e.message, traceback = e.traceback,
           first = e.first, item = item ~= nil and show.item(item) or nil }
end

function Worker:tell(message)
  message.index, message.worker = self.stage.index, self.index
  self.core.commit(self.control, { n = 1, message })
end

-- A worker's states, by the place of their stages; the ledger that keeps them.
local function open_ledger(self)
  local link = self.stage.ledgers[self.index]
  local states, head = {}, nil
  for at, op in pairs(self.ops) do
    states[at] = op.state
    self.remembers = self.remembers or op.state ~= nil
    if at == 1 and op.state then head = 1 end
  end
  if self.order then states[0] = self.order:state() end
  self.ledger = ledger.new { link = link, core = self.core, states = states, head = head,
    parts = self.stage.inbox and self.stage.inbox.combines,
    replay = function(items)
      self.skip, self.replaying = math.huge, true
      consume.replay(self, items)
      self.skip, self.replaying = 0, nil
    end,
    lost = function()
      return self.control, { n = 1, { kind = "bare", index = self.stage.index, worker = self.index } }
    end }
  return self.ledger:recover() or {}
end

local function close(self)
  for _, op in pairs(self.ops) do
    if op.close then op.close() end
  end
end

local function live(self)
  self.outlet = outlet(self.stage)
  self.trains = self.stage.origin and origin.new(self) or nil
  build(self)
  self.order = consume.order_of(self)
  local notes = open_ledger(self)
  if self.trains then self.trains:recover(notes) end
  if self.source and not self.stage.tasks then produce.run(self, notes) else consume.run(self, notes) end
  close(self)
end

local function edges(self)
  local list = {}
  for _, to in ipairs(self.outlet.counted) do
    for _, link in ipairs(to.links) do list[#list + 1] = { link.pos, to.n } end
  end
  return list
end

-- worker.main(run, stage, index): what the process executes.
function worker.main(run, stage, index)
  local self = setmetatable({ core = run.core, time = run.time, sleep = run.sleep, control = run.control,
    stage = stage, index = index, args = {}, words = {}, inner = {}, ops = {}, contexts = {}, returns = {},
    board = run.board, line = board.line(stage, index), shown = 0, last = 0, skip = 0, gone = 0,
    limit = math.huge, deaths = 0, signal = run.signal, elastic = index > stage.least }, Worker)
  -- Meant for the flow, whose main process gets it, too: `timeout 60 mprun …`.
  if self.signal then self.signal("TERM", function() end) end
  self:open_board()
  local fine, e = xpcall(live, Worker.handler, self)
  emit.to = nil
  self.core.release()
  self.shown = 0
  self:show(self.time())
  if not fine and not Worker.leaving(e) then return self:tell(self:report(e)) end
  self:tell { kind = "done", inner = self.inner, edges = edges(self), dropped = self.outlet:dropped(),
    retired = self.retired }
end

return worker
