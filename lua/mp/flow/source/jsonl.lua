-- jsonl: the source of the values in files that have one as JSON on each line.
-- SPDX-License-Identifier: MIT
--
-- Whole numbers are integers; null is nothing: a field with it is not there, and
-- a line that is null is no item, like an empty one.

local core = require "mp.core"
local paths = require "mp.flow.source.paths"
local pieces = require "mp.flow.source.pieces"

local jsonl = { role = "source", pool = "any", ready = paths.ready "jsonl" }

local BOM <const> = "\xEF\xBB\xBF"

function jsonl.arguments(list)
  local taken, err = paths.take("jsonl", list)
  if not taken then return nil, err end
  return { paths = taken }
end

function jsonl.tasks(params, workers, size)
  return pieces.tasks("jsonl", params.paths, workers, size)
end

-- At byte `at` of the text.
local function no_json(text, at, path, offset, why)
  local line = at
  while line > 1 and text:byte(line - 1) ~= 10 do line = line - 1 end
  error(("jsonl: %s: no JSON in column %d: %s"):format(paths.place(path, offset + line - 1),
    at - line + 1, why), 0)
end

function jsonl.make(_, ctx, out)
  local find, read = string.find, core.json_read
  return pieces.reader("jsonl", ctx, function(text, at, path, offset)
    if offset == 0 and text:sub(1, #BOM) == BOM then at = #BOM + 1 end
    while true do
      local from = find(text, "[^ \t\r\n]", at)
      if not from then return end
      local nl = find(text, "\n", from, true) or #text + 1
      local v, why, wrong = read(text, from, nl - 1)
      if why then no_json(text, wrong, path, offset, why) end
      if v ~= nil then out(v) end
      at = nl + 1
    end
  end)
end

return jsonl
