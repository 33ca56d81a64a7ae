-- flow_plan: which stages, workers and links a flow becomes.
-- SPDX-License-Identifier: MIT

local check = require "mp.flow.check"
local flow = require "mp.flow"
local grammar = require "mp.flow.grammar"
local plan = require "mp.flow.plan"

local stages = {
  gen = flow.source(function() end),
  key = function(x) return x end,
  big = flow.filter(function() return true end),
  total = flow.fold { init = 0, add = function(a, b) return a + b end },
  sum = flow.fold { init = 0, add = function(a, b) return a + b end,
                    merge = function(a, b) return a + b end },
}
for name in ("abcdefgh"):gmatch "." do stages[name] = function(x) return x end end

local function planned(text, how)
  local nodes, mistakes = check(grammar.parse(text), { stages = stages, globals = _G }, text)
  assert.same({}, mistakes)
  return plan(nodes, how or { cpus = 2 })
end

local function pool(stage)
  if stage.least == stage.workers then return stage.workers == 1 and "" or "*" .. stage.workers end
  return ("*%d..%d"):format(stage.least, stage.workers)
end

-- "range+a*2": a pool of two, each of which runs both.
local function name(stage)
  local ids = {}
  for i, node in ipairs(stage.chain) do ids[i] = node.id end
  return table.concat(ids, "+") .. pool(stage)
end

local function stages_of(p)
  local list = {}
  for i, stage in ipairs(p.stages) do list[i] = name(stage) end
  return table.concat(list, " ")
end

