-- flow_run: what flows do, on the engine in coroutines (flow_fake), where every
-- death can be chosen; flow_engine_spec does it with processes.
-- SPDX-License-Identifier: MIT

local fake = require "tests.flow_fake"
local flow = require "mp.flow"
local support = require "tests.support"

local emit = flow.emit

local stages = {
  square = function(x) return x * x end,
  odd = function(x) return x % 2 == 1 and x or nil end,
  first = function(pair) return pair[1] end,
  mod = function(x) return x % 3 end,
  itself = function(x) return x end,
  twice = function(x) emit(x) emit(x) end,
  tens = function() for i = 1, 10 do emit(i) end end,
  hundred = function() for i = 1, 100 do emit(i) end end,
  gen = function() for i = 1, 4 do emit("a b a" .. i) end end,
  big = flow.filter(function(x) return x > 5 end),
  sort_of = function(x) return x, x % 3 end,
  even = function(x) return x, x % 2 == 0 end,
  sum = flow.fold { init = 0, add = function(a, b) return a + b end },
  total = flow.fold { init = function() return { 0 } end,
                      add = function(t, x) t[1] = t[1] + x return t end,
                      merge = function(a, b) return { a[1] + b[1] } end,
                      done = function(_, t) return t[1] end },
  fails = function(x) if x == 7 then error("seven") end return x end,
}

local function attempt(text, options)
  local f = flow(text, stages)
  f.about.summary = false
  f.engine = fake(options)
  if options and options.say then f.engine.say = options.say end
  return pcall(f.run, f)
end

local function result(text, options)
  local fine, got = attempt(text, options)
  assert.is_true(fine, tostring(got))
  if type(got) == "table" then got.n = nil end
  return got
end

local function failure(text, options)
  local fine, got = attempt(text, options)
  assert.is_false(fine)
  return tostring(got)
end

