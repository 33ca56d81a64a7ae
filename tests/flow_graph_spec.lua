-- flow_graph: the nodes of a flow, and the ways between them.
-- SPDX-License-Identifier: MIT

local checks = require "tests.flow_checks"

local function graph_of(text, env)
  local graph, mistakes = checks.check(text, env)
  assert.equal("", checks.printed(text, mistakes))
  checks.validate(graph)
  local by_id = {}
  for _, node in ipairs(graph) do by_id[node.id] = node end
  return graph, by_id
end

local function becomes(what, text, ways)
  it(what, function() assert.equal(ways, checks.ways((graph_of(text)))) end)
end

describe("a graph has", function()
  becomes("a chain's ways", "range(1, 2) -> a => b -> null", "range -> a; a => b; b -> null")
  becomes("groups that all get, and groups that share",
    "range(1, 2) -> (a & b) -> (c | d) -> null",
    "range -> (a & b); a -> (c | d); b -> (c | d); c -> null; d -> null")
  becomes("ways by label", [[range(1, 2) -> a -> (x: b | "y z": c | else: null) -> out]],
    [[range -> a; a -> (x: b | "y z": c | else: null); b -> out; c -> out]])
  becomes("a label that is called else", [[range(1, 2) -> a -> ("else": b | else: c) -> out]],
    "range -> a; a -> (else: b | else: c); b -> out; c -> out")
  becomes("groups in groups", "range(1, 2) -> (a & (b | c -> d)) -> null",
    "range -> (a & (b | c)); a -> null; b -> null; c -> d; d -> null")
  becomes("no group of one", "range(1, 2) -> (a -> b) -> ((null))",
    "range -> a; a -> b; b -> null")
  becomes("several sources in the first place", "(range(1, 2) -> a & gen) -> null",
    "range -> a; a -> null; gen -> null")
  becomes("ways behind a group from those branches only that do not end in a sink",
    "range(1, 2) -> (a -> null & b & c -> append('x')) -> d -> out",
    "range -> (a & b & c); a -> null; b -> d; c -> append; d -> out")
  becomes("errors apart from results, which a statement of its own leads on",
    "range(1, 2) -> a !> b -> append('x'); a -> null",
    "range -> a; a -> null !> b; b -> append")
  becomes("errors of all ends of a group, sinks too, but not of what cannot fail",
    "range(1, 2) -> (a & append('x') & collect) !> b -> null; a -> null",
    "range -> (a & append & collect); a -> null !> b; append !> b; b -> null")
  becomes("one node where a name stands again",
    "range(1, 2) -> a; range#2(3, 4) -> a; a -> b; b -> null; a -> b",
    "range -> a; a -> b; range#2 -> a; b -> null")
  becomes("each node once where branches meet in one",
    "range(1, 2) -> (a -> c & b -> c) -> null", "range -> (a & b); a -> c; c -> null; b -> c")
  becomes("results and errors on the same way", "range(1, 2) -> a -> null; a !> null",
    "range -> a; a -> null !> null")
  becomes("commands as nodes", "range(1, 2) -> `sort -n` -> `sort -n`#2 -> null; `sort -n` !> out",
    "range -> `sort -n`; `sort -n` -> `sort -n`#2 !> out; `sort -n`#2 -> null")
  becomes("one way for two labels", "range(1, 2) -> a -> (x: b | y: b | z: c) -> null",
    "range -> a; a -> (x: b | y: b | z: c); b -> null; c -> null")

  it("the same links in a node's ways in as in its producers' ways out", function()
    local _, n = graph_of "range(1, 2) -> (a & b) -> c -> null"
    assert.equal(n.a.out, n.c.ins[1])
    assert.equal(n.b.out, n.c.ins[2])
    assert.equal(n.range.out[2], n.b.ins[1])
    assert.same({ "to", "->", n.a, n.c }, { n.a.out.kind, n.a.out.op, n.a.out.from, n.a.out.to })
  end)

  it("the parts of a chain by name, as long as there is no group", function()
    local _, n = graph_of "range(1, 2) -> a -> b -> (c & d) -> null"
    assert.equal(n.b, n.a.next)
    assert.is_nil(n.b.next)
    assert.same({ n.c, n.d }, n.null.before)
  end)
end)

describe("a macro", function()
  becomes("stands for its chain", "get = range(1, 2) -> a\nget -> b -> null",
    "range -> a; a -> b; b -> null")
  becomes("has the same nodes wherever it stands", [[
    tidy = a
      -> b          -- goes on here
    range(1, 2) -> tidy; gen -> tidy; tidy -> null]], "range -> a; a -> b; b -> null; gen -> a")
  becomes("may be a group, stand in a group, and be the last part", [[
    both = (a & b -> null)
    keep = c -> append("x")
    range(1, 2) -> both -> (keep & d) -> e -> null]],
    "range -> (a & b); a -> (c & d); b -> null; c -> append; d -> e; e -> null")
  becomes("may be a group by label, of which more is said before it is reached",
    "m = (x: a | y: b)\nm -> null; gen -> m", "a -> null; b -> null; gen -> (x: a | y: b)")
  becomes("may consist of macros", "x = a -> y\ny = b\nrange(1, 2) -> x -> null",
    "range -> a; a -> b; b -> null")
end)

