-- csv: the sink that writes items as comma-separated values (RFC 4180, with LF).
-- SPDX-License-Identifier: MIT
--
-- csv(path, {header = true | false, sep = ",", columns = {name…}}); the file is
-- begun anew.
-- Items with names: the columns are `columns`, else the names of the first item, in
-- order; their line is the header.  What an item lacks is empty; what has no column
-- is left out where `columns` chose, else it is an error.
-- Lists: a row each, of their length; with `columns`, under these.  Anything else
-- is a row with one field.
-- A field is a string, a number as Lua writes it, or a table as JSON.

local file = require "mp.flow.sink.file"
local line = require "mp.flow.sink.line"
local suggest = require "mp.flow.suggest"

local csv = { role = "sink", pool = "one", writes = true, ready = file.ready "csv" }

-- arguments --------------------------------------------------------------------

local names = { "columns", "header", "sep" }

local function unknown(options)
  for name in pairs(options) do
    local known = false
    for _, each in ipairs(names) do known = known or each == name end
    if not known then
      local hint = suggest.hint(tostring(name), names)
      return ("'csv' has no option '%s'%s"):format(tostring(name), hint and " (" .. hint .. ")" or "")
    end
  end
end

local function no_columns(columns)
  local seen = {}
  if type(columns) ~= "table" or #columns == 0 then return true end
  for _, name in ipairs(columns) do
    if type(name) ~= "string" or seen[name] then return true end
    seen[name] = true
  end
  return false
end

function csv.arguments(list)
  local path, options = list[1], list[2]
  if type(path) ~= "string" or path == "" or list.n > 2
     or options ~= nil and type(options) ~= "table" then
    return nil, [['csv' expects a path: csv("out.csv") or csv("out.csv", {columns={"a","b"}})]]
  end
  options = options or {}
  local wrong, sep, header = unknown(options), options.sep or ",", options.header
  if wrong then return nil, wrong end
  if header == nil then header = true end
  if type(sep) ~= "string" or #sep ~= 1 or sep:find '["\r\n]' then
    return nil, "'csv': sep is one character, such as \";\" or \"\\t\""
  elseif type(header) ~= "boolean" then
    return nil, "'csv': header is true or false"
  elseif options.columns ~= nil and no_columns(options.columns) then
    return nil, "'csv': columns is a list of different names"
  end
  return { path = path, anew = true, sep = sep, header = header, columns = options.columns }
end

-- rows -------------------------------------------------------------------------

-- The length of a list; false: the item has names.
local function width_of(item)
  local width = 0
  for k in pairs(item) do
    if math.type(k) ~= "integer" or k < 1 then return false end
    if k > width then width = k end
  end
  return width
end

local function before(a, b)
  if type(a) == type(b) then return a < b end
  return type(a) == "number"
end

local function columns_of(item)
  local columns = {}
  for k in pairs(item) do
    if type(k) ~= "string" and type(k) ~= "number" then
      error(("csv: a field with a %s for its name"):format(type(k)), 0)
    end
    columns[#columns + 1] = k
  end
  table.sort(columns, before)
  return columns
end

-- { put, sep, special = pattern of what needs quotes, header, chosen = params.columns,
--   columns = list | false: there are none | nil: no item has come,
--   known = the set of them, where an item chose them }
local Rows = {}
Rows.__index = Rows

local function new_rows(params, put)
  return setmetatable({ put = put, sep = params.sep, header = params.header, chosen = params.columns,
    special = '["\r\n' .. params.sep:gsub("%p", "%%%0") .. "]", json = line.json "csv" }, Rows)
end

function Rows:field(v)
  if v == nil then return "" end
  local text = v
  if type(v) == "number" then
    text = tostring(v)
  elseif type(v) ~= "string" then
    text = self.json(v)
    if type(v) == "userdata" then return "" end        -- lua-cjson's null
  end
  if text:find(self.special) then return '"' .. text:gsub('"', '""') .. '"' end
  return text
end

-- A row with one empty field is not an empty line: that would be no row.
function Rows:row(fields, n)
  local texts = {}
  for i = 1, n do texts[i] = self:field(fields[i]) end
  local text = table.concat(texts, self.sep)
  return (text == "" and '""' or text) .. "\n"
end

function Rows:list(item, width, columns)
  if not columns then return self:row(item, width) end
  if not self.chosen and width > 0 then error("csv: a list after items with names", 0) end
  if width > #columns then error(("csv: %d fields for %d columns"):format(width, #columns), 0) end
  return self:row(item, #columns)
end

function Rows:named(item, columns)
  if not columns then error("csv: an item with names after lists", 0) end
  local known, fields = self.known, {}
  for i, name in ipairs(columns) do fields[i] = item[name] end
  for name in pairs(known and item or {}) do
    if not known[name] then
      error(("csv: '%s' has no column: they are the first item's names (csv(path, {columns={…}}) names them)")
        :format(name), 0)
    end
  end
  return self:row(fields, #columns)
end

local function set_of(list)
  local set = {}
  for _, x in ipairs(list) do set[x] = true end
  return set
end

-- From here on these are the columns.
function Rows:go_on(columns)
  self.columns = columns
  self.known = columns and not self.chosen and set_of(columns)
end

function Rows:begin(columns)
  self:go_on(columns)
  if columns and self.header then self.put(self:row(columns, #columns)) end
end

-- An item that cannot be written leaves nothing behind, and chooses no columns.
function Rows:item(item)
  if type(item) ~= "table" then item = { item } end
  local width, columns = width_of(item), self.columns
  if columns == nil then columns = self.chosen or not width and columns_of(item) end
  local text = width and self:list(item, width, columns) or self:named(item, columns)
  if self.columns == nil then self:begin(columns) end
  self.put(text)
end

-- The sink -----------------------------------------------------------------------

-- The columns go with the length of the file.
local function with_columns(state, all)
  local function add(value, weight)
    if not value then return nil end
    value.columns = all.columns
    return value, weight + (all.columns and #all.columns or 0)
  end
  local function take(value)
    state.load(value)
    all:go_on(value.columns)
  end
  return { all = function() return add(state.all()) end, load = take, apply = take,
           changes = function() return add(state.changes()) end, reset = state.reset }
end

function csv.make(params)
  local writer = file.writer("csv", params)
  local all = new_rows(params, function(text) writer:put(text) end)
  local op = file.op(writer, function(v) all:item(v) end)
  op.state = op.state and with_columns(op.state, all)
  function op.close()
    if all.columns == nil and all.chosen then
      all:begin(all.chosen)
      writer:flush()
    end
    writer:close()
  end
  return op
end

return csv
