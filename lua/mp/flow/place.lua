-- place: where a flow's text stands in its Lua source, and messages about it.
-- SPDX-License-Identifier: MIT
--
-- A place is { file, source, offset, line }: position p of the flow's text is
-- byte offset + p of `source`, whose first line has the number `line`.  When
-- the text cannot be found in a file (-e, stdin, escapes in a quoted string),
-- the source is the text itself and starts at the line of the call.

local place = {}

local function read(path)
  local f = io.open(path, "rb")
  if not f then return nil end
  local s = f:read "a"
  f:close()
  return s
end

local function start_of(source, line)
  local at = 1
  for _ = 2, line do
    local nl = source:find("\n", at, true)
    if not nl then return #source + 1 end
    at = nl + 1
  end
  return at
end

local function source_of(info)
  local mark = info.source:sub(1, 1)
  if mark == "@" then return read(info.source:sub(2)) end
  if mark ~= "=" then return info.source end
end

-- info: what debug.getinfo(level, "Sl") gives for the caller of flow().
function place.find(info, text)
  local file, line = info.short_src, math.max(info.currentline, 1)
  local source = source_of(info)
  if source then
    source = source:gsub("\r\n?", "\n")    -- as Lua reads it
    local at = source:find(text, start_of(source, line), true) or source:find(text, 1, true)
    if at and text ~= "" then
      return { file = file, source = source, offset = at - 1, line = 1 }
    end
  end
  return { file = file, source = text, offset = 0, line = line }
end

-- The line, column and text of the line at byte `at` of the source.
local function spot(self, pos)
  local at = math.min(self.offset + pos, #self.source + 1)
  local before = self.source:sub(1, at - 1)
  local _, newlines = before:gsub("\n", "")
  local first = before:match ".*\n()" or 1
  return self.line + newlines, at - first + 1, self.source:match("[^\n]*", first)
end

-- The blanks that lead to a column: tabs stay, so that the caret stands right.
local function indent(line, column)
  local lead = line:sub(1, column - 1):gsub("[\x80-\xBF]", "")
  return (lead:gsub("[^\t]", " "))
end

-- A long line is shown in part: what is shown, and the column in it.
local WIDEST <const>, LEAD <const> = 160, 60

local function window(line, column)
  if #line <= WIDEST then return line, column end
  local from = utf8.offset(line, 0, math.max(1, math.min(column - LEAD, #line))) or 1
  local to = utf8.offset(line, 0, math.min(from + WIDEST, #line)) or #line
  local lead = from > 1 and "…" or ""
  return lead .. line:sub(from, to - 1) .. "…", column - from + 1 + #lead
end

-- One mistake as text: place, what is wrong, the line, and a caret below it.
function place.format(self, mistake)
  local number, column, line = spot(self, mistake.pos)
  local shown, at = window(line, column)
  local room = math.max(1, #line - column + 1)
  local len = math.max(1, math.min(mistake.len or 1, room))
  local hint = mistake.hint and (" (%s)"):format(mistake.hint) or ""
  local what = mistake.level or "error"
  return ("%s:%d:%d: %s: %s%s\n%5d | %s\n      | %s^%s"):format(
    self.file, number, column, what, mistake.message, hint,
    number, shown, indent(shown, at), ("~"):rep(len - 1))
end

return place
