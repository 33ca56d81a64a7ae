-- barrier: mp.Barrier. SPDX-License-Identifier: MIT
local mp = require "mp"
local support = require "tests.support"
local raises, eventually, kill = support.raises, support.eventually, support.kill

local N = 5

-- Runs f(i) in N processes, this one being the last; what each returned.
local function together(f)
  local ps, got = {}, {}
  for i = 1, N - 1 do ps[i] = mp.spawn(f, i) end
  local mine = table.pack(f(N))
  for i, p in ipairs(ps) do got[i] = table.pack(p:result(60)) end
  got[N] = mine
  return got
end

-- n processes that wait at b.
local function waiters(b, n, timeout)
  local ps = {}
  for i = 1, n do ps[i] = mp.spawn(function() return b:wait(timeout) end) end
  eventually(function() return b.n_waiting >= n or b.broken end)
  return ps
end

local function all_broken(ps)
  for _, p in ipairs(ps) do
    assert.same({ nil, "broken", n = 2 }, table.pack(p:result(20)))
  end
end

local function sorted_seats(got)
  local seats = {}
  for i, r in ipairs(got) do seats[i] = r[1] end
  table.sort(seats)
  return seats
end

-- n processes go through `passes` passes of two phases; a party that finds
-- that another is not as far as it should be fails.
local function lock_step(b, passes)
  local phase1, phase2 = mp.Semaphore(0), mp.Semaphore(0)
  together(function()
    for k = 1, passes do
      phase1:release()
      assert(b:wait(60))
      assert(phase1.value >= k * N)
      phase2:release()
      assert(b:wait(60))
      assert(phase2.value >= k * N)
    end
  end)
  assert.equal(passes * N, phase2.value)
  assert.equal(0, b.n_waiting)
  assert.is_false(b.broken)
end

