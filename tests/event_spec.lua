-- event: mp.Event. SPDX-License-Identifier: MIT
local mp = require "mp"
local support = require "tests.support"
local kill, join = support.kill, support.join

describe("Event", function()
  it("I01: is unset at first, and wait keeps its timeout", function()
    local e = mp.Event()
    assert.is_false(e:is_set())
    assert.same({ nil, "timeout" }, { e:wait(0) })
    local t = mp.time()
    assert.same({ nil, "timeout" }, { e:wait(0.1) })
    assert.is_true(mp.time() - t >= 0.095)
  end)

  it("I02: once set, nobody waits; clear resets", function()
    local e = mp.Event()
    e:set()
    e:set()
    assert.is_true(e:is_set())
    assert.is_true(e:wait())
    assert.is_true(e:wait(0.1))
    assert.is_true(e:wait(0))
    e:clear()
    assert.is_false(e:is_set())
    assert.same({ nil, "timeout" }, { e:wait(0) })
  end)

  it("I03: a child's set wakes the parent", function()
    local e = mp.Event()
    local p = mp.spawn(function()
      mp.sleep(0.1)
      e:set()
    end)
    local t = mp.time()
    assert.is_true(e:wait(20))
    assert.is_true(mp.time() - t < 5)
    p:join()
  end)

  it("wakes all who wait", function()
    local e, out = mp.Event(), mp.Queue()
    local ps = {}
    for i = 1, 4 do ps[i] = mp.spawn(function() out:put(e:wait(20)) end) end
    mp.sleep(0.1)
    assert.is_true(out:empty())
    e:set()
    for _ = 1, 4 do assert.is_true(out:get(20)) end
    join(ps)
  end)

  it("wakes fifty at once", function()
    local e, up, out, over, n = mp.Event(), mp.Queue(), mp.Queue(), mp.Event(), 50
    local ps = {}
    for i = 1, n do
      ps[i] = mp.spawn(function()
        up:put(i)
        out:put(e:wait(20))
        over:wait()
      end)
    end
    for _ = 1, n do up:get(20) end
    assert.is_true(out:empty())
    e:set()
    for _ = 1, n do assert.is_true(out:get(20)) end
    over:set()
    join(ps)
  end)

  describe("when a process is killed", function()
    -- Processes that wait for the event; each has said so.
    local function waiters(e, n)
      local up, out, ps = mp.Queue(), mp.Queue(), {}
      for i = 1, n do
        ps[i] = mp.spawn(function()
          up:put(i)
          out:put(e:wait(20) and i)
        end)
        up:get(20)
      end
      mp.sleep(0.05)  -- most likely they sleep by now; either way it holds
      return ps, out
    end

    it("a waiter: the others are woken", function()
      local e = mp.Event()
      local ps, out = waiters(e, 3)
      kill(ps[2])
      assert.is_false(e:is_set())
      e:set()
      assert.equal(4, out:get(20) + out:get(20))
      assert.is_true(out:empty())
      join { ps[1], ps[3] }
    end)

    it("the only one who would set it: they wait on, for whoever does", function()
      local e = mp.Event()
      local ps, out = waiters(e, 2)
      local p = mp.spawn(function()
        mp.Event():wait()
        e:set()
      end)
      kill(p)
      assert.same({ nil, "timeout" }, { out:get(0.05) })
      assert.same({ nil, "timeout" }, { e:wait(0.05) })
      e:set()
      assert.equal(3, out:get(20) + out:get(20))
      join(ps)
    end)

    it("one that sets and clears all the time: it is the one or the other", function()
      local e = mp.Event()
      local p = mp.spawn(function()
        while true do
          e:set()
          e:clear()
        end
      end)
      assert.is_true(e:wait(20))
      kill(p)
      e:clear()
      assert.same({ nil, "timeout" }, { e:wait(0.02) })
      e:set()
      assert.is_true(e:wait())
    end)
  end)

  it("I04: shows its state", function()
    local e = mp.Event()
    assert.equal("Event (unset)", tostring(e))
    e:set()
    assert.equal("Event (set)", tostring(e))
  end)

  it("I05: a child sees it set, and clears it", function()
    local e = mp.Event()
    e:set()
    local seen, why = mp.spawn(function()
      local seen = e:is_set()
      e:clear()
      return seen, select(2, e:wait(0.001))
    end):result(20)
    assert.is_true(seen)
    assert.equal("timeout", why)
    assert.is_false(e:is_set())
  end)

  it("names the misuse", function()
    local e = mp.Event()
    local ok, why = pcall(e.wait, e, "long")
    assert.is_false(ok)
    assert.truthy(why:find("Event:wait: ", 1, true), why)
    ok, why = pcall(e.set)
    assert.is_false(ok)
    assert.truthy(why:find("Event:set: expected a Event", 1, true) or
                  why:find("Event:set: expected an Event", 1, true), why)
  end)
end)
