-- name: what the names of a flow stand for: stages, arguments, keys, pools.
-- SPDX-License-Identifier: MIT
--
-- name.spec(check, term) -> what the node does; { kind = "broken" } where that
-- cannot be said, which has been reported then.

local option = require "mp.flow.option"
local stage = require "mp.flow.stage"
local suggest = require "mp.flow.suggest"

local name = {}

local constructors = { filter = stage.filter, fold = stage.fold, source = stage.source,
                       stage = stage.stage }

local MOST_WORKERS <const> = 10000

-- A script's own table of globals may refuse to be asked for what is not there.
local function look_up(check, key)
  local fine, v = pcall(function() return check.env.stages[key] end)
  if fine then return v end
end

local function names_in(check, fits)
  local names = {}
  for key, v in pairs(check.env.stages) do
    if type(key) == "string" and fits(v) then names[#names + 1] = key end
  end
  return names
end

local function is_stage(v) return stage.callable(v) or stage.is_stage(v) end

-- arguments ------------------------------------------------------------------------

local function evaluate(check, value)
  if value.mistake then
    check:mistake(value, value.mistake, value.hint)
    return nil
  end
  if value.kind ~= "lua" then return 1, option.plain(value) end
  local f = load("return " .. value.text, "=argument", "t", check.env.globals)
  local results = table.pack(pcall(f))
  if not results[1] then
    check:mistake(value, (tostring(results[2]):gsub("^argument:%d+: ", "")))
    return nil
  end
  return results.n - 1, table.unpack(results, 2, results.n)
end

-- The last argument may give several values, as in a Lua call.
local function arguments(check, term)
  local list, fine = { n = 0 }, true
  for i, value in ipairs(term.args or {}) do
    local got = table.pack(evaluate(check, value))
    local n = got[1]
    fine = fine and n ~= nil
    if n and i < #term.args then n = 1 end
    for j = 1, n or 1 do
      list.n = list.n + 1
      list[list.n] = got[j + 1]
    end
    if n and n >= 1 and value.kind == "lua" and got[2] == nil then
      check:mistake(value, ("the argument '%s' is nil"):format(value.text),
        value.text:find "^arg%[%d+%]$" and "it stands behind the script on the command line" or nil)
      fine = false
    end
  end
  return fine and list
end

-- stages ---------------------------------------------------------------------------

local function constructed(check, term)
  local list = arguments(check, term)
  if not list then return nil end
  local fine, made = pcall(constructors[term.name], table.unpack(list, 1, list.n))
  if fine then return made end
  check:mistake(term, made)
end

local function built_in(check, term, def, list)
  local params, message = def.arguments(list)
  if not params then
    check:mistake(term, message)
    return { kind = "broken", role = def.role }
  end
  if def.fold then
    return setmetatable({ role = "between", name = term.name, def = def }, { __index = def.fold })
  end
  return { kind = "builtin", def = def, params = params, name = term.name, role = def.role }
end

-- What is a source in one place and a sink in another is settled when it is
-- known where it stands.
local function standard(check, term)
  local def = check.builtin[term.name]
  local list = arguments(check, term)
  if not list then return { kind = "broken", role = def.role } end
  if def.either then return { kind = "either", def = def, list = list, term = term } end
  return built_in(check, term, def, list)
end

local function own(check, term, v)
  if check.builtin[term.name] then
    check:warning(term, ("the script's own '%s' hides the built-in one"):format(term.name))
  end
  if term.args then
    local apart = check.text:find("^%s+%(", term.pos + term.len)
    check:mistake(term.args[1] or term,
      ("'%s' is a function of the script: it takes items, no arguments here"):format(term.name),
      apart and "is a link missing before '('?" or nil)
  end
  if stage.is_stage(v) then return v end
  return { kind = "map", f = v }
end

local function unknown(check, term, v)
  local word = term.name
  if v ~= nil and not constructors[word] then
    check:mistake(term, ("'%s' is a %s, not a function"):format(word, type(v)))
  elseif constructors[word] then
    check:mistake(term, ("'%s' makes a stage: write name = %s… in Lua, and name here")
      :format(word, word))
  else
    local names = names_in(check, is_stage)
    for known in pairs(check.builtin) do names[#names + 1] = known end
    for known in pairs(check.macros) do names[#names + 1] = known end
    check:mistake(term, ("no stage '%s'"):format(word), suggest.hint(word, names))
  end
end

local function command(check, term)
  if term.text:find "%S" then return { kind = "command", text = term.text } end
  check:mistake(term, "an empty command")
end

function name.spec(check, term)
  local broken = { kind = "broken" }
  if term.kind == "command" then return command(check, term) or broken end
  local v = look_up(check, term.name)
  if constructors[term.name] == v then v = nil end
  if is_stage(v) then return own(check, term, v) end
  if check.builtin[term.name] then return standard(check, term) end
  if constructors[term.name] and term.args then return constructed(check, term) or broken end
  unknown(check, term, v)
  return broken
end

-- The spec of a built-in that can be either, once its place is known.
function name.either(check, spec, fed, leads_on)
  local def = not fed and spec.def.source or not leads_on and spec.def.sink
  if def then return built_in(check, spec.term, def, spec.list) end
  check:mistake(spec.term, ("'%s' stands in the middle: it reads in the first place "
    .. "and writes in the last"):format(spec.term.name))
  return { kind = "broken" }
end

-- keys and pools -------------------------------------------------------------------

function name.key(check, mark)
  local f = look_up(check, mark.name)
  local at = { pos = mark.pos + 1, len = mark.len - 1 }
  if f == nil then
    check:mistake(at, ("no key function '%s'"):format(mark.name),
                  suggest.hint(mark.name, names_in(check, stage.callable)))
  elseif not stage.callable(f) then
    check:mistake(at, ("the key '%s' is a %s, not a function"):format(mark.name, type(f)))
  end
  return { name = mark.name, f = f, pos = mark.pos, len = mark.len }
end

local function workers(check, mark, text)
  local n = math.tointeger(tonumber(text))
  if n and n >= 1 and n <= MOST_WORKERS then return n end
  check:mistake(mark, ("a pool of %s processes"):format(text),
                ("it has from 1 to %d"):format(MOST_WORKERS))
end

-- nil | n | "cpu" | { low =, high = }
function name.pool(check, mark)
  if mark.cpu then return "cpu" end
  if mark.count then return workers(check, mark, mark.count) end
  local low, high = workers(check, mark, mark.low), workers(check, mark, mark.high)
  if not (low and high) then return nil end
  if low > high then
    check:mistake(mark, ("a pool of at least %d and at most %d processes"):format(low, high),
                  ("did you mean '*%d..%d'?"):format(high, low))
    return nil
  end
  return low == high and low or { low = low, high = high }
end

return name
