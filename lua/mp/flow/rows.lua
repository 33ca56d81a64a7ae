-- rows: what the stages of a running flow have done so far, for people.
-- SPDX-License-Identifier: MIT
--
-- rows(run) -> a list, one row for each stage and each that runs inside it:
--   { label, workers (now running), most, role, taken, given, failed, skipped, retried,
--     busy, blocked (seconds), fill (items waiting), cap, inside, progress, total, done }
-- What goes from one to the next within a stage is known at its end; until then the
-- first has given what left the stage.

local board = require "mp.flow.board"

local function waiting(stage)
  local n = 0
  for _, link in ipairs(stage.inbox and stage.inbox.sends or { stage.feed }) do n = n + link:qsize() end
  return n
end

local function running(words, stage)
  local n = 0
  for i = 1, stage.workers do n = n + (words[board.line(stage, i) + board.PID] ~= 0 and 1 or 0) end
  return n
end

local function progress(words, stage)
  local done, total = board.sum(words, stage, board.DONE), board.sum(words, stage, board.TOTAL)
  if total > 0 then return { done, total } end
end

local function row_of(self, stage)
  local words = self.board
  local function sum(word) return board.sum(words, stage, board[word]) end
  local row = { label = stage.chain[1].id, workers = running(words, stage), most = stage.workers, role = stage.role,
    taken = sum "TAKEN", given = sum "GIVEN", failed = sum "FAILED", skipped = sum "SKIPPED",
    retried = sum "RETRIED", busy = sum "BUSY" / 1e9, blocked = sum "BLOCKED" / 1e9,
    fill = waiting(stage),
    replaced = stage.deaths, key = stage.key ~= nil, cap = stage.inbox and stage.inbox.cap * stage.inbox.links,
    progress = progress(words, stage), stage = stage.index }
  if stage.tasks then row.role = "source" end
  if stage.feed then
    row.total = stage.ntasks
    row.done = stage.ntasks and stage.ntasks - row.fill
    row.fill, row.cap = nil, nil
  end
  if stage.owner then
    row.taken, row.workers, row.most = self.collected and self.collected.n or 0, 0, nil
  end
  return row
end

return function(self)
  local list = {}
  for _, stage in ipairs(self.stages) do
    local row = row_of(self, stage)
    local given, inner = row.given, stage.inner
    list[#list + 1] = row
    for at = 2, #stage.chain do
      local node = stage.chain[at]
      local n = inner and inner[at] or 0
      if inner then list[#list].given = n end
      list[#list + 1] = { label = node.id, workers = row.workers, role = node.role == "sink" and "sink" or "between",
        taken = n, given = given, failed = 0, skipped = 0, retried = 0, busy = 0, blocked = 0,
        inside = true, stage = stage.index }
    end
  end
  return list
end
