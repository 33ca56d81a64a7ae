-- flow_grammar: the notation: what it reads, and what it says of mistakes.
-- SPDX-License-Identifier: MIT

local grammar = require "mp.flow.grammar"
local place = require "mp.flow.place"

local function parse(text)
  local ast, mistakes = grammar.parse(text)
  assert.same({}, mistakes)
  return ast
end

-- The terms of the only statement, without the links between them.
local function terms(text)
  local ast = parse(text)
  assert.equal(1, #ast)
  local list = {}
  for i = 1, #ast[1].chain, 2 do list[#list + 1] = ast[1].chain[i] end
  return list
end

-- All mistakes as they are printed for a file p.lua that is just this text.
local function complaints(text)
  local _, mistakes = grammar.parse(text)
  local where = { file = "p.lua", source = text, offset = 0, line = 1 }
  for i, m in ipairs(mistakes) do mistakes[i] = place.format(where, m) end
  return table.concat(mistakes, "\n")
end

describe("the grammar reads", function()
  it("a chain of names", function()
    local t = terms "a -> b -> c"
    assert.same({ "a", "b", "c" }, { t[1].name, t[2].name, t[3].name })
    assert.same({ 1, 1 }, { t[1].pos, t[1].len })
    assert.equal(11, t[3].pos)
  end)

  it("all four links", function()
    local chain = parse("a -> b => c !> d ~> e")[1].chain
    assert.same({ "->", "=>", "!>", "~>" },
      { chain[2].op, chain[4].op, chain[6].op, chain[8].op })
  end)

  it("pools and keys in either order", function()
    local t = terms "a*4@k -> b@k*2..8 -> c*cpu"
    assert.equal("4", t[1].pools[1].count)
    assert.equal("k", t[1].keys[1].name)
    assert.same({ "2", "8" }, { t[2].pools[1].low, t[2].pools[1].high })
    assert.equal("cpu", t[3].pools[1].cpu)
  end)

  it("instances", function()
    local t = terms "a#2 -> b#17(1)"
    assert.same({ "2", "17" }, { t[1].id, t[2].id })
    assert.equal(3, t[1].len)
  end)

  it("literals with units in arguments and options", function()
    local t = terms "a(5, 2.5s, 4K, 10%, 100/s, 'x', \"y\\n\"){cap=4K, full=drop_new}"
    local a = t[1].args
    assert.same({ 5, 2.5, 4, 10, 100, "x", "y\n" },
      { a[1].value, a[2].value, a[3].value, a[4].value, a[5].value, a[6].value, a[7].value })
    assert.same({ "s", "K", "%", "/s" }, { a[2].unit, a[3].unit, a[4].unit, a[5].unit })
    local o = t[1].opts
    assert.same({ "cap", 4, "K" }, { o[1].name, o[1].value.value, o[1].value.unit })
    assert.same({ "full", "drop_new" }, { o[2].name, o[2].value.text })
  end)

  it("Lua expressions in arguments", function()
    for _, text in ipairs {
      'arg[1] or "x, )"', "f(1, 2)", "{ 1, 2 }", "n * 2 + 1", "'a' .. 'b'", "100 / 5",
      "function(a, b) if a then return a, b end for i = 1, 2 do end end",
      "[==[ ) , ]==]", "endless", "t.done", "-x",
    } do
      local a = terms("f(" .. text .. ", 7)")[1].args
      assert.same({ "lua", text, nil, 7 }, { a[1].kind, a[1].text, a[1].mistake, a[2].value })
    end
  end)

  it("groups with branches and labels", function()
    local t = terms [[a -> (b & c -> d) -> (x: e | "y z": f | else: g)]]
    assert.equal("group", t[2].kind)
    assert.equal("d", t[2].branches[2].chain[3].name)
    local b = t[3].branches
    assert.same({ "name", "x", "string", "y z", "name", "else" },
      { b[1].label.kind, b[1].label.text, b[2].label.kind, b[2].label.value,
        b[3].label.kind, b[3].label.text })
  end)

  it("shell commands, and options of links", function()
    local ast = parse "a -> {cap=3} `gzip -dc`*2{per=item}"
    assert.equal("cap", ast[1].chain[2].opts[1].name)
    assert.equal("gzip -dc", ast[1].chain[3].text)
    assert.equal("2", ast[1].chain[3].pools[1].count)
    assert.equal("7", terms("`sort`#7")[1].id)
  end)

  it("statements by line or `;`, macros and comments", function()
    local ast = parse "m = a -> b -- see -> there\n\nm -> c; d\n  -> e -- more\n  *4\n;"
    assert.equal(3, #ast)
    assert.equal("m", ast[1].macro)
    assert.equal("4", ast[3].chain[3].pools[1].count)
  end)

  it("arguments and options over several lines, with comments", function()
    local t = terms "a( -- one\n 'x', -- two, and (\n 5 -- three\n){ -- four\n cap = 3, -- five\n full=wait\n}"
    assert.same({ "x", 5 }, { t[1].args[1].value, t[1].args[2].value })
    assert.same({ "cap", "full" }, { t[1].opts[1].name, t[1].opts[2].name })
  end)

  it("literals that have a unit, alone in an argument", function()
    local option = require "mp.flow.option"
    local function plain(text)
      local list = terms("f(" .. text .. ")")[1].args
      for i, v in ipairs(list) do list[i] = option.plain(v) end
      return list
    end
    assert.same({ 10 }, plain "10/s")
    assert.same({ 10 }, plain "10s")
    assert.same({ 100, 1 }, plain "100, 1s")
    assert.same({ 0.25, 7200, 90, 0.05, 1048576, -3 }, plain "250ms, 2h, 1.5m, 5%, 1M, -3")
  end)

  it("groups that span lines, and macros in them", function()
    local ast = parse "m =\n  a\n  -> b\n\nx -> (m -> c -- one\n  & -- two\n  d)\n  -> e"
    assert.same({ "m", 2, "&" }, { ast[1].macro, #ast, ast[2].chain[3].op })
    assert.equal("m", ast[2].chain[3].branches[1].chain[1].name)
  end)

  it("nothing", function()
    assert.same({}, parse "")
    assert.same({}, parse " \n ; -- only a comment")
  end)
end)

describe("the grammar complains of", function()
  local function it_says(what, text, expected)
    it(what, function() assert.equal(expected, complaints(text)) end)
  end

  it_says("a missing link", "a b", [[
p.lua:1:3: error: expected '->', found 'b' (is a link missing?)
    1 | a b
      |   ^]])

  it_says("another language's arrow", "lines |> words", [[
p.lua:1:7: error: expected '->', found '|>' (did you mean '->'?)
    1 | lines |> words
      |       ^~]])

  it_says("a link that leads nowhere", "a -> b ->", [[
p.lua:1:10: error: expected a stage, found the end of the flow
    1 | a -> b ->
      |          ^]])

  it_says("a pool of what is no number", "a*cpuu -> b", [[
p.lua:1:3: error: expected a number, a range like 2..8 or 'cpu', found 'cpuu' (did you mean 'cpu'?)
    1 | a*cpuu -> b
      |   ^~~~]])

  it_says("a key without a name", "a@ -> b", [[
p.lua:1:4: error: expected the name of a key function after '@', found '->'
    1 | a@ -> b
      |    ^~]])

  it_says("an unknown unit", "a{timeout=5x} -> b", [[
p.lua:1:12: error: expected a unit (ms s m h, K M G, % or /s), found 'x'
    1 | a{timeout=5x} -> b
      |            ^]])

  it_says("a string that is never closed", "a('x) -> b", [[
p.lua:1:3: error: this string is never closed
    1 | a('x) -> b
      |   ^~~~~~~~]])

  it_says("a command that is never closed", "a -> `gzip", [[
p.lua:1:6: error: this command is never closed
    1 | a -> `gzip
      |      ^~~~~]])

  it_says("a link's options between two arrows", "a -> {cap=3} -> b", [[
p.lua:1:14: error: expected a stage, found '->' (what a link says stands before its stage: -> {cap=64} b)
    1 | a -> {cap=3} -> b
      |              ^~]])

  it_says("a label that is a number", "a -> (1: b | else: c)", [[
p.lua:1:7: error: expected a stage, found '1' (as a label it is a string: "1")
    1 | a -> (1: b | else: c)
      |       ^]])

  it_says("`&` and `|` in one group", "a -> (b & c | d) -> e", [[
p.lua:1:13: error: '&' and '|' in one group: put one of them into brackets of its own
    1 | a -> (b & c | d) -> e
      |             ^]])

  it_says("an option without a value", "a{cap} -> b", [[
p.lua:1:6: error: expected '=', found '}'
    1 | a{cap} -> b
      |      ^]])

  it_says("a bracket that is never closed", "a(\")\") -> (b & c(')')\n-> `)` -> d -- )", [[
p.lua:1:11: error: this '(' is never closed
    1 | a(")") -> (b & c(')')
      |           ^]])

  it_says("a function that is never closed", "a(function(x)\n  if x then return 1\nend) -> b\nc ->", [[
p.lua:3:4: error: expected 'end', found ')'
    3 | end) -> b
      |    ^
p.lua:4:5: error: expected a stage, found the end of the flow
    4 | c ->
      |     ^]])

  it_says("what is missing in a group", "a -> (b, c) -> (x: d | e f) -> ()", [[
p.lua:1:8: error: expected '->', '&', '|' or ')', found ',' ]]
    .. [[(a group in brackets has several: '&' sends to each, '|' to whichever is free)
    1 | a -> (b, c) -> (x: d | e f) -> ()
      |        ^]])

  it_says("what comes in the wrong order", "a{cap=3}*4 -> b", [[
p.lua:1:9: error: expected '->', found '*' (pools and keys stand before '{…}')
    1 | a{cap=3}*4 -> b
      |         ^]])

  it_says("what a group cannot have, and names that are none", "a -> (b | c)*4 -> (d & e){cap=3}; f.g -> h", [[
p.lua:1:13: error: expected '->', found '*' (pools, keys and options belong to a stage or a link, not to a group)
    1 | a -> (b | c)*4 -> (d & e){cap=3}; f.g -> h
      |             ^
p.lua:1:36: error: expected '->', found '.' (a stage is a global of the script: f = t.f there, and f here)
    1 | a -> (b | c)*4 -> (d & e){cap=3}; f.g -> h
      |                                    ^]])

  it_says("comments of other languages, at the next token", "a -> b  // see\n# there", [[
p.lua:1:9: error: expected '->', found '//' (a comment begins with '--')
    1 | a -> b  // see
      |         ^~
p.lua:2:1: error: expected a stage, found '#' (a comment begins with '--')
    2 | # there
      | ^]])

  it_says("a mistake before a function of several lines once",
    "a b(function(x)\n  return x\nend) -> c\nd -> -> e", [[
p.lua:1:3: error: expected '->', found 'b' (is a link missing?)
    1 | a b(function(x)
      |   ^
p.lua:4:6: error: expected a stage, found '->'
    4 | d -> -> e
      |      ^~]])

  it_says("a byte that nobody sees", "a -> \1", [[
p.lua:1:6: error: expected a stage, found '\1'
    1 | a -> ]] .. "\1\n      |      ^")

  it_says("every statement that has a mistake", "a b\n-> c\nd -> e\nf -> -> g; h*x -> i", [[
p.lua:1:3: error: expected '->', found 'b' (is a link missing?)
    1 | a b
      |   ^
p.lua:4:6: error: expected a stage, found '->'
    4 | f -> -> g; h*x -> i
      |      ^~
p.lua:4:14: error: expected a number, a range like 2..8 or 'cpu', found 'x'
    4 | f -> -> g; h*x -> i
      |              ^]])

  it("a tab or a letter of several bytes without moving the caret", function()
    assert.equal("p.lua:1:10: error: expected '->', found 'b' (is a link missing?)\n"
      .. "    1 | \ta('é') b\n      | \t       ^", complaints "\ta('é') b")
  end)

  it("a long line in part", function()
    local text = ("a -> "):rep(100) .. "b c" .. (" -> d"):rep(100)
    local lines = {}
    for line in complaints(text):gmatch "[^\n]+" do lines[#lines + 1] = line end
    assert.is_true(#lines[2] < 200)
    local column = utf8.offset(lines[2], utf8.len(lines[3]))
    assert.equal("c", lines[2]:sub(column, column))
  end)

  it("brackets nested beyond reason", function()
    local text = ("("):rep(100000)
    local _, mistakes = grammar.parse(text)
    assert.equal("this is nested too deeply", mistakes[1].message)
  end)

  it("what is nested, without trying everything twice", function()
    local nested = { ("("):rep(40) .. "a" .. (")"):rep(40), "f(" .. ("function "):rep(60),
                     "f(function" .. (" if x then"):rep(60), "f(" .. ("({"):rep(60), ("(x: (a &"):rep(30) }
    local began = os.clock()
    for _, text in ipairs(nested) do grammar.parse(text) end
    assert.is_true(os.clock() - began < 5)     -- trying twice takes more than years
  end)
end)

describe("random changes to a flow", function()
  local seeds = {
    [[lines(arg[1] or "access.log") -> parse*cpu -> bytes@path{cap=4K} -> top(20) -> stdout]],
    "m = a#2 -> b*2..8@k\nm => (x: c | 'y': d & e | else: `gzip -dc`{per=item}) !> f -- end",
    "a(function(x) return x, {1} end, 5ms) ~> {cap=1} (b & c) -> zip; in -> out",
  }
  local bits = { "->", "(", ")", "{", "}", "*", "@", "#", "`", '"', "'", "--", "\n", ";", "=", "|",
                 "&", "..", "cpu", "end", "function", "[[", "\0", "\xFF", "é", "5s", "%", "," }

  local function change(text)
    local at, to = math.random(#text + 1), math.random(0, 3)
    local bit = math.random() < 0.7 and bits[math.random(#bits)] or ""
    return text:sub(1, at - 1) .. bit .. text:sub(at + to)
  end

  it("are read or refused, at a place inside the text", function()
    math.randomseed(46)
    for _ = 1, 6000 do
      local text = seeds[math.random(#seeds)]
      for _ = 1, math.random(4) do text = change(text) end
      local _, mistakes = grammar.parse(text)
      for _, m in ipairs(mistakes) do
        assert.is_true(m.pos >= 1 and m.pos <= #text + 1)
        place.format({ file = "p", source = text, offset = 0, line = 1 }, m)
      end
    end
  end)
end)

describe("a value on the command line", function()
  it("is a number with its unit, a name, or a string", function()
    assert.same({ 4, "K" }, { grammar.value("4K").value, grammar.value("4K").unit })
    assert.equal("auto", grammar.value("auto").text)
    assert.is_nil(grammar.value "4 K x")
  end)
end)
