-- expected: what is said where a flow's text cannot be read on.  Pure.
-- SPDX-License-Identifier: MIT
--
-- expected(text, from, furthest) -> { pos, len, message, hint }
--   from      where the statement begins
--   furthest  { at, want = { what would have been read there, … } }

local lpeg = require "lpeg"
local suggest = require "mp.flow.suggest"

local C, P, R, S = lpeg.C, lpeg.P, lpeg.R, lpeg.S

local alnum = R("az", "AZ", "09") + "_"
local word = (alnum - R "09") * alnum^0

-- The token at a place, for messages and for the tildes below it.
local token = C(word + "->" + "=>" + "!>" + "~>" + "<-" + R "09" * alnum^0 + ".." + "|>" + ">>" + "//" + 1)

local function found(text, at)
  if at > #text then return "the end of the flow", 1 end
  if text:sub(at, at) == "\n" then return "the end of the line", 1 end
  local t = token:match(text, at)
  local rest = text:match("^[\x80-\xBF]+", at + 1)
  if #t == 1 and t >= "\xC0" and rest then t = t .. rest end
  local shown = t:gsub("%c", function(c) return ("\\%d"):format(c:byte()) end)
  return "'" .. shown .. "'", utf8.len(t) or #t, t
end

local function wants(furthest, what)
  for _, w in ipairs(furthest.want) do
    if w == what then return true end
  end
  return false
end

local function wanted(list)
  local seen, words = {}, {}
  for _, w in ipairs(list) do
    if not seen[w] then
      seen[w] = true
      words[#words + 1] = w
    end
  end
  if #words == 1 then return words[1] end
  return table.concat(words, ", ", 1, #words - 1) .. " or " .. words[#words]
end

-- hints ------------------------------------------------------------------------------

local arrows = {}
for t in ("|> >> > = | - → ~ ! <-"):gmatch "%S+" do arrows[t] = "did you mean '->'?" end

local arrow = { ["->"] = true, ["=>"] = true, ["!>"] = true, ["~>"] = true }

local comment = "a comment begins with '--'"

local instead_of_link = {
  ["."] = "a stage is a global of the script: f = t.f there, and f here",
  [","] = "a group in brackets has several: '&' sends to each, '|' to whichever is free",
  [")"] = "no '(' is open",
  ["//"] = comment,
  ["#"] = comment,
}

-- Marks of a stage at the wrong place: behind `)` or behind `}`.
local function misplaced(text, at, t)
  local behind = text:sub(1, at - 1):match "([)}])%s*$"
  if not behind or not t:find "^[*@{]$" then return nil end
  if behind == ")" then
    return "pools, keys and options belong to a stage or a link, not to a group"
  end
  return t ~= "{" and "pools and keys stand before '{…}'" or nil
end

local function hint(text, at, furthest, t)
  if t and wants(furthest, "'->'") then
    local known = arrows[t] or instead_of_link[t] or misplaced(text, at, t)
    if known then return known end
    if t:find "^[%a_`(]" then return "is a link missing?" end
  end
  if wants(furthest, "a stage") and (t == "#" or t == "//") then return comment end
  if wants(furthest, "a stage") and arrow[t] and text:sub(1, at - 1):find "[%-=!~]>%s*{[^{}]*}%s*$" then
    return "what a link says stands before its stage: -> {cap=64} b"
  elseif wants(furthest, "a stage") and text:find("^%d+%s*:", at) then
    return ('as a label it is a string: "%s"'):format(t)
  end
  if wants(furthest, "'cpu'") and t then return suggest.hint(t, { "cpu" }) end
end

-- what was opened and never closed -----------------------------------------------------

local function unclosed_text(text, furthest)
  for _, w in ipairs(furthest.want) do
    local q = w:match "^a closing '?([\"'`])"
    local open = q and text:sub(1, furthest.at - 1):match(".*()" .. q)
    if open then
      return { pos = open, len = furthest.at - open,
               message = ("this %s is never closed"):format(q == "`" and "command" or "string") }
    end
  end
end

local function quoted(q)
  return P(q) * (P "\\" * 1 + (1 - P(q)))^0 * P(q)
end

-- Steps over what may contain brackets that mean nothing.
local quiet = quoted '"' + quoted "'" + P "--" * (1 - P "\n")^0
            + P "`" * (1 - P "`")^0 * P "`" + (1 - S "()[]{}\"'`-") + S "\"'`-"

-- The last bracket that is open where the text ends.
local function open_bracket(text, from)
  local open, at = {}, from
  while at <= #text do
    local c = text:sub(at, at)
    if c:find "[%(%[{]" then
      open[#open + 1] = at
    elseif c:find "[%)%]}]" then
      open[#open] = nil
    end
    at = c:find "[%(%[{%)%]}]" and at + 1 or quiet:match(text, at)
  end
  return open[#open]
end

local function unclosed_bracket(text, from, furthest)
  local closers = wants(furthest, "')'") or wants(furthest, "'}'") or wants(furthest, "']'")
  if furthest.at <= #text or not closers then return nil end
  local open = open_bracket(text, from)
  return open and { pos = open, len = 1,
                    message = ("this '%s' is never closed"):format(text:sub(open, open)) }
end

local function mixed(text, furthest)
  if text:find("^[&|]", furthest.at) and wants(furthest, "'&'") then
    return { pos = furthest.at, len = 1,
             message = "'&' and '|' in one group: put one of them into brackets of its own" }
  end
end

return function(text, from, furthest)
  local special = unclosed_text(text, furthest) or unclosed_bracket(text, from, furthest)
    or mixed(text, furthest)
  if special then return special end
  local at = text:match("^[ \t]*()", furthest.at)
  local what, len, t = found(text, at)
  return { pos = at, len = len, hint = hint(text, at, furthest, t),
           message = ("expected %s, found %s"):format(wanted(furthest.want), what) }
end
