-- produce: sources that give their items one after another: the script's own, and
-- those that are not cut into tasks.
-- SPDX-License-Identifier: MIT
--
-- Each commit keeps how many items have gone, the last mark, and how many have gone
-- behind that. A source that can begin again there is replaced when it dies; it
-- gives those behind the mark once more, unheard. One that has come to its end is not
-- begun again.
--
-- A signal stops the source's own code wherever it is; but never in the middle of
-- what hands an item on: that would go twice, or half.

local board = require "mp.flow.board"
local intake = require "mp.flow.intake"

local produce = {}

function produce.is_source(node)
  return node.spec.kind == "source" or node.spec.def and (node.spec.def.produce or node.spec.def.tasks) ~= nil
end

-- How a source goes on when its worker has died: "count", "mark", or nil: not.
function produce.resumes(node)
  local def, replay = node.spec.def, node.options.replay
  if def then return def.resumes and def.resumes(node.spec.params) and "mark" or nil end
  return replay == "yes" and "count" or replay == "mark" and "mark" or nil
end

-- f, which a signal does not cut short.
local function undisturbed(self, f)
  return function(...)
    self.busy = true
    f(...)
    self.busy = false
    if self.stopping then error(self.stopped, 0) end
  end
end

-- Where stages share the source's worker, a mark stands for all that they made of the
-- items up to it; the way out of the last one sees no marks.
function produce.way_out(self, out)
  if #self.stage.chain == 1 then return undisturbed(self, out) end
  return undisturbed(self, function(v, label, mark)
    out(v, label)
    if mark ~= nil then self.mark, self.marked_at = mark, self.gone - self.skip end
  end)
end

local function go_on(self, how, kept)
  local gone, mark, behind = kept[1], kept[2], kept[3]
  self.gone, self.mark, self.marked_at = gone, mark, gone - behind
  self.skip = how == "count" and gone or behind
end

-- Notes in each commit how far it has gone. It has done something then, should it die.
local function remember(self)
  local commit = self.commit
  function self.commit(_, flag)
    if self.ledger then
      self.ledger:note("source", { self.gone, self.mark, self.gone - (self.marked_at or 0), self.over })
    end
    local ok = commit(self, flag)
    intake.show(self, 0, self.gone + 2, 0)
    return ok
  end
end

local function stop_on_signal(self, ctx)
  if not self.signal then return end
  self.signal("TERM", function()
    ctx.stopping, self.stopping = true, true
    if not self.busy then error(self.stopped, 0) end
  end)
end

local function give_all(self, node, ctx, out)
  local fine, e = xpcall(function()
    self.busy = false
    if board.stopped(self.board) then return end
    if node.spec.kind == "source" then
      node.spec.f(ctx)
    else
      node.spec.def.produce(node.spec.params, ctx, out, self.mark)
    end
    self.busy = true
  end, self.handler)
  self.busy = true
  if not fine and e ~= self.stopped then error(e, 0) end
end

function produce.run(self, notes)
  local node, ctx, out = self.source.node, self.source.ctx, self.source.out
  local how = produce.resumes(node)
  local kept = how and notes.source
  if kept then go_on(self, how, kept) end
  if how then remember(self) end
  ctx.resume, self.idle, self.busy = self.mark, undisturbed(self, self.idle), true
  stop_on_signal(self, ctx)
  if self.trains then self.trains:ready() end
  self:flow_freely(1)
  local started = self.time()
  if not (kept and kept[4]) then give_all(self, node, ctx, out) end
  self.over, self.skip = true, 0
  self.words[board.BUSY] = self.words[board.BUSY] + (self.time() - started) * 1e9
  self:commit_or_leave()
  self:end_of_input()
  self:commit()
end

return produce
