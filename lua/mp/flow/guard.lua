-- guard: what an error on an item does, where that is not to end the run: tries
-- again, sends it along `!>`, skips it.
-- SPDX-License-Identifier: MIT
--
-- guard.wants(node, stage) -> whether a stage needs it
-- guard.wrap(worker, node, ctx, out, make) -> op, made by make(out): an item's results
-- are held back until it is done, so that what a failed try gave goes nowhere. When
-- they become many they go on at once, and another try skips as many.

local show = require "mp.flow.show"

local guard = {}

local MOST_HELD <const> = 1024

function guard.wants(node, stage)
  local o = node.options
  return stage.err ~= nil or (o.retry or 0) > 0 or o.on_error == "skip"
end

-- An error that is not the item's: the flow has ended, Ctrl-C.
local function passes(worker, e) return type(e) ~= "table" or not e.message or worker.leaving(e) end

-- The item has failed for good.
function guard.failed(worker, node, v, e, tries)
  if worker.replaying then return end     -- that has been told
  worker:count("FAILED")
  if worker.outlet.fail then
    worker.outlet.fail { item = v, error = e.message, traceback = e.traceback, stage = node.id, tries = tries }
  elseif node.options.on_error == "skip" then
    worker:count("SKIPPED")
  else
    error(e, 0)
  end
end

function guard.wrap(worker, node, ctx, out, make)
  local held, labels, n = {}, {}, 0
  local within, streamed, skip = false, 0, 0

  local function release()
    local count = n
    n = 0
    for i = 1, count do out(held[i], labels[i]) end
  end

  local function collect(v, label)
    if not within then return out(v, label) end
    if skip > 0 then
      skip = skip - 1
      return
    end
    n = n + 1
    held[n], labels[n] = v, label
    if n == MOST_HELD then
      streamed = streamed + n
      release()
    end
  end

  local op = make(collect)
  local item = op.item
  if op.emits then op.emits = collect end
  local retry, backoff = node.options.retry or 0, node.options.backoff or 0.1

  local function try(v)
    within = true
    local fine, r = xpcall(item, worker.handler, v)
    within = false
    return fine, r
  end

  op.item = function(v)
    streamed = 0
    for tries = 1, math.huge do
      ctx.try, n, skip = tries, 0, streamed
      local fine, r = try(v)
      if fine then
        release()
        return r
      end
      n = 0
      if passes(worker, r) then error(r, 0) end
      if tries > retry then return guard.failed(worker, node, v, r, tries) end
      worker:count("RETRIED")
      worker:pause(backoff * 2 ^ (tries - 1), show.item(v))
    end
  end
  return op
end

return guard
