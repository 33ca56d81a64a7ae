-- flow_draw: a flow as text; graphs are made by hand.
-- SPDX-License-Identifier: MIT
require "mp"
local draw = require "mp.flow.draw"
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
    support.raises("draw: the format must be 'text', not 'png'", draw, new(), "png")
  end)
end)
