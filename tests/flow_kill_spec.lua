-- flow_kill: what the deaths of workers cost flows: nothing, wherever they strike.
-- On the engine in coroutines (flow_fake), where deaths are by choice.
-- SPDX-License-Identifier: MIT

local fake = require "tests.flow_fake"
local flow = require "mp.flow"

local emit = flow.emit

local stages = {
  square = function(x) return x * x end,
  itself = function(x) return x end,
  mod = function(x) return x % 4 end,
}

local function attempt(text, options)
  local f = flow(text, stages)
  f.engine = fake(options)
  return pcall(f.run, f)
end

-- Kills workers of these stages with this chance wherever they may die.
local function deadly(seed, names, chance)
  math.randomseed(seed)
  local options = { deaths = 0 }
  function options.die(name)
    if not names[name:match "^[^%[]+"] or math.random() > chance then return false end
    options.deaths = options.deaths + 1
    return true
  end
  return options
end

-- The text's `!` stand for "as many restarts as it takes"; it gives what it gives
-- without deaths.
local function survives(what, text, chance, ...)
  local names = {}
  for _, name in ipairs { ... } do names[name] = true end
  it(what, function()
    text = text:gsub("!%f[^!>]", "{restarts=100000}")
    local fine, expected = attempt(text)
    assert.is_true(fine, tostring(expected))
    local deaths = 0
    for seed = 1, 15 do
      local options = deadly(seed, names, chance)
      local alive, got = attempt(text, options)
      assert.is_true(alive, tostring(got))
      assert.same(expected, got, "seed " .. seed)
      deaths = deaths + options.deaths
    end
    assert.is_true(deaths > 15, deaths .. " deaths")
  end)
end

describe("a source whose items are put in order", function()
  it("does not run away from those who read them", function()
    local made, most = 0, 0
    stages.gen = function()
      for i = 1, 9000 do
        made = i
        emit(i)
      end
    end
    stages.behind = function(x)
      most = math.max(most, made - x)
      return x
    end
    local fine, got = attempt "gen => behind -> count -> collect"
    assert.is_true(fine, tostring(got))
    assert.same({ 9000, n = 1 }, got)
    assert.is_true(most < 4000, most .. " ahead")
  end)

  it("ends when nobody needs more", function()
    stages.ever = function()
      local i = 0
      while true do
        i = i + 1
        emit(i)
      end
    end
    local fine, got = attempt "ever => itself -> head(3) -> collect"
    assert.is_true(fine, tostring(got))
    assert.same({ 1, 2, 3, n = 3 }, got)
  end)

  survives("and that dies within a task can always go on with it",
    "range(1, 3000)*2! -> (itself{cap=16} & (square*2! => itself#2!)) -> sort! -> collect",
    0.02, "range")
end)

