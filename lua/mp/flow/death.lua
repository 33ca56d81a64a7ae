-- death: what the death of a worker means for its flow, and how it is told.
-- SPDX-License-Identifier: MIT

local board = require "mp.flow.board"
local produce = require "mp.flow.produce"
local show = require "mp.flow.show"

local death = {}

local SIGPIPE <const> = 13
local MOST_TOLD <const> = 64     -- deaths of which it is not known yet what was being done
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

-- What a worker was doing when it died is known when its item comes to another one;
-- which of the two the owner hears of first, nobody knows.

local function remember(stage, name, what)
  local list = stage[name] or {}
  stage[name] = list
  list[#list + 1] = what
  if #list > MOST_TOLD then table.remove(list, 1) end
end

local function find(list, first, deaths)
  for i = #(list or {}), 1, -1 do
    if list[i].first == first and list[i].deaths == deaths then return table.remove(list, i) end
  end
end

local function say(self, stage, dead, message)
  stage.at_last = stage.at_last or {}
  stage.at_last[message.first] = dead.inner
  local what = ""
  if message.item and stage.tagged then what = " on item " .. message.item
  elseif message.item then what = (" on item #%d %s"):format(message.first, message.item)
  elseif dead.inner then
    local where = dead.inner.stage == stage.label and "" or " in " .. dead.inner.stage
    what = ("%s on item %s"):format(where, dead.inner.item)
  end
  self.say(("%s%s%s"):format(dead.text, what, message.apart and ": replaced"
    or (", try %d/%d"):format(message.deaths, math.max(1, stage.restarts))))
end

-- A worker has died.
function death.tell(self, at, p)
  local stage = at.stage
  local line = board.line(stage, at.index)
  local function word(name) return self.board[line + board[name]] end
  local dead = { text = death.who(at, p), first = word "FIRST", deaths = word "TRY" + 1, inner = at.inner }
  if word "HAS" ~= 1 then return self.say(dead.text .. ": replaced") end
  local message = find(stage.asked, dead.first, dead.deaths)
  if message then say(self, stage, dead, message) else remember(stage, "dead", dead) end
end

-- An item that was in work when its worker died has come to another.
function death.again(self, message)
  local stage = self.stages[message.index]
  local dead = find(stage.dead, message.first, message.deaths)
  if dead then say(self, stage, dead, message) else remember(stage, "asked", message) end
end

-- Of what remains nobody will hear: it was done, or is not asked for any more.
function death.tell_rest(self)
  for _, stage in ipairs(self.stages) do
    for _, dead in ipairs(stage.dead or {}) do self.say(dead.text .. ": replaced") end
    stage.dead = nil
  end
end

-- A worker at something that took one down says what it is about to do inside.
function death.at(self, message)
  local p = self.stages[message.index].indexes[message.worker]
  local at = self.live[p]
  if at then at.inner = { stage = message.stage, item = message.item } end
end

-- An error of which only the owner knows to which item inside it belongs.
function death.blame(self, message)
  local stage = self.stages[message.index]
  local inner = message.first and stage.at_last and stage.at_last[message.first]
  if inner then message.stage, message.item = inner.stage, inner.item end
end

return death
