-- board: what each worker of a flow is doing, in an array that all of it share.
-- SPDX-License-Identifier: MIT
--
-- Words of a worker's line, each written by that worker alone unless said
-- otherwise; they are for people and for time limits, nothing depends on them.
--   TAKEN, GIVEN, FAILED, SKIPPED, RETRIED   items
--   BUSY, BLOCKED     ns at work, ns waiting for room behind
--   BEGAN             when it began the item that it works on, ns; 0: none, or not told
--   FIRST, HAS        number of the first item that it has taken, how many it has
--   TRY               how many workers have died of that one
--   LATE              number of the item for which it was killed: it took too long (owner)
--   DONE, TOTAL       ctx.progress
--   PID               of its process, 0: none (whoever starts it)
-- The first line is the flow's: STOP is 1 when sources shall end (owner).

local board = { TAKEN = 1, GIVEN = 2, FAILED = 3, SKIPPED = 4, RETRIED = 5, BUSY = 6, BLOCKED = 7,
                BEGAN = 8, FIRST = 9, HAS = 10, LATE = 11, DONE = 12, TOTAL = 13, PID = 14, TRY = 15 }

local LINE <const> = 16
local STOP <const> = 1

-- Gives each worker of each stage its line; the number of words.
function board.assign(stages)
  local at = LINE
  for _, stage in ipairs(stages) do
    stage.line = at
    at = at + LINE * stage.workers
  end
  return at
end

function board.line(stage, index) return stage.line + LINE * (index - 1) end

-- A worker starts: what the one before it was doing is over. (The counts go on.)
function board.open(words, line)
  for _, word in ipairs { board.BEGAN, board.FIRST, board.HAS, board.TRY } do words[line + word] = 0 end
end

function board.sum(words, stage, word)
  local n = 0
  for i = 1, stage.workers do n = n + words[board.line(stage, i) + word] end
  return n
end

function board.stop(words) words[STOP] = 1 end
function board.stopped(words) return words[STOP] == 1 end

return board
