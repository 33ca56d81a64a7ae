-- text: built-in stages that take texts apart: words, split.
-- SPDX-License-Identifier: MIT

local argument = require "mp.flow.argument"

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
    local gmatch = string.gmatch
    return { item = function(v)
      for w in gmatch(text_only("words", v), "[%w_\x80-\xFF]+") do out(w) end
    end }
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
    local sep = params.sep
    return { item = function(v)
      local line, at = text_only("split", v), 1
      while true do
        local from, to = line:find(sep, at, true)
        if not from then break end
        out(line:sub(at, from - 1))
        at = to + 1
      end
      out(line:sub(at))
    end }
  end,
}

return text
