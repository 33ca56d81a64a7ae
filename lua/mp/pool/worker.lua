-- worker: what a worker of a pool does: takes a task, runs it, hands over what
-- came of it, until there are no more.
--
-- main(spec, number)   the target of the worker's process or thread
--
-- A task is leased while it runs; its lease ends in the commit that puts its
-- result. Its label says how far it had begun: of a single task, how many
-- attempts; of a chunk, how many items. So whoever gets the task of a dead
-- worker knows what may have been done already, and does none of it again,
-- unless the pool was told to.
--
-- Messages, after the id (odd: a chunk of a map's items):
--   task    code, timeout, retries, arguments...
--   chunk   code, mode, first, items, n, timeout, retries
--   result  true, ns, values... | false, ns, error | "lost"
--   of a chunk  first, n, ns, values, errors, slow, slow_n, slow_ns: the slowest
--           item, or so many from there on, took so long; nil: none was slow
--           n 0: one item by itself; values is then true, false or "lost", and
--           errors its value or error. errors[i] is LOST where a worker died.
--
-- SPDX-License-Identifier: MIT

local core = require "mp.core"
local remote = require "mp.error"
local mode = require "mp.pool.mode"

local mp = core.mp
local begin, done, split = core.task_begin, core.task_done, core.task_split
local elapsed, take, run, at = core.task_elapsed, core.task_take, core.task_run, core.task_label
local counts, slowest = core.task_counts, core.task_slowest
local AUTO, STAR, ALONE, LOST = mode.AUTO, mode.STAR, mode.ALONE, mode.LOST

local SLOW = 1e5           -- ns: slower items are told of
local SLICE = 5e6          -- ns: an automatic chunk that takes longer is shared
local IDLE = 0.3           -- seconds: then what was left of tasks is collected
local SMALL_HEAP = 65536   -- KiB
local CODES = 64           -- functions that are kept
local UNREAD = 4           -- deliveries of a task that nobody managed to begin
local MAX_LABEL = 65535
local MAX_TEXT = 4096      -- of an error that does not travel as it is

local Worker = {}
Worker.__index = Worker

-- errors ---------------------------------------------------------------------------

local function plain(self, e)
  if type(e) ~= "table" then  -- no memory for the handler
    e = { message = tostring(e), value = e, traceback = "" }
  end
  return { name = e.name, message = e.message, value = e.value, traceback = e.traceback,
           process = self.name, pid = self.pid }
end

local function cut(text)
  return #text <= MAX_TEXT and text or ("%s... (%d bytes)"):format(text:sub(1, MAX_TEXT), #text)
end

-- Without what of an error cannot travel, or has no room.
local function bare(e)
  e.value = type(e.value) == "string" and cut(e.value) or nil
  e.message, e.traceback = cut(e.message), cut(e.traceback)
  return e
end

-- A thread that is to end passes everything that catches errors.
local function hand_on(why)
  if type(why) == "table" and why.name == "Condemned" then error(why, 0) end
end

local function fail(self, ns, e)
  e = plain(self, e)
  local sent, why = pcall(done, false, ns, e)
  if sent then return end
  hand_on(why)
  done(false, ns, bare(e))
end

-- before: how many values of the message are ours.
local function unsendable(why, before)
  local text = tostring(why):gsub("^mp/pool/[^:]*:%d+: ", ""):gsub("^Pool: ", "the task's result: ")
    :gsub("%(at argument (%d+)", function(n) return "(at value " .. n - before end)
  return { name = "UnsendableResult", message = text, traceback = "" }
end

-- code -------------------------------------------------------------------------------

-- A function that was sent whole, or the number under which it is kept. A task
-- that comes again may be one whose worker was ended, because nobody wants it.
function Worker:code(code)
  if type(code) ~= "number" then return code end
  local f = self.cache[code]
  if f and self.tries == 1 then return f end
  f = self.codes:get(code)
  if not f then return function() end end  -- nobody waits for it any more
  if self.cached >= CODES then self.cache, self.cached = {}, 0 end
  self.cache[code], self.cached = f, self.cached + 1
  return f
end

local function is_module(t)
  for _, module in pairs(package.loaded) do
    if t == module then return true end
  end
  return t == _G
end

-- The upvalues of f, to be put back; false: some can change from inside.
local function upvalues(f)
  local list = { n = 0 }
  for i = 1, 255 do
    local name, value = debug.getupvalue(f, i)
    if not name then return list end
    local kind = type(value)
    if (kind == "table" and not is_module(value))
       or (kind == "function" and value ~= f and debug.getinfo(value, "S").what ~= "C") then
      return false
    end
    list.n = i
    list[i] = value
  end
  return list
end

-- The same for a single task: with its upvalues as they were at the submit,
-- whatever tasks before have made of them.
function Worker:fresh(code)
  local f = self:code(code)
  if type(code) ~= "number" or type(f) ~= "function" then return f end
  local values = self.upvalues[f]
  if values == nil then
    values = upvalues(f)
    self.upvalues[f] = values
    return f
  elseif values then
    for i = 1, values.n do debug.setupvalue(f, i, values[i]) end
    return f
  end
  return self.codes:get(code) or f
end

-- May what a dead worker had begun so often be begun again?
function Worker:may_repeat(id, times, retries)
  local allowed = math.max(retries or 0, self.repeats)
  return times <= allowed and not self.codes:get(mode.cancelled(id))
end

function Worker:begin(label, timeout, first)
  if begin(label, timeout, first) then self.control:put { "look" } end
end

-- single tasks -----------------------------------------------------------------------

-- True when the task is over.
local function deliver(self, again, ok, ...)
  if ok then
    local sent, why = pcall(done, true, elapsed(), ...)
    if not sent then
      hand_on(why)
      fail(self, elapsed(), unsendable(why, 2))
    end
    return true
  end
  if again then return false end
  fail(self, elapsed(), (...))
  return true
end

function Worker:task(id, label, code, timeout, retries, ...)
  if label > 0 and not self:may_repeat(id, label, retries) then
    self:begin(label)
    done("lost")
    return
  end
  local tries = retries or 0
  self:begin(label + 1, timeout)
  local found, f = pcall(self.fresh, self, code)
  if not found then return fail(self, 0, { message = f, traceback = "" }) end
  for try = label + 1, math.max(tries, label) + 1 do
    if try > label + 1 then self:begin(try, timeout) end
    if deliver(self, try <= tries, xpcall(f, remote.catch, ...)) then return end
  end
end

-- chunks -----------------------------------------------------------------------------

-- One item by itself: as a single task, but for what its result looks like.
function Worker:item(id, label, f, first, args, n, timeout, retries)
  if label > 0 and not self:may_repeat(id, label, retries) then
    self:begin(label, nil, first)
    done(first, 0, 0, "lost")
    return
  end
  local tries, ok, value = retries or 0, false, nil
  for try = label + 1, math.max(tries, label) + 1 do
    self:begin(try, timeout, first)
    ok, value = xpcall(f, remote.catch, table.unpack(args, 1, n))
    if ok or try > tries then break end
  end
  if ok then
    local sent, why = pcall(done, first, 0, elapsed(), true, value)
    if sent then return end
    hand_on(why)
    value = unsendable(why, 4)
  end
  local e = plain(self, value)
  local sent, why = pcall(done, first, 0, elapsed(), false, e)
  if sent then return end
  hand_on(why)
  done(first, 0, elapsed(), false, bare(e))
end

-- What of a chunk's values and errors cannot travel becomes an error of its
-- item; the others arrive.
local function sort_out(self, n, values, errors)
  for i = 1, n do
    if values[i] ~= nil then
      local fine, why = pcall(core.can_send, "Pool", values[i])
      if not fine then
        values[i] = nil
        errors[i] = plain(self, unsendable(why, 0))
      end
    elseif errors[i] and errors[i] ~= LOST and not pcall(core.can_send, "Pool", errors[i]) then
      errors[i] = bare(errors[i])
    end
  end
end

-- All of a chunk's values together have no room.
local function give_up(self, n, values, errors, why)
  why = unsendable(why, 0)
  why.message = ("%s; these are %d items in one chunk: chunksize=1 sends each by itself"):format(why.message, n)
  for i = 1, n do
    if values[i] ~= nil then
      values[i], errors[i] = nil, plain(self, why)
    elseif errors[i] and errors[i] ~= LOST then
      errors[i] = bare(errors[i])
    end
  end
end

-- try() hands over n values and errors of a chunk: with errors in place of
-- what does not travel.
local function hand_over(self, c, n, try)
  local sent, got = pcall(try)
  if sent then return got end
  hand_on(got)
  c.errors = c.errors or {}
  sort_out(self, n, c.values, c.errors)
  sent, got = pcall(try)
  if sent then return got end
  hand_on(got)
  give_up(self, n, c.values, c.errors, got)
  return try()
end

-- The rest of a chunk, items i to n, in halves where others have nothing to do.
local function rest_of(self, items, i, n)
  local left = n - i + 1
  local half = left > 1 and self.tasks:qsize() == 0 and left // 2 or left
  local a = core.part(items, i, half)
  if half == left then return a end
  return a, core.part(items, i + half, left - half), half
end

-- Of a chunk, n items are done. Returns their values, to be sent, the errors,
-- and which was the slowest.
local function outcome(c, n)
  return core.part(c.values, 1, n, c.first), c.errors, c.slow, c.slow_n, c.slow_ns
end

local function account(c, n)
  local k, m, ns = slowest()
  counts(n)
  if ns > SLOW then c.slow, c.slow_n, c.slow_ns = k, m, ns end
end

-- Hands over items 1 to i - 1, and the others to whoever has time. False: the
-- pool takes no more tasks; go on with them here. Where the map was given up
-- meanwhile, and its code with it, nobody is to do them.
function Worker:share(c, i)
  if type(c.code) == "number" and not self.codes:has(c.code) then
    done(c.first, 0, elapsed(), "lost")
    return true
  end
  local a, b, half = rest_of(self, c.items, i, c.n)
  local first = c.first
  account(c, i - 1)
  local function try()
    local ns, values, errors, k, m, slow_ns = elapsed(), outcome(c, i - 1)
    if not b then
      return split(8, 7, first, i - 1, ns, values, errors, k, m, slow_ns,
                   c.code, c.mode, first + i - 1, a, c.n - i + 1, c.timeout, c.retries)
    end
    return split(8, 7, first, i - 1, ns, values, errors, k, m, slow_ns,
                 c.code, c.mode, first + i - 1, a, half, c.timeout, c.retries,
                 c.code, c.mode, first + i - 1 + half, b, c.n - i + 1 - half, c.timeout, c.retries)
  end
  return hand_over(self, c, i - 1, try) ~= nil
end

function Worker:finish_chunk(c)
  account(c, c.n)
  hand_over(self, c, c.n, function()
    return done(c.first, c.n, elapsed(), outcome(c, c.n))
  end)
end

-- Where to begin: behind what a dead worker may have done, which is lost.
function Worker:behind(id, c, label)
  if label == 0 or self:may_repeat(id, self.tries - 1, c.retries) then return 1 end
  local lost = label >= MAX_LABEL and c.n or math.min(label, c.n)
  c.errors = {}
  for i = 1, lost do c.errors[i] = LOST end
  return lost + 1
end

function Worker:run_items(id, c, i)
  local f, failed = c.f, {}
  local star, budget = c.mode & STAR ~= 0, c.mode & AUTO ~= 0 and SLICE or nil
  while i <= c.n do
    local ok, got = xpcall(run, remote.catch, f, c.items, i, c.n, c.values, star, budget)
    if ok then
      i = got
      if i <= c.n then
        if self:share(c, i) then return false end
        budget = nil
      end
    else
      hand_on(got)
      i = at()
      failed[i] = (failed[i] or 0) + 1
      if failed[i] > (c.retries or 0) then
        c.errors = c.errors or {}
        c.errors[i] = plain(self, got)
        i = i + 1
      end
    end
  end
  return true
end

function Worker:chunk(id, label, code, how, first, items, n, timeout, retries)
  local found, f = pcall(self.code, self, code)
  if not found then
    local text = f
    f = function() error(text, 0) end
  end
  if how & ALONE ~= 0 then
    if how & STAR ~= 0 then return self:item(id, label, f, first, items, items.n or #items, timeout, retries) end
    return self:item(id, label, f, first, { items }, 1, timeout, retries)
  end
  local c = { code = code, f = f, mode = how, first = first, items = items, n = n,
              values = core.room(n), timeout = timeout, retries = retries }
  self.count = self.count + n - 1
  local i = self:behind(id, c, label)
  self:begin(math.min(i - 1, MAX_LABEL), timeout, first)
  if self:run_items(id, c, i) then self:finish_chunk(c) end
end

-- the loop -----------------------------------------------------------------------------

function Worker:undecodable(id, text)
  self:begin(1)
  local e = plain(self, { name = "Error", message = tostring(text), traceback = "" })
  if id & 1 == 0 then
    done(false, 0, e)
  else
    done("undecodable", e)
  end
end

-- Whoever read it died of that, and had not begun it: of no such death is told.
function Worker:unread(id)
  local e = plain(self, { name = "WorkerLost", traceback = "",
                          message = "workers end each time they read this task" })
  if id & 1 == 0 then done(false, 0, e) else done("undecodable", e) end
end

-- One task, or why there is none.
function Worker:step(id, tries, label, ...)
  if not id then return tries end
  self.tries = tries
  if tries < 0 then
    self:undecodable(id, (...))
  elseif label == 0 and tries > UNREAD then
    self:begin(1)
    self:unread(id)
  elseif id & 1 == 0 then
    self:task(id, label, ...)
  else
    self:chunk(id, label, ...)
  end
  self.count = self.count + 1
end

-- Why this worker is to be replaced, nil: it goes on.
function Worker:worn_out()
  if self.maxtasks and self.count >= self.maxtasks then return "tasks" end
  if not self.max_memory then return nil end
  local bytes = core.resident()
  if bytes <= self.max_memory then return nil end
  core.stderr(("%s (pid %d): replaced, for it has %d MiB in memory, more than max_memory, %d MiB\n")
    :format(self.name, self.pid, bytes >> 20, self.max_memory // 2^20 | 0))
  return "memory"
end

-- Lets go of what tasks have left, handles above all. Not in a large heap: most
-- of it is a copy of the creator's, which the kernel shares until it is touched;
-- and not in the copy of a state in a finalizer, where Lua says nil.
function Worker:tidy()
  core.resident()
  if (collectgarbage "count" or math.huge) < SMALL_HEAP then collectgarbage() end
end

function Worker:loop()
  local wait = IDLE
  while true do
    local why = self:step(take(wait, UNREAD))
    if why == "idle" then
      self:tidy()
      wait = nil
    elseif why then
      return why
    else
      why = self:worn_out()
      if why then return why end
      wait = IDLE
    end
  end
end

-- beginning and end ----------------------------------------------------------------------

function Worker:tell(...)
  core.task_put(self.results, "Pool", mode.CONTROL, nil, ...)
end

function Worker:open(spec)
  mp.worker = { number = self.number, state = {}, pool = spec.name, on_exit = spec.on_exit }
  if spec.initializer then
    local args = spec.initargs or {}
    mp.worker.results = table.pack(spec.initializer(table.unpack(args, 1, args.n or #args)))
    mp.worker.result = mp.worker.results[1]
  end
end

-- Its function on_exit, whose value is collected.
function Worker:leave()
  local f = mp.worker.on_exit
  if not f then return end
  local ok, value = xpcall(f, remote.catch, mp.worker.state)
  if not ok then value = plain(self, value) end
  local sent, why = pcall(self.tell, self, "exit", self.number, ok, value)
  if not sent then
    self:tell("exit", self.number, false, plain(self, unsendable(why, 3)))
  end
end

local M = {}

core.forked[#core.forked + 1] = function() mp.worker = nil end

function M.main(spec, number)
  local me = core.actor()
  local self = setmetatable({ number = number, name = me.name, pid = mp.getpid(), count = 0,
    cache = {}, cached = 0, upvalues = setmetatable({}, { __mode = "k" }),
    tasks = spec.tasks, results = spec.results, codes = spec.codes,
    control = spec.control, maxtasks = spec.maxtasks, max_memory = spec.max_memory,
    repeats = spec.repeats }, Worker)
  require("mp.pool.depth").enter(spec)
  local ok, e = xpcall(self.open, remote.catch, self, spec)
  if not ok then
    e = plain(self, e)
    if not pcall(self.control.put, self.control, { "failed", number, e }) then
      self.control:put { "failed", number, bare(e) }
    end
    os.exit(1)
  end
  core.task_open { tasks = spec.tasks, results = spec.results, board = spec.board,
                   number = number, creator = spec.creator, thread = spec.kind == "thread" }
  local why = self:loop()
  if why == "orphan" then return end
  self:tell("left", number, why)
  self:leave()
end

return M
