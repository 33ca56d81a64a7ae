-- operator: what one stage does with its items, inside one worker.  Pure but
-- for what the script's functions do.
-- SPDX-License-Identifier: MIT
--
-- operator(node, ctx, out, stage) -> op, a table of
--   item(v)     takes an item; calls out(r, label) for each result; returns
--               "enough" when it needs no more
--   finish(gone, mark)   or nil: at the end of input, or of a window: sends the
--               results behind the first `gone`, calls mark(number gone) now and then
--   partial(p)  or nil: takes what a producer has added up already (combiner)
--   flush()     or nil: before each commit; "enough" as item
--   due, tick() or nil: when tick is to be called; it calls out for what is due.
--               It returns MARK (train) when a window ends there, or "enough"
--   close()     or nil: at the very end
--   state       or nil: what must survive the worker, { all() -> value, weight;
--               load(value); changes(limit) -> value, weight | nil, heavy; apply(value);
--               reset() }, changes and apply being optional; see ledger
--   emits       what the script's word `emit` does while item runs; nil: never called
--   fragile     it cannot be taken over by another worker

local command = require "mp.flow.command"
local fold = require "mp.flow.fold"
local train = require "mp.flow.train"

local makers = {}

function makers.map(node, ctx, out)
  local f, key = node.spec.f, node.key and node.key.f
  if not key then
    return { emits = out, item = function(v)
      local r, label = f(v, ctx)
      if r ~= nil then out(r, label) end
    end }
  end
  return { emits = out, item = function(v)
    ctx.key = key(v)
    local r, label = f(v, ctx)
    if r ~= nil then out(r, label) end
  end }
end

function makers.filter(node, ctx, out)
  local pred = node.spec.pred
  return { emits = out, item = function(v)
    if pred(v, ctx) then out(v) end
  end }
end

function makers.stage(node, ctx, out)
  local spec = node.spec
  if spec.open then spec.open(ctx) end
  local op = makers.map({ spec = { f = spec.item }, key = node.key }, ctx, out)
  op.finish = spec.close and function()
    local r, label = spec.close(ctx)
    if r ~= nil then out(r, label) end
  end
  return op
end

function makers.pass(_, _, out) return { item = out } end

-- Passes items on, and says when a window has ended.
local function window(node, ctx, out)
  local seconds = node.spec.params.seconds
  local op = { item = out, due = ctx.time() + seconds }
  function op.tick()
    op.due = op.due + seconds
    return train.MARK
  end
  return op
end

function makers.builtin(node, ctx, out, stage)
  if node.spec.def.window then return window(node, ctx, out) end
  if not node.spec.def.make then return makers.pass(node, ctx, out) end    -- a port, zip
  return node.spec.def.make(node.spec.params, ctx, out, stage)
end

function makers.command(node, ctx, out)
  return command.make({ text = node.spec.text, per = node.options.per }, ctx, out)
end

function makers.fold(node, ctx, out)
  if node.key and node.spec.counts then return fold.counted(node, ctx, out) end
  if node.key then return fold.keyed(node, ctx, out) end
  return fold.single(node.spec, node.id, out, false)
end

function makers.partial(node, _, out)
  return fold.single(node.spec.fold, node.id, out, true)
end

function makers.merge(node, _, out)
  local op = fold.single(node.spec.fold, node.id, out, false)
  op.item = op.partial
  return op
end

return function(node, ctx, out, stage)
  return makers[node.spec.kind](node, ctx, out, stage)
end