describe("a worker that is slower than the others", function()
  -- Each time that it leases or commits it takes so long.
  local function slow(name, seconds)
    local asleep, engine = false, nil
    engine = fake { die = function(who)
      if who == name and not asleep then
        asleep = true
        engine.sleep(seconds)
        asleep = false
      end
    end }
    return engine
  end

  it("gets its part of a window through, though the others are windows ahead", function()
    stages.paced = function(ctx)
      for i = 1, 1000 do
        emit(i)
        if i % 20 == 0 then ctx.sleep(0.01) end
      end
    end
    stages.added = flow.fold { init = 0, add = function(sum, v) return sum + #v end }
    local f = flow("paced -> window(20ms) -> batch(5)@mod*4 -> added -> collect", stages)
    f.engine = slow("batch[2]", 0.02)
    local seen = 0
    for _, n in ipairs(f:run()) do seen = seen + n end
    assert.equal(1000, seen)
  end)
end)

describe("a worker whose results nobody takes any more", function()
  it("gives back what it has to the others that read its link", function()
    local f = flow("range(1, 300) -> itself{chunk=8} -> (head(1) | square{chunk=1, cap=1}) -> count -> collect", stages)
    f.engine = fake()
    local got = f:run()
    local put
    for _, inbox in ipairs(f.plan.inboxes) do
      if inbox.label == "head" then put = inbox.sends[1].put_ever end
    end
    assert.equal(300 - put + 1, got[1])
  end)
end)

describe("an item that failed", function()
  stages.heavy = flow.fold {
    init = function() return table.pack(("x"):rep(3000):byte(1, -1)) end,
    add = function(acc, x)
      if x % 5 == 0 then error "five" end
      acc[#acc + 1] = x
      return acc
    end,
    done = function(_, acc) return #acc end,
  }
  stages.item = function(e) return e.item end
  survives("is told once, though a fold's next worker works through it again",
    "range(1, 900) -> heavy! -> null; heavy !> item -> sort -> collect", 0.03, "heavy")
end)

describe("a signal that stops a source", function()
  -- SIGTERM for the source, right behind its n-th commit.
  local function signal_after(n)
    local engine = fake()
    local commit, signal = engine.core.commit, engine.signal
    local handler, source
    function engine.signal(name, f)
      local who, main = coroutine.running()
      if not main then handler, source = f, who end
      signal(name, f)
    end
    function engine.core.commit(...)
      local ok, why = commit(...)
      if coroutine.running() == source then
        n = n - 1
        if n == 0 then handler() end
      end
      return ok, why
    end
    return engine
  end

  it("comes between two items, not in the middle of a commit", function()
    stages.gen = function() for i = 1, 500 do emit(i) end end
    for n = 1, 12 do
      local f = flow("gen -> itself -> collect", stages)
      f.engine = signal_after(n)
      local got = f:run()
      assert.is_true(got.n > 0)
      for i, v in ipairs(got) do assert.equal(i, v) end
    end
  end)

  it("is heard though the owner was not waiting when it came", function()
    local made
    stages.gen = function(ctx)
      for i = 1, 30 do
        emit(i)
        made = i
        ctx.sleep(0.02)
      end
    end
    local engine = fake()
    local handler, ended, signal, time = nil, 0, engine.signal, engine.time
    function engine.signal(name, f)
      if name == "INT" then handler = f end
      signal(name, f)
    end
    function engine.time()
      local _, main = coroutine.running()
      for _, p in ipairs(engine.processes) do ended = ended + (p.exitcode and 1 or 0) end
      if main and handler and ended > 0 then
        local f = handler
        handler = nil
        f()
      end
      return time()
    end
    local f = flow("range(1, 2) -> null; gen -> null", stages)
    f.engine = engine
    local fine, e = pcall(f.run, f)
    assert.is_false(fine)
    assert.equal(130, e.exit_status)
    assert.is_true(made < 20, made .. " items")
  end)
end)

describe("a worker too many", function()
  it("leaves nothing undone, wherever it dies while it goes", function()
    local quiet = false
    stages.bursts = function(ctx)
      for _ = 1, 2 do
        for i = 1, 2000 do emit(i) end
        quiet = true
        ctx.sleep(1.5)
        quiet = false
      end
    end
    stages.total = flow.fold { init = 0, add = function(a, b) return a + b end,
                               merge = function(a, b) return a + b end }
    local places, n = 0, math.huge
    local function once_at(name)
      if name ~= "total[2]" or not quiet then return false end
      places = places + 1
      return places == n
    end
    local function sum()
      places, quiet = 0, false
      local fine, got = attempt("bursts -> total*1..2{cap=8, chunk=1} -> collect", { die = once_at })
      return fine and got[1] or got
    end
    assert.equal(2000 * 2001, sum())
    local last = places
    assert.is_true(last >= 6, last .. " places")
    for i = 1, last do
      n = i
      assert.equal(2000 * 2001, sum(), "at place " .. i .. " of " .. last)
    end
  end)
end)

describe("what a stage gives at its end", function()
  stages.closing = flow.stage {
    item = function(x) return x end,
    close = function() return 1000 end,
  }

  local function gives(text, expected)
    it("stands behind all items that are in order: " .. text, function()
      local fine, got = attempt(text)
      assert.is_true(fine, tostring(got))
      got.n = nil
      assert.same(expected, got)
    end)
  end

  gives("range(1, 4) -> closing*2 => itself -> collect", { 1, 2, 3, 4, 1000, 1000 })
  gives("range(1, 4)*2 -> closing => itself*2 => itself#2 -> collect", { 1, 2, 3, 4, 1000 })
  gives("range(1, 4) -> (closing & square) -> zip -> itself -> collect",
    { { 1, 1 }, { 2, 4 }, { 3, 9 }, { 4, 16 } })
  survives("is there once",
    "range(1, 300)*2! -> closing*2! -> itself*2! => square! -> collect", 0.05, "range", "closing", "itself", "square")
end)

describe("a fold whose accumulators are heavy", function()
  -- The first item becomes the accumulator, which the next ones change.
  stages.heavy = function(x)
    local t = { sum = x }
    for i = 1, 2000 do t[i] = i end
    return t
  end
  stages.union = flow.fold {
    init = 0,
    add = function(a, b)
      if a == 0 then return b end
      a.sum = a.sum + b.sum
      return a
    end,
    done = function(_, t) return { t.sum, #t } end,
  }
  survives("gives what it gives undisturbed, though it takes an item over and changes it",
    "range(1, 100) -> heavy -> union! -> collect", 0.04, "union")
end)
