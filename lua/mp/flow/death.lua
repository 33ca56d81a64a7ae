-- death: what the death of a worker means for its flow, and how it is told.
-- SPDX-License-Identifier: MIT

local board = require "mp.flow.board"
local produce = require "mp.flow.produce"
local show = require "mp.flow.show"

local death = {}

local SIGPIPE <const> = 13
local FRUITLESS <const> = 10     -- deaths in a row in which nothing was done, times restarts

function death.who(at, p)
  return ("%s[%d] pid %s %s"):format(at.stage.label, at.index, p.pid, show.ending(p.exitcode))
end

local function state_lost(self, at)
  local stage = at.stage
  if self.bare[stage.index .. ":" .. at.index] then
    return "what it had gathered is lost: it cannot be sent to another process"
  end
  local head = stage.chain[1]
  if head.spec.kind == "command" and head.options.per ~= "item" then
    return "what its command had read cannot be given to another one; {per=item} can"
  end
end

-- Nothing was done since the last one: it will not be better next time.
local function fruitless(self, at)
  local stage = at.stage
  local line = board.line(stage, at.index)
  local idle = self.board[line + board.TAKEN] == at.taken and self.board[line + board.HAS] == 0
  stage.fruitless = idle and stage.fruitless + 1 or 0
  if stage.fruitless > FRUITLESS * (stage.restarts + 1) then
    return ("%d deaths before it had done anything"):format(stage.fruitless)
  end
end

-- Why a death cannot be made good, or nil; whether it is that nobody reads stdout.
function death.fatal(self, at, exitcode)
  local stage = at.stage
  local head = stage.chain[1]
  if exitcode == -SIGPIPE then return "nobody reads its output", stage.prints end
  if stage.fragile or produce.is_source(head) and not stage.tasks and not produce.resumes(head) then
    return "a source like this cannot be resumed" .. (head.spec.kind == "source"
      and " ({replay=yes}: it gives the same items again)" or "")
  end
  return state_lost(self, at) or fruitless(self, at)
end

-- What it was doing is known when its item comes to another worker.
function death.tell(self, at, p)
  local stage = at.stage
  local line = board.line(stage, at.index)
  local first, has = self.board[line + board.FIRST], self.board[line + board.HAS]
  stage.dead = stage.dead or {}
  table.insert(stage.dead, { text = death.who(at, p), first = first, has = has })
  if #stage.dead > 64 then table.remove(stage.dead, 1) end
  if has ~= 1 then self.say(("%s: replaced"):format(death.who(at, p))) end
end

local function last_dead(stage, first)
  local dead = stage.dead or {}
  for i = #dead, 1, -1 do
    if dead[i].has == 1 and dead[i].first == first then return table.remove(dead, i).text end
  end
end

-- An item that was in work when its worker died has come to another.
function death.again(self, message)
  local stage = self.stages[message.index]
  local text = last_dead(stage, message.first)
  if not text then return end
  self.say(("%s on item #%d%s, try %d/%d"):format(text, message.first,
    message.item and " " .. message.item or "", message.deaths, stage.restarts))
end

return death
