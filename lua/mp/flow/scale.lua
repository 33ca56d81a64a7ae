-- scale: pools that grow with their load, and items that take too long.
-- SPDX-License-Identifier: MIT
--
-- A pool `*2..8` gets one more worker when, at two looks in a row, items wait for it
-- and all of its workers have some; those above the least end by themselves when
-- nothing has come for a second (consume).

local board = require "mp.flow.board"

local scale = {}

local LOOK <const> = 0.05
local MOST_LOOK <const> = 0.25

local function waiting(stage)
  local n = 0
  for _, link in ipairs(stage.feed and { stage.feed } or stage.inbox.sends) do n = n + link:qsize() end
  return n
end

local function free_index(stage)
  for i = 1, stage.workers do
    if not stage.indexes[i] then return i end
  end
end

local function grow(self, stage)
  if waiting(stage) < stage.running or stage.running == 0 or stage.running >= stage.workers then
    stage.pressed = false
    return
  end
  if stage.pressed then
    stage.pressed = false
    require("mp.flow.run").start(self, stage, free_index(stage))
  else
    stage.pressed = true
  end
end

local function end_late_ones(self, stage, now)
  for index, p in pairs(stage.indexes or {}) do
    local line = board.line(stage, index)
    local began = self.board[line + board.BEGAN]
    if began > 0 and now - began > stage.timeout * 1e9 then
      self.board[line + board.LATE] = self.board[line + board.FIRST]
      p:kill()
    end
  end
end

-- Seconds until the next look, nil: none is needed.
function scale.patience(self, seconds)
  for _, stage in ipairs(self.stages) do
    local every = stage.timeout and math.max(0.005, math.min(MOST_LOOK, stage.timeout / 10))
    if stage.workers > stage.least and stage.running > 0 then every = math.min(every or LOOK, LOOK) end
    if every then seconds = math.min(seconds or every, every) end
  end
  return seconds
end

function scale.look(self)
  local now = self.time()
  local grows = now - (self.looked or 0) >= LOOK
  if grows then self.looked = now end
  for _, stage in ipairs(self.stages) do
    if grows and stage.workers > stage.least then grow(self, stage) end
    if stage.timeout then end_late_ones(self, stage, now * 1e9) end
  end
end

return scale
