-- csv: the source of the rows of files with comma-separated values (RFC 4180).
-- SPDX-License-Identifier: MIT
--
-- csv(path…, {header = true | false | {name…}, sep = ","})
-- With a header (its own first row, or the names given) an item is {name = text};
-- without, a list.  A field that has no name is under its number.  All values are
-- strings.  Empty lines are no rows.  A row may be short: what is missing is
-- not there; a long one is an error, unless it is only empty fields that are too many.
-- In quotes may stand the separator, line ends, and quotes, doubled.  A row that
-- begins without a quote ends at the line's end, CRLF or LF.
-- A mark is the number of the file and the offset behind the row, in one integer.

local paths = require "mp.flow.source.paths"
local stream = require "mp.flow.source.stream"

local csv = { role = "source", pool = "one", ready = paths.ready "csv" }

local byte, find, sub = string.byte, string.find, string.sub

local BLOCK <const>, MOST_ROW <const> = 1 << 16, 1 << 26
local OFFSET_BITS <const> = 44
local QUOTE <const>, NEWLINE <const>, RETURN <const> = 34, 10, 13
local BOM <const> = "\xEF\xBB\xBF"

-- arguments --------------------------------------------------------------------

local known = { header = true, sep = true }

local function no_names(header)
  if type(header) ~= "table" or #header == 0 then return true end
  for _, name in ipairs(header) do
    if type(name) ~= "string" then return true end
  end
  return false
end

function csv.arguments(list)
  local taken, options = paths.take("csv", list, known)
  if not taken then return nil, options end
  local header, sep = options.header, options.sep or ","
  if header == nil then header = true end
  if type(sep) ~= "string" or #sep ~= 1 or sep:find '["\r\n]' then
    return nil, "'csv': sep is one character, such as \";\" or \"\\t\""
  end
  if type(header) ~= "boolean" and no_names(header) then
    return nil, "'csv': header is true, false, or a list of names"
  end
  return { paths = taken, header = header, sep = sep }
end

-- One row after another ------------------------------------------------------------

local Rows = {}
Rows.__index = Rows

local function open_rows(params, path, ctx)
  return setmetatable({ stream = stream.open("csv", path, ctx), path = path, sep = params.sep,
    field_end = "[" .. (params.sep:gsub("%p", "%%%0")) .. "\n]",
    text = "", at = 1,            -- what was read, and where the next row begins in it
    base = 0,                     -- where the text begins in the file
    block = BLOCK, ended = false, quote = 0 }, Rows)
end

function Rows:offset() return self.base + self.at - 1 end

function Rows:fail(message, ...)
  error(("csv: %s: "):format(paths.place(self.path, self:offset())) .. message:format(...), 0)
end

function Rows:seek(offset)
  self.stream:seek(offset)
  self.text, self.at, self.base, self.ended, self.quote = "", 1, offset, false, 0
end

-- More text; twice as much each time that a row still does not end.
function Rows:more()
  if #self.text - self.at >= MOST_ROW then
    self:fail("a row of more than %d MiB; is a quote missing?", MOST_ROW >> 20)
  end
  local text = self.stream:read(self.block)
  self.ended = not text and not self.stream.ctx.stopping
  self.block = self.at == 1 and self.text ~= "" and self.block * 2 or BLOCK
  self.base = self:offset()
  self.text = sub(self.text, self.at) .. (text or "")
  self.at, self.quote = 1, 0
end

-- Where the next quote is, from the row on; looked for once.
function Rows:next_quote()
  if self.quote and self.quote < self.at then
    self.quote = find(self.text, '"', self.at, true)
  end
  return self.quote
end

-- A row without quotes -> item, number of fields
local function plain(line, sep, names)
  local item, n, from = {}, 0, 1
  while true do
    n = n + 1
    local to = find(line, sep, from, true)
    item[names and names[n] or n] = sub(line, from, (to or 0) - 1)
    if not to then return item, n end
    from = to + 1
  end
end

-- A field in quotes, behind the first one -> value, where it ends | nil: it does not
local function quoted_field(text, from)
  local at, doubled = from, false
  while true do
    local quote = find(text, '"', at, true)
    if not quote then return nil end
    if byte(text, quote + 1) ~= QUOTE then
      local value = sub(text, from, quote - 1)
      return doubled and value:gsub('""', '"') or value, quote + 1
    end
    at, doubled = quote + 2, true
  end
