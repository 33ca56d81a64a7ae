-- grammar: the notation of flows, syntax only.  Pure: no I/O, no globals.
-- SPDX-License-Identifier: MIT
--
-- grammar.parse(text) -> ast, mistakes
--   ast       list of statements { pos, macro = name | nil, chain }
--   chain     { term, link, term, link, … , term }
--   branch    { label = value | nil, chain }
--   term      { kind = "node", name, id, args, pools, keys, opts, pos, len }
--             { kind = "command", text, id, pools, keys, opts, pos, len }
--             { kind = "group", op, branches = { branch }, pos, len }
--   link      { op, opts, pos, len }
--   value     { kind = "number" | "string" | "name" | "lua", text, pos, len }
--   mistakes  list of { pos, len, message, hint }; empty when all is well
-- A statement with a mistake is left out of the ast and the parse goes on with
-- the next one, so that all mistakes are found in one go.  A mistake is where
-- the parser could not go on at the furthest place that any attempt reached.

local lpeg = require "lpeg"
local expected = require "mp.flow.expected"

local P, R, S, V = lpeg.P, lpeg.R, lpeg.S, lpeg.V
local C, Cc, Cg, Cp, Ct = lpeg.C, lpeg.Cc, lpeg.Cg, lpeg.Cp, lpeg.Ct
local Carg, Cmt = lpeg.Carg, lpeg.Cmt

local grammar = {}

