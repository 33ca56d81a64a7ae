-- supervisor: the process (of a pool of threads: the thread) that starts a
-- pool's workers, watches them, and replaces those that end.
--
-- main(spec, target, adopted)
--                  the target of the process: target workers to begin with;
--                  adopted: those of a supervisor that was killed, by number
--
-- It is forked when the pool is made, so every worker, also a late one, is a
-- copy of the program as it was then, and the pool goes on while its creator
-- computes. It holds nothing that is lost with it: tasks and results are in
-- the queues, who does what is on the board; another takes its place.
--
-- From the pool (control): {"size", n} {"cancel", id} {"terminate"}; from
-- workers: {"look"} a deadline is near, {"failed", number, error} its
-- initializer. To the pool, as results of task CONTROL: "worker", number, process;
-- "ended", number, why, exit code, what board.worker said of it; if that was not
-- well, "died", number, pid, exit code, id, why, first item; "started"; "broken", error; "over".
--
-- SPDX-License-Identifier: MIT

local core = require "mp.core"
local remote = require "mp.error"
local board = require "mp.pool.board"
local mode = require "mp.pool.mode"
local worker = require "mp.pool.worker"

local mp = core.mp
local NEVER = math.maxinteger

local GRACE = 1            -- seconds from SIGTERM to SIGKILL
local STILLBORN = 3        -- deaths in a row before a worker is ready, beyond the pool's size
local AGAIN = 0.1          -- seconds until a start that failed is tried again
local REFUSALS = 20        -- so often, without any worker

local Supervisor = {}
Supervisor.__index = Supervisor

function Supervisor:tell(...)
  core.task_put(self.spec.results, "Pool", mode.CONTROL, nil, ...)
end

-- starting -----------------------------------------------------------------------------

function Supervisor:start(number)
  local spec = self.spec
  board.clear(spec.board, number)
  local kind = spec.kind == "thread" and mp.Thread or mp.Process
  local p = kind { target = worker.main, args = { spec, number },
                   name = ("%s:%d"):format(spec.name, number) }
  self:tell("worker", number, p)
  local ok, why = pcall(p.start, p)
  if not ok then return nil, why end
  self.workers[number] = { process = p, number = number }
  self.n = self.n + 1
  return true
end

function Supervisor:free_number()
  local number = 1
  while self.workers[number] do number = number + 1 end
  return number
end

-- Is there anything to be done, and anybody missing to do it?
function Supervisor:missing()
  local n = self.target - self.n
  if self.spec.tasks:closed() then n = math.min(n, self.spec.tasks:qsize()) end
  return n
end

function Supervisor:fill()
  if self.ending then return end
  for _ = 1, self:missing() do
    local ok, why = self:start(self:free_number())
    if not ok then
      self.refused = self.refused + 1
      if not self.complete or (self.n == 0 and self.refused >= REFUSALS) then
        self:break_up { name = "BrokenPool", traceback = "",
                        message = ("a worker could not be started: %s"):format(why) }
      else
        self.again = mp.time() + AGAIN
      end
      return
    end
    self.refused = 0
  end
  self.again = nil
  if not self.complete then
    self.complete = true
    self:tell "started"
  end
end

-- ending -------------------------------------------------------------------------------

function Supervisor:end_worker(w, why)
  if w.kill_at then return end
  w.why = why
  w.kill_at = mp.time() + GRACE
  pcall(w.process.terminate, w.process)
end

-- One condemned waits for its end, which the last supervisor may not have sent.
function Supervisor:adopt(number, p)
  local w = { process = p, number = number }
  self.workers[number] = w
  self.n = self.n + 1
  local why = board.condemned(self.spec.board, number)
  if why then self:end_worker(w, why) end
end

function Supervisor:end_all(why)
  self.ending = true
  self.spec.tasks:close(true)
  for _, w in pairs(self.workers) do self:end_worker(w, why) end
end

-- Nothing will come of this pool: said once, here and to who awaits results.
function Supervisor:break_up(e, what)
  if self.ending then return end
  self:tell("broken", e)
  core.stderr(("%s (pid %d): %s%s\n%s"):format(self.spec.name, mp.getpid(), what or "", e.message,
              e.traceback and e.traceback ~= "" and e.traceback .. "\n" or ""))
  self:end_all()
end

local function cause(w)
  local code = w.process.exitcode
  if not code then return "ended, it is unknown how" end
  return code < 0 and "killed by " .. core.signame(-code) or "ended with exit code " .. code
end

-- It ended before it was ready: once, it may have been shot; not ever again.
function Supervisor:stillborn(w)
  self.dead_early = self.dead_early + 1
  if self.dead_early < STILLBORN + self.target then return end
  self:break_up { name = "BrokenPool", traceback = "", message =
    ("workers end before they are ready (%s %s)"):format(w.process.name, cause(w)) }
