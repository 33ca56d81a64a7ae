-- columns: text for a terminal, measured and set in columns.  Pure.
-- SPDX-License-Identifier: MIT
--
-- clean(s)            s without broken UTF-8 and control characters
-- width(s)            the columns that it takes; s is clean, as in all that follows
-- cut(s, most)        s, or as much of its beginning as fits, and "…"
-- pad(s, width, left) s with spaces in front, with `left` behind it
-- set(list, room)     a table's lines, each up to `room` wide. list: the columns from
--                     left to right, each { head, rank, left = true | nil, text … }:
--                     what there is no room for is left out, the highest rank first;
--                     one of rank 0 stays, and is cut before others are left out.
--                     Column.wide, if set, is its least width

local M = {}

local NARROW <const> = 12   -- a column that stays is not cut further while others are there
local GAP <const> = "  "

function M.clean(s)
  local ok, at = utf8.len(s)
  while not ok do
    s = s:sub(1, at - 1) .. "?" .. s:sub(at + 1)
    ok, at = utf8.len(s, at)
  end
  return (s:gsub("%c", " "):gsub("\xC2[\x80-\x9F]", " "))
end

-- First and last of what takes no column, and of what takes two.
local none = { { 0x300, 0x36F }, { 0x200B, 0x200F }, { 0x20D0, 0x20FF }, { 0xFE00, 0xFE0F } }
local two = { { 0x1100, 0x115F }, { 0x2E80, 0x303E }, { 0x3041, 0xA4CF }, { 0xAC00, 0xD7A3 },
  { 0xF900, 0xFAFF }, { 0xFE30, 0xFE6F }, { 0xFF00, 0xFF60 }, { 0xFFE0, 0xFFE6 },
  { 0x1F300, 0x1F64F }, { 0x1F900, 0x1F9FF }, { 0x20000, 0x3FFFD } }

local function among(c, ranges)
  for _, r in ipairs(ranges) do
    if c >= r[1] and c <= r[2] then return true end
  end
  return false
end

local function width_of(c)
  if c < 0x300 then return 1 end
  return among(c, none) and 0 or among(c, two) and 2 or 1
end

function M.width(s)
  if not s:find "[\x80-\xFF]" then return #s end
  local n = 0
  for _, c in utf8.codes(s) do n = n + width_of(c) end
  return n
end

function M.cut(s, most)
  if M.width(s) <= most then return s end
  if most < 1 then return "" end
  local n = 0
  for at, c in utf8.codes(s) do
    n = n + width_of(c)
    if n > most - 1 then return s:sub(1, at - 1) .. "…" end
  end
end

function M.pad(s, width, left)
  local spaces = (" "):rep(width - M.width(s))
  return left and s .. spaces or spaces .. s
end

-- tables -------------------------------------------------------------------------

local function natural(column)
  local most = math.max(column.wide or 0, M.width(column.head))
  for _, s in ipairs(column) do most = math.max(most, M.width(s)) end
  return most
end

local function least(column, width)
  return column.rank == 0 and math.min(width, NARROW) or width
end

local function all(shown, widths, of)
  local sum = -#GAP
  for _, column in ipairs(shown) do sum = sum + #GAP + of(column, widths[column]) end
  return sum
end

local function last_of(shown)
  local at
  for i, column in ipairs(shown) do
    if column.rank > 0 and (not at or column.rank > shown[at].rank) then at = i end
  end
  return at
end

-- The columns that there is room for, and how wide they are.
local function fit(list, room)
  local shown, widths = {}, {}
  for i, column in ipairs(list) do
    shown[i], widths[column] = column, natural(column)
  end
  while all(shown, widths, least) > room do
    local at = last_of(shown)
    if not at then break end
    table.remove(shown, at)
  end
  local over = all(shown, widths, function(_, width) return width end) - room
  for _, column in ipairs(shown) do
    if over > 0 and column.rank == 0 then
      widths[column] = math.max(0, widths[column] - over)
      break
    end
  end
  return shown, widths
end

function M.set(list, room)
  local shown, widths = fit(list, room)
  local lines = {}
  for i = 0, #list[1] do
    local texts = {}
    for k, column in ipairs(shown) do
      local text = M.cut(i == 0 and column.head or column[i], widths[column])
      texts[k] = M.pad(text, widths[column], column.left)
    end
    lines[i + 1] = table.concat(texts, GAP):gsub(" +$", "")
  end
  return lines
end

return M
