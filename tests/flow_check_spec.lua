-- flow_check: what a flow means, and every mistake in it, with its place.
-- SPDX-License-Identifier: MIT

local checks = require "tests.flow_checks"
local flow = require "mp.flow"
local support = require "tests.support"

local checked, complaints, messages = checks.check, checks.complaints, checks.messages

describe("a flow", function()
  it("is a list of nodes with roles and ways", function()
    local nodes, mistakes = checked "range(1, 9) -> fetch*4 -> count@path*cpu -> stdout"
    assert.same({}, mistakes)
    local roles = {}
    for i, node in ipairs(nodes) do roles[i] = node.id .. " " .. node.role end
    assert.same({ "range source", "fetch between", "count between", "stdout sink" }, roles)
    assert.equal(nodes[3], nodes[2].next)
    assert.same({ 4, "cpu", "path" }, { nodes[2].pool, nodes[3].pool, nodes[3].key.name })
  end)

  it("takes a plain function in the first place as a source", function()
    local nodes = checked "fetch -> parse -> null"
    assert.same({ "source", "map" }, { nodes[1].spec.kind, nodes[2].spec.kind })
  end)

  it("takes the same name again as the same node", function()
    local nodes, mistakes = checked "range(1,2) -> parse; range#2(3,4) -> parse; parse -> null"
    assert.same({}, mistakes)
    assert.equal(4, #nodes)
    assert.equal(2, #nodes[2].before)
  end)

  it("puts a macro's chain in the place of its name", function()
    local nodes, mistakes = checked "get = range(1, 2) -> fetch\nget -> parse -> null"
    assert.same({}, mistakes)
    assert.equal("parse", nodes[2].next.id)
  end)

  it("evaluates arguments, the last one to all its values", function()
    local env = { globals = { list = table.unpack, names = { "a", "b" } } }
    local nodes = checked("lines('x', list(names)) -> null", env)
    assert.same({ "x", "a", "b" }, nodes[1].spec.params.paths)
  end)

  it("makes a filter where it stands", function()
    local nodes = checked("range(1, 4) -> filter(function(x) return x > 1 end) -> null")
    assert.equal("filter", nodes[2].spec.kind)
  end)

  it("prefers the script's own function, and says so", function()
    local _, mistakes, warnings = checked("range(1, 2) -> words -> null",
                                          { stages = { words = function() end } })
    assert.same({}, mistakes)
    assert.equal("the script's own 'words' hides the built-in one", warnings[1].message)
  end)

  it("gives the outer option precedence", function()
    local own = { s = flow.stage { item = function() end, cap = 2, restarts = 2 } }
    local env = { stages = own, defaults = { cap = 1, chunk = 1 }, set = { s = { chunk = 9 } } }
    local nodes = checked("range(1, 2) -> {cap=4} s{cap=3} -> null", env)
    assert.same({ cap = 4, restarts = 2, chunk = 9 }, nodes[2].options)
  end)
end)

describe("check reports", function()
  it("all mistakes at once, each with its place", function()
    assert.equal([[
p.lua:1:22: error: no stage 'fetchh' (did you mean 'fetch'?)
    1 | lines("urls.txt") -> fetchh*16{capp=5} -> parse@pathh -> number -> stdout
      |                      ^~~~~~
p.lua:1:32: error: no option 'capp' (did you mean 'cap'?)
    1 | lines("urls.txt") -> fetchh*16{capp=5} -> parse@pathh -> number -> stdout
      |                                ^~~~
p.lua:1:49: error: no key function 'pathh' (did you mean 'path'?)
    1 | lines("urls.txt") -> fetchh*16{capp=5} -> parse@pathh -> number -> stdout
      |                                                 ^~~~~
p.lua:1:58: error: 'number' is a number, not a function
    1 | lines("urls.txt") -> fetchh*16{capp=5} -> parse@pathh -> number -> stdout
      |                                                          ^~~~~~]],
      complaints [[lines("urls.txt") -> fetchh*16{capp=5} -> parse@pathh -> number -> stdout]])
  end)

  local function says(what, text, ...)
    local expected = { ... }
    it(what, function() assert.same(expected, messages(text)) end)
  end

  says("an empty flow", "", "the flow is empty")
  says("results that go nowhere", "range(1, 2) -> fetch",
    "the results of 'fetch' go nowhere | '-> null' drops them, '-> stdout' prints them")
  says("a comment where a link was meant", "range(1, 2) --> fetch -> null",
    "the results of 'range' go nowhere | '-->' begins a comment; a link is '->'")
  says("a sink without a source", "stdout",
    "'stdout' has nothing to read: a flow begins with a source")
  says("a stage without a source", "words -> stdout",
    "'words' has nothing to read: a flow begins with a source")
  says("a source in the middle", "range(1, 2) -> stdin -> null",
    "'stdin' is a source: nothing can flow into it")
  says("a sink in the middle", "range(1, 2) -> null -> fetch -> stdout",
    "nothing comes out of 'null', which is a sink")
  says("a loop", "range(1, 2) -> fetch -> parse -> fetch",
    "a loop: 'fetch' leads back to itself | another one of the same function is 'fetch#2'")
  says("two ways out of one stage", "range(1, 2) -> fetch -> null; fetch -> stdout",
    "the results of 'fetch' go to 'null' already | "
    .. "'fetch -> (null & stdout)' sends to both, '(null | stdout)' to whichever is free")
  says("a fold that cannot be shared out", "range(1, 2) -> bytes*4 -> null",
    "'bytes' is a fold without a key and without 'merge': it needs one worker | "
    .. "'bytes@key' or a 'merge' function allow more")
  says("a stage that works in one process", "range(1, 2) -> top(3)*2 -> collect*2",
    "'top' works in one process", "'collect' works in one process")
  says("a stage that needs a key for several workers", "range(1, 2) -> distinct*2 -> null",
    "'distinct' on several workers needs a key: 'distinct@key'")
  says("bad arguments", "range(1) -> split -> top(0) -> head(x) -> count(1) -> null",
    "'range' expects two whole numbers: range(from, to)", "'split' expects a separator: split(\",\")",
    "'top' expects a number from 1 on, and perhaps a key function: top(20)",
    "the argument 'x' is nil", "'count' takes no arguments")
  says("arguments that are no Lua", "lines(1 +) -> null",
    "not a Lua expression: unexpected symbol at its end")
  says("arguments that are nil or fail", "lines(nowhere) -> head(nowhere.x) -> null",
    "the argument 'nowhere' is nil", "attempt to index a nil value (global 'nowhere')")
  says("arguments for a script's function", "range(1, 2) -> fetch(3) -> null",
    "'fetch' is a function of the script: it takes items, no arguments here")
  says("a constructor that stands for nothing", "range(1, 2) -> fold -> null",
    "'fold' makes a stage: write name = fold… in Lua, and name here")
  says("wrong values of options", "range(1, 2) -> fetch{cap=0, chunk=autoo, restarts=5s} -> null",
    "'cap' expects a whole number from 1 on, not 0",
    "'chunk' expects a whole number from 1 on, or auto, not autoo | did you mean 'auto'?",
    "'restarts' expects a whole number, not 5s")
  says("pools of nothing, and pools given twice", "range(1, 2)*0 -> fetch*2*3 -> null",
    "a pool of 0 processes | it has from 1 to 10000", "the pool of 'fetch' is given twice")
  says("more keyed workers than one commit reaches", "range(1, 2) -> fetch@path*1024 -> null",
    "a pool with a key has up to 1023 processes")
  says("macros that contain themselves or are never used", "a = a -> null\nb = range(1, 2) -> null\na",
    "the macro 'a' contains itself", "the macro 'b' is never used")
  says("a link that is not there yet", "range(1, 2) ~> parse -> null",
    "a durable link needs a cluster, which is not available in this version | "
    .. "'->' is the link within one host")
end)

-- Each mistake below with its place: a caret under its first byte, as printed.
describe("check reports, at its place,", function()
  local function says(what, text, ...)
    local expected = { ... }
    it(what, function()
      local found = {}
      local _, mistakes = checked(text)
      for i, m in ipairs(mistakes) do
        assert.is_true(m.len >= 1 and m.pos + m.len <= #text + 2)
        found[i] = ("%d: %s%s"):format(m.pos, m.message, m.hint and " | " .. m.hint or "")
      end
      assert.same(expected, found)
    end)
  end

  local labels = "gives no labels | they are the second value that a function of the script returns"
  says("labels behind what gives none, but not behind functions and sources of one's own",
    "range(1, 2) -> (x: a | y: big) -> (x: b | y: `cat`) -> (x: c | y: d) -> bytes -> (x: e | y: f) -> null",
    "16: 'range' " .. labels, "35: 'big' " .. labels, "56: '`cat`' " .. labels, "82: 'bytes' " .. labels)
  says("nothing of labels behind functions, stages and sources of one's own",
    "gen -> (x: a | y: look) -> (x: b | y: c) -> null")
  says("labels where all get the item, and branches without one",
    "gen -> (x: a & b) -> null", "9: labels in a group with '&', which sends to all of it | "
    .. "a group that chooses by label is '(x: b | y: c)'",
    "16: a branch without a label among labelled ones | 'else: …' takes what no label names")
  says("labels that are given twice", [[gen -> (x: a | "x": b | else: c | "else": d | else: e) -> null]],
    "16: the label 'x' is given twice", "47: a second 'else'")
  says("labels without a stage before them", "(x: gen | y: a) -> null",
    "2: labels in the first place of a flow: no stage before them gives any")
  says("labels of errors", "gen -> a !> (x: b | y: c) -> null; a -> null",
    "13: an item that failed has no label")
  says("labels that have been used up", "gen -> (x: (b & (p: c | q: d)) | y: e) -> null",
    "17: labels within labels: that of 'gen' has chosen already")
  says("a label that is no string", "gen -> ('\\q': a | else: b) -> null",
    "9: not a string: invalid escape sequence near ''\\q'")
  says("an item that goes to a stage twice", "gen -> (a & a) -> (b & (c | b)) -> (d | d) -> null",
    "13: this group leads to 'a' twice | another one of the same function is 'a#2'",
    "24: this group leads to 'b' twice | another one of the same function is 'b#2'",
    "41: this group leads to 'd' twice | another one of the same function is 'd#2'")
  says("nothing of ways that meet", "gen -> ((a & b) | (a & c)) -> (x: d | y: d) -> null")

  says("two ways out, of results and of errors",
    "gen -> (a & b) -> null; gen -> c -> null; a !> d -> null; a !> e -> null",
    "29: the results of 'gen' go to '(a & b)' already | "
    .. "a group has several: '&' sends to each of them, '|' to whichever is free",
    "61: the errors of 'a' go to 'd' already | "
    .. "'a !> (d & e)' sends to both, '(d | e)' to whichever is free")
  says("two kinds of links", "gen -> a -> null; gen => a", "23: 'gen' is linked to 'a' by '->' already")
  says("a group that nothing comes out of", "gen -> (null & out) -> a -> null#2",
    "21: nothing comes out of this group: each of its branches ends in a sink")
  says("a loop through errors", "gen -> a -> b !> a; b -> null",
    "15: a loop: 'a' leads back to itself | another one of the same function is 'a#2'")
  says("a stage that leads to itself", "gen -> a -> a -> null",
    "10: a loop: 'a' leads back to itself | another one of the same function is 'a#2'")
  says("results that have no statement of their own", "gen -> a !> null",
    "8: the results of 'a' go nowhere | a statement of its own says where: 'a -> …'")
  says("errors of what cannot fail", "gen !> a -> null; gen -> collect !> b -> null",
    "5: 'gen' is a source: it takes no items on which it could fail",
    "34: 'collect' only takes items: it fails on none")
  says("stages that need items in the first place", "big -> null; look -> null#2; `ls` -> null#3",
    "1: 'big' has nothing to read: a flow begins with a source",
    "14: 'look' has nothing to read: a flow begins with a source",
    "30: '`ls`' has nothing to read: a flow begins with a source")
  says("what can be a source or a sink in the middle", "gen -> csv('x') -> null",
    "8: 'csv' stands in the middle: it reads in the first place and writes in the last")
  says("an empty command", "gen -> ` ` -> null", "8: an empty command")

  says("a key of a source, and two keys", "gen@path -> a@path@path -> null",
    "4: 'gen' is a source: it has no items to tell apart by key", "19: the key of 'a' is given twice")
  says("pools that cannot be", "gen -> a*8..2 -> b*0..4 -> c*99999 -> top(3)*2..4 -> null",
    "9: a pool of at least 8 and at most 2 processes | did you mean '*2..8'?",
    "19: a pool of 0 processes | it has from 1 to 10000",
    "29: a pool of 99999 processes | it has from 1 to 10000",
    "45: 'top' works in one process")
  says("a second port, and a second list of results",
    "in -> (out & out#2 & collect & collect#2); in#2 -> null",
    "14: a flow has one 'out' | several ways may lead to it",
    "32: a flow has one 'collect' | several ways may lead to it",
    "44: a flow has one 'in' | several ways may lead out of it")
  says("two stages that write one file", "csv('a') -> tee('x//y') -> (append('./x/./y') & jsonl('a'))",
    "29: 'append' writes 'x/y', as 'tee' does | several ways may lead to one of them",
    "49: 'jsonl' writes 'a', which 'csv' reads | write another file, and rename it afterwards")

  says("an order of two sources, or of what is gathered on one way",
    "(gen & range(1, 2)) => a -> null; gen#2 -> (b & sort -> c) => d -> null#2",
    "21: '=>' keeps the order of one source, but what comes to 'a' is from 'gen' and 'range' | "
    .. "'->' takes items as they come", "60: '=>' keeps the order of one source, but what "
    .. "comes to 'd' is from 'gen#2' and 'sort' | '->' takes items as they come")
  says("an order of what several processes emit",
    "gen -> bytes@path*4 -> a => null; gen#2 -> `cat`*2 => null#2",
    "26: '=>' has no order to keep: 'bytes' emits in several processes | '->' takes items as they come",
    "52: '=>' has no order to keep: '`cat`' emits in several processes | '{per=item}' runs it once an item")
  says("nothing of an order of what is merged, or told apart",
    "gen -> total*4 -> a => null; gen#2 -> `cat`*2{per=item} => null#2")
  says("windows that only a part goes through",
    "(gen -> window(1s) -> a & range(1, 2)) -> count -> null; "
    .. "gen#2 -> window#2(1s) -> (b & sort) -> c -> bytes -> null#2",
    "43: 'count' works window by window, but what comes to it is from 'window' and 'range' | "
    .. "all of it must come through one window",
    "102: 'bytes' works window by window, but what comes to it is from 'window#2' and 'sort' | "
    .. "all of it must come through one window")
  says("nothing of windows behind which all is gathered",
    "(gen -> window(1s) & range(1, 2)) -> window#2(2s) -> a -> sort -> count@path*4 -> null")
  says("nothing of an order that one source, or one gathering stage gives",
    "gen -> (a | b) => c -> sort -> d*4 => e -> null")
  says("zip of one way, and of three", "gen -> zip -> (a & b & c) -> zip#2 -> null",
    "8: 'zip' pairs two ways, and 1 leads to it | 'a -> (b & c) -> zip'",
    "30: 'zip' pairs two ways, and 3 lead to it | 'a -> (b & c) -> zip'")
  says("zip of two sources", "(gen & range(1, 2)) -> zip -> null",
    "24: 'zip' pairs what came from the same item: its ways come from 'gen' and 'range' | "
    .. "'a -> (b & c) -> zip'")
  says("zip of what is gathered", "gen -> (a & bytes) -> zip -> null",
    "23: 'zip' pairs what came from the same item: 'bytes' on one of its ways makes new ones")
  says("zip of what a command makes of lines, not of items",
    "gen -> (a & `cat`) -> zip -> null; gen#2 -> (b & `tac`{per=item}) -> zip#2 -> null#2",
    "23: 'zip' pairs what came from the same item: '`cat`' on one of its ways makes new ones | "
    .. "'{per=item}' runs it once an item")
  says("zip of what goes only one way", "gen -> (a -> b | c) -> zip -> null",
    "8: 'zip' pairs what came from the same item: here each goes one way or the other | "
    .. "'&' sends to both")
  says("zip of results and errors", "gen -> a -> zip -> null; a !> zip",
    "28: 'zip' pairs what came from the same item: here each goes one way or the other | "
    .. "'&' sends to both")
  says("nothing of a zip whose ways part behind a gathering stage",
    "gen -> sort -> (a & b -> (c | d) -> e) -> zip -> null")

  says("options where they mean nothing",
    "gen{cap=3, timeout=5s} -> a{per=item, replay=yes} -> {per=line} b -> collect{retry=3, cap=5}",
    "5: 'gen' is a source and reads no link: 'cap' belongs to the next stage",
    "12: 'gen' is a source: 'timeout' is for stages that take items",
    "29: 'per' is for shell commands, and 'a' is none",
    "39: 'replay' is for a source of your own, and 'a' is none",
    "55: 'per' is for shell commands, and 'b' is none",
    "78: 'collect' has no process of its own, for which 'retry' would mean anything")
  says("replay of a built-in source", "range(1, 2){replay=yes} -> null",
    "13: 'replay' is for a source of your own, and 'range' is none")
  says("wrong values", "gen -> a{timeout=0s, full=drop, on_error=sikp, retry=1.5, cap=3000000000, backoff=1K} -> null",
    "18: 'timeout' expects a time above 0, such as 5s or 100ms, not 0s",
    "27: 'full' expects wait, drop_new or drop_old, not drop",
    "42: 'on_error' expects stop or skip, not sikp | did you mean 'skip'?",
    "54: 'retry' expects a whole number, not 1.5",
    "63: 'cap' expects a whole number from 1 on, at most 2147483647, not 3000000000",
    "83: 'backoff' expects a time, such as 5s or 100ms, not 1K")
  says("links that disagree", "gen -> {cap=3, full=wait} a -> null; range(1, 2) -> {full=drop_new, cap=4} a",
    "69: another link into 'a' has another 'cap' | options of a link are those of the stage that it leads to")
  says("an option of one link that is given twice", "gen -> {cap=3} a -> null; gen -> {cap=4} a",
    "35: the option 'cap' is given twice")
  says("a link that is missing before a group", "gen -> a (b & c) -> null",
    "11: 'a' is a function of the script: it takes items, no arguments here | is a link missing before '('?")
  says("unknown units in arguments", "gen -> window(10sec) -> null",
    "15: no unit 'sec' | units are ms s m h, K M G, % and /s")

  says("a macro with what its chain should have", "m = a -> b\ngen -> m*2 -> null",
    "19: 'm' is a macro: arguments, pools and options stand in its chain")
  says("a macro that is never used, and nothing of its ends", "m = (x: a | y: csv('f') -> b)\ngen -> null",
    "1: the macro 'm' is never used")
  says("a macro that is given twice, and macros in a circle", "m = n\nn = m\nm = a\ngen -> m -> null",
    "11: the macro 'm' contains itself", "13: the macro 'm' is given twice")
  says("what is wrong in a macro once", "m = aa -> bb\ngen -> m; gen#2 -> m; m -> null",
    "5: no stage 'aa' | did you mean 'a'?", "11: no stage 'bb' | did you mean 'b'?")
  says("a stage like a macro's name", "middle = a -> b\ngen -> midle -> null; gen#2 -> middle -> null",
    "24: no stage 'midle' | did you mean 'middle'?")
  says("nothing that follows from another mistake",
    "gen -> aa -> b; aa !> c; d -> e; d -> f -> null; b -> d", "8: no stage 'aa' | did you mean 'a'?",
    "23: the results of 'c' go nowhere | '-> null' drops them, '-> stdout' prints them",
    "31: the results of 'e' go nowhere | '-> null' drops them, '-> stdout' prints them",
    "36: the results of 'd' go to 'e' already | "
    .. "'d -> (e & f)' sends to both, '(e | f)' to whichever is free")
end)

describe("stages of a script", function()
  it("may stand in a table that is asked for nothing unknown", function()
    local strict = setmetatable({ a = print }, { __index = function(_, k) error("no global " .. k) end })
    assert.same({ "no stage 'ab' | did you mean 'a'?" },
                messages("range(1, 2) -> a -> ab -> null", { stages = strict }))
  end)

  it("say what is wrong in their options", function()
    local stages = { s = flow.stage { item = print, cap = 0, timeout = "5x", per = "item", [1] = 2 },
                     t = flow.stage { item = print, retry = {} } }
    assert.same({ "no option '1'", "'cap' expects a whole number from 1 on, not 0",
                  "'timeout' expects a time above 0, such as 5s or 100ms, not 5x",
                  "'per' is for shell commands, and 's' is none",
                  "'retry' expects a whole number, not a table" },
                messages("range(1, 2) -> s -> t -> null", { stages = stages }))
  end)
end)

describe("check warns", function()
  local function warnings(text, env)
    local _, mistakes, list = checked(text, env)
    assert.same({}, mistakes)
    for i, w in ipairs(list) do list[i] = ("%d: %s"):format(w.pos, w.message) end
    return list
  end

  it("of names that hide what is built in, once each", function()
    local stages = { words = print, head = print, lines = print, spare = print }
    assert.same({ "1: the macro 'split' hides the built-in stage",
                  "24: the script's own 'words' hides the built-in one" },
      warnings("split = range(1, 2) -> words\nsplit -> null; words !> null", { stages = stages }))
  end)
end)

describe("the place of a mistake", function()
  after_each(support.clean)

  local function check_file(text)
    local path = support.script(text, "p.lua")
    local f = assert(loadfile(path, "t", { flow = flow }))
    return (f():check():gsub(path:gsub("%p", "%%%0"), "p.lua"))
  end

  it("is that in the Lua file", function()
    assert.equal("p.lua:3:19: error: no stage 'ouch'\n    3 |    range(1, 2) -> ouch -> null\n"
      .. "      |                   ^~~~",
      check_file "local x = 1\nlocal f = flow([[\n   range(1, 2) -> ouch -> null\n]], {})\nreturn f")
  end)

  it("is found in quoted text, and in the second of two equal texts", function()
    assert.equal("p.lua:2:32: error: no stage 'ouch'\n"
      .. "    2 | local f = flow('range(1, 2) -> ouch -> null', {}) return f\n"
      .. "      |                                ^~~~",
      check_file("local _ = 'range(1, 2) -> ouch -> null'\n"
        .. "local f = flow('range(1, 2) -> ouch -> null', {}) return f"))
  end)

  it("comes with a hint when the stage is a local, which a flow does not see", function()
    local says = "no stage 'mine' ('mine' is local here; a flow sees globals and the table given with it)\n"
    for _, text in ipairs { "local function mine() end\n", "local mine = print\n", "local a, mine <const> = 1, 2\n",
                            "local function f(a, mine) return a + mine end\n" } do
      local complaint = check_file(text .. "local f = flow([[ range(1, 2) -> mine -> null ]], {}) return f")
      assert.is_truthy(complaint:find(says, 1, true), complaint)
    end
    local complaint = check_file "local miner\nlocal f = flow([[ range(1, 2) -> mine -> null ]], {}) return f"
    assert.is_truthy(complaint:find("no stage 'mine'\n", 1, true), complaint)
    complaint = check_file "local n\nlocal f = flow([[ range(1, n) -> null ]]) return f"
    assert.is_truthy(complaint:find("the argument 'n' is nil ('n' is local here; a flow sees globals only)\n",
      1, true), complaint)
  end)

  it("comes with a hint where the command line has too few arguments", function()
    local complaint = check_file "local f = flow([[ lines(arg[99]) -> null ]]) return f"
    assert.is_truthy(complaint:find("the argument 'arg[99]' is nil (it stands behind the script on the command line)\n",
      1, true), complaint)
  end)

  it("is the line in the text where there is no file", function()
    local code = "\n\nlocal f = flow('range(1, 2)\\n -> ouch -> null', {}) return f"
    local f = load(code, "=(command line)", "t", { flow = flow })
    assert.equal("(command line):4:5: error: no stage 'ouch'\n    4 |  -> ouch -> null\n      |     ^~~~",
      (f():check()))
  end)
end)

describe("the constructors", function()
  local function raises(message, f, ...)
    local ok, err = pcall(f, ...)
    assert.is_false(ok)
    assert.equal(message, (err:gsub("^[^:]+:%d+: ", "")))
  end

  it("refuse what makes no stage", function()
    raises("filter: a function expected, got nil", flow.filter)
    raises("fold: 'add' must be a function, got nil", flow.fold, { init = 0 })
    raises("fold: no field 'ad' (did you mean 'add'?)", flow.fold, { ad = 1 })
    raises("fold: 'init' must be a function that returns a fresh table", flow.fold,
           { init = {}, add = print })
    raises("stage: 'item' is missing: what to do with an item", flow.stage, {})
    raises("defaults: no option 'capp' (did you mean 'cap'?)", flow.defaults, { capp = 1 })
    raises("flow: a text expected, got nil", flow)
    raises("emit: only a stage of a running flow can emit", flow.emit, 1)
  end)
end)
