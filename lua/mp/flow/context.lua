-- context: the `ctx` that a stage's functions get.
-- SPDX-License-Identifier: MIT

local board = require "mp.flow.board"

-- context(worker, node) -> ctx
return function(worker, node)
  local stage, index = worker.stage, worker.index
  local label = ("%s[%d]"):format(node.id, index)
  local ctx = setmetatable({ stage = node.id, worker = index, workers = stage.workers, try = 1,
                             time = worker.time }, { __index = function(_, name)
    if name == "stopping" then return board.stopped(worker.board) end
  end })

  function ctx.log(...)
    local parts = table.pack(...)
    for i = 1, parts.n do parts[i] = tostring(parts[i]) end
    io.stderr:write(label, ": ", table.concat(parts, "\t"), "\n")
  end

  function ctx.progress(done, total)
    for name, v in pairs { done = done, total = total } do
      if type(v) ~= "number" then
        error(("ctx.progress: %s: a number expected, got %s"):format(name, type(v)), 2)
      end
    end
    worker.board[worker.line + board.DONE] = math.floor(done)
    worker.board[worker.line + board.TOTAL] = math.floor(total or 0)
  end

  -- Of a source that has to wait: what it has given goes on, and stopping says
  -- whether it is to wait at all.
  function ctx.idle()
    worker:idle()
    ctx.stopping = ctx.stopping or board.stopped(worker.board)
  end

  -- false when the flow stops.
  function ctx.sleep(seconds)
    ctx.idle()
    worker.sleep(seconds)
    return not ctx.stopping
  end
  return ctx
end
