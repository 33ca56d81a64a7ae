-- ledger: a fold worker's accumulators, kept so that its death costs nothing.
-- SPDX-License-Identifier: MIT
--
-- Each commit also puts what it changed into a link that belongs to this worker
-- alone: {key, acc, …}.  So accumulators, finished items and results change in
-- the same store, and a worker that takes a dead one's place reads the link and
-- has what was committed, no more and no less.  When the link has become much
-- longer than the accumulators, the commit takes all that is in it and puts one
-- full copy in its place.
-- Accumulators that grow without bound, or that cannot be sent, are not worth
-- or not capable of that: the ledger is given up, in a commit that says so to
-- the owner, and then a death ends the run.
--
-- A fold's state, which the ledger keeps:
--   state.changes() -> message | nil    what changed since the last call
--   state.all() -> message              everything
--   state.apply(message)                what a message says
--   message.weight                      how much that is, in table entries

local ledger = {}
ledger.__index = ledger

local FREE <const>, PER_ITEM <const> = 100000, 16   -- weight that may be written
local SLACK <const> = 4096                           -- entries before a full copy

function ledger.new(link, core, state, give_up)
  return setmetatable({ link = link, core = core, state = state, give_up = give_up,
                        written = 0, length = 0, whole = 0, items = 0 }, ledger)
end

-- Takes all that is in the link into this transaction.
local function take(self)
  local messages = {}
  while true do
    local list = self.link:lease(256, 0)
    if not list then return messages end
    for i = 1, list.n do messages[#messages + 1] = list[i] end
  end
end

-- What the worker before this one had; how far its results had gone, or nil.
function ledger:recover()
  local messages = take(self)
  for _, message in ipairs(messages) do self.state.apply(message) end
  if #messages == 0 then return nil end
  local last = messages[#messages]
  self.gone = last.gone
  local all = self.state.all()
  all.gone = last.gone
  self.core.commit(self.link, { n = 1, all })
  self.length, self.whole = all.weight, all.weight
  return last.gone
end

-- Adds what belongs to the commit to its arguments, of which there are n.
function ledger:load(args, n)
  local message = self.state.changes()
  if self.gone then
    message = message or { n = 0, weight = 0 }
  end
  if not message then return n end
  self.written = self.written + message.weight
  if self.written > FREE + PER_ITEM * self.items then return self:stop(args, n) end
  self.length = self.length + message.weight + 1
  if self.length > 4 * self.whole + SLACK then
    take(self)
    message = self.state.all()
    self.length, self.whole = message.weight, message.weight
  end
  message.gone = self.gone
  args[n + 1], args[n + 2] = self.link, { n = 1, message }
  return n + 2
end

-- The last commit of a ledger: from here on there is none.
function ledger:stop(args, n)
  self.stopped = true
  args[n + 1], args[n + 2] = self.give_up.link, { n = 1, self.give_up.message }
  return n + 2
end

-- How heavy an accumulator is, counted no further than it matters.
function ledger.weigh(v, most)
  if type(v) ~= "table" then return 1 end
  local seen, total, open = { [v] = true }, 1, { v }
  while #open > 0 and total < most do
    for k, x in next, table.remove(open) do
      total = total + 1
      for _, y in ipairs { k, x } do
        if type(y) == "table" and not seen[y] then
          seen[y] = true
          open[#open + 1] = y
        end
      end
    end
  end
  return total
end

return ledger
