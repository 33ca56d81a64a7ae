-- text: built-in stages that take texts apart: words, split, match.
-- SPDX-License-Identifier: MIT
--
-- A text is cut in C, many pieces at once.  `words` needs not even that where
-- its results are only counted: words.tally(params, ctx, tally) makes an op
-- whose items go straight into a core.tally, and which says how many there were.

local argument = require "mp.flow.argument"
local cut = require("mp.core").text
local fault = require "mp.flow.pattern"

local text = {}

local function text_only(name, v)
  if type(v) == "string" then return v end
  if type(v) == "number" then return tostring(v) end
  error(("%s: a string expected, got %s"):format(name, type(v)), 0)
end

-- A word is a run of letters, digits and `_`; bytes beyond ASCII are letters.
text.words = {
  role = "between", pool = "any", light = true, whole = true,
  arguments = argument.nothing "words",
  make = function(_, _, out)
    local words, list = cut.words, {}
    return { item = function(v)
      local s, at = text_only("words", v), 1
      repeat
        local n, after = words(s, list, at)
        for i = 1, n do out(list[i]) end
        at = after
      until not at
    end }
  end,
  tally = function(_, _, tally)
    return { item = function(v) return tally:words(text_only("words", v)) end }
  end,
}

text.split = {
  role = "between", pool = "any", light = true,
  arguments = function(list)
    local sep = list[1]
    if list.n ~= 1 or type(sep) ~= "string" or sep == "" then
      return nil, "'split' expects a separator: split(\",\")"
    end
    return { sep = sep }
  end,
  make = function(params, _, out)
    local split, list, sep = cut.split, {}, params.sep
    return { item = function(v)
      local s, at = text_only("split", v), 1
      repeat
        local n, after = split(s, sep, list, at)
        for i = 1, n do out(list[i]) end
        at = after
      until not at
    end }
  end,
}

-- One capture, or none and the whole match: a string.  Several: a list.
text.match = {
  role = "between", pool = "any", light = true,
  arguments = function(list)
    local pattern = list[1]
    if list.n ~= 1 or type(pattern) ~= "string" then
      return nil, "'match' expects a Lua pattern: match(\"(%w+)=(%w+)\")"
    end
    local wrong = fault(pattern)
    if wrong then
      return nil, ("'match': the pattern %q is malformed: %s"):format(pattern, wrong)
    end
    return { pattern = pattern }
  end,
  make = function(params, _, out)
    local match, pattern = cut.match, params.pattern
    return { item = function(v)
      local r = match(text_only("match", v), pattern)
      if r ~= nil then out(r) end
    end }
  end,
}

return text
