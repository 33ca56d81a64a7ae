-- command: a stage that is a shell command, `sort -u`.
-- SPDX-License-Identifier: MIT
--
-- per=line   one process for all items of a worker.  An item is a line of its
--            stdin, a line of its stdout is a result; what belongs to what nobody
--            knows.  The end of input closes its stdin.
-- per=item   one process an item, which stands in the text ({} and its like: see
--            template) or else is its stdin, byte for byte; its whole stdout, but
--            for one newline at the end, is one result; an empty one is none.
--
-- A command has ended when its shell has, and nobody has its stdout or stderr any
-- more; what it leaves running without them is killed.  An exit status other than 0
-- is an error, with the end of what it said on stderr.  stderr goes to ours: in
-- per=line as it comes, in per=item once the command has ended well.
-- A line coprocess that ends well before its input does takes no more of it, as
-- `head -1` does: "enough".

local core = require "mp.core"
local template = require "mp.flow.template"

local command = { role = "between", pool = "any" }

local BATCH <const> = 64 * 1024                     -- bytes that a pipe holds
local MARK_EVERY <const> = 256
local SOON <const>, LATER <const> = 0.001, 0.1      -- seconds between two looks for output
local LONGEST_LABEL <const>, LONGEST_TAIL <const> = 40, 10

-- messages ----------------------------------------------------------------------

local function label(text)
  local short = text:gsub("%s+", " "):gsub("^ ", ""):gsub(" $", "")
  if utf8.len(short) and utf8.len(short) > LONGEST_LABEL then
    short = short:sub(1, utf8.offset(short, LONGEST_LABEL) - 1) .. "…"
  elseif #short > LONGEST_LABEL and not utf8.len(short) then
    short = short:sub(1, LONGEST_LABEL - 1) .. "…"
  end
  return "`" .. short .. "`"
end

