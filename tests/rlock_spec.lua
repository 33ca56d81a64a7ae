-- rlock: mp.RLock. SPDX-License-Identifier: MIT
local mp = require "mp"
local support = require "tests.support"
local raises, kill, join = support.raises, support.kill, support.join

-- A process that holds the lock twice until the event is set.
local function holder(l)
  return support.holder(function()
    l:acquire()
    l:acquire()
  end, function()
    l:release()
    l:release()
  end, "P1")
end

describe("RLock", function()
  it("F01: is released as often as it was acquired", function()
    local l = mp.RLock()
    assert.is_false(l:locked())
    for _ = 1, 3 do assert.is_true(l:acquire()) end
    for _ = 1, 3 do
      assert.is_true(l:locked())
      l:release()
    end
    assert.is_false(l:locked())
    raises("RLock:release: this lock is not locked", l.release, l)
    assert.is_true(l:acquire(false))
    assert.is_true(l:acquire(true, 0))
    assert.is_true(l:acquire(0.1))
    for _ = 1, 3 do l:release() end
    raises("RLock:release: this lock is not locked", l.release, l)
  end)

  it("F02: another process sees it locked, and waits for the last release", function()
    local l = mp.RLock()
    local p, go = holder(l)
    assert.is_true(l:locked())
    assert.same({ nil, "timeout" }, { l:acquire(false) })
    local t = mp.time()
    assert.same({ nil, "timeout" }, { l:acquire(0.1) })
    assert.is_true(mp.time() - t >= 0.095)
    go:set()
    assert.same({ true }, { l:acquire(20) })
    p:join()
    assert.is_true(l:locked())
    l:release()
    assert.is_false(l:locked())
  end)

  it("F03: hold and with nest, and each ends one level", function()
    local l = mp.RLock()
    do
      local outer <close> = l:hold()
      assert.truthy(outer)
      do
        local inner <close> = l:hold(0) -- luacheck: ignore
        assert.equal(7, l:with(function(x)
          assert.truthy(tostring(l):find("depth 3", 1, true))
          return x
        end, 7))
      end
      assert.truthy(tostring(l):find("depth 1", 1, true))
      raises("inside", l.with, l, function() error "inside" end)
      assert.is_true(l:locked())
    end
    assert.is_false(l:locked())
  end)

  it("F04: names its owner and how deep it is held", function()
    local l = mp.RLock()
    assert.equal("RLock (free)", tostring(l))
    assert.is_nil(l.owner)
    assert.is_nil(l.owner_name)
    for _ = 1, 3 do l:acquire() end
    assert.equal(("RLock (held by main, pid %d, depth 3)"):format(mp.getpid()), tostring(l))
    assert.equal(mp.getpid(), l.owner)
    assert.equal("main", l.owner_name)
    for _ = 1, 3 do l:release() end
    local p, go = holder(l)
    assert.equal(("RLock (held by P1, pid %d, depth 2)"):format(p.pid), tostring(l))
    assert.equal(p.pid, l.owner)
    assert.equal("P1", l.owner_name)
    raises(("RLock:release: this process does not hold the lock, P1 (pid %d) does"):format(p.pid),
      l.release, l)
    go:set()
    p:join()
    assert.equal("RLock (free)", tostring(l))
  end)

  it("F05: works in a process that gets it from a queue", function()
    local q, out = mp.Queue(), mp.Queue()
    local p = mp.spawn(function()
      local l = q:get()
      l:acquire()
      l:acquire()
      out:put(l)
      q:get()
      l:release()
      l:release()
    end)
    local l = mp.RLock()
    q:put(l)
    assert.equal(l, (out:get(20)))
    assert.equal(p.pid, l.owner)
    q:put "go on"
    assert.is_true(l:acquire(20))
    p:join()
    l:release()
  end)

  it("is not a child's that was started while it was held", function()
    local l = mp.RLock()
    l:acquire()
    local got, why, err = mp.spawn(function()
      local got, why = l:acquire(0)
      return got, why, select(2, pcall(l.release, l))
    end):result(20)
    assert.is_nil(got)
    assert.equal("timeout", why)
    assert.truthy(err:find("this process does not hold the lock", 1, true), err)
    assert.truthy(err:find("only its holder can release it", 1, true), err)
    l:release()
  end)

  it("tells that its holder died, once, however deep it was held", function()
    local l = mp.RLock()
    local p = holder(l)
    p:kill()
    assert.same({ true, "abandoned" }, { l:acquire(20) })
    p:join()
    assert.same({ true }, { l:acquire() })
    assert.truthy(tostring(l):find("depth 2", 1, true))
    l:release()
    l:release()
    assert.is_false(l:locked())
    assert.same({ true }, { l:acquire() })
    l:release()
  end)

  it("is free at once after a holder that ended in order", function()
    local l = mp.RLock()
    mp.spawn(function() l:acquire() l:acquire() end):join()
    assert.is_false(l:locked())
    assert.same({ true, "abandoned" }, { l:acquire(false) })
    l:release()
  end)

  it("passes to another when one who waits for it is killed", function()
    local l, ready, out = mp.RLock(), mp.Queue(), mp.Queue()
    l:acquire()
    local ps = {}
    for i = 1, 3 do
      ps[i] = mp.spawn(function()
        ready:put(i)
        l:acquire()
        out:put(i)
        l:release()
      end)
    end
    for _ = 1, 3 do ready:get(20) end
    kill(ps[1])
    l:release()
    local a, b = out:get(20), out:get(20)
    assert.equal(5, a + b)
    ps[2]:join()
    ps[3]:join()
    assert.is_true(l:acquire(20))
    l:release()
  end)

  it("keeps others out while it is held twice", function()
    local l, q = mp.RLock(), mp.Queue()
    q:put(0)
    local ps = {}
    for i = 1, 3 do
      ps[i] = mp.spawn(function()
        for _ = 1, 200 do
          l:acquire()
          local n = q:get()
          l:acquire()
          q:put(n + 1)
          l:release()
          l:release()
        end
      end)
    end
    join(ps)
    assert.equal(600, (q:get()))
  end)

  it("names the misuse", function()
    local l = mp.RLock()
    raises("RLock:acquire: ", l.acquire, l, "soon")
    raises("RLock:acquire: ", l.acquire, l, true, -1)
    raises("RLock:hold: ", l.hold, l, 0 / 0)
    raises("RLock:with: expected a function", l.with, l, 5)
    raises("RLock:acquire: expected a RLock", l.acquire, mp.Lock())
    assert.is_false(l:locked())
    assert.is_nil(l.nothing)
  end)
end)
