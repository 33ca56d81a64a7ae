-- template: the text of a command that has places for its item.  Pure.
-- SPDX-License-Identifier: MIT
--
-- template(text, json, fail) -> fill(item) -> the text for sh -c
--                                         | nil: it has no place for such an item
--   json(table)      its text, for {}
--   fail(message)    is called, and raises, where an item does not fit in
--
-- Places, as GNU parallel has them:
--   {}                           the item; of a table, its JSON
--   {.} {/} {//} {/.}            without extension; the name alone; its folder; the
--                                name without extension
--   {name} {1} and {name.} …     of a table: its fields.  For a string, and after a
--                                $, they are text of the command's own
-- A value never becomes part of the shell's program: it stands in a variable that
-- the text is preceded by, and the place in the text names that variable.  So
-- nothing in an item is executed or split, whether the place is bare or in quotes of
-- either kind; a place whose quotes are mistaken here gives a wrong word at worst.

-- places ------------------------------------------------------------------------

-- The file name's parts, by the rules of GNU parallel.
local part = {
  [""] = function(s) return s end,
  ["."] = function(s) return (s:gsub("%.[^/.]*$", "")) end,
  ["/"] = function(s) return (s:gsub("^.*/", "")) end,
  ["/."] = function(s) return (s:gsub("^.*/", ""):gsub("%.[^/.]*$", "")) end,
  ["//"] = function(s)
    local trimmed = s:gsub("/+$", "")
    if trimmed == "" then return s:sub(1, 1) == "/" and "/" or "." end
    local folder = trimmed:match "^(.*)/[^/]*$"
    if not folder then return "." end
    folder = folder:gsub("/+$", "")
    return folder == "" and "/" or folder
  end,
}

-- The place that begins at `at`: { field = name | number | nil, part =, text = },
-- and where it ends.
local function place_at(text, at)
  local inner = text:match("^{([%w_./]*)}", at)
  if not inner then return nil end
  local name, how = inner:match "^([%w_]*)([./]*)$"
  if not name or not part[how] then return nil end
  if name ~= "" and not name:find "^[%a_]" and not name:find "^[1-9]%d*$" then return nil end
  local field = name ~= "" and (math.tointeger(tonumber(name)) or name) or nil
  return { field = field, part = part[how], text = "{" .. inner .. "}" }, at + #inner + 2
end

-- quotes ------------------------------------------------------------------------

-- How a place names its variable: bare, in "…", in '…'.
local reference = {
  bare = '"${_mp%d}"',
  double = "${_mp%d}",
  single = "'\"${_mp%d}\"'",
}

-- What a character of the program does to the quotes that stand open: `stack` holds
-- their kinds, "bare" for the program itself and for each $(…) in it.
local steps = {}

function steps.single(stack, c)
  if c == "'" then stack[#stack] = nil end
end

function steps.double(stack, c, next_)
  if c == "\\" then return 2 end
  if c == '"' then
    stack[#stack] = nil
  elseif c == "$" and next_ == "(" then
    stack[#stack + 1] = "bare"
    return 2
  end
end

function steps.bare(stack, c, next_)
  if c == "\\" then return 2 end
  if c == "'" then
    stack[#stack + 1] = "single"
  elseif c == '"' then
    stack[#stack + 1] = "double"
  elseif c == "(" then
    stack[#stack + 1] = "bare"
  elseif c == ")" and #stack > 1 then
    stack[#stack] = nil
  end
end

-- A comment's quotes are none.
local function comment_at(text, at)
  local before = at == 1 and " " or text:sub(at - 1, at - 1)
  return text:sub(at, at) == "#" and before:find "[%s;&|()]"
         and (text:find("\n", at, true) or #text + 1)
end

-- The text with its places replaced, and the list of them; `fields`: also {name}.
local function compile(text, fields)
  local pieces, places, stack, at = {}, {}, { "bare" }, 1
  while at <= #text do
    local kind, c = stack[#stack], text:sub(at, at)
    local place, after = nil, kind == "bare" and comment_at(text, at)
    if c == "{" and text:sub(at - 1, at - 1) ~= "$" then place, after = place_at(text, at) end
    if place and (fields or not place.field) then
      places[#places + 1] = place
      pieces[#pieces + 1] = reference[kind]:format(#places)
    else
      after = not place and after or at + (steps[kind](stack, c, text:sub(at + 1, at + 1)) or 1)
      pieces[#pieces + 1] = text:sub(at, after - 1)
    end
    at = after
  end
  return table.concat(pieces), places
end

-- items -------------------------------------------------------------------------

local function value_of(place, item, json, fail)
  local v, what = item, "the item"
  if place.field then
    v, what = item[place.field], ("the item's field '%s'"):format(place.field)
    if v == nil then
      fail(("the item has no field '%s' for %s (braces of the command's own: with spaces, { %s })")
        :format(place.field, place.text, place.field))
    end
  elseif type(v) == "table" then
    v = json(v)
  end
  if type(v) == "number" then v = tostring(v) end
  if type(v) ~= "string" then
    fail(("%s is a %s; %s takes a string or a number"):format(what, type(v), place.text))
  end
  if v:find("\0", 1, true) then
    fail(("%s has a NUL byte, which no command line may have; without %s the item is given "
          .. "on stdin"):format(what, place.text))
  end
  return place.part(v)
end

return function(text, json, fail)
  local plain, plain_places = compile(text, false)
  local whole, whole_places = compile(text, true)
  return function(item)
    local program, places = plain, plain_places
    if type(item) == "table" then program, places = whole, whole_places end
    if #places == 0 then return nil end
    local set = {}
    for i, place in ipairs(places) do
      set[i] = ("_mp%d='%s'"):format(i, (value_of(place, item, json, fail):gsub("'", "'\\''")))
    end
    return table.concat(set, " ") .. "; " .. program
  end
end