describe("a stage's role", function()
  local function roles(text)
    local list = {}
    for i, node in ipairs((graph_of(text))) do
      list[i] = ("%s %s %s"):format(node.id, node.role, node.spec.kind)
    end
    return table.concat(list, ", ")
  end

  it("is that of its place", function()
    assert.equal("a source source, b between map, total between fold, null sink builtin",
                 roles "a -> b -> total -> null")
    assert.equal("gen source source, `cat` between command, out sink builtin",
                 roles "gen -> `cat` -> out")
  end)

  it("is settled by its place where it can be either", function()
    assert.equal("csv source builtin, csv#2 sink builtin", roles "csv('a') -> csv#2('b')")
    assert.equal("csv source builtin, a between map, jsonl sink builtin, b between map, "
      .. "c between map, null sink builtin",
      roles "csv('a') -> (a -> (jsonl('b') & b) & c) -> null")
    local _, n = graph_of "csv('a') -> csv#2('b')"
    assert.same({ "a", "b" }, { n.csv.spec.params.path, n["csv#2"].spec.params.path })
    assert.is_true(n.csv.spec.def ~= n["csv#2"].spec.def)
  end)
end)

describe("pools and keys", function()
  it("are numbers, `cpu`, ranges, and functions", function()
    local _, n = graph_of "range(1, 2) -> a*4 -> b*cpu@path -> c*2..8 -> d*3..3 -> null"
    assert.same({ 4, "cpu", { low = 2, high = 8 }, 3 },
                { n.a.pool, n.b.pool, n.c.pool, n.d.pool })
    assert.equal(checks.stages.path, n.b.key.f)
  end)
end)

describe("options", function()
  local function options(text, id, env)
    local _, n = graph_of(text, env)
    return n[id].options
  end

  it("are of any kind", function()
    assert.same({ cap = 4096, chunk = "auto", restarts = 0, retry = 5, backoff = 0.25,
                  timeout = 120, full = "drop_old", on_error = "skip" },
      options("gen -> a{cap=4K, chunk=auto, restarts=0, retry=5, backoff=250ms, timeout=2m, "
              .. "full=drop_old, on_error=skip} -> null", "a"))
    assert.same({ per = "item" }, options("gen -> `x`{per=item} -> null", "`x`"))
    assert.same({ replay = "mark" }, options("a{replay=mark} -> null", "a"))
  end)

  it("stand in stage{} as Lua values", function()
    assert.same({ timeout = 5, cap = 16 }, options("gen -> look -> null", "look"))
  end)

  it("of a link are its consumer's, for each stage of a group", function()
    local _, n = graph_of "gen -> {cap=4, retry=2} (a & b{cap=5}) -> null"
    assert.same({ { cap = 4, retry = 2 }, { cap = 4, retry = 2 } }, { n.a.options, n.b.options })
  end)

  it("win from outside to inside", function()
    local env = { defaults = { cap = 1, retry = 1, chunk = 1, timeout = 1, full = "drop_new" },
                  set = { look = { retry = 9 } } }
    local got = options("gen -> {cap=4, retry=4} look{cap=3, retry=3, chunk=3} -> null", "look", env)
    assert.same({ cap = 4, retry = 9, chunk = 3, timeout = 5, full = "drop_new" }, got)
  end)

  it("for all do not reach those for whom they mean nothing", function()
    local env = { defaults = { cap = 1, chunk = 1, timeout = 1, per = "item", replay = "yes" } }
    assert.same({ chunk = 1 }, options("range(1, 2) -> collect", "range", env))
    assert.same({ chunk = 1, cap = 1 }, options("range(1, 2) -> collect", "collect", env))
    assert.same({ chunk = 1, replay = "yes" }, options("gen -> collect", "gen", env))
  end)

  it("say for each link what happens when it is full", function()
    local _, n = graph_of "gen -> {full=drop_new} a -> null; range(1, 2) -> a"
    assert.same({ "drop_new" }, { n.gen.out.options.full, n.range.out.options.full })
    assert.is_nil(n.a.options.full)
    _, n = graph_of "gen -> {full=drop_new} a{full=drop_old} -> null; range(1, 2) -> a"
    assert.same({ "drop_new", "drop_old" }, { n.gen.out.options.full, n.range.out.options.full })
    _, n = graph_of("gen -> {full=drop_new} a -> null", { set = { a = { full = "wait" } } })
    assert.same({ "wait", "wait" }, { n.gen.out.options.full, n.a.options.full })
  end)

  it("tell whether a stage has any of its own", function()
    local _, n = graph_of("gen -> a{cap=4} -> {cap=2} b -> c -> d -> null",
                          { defaults = { cap = 1 }, set = { c = { cap = 3 } } })
    assert.same({ false, true, true, true, false },
                { n.gen.tuned, n.a.tuned, n.b.tuned, n.c.tuned, n.d.tuned })
  end)
end)
