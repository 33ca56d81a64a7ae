-- intake: what all ways to take input share: how long to wait, what is shown, an
-- item with a time limit.
-- SPDX-License-Identifier: MIT

local board = require "mp.flow.board"

local intake = { QUICK = 0.002, SLOW = 0.010 }     -- seconds for a batch

local IDLE <const> = 1                             -- seconds until a worker too many ends

-- What it has taken: the number of the first, and how many; of how many deaths that
-- is known to be the cause.
function intake.show(self, first, n, deaths)
  self.board[self.line + board.FIRST] = first
  if deaths ~= self.shown_deaths then
    self.shown_deaths = deaths
    self.board[self.line + board.TRY] = deaths
  end
  if n ~= self.has then
    self.has = n
    self.board[self.line + board.HAS] = n
  end
end

-- One item through the first stage.
function intake.timed(self, v)
  self.board[self.line + board.BEGAN] = math.floor(self.time() * 1e9)
  local r = self.head.item(v)
  self.board[self.line + board.BEGAN] = 0
  return r
end

-- Until when to wait for input, nil: for ever.
function intake.patience(self)
  local due = self:due()
  if due then return math.max(0, due - self.time()) end
  if self.elastic then return IDLE end
end

-- "closed": no more will come, or this worker is one too many; nil: something else is due.
function intake.nothing(self, why)
  if why == "closed" then return "closed" end
  if why ~= "timeout" then error("lease: " .. tostring(why), 0) end
  if self:due() or not self.elastic then return nil end
  self.retired = true
  return "closed"
end

function intake.busy(self, started)
  local took = self.time() - started
  self.words[board.BUSY] = self.words[board.BUSY] + took * 1e9
  return took
end

return intake
