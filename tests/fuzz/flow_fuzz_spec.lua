-- flow_fuzz: whatever stands in a flow is understood or refused, at a place
-- inside it, and what is understood is a graph that holds together.
-- SPDX-License-Identifier: MIT
--
-- With MP_FUZZ_SECONDS it goes on for so long, with other numbers each time.

local check = require "mp.flow.check"
local checks = require "tests.flow_checks"
local grammar = require "mp.flow.grammar"
local place = require "mp.flow.place"

local random = math.random
local seconds = tonumber(os.getenv "MP_FUZZ_SECONDS")
local KINDS <const> = 4
local CASES <const> = 2500                 -- of each kind at least
local BLINK <const> = 2                    -- seconds of one case, far above all

local function pick(list) return list[random(#list)] end

-- mutations and token soup -------------------------------------------------------------

local seeds = {
  [[lines(arg[1] or "access.log") -> parse*cpu -> bytes@path{cap=4K} -> top(20) -> stdout]],
  "m = a#2 -> b*2..8@path\ngen => m => (x: c | 'y': d | else: `gzip -dc`{per=item}) -> out -- end",
  "gen -> (a & b -> (c | d)) -> e{timeout=5s, retry=3} !> append('bad'); e -> {full=drop_new} null",
  "get = (range(1, 9) & lines('x') -> words)\nget -> a -> (b & tee('x')) -> zip -> csv('y')",
  "in -> rate(10/s) -> batch(100, 1s) -> window(10s) -> count@path*4 -> look\n  -> out; look !> out",
  "csv('a') -> (a -> (jsonl('b') & b) & c) -> filter(function(x) if x then return 1 end end) => null",
}

local tokens = {
  "->", "=>", "!>", "~>", "(", ")", "{", "}", "*", "@", "#", "&", "|", ":", ";", "\n", ",", "=", "..", "`",
  '"', "'", "--", "[[", "]]", "\\", "\0", "\xFF", "é", "a", "b", "c", "gen", "big", "look", "bytes", "path",
  "m", "words", "zip", "sort", "count", "null", "out", "in", "csv", "append", "range(1, 2)", "`cat`", "x:",
  "else:", "cpu", "2..8", "8..2", "0", "1", "5s", "10/s", "4K", "5%", "1e400", "cap", "timeout", "{cap=3}",
  "{full=wait}", "{per=item}", "{replay=yes}", "function", "end", "if", "do", "return", "nil", "x.y", "(1)", "()",
}

local function mutate(text)
  for _ = 1, random(4) do
    local at, to = random(#text + 1), random(0, 6)
    local bit = random() < 0.7 and pick(tokens) or ""
    if random() < 0.2 then bit = text:sub(to, to + random(30)) end
    text = text:sub(1, at - 1) .. bit .. text:sub(at + to)
  end
  return text
end

local function soup()
  local list = {}
  for i = 1, random(30) do list[i] = pick(tokens) end
  return table.concat(list, random() < 0.5 and " " or "")
end

-- flows that are mostly right ------------------------------------------------------------

local between = { "a", "b", "c", "d", "look", "big", "total", "words", "sort", "distinct", "zip", "`cat`", "parse" }
local tails = { "", "", "", "", "*3", "*2..8", "@path", "@path*cpu", "{cap=5}", "*2{timeout=1s, retry=2}" }
local ways = { "->", "->", "->", "->", "=>", "-> {cap=9}", "->\n", "->" }

-- A name of its own, most of the time.
local function fresh(state, name)
  state.n = state.n + 1
  if random() < 0.03 then return name end
  if name:find "%(" then return (name:gsub("^(%w+)", "%1#" .. state.n)) end
  return name .. "#" .. state.n
end

local chain

local function group(state, depth)
  local labelled, sign = random() < 0.3, random() < 0.5 and " & " or " | "
  if labelled then sign = " | " end
  local parts = {}
  for i = 1, random(2, 3) do
    local sinks = i > 1 and random() < 0.3
    parts[i] = (labelled and ("l%d: "):format(i) or "") .. chain(state, depth + 1, sinks)
  end
  return "(" .. table.concat(parts, sign) .. ")"
end

function chain(state, depth, sinks)
  local parts = {}
  for i = 1, random(1, 3) do
    local nested = depth < 3 and random() < 0.25
    parts[i] = nested and group(state, depth) or fresh(state, pick(between)) .. pick(tails)
    if nested and random() < 0.5 then parts[i] = fresh(state, "a") .. " -> " .. parts[i] end
  end
  if sinks then parts[#parts + 1] = fresh(state, "null") end
  local text = parts[1]
  for i = 2, #parts do text = ("%s %s %s"):format(text, pick(ways), parts[i]) end
  return text
end

local function flow_text()
  local state = { n = 1 }
  local source = pick { "gen", "range(1, 2)", "(gen & range(1, 2))", "csv('x')", "in", "m" }
  local text = ("%s %s %s"):format(source, pick(ways), chain(state, 1, true))
  if random() < 0.2 then text = text .. "; b#2 !> null#99" end
  if source == "m" then text = "m = gen -> " .. chain(state, 2, false) .. "\n" .. text end
  return text
end

-- one case ---------------------------------------------------------------------------------

local function inside(text, list)
  for _, m in ipairs(list) do
    assert(math.type(m.pos) == "integer" and m.pos >= 1 and m.pos <= #text + 1, "a place outside")
    assert(math.type(m.len) == "integer" and m.len >= 1, "a mistake without a length")
    assert(type(m.message) == "string" and not m.message:find("table: 0x", 1, true), "no message")
    place.format({ file = "p", source = text, offset = 0, line = 1 }, m)
  end
end

-- Whether it is a flow without mistakes.
local function try(text)
  local ast, wrong = grammar.parse(text)
  inside(text, wrong)
  local env = { stages = checks.stages, globals = { arg = { "x" } }, builtin = checks.builtin }
  local graph, mistakes, warnings = check(ast, env, text, #wrong > 0)
  inside(text, mistakes)
  inside(text, warnings)
  if #wrong + #mistakes > 0 then return false end
  checks.validate(graph)
  return true
end

local function cases(make)
  math.randomseed(seconds and os.time() or 4711)
  local right, done, ends = 0, 0, os.time() + (seconds or 0) // KINDS
  while seconds and os.time() < ends or done < CASES do
    local text = make()
    local began = os.clock()
    local fine, result = xpcall(try, debug.traceback, text)
    if not fine then error(("%q\n%s"):format(text, result), 0) end
    assert(os.clock() - began < BLINK, text)
    done = done + 1
    if result then right = right + 1 end
  end
  return right / done
end

describe("a flow", function()
  it("that was changed at random", function()
    assert.is_true(cases(function() return mutate(pick(seeds)) end) > 0.005)
  end)

  it("of random tokens", function() cases(soup) end)

  it("that is mostly right", function()
    assert.is_true(cases(flow_text) > 0.1)
  end)

  it("that was mostly right before it was changed", function()
    cases(function() return mutate(flow_text()) end)
  end)
end)
