-- flow_draw: a flow as text, as dot, and as svg; graphs are made by hand.
-- SPDX-License-Identifier: MIT
require "mp"
local draw = require "mp.flow.draw"
local layout = require "mp.flow.draw.layout"
local scene = require "mp.flow.draw.scene"
local support = require "tests.support"

-- graphs ---------------------------------------------------------------------------
-- A graph as check makes it. g.a is the node `a`, made when it is first named; its role
-- shows in what leads to it and out of it, unless g:node says more.

local Graph = {}

local function new() return setmetatable({}, Graph) end

function Graph.__index(g, id)
  if Graph[id] then return Graph[id] end
  if type(id) ~= "string" then return nil end
  local node = { id = id, name = id, ins = {}, options = {}, role = "between", spec = { kind = "map" } }
  rawset(g, id, node)
  rawset(g, #g + 1, node)
  return node
end

function Graph:node(id, fields)
  for k, v in pairs(fields) do self[id][k] = v end
  return self[id]
end

-- A link that ends in `to`; whose it is shows when it is set.
local function to(node, op)
  return { kind = "to", to = node, op = op or "->" }
end

local function set(node, field, outlet)
  node[field] = outlet
  local function each(o)
    if o.kind == "to" then
      o.from = node
      table.insert(o.to.ins, o)
    end
    for _, part in ipairs(o) do each(part) end
    if o.other then each(o.other) end
  end
  each(outlet)
end

-- "a -> b => c": a chain; later statements add to what there is.
function Graph:chain(text)
  local from, op
  for word in text:gmatch "%S+" do
    if word:find "^[-=!]>$" then
      op = word
    else
      if from then set(self[from], op == "!>" and "err" or "out", to(self[word], op)) end
      from = word
    end
  end
  return self
end

local function finished(g)
  for _, node in ipairs(g) do
    node.role = #node.ins == 0 and "source" or not (node.out or node.err) and "sink" or "between"
  end
  return g
end

local function text(g, extra) return draw(finished(g), "text", extra) end

-- Random graphs without loops, and with whatever there is. Names are n1, n2 … in order.
local function random_graph(n)
  local g = new()
  local order = {}
  for i = 1, n do order[i] = g["n" .. i] end
  local function later(i) return order[math.random(i + 1, n)] end
  local function outlet(i, depth)
    local kind = depth > 2 and "to" or ({ "to", "to", "to", "all", "any", "route" })[math.random(6)]
    if kind == "to" then return to(later(i), math.random(4) == 1 and "=>" or "->") end
    local o = { kind = kind }
    for k = 1, math.random(2, 3) do o[k] = outlet(i, depth + 1) end
    if kind == "route" then
      o.labels = {}
      for k = 1, #o do o.labels[k] = ("l%d"):format(k) end
      if math.random(2) == 1 then o.other = outlet(i, depth + 1) end
    end
    return o
  end
  for i = 1, n - 1 do
    if math.random(8) > 1 then set(order[i], "out", outlet(i, 1)) end
    if math.random(6) == 1 or not order[i].out then set(order[i], "err", to(later(i), "!>")) end
    if math.random(3) == 1 then order[i].pool = math.random(8) end
    if math.random(5) == 1 then order[i].options = { retry = 3, timeout = 5 } end
  end
  return finished(g)
end

local function occurrences(whole, part)
  local n, at = 0, 1
  while true do
    local first, last = whole:find(part, at, true)
    if not first then return n end
    n, at = n + 1, last + 1
  end
end

-- as text ------------------------------------------------------------------------------

describe("a flow as text", function()
  it("is a line, if it is one way", function()
    local g = new():chain "lines -> parse -> bytes -> top -> stdout"
    g.parse.pool = 2
    g:node("bytes", { key = { name = "path" }, pool = { low = 2, high = 8 } })
    g.top.args = { { text = "20" } }
    assert.equal("lines -> parse*2 -> bytes@path*2..8 -> top -> stdout", text(g))
    assert.equal(text(g), draw(g))
  end)

  it("has the options that were given", function()
    local g = new():chain "lines => fetch !> bad"
    g.fetch.pool = "cpu"
    g.fetch.options = { timeout = 5.0, backoff = 0.25, retry = 3, on_error = "skip" }
    g.bad.options = { timeout = 7200, backoff = 90 }
    assert.equal("lines => fetch*cpu{backoff=250ms, on_error=skip, retry=3, timeout=5s}\n"
      .. "         └─ !> bad{backoff=90s, timeout=2h}", text(g))
  end)

  it("hangs branches below their node, and draws a node once", function()
    local g = new():chain "lines -> split":chain "b -> zip -> out":chain "c -> zip"
    set(g.split, "out", { kind = "all", to(g.b, "=>"), to(g.c, "=>") })
    assert.equal([[
lines -> split
         ├─ & => b -> zip -> out
         └─ & => c -> ^zip]], text(g))
    g = new():chain "x -> all":chain "y -> all -> null"
    assert.equal("x -> all -> null\ny -> ^all", text(g))
  end)

  it("has labels, nested groups, and errors beside a way that goes on", function()
    local g = new():chain "lines -> fetch !> bad -> append":chain "html -> sum -> stdout":chain "html !> bad"
      :chain "thumb -> joined -> stdout":chain "tag -> joined":chain "x -> null"
    set(g.fetch, "out", { kind = "route", labels = { "html", "an image" }, to(g.html),
      { kind = "all", to(g.thumb), to(g.tag) }, other = { kind = "any", to(g.x), to(g.null) } })
    assert.equal([[
lines -> fetch
         ├─ html: html -> sum -> stdout
         │        └─ !> bad -> append
         ├─ "an image":
         │  ├─ & thumb -> joined -> ^stdout
         │  └─ & tag -> ^joined
         ├─ else:
         │  ├─ | x -> null
         │  └─ | ^null
         └─ !> ^bad]], text(g))
  end)

  it("keeps apart the errors of several stages of a line", function()
    local g = new():chain "a -> b -> c -> d":chain "b !> x -> null":chain "c !> y -> null"
    set(g.a, "err", { kind = "all", to(g.x, "!>"), to(g.z, "!>") })
    assert.equal([[
a -> b -> c -> d
│    │    └─ !> y -> null
│    └─ !> x -> ^null
└─ !>
   ├─ & ^x
   └─ & z]], text(g))
  end)

  it("goes on below where a line would be long", function()
    local g = new()
    local names = {}
    for i = 1, 40 do names[i] = ("stage%02d"):format(i) end
    g:chain(table.concat(names, " -> "))
    set(g.stage03, "err", to(g.bad, "!>"))
    local lines = {}
    for line in text(g):gmatch "[^\n]+" do
      assert.is_true(#line <= 120, line)
      lines[#lines + 1] = line
    end
    assert.equal(5, #lines)
    assert.truthy(lines[2]:find "^ +└─ !> bad$")
    assert.truthy(lines[3]:find "^  %-> stage%d+ %-> ")
  end)

  it("says what went over the links, and what is done before them", function()
    local g = new():chain "lines -> words => count -> stdout":chain "words !> bad"
    local links = { counts = { [g.words.ins[1]] = 1234567, [g.bad.ins[1]] = 3 },
                    lifted = { [g.stdout.ins[1]] = "pre-added" } }
    links.counts[g.count.ins[1]] = 20
    links.lifted[g.count.ins[1]] = "pre-added"
    assert.equal("lines -1,234,567-> words =20, pre-added=> count -pre-added-> stdout\n"
      .. "                   └─ -3!> bad", text(g, links))
    g = new():chain "b -> null":chain "c -> null"
    set(g.a, "out", { kind = "all", to(g.b), to(g.c) })
    local counts = { [g.b.ins[1]] = 1, [g.c.ins[1]] = 0 }
    g = setmetatable({ g.a, g.b, g.c, g.null }, Graph)
    assert.equal("a\n├─ & -1-> b -> null\n└─ & -0-> c -> ^null", text(g, { counts = counts }))
  end)

  it("has in brackets what shares processes", function()
    local g = new():chain "lines -> parse -> clean -> count -> top -> stdout"
    assert.equal("lines -> [parse -> clean] -> [count -> top] -> stdout\n[ ]: in the same processes",
      text(g, { joined = { [g.parse] = 1, [g.clean] = 1, [g.top] = g.count, [g.stdout] = 7 } }))
    assert.equal("lines -> [parse -> clean -> count] -> top -> stdout\n[ ]: in the same processes",
      text(g, { joined = { [g.clean] = g.parse, [g.count] = g.clean } }))
  end)

  it("numbers what shares processes and is not one way", function()
    local g = new():chain "lines -> parse !> bad -> null":chain "b -> null"
    set(g.parse, "out", { kind = "route", labels = { "x" }, to(g.b), other = to(g.null) })
    assert.equal([[
lines -> [1: parse]
             ├─ x: [1: b] -> null
             ├─ else: ^null
             └─ !> bad -> ^null
[ ]: in the same processes]], text(g, { joined = { [g.b] = g.parse } }))
  end)

  it("has a title, and no control characters", function()
    local g = new():chain "lines -> c -> stdout"
    g.c.id = "`tr\n\27[31m\xff" .. ("x"):rep(100) .. "`"
    local got = text(g, { title = "a\ttitle" })
    assert.truthy(got:find("^a title\nlines %-> `tr  %[31m%?x+… %-> stdout$"), got)
  end)

  it("draws every node of any graph once", function()
    math.randomseed(11)
    for n = 2, 40 do
      local g = random_graph(n)
      local got = draw(g) .. "\n"
      for _, node in ipairs(g) do
        local drawn = 0
        for before in got:gmatch("(%S*)%f[%w]" .. node.id .. "%f[%W]") do
          if not before:find "%^$" then drawn = drawn + 1 end
        end
        assert.equal(1, drawn, node.id .. " in\n" .. got)
      end
      assert.is_nil(got:find " \n")
    end
  end)

  it("knows its formats", function()
    support.raises("draw: the format must be 'text', 'dot' or 'svg', not 'png'", draw, new(), "png")
  end)
end)

-- as dot and svg ----------------------------------------------------------------------------

-- Everything there is, with names that need care.
local function rich()
  local g = new():chain "lines -> fetch !> bad -> append":chain "html => sum -> stdout":chain "image -> stdout"
    :chain "range -> sum"
  set(g.fetch, "out", { kind = "route", labels = { "html", [[<"a" & 'b'\>]] }, to(g.html), to(g.image),
                        other = { kind = "any", to(g.x), to(g.y) } })
  set(g.x, "out", to(g.z))
  set(g.y, "out", to(g.z))
  finished(g)
  g.html.pool, g.sum.key, g.fetch.pool = 4, { name = "path" }, { low = 2, high = 8 }
  g.fetch.options = { retry = 3 }
  g.lines.args = { { text = [["a<b>&.txt" --> '\n]] } }
  g:node("image", { id = "`convert <a> & 'b' \"c\" \\ \xff -]]>`", spec = { kind = "command" } })
  local counts, rows = {}, {}
  for i, node in ipairs(g) do
    for _, link in ipairs(node.ins) do counts[link] = 1000 * i end
    rows[node] = { taken = i, given = i + 1, failed = i == 2 and 77 or 0, busy = 0.25 }
  end
  return g, { title = [[a <title> & "more" \N]], counts = counts, rows = rows,
              joined = { [g.html] = 1, [g.sum] = 1, [g.x] = g.y }, lifted = { [g.stdout.ins[1]] = "pre-added" } }
end

local NODES <const>, LINKS <const>, FORKS <const> = 12, 13, 1

local has_dot = os.execute "command -v dot >/dev/null 2>&1"

local function dot_it(name, f)
  it(name, function()
    if not has_dot then return pending "there is no Graphviz here" end
    f()
  end)
end

-- Fails if this is no well-formed XML; returns its elements' names with their number.
local function elements(xml)
  local open, seen = {}, {}
  assert.truthy(utf8.len(xml))
  assert.is_nil(xml:gsub("[\t\n\r]", ""):find "%c")
  local body = xml:gsub("<!%-%-.-%-%->", "")
  local behind = body:gsub("<(/?)([%w:]+)(.-)(/?)>", function(closes, name, attributes, empty)
    local rest = attributes:gsub("%s+[%w:_-]+=\"[^\"<]*\"", "")
    assert.equal("", (rest:gsub("%s", "")), name .. attributes)
    if closes == "/" then
      assert.equal(table.remove(open), name)
    else
      seen[name] = (seen[name] or 0) + 1
      if empty ~= "/" then open[#open + 1] = name end
    end
    return ""
  end)
  assert.same({}, open)
  assert.is_nil(behind:find "<")
  for entity in body:gmatch "&([^;]*;?)" do
    assert.truthy(entity:find "^#?%w+;$", entity)
  end
  return seen
end

describe("a flow in dot", function()
  it("has a shape for each stage, and a line for each link", function()
    local got = draw((rich()), "dot")
    assert.equal(NODES + FORKS, select(2, got:gsub("\n  n%d+ %[", "")))
    assert.equal(LINKS + FORKS, select(2, got:gsub("\n  n%d+ %-> n%d+ %[", "")))
    for part, n in pairs { ['shape="ellipse"'] = 5, ["dashed"] = 1, ["invis"] = 1, ["#dc2626"] = 2,
                           ["×4"] = 1, ["×2–8 · retry=3"] = 1, ["by path"] = 1, ['label=" html "'] = 1,
                           ['label=" else "'] = 1, ['"box fork"'] = 1 } do
      assert.equal(n, occurrences(got, part), part)
    end
  end)

  it("shows what was counted, and what shares processes", function()
    local g, extra = rich()
    local got = draw(g, "dot", extra)
    assert.equal(2, occurrences(got, "subgraph cluster_"))
    assert.truthy(got:find("2 in · 3 out · 0.2 s", 1, true))
    assert.truthy(got:find("77 failed", 1, true))
    assert.truthy(got:find(" 7,000 · pre-added ", 1, true))
    assert.equal(0, occurrences(draw(g, "dot"), "cluster_"))
  end)

  it("runs downwards if it is long", function()
    local g = new():chain "a -> b -> c -> d -> e -> f -> g -> h -> i"
    assert.truthy(draw(finished(g), "dot"):find 'rankdir="LR"')
    g:chain "i -> j"
    assert.truthy(draw(finished(g), "dot"):find 'rankdir="TB"')
  end)

  it("has what stands in a stage's brackets", function()
    local r = support.mprun { "--graph", "dot", support.script "flow'range(1, 2*10) -> tostring*2 -> null'" }
    assert.equal(0, r.status, r.err)
    assert.equal(1, occurrences(r.out, ">1, 2*10<"))
    assert.equal(1, occurrences(r.out, ">×2<"))
    support.clean()
  end)

  it("writes commands without their marks, however long", function()
    local g = finished(new():chain "lines -> a -> b -> null")
    g:node("a", { id = "`gzip -9`#2", spec = { kind = "command" } })
    g:node("b", { id = "`" .. ("x"):rep(99) .. "`", spec = { kind = "command" } })
    local got = draw(g, "dot")
    assert.equal(1, occurrences(got, ">gzip -9#2<"))
    assert.equal(1, occurrences(got, ">" .. ("x"):rep(38) .. "…<"))
  end)

  dot_it("is what Graphviz reads, without a word", function()
    local g, extra = rich()
    local path = support.script(draw(g, "dot", extra), "a.dot")
    local r = support.run { "dot", "-Tplain", path }
    assert.same({ 0, "" }, { r.status, r.err })
    assert.equal(NODES + FORKS + 1, occurrences(r.out, "\nnode "))
    assert.equal(LINKS + FORKS, occurrences(r.out, "\nedge "))
    math.randomseed(3)
    for n = 2, 10, 2 do
      path = support.script(draw(random_graph(n), "dot"), "a.dot")
      r = support.run { "dot", "-Tplain", path }
      assert.same({ 0, "" }, { r.status, r.err })
    end
    support.clean()
  end)
end)

describe("a flow in svg", function()
  after_each(support.clean)

  it("is well-formed, whatever the names are", function()
    local g, extra = rich()
    extra.graphviz = false
    local seen = elements(draw(g, "svg", extra))
    assert.equal(1, seen.style)
    elements(draw(g, "svg", { graphviz = false }))
    math.randomseed(5)
    for n = 1, 40, 3 do elements(draw(random_graph(n), "svg", { graphviz = false })) end
  end)

  it("has what there is, in light and dark", function()
    local g, extra = rich()
    extra.graphviz = false
    local got = draw(g, "svg", extra)
    for part, n in pairs { ['class="box source"'] = 2, ['class="box sink"'] = 3, ['class="box between"'] = 6,
                           ['class="box command"'] = 1, ['class="box fork"'] = 1, ['class="arrow error"'] = 1,
                           ['class="arrow"'] = 13, ['class="hull"'] = 2, [">html · 5,000<"] = 1,
                           ["same processes"] = 1, [">77 failed<"] = 1, ["prefers-color-scheme:dark"] = 1,
                           ["a &lt;title&gt; &amp; &quot;more&quot; \\N"] = 2,
                           ["convert &lt;a&gt; &amp; 'b' &quot;c&quot; \\ ? -]]&gt;"] = 1 } do
      assert.equal(n, occurrences(got, part), part .. "\n" .. got)
    end
  end)

  dot_it("is laid out by Graphviz", function()
    local g, extra = rich()
    local got = draw(g, "svg", extra)
    assert.truthy(got:find "^<svg ")
    assert.equal(1, occurrences(got, 'class="graph"'))
    assert.equal(1, elements(got).style)
    assert.equal(NODES + FORKS, occurrences(got, 'class="node box '))
    assert.equal(LINKS + FORKS, occurrences(got, 'class="edge arrow'))
    assert.equal(0, occurrences(draw(g, "svg", { graphviz = false }), 'class="graph"'))
  end)

  it("is laid out by us where there is no Graphviz, without a word", function()
    local script = support.script [[
      local draw = require "mp.flow.draw"
      local a, b = { id = "a", ins = {}, role = "source" }, { id = "b'$(echo)", ins = {}, role = "sink" }
      a.out = { kind = "to", from = a, to = b, op = "->" }
      b.ins[1] = a.out
      io.write(draw({ a, b }, "svg"))]]
    local r = support.run { "env", "PATH=" .. script .. ".none", support.program, script }
    assert.same({ 0, "" }, { r.status, r.err })
    assert.equal(0, occurrences(r.out, 'class="graph"'))
    elements(r.out)
    r = support.run { support.program, script }
    assert.same({ 0, "" }, { r.status, r.err })
    elements(r.out)
  end)
end)

-- the layout ----------------------------------------------------------------------------------

-- Sizes that differ, then where everything is.
local function laid_out(g, space)
  local s = scene(g, {})
  for _, b in ipairs(s.boxes) do b.along, b.across = math.random(10, 120), math.random(10, 80) end
  for _, a in ipairs(s.arrows) do a.pull = a.op == "!>" and 0.01 or 1 end
  layout(s.boxes, s.arrows, function(n) return 10 + n % 3 end, function() return 12 end, space)
  return s
end

describe("the layout of a flow", function()
  it("keeps boxes of a layer apart, and layers in a row", function()
    math.randomseed(21)
    for n = 2, 40, 4 do
      local s = laid_out(random_graph(n), 20)
      for i, b in ipairs(s.boxes) do
        for k = i + 1, #s.boxes do
          local other = s.boxes[k]
          if b.layer == other.layer then
            assert.is_true(math.abs(b.c - other.c) >= (b.across + other.across) / 2 + 20 - 1e-6)
            assert.is_true(math.abs(b.a - other.a) < 1e-6)
          else
            assert.is_true(math.abs(b.a - other.a) >= (b.along + other.along) / 2 + 22 - 1e-6)
          end
        end
      end
    end
  end)

  it("leads arrows from edge to edge, forward, and past all other boxes", function()
    math.randomseed(22)
    for n = 2, 40, 4 do
      local s = laid_out(random_graph(n), 20)
      for _, arrow in ipairs(s.arrows) do
        local r = arrow.route
        assert.equal(2 * (arrow.to.layer - arrow.from.layer) + 2, #r)
        assert.is_true(math.abs(r[1][1] - arrow.from.a - arrow.from.along / 2) < 1e-6)
        assert.is_true(math.abs(r[1][2] - arrow.from.c) <= arrow.from.across / 2)
        assert.is_true(math.abs(r[#r][1] - arrow.to.a + arrow.to.along / 2) < 1e-6)
        assert.is_true(math.abs(r[#r][2] - arrow.to.c) <= arrow.to.across / 2)
        for i = 2, #r do
          assert.is_true(r[i][1] > r[i - 1][1])
          if i % 2 == 0 then
            assert.equal(r[i - 1][2], r[i][2])
            for _, b in ipairs(s.boxes) do
              local beside = b == arrow.from or b == arrow.to or r[i][1] <= b.a - b.along / 2
                or r[i - 1][1] >= b.a + b.along / 2
              assert.is_true(beside or math.abs(b.c - r[i][2]) >= b.across / 2)
            end
          end
        end
      end
    end
  end)

  it("draws a way straight, and does without crossings where it can", function()
    local g = new():chain "a -> b -> c -> d -> e -> f":chain "c !> x -> null":chain "e !> x"
    local s = laid_out(finished(g), 20)
    for i = 2, 6 do assert.is_true(math.abs(s.boxes[i].c - s.boxes[1].c) < 2) end
    g = new():chain "b1 -> c1 -> d":chain "b2 -> c2 -> d":chain "b3 -> c3 -> d"
    set(g.a, "out", { kind = "all", to(g.b3), to(g.b1), to(g.b2) })
    s = laid_out(finished(g), 20)
    local at = {}
    for _, b in ipairs(s.boxes) do at[b.name] = b.c end
    for _, i in ipairs { 1, 2, 3 } do
      for _, k in ipairs { 1, 2, 3 } do
        assert.equal(at["b" .. i] < at["b" .. k], at["c" .. i] < at["c" .. k])
      end
    end
  end)

  it("puts a source before who reads it", function()
    local g = new():chain "a -> b -> c -> d -> null":chain "late -> d"
    local s = laid_out(finished(g), 20)
    for _, b in ipairs(s.boxes) do
      if b.name == "late" then assert.equal(3, b.layer) end
    end
  end)
end)