-- What was wanted at the furthest place so far.  Always fails; the `1` only
-- tells lpeg that it never matches the empty string.
local function want(...)
  local what = { ... }
  return Cmt(Carg(1), function(_, at, furthest)
    if at > furthest.at then
      furthest.at, furthest.want = at, {}
    end
    if at == furthest.at then
      table.move(what, 1, #what, #furthest.want + 1, furthest.want)
    end
    return false
  end) * 1
end

local function need(p, ...) return p + want(...) end

local letter = R("az", "AZ") + "_"
local digit = R "09"
local alnum = letter + digit
local word = letter * alnum^0
local comment = P "--" * (1 - P "\n")^0
local here = (S " \t\r\f\v" + comment)^0         -- on this line
local space = (S " \t\r\n\f\v" + comment)^0      -- on any line

local function tok(p) return p * here end
local function wide(p) return p * space end       -- inside brackets
local function spanned(p)                         -- pos and stop around p
  return Cg(Cp(), "pos") * p * Cg(Cp(), "stop")
end

-- strings, and Lua expressions with everything balanced ----------------------

local function quoted(q)
  return P(q) * (P "\\" * 1 + (1 - S("\\\n" .. q)))^0 * need(P(q), "a closing " .. q)
end
local short = quoted '"' + quoted "'"
local long = Cmt(P "[" * C(P "="^0) * "[", function(text, at, level)
  local _, stop = text:find("]" .. level .. "]", at, true)
  return stop and stop + 1
end)

local function keyword(k) return P(k) * -alnum end
local luacomment = "--" * (long + (1 - P "\n")^0)
local closed = keyword "function" + keyword "if" + keyword "do"   -- by `end`

-- A block is what spans lines: anything that is opened and closed.
local rules = {
  block = short + long + luacomment
        + "(" * V "inner"^0 * need(P ")", "')'")
        + "[" * V "inner"^0 * need(P "]", "']'")
        + "{" * V "inner"^0 * need(P "}", "'}'")
        + keyword "function" * V "body" * need(keyword "end", "'end'"),
  piece = V "block"
        + (word - keyword "function" - keyword "end")
        + (1 - S "()[]{},\"'" - letter),
  inner = V "piece" + ",",
  body = (closed * V "body" * need(keyword "end", "'end'")
         + (V "inner" - closed - keyword "end"))^0,
}
local function lua(first)
  rules[1] = first
  return P(rules)
end
local expression, block = lua(V "piece"^1), lua(V "block")

-- values -----------------------------------------------------------------------

local number = C(P "-"^-1 * (P "0" * S "xX" * (digit + R("af", "AF"))^1
             + digit^1 * (P "." * digit^1)^-1 * (S "eE" * S "+-"^-1 * digit^1)^-1))
local unit = C(P "ms" + S "smhKMG%" + "/s") * -alnum
local measured = Cg(Cc "number", "kind") * Cg(number, "text")
  * (Cg(unit, "unit") + -(alnum + "%" + "/") + want "a unit (ms s m h, K M G, % or /s)")

local function value(p) return Ct(spanned(p)) end
local literal = value(measured) + value(Cg(Cc "string", "kind") * Cg(C(short), "text"))

local setting = need(literal + value(Cg(Cc "name", "kind") * Cg(C(word), "text")),
                     "a number, a string or a name")
-- In arguments a literal counts as one only when nothing follows it.
local argument = (literal * #(space * S ",)"))
  + value(Cg(Cc "lua", "kind") * Cg(C(expression), "text"))

-- the notation -------------------------------------------------------------------

local op = P "->" + "=>" + "!>" + "~>"

local function list(open, item, close)
  return Ct(wide(P(open))
    * (P(close) + wide(item) * (wide(P ",") * wide(item))^0 * need(P(close), "','", "'" .. close .. "'")))
end

local args = list("(", need(argument, "a value"), ")")
local option = Ct(spanned(Cg(need(C(word), "an option's name"), "name"))
  * space * need(wide(P "="), "'='") * Cg(setting, "value"))
local opts = list("{", option, "}")

local int = C(digit^1) * -alnum
local range = Cg(int, "low") * ".." * Cg(need(int, "a number after '..'"), "high")
local pool = Ct(Cg(Cp(), "pos") * tok(P "*")
  * need(range + Cg(int, "count") + Cg(C(keyword "cpu"), "cpu"),
         "a number", "a range like 2..8", "'cpu'")
  * Cg(Cp(), "stop"))
local key = Ct(Cg(Cp(), "pos") * tok(P "@")
  * Cg(need(C(word), "the name of a key function after '@'"), "name")
  * Cg(Cp(), "stop"))

-- `{*n | @key}` and options, which may begin on the next line: nothing else
-- that begins a statement looks like them.
local tail = Cg(Ct((space * (pool + key))^0), "marks")
  * (space * Cg(opts, "opts"))^-1

local instance = (P "#" * Cg(need(int, "a number after '#'"), "id"))^-1
local named = spanned(Cg(C(word), "name") * instance)
  * Cg(Cc "node", "kind") * (here * Cg(args, "args"))^-1
local shell = spanned(P "`" * Cg(C((1 - P "`")^0), "text") * need(P "`", "a closing '`'")
    * instance)
  * Cg(Cc "command", "kind")

local label = value(Cg(Cc "name", "kind") * Cg(C(word), "text")
                    + Cg(Cc "string", "kind") * Cg(C(short), "text")) * here * ":" * space

local notation = P {
  V "statement";
  statement = Ct(Cg(Cp(), "pos")
    * (tok(Cg(C(word), "macro")) * "=" * -P ">" * space)^-1
    * Cg(V "chain", "chain")) * here * Cp(),
  chain = Ct(V "term" * (space * V "link" * space * V "term")^0),
  link = need(Ct(spanned(Cg(C(op), "op")) * (here * Cg(opts, "opts"))^-1), "'->'"),
  term = need(Ct((named + shell) * tail) + V "group", "a stage"),
  group = Ct(spanned(Cg(Cc "group", "kind") * wide(P "(") * Cg(V "branches", "branches")
    * need(P ")", "'&'", "'|'", "')'"))),
  branches = Ct(V "branch" * ((space * Cg(C(P "&"), "op") * space * V "branch")^1
    + (space * Cg(C(P "|"), "op") * space * V "branch")^0)) * space,
  branch = Ct(Cg(label, "label")^-1 * Cg(V "chain", "chain")),
}

-- reading it ---------------------------------------------------------------------

-- Goes on behind a mistake: at the next statement that does not begin with a
-- link (such a line belongs to the broken one), nor stands within brackets that
-- the broken one opens.
local rest = (comment + block + word + (1 - S "\n;"))^0 * Cp()

local function skip(text, at)
  repeat
    local fine, stop = pcall(lpeg.match, rest, text, at, { at = at, want = {} })
    at = fine and stop or text:find("[\n;]", at)
    if not at or at > #text then return #text + 1 end
    at = at + 1
  until not (space * op):match(text, at)
  return at
end

local function number_of(v)
  v.value = math.tointeger(tonumber(v.text)) or tonumber(v.text)
end

local function string_of(v)
  local f, err = load("return " .. v.text, "=text", "t", {})
  v.value = f and f() or v.text
  v.mistake = not f and "not a string: " .. err:gsub("^text:%d+: ", "") or nil
end

local function lua_of(v)
  v.text = v.text:match "^(.-)%s*$"
  v.stop = v.pos + #v.text
  local f, err = load("return " .. v.text, "=argument", "t", {})
  if f then return end
  local wrong = v.text:match "^%-?%d[%d.]*([%a%%/]+)$"
  if wrong then
    v.mistake, v.hint = ("no unit '%s'"):format(wrong), "units are ms s m h, K M G, % and /s"
  else
    v.mistake = "not a Lua expression: " .. err:gsub("^argument:%d+: ", "")
      :gsub("'?<eof>'? expected near", "unexpected"):gsub("near <eof>", "at its end")
  end
end

local readers = { number = number_of, string = string_of, lua = lua_of }

-- Fills in what positions and texts imply: lengths, values, pools and keys.
local function settle(x)
  if x.stop and x.kind and readers[x.kind] then readers[x.kind](x) end
  if x.stop then x.len, x.stop = x.stop - x.pos, nil end
  if x.branches then x.op, x.branches.op = x.branches.op, nil end
  if x.marks then
    x.pools, x.keys = {}, {}
    for _, mark in ipairs(x.marks) do
      table.insert(mark.name and x.keys or x.pools, mark)
    end
    x.marks = nil
  end
  for _, child in pairs(x) do
    if type(child) == "table" then settle(child) end
  end
  return x
end

local gap = (S " \t\r\n\f\v;" + comment)^0 * Cp()

function grammar.parse(text)
  local ast, mistakes = {}, {}
  local at = gap:match(text)
  while at <= #text do
    local furthest = { at = at, want = {} }
    local fine, statement, stop = pcall(lpeg.match, notation, text, at, furthest)
    if not fine then           -- lpeg's stack has its limits
      table.insert(mistakes, { pos = at, len = 1, message = "this is nested too deeply" })
      return ast, mistakes
    elseif statement and (stop > #text or text:find("^[\n;]", stop)) then
      ast[#ast + 1] = settle(statement)
      at = stop
    else
      table.insert(mistakes, expected(text, at, furthest))
      at = skip(text, furthest.at)
    end
    at = gap:match(text, at)
  end
  return ast, mistakes
end

-- One option's value as it is written on a command line, or nil.
function grammar.value(text)
  local v = (setting * -1):match(text, 1, { at = 1, want = {} })
  return v and settle(v)
end

return grammar
