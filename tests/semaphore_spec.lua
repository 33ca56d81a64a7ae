-- semaphore: mp.Semaphore and mp.BoundedSemaphore. SPDX-License-Identifier: MIT
local mp = require "mp"
local support = require "tests.support"
local raises, eventually, kill, join = support.raises, support.eventually, support.kill, support.join

-- A process that has taken n units and waits.
local function holder(s, n)
  return (support.holder(function()
    for _ = 1, n do s:acquire() end
  end))
end

local function cycle(s)
  assert.equal(2, s.value)
  assert.is_true(s:acquire())
  assert.equal(1, s.value)
  assert.is_true(s:acquire())
  assert.equal(0, s.value)
  assert.same({ nil, "timeout" }, { s:acquire(false) })
  assert.is_nil(s:release())
  assert.equal(1, s.value)
  s:release()
  assert.equal(2, s.value)
end

local function never_free(s)
  assert.same({ nil, "timeout" }, { s:acquire(false) })
  assert.same({ nil, "timeout" }, { s:acquire(false, nil) })
  local t = mp.time()
  assert.same({ nil, "timeout" }, { s:acquire(false, 30) })
  assert.same({ nil, "timeout" }, { s:acquire(0) })
  assert.is_true(mp.time() - t < 20)
  for _, args in ipairs { { true, 0.1 }, { 0.1 } } do
    t = mp.time()
    assert.same({ nil, "timeout" }, { s:acquire(table.unpack(args)) })
    assert.is_true(mp.time() - t >= 0.095)
  end
  assert.equal(0, s.value)
end

