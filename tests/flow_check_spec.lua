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
    local says = "no stage 'mine' ('mine' is local here; a flow sees globals only)\n"
    for _, text in ipairs { "local function mine() end\n", "local mine = print\n" } do
      local complaint = check_file(text .. "local f = flow([[ range(1, 2) -> mine -> null ]], {}) return f")
      assert.is_truthy(complaint:find(says, 1, true), complaint)
    end
    local complaint = check_file "local miner\nlocal f = flow([[ range(1, 2) -> mine -> null ]], {}) return f"
    assert.is_truthy(complaint:find("no stage 'mine'\n", 1, true), complaint)
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
