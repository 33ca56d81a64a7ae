-- option: the options of stages and links, their values and their defaults.
-- SPDX-License-Identifier: MIT
--
-- option.read(name, value) -> value | nil, message, hint.  A value is what the
-- grammar read ({ kind, value, unit, text }) or a plain Lua value: a number, or
-- a string as it is written in a flow ("5s", "drop_new").  Pure.

local grammar = require "mp.flow.grammar"
local suggest = require "mp.flow.suggest"

local option = {}

local MOST <const> = 2147483647     -- items that one lease may ask for

local scale = { K = 1024, M = 1024 ^ 2, G = 1024 ^ 3 }
local seconds = { ms = 0.001, s = 1, m = 60, h = 3600 }
local factor = { ["%"] = 0.01, ["/s"] = 1 }

-- A literal as a Lua value, for arguments: 4K is 4096, 5s is 5, 10% is 0.1.
function option.plain(v)
  if v.kind == "name" then return v.text end
  local by = v.unit and (scale[v.unit] or seconds[v.unit] or factor[v.unit]) or 1
  if by == 1 then return v.value end
  return math.tointeger(v.value * by) or v.value * by
end

-- kinds of values --------------------------------------------------------------------
-- Each has `read`, a function(v) -> value | nil, and says what it `expects`; a
-- second result of read is more to the point.

local function count(least)
  local usual = least == 0 and "a whole number" or "a whole number from 1 on"
  return {
    expects = usual,
    read = function(v)
      if type(v.value) ~= "number" or v.unit and not scale[v.unit] then return nil end
      local n = math.tointeger(option.plain(v))
      if n and n > MOST then return nil, ("%s, at most %d"):format(usual, MOST) end
      return n and n >= least and n or nil
    end,
  }
end

local function time(zero)
  return {
    expects = ("a time%s, such as 5s or 100ms"):format(zero and "" or " above 0"),
    read = function(v)
      if type(v.value) ~= "number" or v.unit and not seconds[v.unit] then return nil end
      local t = option.plain(v)
      return (t > 0 or zero and t == 0) and t < math.huge and t or nil
    end,
  }
end

local function choice(...)
  local words = { ... }
  local known = {}
  for _, w in ipairs(words) do known[w] = true end
  return {
    words = words,
    expects = table.concat(words, ", ", 1, #words - 1) .. " or " .. words[#words],
    read = function(v)
      local text = v.kind == "string" and v.value or v.text
      return known[text] and text or nil
    end,
  }
end

local function either(kind, word)
  return {
    words = { word },
    expects = kind.expects .. ", or " .. word,
    read = function(v)
      if v.kind ~= "number" and (v.text == word or v.value == word) then return word end
      return kind.read(v)
    end,
  }
end

-- the options ------------------------------------------------------------------------

local kinds = {
  cap      = { kind = count(1), default = 1024 },
  chunk    = { kind = either(count(1), "auto"), default = "auto" },
  full     = { kind = choice("wait", "drop_new", "drop_old"), default = "wait" },
  retry    = { kind = count(0), default = 0 },
  backoff  = { kind = time(true), default = 0.1 },
  timeout  = { kind = time(false) },
  on_error = { kind = choice("stop", "skip"), default = "stop" },
  restarts = { kind = count(0), default = 3 },
  replay   = { kind = choice("yes", "mark", "no"), default = "no" },
  per      = { kind = choice("item", "line"), default = "line" },
}

local names = {}
for name in pairs(kinds) do names[#names + 1] = name end
table.sort(names)
option.names = names

function option.default(name) return kinds[name].default end

-- A Lua value in the form of a literal.
local function literal(value)
  if type(value) == "number" then return { kind = "number", value = value } end
  if type(value) == "string" then
    return grammar.value(value) or { kind = "name", text = value }
  end
  return { kind = type(value), text = "a " .. type(value) }
end

local function written(v)
  if v.kind == "number" then return (v.text or tostring(v.value)) .. (v.unit or "") end
  return v.text
end

function option.read(name, value)
  local v = type(value) == "table" and value.kind and value or literal(value)
  local known = kinds[name]
  if not known then
    return nil, ("no option '%s'"):format(tostring(name)), suggest.hint(tostring(name), names)
  end
  local kind = known.kind
  local got, better = kind.read(v)
  if got ~= nil then return got end
  local word = v.kind == "string" and v.value or v.text
  return nil, ("'%s' expects %s, not %s"):format(name, better or kind.expects, written(v)),
    kind.words and word and suggest.hint(word, kind.words) or nil
end

-- where they mean something ------------------------------------------------------------

local of_sources = { chunk = true, restarts = true, replay = true }
local of_links = { cap = true, full = true }
local taken = { cap = true, full = true, chunk = true }

-- Why an option means nothing for a node whose role and spec are known; or nil.
function option.refused(name, node)
  local spec = node.spec
  if name == "per" and spec.kind ~= "command" then
    return ("'per' is for shell commands, and '%s' is none"):format(node.id)
  elseif name == "replay" and spec.kind ~= "source" then
    return ("'replay' is for a source of your own, and '%s' is none"):format(node.id)
  elseif node.role == "source" and of_links[name] and not (name == "cap" and spec.def and spec.def.port) then
    return ("'%s' is a source and reads no link: '%s' belongs to the next stage")
      :format(node.id, name)
  elseif node.role == "source" and not of_sources[name] and not of_links[name] then
    return ("'%s' is a source: '%s' is for stages that take items"):format(node.id, name)
  elseif spec.def and (spec.def.owner or spec.def.port) and not (taken[name] or node.role == "source") then
    return ("'%s' has no process of its own, for which '%s' would mean anything")
      :format(node.id, name)
  end
end

-- from outside -------------------------------------------------------------------------

function option.hinted(message, hint)
  return hint and ("%s (%s)"):format(message, hint) or message
end

-- { ["stage.option"] = text } -> { stage = { option = value } }, messages
function option.outside(given)
  local set, wrong = {}, {}
  for name, text in pairs(given) do
    local id, word = tostring(name):match "^(.+)%.([^.]+)$"
    if id then
      local value, message, hint = option.read(word, tostring(text))
      if value == nil then
        wrong[#wrong + 1] = option.hinted(("mprun: -o %s=%s: %s"):format(name, text, message), hint)
      end
      set[id] = set[id] or {}
      set[id][word] = value
    end
  end
  table.sort(wrong)
  return set, wrong
end

return option