describe("Semaphore", function()
  it("G01: counts down with each acquire and up with each release, past its start", function()
    local s = mp.Semaphore(2)
    cycle(s)
    s:release()
    assert.equal(3, s.value)
    s:release()
    assert.equal(4, s.value)
    s:release(3)
    assert.equal(7, s.value)
    assert.equal(1, mp.Semaphore().value)
  end)

  it("G03: gives up at once, or after the timeout", function()
    never_free(mp.Semaphore(0))
  end)

  it("G04: may be wrapped", function()
    local Guard = setmetatable({}, { __call = function(class, n)
      return setmetatable({ sem = mp.Semaphore(n) }, class)
    end })
    Guard.__index = Guard
    function Guard:enter() return self.sem:acquire(false) end
    function Guard:value() return self.sem.value end
    local g = Guard(0)
    assert.is_nil(g:enter())
    assert.equal(0, g:value())
    assert.equal(0, mp.spawn(function() return g:value() end):result(20))
  end)

  it("tells whether a unit is free, and shows its value", function()
    local s = mp.Semaphore(1)
    assert.is_false(s:locked())
    assert.equal("Semaphore (1)", tostring(s))
    s:acquire()
    assert.is_true(s:locked())
    assert.equal("Semaphore (0)", tostring(s))
    assert.is_nil(s.nothing)
  end)

  it("M18: is acquired by a child and released by its parent", function()
    for _, make in ipairs { mp.Semaphore, mp.BoundedSemaphore } do
      local s = make(1)
      assert.is_true(mp.spawn(function() return s:acquire() end):result(20))
      assert.equal(0, s.value)
      s:release()
      assert.equal(1, s.value)
    end
  end)

  it("wakes who waits, one for each unit", function()
    local s, started, done = mp.Semaphore(0), mp.Queue(), mp.Queue()
    local ps = {}
    for i = 1, 3 do
      ps[i] = mp.spawn(function()
        started:put(i)
        s:acquire()
        done:put(i)
      end)
    end
    for _ = 1, 3 do started:get() end
    s:release(2)
    assert.truthy(done:get(20))
    assert.truthy(done:get(20))
    assert.same({ nil, "timeout" }, { done:get(0.1) })
    s:release()
    assert.truthy(done:get(20))
    join(ps)
    assert.equal(0, s.value)
  end)

  it("lets in as many as it has units", function()
    local s, inside, log = mp.Semaphore(2), mp.Semaphore(0), mp.Queue()
    local ps = {}
    for i = 1, 4 do
      ps[i] = mp.spawn(function()
        for _ = 1, 100 do
          local hold <close> = s:hold() -- luacheck: ignore
          inside:release()
          local n = inside.value
          inside:acquire()
          if n > 2 then log:put(n) end
        end
      end)
    end
    join(ps)
    assert.same({ nil, "empty" }, { log:get(false) })
    assert.equal(2, s.value)
  end)

  it("hold and with give the unit back", function()
    local s = mp.Semaphore(1)
    do
      local hold <close> = s:hold() -- luacheck: ignore
      assert.equal(0, s.value)
      assert.same({ nil, "timeout" }, { s:hold(0) })
    end
    assert.equal(1, s.value)
    assert.same({ 0, 3, nil, n = 3 }, table.pack(s:with(function(a, b)
      return s.value, a + b, nil
    end, 1, 2)))
    raises("inside", s.with, s, function() error "inside" end)
    assert.equal(1, s.value)
    do
      local hold <close> = s:hold() -- luacheck: ignore
      s:release()  -- by hand: the end of the block does not do it again
    end
    assert.equal(1, s.value)
    do
      local hold <close> = s:hold() -- luacheck: ignore
      mp.spawn(function() s:release() end):join()  -- one more for all
    end
    assert.equal(2, s.value)
  end)

  it("travels through a queue", function()
    local s, q = mp.BoundedSemaphore(3), mp.Queue()
    local p = mp.spawn(function()
      local got = q:get()
      got:acquire()
      return tostring(got), (pcall(got.release, got, 2))
    end)
    q:put(s)
    assert.same({ "BoundedSemaphore (2 of 3)", false }, { p:result(20) })
    assert.equal(2, s.value)
  end)

  it("names the misuse", function()
    raises("mp.Semaphore: the start value must be an integer from 0, got -1", mp.Semaphore, -1)
    raises("mp.Semaphore: the start value must be an integer from 0, got 1.5", mp.Semaphore, 1.5)
    raises('mp.Semaphore: the start value must be an integer from 0, got "2"', mp.Semaphore, "2")
    raises("mp.BoundedSemaphore: the start value must be an integer from 0, got", mp.BoundedSemaphore, {})
    raises("mp.Semaphore: the start value must be at most 2147483647", mp.Semaphore, 1 << 31)
    local s = mp.Semaphore(1)
    raises("Semaphore:release: the count must be an integer from 1, got 0", s.release, s, 0)
    raises('Semaphore:release: the count must be an integer from 1, got "2"', s.release, s, "2")
    raises("Semaphore:release: the count must be an integer from 1, got ", s.release, s, 0/0)
    raises("Semaphore:acquire: ", s.acquire, s, "soon")
    raises("Semaphore:acquire: the timeout must not be negative", s.acquire, s, true, -1)
    raises("Semaphore:acquire: the timeout must not be negative", s.acquire, s, 0/0)
    raises("Semaphore:acquire: expected a Semaphore", s.acquire, mp.Queue())
    raises("Semaphore:with: expected a function", s.with, s, 5)
    local b = mp.BoundedSemaphore(1)
    raises("BoundedSemaphore:release: the count must be an integer from 1, got -3", b.release, b, -3)
    raises("BoundedSemaphore:with: expected a function", b.with, b)
    raises("BoundedSemaphore:hold: the timeout", b.hold, b, "x")
    assert.same({ 1, 1 }, { s.value, b.value })
    local most = mp.Semaphore(2147483647)
    raises("Semaphore:release: the value would exceed 2147483647", most.release, most)
    assert.equal(2147483647, most.value)
  end)
end)

describe("BoundedSemaphore", function()
  it("G02: counts, and never above its start", function()
    local s = mp.BoundedSemaphore(2)
    cycle(s)
    raises("BoundedSemaphore:release: 1 more would exceed the start value, 2", s.release, s)
    assert.equal(2, s.value)
    s:acquire()
    raises("BoundedSemaphore:release: 2 more would exceed", s.release, s, 2)
    assert.equal(1, s.value)
    s:release()
    assert.equal("BoundedSemaphore (2 of 2)", tostring(s))
  end)

  it("G03: gives up at once, or after the timeout", function()
    never_free(mp.BoundedSemaphore(0))
  end)
end)