describe("Barrier", function()
  it("J01: keeps its parties in step", function()
    lock_step(mp.Barrier(N), 1)
  end)

  it("J02: ten times in a row", function()
    lock_step(mp.Barrier(N), 10)
  end)

  it("J03: gives each party another number, from 1", function()
    local b = mp.Barrier(N)
    assert.same({ 1, 2, 3, 4, 5 }, sorted_seats(together(function() return b:wait() end)))
  end)

  it("J03: in order of arrival", function()
    local b = mp.Barrier(3)
    local first = waiters(b, 1)[1]
    local second = mp.spawn(function() return b:wait() end)
    eventually(function() return b.n_waiting == 2 end)
    assert.equal("Barrier (2 of 3 wait)", tostring(b))
    assert.equal(3, b:wait())
    assert.same({ 1, 2 }, { first:result(20), (second:result(20)) })
  end)

  it("J04: runs its action once a pass, in the last to arrive, before it lets go", function()
    local runs = mp.Semaphore(0)
    local b = mp.Barrier(N, function() runs:release() end)
    for k = 1, 3 do
      local got = together(function()
        local seat = b:wait()
        return seat, runs.value
      end)
      for _, r in ipairs(got) do assert.equal(k, r[2]) end
      assert.same({ 1, 2, 3, 4, 5 }, sorted_seats(got))
    end
  end)

  it("J05: abort breaks it for those who wait and those who come", function()
    local b = mp.Barrier(N)
    local ps = waiters(b, N - 1)
    b:abort()
    assert.is_true(b.broken)
    assert.equal("Barrier (broken)", tostring(b))
    all_broken(ps)
    assert.same({ nil, "broken" }, { b:wait() })
    assert.equal(0, b.n_waiting)
  end)

  it("J06: reset sends away those who wait, and then it works", function()
    local b = mp.Barrier(N)
    local ps = waiters(b, N - 1)
    b:reset()
    all_broken(ps)
    assert.is_false(b.broken)
    assert.same({ 1, 2, 3, 4, 5 }, sorted_seats(together(function() return b:wait() end)))
  end)

  it("J07: reset mends what abort broke", function()
    local b = mp.Barrier(N)
    local ps = waiters(b, N - 1)
    b:abort()
    all_broken(ps)
    b:reset()
    assert.is_false(b.broken)
    assert.same({ 1, 2, 3, 4, 5 }, sorted_seats(together(function() return b:wait() end)))
  end)

  it("J08: one that comes too late finds it broken, as do the others", function()
    local b = mp.Barrier(N)
    local t = mp.time()
    local ps = waiters(b, N - 1, 0.2)
    all_broken(ps)
    assert.is_true(mp.time() - t >= 0.195)
    assert.same({ nil, "broken" }, { b:wait() })
  end)

  it("J09: so it is with the barrier's own timeout", function()
    local b = mp.Barrier(N, nil, 0.2)
    local t = mp.time()
    all_broken(waiters(b, N - 1))
    assert.is_true(mp.time() - t >= 0.195)
    assert.same({ nil, "broken" }, { b:wait(20) })
    b:reset()
    assert.same({ nil, "broken" }, { b:wait(0) })
  end)

  it("J10: of one party never blocks", function()
    local n = 0
    local b = mp.Barrier(1, function() n = n + 1 end)
    assert.same({ 1, 1 }, { b:wait(), (b:wait(0)) })
    assert.equal(2, n)
  end)

  it("J11: a thousand passes of five processes", function()
    local b, q = mp.Barrier(N), mp.Queue()
    local ps = {}
    for i = 1, N do
      ps[i] = mp.spawn(function()
        for k = 1, 1000 do
          q:put(k)
          assert(b:wait(60))
        end
      end)
    end
    for k = 1, 1000 do
      for _ = 1, N do assert.equal(k, (q:get(60))) end
    end
    for _, p in ipairs(ps) do p:result(20) end
  end)

  it("J12: knows its parties, and is reset when nobody waits", function()
    local b = mp.Barrier(5)
    assert.equal(5, b.parties)
    b:reset()
    assert.same({ 5, 0, false }, { b.parties, b.n_waiting, b.broken })
    assert.is_nil(b.nothing)
  end)

  it("lets more processes than it has parties take turns", function()
    local b, seats = mp.Barrier(2), mp.Queue()
    local ps = {}
    for i = 1, 4 do
      ps[i] = mp.spawn(function()
        local seat, why = b:wait()
        while seat do
          seats:put(seat)
          seat, why = b:wait()
        end
        return seat, why
      end)
    end
    local n = { 0, 0 }
    while n[1] + n[2] < 200 do
      local seat = seats:get(20)
      n[seat] = n[seat] + 1
    end
    b:abort()
    all_broken(ps)
    assert.is_true(math.abs(n[1] - n[2]) <= 4)
  end)

  it("takes its action along through a queue", function()
    local q, log = mp.Queue(), mp.Queue()
    local word = "from afar"
    local p = mp.spawn(function()
      local b = q:get()
      eventually(function() return b.n_waiting > 0 end)
      return b:wait(), (b:wait())
    end)
    local b = mp.Barrier(2, function() log:put { word, mp.getpid() } end)
    q:put(b)
    assert.equal(1, b:wait(20))
    assert.same({ word, p.pid }, (log:get(20)))
    eventually(function() return b.n_waiting > 0 end)
    assert.equal(2, b:wait(20))
    assert.same({ word, mp.getpid() }, (log:get(20)))
    assert.same({ 2, 1 }, { p:result(20) })
  end)

  it("keeps what its action refers to while only it does", function()
    local q = mp.Queue()
    local p = mp.spawn(function()
      local b = q:get()
      b:wait()
      return b.parties
    end)
    do
      local log = mp.Queue()
      log:put "kept"
      q:put(mp.Barrier(1, function() assert(log:get(false) == "kept") end))
    end
    collectgarbage()
    collectgarbage()
    assert.equal(1, p:result(20))
  end)

  it("an action that cannot travel runs where it was made", function()
    local co, ran = coroutine.create(print), 0
    local b = mp.Barrier(1, function()
      assert(coroutine.status(co) == "suspended")
      ran = ran + 1
    end)
    assert.equal(1, b:wait())
    assert.equal(1, ran)
    assert.equal(1, (mp.spawn(function() return b:wait() end):result(20)))
    local q = mp.Queue()
    local p = mp.spawn(function()
      local got = q:get()
      local ok, why = pcall(got.wait, got)
      return ok, why, got.broken
    end)
    q:put(mp.Barrier(1, function() return co end))
    local ok, why, broken = p:result(20)
    assert.is_false(ok)
    assert.truthy(why:find("Barrier:wait: the action runs only where the barrier was made: ", 1, true), why)
    assert.truthy(why:find("cannot send a coroutine", 1, true), why)
    assert.is_true(broken)
  end)

  it("an action that raises breaks it, and raises in its party alone", function()
    local b = mp.Barrier(3, function() error { code = 7 } end)
    local ps = waiters(b, 2)
    local ok, e = pcall(b.wait, b)
    assert.is_false(ok)
    assert.equal(7, e.code)
    all_broken(ps)
    assert.is_true(b.broken)
    local function culprit() error "inside" end
    local single = mp.Barrier(1, function() culprit() end)
    local _, trace = xpcall(single.wait, debug.traceback, single)
    assert.truthy(trace:find("culprit", 1, true), trace)
  end)

  it("an action may look at its barrier, reset it and abort it, but not wait", function()
    local b
    b = mp.Barrier(1, function() return b:wait() end)
    raises("Barrier:wait: this process waits at it already", b.wait, b)
    assert.is_true(b.broken)
    local seen
    b = mp.Barrier(1, function() seen = { b.n_waiting, b.broken } b:reset() end)
    assert.same({ nil, "broken" }, { b:wait() })
    assert.same({ 1, false }, seen)
    assert.is_false(b.broken)
    b = mp.Barrier(1, function() b:abort() end)
    assert.same({ nil, "broken" }, { b:wait() })
    assert.is_true(b.broken)
  end)

  it("a timeout while the action runs breaks it for all", function()
    local begun, go = mp.Event(), mp.Event()
    local b = mp.Barrier(2, function() begun:set() go:wait() end)
    local p = mp.spawn(function() return b:wait(0.2) end)
    eventually(function() return b.n_waiting == 1 end)
    local last = mp.spawn(function() return b:wait() end)
    assert(begun:wait(20))
    all_broken { p }
    go:set()
    all_broken { last }
  end)

  it("one that comes while the action runs is of the next pass", function()
    local begun, go = mp.Event(), mp.Event()
    local b = mp.Barrier(2, function() begun:set() go:wait() end)
    local two = waiters(b, 1)
    two[2] = mp.spawn(function() return b:wait() end)
    assert(begun:wait(20))
    local asked = mp.Event()
    local third = mp.spawn(function()
      asked:set()
      return b:wait()
    end)
    assert(asked:wait(20))
    assert.equal(2, b.n_waiting)
    go:set()
    assert.same({ 1, 2 }, { (two[1]:result(20)), (two[2]:result(20)) })
    -- It may have begun to wait only after this one: the two are a pass.
    local numbers = { (b:wait(20)), (third:result(20)) }
    table.sort(numbers)
    assert.same({ 1, 2 }, numbers)
  end)

  it("a handler that raises out of the wait breaks it, another does not", function()
    local b, ready = mp.Barrier(3), mp.Queue()
    local function party(f)
      return mp.spawn(function()
        mp.on_signal("USR1", f)
        ready:put(true)
        local ok, a, why = pcall(b.wait, b)
        return ok, a, why
      end)
    end
    local calm = party(function() ready:put "handled" end)
    ready:get(20)
    eventually(function() return b.n_waiting == 1 end)
    os.execute("kill -USR1 " .. calm.pid)
    assert.equal("handled", (ready:get(20)))
    assert.equal(1, b.n_waiting)
    local wild = party(function() error "enough" end)
    ready:get(20)
    eventually(function() return b.n_waiting == 2 end)
    os.execute("kill -USR1 " .. wild.pid)
    local ok, why = wild:result(20)
    assert.is_false(ok)
    assert.truthy(why:find("enough", 1, true))
    assert.same({ true, nil, "broken" }, { calm:result(20) })
    assert.is_true(b.broken)
  end)

  it("names the misuse", function()
    raises("mp.Barrier: the number of parties must be an integer from 1, got 0", mp.Barrier, 0)
    raises("mp.Barrier: the number of parties must be an integer from 1, got nil", mp.Barrier)
    raises('mp.Barrier: the number of parties must be an integer from 1, got "2"', mp.Barrier, "2")
    raises("mp.Barrier: the number of parties must be an integer from 1, got 1.5", mp.Barrier, 1.5)
    raises("mp.Barrier: the number of parties must be at most", mp.Barrier, 1 << 40)
    raises("mp.Barrier: the action must be a function, got number", mp.Barrier, 2, 5)
    raises("mp.Barrier: the timeout must not be negative", mp.Barrier, 2, nil, -1)
    raises("mp.Barrier: the timeout must not be negative", mp.Barrier, 2, nil, 0/0)
    raises("mp.Barrier: the timeout must be a number of seconds", mp.Barrier, 2, print, "1")
    local b = mp.Barrier(2)
    raises("Barrier:wait: the timeout must not be negative", b.wait, b, -1)
    raises("Barrier:wait: the timeout must be a number", b.wait, b, true)
    raises("Barrier:wait: expected a Barrier", b.wait, mp.Queue())
    assert.same({ 0, false }, { b.n_waiting, b.broken })
  end)
end)

