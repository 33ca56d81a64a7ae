-- queue: mp.Queue; the names in front of colons are the lines
-- of the list of behaviours. SPDX-License-Identifier: MIT
local mp = require "mp"
local support = require "tests.support"
local raises, elsewhere, join = support.raises, support.elsewhere, support.join

local function elapsed(f, ...)
  local t = mp.time()
  local r = table.pack(f(...))
  return mp.time() - t, table.unpack(r, 1, r.n)
end

local function filled(maxsize, n)
  local q = mp.Queue(maxsize)
  for i = 1, n do assert(q:put(i)) end
  return q
end

-- At least the timeout, and not much more, however busy the machine is.
local function took(t, timeout)
  assert.is_true(t >= timeout - 0.005, "returned after " .. t)
  assert.is_true(t < timeout + 2, "returned after " .. t)
end

describe("Queue: put and get", function()
  it("B01 B02: accepts every form of put", function()
    local q = mp.Queue(6)
    assert.is_true(q:empty())
    assert.is_false(q:full())
    assert.is_true(q:put(1))
    assert.is_true(q:put(2, true))
    assert.is_true(q:put(3, true, nil))
    assert.is_true(q:put(4, false))
    assert.is_true(q:put(5, false, nil))
    assert.is_true(q:put_nowait(6))
    assert.is_false(q:empty())
    assert.is_true(q:full())
  end)

  it("B03: a full queue refuses at once", function()
    local q = filled(2, 2)
    local function refused(...)
      local t, v, why = elapsed(q.put, q, 7, ...)
      assert.is_nil(v)
      assert.equal("full", why)
      assert.is_true(t < 0.5)
    end
    refused(false)
    refused(false, nil)
    local v, why = q:put_nowait(7)
    assert.is_nil(v)
    assert.equal("full", why)
  end)

  it("B04: a full queue keeps the timeout, block=false ignores it", function()
    local q = filled(1, 1)
    local t, v, why = elapsed(q.put, q, 7, true, 0.1)
    assert.is_nil(v)
    assert.equal("timeout", why)
    took(t, 0.1)
    t, v, why = elapsed(q.put, q, 7, 0.1)   -- the short form
    assert.is_nil(v)
    assert.equal("timeout", why)
    took(t, 0.1)
    t, v, why = elapsed(q.put, q, 7, false, 5)
    assert.is_nil(v)
    assert.equal("full", why)
    assert.is_true(t < 1)
    assert.same({ nil, "timeout" }, { q:put(7, 0) })
  end)

  it("B05: is empty when another process has taken all", function()
    local q = filled(6, 6)
    assert.equal(21, elsewhere(function()
      local sum = 0
      for _ = 1, 6 do sum = sum + q:get() end
      return sum
    end))
    assert.is_true(q:empty())
    assert.is_false(q:full())
  end)

  it("B06: values of a child arrive in order, by every form of get", function()
    local q = mp.Queue()
    local p = mp.spawn(function()
      for i = 2, 5 do q:put(i) end
    end)
    assert.equal(2, (q:get(true, nil)))
    assert.equal(3, (q:get(true)))
    assert.equal(4, (q:get(20)))
    p:join()
    assert.equal(5, (q:get_nowait()))
    assert.is_true(q:empty())
  end)

  it("B07: an empty queue refuses at once", function()
    local q = mp.Queue()
    assert.same({ nil, "empty" }, { q:get(false) })
    assert.same({ nil, "empty" }, { q:get(false, nil) })
    assert.same({ nil, "empty" }, { q:get_nowait() })
  end)

  it("B08 B11: an empty queue keeps the timeout", function()
    local q = mp.Queue()
    for _, args in ipairs { { true, 0.2 }, { 0.2 } } do
      local t, v, why = elapsed(q.get, q, table.unpack(args))
      assert.is_nil(v)
      assert.equal("timeout", why)
      took(t, 0.2)
    end
    local t, v, why = elapsed(q.get, q, false, 5)
    assert.is_nil(v)
    assert.equal("empty", why)
    assert.is_true(t < 1)
    assert.same({ nil, "timeout" }, { q:get(0) })
    assert.same({ nil, "timeout" }, { q:get(true, 0) })
  end)

  it("B09: a used queue goes on in a forked child", function()
    local q = mp.Queue()
    for i = 0, 9 do q:put(i) end
    mp.spawn(function()
      for i = 10, 19 do q:put(i) end
    end):join()
    for i = 0, 19 do assert.equal(i, (q:get())) end
    assert.same({ nil, "empty" }, { q:get(false) })
  end)

  it("B10: qsize is exact", function()
    local q, sizes = mp.Queue(), {}
    local function note() sizes[#sizes + 1] = q:qsize() end
    note()
    q:put(1) note()
    q:put(2) note()
    q:get() note()
    q:get() note()
    assert.same({ 0, 1, 2, 1, 0 }, sizes)
  end)

  it("B12: works while a module is being loaded", function()
    package.preload["queue_spec.loading"] = function()
      local q = mp.Queue()
      q:put(3)
      return { v = q:get(3) }
    end
    assert.equal(3, require "queue_spec.loading".v)
    package.preload["queue_spec.loading"] = nil
    package.loaded["queue_spec.loading"] = nil
  end)

  it("B21: has the same state in every process", function()
    local q = mp.Queue(2)
    q:put(5)
    q:put(6)
    assert.same({ 2, true, false, 5, 6, true }, elsewhere(function()
      return { q:qsize(), q:full(), q:empty(), (q:get()), (q:get()), q:empty() }
    end))
  end)

  it("is first in, first out, for several producers and consumers", function()
    local q, results = mp.Queue(3), mp.Queue()
    local producers, consumers = {}, {}
    for p = 1, 3 do
      producers[p] = mp.spawn(function()
        for i = 1, 200 do q:put { p, i } end
      end)
      consumers[p] = mp.spawn(function()
        local last, n = { 0, 0, 0 }, 0
        for v in q:items() do
          assert(v[2] > last[v[1]], "out of order")
          last[v[1]], n = v[2], n + 1
        end
        results:put(n)
      end)
    end
    join(producers)
    q:close()
    local n = 0
    for _ = 1, 3 do n = n + results:get(20) end
    join(consumers)
    assert.equal(600, n)
  end)

  it("wakes a producer that waits for room, a consumer for an item", function()
    local q, to, back = mp.Queue(1), mp.Queue(), mp.Queue()
    q:put(1)
    local p = mp.spawn(function()
      q:put(2)               -- waits for room
      back:put(to:get())     -- waits for an item
    end)
    mp.sleep(0.1)
    assert.equal(1, (q:get()))
    assert.equal(2, (q:get(20)))
    mp.sleep(0.1)
    to:put(3)
    assert.equal(3, (back:get(20)))
    p:join()
  end)
end)

describe("Queue: what can be an item", function()
  it("nil and false", function()
    local q = mp.Queue()
    q:put(nil)
    q:put(false)
    assert.equal(2, q:qsize())
    local v, why = q:get()
    assert.is_nil(v)
    assert.is_nil(why)
    v, why = q:get()
    assert.is_false(v)
    assert.is_nil(why)
  end)

  it("numbers and strings of every size", function()
    local q = mp.Queue()
    local items = { 0, -1, 127, 128, -129, 1 << 40, math.mininteger, 0.5, 1e300,
                    2.0, "", "x", ("x"):rep(45), ("x"):rep(48), ("x"):rep(49),
                    ("x"):rep(1000), ("x"):rep(1022), ("y"):rep(1025),
                    ("z"):rep(100000), ("w"):rep(1 << 20) }
    for _, v in ipairs(items) do q:put(v) end
    for _, v in ipairs(items) do
      local got = q:get()
      assert.equal(math.type(v), math.type(got))
      assert.is_true(v == got)
    end
  end)

  it("tables with cycles", function()
    local q, t = mp.Queue(), { 1, 2, { x = "y" } }
    t.self = t
    q:put(t)
    local u = q:get()
    assert.equal(u, u.self)
    assert.equal("y", u[3].x)
  end)

  it("a closure", function()
    local q, n = mp.Queue(), 40
    q:put(function(x) return x + n end)
    assert.equal(42, elsewhere(function() return q:get()(2) end))
  end)

  it("B22: another queue, and itself", function()
    local q, inner = mp.Queue(), mp.Queue()
    q:put(inner)
    q:put { q, also = inner }
    assert.equal(inner, (q:get()))      -- one userdata a handle
    local t = q:get()
    assert.equal(q, t[1])
    assert.equal(inner, t.also)
  end)

  it("a queue that only the message holds", function()
    local q = mp.Queue()
    do
      local inner = mp.Queue()
      inner:put("kept")
      q:put { "large", ("x"):rep(2000), inner }
    end
    collectgarbage() collectgarbage()
    assert.equal("kept", elsewhere(function()
      local t = q:get()
      collectgarbage() collectgarbage()
      return (t[3]:get(5))
    end))
  end)

  it("hundreds of queues in one item, with the collector at work", function()
    local q, list = mp.Queue(), {}
    for i = 1, 200 do
      list[i] = mp.Queue()
      list[i]:put(i)
    end
    q:put(list)
    list = nil  -- luacheck: ignore
    collectgarbage() collectgarbage()
    local got = q:get()
    collectgarbage() collectgarbage()
    for i = 1, 200 do assert.equal(i, (got[i]:get(5))) end
  end)

  it("B13 B14: not a coroutine, and the queue is unharmed", function()
    local q = mp.Queue(1)
    local ok, why = pcall(q.put, q, { jobs = { 1, { co = coroutine.create(print) } } })
    assert.is_false(ok)
    assert.truthy(why:find("Queue:put: cannot send a coroutine (at .jobs[2].co)",
                           1, true), why)
    assert.equal(0, q:qsize())
    assert.is_true(q:empty())
    assert.is_true(q:put_nowait("next"))
    assert.equal(1, q:qsize())
    assert.equal("next", (q:get()))
    assert.equal(0, q:qsize())
  end)

  it("B15: who put the failed item learns of it", function()
    local q = mp.Queue()
    local ok = pcall(q.put_nowait, q, io.tmpfile())
    assert.is_false(ok)
    assert.is_true(q:put(1))
  end)

  it("L04: while finalizers use queues themselves", function()
    local q, log, count = mp.Queue(), mp.Queue(), 0
    local function rubbish()
      setmetatable({}, { __gc = function()
        count = count + 1
        log:put { count, { "fin" .. count } }
        assert(log:get()[2][1] == "fin" .. count)
      end })
    end
    local big = {}
    for i = 1, 200 do big[i] = { i, "s" .. i, shared = big } end
    for _ = 1, 300 do
      rubbish()
      q:put(big)
      rubbish()
      local v = q:get()
      for i = 1, 200 do
        assert(v[i][1] == i and v[i][2] == "s" .. i and v[i].shared == v)
      end
    end
    assert.is_true(count > 0)
  end)

  it("as many as there are, without a limit", function()
    local q = mp.Queue()
    for i = 1, 20000 do q:put(i) end
    assert.equal(20000, q:qsize())
    for i = 1, 20000 do assert(q:get() == i) end
  end)
end)

describe("Queue: closing", function()
  it("B16: a closed queue tells that it is empty", function()
    local q = mp.Queue()
    assert.is_false(q:closed())
    q:close()
    assert.is_true(q:closed())
    assert.is_true(q:empty())
    q:close()    -- once more is fine
  end)

  it("B17 B18: refuses puts and gets, in every process", function()
    local q = mp.Queue()
    q:close()
    local function all()
      return { n = 8, q:put(1), select(2, q:put(1)), select(2, q:put_nowait(1)),
               select(2, q:put(1, 1)), select(2, q:get()),
               select(2, q:get_nowait()), select(2, q:get(1)), q:qsize() }
    end
    local expect = { n = 8, nil, "closed", "closed", "closed", "closed", "closed",
                     "closed", 0 }
    assert.same(expect, all())
    assert.same(expect, elsewhere(all))
  end)

  it("B19: is drained after it was closed", function()
    local q = mp.Queue()
    q:put("left")
    q:close()
    assert.equal(1, q:qsize())
    assert.equal("left", elsewhere(function() return (q:get()) end))
    assert.same({ nil, "closed" }, { q:get() })
    assert.same({ nil, "closed" }, { q:put(1) })
  end)

  it("B20: close(true) drops what is inside", function()
    local q = filled(5, 5)
    q:close(true)
    assert.equal(0, q:qsize())
    assert.same({ nil, "closed" }, { q:get() })
    assert.same({ "closed", "closed" }, elsewhere(function()
      return { select(2, q:get(false)), select(2, q:put(1)) }
    end))
  end)

  it("wakes waiting consumers and producers", function()
    local empty, full, out = mp.Queue(), filled(1, 1), mp.Queue()
    local a = mp.spawn(function() out:put { empty:get() } end)
    local b = mp.spawn(function() out:put { full:put(2) } end)
    mp.sleep(0.1)
    empty:close()
    full:close()
    assert.equal("closed", out:get(20)[2])
    assert.equal("closed", out:get(20)[2])
    a:join()
    b:join()
    assert.equal(1, (full:get()))
  end)
end)

describe("Queue: items", function()
  it("ends when closed and drained", function()
    local q, got = filled(nil, 3), {}
    q:put(false)
    q:close()
    for v in q:items() do got[#got + 1] = v end
    assert.same({ 1, 2, 3, false }, got)
  end)

  it("raises at a nil item", function()
    local q = mp.Queue()
    q:put(nil)
    local ok, why = pcall(function() for _ in q:items() do end end)
    assert.is_false(ok)
    assert.truthy(why:find("Queue:items: a nil item", 1, true), why)
  end)
end)

describe("Queue: many at once", function()
  it("keeps order", function()
    local q, list = mp.Queue(), {}
    for i = 1, 1000 do list[i] = i end
    assert.equal(1000, (q:put_many(list)))
    assert.equal(1000, q:qsize())
    local got = q:get_many(10)
    assert.equal(10, got.n)
    assert.equal(10, got[10])
    got = q:get_many(5000)
    assert.equal(990, got.n)
    for i = 1, 990 do assert(got[i] == i + 10) end
    assert.same({ nil, "timeout" }, { q:get_many(3, 0) })
  end)

  it("carries nil, with n", function()
    local q = mp.Queue()
    assert.equal(4, (q:put_many { n = 4, nil, 2, nil, nil }))
    local got = q:get_many(10)
    assert.same({ n = 4, nil, 2, nil, nil }, got)
  end)

  it("an empty list is nothing", function()
    local q = mp.Queue()
    assert.same({ 0 }, { q:put_many {} })
    assert.is_true(q:empty())
  end)

  it("tells how many were put, and why not all", function()
    local q = mp.Queue(3)
    assert.same({ 3, "timeout" }, { q:put_many({ 1, 2, 3, 4, 5 }, 0) })
    local t, n, why = elapsed(q.put_many, q, { 6 }, 0.1)
    took(t, 0.1)
    assert.same({ 0, "timeout" }, { n, why })
    assert.equal(3, q:qsize())
    q:close()
    assert.same({ 0, "closed" }, { q:put_many { 7 } })
    assert.same({ n = 3, 1, 2, 3 }, q:get_many(9))
    assert.same({ nil, "closed" }, { q:get_many(9) })
  end)

  it("goes through a small queue", function()
    local q, list = mp.Queue(7), {}
    for i = 1, 3000 do list[i] = i end
    local p = mp.spawn(function() return q:put_many(list) end)
    local n = 0
    while n < 3000 do
      local got = q:get_many(100, 20)
      for i = 1, got.n do
        n = n + 1
        assert(got[i] == n)
      end
    end
    assert.equal(3000, p:result(20))
  end)

  it("puts nothing if one cannot be sent, however far back", function()
    for _, at in ipairs { 3, 900 } do
      local q, list = mp.Queue(), {}
      for i = 1, 1000 do list[i] = i % 2 == 0 and i or { i, ("x"):rep(200) } end
      list[at] = { co = coroutine.create(print) }
      local ok, why = pcall(q.put_many, q, list)
      assert.is_false(ok)
      assert.truthy(why:find(("Queue:put_many: item %d: cannot send a coroutine " ..
                              "(at .co)"):format(at), 1, true), why)
      assert.equal(0, q:qsize())
      assert.equal(1, (q:put_many { 1 }))
    end
  end)

  it("moves large items and handles", function()
    local q, inner, list = mp.Queue(), mp.Queue(), {}
    for i = 1, 300 do list[i] = { i, inner, ("x"):rep(i * 10) } end
    assert.equal(300, (q:put_many(list)))
    local i = 0
    while i < 300 do
      for _, v in ipairs(q:get_many(70)) do
        i = i + 1
        assert.equal(i, v[1])
        assert.equal(inner, v[2])
        assert.equal(i * 10, #v[3])
      end
    end
  end)
end)

describe("Queue: peek", function()
  it("shows the next item and leaves it", function()
    local q = mp.Queue()
    assert.same({ nil, "empty" }, { q:peek() })
    q:put { 1, ("x"):rep(3000) }
    q:put(2)
    assert.equal(3000, #q:peek()[2])
    assert.equal(2, q:qsize())
    assert.equal(1, q:get()[1])
    assert.equal(2, (q:peek()))
    q:get()
    q:close()
    assert.same({ nil, "closed" }, { q:peek() })
  end)
end)

describe("Queue: an item that cannot be unpacked here", function()
  -- A C function that travels by a name which only the sender has.
  local function sent(items)
    local q = mp.Queue()
    mp.spawn(function()
      package.loaded.only_here = { f = ("x"):gmatch "." }
      items(q, package.loaded.only_here.f)
    end):join()
    return q
  end

  it("raises at get, and the next one comes", function()
    local q = sent(function(q, f)
      q:put(f)
      q:put { f, ("y"):rep(3000) }
      q:put { f, q, mp.Queue() }
      q:put "next"
    end)
    for _ = 1, 3 do
      local ok, why = pcall(q.get, q)
      assert.is_false(ok)
      assert.truthy(why:find("only_here", 1, true), why)
    end
    assert.equal("next", (q:get()))
    assert.is_true(q:empty())
  end)

  it("costs no other item of get_many", function()
    local q = sent(function(q, f)
      q:put_many { 1, { f, ("y"):rep(3000) }, 3, f }
      q:put { f }
    end)
    local list, why = q:get_many(4)
    assert.same({ n = 2, 1, 3 }, list)
    assert.truthy(why:find("only_here", 1, true), why)
    assert.is_false(pcall(q.get_many, q, 4))
    assert.is_true(q:empty())
  end)
end)

describe("Queue: misuse", function()
  it("names the call, the argument and what was wrong", function()
    local q = mp.Queue()
    raises("mp.Queue: maxsize must be a positive integer, got -1", mp.Queue, -1)
    raises("mp.Queue: maxsize must be a positive integer, got 1.5", mp.Queue, 1.5)
    raises('mp.Queue: maxsize must be a positive integer, got "x"', mp.Queue, "x")
    raises('mp.Queue: maxsize must be a positive integer, got "3"', mp.Queue, "3")
    raises("Queue:put: no item given", q.put, q)
    raises("Queue:put: ", q.put, q, 1, "soon")
    raises("Queue:get: ", q.get, q, -1)
    raises("Queue:get: ", q.get, q, 0 / 0)
    raises("Queue:get: expected a Queue", q.get)
    raises("Queue:get: expected a Queue", q.get, {})
    raises("Queue:get: expected a Queue", q.get, io.stdout)
    raises("Queue:get: expected a Queue", q.get, mp.Event())
    raises("Queue:get_many: max must be a positive integer, got 0", q.get_many, q, 0)
    raises("Queue:put_many: expected a list, got number", q.put_many, q, 5)
    raises("Queue:put_many: the list's n must be a count", q.put_many, q, { n = -1 })
    raises("Queue:close: drop must be true or false", q.close, q, 1)
    assert.is_true(q:empty())
  end)

  it("takes a maxsize of 0 for unlimited, as multiprocessing does", function()
    local q = mp.Queue(0)
    for i = 1, 100 do assert.is_true(q:put_nowait(i)) end
    assert.is_false(q:full())
  end)

  it("leaves join_thread for those who look for it", function()
    local q = mp.Queue()
    assert.is_nil(q:join_thread())
    assert.is_nil(q:cancel_join_thread())
  end)

  it("an item that can never fit is an error, with the remedy", function()
    local script = os.tmpname()
    local f = assert(io.open(script, "w"))
    f:write [[
      local mp = require "mp"
      mp.configure{ memory = 8 << 20 }
      local q = mp.Queue()
      local ok, why = pcall(q.put, q, ("x"):rep(64 << 20))
      assert(not ok and why:find("can never fit", 1, true)
             and why:find("memory=", 1, true), why)
      ok, why = pcall(q.put_many, q, { 1, ("x"):rep(64 << 20) })
      assert(not ok and why:find("can never fit", 1, true), why)
      assert(q:qsize() == 0)
      -- What was refused, dropped or interrupted leaves nothing behind.
      local big, f = ("x"):rep(1 << 20), io.tmpfile()
      local full = mp.Queue(1)
      full:put(1)
      for _ = 1, 40 do
        assert(not pcall(q.put_many, q, { big, big, f }))
        assert(not pcall(q.put, q, { big, f }))
        assert(not full:put(big, false))
        assert(full:put_many({ big, big }, 0) == 0)
        q:put(big)
        q:put(big)
        assert(#q:peek() == 1 << 20)
        assert(q:get() and q:get_many(5).n == 1)
      end
      -- A full memory is a full queue.
      local n = 0
      while q:put(("x"):rep(1 << 20), false) do n = n + 1 end
      assert(n > 0 and n < 9, n)
      assert(select(2, q:put(("x"):rep(1 << 20), false)) == "full")
      assert(select(2, q:put(("x"):rep(1 << 20), 0.1)) == "timeout")
      local p = mp.spawn(function() mp.sleep(0.1) q:get() end)
      assert(q:put(("x"):rep(1 << 20), 20))
      p:join()
    ]]
    f:close()
    local interpreter = arg and arg[-1] or "lua5.4"
    local i = -1
    while arg and arg[i] do interpreter, i = arg[i], i - 1 end
    local ok, how, status = os.execute(("%s %s"):format(interpreter, script))
    os.remove(script)
    assert.is_true(ok, ("%s %s"):format(how, status))
  end)
end)

describe("Queue: signals", function()
  -- Sends SIGUSR1 to this process a few times while it waits.
  local function poked(times)
    local pid = mp.getpid()
    return mp.spawn(function()
      for _ = 1, times do
        mp.sleep(0.05)
        os.execute("kill -USR1 " .. pid)
      end
    end)
  end

  after_each(function() mp.on_signal("USR1", nil) end)

  it("a handler runs inside a wait, which goes on to the same deadline", function()
    local q, count = mp.Queue(), 0
    mp.on_signal("USR1", function()
      count = count + 1
      q:put "from the handler"
      q:get()
    end)
    local p = poked(3)
    local t, v, why = elapsed(q.get, q, 0.5)
    assert.is_nil(v)
    assert.equal("timeout", why)
    took(t, 0.5)
    p:join()
    assert.is_true(count >= 1)

    local full = filled(1, 1)
    p = poked(3)
    t, v, why = elapsed(full.put, full, ("x"):rep(5000), 0.5)
    assert.is_nil(v)
    assert.equal("timeout", why)
    took(t, 0.5)
    p:join()
    assert.equal(1, full:qsize())
  end)

  it("a handler that gives up the queue ends the wait", function()
    local q = mp.Queue()
    mp.on_signal("USR1", function() getmetatable(q).__close(q) end)
    local p = poked(1)
    local ok, why = pcall(q.get, q)
    assert.is_false(ok)
    assert.truthy(why:find("Queue:get: closed by a signal handler", 1, true), why)
    p:join()
  end)

  it("a handler that raises ends the wait, and nothing is lost", function()
    local full = filled(1, 1)
    mp.on_signal("USR1", function() error { stop = true } end)
    for _, call in ipairs { function() full:put(("x"):rep(5000)) end,
                            function() full:put_many { 1, ("y"):rep(5000), {} } end,
                            function() mp.Queue():get() end,
                            function() mp.core.wait { mp.Queue() } end,
                            function() mp.Event():wait() end } do
      local p = poked(1)
      local ok, e = pcall(call)
      assert.is_false(ok)
      assert.is_true(e.stop)
      p:join()
    end
    assert.equal(1, full:qsize())
    assert.equal(1, (full:get()))
    assert.is_true(full:put(2))
  end)
end)

describe("Queue: what else travels", function()
  it("methods of our objects, by name", function()
    local q, d = mp.Queue(), mp.Dict()
    q:put { q.put, d.set, mp.current_process().join }
    assert.same({ q.put, d.set, mp.current_process().join }, (q:get()))
  end)

  it("not what is closed: the error says where it is", function()
    local q, closed = mp.Queue(), mp.Dict()
    do local _ <close> = closed end
    raises("Queue:put: cannot send an object that is closed here (at .list[2])", q.put, q,
           { list = { 1, closed } })
  end)
end)

describe("Queue: when processes die", function()
  it("goes on after producers and consumers were killed", function()
    local q = mp.Queue(4)
    for _ = 1, 5 do
      local p = mp.spawn(function() while true do q:put("item") end end)
      local c = mp.spawn(function() while true do q:get() end end)
      mp.sleep(0.02)
      p:kill()
      c:kill()
      p:join()
      c:join()
    end
    while q:get(false) do end
    assert.is_true(q:empty())
    assert.is_true(q:put("after", 20))
    assert.equal("after", (q:get(20)))
  end)
end)