describe("a semaphore's units", function()
  it("come back from a process that is killed", function()
    for _, make in ipairs { mp.Semaphore, mp.BoundedSemaphore } do
      local s = make(3)
      local p = holder(s, 2)
      assert.equal(1, s.value)
      kill(p)
      assert.equal(3, s.value)
    end
  end)

  it("come back from a process that crashes", function()
    local s = mp.Semaphore(1)
    local p = mp.spawn(function()
      s:acquire()
      os.execute("kill -ABRT " .. mp.getpid())
      mp.sleep(20)
    end)
    p:join()
    assert.equal(-6, p.exitcode)
    assert.equal(1, s.value)
  end)

  it("wake one who waits for them", function()
    local s = mp.Semaphore(1)
    local p = holder(s, 1)
    local waiter = mp.spawn(function() return s:acquire() end)
    p:kill()
    assert.is_true(waiter:result(20))
    p:join()
    assert.equal(0, s.value)
  end)

  it("do not come back at an ordinary end", function()
    local s = mp.Semaphore(10)
    mp.spawn(function() s:acquire() end):join()
    assert.equal(9, s.value)
    mp.spawn(function() s:acquire() os.exit(0) end):join()
    assert.equal(8, s.value)
    mp.spawn(function() s:acquire() os.exit(7) end):join()
    assert.equal(7, s.value)
    local p = mp.spawn(function()
      s:acquire()
      error "out"
    end)
    p:join()
    assert.equal(1, p.exitcode)
    assert.equal(6, s.value)
    -- Nor when a later process in the same place is killed.
    local last = holder(s, 1)
    assert.equal(5, s.value)
    kill(last)
    assert.equal(6, s.value)
  end)

  it("do not come back twice when somebody else released them", function()
    for _, make in ipairs { mp.Semaphore, mp.BoundedSemaphore } do
      local s = make(2)
      local p = holder(s, 2)
      s:release()
      assert.equal(1, s.value)
      kill(p)
      assert.equal(2, s.value)
      p = holder(s, 2)
      s:release(2)
      kill(p)
      assert.equal(2, s.value)
    end
  end)

  it("that were taken for good are made good first", function()
    local s = mp.Semaphore(3)
    mp.spawn(function() s:acquire() end):join()
    local p = holder(s, 2)
    s:release()  -- for the one that ended
    assert.equal(1, s.value)
    kill(p)
    assert.equal(3, s.value)
  end)

  it("are not the signaller's: signals stay when it is killed", function()
    local s = mp.Semaphore(0)
    local go = mp.Event()
    local p = mp.spawn(function()
      s:release(5)
      go:set()
      mp.sleep(60)
    end)
    assert(go:wait(20))
    kill(p)
    assert.equal(5, s.value)
    p = holder(s, 2)
    kill(p)
    assert.equal(5, s.value)
  end)

  it("survive the death of a process that waits, and of the only one to wake it", function()
    local s, started = mp.Semaphore(1), mp.Event()
    s:acquire()
    local waiter = mp.spawn(function()
      started:set()
      s:acquire()
    end)
    assert(started:wait(20))
    kill(waiter)
    local p = mp.spawn(function()
      s:release()
      mp.spawn(function() end):join()
      s:acquire()
      started:clear()
      started:wait()
    end)
    eventually(function() return not started:is_set() end)
    waiter = mp.spawn(function() return s:acquire() end)
    kill(p)
    assert.is_true(waiter:result(20))
    assert.equal(0, s.value)
  end)

  it("are all there after many were killed in the middle of taking and giving", function()
    local s = mp.BoundedSemaphore(3)
    for _ = 1, 12 do
      local busy = mp.Semaphore(0)
      local p = mp.spawn(function()
        while true do
          s:acquire()
          s:release()
          busy:release()
        end
      end)
      assert(busy:acquire(20))
      kill(p)
      assert.equal(3, s.value)
    end
  end)
end)