-- The last lines that it said; of a line that it wrote over, the last state.
local function said(tail)
  local lines = {}
  for line in tail:gmatch "[^\n]+" do
    line = line:gsub("%s+$", ""):gsub("^.*\r", ""):gsub("\27%[[%d;?]*%a", ""):gsub("%c", " ")
    if line ~= "" then lines[#lines + 1] = line end
  end
  if #lines <= 1 then return lines[1] and ": " .. lines[1] or "" end
  local from = math.max(1, #lines - LONGEST_TAIL + 1)
  return ":\n    " .. table.concat(lines, "\n    ", from)
end

-- A shell says 128 + N of a program that signal N killed.
local function how(status)
  if status.signal then return "killed by " .. core.signame(status.signal) end
  local code = status.code
  if not code then return "ended, and nobody knows how (SIGCHLD is ignored)" end
  if code > 128 and code < 160 then
    return ("exit status %d (128 + %s)"):format(code, core.signame(code - 128))
  end
  return ("exit status %d"):format(code)
end

local function check(name, status, tail)
  if status.code == 0 then return end
  local what = said(tail)
  if what == "" and status.code == 1 then
    what = " and no message (if that is none, as grep's is: … || true)"
  end
  error(name .. ": " .. how(status) .. what, 0)
end

-- items -------------------------------------------------------------------------

local function failing(name)
  return function(message) error(name .. ": " .. message, 0) end
end

local function json_by(fail)
  return function(v)
    local text, why = core.json_write(v)
    return text or fail("the item cannot be written as JSON: " .. why)
  end
end

-- What an item is on stdin.
local function text_by(json, fail)
  return function(v)
    local kind = type(v)
    if kind == "string" then return v end
    if kind == "number" then return tostring(v) end
    if kind == "table" then return json(v) end
    fail(("a string, a number or a table expected, got %s"):format(kind))
  end
end

-- per=item ----------------------------------------------------------------------

-- Calls take(output) for each piece until it has ended; how it did.
local function run(c, stdin, take)
  local output, state, status, tail
  if stdin then
    repeat
      output, state = c:exchange(stdin)
      stdin = nil
      take(output)
    until state ~= "more"
  end
  repeat
    output, status, tail = c:finish()
    take(output)
  until status
  return status, tail
end

local function by_item(params, out)
  local name = label(params.text)
  local fail = failing(name)
  local json = json_by(fail)
  local fill, text_of = template(params.text, json, fail), text_by(json, fail)

  return { item = function(v)
    local program = fill(v)
    local stdin = not program and text_of(v) or nil
    local c <close>, why = core.command(program or params.text,
                                        { input = stdin ~= nil, hold = true })
    if not c then
      fail(program and why == "too long for a command line"
           and "the item is too long for a command line; without {} it is given on stdin" or why)
    end
    local pieces = {}
    local status, tail = run(c, stdin, function(piece) pieces[#pieces + 1] = piece end)
    check(name, status, tail)
    local result = table.concat(pieces)
    if result ~= "" then out(result:byte(-1) == 10 and result:sub(1, -2) or result) end
  end }
end

-- per=line ----------------------------------------------------------------------

-- Items become a text of lines. add(v) -> its length by then; take() -> it | nil
local function gatherer(fail)
  local text_of, find = text_by(json_by(fail), fail), string.find
  local lines, n, size = {}, 0, 0

  local function add(v)
    local line = type(v) == "string" and v or text_of(v)
    if find(line, "\n", 1, true) then
      fail("an item with a newline in it is no line; {per=item} gives each item a process "
           .. "of its own")
    end
    n = n + 1
    lines[n] = line
    size = size + #line + 1
    return size
  end

  local function take()
    if n == 0 then return nil end
    lines[n + 1] = ""
    local text = table.concat(lines, "\n", 1, n + 1)
    if size > BATCH then lines = {} end   -- else it is used again as it is
    n, size = 0, 0
    return text
  end

  return add, take
end

-- Its output becomes lines, which out gets:
--   take(text)   those that are whole by then; last() one that has no newline
--   given()      how many so far
--   watch(f)     from now on f() is called every so many
local function splitter(out)
  local find, sub = string.find, string.sub
  local open, pieces = {}, 0             -- of a line that is not whole yet
  local given, limit, tell = 0, math.huge, nil
  local self = {}

  local function count()
    given = given + 1
    if given >= limit then
      limit = given + MARK_EVERY
      tell()
    end
  end

  local function close(piece)
    open[pieces + 1] = piece
    local line = table.concat(open)
    open, pieces = {}, 0
    out(line)
    count()
  end

  function self.take(text)
    local at = 1
    while true do
      local nl = find(text, "\n", at, true)
      if not nl then break end
      if pieces > 0 then
        close(sub(text, at, nl - 1))
      else
        out(sub(text, at, nl - 1))
        count()
      end
      at = nl + 1
    end
    if at <= #text then
      pieces = pieces + 1
      open[pieces] = sub(text, at)
    end
  end

  function self.last()
    if pieces > 0 then close "" end
  end

  function self.given() return given end
  function self.watch(f) limit, tell = given + MARK_EVERY, f end
  return self
end

local Line = {}
Line.__index = Line

-- Hands over the lines gathered so far and emits what has been printed meanwhile.
function Line:exchange()
  self.next, self.waiting = self.time() + SOON, false
  local output, state = self.process:exchange(self.gathered())
  self.results.take(output)
  while state == "more" do
    output, state = self.process:exchange()
    self.results.take(output)
  end
  self.full = state ~= nil
  if state == "ended" then self:await_end() end
  return self.full and "enough" or nil
end

-- The rest of its output, and after each piece of it step(); then how it ended.
function Line:await_end(step)
  local process = self.process
  self.op.due = nil
  repeat
    local output, status, tail = process:finish()
    self.results.take(output)
    if status then
      self.process, self.full = nil, true
      check(self.name, status, tail)
      self.results.last()
    end
    if step then step() end
  until status
end

-- Looks for output, more and more seldom as long as there is none.
function Line:look()
  if not self.process then return "enough" end
  local before = self.results.given()
  local answer = self:exchange()
  self.pause = self.results.given() > before and SOON or math.min(self.pause * 2, LATER)
  self.op.due = self.process and self.time() + self.pause or nil
  return answer
end

-- Everything up to the end, telling from time to time how many results have gone.
function Line:finish(mark)
  local first = self.results.given()
  local told = first
  local function tell()
    local given = self.results.given()
    if given > told then
      told = given
      mark(given - first)
    end
  end
  self.results.watch(tell)
  self:exchange()
  if self.process then self:await_end(tell) end
end

local function by_line(params, ctx, out)
  local name = label(params.text)
  local fail = failing(name)
  local process, why = core.command(params.text)
  if not process then fail(why) end
  local self = setmetatable({ name = name, process = process, time = ctx.time, pause = SOON,
                              next = 0, results = splitter(out) }, Line)
  local add
  add, self.gathered = gatherer(fail)

  local op = { fragile = true, due = ctx.time() + SOON }
  self.op = op

  function op.item(v)
    if self.full then return "enough" end
    if add(v) >= BATCH then return self:exchange() end
    self.waiting = true
  end

  -- At once, but not more often than a wake-up of the command is worth.
  function op.flush()
    if not self.waiting then return nil end
    self.pause = SOON
    if ctx.time() >= self.next then return self:look() end
    op.due = self.next
  end

  function op.tick() return self:look() end

  function op.finish(_, mark)
    if self.process then self:finish(mark) end
  end

  function op.close()
    if self.process then self.process:kill() end
    self.process, op.due = nil, nil
  end
  return op
end

function command.make(params, ctx, out)
  if params.per == "item" then return by_item(params, out) end
  return by_line(params, ctx, out)
end

return command
