-- origin: a worker with which trains begin: numbers them, and asks for credits.
-- SPDX-License-Identifier: MIT
--
-- A train begins with the first result behind a commit, and ends with the commit.
-- A source that is cut into tasks numbers its trains by task; several of them may
-- go in one commit, and one credit pays for the whole task: for its first train.
-- (Of a fragile one, a task may be endless: there each train needs a credit.)
--
-- A credit is one message of each reader's credit link, leased; it stays kept, out
-- of commits, until the train that it pays for is committed. So of all tasks that
-- are begun, the first has its credit, and so has whoever goes on with it.

local train = require "mp.flow.train"

local origin = {}
origin.__index = origin

local MOST <const> = 64     -- items of a train, of a task

function origin.new(worker)
  local stage = worker.stage
  local tasks = stage.tasks
  local number = stage.first + (tasks and 0 or worker.index - 1)
  return setmetatable({ worker = worker, core = worker.core, tasks = tasks, by_task = tasks and not stage.fragile,
    number = number, outlet = worker.outlet, id = train.first(number), size = stage.chunk == "auto" and 1
      or stage.chunk, trains = 0, since = worker.time(), most = stage.chunk == "auto" and MOST or stage.chunk }, origin)
end

function origin:recover(notes)
  if notes.train then self.id = notes.train end
end

-- Makes sure that there is a credit; before work begins whose results may need one.
function origin:ready()
  if self.credit or self.bought then return end
  local leases = {}
  for _, to in ipairs(self.worker.stage.credits) do
    local link = to.inbox.credits[self.number][to.link]
    local list = link:lease(1)
    if list then
      self.core.keep(list.lease, 1)
      leases[#leases + 1] = list.lease
    end
  end
  self.credit = leases
end

local function pay(self)
  if self.bought then return end
  for _, lease in ipairs(self.credit or {}) do self.core.claim(lease, 1) end
  self.paid, self.bought = true, self.by_task
end

local function begin(self)
  pay(self)
  self.open, self.n, self.trains = true, 0, self.trains + 1
  self.outlet:begin(self.id, 1)
end

-- push, with trains around what is pushed. A train that only a commit ends is
-- something that waits for one.
function origin:wrap(push)
  local waits = not self.by_task
  return function(v, label)
    if self.open and self.by_task and self.n >= self.size then self:finish(0) end
    if not self.open then begin(self) end
    self.n = self.n + 1
    push(v, label)
    return waits and 1 or 0
  end
end

function origin:finish(flag)
  self.outlet:close(flag)
  self.open = false
  self.id = train.following(self.id, flag)
end

-- Before a commit; flag MARK: a window ends here, with an empty train if need be.
-- (A task's last train is closed already, but it may give more than a commit takes.)
function origin:close(flag)
  if self.size == math.huge or not self.open and flag == 0 then return end
  if not self.open then begin(self) end
  self:finish(flag)
  if self.worker.ledger then self.worker.ledger:note("train", self.id) end
end

function origin:sent()
  if self.paid then self.credit, self.paid = nil, nil end
end

-- One task, from its first item to the train that is its last; `again`: from where
-- the last commit of a worker that died had come to, which has paid for it.
function origin:begin_task(task, again)
  self.trains, self.bought = 0, again and self.by_task
  if not again then self.id = train.first(self.number, task.number - 1) end
end

function origin:end_task()
  if not self.open then begin(self) end
  self:finish(train.LAST)
  self.bought = nil
  local now = self.worker.time()
  self:pace(now - self.since, self.trains)
  self.since = now
end

-- No more trains are begun: another one takes what is still to come.
function origin:leave()
  self.open, self.n, self.size = true, 0, math.huge
end

-- The size of trains follows their pace, waiting for credits included.
function origin:pace(seconds, trains)
  if self.worker.stage.chunk ~= "auto" then return end
  if seconds < 0.002 * trains then self.size = math.min(self.size * 2, self.most)
  elseif seconds > 0.010 * trains then self.size = math.max(1, self.size // 2) end
end

return origin
