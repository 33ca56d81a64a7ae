-- blame: items that took workers down: the owner is told, until it is enough.
-- SPDX-License-Identifier: MIT
--
-- A link gives what was delivered before by itself, so the item is known at its
-- second try at the latest, and costs no other one. (In a train it is one of
-- several; trains.lua takes those apart.) Of a source's task it is known which item of a stage
-- inside was being worked on, as its second worker tells each of them.

local board = require "mp.flow.board"
local guard = require "mp.flow.guard"
local show = require "mp.flow.show"

local blame = {}

local function why_failed(self, first, deaths)
  local late = false
  for i = 1, self.stage.workers do
    late = late or self.board[board.line(self.stage, i) + board.LATE] == first
  end
  if late then
    return ("took longer than timeout=%gs%s"):format(self.stage.timeout,
      deaths > 1 and (" (%d tries)"):format(deaths) or "")
  end
  return deaths > 1 and ("took %d workers down"):format(deaths) or "took a worker down"
end

-- The item has failed for good. first: its number in the link, by which the owner knows it.
function blame.give_up(self, v, first, deaths)
  local e = { flow_error = true, message = why_failed(self, first, deaths), first = first }
  self.current, self.at = v, 1
  guard.failed(self, self.stage.chain[1], v, e, deaths)
end

-- Tells the owner of an item, nil: of something that has none, whose worker died;
-- true if it shall not be tried again. apart: it is one of several, nobody knows which.
function blame.again(self, v, first, deaths, apart)
  self.deaths = deaths
  self.control:put { kind = "again", index = self.stage.index, worker = self.index, first = first,
                     deaths = deaths, item = v ~= nil and show.item(v) or nil, apart = apart }
  return deaths >= math.max(1, self.stage.restarts)
end

-- Tells the owner what the next worker that dies will have been at.
function blame.at(self, node, v)
  self.control:put { kind = "at", index = self.stage.index, worker = self.index, stage = node.id,
                     item = show.item(v) }
end

return blame