end

function Supervisor:bury(number)
  local w = self.workers[number]
  local p, b = w.process, self.spec.board
  p:join()
  local code, id, first = p.exitcode, board.task(b, number)
  local ready = board.ready(b, number)
  self:tell("ended", number, w.why, code, board.worker(b, number))
  if id or code ~= 0 then
    self:tell("died", number, p.pid, code, id, w.why, first)
  end
  self.workers[number] = nil
  self.n = self.n - 1
  if w.failed then
    self:break_up(w.failed, "the initializer failed: ")
  elseif ready then
    self.dead_early = 0
  elseif not w.kill_at then
    self:stillborn(w)
  end
  board.clear(b, number)
end

-- what happens ---------------------------------------------------------------------------

local on = {}

function on.size(self, n)
  local fewer = self.n - n  -- also those that were told to go and have not gone yet
  self.target = n
  board.leave(self.spec.board, math.max(0, fewer))
end

function on.cancel(self, id)
  for number, w in pairs(self.workers) do
    if core.task_condemn(self.spec.board, number, id) then self:end_worker(w, "cancelled") end
  end
end

function on.terminate(self) self:end_all "terminated" end

function on.look() end

function on.failed(self, number, e)
  local w = self.workers[number]
  if w then w.failed = e end
end

function Supervisor:obey()
  while true do
    local m = self.spec.control:get(false)
    if not m then return end
    on[m[1]](self, table.unpack(m, 2))
  end
end

-- Ends workers whose task is over its time; when the next one will be.
function Supervisor:look_at_deadlines()
  local b, now = self.spec.board, board.now()
  local nearest = NEVER
  for number, w in pairs(self.workers) do
    local id, deadline = board.deadline(b, number)
    if deadline and deadline <= now then
      -- late: it may have begun another chunk with this id meanwhile.
      if core.task_condemn(b, number, id, true) then self:end_worker(w, "timeout") end
    elseif deadline then
      nearest = math.min(nearest, deadline)
    end
  end
  return nearest
end

-- Who begins a task compares its deadline with `next`; so it is set first, and
-- then looked once more.
function Supervisor:next_deadline()
  local nearest = self:look_at_deadlines()
  board.next(self.spec.board, nearest)
  local again = self:look_at_deadlines()
  if again < nearest then board.next(self.spec.board, again) end
  return math.min(again, nearest)
end

-- SIGKILL for those that took no notice of SIGTERM.
function Supervisor:kill_stubborn()
  local now, nearest = mp.time(), nil
  for _, w in pairs(self.workers) do
    if w.kill_at and w.kill_at <= now then
      pcall(w.process.kill, w.process)
      w.kill_at = now + GRACE
    end
    if w.kill_at then nearest = math.min(nearest or w.kill_at, w.kill_at) end
  end
  return nearest
end

function Supervisor:patience()
  local deadline = self:next_deadline()
  local at = self:kill_stubborn()
  if self.again then at = math.min(at or self.again, self.again) end
  if deadline ~= NEVER then
    local due = deadline / 1e9
    at = math.min(at or due, due)
  end
  return at and math.max(0, at - mp.time())
end

function Supervisor:everybody()
  local list = { self.spec.control, self.spec.creator }
  for _, w in pairs(self.workers) do list[#list + 1] = w.process end
  return list
end

function Supervisor:step()
  core.wait(self:everybody(), self:patience())
  if not self.ending and not self.spec.creator:is_alive() then self:end_all "orphaned" end
  self:obey()
  for number, w in pairs(self.workers) do
    if not w.process:is_alive() then self:bury(number) end
  end
  self:fill()
end

-- Workers that are told to leave, and leave by themselves, are not missed.
function Supervisor:over()
  return self.n == 0 and (self.ending or (self.spec.tasks:closed() and self.spec.tasks:qsize() == 0))
end

function Supervisor:run()
  self:fill()
  while not self:over() do self:step() end
end

local M = {}

function M.main(spec, target, adopted)
  core.serve()
  local self = setmetatable({ spec = spec, target = target, workers = {}, n = 0, refused = 0,
                              dead_early = 0, complete = target == 0 }, Supervisor)
  for number, p in pairs(adopted or {}) do self:adopt(number, p) end
  local ok, e = xpcall(self.run, remote.catch, self)
  if not ok then
    self:break_up { name = "BrokenPool", message = e.message, traceback = e.traceback }
    while self.n > 0 do self:step() end
  end
  self:tell "over"  -- an end alone is only looked for from time to time
end

return M
