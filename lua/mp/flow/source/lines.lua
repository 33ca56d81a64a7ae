-- lines: the source of the lines of files.
-- SPDX-License-Identifier: MIT

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
  local find, sub = string.find, string.sub
  return pieces.reader("lines", ctx, function(text, at)
    while true do
      local nl = find(text, "\n", at, true)
      if not nl then break end
      out(sub(text, at, nl - 1))
      at = nl + 1
    end
    if at <= #text then out(sub(text, at)) end
  end)
end

local function count_lines(text)
  local n, at, find = 0, 0, string.find
  repeat
    at = find(text, "\n", at + 1, true)
    n = n + 1
  until not at
  return text:byte(-1) == 10 and n - 1 or n
end

-- For a stage to which a text of many lines means the same as each line of it:
-- out(text, number of lines).
function lines.blocks(_, ctx, out)
  return pieces.reader("lines", ctx, function(text, at)
    text = text:sub(at)
    if text ~= "" then out(text, count_lines(text)) end
  end)
end

return lines
