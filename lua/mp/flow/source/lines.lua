-- lines: the source of the lines of files.
-- SPDX-License-Identifier: MIT

local cut = require("mp.core").text
local paths = require "mp.flow.source.paths"
local pieces = require "mp.flow.source.pieces"

local lines = { role = "source", pool = "any", ready = paths.ready "lines" }

function lines.arguments(list)
  local taken, err = paths.take("lines", list)
  if not taken then return nil, err end
  return { paths = taken }
end

function lines.tasks(params, workers, size)
  return pieces.tasks("lines", params.paths, workers, size)
end

function lines.make(_, ctx, out)
  local list = {}
  return pieces.reader("lines", ctx, function(text, at)
    repeat
      local n, after = cut.lines(text, list, at)
      for i = 1, n do out(list[i]) end
      at = after
    until not at
  end)
end

-- For a stage to which a text of many lines means the same as each line of it:
-- out(text).
function lines.blocks(_, ctx, out)
  return pieces.reader("lines", ctx, function(text, at)
    text = text:sub(at)
    if text ~= "" then out(text) end
  end)
end

return lines
