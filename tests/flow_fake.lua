-- flow_fake: the engine's few calls that flows need, in one process, with
-- coroutines for processes: pure tests of what runs, and of deaths at will.
-- SPDX-License-Identifier: MIT
--
-- fake(options) -> engine for flow objects: f.engine = fake()
--   options.die(name, n) -> true to kill that worker now: it is about to commit or to
--                           sleep, or has just leased or committed, and has n leases
--   options.cpus            3
--   options.clock           where its clock begins, in seconds; 0
--   engine.interrupt(name)  sends the owner a signal
--   engine.processes        all that ever were: name, pid, exitcode, error
--
-- Time is the engine's own. It passes a little with every look at it; when nothing
-- can move, it goes on to where the next wait ends. A process runs until it waits,
-- or has called often enough; what it makes, others get as copies.

local emit = require "mp.flow.emit"

local TICK <const> = 0.0001      -- seconds for a look at the clock
local CALLS <const> = 32         -- leases and commits until others have their turn
local BATCHES <const> = 1024
local VAIN <const> = 100000      -- waits of the owner that end while nobody else moves
local LATEST <const> = 1e6       -- seconds: a flow that still runs will not end

-- What a message is when it arrives: a copy, but of handles.
local function copy(v, call, seen)
  if type(v) == "thread" then error(call .. ": cannot send a coroutine", 0) end
  local meta = getmetatable(v)
  if type(v) ~= "table" or type(meta) == "table" and meta.handle then return v end
  if seen[v] then return seen[v] end
  local new = {}
  seen[v] = new
  for k, x in pairs(v) do new[copy(k, call, seen)] = copy(x, call, seen) end
  return new
end

-- processes and their time ----------------------------------------------------------