local function outlet_of(o)
  if o.kind == "to" then return o.inbox.label end
  local list = {}
  for i, part in ipairs(o) do list[i] = (o.labels and o.labels[i] .. ": " or "") .. outlet_of(part) end
  if o.other then list[#list + 1] = "else: " .. outlet_of(o.other) end
  return ("(%s)"):format(table.concat(list, o.kind == "all" and " & " or " | "))
end

-- Who sends where: "a>b, !c" for results and errors.
local function ways_of(p)
  local list = {}
  for _, stage in ipairs(p.stages) do
    local to = {}
    if stage.out then to[1] = outlet_of(stage.out) end
    if stage.err then to[#to + 1] = "!" .. outlet_of(stage.err) end
    if #to > 0 then list[#list + 1] = stage.chain[1].id .. ">" .. table.concat(to, ",") end
  end
  return table.concat(list, " ")
end

local function stage_of(p, label)
  for _, stage in ipairs(p.stages) do
    if stage.chain[1].id == label then return stage end
  end
  error("no stage " .. label)
end

local function inbox_of(p, label)
  for _, inbox in ipairs(p.inboxes) do
    if inbox.label == label then return inbox end
  end
  error("no inbox " .. label)
end

-- Stages for which `what` holds, in order.
local function which(p, what)
  local list = {}
  for _, stage in ipairs(p.stages) do
    if what(stage) then list[#list + 1] = stage.chain[1].id end
  end
  return table.concat(list, " ")
end

local function becomes(what, text, expected, how)
  it(what, function() assert.equal(expected, stages_of(planned(text, how))) end)
end

describe("a plan", function()
  becomes("gives each stage its workers, `cpu` meaning what it is told",
    "range(1, 2)*2 -> a*3 -> b*cpu -> null", "range*2 a*3 b*5 null", { cpus = 5 })
  becomes("knows the least and the most of an elastic pool",
    "gen -> a*2..8 -> null", "gen a*2..8 null")
  becomes("has no more workers with a key than a commit reaches links",
    "gen -> a@key*cpu -> collect", "gen a*1023 collect", { cpus = 4000 })

  it("gives a keyed stage a link for each worker, others one in all", function()
    local p = planned "range(1, 2)*2 -> a*3 -> b@key*4 -> collect"
    assert.same({ 1, 4, 1 }, { inbox_of(p, "a").links, inbox_of(p, "b").links, inbox_of(p, "collect").links })
    assert.equal(256, inbox_of(p, "b").cap)
    assert.equal("key", inbox_of(p, "b").key_name)
    assert.is_true(stage_of(p, "collect").owner)
  end)

  it("joins nothing to a stage that writes a file, but for what follows it", function()
    assert.equal("csv+a tee+b jsonl",
      stages_of(planned "csv('x') -> a -> tee('y') -> b -> jsonl('z')"))
    assert.equal("lines csv", stages_of(planned "lines('x') -> csv('y')"))
  end)

  it("lets a worker lease no more than its share of a link", function()
    local p = planned "gen -> a*8{cap=32} -> b{cap=1} -> c{chunk=7} -> null"
    assert.same({ 2, 1, 7 }, { stage_of(p, "a").limit, stage_of(p, "b").limit, stage_of(p, "c").limit })
  end)

  it("lets those lease one by one that a death, or an error, costs much", function()
    local p = planned "gen -> a{retry=1} -> b{timeout=5s} -> c{restarts=1} -> rate(5/s) -> null"
    assert.same({ 1, 1, 1, 1 }, { stage_of(p, "a").limit, stage_of(p, "b").limit,
                                  stage_of(p, "c").limit, stage_of(p, "rate").limit })
  end)

  it("says what a full link does", function()
    local p = planned "gen -> {full=drop_new} a -> {full=drop_old} b -> null"
    assert.same({ "drop_new", "drop_old" }, { inbox_of(p, "a").full, inbox_of(p, "b").full })
  end)

  it("counts who feeds a link", function()
    local p = planned "gen -> a; range(1, 2) -> b -> a; a -> null"
    assert.equal("gen range+b a+null", stages_of(p))
    assert.same({ 2, { stage_of(p, "a") } }, { inbox_of(p, "a").feeders, inbox_of(p, "a").readers })
  end)

  it("merges the workers of a fold without a key in a stage of its own", function()
    local p = planned "range(1, 2) -> sum*4 -> words -> collect"
    assert.equal("range sum*4 sum(merge)+words collect", stages_of(p))
    assert.equal("range>sum sum>sum(merge) sum(merge)>collect", ways_of(p))
  end)

  it("lets producers add up for counts, tops, and folds that can merge", function()
    local function adds(text, label)
      local combines = inbox_of(planned(text), label or "b").combines
      return combines and combines.id
    end
    assert.equal("count", adds("range(1, 2)*3 -> count@key*2 -> collect", "count"))
    assert.equal("top", adds("range(1, 2) -> top(3, print) -> collect", "top"))
    assert.equal("sum", adds("range(1, 2)*4 -> sum@key*2 -> collect", "sum"))
    assert.is_nil(adds("range(1, 2) -> sum@key*2 -> collect", "sum"))         -- two do more than one
    assert.is_nil(adds("range(1, 2)*4 -> total@key -> collect", "total"))     -- no merge
    assert.is_nil(adds("range(1, 2) -> count@key{on_error=skip} -> collect", "count"))
    assert.is_nil(adds("range(1, 2) -> count@key -> collect; count !> null", "count"))
    assert.is_nil(adds("range(1, 2) -> {full=drop_new} count -> collect", "count"))
    assert.is_nil(adds("range(1, 2) => count -> collect", "count"))
  end)
end)

describe("neighbours share workers", function()
  becomes("where one is light and was given no pool", "lines('Makefile') -> words -> a -> null",
    "lines+words+a+null")
  becomes("but two functions of the script, which may be heavy",
    "range(1, 2) -> a -> b -> null", "range+a b+null")
  becomes("on the pool that one of them was given", "lines('Makefile')*4 -> words -> a*4 -> b*4 -> null",
    "lines+words+a+b*4 null")
  becomes("but not where their pools differ", "lines('Makefile')*4 -> words -> a*3 -> b*2 -> null",
    "lines+words*4 a*3 b*2 null")
  becomes("with one worker, if one of them is built in", "gen -> head(3) -> a -> null",
    "gen head+a+null")
  becomes("behind one that gathers, which begins a chain",
    "range(1, 2) -> a -> sort -> b -> sum -> words -> null", "range+a sort+b sum+words+null")
  becomes("behind a keyed one, on its pool", "gen -> count@key*4 -> words -> null",
    "gen count+words*4 null")
  becomes("behind a keyed one without a pool, if they have none",
    "gen -> a@key -> words*3 -> null", "gen a words*3 null")
  becomes("before `=>` only", "range(1, 2) -> words => words#2 -> null", "range+words words#2+null")
  becomes("but not where ways part or meet",
    "range(1, 2) -> words -> (words#2 & words#3) -> words#4 -> null",
    "range+words words#2 words#3 words#4+null")
  becomes("but not with what takes, or gives, errors",
    "range(1, 2) -> words -> null; words !> words#2 -> null#2", "range words null words#2+null#2")
  becomes("but not where an option asks for a process, or a link, of its own",
    "gen -> words{retry=1} -> words#2{cap=5} -> words#3{timeout=5s} -> words#4{on_error=skip} -> null",
    "gen words words#2 words#3 words#4 null")
  becomes("but not over a link with options", "gen -> words -> {cap=9} words#2 -> null",
    "gen+words words#2 null")
  becomes("but not with commands, windows, paces, pairs, and what the owner does",
    "gen -> words -> `cat` -> rate(5/s) -> words#2 -> window(1s) -> words#3 -> collect",
    "gen+words `cat` rate words#2 window words#3 collect")
  becomes("nowhere, if they are told to stay apart", "lines('Makefile') -> words -> a -> null",
    "lines words a null", { cpus = 2, apart = true })
end)

describe("groups", function()
  local function leads(what, text, expected)
    it(what, function() assert.equal(expected, ways_of(planned(text))) end)
  end

  leads("with & send to each", "gen -> (a & b) -> c -> null", "gen>(a & b) a>c b>c")
  leads("with | read one link", "gen -> (a | b) -> c -> null", "gen>a|b a>c b>c")
  leads("with labels choose", "a -> (x: b | y: c | else: d) -> null",
    "a>(x: b | y: c | else: d) b>null c>null d>null")
  leads("of branches that cannot share a link pass items on to theirs",
    "gen -> (a@key*2 | sort | b) -> null",
    "gen>gen(pass)|gen(pass)|b b>null gen(pass)>a gen(pass)>sort a>null sort>null")
  leads("stand for errors as well", "gen -> a -> null; a !> (b & c) -> null#2",
    "gen>a a>null,!(b & c) b>null#2 c>null#2")

  it("with | that share have the greatest of their branches' caps", function()
    assert.equal(50, inbox_of(planned "gen -> (a{cap=50} | b{cap=5}) -> null", "a|b").cap)
  end)
end)

describe("a region of trains", function()
  local function tagged(p) return which(p, function(s) return s.tagged end) end
  local function ordered(p) return which(p, function(s) return s.ordered end) end
  local function origins(p) return which(p, function(s) return s.origin end) end

  local function reaches(what, text, from, through, to)
    it(what, function()
      local p = planned(text)
      assert.same({ from, through, to }, { origins(p), tagged(p), ordered(p) })
    end)
  end

  reaches("is where `=>` keeps an order", "range(1, 9)*2 -> a*4 -> b*2 => c -> d*2 -> null",
    "range", "a b c", "c")
  reaches("is not elsewhere", "range(1, 9)*2 -> a*4 -> b -> null", "", "", "")
  reaches("begins with what gathers", "range(1, 9) -> a*2 -> sort -> b*3 => c -> null",
    "sort", "b c", "c")
  reaches("takes in all ways between", "range(1, 9) -> (a*2 & b*3 -> c*2) => d -> null",
    "range", "a b c d", "d")
  reaches("has places in which to put things in order for many",
    "range(1, 9) -> a*2 => b*3 -> null", "range", "b(order)", "b(order)")
  reaches("and for the script itself", "range(1, 9) -> a*2 => collect",
    "range", "collect(order)", "collect(order)")
  reaches("pairs what a zip reads", "gen -> (a*2 & b) -> zip -> null", "gen", "a b zip", "zip")
  reaches("takes in the ways of errors", "gen -> a*2 => b -> null; a !> c -> b", "gen", "a c b", "b")
  reaches("is behind a window, for what gathers", "gen -> window(1s) -> a*2 -> count@key -> b => c -> null",
    "window count", "a count c", "count c")
  reaches("goes on from one that gathers in a window to the next",
    "gen -> window(1s) -> sort -> a*2 -> count -> null", "window sort", "sort a count", "sort count")

  it("blames no item for the deaths of who only puts things in order", function()
    local p = planned "gen -> a*2 => b*2{restarts=1} -> collect"
    assert.is_true(stage_of(p, "b(order)").restarts > 100)
  end)

  it("has a fold without a key in one place behind a window", function()
    assert.equal("gen window a*2 sum null", stages_of(planned "gen -> window(1s) -> a*2 -> sum*4 -> null"))
  end)

  it("shares the items of (a | b) out by trains", function()
    assert.equal("gen>(a | b) a>c b>c", ways_of(planned "gen -> (a | b) => c -> null"))
  end)

  -- The weight of a whole train of the first origin, by inbox.
  local function weights(text)
    local p, list = planned(text), {}
    for _, inbox in ipairs(p.inboxes) do
      if inbox.expects[1] then list[inbox.label] = inbox.expects[1] end
    end
    return list
  end

  it("divides weights where ways part and adds them where they meet", function()
    assert.same({ a = 0.5, b = 0.5, c = 0.5, d = 1 }, weights "gen -> (a & b -> c) => d -> null")
    assert.same({ a = 0.5, b = 0.5, c = 0.25, d = 0.25, e = 1 },
                weights "gen -> (a & b -> (c & d)) => e -> null")
  end)

  it("divides weights among the links of a keyed stage", function()
    assert.same({ a = 0.25, b = 1 }, weights "gen -> a@key*4 => b -> null")
  end)

  it("divides weights between results and errors that meet again", function()
    assert.same({ a = 1, c = 0.5, b = 1 }, weights "gen -> a => b -> null; a !> c -> b")
  end)

  it("gives every worker that begins trains of its own a number of its own", function()
    local p = planned "(range(1, 9)*3 & gen) -> window(1s) -> count -> null"
    assert.same({ nil, 1 }, { stage_of(p, "gen").first, stage_of(p, "window").first })
    p = planned "gen -> window(1s) -> batch(3)*4 -> a*2 -> count -> null"
    local window, batch = stage_of(p, "window"), stage_of(p, "batch")
    assert.same({ 1, 2, true, nil }, { window.first, batch.first, inbox_of(p, "count").expects[batch.first] ~= nil,
                                       inbox_of(p, "count").expects[window.first] })
  end)

  it("knows who divides trains, and so must say where in them items stood", function()
    local function positions(text) return which(planned(text), function(s) return s.positions end) end
    assert.equal("", positions "gen -> a*2 => b -> null")
    assert.equal("gen", positions "gen -> a@key*2 => b -> null")
    assert.equal("a", positions "gen -> a -> (b & c) => d -> null")
    assert.equal("a", positions "gen -> a => b -> null; a !> c -> b")
  end)

  it("asks those for credits who read in order, each of their links", function()
    local function asks(p, label)
      local list = {}
      for i, to in ipairs(stage_of(p, label).credits) do list[i] = to.inbox.label .. to.link end
      return table.concat(list, " ")
    end
    local p = planned "gen -> (a*2 => b@key*2 & c) -> d -> null"
    assert.same({ "b1 b2", "" }, { asks(p, "gen"), asks(p, "b") })
    p = planned "gen -> a => sort -> b*2 => c -> null"
    assert.same({ "sort1", "c1" }, { asks(p, "gen"), asks(p, "sort") })
  end)
end)