end

-- A row with quotes -> item, number of fields, what is behind it | nil: it does
-- not end in this text
function Rows:quoted(names)
  local text, at, ended = self.text, self.at, self.ended
  local item, n, sep = {}, 0, byte(self.sep)
  while true do
    n = n + 1
    local value, stop
    if byte(text, at) == QUOTE then
      value, stop = quoted_field(text, at + 1)
      if not value and ended then self:fail "a quote that opens in this row is not closed" end
    else
      stop = find(text, self.field_end, at) or ended and #text + 1
      value = stop and sub(text, at, stop - 1)
      if value and byte(text, stop) ~= sep then value = value:gsub("\r$", "") end
    end
    if not value then return nil end
    item[names and names[n] or n] = value
    local next = byte(text, stop)
    if next == RETURN then stop, next = stop + 1, byte(text, stop + 1) end
    if not next and not ended then return nil end
    if not next or next == NEWLINE then return item, n, stop + 1 end
    if next ~= sep then self:fail("field %d goes on behind its closing quote", n) end
    at = stop + 1
  end
end

-- The row at `at` -> item, number of fields, what is behind it | nil: see above
function Rows:row(names)
  local text, at = self.text, self.at
  local nl = find(text, "\n", at, true)
  if not nl and not self.ended then return nil end
  local stop, quote = nl or #text + 1, self:next_quote()
  if quote and quote < stop then return self:quoted(names) end
  local last = stop - 1
  if byte(text, last) == RETURN and last >= at then last = last - 1 end
  if last < at then return false, 0, stop + 1 end
  local item, n = plain(sub(text, at, last), self.sep, names)
  return item, n, stop + 1
end

-- The next row -> item, number of fields | nil: there is none.  Behind it is
-- self:offset().
function Rows:next(names)
  while true do
    local item, n, behind
    if self.at <= #self.text then item, n, behind = self:row(names) end
    if behind then
      self.row_at, self.at = self.at, math.min(behind, #self.text + 1)
      if item then return item, n end
    elseif self.ended or self.stream.ctx.stopping then
      return nil
    else
      self:more()
    end
  end
end

-- files ----------------------------------------------------------------------------

-- Fields that are too many are none if they are empty.
local function cut_row(rows, item, n, width)
  for i = width + 1, n do
    if item[i] ~= "" then
      rows.at = rows.row_at
      rows:fail("%d fields, and %d names in the header", n, width)
    end
    item[i] = nil
  end
end

-- What each field goes under: its name, or its number if that is empty.
local function check_names(rows, names)
  local keys, seen = {}, {}
  for i, name in ipairs(names) do
    keys[i] = name ~= "" and name or i
    if seen[keys[i]] then
      rows.at = rows.row_at or 1
      rows:fail("two columns are named '%s' (header=false gives lists, header={…} names them)", name)
    end
    seen[keys[i]] = true
  end
  return keys
end

-- Where the first row begins, and the names, if there are any.
local function begin(rows, params)
  rows:more()
  if sub(rows.text, 1, #BOM) == BOM then rows.at = #BOM + 1 end
  if params.header == false then return nil end
  local names = params.header
  if names == true then names = rows:next() or {} end
  return check_names(rows, names)
end

local function read_file(params, index, from, ctx, out)
  local rows = open_rows(params, params.paths[index], ctx)
  local names = begin(rows, params)
  local width, file = names and #names, index << OFFSET_BITS
  if from > 0 then rows:seek(from) end
  while not ctx.stopping do
    local item, n = rows:next(names)
    if not item then break end
    if width and n > width then cut_row(rows, item, n, width) end
    out(item, nil, file | rows:offset())
  end
  rows.stream:close()
end

function csv.produce(params, ctx, out, resume)
  local first, from = 1, 0
  if resume then
    first, from = resume >> OFFSET_BITS, resume & ((1 << OFFSET_BITS) - 1)
  end
  for index = first, #params.paths do
    if ctx.stopping then return end
    read_file(params, index, from, ctx, out)
    from = 0
  end
end

-- A pipe cannot be read again.
function csv.resumes(params)
  for _, path in ipairs(params.paths) do
    if not paths.size("csv", path) then return false end
  end
  return true
end

return csv
