-- lock: mp.Lock. SPDX-License-Identifier: MIT
local mp = require "mp"
local support = require "tests.support"
local raises, kill, join = support.raises, support.kill, support.join

-- A process that holds the lock until the event is set.
local function holder(l)
  return support.holder(function() l:acquire() end, function() l:release() end, "SomeProcess")
end

describe("Lock", function()
  it("E01: is taken once and released once", function()
    local l = mp.Lock()
    assert.is_false(l:locked())
    assert.is_true(l:acquire())
    assert.is_true(l:locked())
    assert.same({ nil, "timeout" }, { l:acquire(false) })
    assert.same({ nil, "timeout" }, { l:acquire(true, 0) })
    local t = mp.time()
    assert.same({ nil, "timeout" }, { l:acquire(0.1) })
    assert.is_true(mp.time() - t >= 0.095)
    l:release()
    assert.is_false(l:locked())
    raises("Lock:release: this lock is not locked", l.release, l)
    assert.is_true(l:acquire(false))
    l:release()
  end)

  it("E02: another process sees it locked, and waits for it", function()
    local l = mp.Lock()
    local p, go = holder(l)
    assert.is_true(l:locked())
    assert.same({ nil, "timeout" }, { l:acquire(0.05) })
    go:set()
    assert.is_true(l:acquire(20))
    l:release()
    p:join()
    assert.is_false(l:locked())
  end)

  it("E03: hold releases at the end of the scope", function()
    local l = mp.Lock()
    do
      local hold <close> = l:hold()
      assert.truthy(hold)
      assert.is_true(l:locked())
      assert.same({ nil, "timeout" }, { l:hold(0) })
    end
    assert.is_false(l:locked())
    pcall(function()
      local hold <close> = l:hold(1) -- luacheck: ignore
      error "out"
    end)
    assert.is_false(l:locked())
  end)

  it("hold leaves alone what was released before, and by whom else it is held", function()
    local l = mp.Lock()
    local p, go
    do
      local hold <close> = l:hold() -- luacheck: ignore
      l:release()
      p, go = holder(l)
    end
    assert.is_true(l:locked())
    go:set()
    p:join()
  end)

  it("with runs a function held, and gives what it returned", function()
    local l = mp.Lock()
    assert.same({ true, 3, nil, n = 3 }, table.pack(l:with(function(a, b)
      return l:locked(), a + b, nil
    end, 1, 2)))
    assert.is_false(l:locked())
    raises("inside", l.with, l, function() error "inside" end)
    assert.is_false(l:locked())
    local ok, e = pcall(l.with, l, function() error { code = 7 } end)
    assert.is_false(ok)
    assert.equal(7, e.code)
    raises("Lock:with: ", l.with, l, 5)
    assert.is_false(l:locked())
  end)

  it("with may be left and entered again by a coroutine", function()
    local l = mp.Lock()
    local co = coroutine.wrap(function()
      return l:with(function(x) return coroutine.yield(x) + 1 end, 1)
    end)
    assert.equal(1, co())
    assert.is_true(l:locked())
    assert.equal(6, co(5))
    assert.is_false(l:locked())
  end)

  it("with keeps the traceback of what was raised inside", function()
    local l = mp.Lock()
    local function culprit() error "inside" end
    local _, trace = xpcall(l.with, debug.traceback, l, function() culprit() end)
    assert.truthy(trace:find("culprit", 1, true), trace)
  end)

  it("E04: names its owner", function()
    local l = mp.Lock()
    assert.is_nil(l.owner)
    assert.is_nil(l.owner_name)
    assert.equal("Lock (free)", tostring(l))
    l:acquire()
    assert.equal(mp.getpid(), l.owner)
    assert.equal("main", l.owner_name)
    assert.equal(("Lock (held by main, pid %d)"):format(mp.getpid()), tostring(l))
    l:release()
    assert.is_nil(l.owner)
    local p, go = holder(l)
    assert.equal(p.pid, l.owner)
    assert.equal("SomeProcess", l.owner_name)
    go:set()
    p:join()
  end)

  it("E05: may be released by another process, once", function()
    local l = mp.Lock()
    l:acquire()
    local ok, again = mp.spawn(function()
      l:release()
      return true, (pcall(l.release, l))
    end):result(20)
    assert.is_true(ok)
    assert.is_false(again)
    assert.is_false(l:locked())
  end)

  it("tells that its holder died, once", function()
    local l = mp.Lock()
    local p = holder(l)
    p:kill()
    assert.same({ true, "abandoned" }, { l:acquire(20) })
    p:join()
    l:release()
    assert.same({ true }, { l:acquire() })
    l:release()
  end)

  it("is taken over at once from a holder that ended in order", function()
    local l = mp.Lock()
    local p = mp.spawn(function() l:acquire() end)
    p:join()
    assert.is_false(l:locked())
    assert.same({ true, "abandoned" }, { l:acquire(false) })
    l:release()
  end)

  it("passes to another when one who waits for it is killed", function()
    local l, ready, out = mp.Lock(), mp.Queue(), mp.Queue()
    l:acquire()
    local ps = {}
    for i = 1, 3 do
      ps[i] = mp.spawn(function()
        ready:put(i)
        out:put { i, l:acquire() }
        l:release()
      end)
    end
    for _ = 1, 3 do ready:get(20) end
    kill(ps[1])
    l:release()
    local a, b = out:get(20), out:get(20)
    assert.equal(5, a[1] + b[1])
    assert.is_nil(a[3])
    assert.is_nil(b[3])
    ps[2]:join()
    ps[3]:join()
  end)

  it("starves nobody: while all want it all the time, each gets it", function()
    for _, kind in ipairs { "Lock", "RLock" } do
      local l, out, stop, n = mp[kind](), mp.Queue(), mp.Event(), 6
      local ps = {}
      for i = 1, n do
        ps[i] = mp.spawn(function()
          local turns = 0
          while not stop:is_set() do
            for _ = 1, 50 do
              l:acquire()
              l:release()
            end
            turns = turns + 1
            if turns == 100 then out:put(i) end
          end
        end)
      end
      for _ = 1, n do assert.truthy((out:get(60))) end
      stop:set()
      join(ps)
    end
  end)

  it("keeps others out", function()
    local l, q = mp.Lock(), mp.Queue()
    q:put(0)
    local ps = {}
    for i = 1, 3 do
      ps[i] = mp.spawn(function()
        for _ = 1, 200 do
          l:acquire()
          q:put(q:get() + 1)   -- two steps
          l:release()
        end
      end)
    end
    join(ps)
    assert.equal(600, (q:get()))
  end)

  it("refuses to wait for itself", function()
    local l = mp.Lock()
    l:acquire()
    raises("Lock:acquire: this process holds the lock already", l.acquire, l)
    raises("Lock:hold: this process holds the lock already", l.hold, l)
    l:release()
  end)

  it("names the misuse", function()
    local l = mp.Lock()
    raises("Lock:acquire: ", l.acquire, l, "soon")
    raises("Lock:acquire: ", l.acquire, l, true, -1)
    raises("Lock:acquire: expected a Lock", l.acquire, mp.Queue())
    assert.is_nil(l.nothing)
  end)
end)