describe("a barrier breaks", function()
  it("when one that waits is killed", function()
    local b = mp.Barrier(N)
    local ps = waiters(b, N - 1)
    local t = mp.time()
    kill(table.remove(ps))
    all_broken(ps)
    assert.is_true(mp.time() - t < 10)
    assert.is_true(b.broken)
    assert.equal(0, b.n_waiting)
    b:reset()
    assert.same({ 1, 2, 3, 4, 5 }, sorted_seats(together(function() return b:wait() end)))
  end)

  it("when one is killed that runs the action", function()
    local begun = mp.Event()
    local b = mp.Barrier(3, function() begun:set() mp.sleep(60) end)
    local ps = waiters(b, 2)
    local last = mp.spawn(function() return b:wait() end)
    assert(begun:wait(20))
    kill(last)
    all_broken(ps)
    assert.is_true(b.broken)
  end)

  it("when the action ends its process", function()
    local b = mp.Barrier(2, function() os.exit(3) end)
    local ps = waiters(b, 1)
    local last = mp.spawn(function() return b:wait() end)
    last:join()
    assert.equal(3, last.exitcode)
    all_broken(ps)
  end)

  it("but not by a death outside of it, nor after the pass", function()
    local b = mp.Barrier(2)
    local passed = mp.Event()
    local p = mp.spawn(function()
      b:wait()
      passed:set()
      mp.sleep(60)
    end)
    assert.truthy(b:wait(20))
    assert(passed:wait(20))
    local ps = waiters(b, 1)
    kill(p)
    assert.equal(2, b:wait(20))
    assert.equal(1, (ps[1]:result(20)))
  end)
end)