describe("a flow", function()
  local function gives(what, text, expected)
    it(what, function() assert.same(expected, result(text)) end)
  end

  gives("maps, in order with one worker", "range(1, 5) -> square -> collect", { 1, 4, 9, 16, 25 })
  gives("drops what a map returns nil for", "range(1, 5) -> odd -> collect", { 1, 3, 5 })
  gives("filters", "range(1, 7) -> big -> collect", { 6, 7 })
  gives("filters in place", "range(1, 7) -> filter(function(x) return x < 3 end) -> collect", { 1, 2 })
  gives("sends on all that is emitted", "range(1, 2) -> twice -> collect", { 1, 1, 2, 2 })
  gives("begins with a function", "gen -> collect", { "a b a1", "a b a2", "a b a3", "a b a4" })
  gives("folds", "range(1, 10) -> sum -> collect", { 55 })
  gives("folds by key", "range(1, 10) -> sum@mod -> sort(first) -> collect",
    { { 0, 18 }, { 1, 22 }, { 2, 15 } })
  gives("folds by key on several workers", "range(1, 10)*2 -> sum@mod*3 -> top(3) -> collect",
    { { 1, 22 }, { 0, 18 }, { 2, 15 } })
  gives("folds without a key on several workers", "range(1, 100) -> total*4 -> collect", { 5050 })
  gives("counts", "range(1, 1000)*3 -> count*2 -> collect", { 1000 })
  gives("counts nothing", "range(1, 0) -> count*2 -> collect", { 0 })
  gives("counts by key", "gen -> words -> count@itself*2 -> top(2) -> collect",
    { { "a", 4 }, { "b", 4 } })
  gives("splits", "gen -> split(' a') -> head(3) -> collect", { "a b", "1", "a b" })
  gives("sorts in order of arrival where keys are equal", "range(1, 6) -> sort(mod) -> collect",
    { 3, 6, 1, 4, 2, 5 })
  gives("takes the top by a key function", "range(1, 9) -> top(2, mod) -> collect", { 2, 5 })
  gives("drops repetitions", "range(1, 50) -> twice*3 -> distinct -> count -> collect", { 50 })
  gives("drops equal neighbours", "range(1, 3) -> twice -> uniq -> collect", { 1, 2, 3 })
  gives("ends its source when it has enough", "range(1, 100000000) -> head(2) -> collect", { 1, 2 })
  gives("routes by numbers, as by the names that are written like them",
    "range(1, 6) -> sort_of -> ('0': square | '1': null | else: itself) -> sort -> collect", { 2, 5, 9, 36 })
  gives("routes by booleans", "range(1, 6) -> even -> (true: square | false: null) -> collect", { 4, 16, 36 })
  gives("joins ways", "range(1, 3) -> sum; range#2(4, 6) -> square -> sum; sum -> collect", { 83 })
  gives("gathers nothing", "range(1, 9) -> null", true)

  it("ends its source when there is enough, though errors go another way", function()
    local f = flow("range(1, 100000) -> fails -> head(2) -> collect; fails !> null", stages)
    f.engine = fake()
    assert.same({ 1, 2, n = 2 }, f:run())
    assert.is_true(f:stats()[2].taken < 50000, f:stats()[2].taken .. " items")
  end)

  gives("ends where one of several workers with a key has found that there is enough",
    "range(1, 2000) => itself@mod*3 => head(2) -> collect", { 1, 2 })
  gives("pairs in the order of the ways to zip, whatever else was said of their stages before",
    "square{cap=9} !> null; range(1, 3) -> (itself & square) -> zip -> collect", { { 1, 1 }, { 2, 4 }, { 3, 9 } })

  it("reads the lines of files, however they are cut", function()
    local parts = { "", "\n", "a", "b\n", "\n\n", ("x"):rep(9000) .. "\n" }
    math.randomseed(7)
    for round = 1, 12 do
      local text = {}
      for i = 1, 400 do text[i] = parts[math.random(#parts)] end
      local path = support.script(table.concat(text), "lines")
      local all = {}
      for line in io.lines(path) do all[#all + 1] = line end
      local got = result(("lines(%q) -> collect"):format(path))
      assert.same(all, got, "round " .. round)
      local count = result(("lines(%q)*5 -> count -> collect"):format(path))
      assert.same({ #all }, count)
      local words = 0
      for _, line in ipairs(all) do
        for _ in line:gmatch "[%w_]+" do words = words + 1 end
      end
      assert.same({ words }, result(("lines(%q)*3 -> words -> count -> collect"):format(path)))
    end
    support.clean()
  end)

  it("gives the same on one worker and on many", function()
    local shape = "range(1, 500)*%d -> square*%d -> twice*%d -> sum@mod*%d -> top(5) -> collect"
    local serial = result(shape:format(1, 1, 1, 1))
    for n = 2, 6 do assert.same(serial, result(shape:format(n, n + 1, n, n + 2))) end
  end)

  it("opens and closes stateful stages", function()
    local log = {}
    stages.stateful = flow.stage {
      open = function(ctx) ctx.seen = 0 end,
      item = function(x, ctx) ctx.seen = ctx.seen + x end,
      close = function(ctx) log[#log + 1] = ctx.stage .. ctx.worker return ctx.seen end,
    }
    assert.same({ 10 }, result "range(1, 4) -> stateful -> collect")
    assert.same({ "stateful1" }, log)
  end)

  it("does not hold more in a link than its cap and one batch", function()
    local most = 0
    stages.watch = function(x) most = math.max(most, x) emit(x) end
    local f = flow("range(1, 10000) -> watch{cap=8, chunk=4} -> head(1){cap=8} -> collect", stages)
    f.engine = fake()
    f:run()
    assert.is_true(most < 2000, "read on to " .. most)
  end)
end)

describe("an error", function()
  it("ends the run, and names the stage, the worker and the item", function()
    local text = failure "range(1, 10) -> fails -> null"
    assert.is_truthy(text:find("^fails%[1%]: error on item 7: [^\n]*flow_run_spec.lua:%d+: seven\n"
      .. "stack traceback:\n"), text)
  end)

  it("in a key function is that of the keyed stage", function()
    stages.nokey = function() return nil end
    assert.equal("sum[1]: error on item 1: the key 'nokey' is nil",
      failure "range(1, 2) -> sum@nokey*2 -> null")
    stages.badkey = function() return {} end
    assert.equal("count[1]: error on item 1: a key must be a string, a number or a boolean, got table",
      failure "range(1, 2) -> count@badkey -> null")
  end)

  it("of a fold that forgets to return", function()
    stages.forgets = flow.fold { add = function() end }
    assert.equal("forgets[1]: error on item 1: fold 'forgets': 'add' returned nothing; "
      .. "it returns the new accumulator", failure "range(1, 2) -> forgets -> null")
  end)

  it("tells what is wrong with a file before anything starts", function()
    assert.equal("lines: cannot open /nowhere: No such file or directory",
      failure "lines('/nowhere') -> null")
  end)

  it("that is a table keeps its message", function()
    stages.raises = function() error({ message = "oh" }) end
    assert.is_truthy(failure("range(1, 2) -> raises -> null"):find("raises[1]: error on item 1: oh", 1, true))
  end)

  it("in the notation has the exit status 2, in a stage 1", function()
    local _, e = attempt "range(1, 2)"
    assert.equal(2, e.exit_status)
    _, e = attempt "range(1, 9) -> fails -> null"
    assert.equal(1, e.exit_status)
  end)
end)

describe("a worker that dies", function()
  -- Kills workers of the named stages at one place in twenty, so often at the most.
  local MOST <const> = 60

  local function deadly(seed, names)
    math.randomseed(seed)
    local options = { deaths = 0 }
    function options.die(name)
      if names[name:match "^[^%[#]+"] and options.deaths < MOST and math.random() < 0.05 then
        options.deaths = options.deaths + 1
        return true
      end
    end
    return options
  end

  local function survives(what, text, ...)
    local names = {}
    for _, name in ipairs { ... } do names[name] = true end
    it(what, function()
      text = text:gsub("!", "{restarts=100000}")
      local expected, deaths = result(text), 0
      for seed = 1, 20 do
        local options = deadly(seed, names)
        assert.same(expected, result(text, options), "seed " .. seed)
        deaths = deaths + options.deaths
      end
      assert.is_true(deaths > 30, deaths .. " deaths")
    end)
  end

  survives("costs nothing", "range(1, 300)*3! -> square*4! -> twice*2! -> sum@mod*2 -> top(3) -> collect",
    "range", "square", "twice")
  survives("with a sum costs nothing", "range(1, 300) -> sum! -> collect", "sum")
  survives("with sums by key costs nothing",
    "range(1, 900)*2! -> twice*2! -> sum@itself*3! -> sort(first) -> collect", "sum", "twice")
  survives("with sums in tables, shared out and merged, costs nothing",
    "range(1, 400)*2! -> total*4! -> collect", "range", "total", "total(merge)")
  survives("while it counts costs nothing",
    "range(1, 900)*2! -> twice*2! -> count@mod*2! -> sort(first) -> collect", "range", "twice", "count")
  survives("while it sorts, and sends what it has sorted, costs nothing",
    "range(1, 900)! -> sort(mod){restarts=100000, cap=16} -> square{restarts=100000, cap=8} -> collect",
    "sort", "square")
  survives("with the best costs nothing",
    "range(1, 900)*3! -> square*2! -> top(400, itself)! -> collect", "range", "square", "top")
  survives("with the first costs nothing", "hundred -> head(70)! -> collect", "head")
  survives("while it drops repetitions costs nothing",
    "range(1, 300)! -> twice*3! -> distinct! -> sort -> uniq! -> collect", "twice", "distinct", "uniq")
  survives("with batches costs nothing", "hundred{chunk=1} -> batch(3)! -> collect", "batch")
  survives("that puts things in order costs nothing",
    "range(1, 300)*2! -> square*3! => twice! -> sum@mod! -> sort(first) -> collect", "range", "square", "twice")
  survives("that pairs them costs nothing", "range(1, 100) -> (square*2! & twice*3!) -> zip! -> collect",
    "square", "twice", "zip")

  -- Kills a worker at the n-th place where it could die, and at all behind it.
  local function dies(victim, n)
    local times = 0
    return { die = function(name)
      if name == victim then times = times + 1 end
      return name == victim and times >= n
    end }
  end

  -- A stage `deadly` whose workers die on the items for which is(item), until
  -- that has happened `most` times.
  local function deadly_on(is, most)
    local left, dying = most or math.huge, {}
    stages.deadly = function(x, ctx)
      if is(x) and left > 0 then dying[("deadly[%d]"):format(ctx.worker)] = true end
      return x
    end
    return { die = function(name)
      if not dying[name] then return false end
      left, dying[name] = left - 1, nil
      return true
    end }
  end

  local function seven(x) return x == 7 end

  it("is replaced, and its item told, until that counts as failed", function()
    local said, options = {}, deadly_on(seven)
    options.say = function(text) said[#said + 1] = text:gsub("pid %d+", "pid N") end
    assert.equal("deadly[1]: error on item 7: took 2 workers down",
      failure("tens -> deadly{restarts=2, chunk=1} -> null", options))
    assert.same({ "deadly[1] pid N killed by SIGKILL on item #7 7, try 1/2",
                  "deadly[1] pid N killed by SIGKILL on item #7 7, try 2/2" }, said)
  end)

  it("is replaced as long as its items are others", function()
    local all = {}
    for i = 1, 100 do all[i] = i end
    local seen = {}
    assert.same(all, result("hundred -> deadly{restarts=1} -> collect", deadly_on(function(x)
      local before = seen[x]
      seen[x] = true
      return x % 9 == 0 and false or x % 9 == 1 and before
    end)))
  end)

  it("on an item for good sends it along `!>`", function()
    local got = result("tens -> deadly{restarts=2}; deadly -> null; deadly !> collect", deadly_on(seven))
    assert.same({ { item = 7, error = "took 2 workers down", stage = "deadly", tries = 2 } }, got)
  end)

  it("on an item for good skips it where it is told to", function()
    assert.same({ 1, 2, 3, 4, 5, 6, 8, 9, 10 },
      result("tens -> deadly{restarts=1, on_error=skip} -> collect", deadly_on(seven)))
  end)

  it("on an item in a train costs no other one", function()
    assert.same({ 1, 2, 3, 4, 5, 6, 8, 9, 10 },
      result("tens -> deadly*2{restarts=1, on_error=skip, cap=64} => collect", deadly_on(seven)))
  end)

  it("because it took too long has had its time", function()
    stages.slow = function(x, ctx)
      if x == 3 then ctx.sleep(100) end
      return x
    end
    assert.equal("slow[1]: error on item 3: took longer than timeout=2s (2 tries)",
      failure "tens -> slow{timeout=2s, restarts=2} -> null")
    assert.same({ 1, 2, 4, 5, 6, 7, 8, 9, 10 },
      result "tens -> slow*3{timeout=2s, restarts=1, on_error=skip} => collect")
  end)

  it("ends the run where it does so before it has done anything", function()
    stages.opens = flow.stage { open = function(ctx) ctx.sleep(1) end, item = print }
    assert.is_truthy(failure("tens -> opens{restarts=1} -> null", dies("opens[1]", 1))
      :find "^opens%[1%] pid %d+ killed by SIGKILL: 21 deaths before it had done anything$")
  end)

  it("ends the run where what it had is lost", function()
    assert.is_truthy(failure("gen -> null", dies("gen[1]", 1))
      :find "^gen%[1%] pid %d+ killed by SIGKILL: a source like this cannot be resumed "
         .. "%({replay=yes}: it gives the same items again%)$")
  end)

  it("is no loss where a fold's sums are too heavy to be written each time", function()
    stages.list = flow.fold { init = function() return {} end,
                              add = function(t, x) t[#t + 1] = x return t end,
                              done = function(_, t) return #t end }
    local options = deadly(1, { list = true })
    assert.same({ 30000 }, result("range(1, 30000) -> list{chunk=50, restarts=100000} -> collect", options))
    assert.is_true(options.deaths > 10)
  end)

  it("ends the run where a fold's sums cannot be sent; alive, it is as good as any", function()
    stages.threads = flow.fold { init = function() return { coroutine.create(print), 0 } end,
                                 add = function(t, x) t[2] = t[2] + x return t end,
                                 done = function(_, t) return t[2] end }
    assert.same({ 50005000 }, result "range(1, 10000) -> threads -> collect")
    assert.is_truthy(failure("range(1, 9999) -> threads{chunk=1} -> null", dies("threads[1]", 40))
      :find "what it had gathered is lost: it cannot be sent to another process$")
  end)
end)

describe("a source of one's own that dies", function()
  -- Kills it at each n-th place where it could die.
  local function each(n, victim)
    local times = 0
    return { die = function(name)
      if name ~= victim then return false end
      times = times + 1
      return times % n == 0
    end }
  end

  local function numbers(n)
    local all = {}
    for i = 1, n do all[i] = i end
    return all
  end

  it("with replay=yes gives the same again, unheard", function()
    for n = 11, 19 do
      assert.same(numbers(100), result("hundred{replay=yes, chunk=3, restarts=1000} -> collect", each(n, "hundred[1]")))
    end
  end)

  it("with replay=mark begins behind its last mark", function()
    local began = {}
    stages.marks = flow.source(function(ctx)
      began[#began + 1] = ctx.resume or 0
      for i = (ctx.resume or 0) + 1, 100 do emit(i, nil, i % 10 == 0 and { mark = i } or nil) end
    end)
    assert.same(numbers(100), result("marks{replay=mark, chunk=3, restarts=1000} -> collect", each(13, "marks[1]")))
    assert.is_true(#began > 3)
    for i = 2, #began do assert.is_true(began[i] >= began[i - 1]) end
    assert.is_true(began[#began] > 0)
  end)
end)

describe("declared flows", function()
  local words

  setup(function()
    words = flow.globals()
    _G.square, _G.fails = stages.square, stages.fails
  end)

  teardown(function() _G.square, _G.fails, _G.note = nil, nil, nil end)

  local function declare(text)
    local f = words.flow(text)
    f.engine = fake()
    return f
  end

  it("run when the script ends, unless they were steered", function()
    local order = {}
    _G.note = function(x) order[#order + 1] = x end
    declare "range(1, 2) -> note -> null":run()
    declare "range(8, 9) -> note -> null"
    assert.equal(0, flow.run_declared {})
    assert.same({ 1, 2, 8, 9 }, order)
    assert.equal(0, flow.run_declared {})
    assert.same({ 1, 2, 8, 9 }, order)
  end)

  it("give 2 and all mistakes of all flows, and 1 and what failed", function()
    declare "range(1, 2) -> ouch -> null"
    declare "range(1, 2) -> square"
    local status, message = flow.run_declared {}
    assert.equal(2, status)
    assert.is_truthy(message:find("no stage 'ouch'", 1, true))
    assert.is_truthy(message:find("the results of 'square' go nowhere", 1, true))
    declare "range(1, 9) -> fails -> null"
    status, message = flow.run_declared {}
    assert.equal(1, status)
    assert.is_truthy(message:find("fails[1]: error on item 7", 1, true))
  end)

  it("are only checked with `check`", function()
    declare "range(1, 9) -> fails -> null"
    assert.equal(0, (flow.run_declared { check = true }))
  end)

  it("take options of stages from outside, and refuse wrong ones", function()
    declare "range(1, 9) -> square -> null"
    local status, message = flow.run_declared { ["sqare.cap"] = "4" }
    assert.same({ 2, "mprun: -o sqare.cap: no stage 'sqare' (did you mean 'square'?)" },
      { status, message })
    declare "range(1, 9) -> square -> null"
    status, message = flow.run_declared { ["sqare.cap"] = "x" }
    assert.equal(2, status)
    assert.equal("mprun: -o sqare.cap=x: 'cap' expects a whole number from 1 on, not x", message)
  end)
end)

describe("what a flow is drawn as", function()
  it("is its chains", function()
    local f = flow("range(1, 2) -> square*2 -> sum@mod -> null; gen -> square", stages)
    assert.equal("range -> square*2 -> [sum@mod -> null]\ngen -> ^square\n[ ]: in the same processes", f:graph())
  end)
end)