local function scheduler(options)
  local s = { processes = {}, running = {}, clock = options.clock or 0, pid = 100, vain = 0 }
  s.main = { leases = {}, lease = 0, handlers = {}, signals = {} }
  s.current = s.main

  local function run_signals(p)
    while p.signals[1] do
      local handler = p.handlers[table.remove(p.signals, 1)]
      if handler then handler() end
    end
  end

  local function can_move(p)
    return p.signals[1] or p.cond() or p.deadline and p.deadline <= s.clock
  end

  local function step(p)
    local before, to = s.current, emit.to
    s.current, emit.to = p, p.emit_to
    local fine, err = coroutine.resume(p.thread, table.unpack(p.args, 1, p.args.n))
    p.emit_to = emit.to
    s.current, emit.to = before, to
    if not fine then
      p.error = err
      p:finish(1)
    elseif p.dead then
      p:finish(-9)
    elseif coroutine.status(p.thread) == "dead" then
      p:finish(0)
    end
  end

  -- Everybody who can has a turn; false: nobody could.
  local function round()
    local moved = false
    for _, p in ipairs(table.move(s.running, 1, #s.running, 1, {})) do
      if not p.exitcode and can_move(p) then
        moved, s.vain = true, 0
        step(p)
      end
    end
    return moved
  end

  -- On to where the first wait ends.
  local function pass(deadline)
    local first = deadline or math.huge
    for _, p in ipairs(s.running) do first = math.min(first, p.deadline or first) end
    s.vain = s.vain + 1
    if first == math.huge or first > LATEST or s.vain > VAIN then error("deadlock: nothing moves", 0) end
    s.clock = math.max(s.clock, first)
  end

  -- Waits until cond() is true, or until the deadline, if there is one.
  function s.wait(cond, deadline)
    local p = s.current
    run_signals(p)
    while not cond() and not (deadline and deadline <= s.clock) do
      if p == s.main then
        if not round() then pass(deadline) end
      else
        p.cond, p.deadline = cond, deadline
        coroutine.yield()
      end
      run_signals(p)
    end
  end

  local function always() return true end

  -- After so many calls, others have a turn.
  function s.breathe()
    local p = s.current
    p.calls = (p.calls or 0) + 1
    if p == s.main or p.calls % CALLS > 0 then return end
    p.cond, p.deadline = always, nil
    coroutine.yield()
    run_signals(p)
  end

  function s.maybe_die()
    local p, n = s.current, 0
    if p == s.main or not options.die then return end
    for _ in pairs(p.leases) do n = n + 1 end
    if not options.die(p.name, n) then return end
    p.dead = true
    coroutine.yield()
  end

  function s.start(p)
    s.pid = s.pid + 1
    p.pid, p.leases, p.lease, p.handlers, p.signals = s.pid, {}, 0, {}, {}
    p.cond, p.thread = always, coroutine.create(p.target)
    table.insert(s.processes, p)
    table.insert(s.running, p)
  end

  function s.ended(p)
    for i, x in ipairs(s.running) do
      if x == p then table.remove(s.running, i) end
    end
  end
  return s
end

-- links -------------------------------------------------------------------------------
--
-- A cell is { value, seq, tries }; waiting ones stand in `cells`, in order.

local function link_class(s)
  local Link = { handle = true }
  Link.__index = Link

  local function holds(link, p)
    for _, l in pairs(p.leases) do
      if l.link == link then return true end
    end
    return false
  end

  -- Can its reader p get nothing any more?
  function Link:over(p)
    return self.shut and #self.cells == 0 and (self.leased == 0 or holds(self, p))
  end

  function Link:ready(p) return #self.cells > 0 or self:over(p) end
  function Link:full() return self.cap > 0 and #self.cells + self.leased >= self.cap end
  function Link:empty() return #self.cells == 0 end
  function Link:qsize() return #self.cells end
  function Link:closed() return self.shut end

  function Link:close(drop)
    self.shut = true
    if drop then self.cells = {} end
  end

  function Link:add(v)
    self.put_ever = self.put_ever + 1
    table.insert(self.cells, { v, self.put_ever, 0 })
  end

  -- Back to where it was.
  function Link:back(cell)
    local i = 1
    while self.cells[i] and self.cells[i][2] < cell[2] do i = i + 1 end
    table.insert(self.cells, i, cell)
    self.leased = self.leased - 1
  end

  local function wait_for(link, timeout)
    local p = s.current
    s.wait(function() return link:ready(p) end, timeout and s.clock + timeout)
    if #link.cells > 0 then return true end
    return nil, link:over(p) and "closed" or timeout == 0 and "empty" or "timeout"
  end

  function Link:put(v)
    v = copy(v, "Queue:put", {})
    s.wait(function() return self.shut or not self:full() end)
    if self.shut then return nil, "closed" end
    self:add(v)
    return true
  end

  function Link:get_nowait()
    local some, why = wait_for(self, 0)
    if not some then return nil, why end
    return table.remove(self.cells, 1)[1]
  end

  function Link:get(timeout)
    local some, why = wait_for(self, timeout)
    if not some then return nil, why == "empty" and "timeout" or why end
    return table.remove(self.cells, 1)[1]
  end

  -- The next one if it goes along: not what was delivered before, nor over a gap.
  local function goes_along(last, next)
    return next and next[3] == 0 and last[3] == 1 and next[2] == last[2] + 1 and next
  end

  function Link:lease(max, timeout)
    assert(math.type(max) == "integer" and max >= 1, "Queue:lease: max must be a positive integer")
    s.breathe()
    local some, why = wait_for(self, timeout)
    if not some then return nil, why == "empty" and "timeout" or why end
    local p, first = s.current, self.cells[1]
    local list = { n = 0, lease = p.lease + 1, first = first[2] }
    local cell = first
    repeat
      table.remove(self.cells, 1)
      cell[3] = cell[3] + 1
      list.n, self.leased, p.lease = list.n + 1, self.leased + 1, p.lease + 1
      list[list.n] = copy(cell[1], "lease", {})     -- it may come to another after this one
      p.leases[p.lease] = { link = self, cell = cell, kept = false }
      cell = goes_along(cell, self.cells[1])
    until list.n == max or not cell
    list.tries = first[3] > 1 and first[3] or nil
    s.maybe_die()
    return list
  end

  return Link
end

-- What p has leased, to where it was; uncounted: it was no delivery.
local function give_back(p, uncounted)
  for _, l in pairs(p.leases) do
    if uncounted and not l.kept then l.cell[3] = l.cell[3] - 1 end
    l.link:back(l.cell)
  end
  p.leases = {}
end

-- core --------------------------------------------------------------------------------

local function core_of(s, Link)
  local core = {}

  function core.link(cap)
    return setmetatable({ cap = cap or 0, cells = {}, leased = 0, put_ever = 0, shut = false }, Link)
  end

  function core.release() give_back(s.current, true) end

  local function turn(call, lease, n, kept)
    local leases = s.current.leases
    for i = lease, lease + (n or 1) - 1 do
      if not leases[i] then
        error(("%s: lease %s is not this process's"):format(call, i), 2)
      elseif leases[i].kept == kept then
        error(("%s: lease %s is %s"):format(call, i, kept and "kept already" or "not kept"), 2)
      end
    end
    for i = lease, lease + (n or 1) - 1 do
      local l = leases[i]
      l.kept, l.cell[3] = kept, l.cell[3] + (kept and -1 or 1)
    end
  end

  function core.keep(lease, n) turn("core.keep", lease, n, true) end
  function core.claim(lease, n) turn("core.claim", lease, n, false) end

  local function finish(p)
    for i, l in pairs(p.leases) do
      if not l.kept then
        l.link.leased = l.link.leased - 1
        p.leases[i] = nil
      end
    end
  end

  -- Pairs of a link and copies, those that are empty left out.
  local function batches(...)
    local args, list, seen = table.pack(...), {}, {}
    assert(args.n % 2 == 0 and args.n // 2 <= BATCHES, "core.commit: too many, or no pairs")
    for i = 1, args.n, 2 do
      local link, values = args[i], args[i + 1]
      local n = values.n or #values
      if n > 0 then
        assert(not seen[link], "core.commit: the same link twice")
        seen[link] = true
        local items = { n = n }
        for k = 1, n do items[k] = copy(values[k], "core.commit", {}) end
        list[#list + 1] = { link, items }
      end
    end
    return list
  end

  local function any_shut(list)
    for _, b in ipairs(list) do
      if b[1].shut then return true end
    end
  end

  local function all_have_room(list)
    for _, b in ipairs(list) do
      if b[1]:full() then return false end
    end
    return true
  end

  function core.commit(...)
    s.breathe()
    s.maybe_die()
    local list = batches(...)
    s.wait(function() return any_shut(list) or all_have_room(list) end)
    if any_shut(list) then return nil, "closed" end
    for _, b in ipairs(list) do
      for k = 1, b[2].n do b[1]:add(b[2][k]) end
    end
    finish(s.current)
    s.maybe_die()
    return true
  end

  function core.wait(list, timeout)
    local p = s.current
    local function look()
      local found = { n = 0 }
      for _, x in ipairs(list) do
        if x.exitcode or x.cells and x:ready(p) then
          found.n = found.n + 1
          found[found.n] = x
        end
      end
      return found
    end
    s.wait(function() return look().n > 0 end, timeout and s.clock + timeout)
    return look()
  end
  return core
end

local function process_class(s)
  local Process = { handle = true }
  Process.__index = Process

  function Process:start() s.start(self) end

  function Process:finish(exitcode)
    self.exitcode = exitcode
    s.ended(self)
    give_back(self)
  end

  function Process:kill()
    if not self.exitcode then self:finish(-9) end
  end

  function Process:terminate()
    if self.exitcode then return end
    if self.handlers.TERM then table.insert(self.signals, "TERM") else self:finish(-15) end
  end

  function Process:join()
    s.wait(function() return self.exitcode end)
    return true
  end

  function Process:is_alive() return self.exitcode == nil end
  return Process
end

-- Integers from 1 on, as in an Array.
local function words(n)
  local list = {}
  for i = 1, n do list[i] = 0 end
  local function at(i) return list[i] and i or error(("Array: no element %s"):format(i), 3) end
  return setmetatable({}, { handle = true, __len = function() return n end,
    __index = function(_, i) return list[at(i)] end,
    __newindex = function(_, i, v)
      list[at(i)] = math.tointeger(v) or error(("Array: an integer expected, got %s"):format(v), 2)
    end })
end

local function fake(options)
  options = options or {}
  local s = scheduler(options)
  local core = core_of(s, link_class(s))
  local Process = process_class(s)
  return {
    core = core, processes = s.processes, words = words,
    Process = function(t)
      t.args.n = t.args.n or #t.args
      return setmetatable(t, Process)
    end,
    time = function()
      s.clock = s.clock + TICK
      return s.clock
    end,
    sleep = function(seconds)
      s.maybe_die()
      s.wait(function() return false end, s.clock + seconds)
    end,
    signal = function(name, f) s.current.handlers[name] = f end,
    interrupt = function(name) table.insert(s.main.signals, name) end,
    say = function() end,
    cpus = function() return options.cpus or 3 end,
  }
end

return fake
