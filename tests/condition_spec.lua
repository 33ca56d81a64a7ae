-- condition: mp.Condition. SPDX-License-Identifier: MIT
local mp = require "mp"
local support = require "tests.support"
local raises, eventually, kill, join = support.raises, support.eventually, support.kill, support.join

local function waiting(c)
  return tonumber(tostring(c):match "(%d+) waiting")
end

-- Until so many wait: they registered under the lock, so this is exact.
local function await_waiting(c, n)
  eventually(function() return waiting(c) == n end, n .. " waiting")
end

-- n processes that wait in order; each puts { i, wait's results }.
local function waiters(c, n, timeout)
  local out, ps = mp.Queue(), {}
  for i = 1, n do
    ps[i] = mp.spawn(function()
      c:acquire()
      local ok, why = c:wait(timeout)
      out:put { i, ok, why }
      c:release()
    end)
    if not timeout then await_waiting(c, i) end
  end
  return out, ps
end

describe("Condition", function()
  after_each(support.clean)

  it("H01: each notify wakes exactly one, the one that has waited longest", function()
    local c = mp.Condition()
    local out, ps = waiters(c, 2)
    assert.is_true(out:empty())
    for i = 1, 2 do
      c:acquire()
      c:notify()
      assert.equal(2 - i, waiting(c))
      c:release()
      assert.same({ i, true }, (out:get(20)))
      assert.same({ nil, "timeout" }, { out:get(0.05) })
    end
    join(ps)
    assert.equal("Condition (free; 0 waiting)", tostring(c))
  end)

  it("H02: waits that time out leave nothing; notify_all wakes all", function()
    local c = mp.Condition()
    local out, ps = waiters(c, 6, 0.1)
    for _ = 1, 6 do
      local r = out:get(20)
      assert.is_nil(r[2])
      assert.equal("timeout", r[3])
    end
    join(ps)
    assert.equal("Condition (free; 0 waiting)", tostring(c))
    out, ps = waiters(c, 6)
    c:with(function() c:notify_all() end)
    local seen = {}
    for _ = 1, 6 do
      local r = out:get(20)
      assert.is_true(r[2])
      seen[r[1]] = true
    end
    assert.equal(6, #seen)
    join(ps)
    assert.equal("Condition (free; 0 waiting)", tostring(c))
  end)

  it("H03: notify(n) wakes n of those that wait now, not of those that come", function()
    local c = mp.Condition()
    local out, ps = waiters(c, 6)
    c:with(function() c:notify(2) end)
    local a, b = out:get(20), out:get(20)
    assert.equal(3, a[1] + b[1])
    assert.same({ nil, "timeout" }, { out:get(0.05) })
    c:with(function() c:notify(4) end)
    for _ = 1, 4 do assert.is_true(out:get(20)[2]) end
    c:with(function()
      c:notify(3)
      c:notify(0)
      assert.same({ nil, "timeout" }, { c:wait(0.05) })
    end)
    assert.is_true(out:empty())
    join(ps)
  end)

  it("H04: wait keeps its timeout, and holds the lock again", function()
    local c = mp.Condition()
    c:acquire()
    local t = mp.time()
    assert.same({ nil, "timeout" }, { c:wait(0.1) })
    assert.is_true(mp.time() - t >= 0.1)
    assert.equal(mp.getpid(), c.owner)
    c:release()
  end)

  it("H05: wait_for returns what the predicate does, called with the lock held", function()
    local c, state, out = mp.Condition(), mp.Queue(), mp.Queue()
    state:put(4)
    local p = mp.spawn(function()
      c:acquire()
      out:put "holds"
      out:put(table.pack(c:wait_for(function()
        assert(c.owner == mp.getpid())
        return state:peek() == 0 and "zero"
      end)))
      c:release()
    end)
    out:get(20)
    for n = 3, 0, -1 do
      c:acquire()
      state:get()
      state:put(n)
      c:notify()
      c:release()
    end
    local got = out:get(20)
    assert.same({ "zero", n = 1 }, got)
    assert.is_true(p:join(20))
    assert.equal(0, p.exitcode)
  end)

  it("H06: wait_for gives up at its timeout, however often it is woken", function()
    local c = mp.Condition()
    local stop = mp.Event()
    local p = mp.spawn(function()
      while not stop:is_set() do
        c:with(function() c:notify_all() end)
        mp.sleep(0.01)
      end
    end)
    c:acquire()
    local t, n = mp.time(), 0
    assert.same({ nil, "timeout" }, { c:wait_for(function()
      n = n + 1
      return false
    end, 0.1) })
    assert.is_true(mp.time() - t >= 0.1)
    assert.is_true(n >= 2)
    assert.same({ nil, "timeout" }, { c:wait_for(function() return nil end, 0) })
    assert.same({ 7 }, { c:wait_for(function() return 7 end, 0) })
    assert.equal(mp.getpid(), c.owner)
    c:release()
    stop:set()
    p:join()
  end)

  it("H07: wait says whether it was notified", function()
    local c = mp.Condition()
    c:acquire()
    assert.same({ nil, "timeout" }, { c:wait(0) })
    assert.same({ nil, "timeout" }, { c:wait(0.1) })
    local p = mp.spawn(function() c:with(c.notify, c) end)
    assert.same({ true }, { c:wait(60) })
    c:release()
    p:join()
  end)

  it("H08: a handler that raises ends the wait, with the lock held", function()
    local c, out = mp.Condition(), mp.Queue()
    local p = mp.spawn(function()
      mp.on_signal("USR1", function() error { name = "stopped" } end)
      c:acquire()
      c:acquire()
      local ok, e = pcall(c.wait, c, 60)
      out:put { ok, e.name, c.owner == mp.getpid(), tostring(c) }
      c:release()
      c:release()
      out:put((pcall(c.release, c)))
    end)
    await_waiting(c, 1)
    c:acquire()           -- it must wait for us before it can raise
    os.execute("kill -USR1 " .. p.pid)
    assert.same({ nil, "timeout" }, { out:get(0.1) })
    c:release()
    local got = out:get(20)
    assert.is_false(got[1])
    assert.equal("stopped", got[2])
    assert.is_true(got[3])
    assert.truthy(got[4]:find("depth 2; 0 waiting", 1, true), got[4])
    assert.is_false((out:get(20)))
    p:join()
  end)

  it("H08: Ctrl-C ends the wait, with the lock held", function()
    local ran = support.mprun { support.script [[
      local mp = require "mp"
      local c = mp.Condition()
      c:acquire()
      local main = mp.getpid()
      mp.spawn(function()
        c:with(function() os.execute("kill -INT " .. main) end)  -- it waits by now
      end)
      pcall(function()
        local _ <close> = setmetatable({}, { __close = function(_, e)
          io.stderr:write(e.name, " ", tostring(c.owner == main), "\n")
        end })
        c:wait(60)
      end)
    ]] }
    assert.equal("Interrupted true\nmprun: interrupted\n", ran.err)
    assert.equal(130, ran.status)
  end)

  it("a handler that returns leaves the wait going", function()
    local c, out = mp.Condition(), mp.Queue()
    local p = mp.spawn(function()
      mp.on_signal("USR1", function()
        assert(c.owner ~= mp.getpid())
        c:with(function() out:put "signal" end)
      end)
      c:acquire()
      out:put { c:wait() }
      c:release()
    end)
    await_waiting(c, 1)
    for _ = 1, 3 do
      os.execute("kill -USR1 " .. p.pid)
      assert.equal("signal", (out:get(20)))
    end
    assert.equal(1, waiting(c))
    c:with(c.notify, c)
    assert.same({ true }, (out:get(20)))
    p:join()
  end)

  it("passes on the notification of one whose handler raises", function()
    local c, out = mp.Condition(), mp.Queue()
    local ps = {}
    for i = 1, 2 do
      ps[i] = mp.spawn(function()
        mp.on_signal("USR1", function() error "stop" end)
        c:acquire()
        out:put { i, (pcall(c.wait, c)) }
        c:release()
      end)
      await_waiting(c, i)
    end
    c:acquire()
    c:notify()              -- for the first, which is not to have it
    os.execute("kill -USR1 " .. ps[1].pid)
    mp.sleep(0.02)
    c:release()
    local seen = {}
    for _ = 1, 2 do
      local r = out:get(20)
      seen[r[1]] = r[2]
    end
    assert.is_false(seen[1])
    assert.is_true(seen[2])
    join(ps)
  end)

  it("H09: acquire, release, hold and with are the lock's", function()
    local c = mp.Condition()
    assert.is_true(c:acquire())
    assert.is_true(c:acquire(0))
    assert.is_true(c:locked())
    assert.equal("main", c.owner_name)
    assert.equal(("Condition (held by main, pid %d, depth 2; 0 waiting)"):format(mp.getpid()), tostring(c))
    local got, why = mp.spawn(function() return c:acquire(0.01) end):result(20)
    assert.is_nil(got)
    assert.equal("timeout", why)
    c:release()
    c:release()
    assert.is_false(c:locked())
    assert.is_nil(c.owner)
    do
      local hold <close> = c:hold(1) -- luacheck: ignore
      assert.is_true(c:locked())
    end
    assert.equal(3, c:with(function(x) return x end, 3))
    assert.is_false(c:locked())
    raises("Condition:release: this lock is not locked", c.release, c)
  end)

  it("uses the lock it is given", function()
    local l = mp.Lock()
    local c, d = mp.Condition(l), mp.Condition(l)
    l:acquire()
    assert.is_true(c:locked())
    assert.equal(("Condition (held by main, pid %d; 0 waiting)"):format(mp.getpid()), tostring(d))
    raises("this process holds the lock already", c.acquire, c)
    assert.same({ nil, "timeout" }, { c:wait(0.02) })
    local p = mp.spawn(function() d:with(c.notify, c) end)  -- one lock, two conditions
    assert.same({ true }, { c:wait(20) })
    p:join()
    assert.is_true(l:locked())
    c:release()
    assert.is_false(l:locked())
    local r = mp.RLock()
    c = mp.Condition(r)
    r:acquire()
    c:acquire()
    assert.truthy(tostring(r):find("depth 2", 1, true))
    assert.same({ nil, "timeout" }, { c:wait(0) })
    assert.truthy(tostring(r):find("depth 2", 1, true))
    r:release()
    r:release()
  end)

  it("gives up all levels of its lock while it waits", function()
    local c = mp.Condition()
    for _ = 1, 3 do c:acquire() end
    local p = mp.spawn(function()
      c:acquire()
      c:acquire()
      c:notify()
      c:release()
      c:release()
    end)
    assert.is_true(c:wait(20))
    assert.truthy(tostring(c):find("depth 3", 1, true), tostring(c))
    for _ = 1, 3 do c:release() end
    assert.is_false(c:locked())
    p:join()
  end)

  it("travels, and its lock with it", function()
    local q, out = mp.Queue(), mp.Queue()
    local p = mp.spawn(function()
      for _ = 1, 2 do
        local c = q:get()
        c:acquire()
        out:put(c)
        out:put { c:wait() }
        c:release()
        c = nil -- luacheck: ignore
        collectgarbage()
      end
    end)
    q:put(mp.Condition())
    q:put(mp.Condition(mp.Lock()))
    for _ = 1, 2 do
      collectgarbage()       -- the message alone keeps the second
      local c = out:get(20)
      await_waiting(c, 1)
      c:with(c.notify_all, c)
      assert.same({ true }, (out:get(20)))
    end
    p:join()
  end)

  it("keeps a given lock that nobody else has any more", function()
    local c = mp.Condition(mp.Lock())
    for _ = 1, 20 do
      collectgarbage()
      mp.Queue():put(mp.Event())  -- work for the collection of objects
      collectgarbage()
    end
    mp.sleep(0.05)
    assert.equal(1, c:with(function() return 1 end))
    c:acquire()
    assert.same({ nil, "timeout" }, { c:wait(0.01) })
    c:release()
  end)

  it("a predicate may yield, and may raise", function()
    local c = mp.Condition()
    local co = coroutine.wrap(function()
      c:acquire()
      local v = c:wait_for(function() return coroutine.yield() end, 10)
      c:release()
      return v
    end)
    co()
    local p = mp.spawn(function() c:with(c.notify, c) end)
    co(false)
    p:join()
    assert.equal("done", co "done")
    assert.is_false(c:locked())
    c:acquire()
    raises("inside", c.wait_for, c, function() error "inside" end)
    assert.equal(mp.getpid(), c.owner)
    c:release()
  end)

  it("hands work over in order", function()
    local c, buffer, out = mp.Condition(), mp.Queue(), mp.Queue()
    local ps = {}
    for i = 1, 3 do
      ps[i] = mp.spawn(function()
        local n = 0
        while true do
          c:acquire()
          c:wait_for(function() return not buffer:empty() end)
          local v = buffer:get()
          c:release()
          if v == 0 then break end
          n = n + v
        end
        out:put(n)
      end)
    end
    for i = 1, 300 do
      c:acquire()
      buffer:put(i)
      c:notify()
      c:release()
    end
    for _ = 1, 3 do
      c:with(function()
        buffer:put(0)
        c:notify()
      end)
    end
    assert.equal(300 * 301 // 2, out:get(20) + out:get(20) + out:get(20))
    join(ps)
  end)

  describe("when a process is killed", function()
    it("a waiter: the others are notified as before", function()
      local c = mp.Condition()
      local out, ps = waiters(c, 3)
      kill(ps[1])
      await_waiting(c, 2)
      for i = 2, 3 do
        c:with(c.notify, c)
        assert.same({ i, true }, (out:get(20)))
      end
      assert.is_true(out:empty())
    end)

    it("a waiter that was notified: another is woken instead", function()
      local c = mp.Condition()
      local out, ps = waiters(c, 2)
      c:acquire()
      c:notify()
      assert.equal(1, waiting(c))
      kill(ps[1])           -- it could not run: we hold the lock
      c:release()
      assert.same({ 2, true }, (out:get(20)))
      join { ps[2] }
      assert.equal("Condition (free; 0 waiting)", tostring(c))
    end)

    it("the only one who would notify, holding the lock: all are woken and told once", function()
      local c = mp.Condition()
      local out, ps = waiters(c, 3)
      local p = mp.spawn(function()
        c:acquire()
        mp.getppid()
        mp.Event():wait()
      end)
      eventually(function() return c.owner == p.pid end)
      p:kill()
      local told = 0
      for _ = 1, 3 do
        local r = out:get(20)
        assert.is_true(r[2])
        told = told + (r[3] == "abandoned" and 1 or 0)
      end
      assert.equal(1, told)
      join(ps)
      assert.same({ true }, { c:acquire() })
      c:release()
    end)

    it("one of two waiters of different conditions of one lock", function()
      local l = mp.Lock()
      local c, d = mp.Condition(l), mp.Condition(l)
      local out1, ps1 = waiters(c, 1)
      local out2, ps2 = waiters(d, 1)
      kill(ps1[1])
      d:with(d.notify, d)
      assert.same({ 1, true }, (out2:get(20)))
      assert.is_true(out1:empty())
      join(ps2)
      assert.same({ true }, { l:acquire(20) })
      l:release()
    end)

    it("one that waits and ends by os.exit in a handler", function()
      local c = mp.Condition()
      local p = mp.spawn(function()
        mp.on_signal("USR1", function() os.exit(3) end)
        c:acquire()
        c:wait()
      end)
      await_waiting(c, 1)
      os.execute("kill -USR1 " .. p.pid)
      p:join()
      assert.equal(3, p.exitcode)
      await_waiting(c, 0)
      local out, ps = waiters(c, 1)
      c:with(c.notify, c)
      assert.same({ 1, true }, (out:get(20)))
      join(ps)
    end)
  end)

  it("names the misuse", function()
    local c = mp.Condition()
    raises("Condition:wait: this process does not hold the condition's lock", c.wait, c)
    raises("Condition:wait_for: this process does not hold", c.wait_for, c, print)
    raises("Condition:notify: this process does not hold", c.notify, c)
    raises("Condition:notify_all: this process does not hold", c.notify_all, c)
    raises("mp.Condition: expected a Lock or an RLock, got Queue", mp.Condition, mp.Queue())
    raises("mp.Condition: expected a Lock or an RLock, got 5", mp.Condition, 5)
    raises("mp.Condition: expected a Lock or an RLock, got Event", mp.Condition, mp.Event())
    c:acquire()
    local err = mp.spawn(function() return select(2, pcall(c.notify, c)) end):result(20)
    assert.truthy(err:find("does not hold the condition's lock", 1, true), err)
    raises("Condition:wait: the timeout must not be negative", c.wait, c, -1)
    raises("Condition:wait: the timeout must not be negative", c.wait, c, 0 / 0)
    raises("Condition:wait: the timeout must be a number", c.wait, c, true)
    raises("Condition:wait_for: expected a function, got no value", c.wait_for, c)
    raises("Condition:wait_for: the timeout", c.wait_for, c, print, "x")
    raises("Condition:notify: n must be a count, got -1", c.notify, c, -1)
    raises("Condition:notify: n must be a count, got 1.5", c.notify, c, 1.5)
    raises("Condition:notify: n must be a count, got all", c.notify, c, "all")
    raises("Condition:with: expected a function", c.with, c)
    raises("Condition:wait: expected a Condition", c.wait, mp.Event())
    assert.equal(("Condition (held by main, pid %d, depth 1; 0 waiting)"):format(mp.getpid()), tostring(c))
    c:release()
  end)
end)
