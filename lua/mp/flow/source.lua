-- source: the built-in sources lines, range and stdin.
-- SPDX-License-Identifier: MIT
--
-- lines and range are cut into tasks (a piece of a file, a piece of the range)
-- that wait in a link; their workers take a task, emit what is in it, and
-- finish it in the same commit.  So a source whose worker is killed goes on
-- where the last commit stood, and several workers share one file.
--
-- A definition is { role = "source", arguments, tasks | produce, make }:
--   arguments(list) -> params | nil, message
--   tasks(params, workers, size) -> list of tasks, fragile   (in the owner)
--   make(params, ctx, out) -> function(task)                 (in a worker)
--   blocks    the same, with out(text of many lines, number of lines)
--   produce(params, ctx, out)                                (in a worker)

local source = {}

local MOST_TASKS <const> = 65536

-- lines ------------------------------------------------------------------------

local lines = { role = "source", pool = "any" }

local function paths_of(list)
  local paths = {}
  for i = 1, list.n do
    local given = type(list[i]) == "table" and list[i] or { list[i] }
    for j = 1, math.max(#given, 1) do
      if type(given[j]) ~= "string" then
        if type(list[i]) == "table" and #given == 0 then break end
        return nil, ("'lines' expects paths, got %s"):format(type(given[j]))
      end
      paths[#paths + 1] = given[j]
    end
  end
  return paths
end

function lines.arguments(list)
  local paths, err = paths_of(list)
  if not paths then return nil, err end
  if list.n == 0 then return nil, "'lines' expects at least one path" end
  return { paths = paths }
end

-- What cannot be cut (a pipe, a file in /proc) is one task without an end.
local function length(path)
  local f, err = io.open(path, "rb")
  if not f then error(("lines: cannot open %s"):format(err), 0) end
  local size = f:seek "end"
  local _, reason, code
  if size then
    f:seek "set"
    _, reason, code = f:read(0)
  end
  f:close()
  if code then error(("lines: cannot read %s: %s"):format(path, reason), 0) end
  return size
end

-- Pieces of files; none is larger than `size`.  The second result: one has no
-- length.
local function cut(paths, sizes, size)
  local pieces, endless = {}, false
  for i, path in ipairs(paths) do
    local length_ = sizes[i]
    if not length_ or length_ == 0 then
      endless = endless or not length_
      pieces[#pieces + 1] = { path = path }
    else
      for from = 0, length_ - 1, size do
        pieces[#pieces + 1] = { path = path, from = from, to = math.min(from + size, length_) }
      end
    end
  end
  return pieces, endless
end

-- A task is a list of pieces, as small files go together.
function lines.tasks(params, workers, size)
  local sizes, total = {}, 0
  for i, path in ipairs(params.paths) do
    sizes[i] = length(path) or false
    total = total + (sizes[i] or 0)
  end
  size = math.max(math.min(size, total // (4 * workers) + 1), 4096, total // MOST_TASKS)
  local pieces, endless = cut(params.paths, sizes, size)
  local tasks, room = {}, 0
  for _, piece in ipairs(pieces) do
    local bytes = piece.from and piece.to - piece.from or 0
    if #tasks == 0 or bytes > room then
      tasks[#tasks + 1], room = {}, size
    end
    table.insert(tasks[#tasks], piece)
    room = room - bytes
  end
  return tasks, endless
end

-- The text of the lines that begin in [from, to), and where it begins in it.
local function piece(f, from, to)
  local start = 1
  f:seek("set", from > 0 and from - 1 or 0)
  local text = f:read(to - (from > 0 and from - 1 or 0)) or ""
  if from > 0 then
    local nl = text:find("\n", 1, true)
    if not nl or nl == #text then return nil end
    start = nl + 1
  end
  if text:byte(-1) ~= 10 then text = text .. (f:read "L" or "") end
  return text, start
end

-- Works through tasks: each(text, start) for every piece, which is whole lines.
local function reader(each)
  local file, name
  local function open(path)
    if name ~= path then
      if file then file:close() end
      file, name = assert(io.open(path, "rb")), path
    end
    return file
  end
  local function read(p)
    local f = open(p.path)
    if p.from then
      local text, start = piece(f, p.from, p.to)
      if text then each(text, start) end
    else
      name = nil                  -- read to its end: not to be used again
      for line in f:lines "L" do each(line, 1) end
    end
  end
  return function(task)
    for _, p in ipairs(task) do read(p) end
  end
end

function lines.make(_, _, out)
  local find, sub = string.find, string.sub
  return reader(function(text, at)
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
function lines.blocks(_, _, out)
  return reader(function(text, start)
    text = text:sub(start)
    if text ~= "" then out(text, count_lines(text)) end
  end)
end

-- range ------------------------------------------------------------------------

local range = { role = "source", pool = "any" }

function range.arguments(list)
  local a, b = math.tointeger(list[1]), math.tointeger(list[2])
  if list.n ~= 2 or not a or not b then
    return nil, "'range' expects two whole numbers: range(from, to)"
  end
  return { from = a, to = b }
end

function range.tasks(params, workers)
  local n = params.to - params.from + 1
  local size = math.max(1, math.min(256, n // (4 * workers)), n // MOST_TASKS)
  local tasks = {}
  for from = params.from, params.to, size do
    tasks[#tasks + 1] = { from = from, to = math.min(from + size - 1, params.to) }
  end
  return tasks
end

function range.make(_, _, out)
  return function(task)
    for i = task.from, task.to do out(i) end
  end
end

-- stdin ------------------------------------------------------------------------

local stdin = { role = "source", pool = "one" }

function stdin.arguments(list)
  if list.n > 0 then return nil, "'stdin' takes no arguments" end
  return {}
end

function stdin.produce(_, _, out)
  while true do
    local line, why = io.stdin:read "l"
    if why then error("cannot read standard input: " .. why, 0) end
    if not line then return end
    out(line)
  end
end

source.lines, source.range, source.stdin = lines, range, stdin

return source
