-- screen: a terminal of the tests' own: what stands on it after some bytes.
-- SPDX-License-Identifier: MIT
--
-- new(columns, rows) -> s; rows nil: it never scrolls
-- s:feed(text)      writes there. It knows \r \n \t, and of the escapes those that a bar
--                   uses: CSI K, CSI J, CSI n A. Any other control character raises
-- s:lines()         what stands there, and what has left it at the top, a list of lines
-- s.wraps           how often a line was too long
-- s.row, s.column   where the cursor is, from 1 and from 0 on, of all lines

local columns = require "mp.flow.columns"

local Screen = {}
Screen.__index = Screen

local function new(width, rows)
  return setmetatable({ width = width, rows = rows, cells = { {} }, row = 1, column = 0, wraps = 0 }, Screen)
end

-- The first line that can still be reached.
local function top(s) return math.max(1, #s.cells - (s.rows or math.huge) + 1) end

local function down(s)
  s.row = s.row + 1
  s.cells[s.row] = s.cells[s.row] or {}
end

local function put(s, c)
  local wide = columns.width(c)
  if s.column + wide > s.width then
    s.wraps = s.wraps + 1
    s.column = 0
    down(s)
  end
  for i = #s.cells[s.row] + 1, s.column do s.cells[s.row][i] = " " end
  for _ = 1, wide do
    s.column = s.column + 1
    s.cells[s.row][s.column] = c
    c = ""
  end
end

local function clear(s, row, from)
  local line = s.cells[row]
  for i = #line, from + 1, -1 do line[i] = nil end
end

local escapes = {}

function escapes.K(s) clear(s, s.row, s.column) end

function escapes.J(s)
  clear(s, s.row, s.column)
  for row = s.row + 1, #s.cells do clear(s, row, 0) end
end

function escapes.A(s, n) s.row = math.max(top(s), s.row - math.max(1, n)) end

function Screen:feed(text)
  local at = 1
  while at <= #text do
    local c = text:match("^[^%c\x80-\xFF]", at) or text:match("^" .. utf8.charpattern, at)
    local n, escape, behind = text:match("^\27%[(%d*)([KJA])()", at)
    if escape then
      escapes[escape](self, tonumber(n) or 0)
      at = behind - 1
    elseif c == "\r" then
      self.column = 0
    elseif c == "\n" then
      down(self)
    elseif c == "\t" then
      repeat put(self, " ") until self.column % 8 == 0
    else
      assert(not c:find "%c", "a control character: " .. text:sub(at, at + 5):gsub("%c", "^"))
      put(self, c)
      at = at + #c - 1
    end
    at = at + 1
  end
end

function Screen:lines()
  local list = {}
  for i, line in ipairs(self.cells) do
    list[i] = table.concat(line):gsub(" +$", "")
  end
  while list[#list] == "" do list[#list] = nil end
  return list
end

return { new = new }
