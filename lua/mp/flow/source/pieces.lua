-- pieces: files cut at line ends into tasks, for several workers, and for a
-- worker that goes on where a dead one stood.
-- SPDX-License-Identifier: MIT

local paths = require "mp.flow.source.paths"
local stream = require "mp.flow.source.stream"

local pieces = {}

local MOST_TASKS <const> = 65536

-- None is larger than `size`.  The second result: one has no length.
local function cut(list, sizes, size)
  local cuts, endless = {}, false
  for i, path in ipairs(list) do
    local length = sizes[i]
    if not length or length == 0 then      -- in /proc the length is 0, whatever there is
      endless = endless or not length
      cuts[#cuts + 1] = { path = path }
    else
      for from = 0, length - 1, size do
        cuts[#cuts + 1] = { path = path, from = from, to = math.min(from + size, length) }
      end
    end
  end
  return cuts, endless
end

-- pieces.tasks(name, paths, workers, size) -> tasks, endless
-- A task is a list of pieces, as small files go together.
function pieces.tasks(name, list, workers, size)
  local sizes, total = {}, 0
  for i, path in ipairs(list) do
    local length, why = paths.size(name, path)
    if length == nil then error(why, 0) end
    sizes[i] = length
    total = total + (length or 0)
  end
  size = math.max(math.min(size, total // (4 * workers) + 1), total // MOST_TASKS)
  local cuts, endless = cut(list, sizes, size)
  local tasks, room = {}, 0
  for _, piece in ipairs(cuts) do
    local bytes = piece.from and piece.to - piece.from or 0
    if #tasks == 0 or bytes > room then
      tasks[#tasks + 1], room = {}, size
    end
    table.insert(tasks[#tasks], piece)
    room = room - bytes
  end
  return tasks, endless
end

local function read(file, format, who)
  local text, why = file:read(format)
  if why then error(who .. why, 0) end
  return text or ""
end

-- The text of the lines that begin in [from, to), where they begin in it, and
-- where in the file it begins.
local function lines_in(file, from, to, who)
  local offset, start = math.max(from - 1, 0), 1
  file:seek("set", offset)
  local text = read(file, to - offset, who)
  if from > 0 then
    local nl = text:find("\n", 1, true)
    if not nl or nl == #text then return nil end
    start = nl + 1
  end
  if text:byte(-1) ~= 10 then text = text .. read(file, "L", who) end
  return text, start, offset
end

-- pieces.reader(name, ctx, each) -> function(task)
-- each(text, at, path, offset): whole lines, from `at` on; the text's first byte
-- is that one of the file.
function pieces.reader(name, ctx, each)
  local file, open
  local function file_of(path)
    if open ~= path then
      if file then file:close() end
      local err
      file, err = io.open(path, "rb")
      if not file then error(("%s: cannot open %s"):format(name, err), 0) end
      open = path
    end
    return file
  end
  local function whole(path)
    local s = stream.open(name, path, ctx)
    s:lines(function(text, offset) each(text, 1, path, offset) end)
    s:close()
  end
  local function part(p)
    local who = ("%s: cannot read %s: "):format(name, p.path)
    local text, at, offset = lines_in(file_of(p.path), p.from, p.to, who)
    if text and text ~= "" then each(text, at, p.path, offset) end
  end
  return function(task)
    for _, p in ipairs(task) do
      if p.from then part(p) else whole(p.path) end
    end
  end
end

return pieces
