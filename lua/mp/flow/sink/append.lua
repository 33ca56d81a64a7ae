-- append, jsonl, tee: what writes a line for each item to a file.
-- SPDX-License-Identifier: MIT
--
-- append(path)  behind what the file holds already
-- jsonl(path)   each item as JSON, also strings; begins the file anew
-- tee(path)     as append would, but begins anew; and passes the item on

local file = require "mp.flow.sink.file"
local line = require "mp.flow.sink.line"

local function argument(name, anew)
  return function(list)
    local path = list[1]
    if list.n ~= 1 or type(path) ~= "string" or path == "" then
      return nil, ("'%s' expects a path: %s(\"out.txt\")"):format(name, name)
    end
    return { path = path, anew = anew }
  end
end

local function writes(name, anew, text_of)
  return {
    role = "sink", pool = "one", writes = true, arguments = argument(name, anew), ready = file.ready(name),
    make = function(params)
      local writer, text = file.writer(name, params), text_of(name)
      return file.op(writer, function(v)
        writer:put(text(v))
        writer:put "\n"
      end)
    end,
  }
end

-- The item goes on first: where that commits (a link is full), its line is not
-- written yet, so it is not written again if the rest of the commit fails.
local tee = {
  role = "between", pool = "one", writes = true, arguments = argument("tee", true), ready = file.ready "tee",
  make = function(params, _, out)
    local writer, text = file.writer("tee", params), line.of "tee"
    return file.op(writer, function(v)
      local written = text(v)
      out(v)
      writer:put(written)
      writer:put "\n"
    end)
  end,
}

return { append = writes("append", false, line.of), jsonl = writes("jsonl", true, line.json), tee = tee }
