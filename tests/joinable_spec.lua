-- joinable: mp.JoinableQueue; the names in front of colons are the lines of
-- the list of behaviours. SPDX-License-Identifier: MIT
local mp = require "mp"
local support = require "tests.support"
local elsewhere, kill, join = support.elsewhere, support.kill, support.join

local function filled(n)
  local q = mp.JoinableQueue()
  for i = 1, n do q:put(i) end
  return q
end

-- A process that takes n items, says so, and waits to be ended.
local function holder(q, n)
  return (support.holder(function()
    for _ = 1, n do q:get() end
  end))
end

-- A process in q:join(), that is waiting there.
local function joiner(q)
  local near = mp.Event()
  local p = mp.spawn(function()
    near:set()
    return q:join()
  end)
  assert(near:wait(30))
  mp.sleep(0.05)
  return p
end

describe("JoinableQueue: task_done and join", function()
  it("C01: join returns when every item is finished", function()
    local q, finished, workers = mp.JoinableQueue(), mp.Queue(), {}
    for i = 1, 4 do
      workers[i] = mp.spawn(function()
        while true do
          local v = q:get()
          if v == nil then break end
          mp.sleep(0.02)
          finished:put(v)
          q:task_done()
        end
        q:task_done()
      end)
    end
    for i = 1, 10 do q:put(i) end
    assert.is_true(q:join())
    assert.equal(10, finished:qsize())
    for _ = 1, 4 do q:put(nil) end
    for _, p in ipairs(workers) do
      p:join()
      assert.equal(0, p.exitcode)
    end
    assert.is_true(q:join(0))
  end)

  it("an empty one is finished; a timeout is kept", function()
    local q = mp.JoinableQueue()
    assert.is_true(q:join())
    assert.is_true(q:join(0))
    q:put(1)
    assert.same({ nil, "timeout" }, { q:join(0) })
    local t = mp.time()
    assert.same({ nil, "timeout" }, { q:join(0.1) })
    assert.is_true(mp.time() - t >= 0.1)
  end)

  it("task_done ends the oldest, and is an error when there is none", function()
    local q = filled(3)
    local function refused()
      local ok, why = pcall(q.task_done, q)
      assert.is_false(ok)
      assert.truthy(why:find("JoinableQueue:task_done: this process has no unfinished item",
                             1, true), why)
    end
    refused()
    for i = 1, 3 do assert.equal(i, (q:get())) end
    for _ = 1, 3 do assert.is_nil(q:task_done()) end
    refused()
    assert.is_true(q:join())
  end)

  it("counts for each process by itself", function()
    local q = filled(2)
    q:get()
    assert.is_false(elsewhere(function() return (pcall(q.task_done, q)) end))
    assert.is_true(elsewhere(function()
      q:get()
      q:task_done()
      return not pcall(q.task_done, q)
    end))
    q:task_done()
    assert.is_true(q:join(0))
  end)

  it("does not wait for itself", function()
    local q = filled(1)
    q:get()
    local ok, why = pcall(q.join, q)
    assert.is_false(ok)
    assert.truthy(why:find("JoinableQueue:join: this process has unfinished items", 1, true), why)
    assert.same({ nil, "timeout" }, { q:join(0.05) })
    q:task_done()
    assert.is_true(q:join())
  end)

  it("items in work leave their places to others", function()
    local q = mp.JoinableQueue(2)
    q:put(1)
    q:put(2)
    assert.is_true(q:full())
    q:get()
    assert.is_false(q:full())
    assert.equal(1, q:qsize())
    assert.is_true(q:put(3, false))
    assert.same({ nil, "full" }, { q:put(4, false) })
    q:get()
    q:get()
    assert.is_true(q:empty())
    assert.same({ nil, "timeout" }, { q:join(0) })
  end)

  it("C06: has the same state in every process", function()
    local q = mp.JoinableQueue(2)
    q:put(5)
    q:put(6)
    assert.same({ 2, true, false, 5, 6, true, true }, elsewhere(function()
      local t = { q:qsize(), q:full(), q:empty(), (q:get()), (q:get()), q:empty() }
      q:task_done()
      q:task_done()
      t[7] = q:join(0)
      return t
    end))
    assert.is_true(q:join(0))
  end)

  it("carries what a Queue carries", function()
    local q, inner = mp.JoinableQueue(), mp.Queue()
    inner:put("kept")
    for _, size in ipairs { 10, 48, 49, 1000, 1024, 1025, 100000, 1 << 20 } do
      q:put(("x"):rep(size))
      assert.equal(size, #q:peek())
      assert.equal(size, #q:get())
    end
    q:put { inner, self = q, f = function() return inner end }
    local t = q:get()
    assert.equal(inner, t[1])
    assert.equal(q, t.self)
    assert.equal("kept", t.f():get(5))
    q:put(nil)
    assert.same({ n = 1, nil }, table.pack(q:get()))
    for _ = 1, 10 do q:task_done() end
    assert.is_true(q:join(0))
    assert.same({ nil, "empty" }, { q:get_nowait() })
  end)

  it("names itself in errors", function()
    local q = mp.JoinableQueue()
    local function says(what, f, ...)
      local ok, why = pcall(f, ...)
      assert.is_false(ok)
      assert.truthy(why:find(what, 1, true), why)
    end
    says("JoinableQueue:put: no item given", q.put, q)
    says("JoinableQueue:put: cannot send a coroutine", q.put, q, coroutine.create(print))
    says("JoinableQueue:get: the timeout must not be negative", q.get, q, -1)
    says("JoinableQueue:join: the timeout must be a number", q.join, q, "x")
    says("JoinableQueue:get_many: max must be a positive integer", q.get_many, q, 0)
    says("JoinableQueue:join: expected a JoinableQueue, got table", q.join, {})
    says("JoinableQueue:task_done: expected a JoinableQueue, got userdata", q.task_done, mp.Queue())
    says("mp.JoinableQueue: maxsize must be", mp.JoinableQueue, -1)
    says("Queue:put: no item given", mp.Queue().put, mp.Queue())
    assert.truthy(tostring(q):find("^JoinableQueue"))
    assert.is_nil(mp.Queue().task_done)
  end)
end)

describe("JoinableQueue: many at once", function()
  it("get_many: task_done once for each", function()
    local q = mp.JoinableQueue()
    local list = {}
    for i = 1, 300 do list[i] = i end
    assert.equal(300, (q:put_many(list)))
    local got = q:get_many(300)
    assert.equal(300, got.n)
    assert.equal(300, got[300])
    for _ = 1, 299 do q:task_done() end
    assert.same({ nil, "timeout" }, { q:join(0) })
    q:task_done()
    assert.is_true(q:join(0))
  end)

  it("get_many tells which were redelivered", function()
    local q = filled(2)
    local p = holder(q, 2)
    q:put(3)
    kill(p)
    local list, why, again = q:get_many(10)
    assert.same({ n = 3, 1, 2, 3 }, list)
    assert.is_nil(why)
    assert.same({ true, true }, again)
  end)

  it("items: ends when closed and finished", function()
    local q, sum = filled(10), 0
    q:close()
    for v in q:items() do
      sum = sum + v
      q:task_done()
    end
    assert.equal(55, sum)
    assert.is_true(q:join())
  end)
end)

describe("JoinableQueue: closing", function()
  it("C02: a finished one lets joiners through after it was closed", function()
    local q = filled(1)
    local p = joiner(q)
    q:get()
    q:close()
    q:task_done()
    assert.is_true(p:result(30))
    assert.is_true(q:join())
  end)

  it("C03: join waits on until what is inside is finished", function()
    local q = filled(1)
    local p = joiner(q)
    q:close()
    assert.same({ nil, "timeout" }, { p:join(0.1) })
    assert.same({ nil, "closed" }, { q:put(2) })
    assert.equal(1, (q:get()))
    assert.is_true(p:is_alive())
    q:task_done()
    assert.is_true(p:result(30))
    assert.same({ nil, "closed" }, { q:get() })
  end)

  it("C04: close(true) lets joiners through", function()
    local q = filled(2)
    local p = joiner(q)
    q:close(true)
    assert.is_true(p:result(30))
    assert.is_false((pcall(q.task_done, q)))
    assert.same({ nil, "closed" }, { q:get() })
  end)

  it("C05: after close(true) join waits for the item in hand", function()
    local q = filled(2)
    q:get()
    local p = joiner(q)
    q:close(true)
    assert.same({ nil, "timeout" }, { p:join(0.1) })
    assert.equal(0, q:qsize())
    q:task_done()
    assert.is_true(p:result(30))
    assert.is_false((pcall(q.task_done, q)))
  end)

  it("B17 B18 B20: refuses all calls, in every process", function()
    local q = filled(1)
    q:close(true)
    local function all()
      return { select(2, q:put(1)), select(2, q:put_nowait(1)), select(2, q:get()),
               select(2, q:get_nowait()), q:qsize() }
    end
    local expect = { "closed", "closed", "closed", "closed", 0 }
    assert.same(expect, all())
    assert.same(expect, elsewhere(all))
  end)

  it("what another has in work may come back: a consumer waits for that", function()
    local q = filled(1)
    local p = holder(q, 1)
    q:close()
    assert.same({ nil, "empty" }, { q:get(false) })
    assert.same({ nil, "timeout" }, { q:get(0.05) })
    local other = mp.spawn(function()
      local v, why, how = q:get()
      q:task_done()
      return v, why, how, select(2, q:get())
    end)
    mp.sleep(0.05)
    p:kill()
    assert.same({ 1, nil, "redelivered", "closed", n = 4 }, table.pack(other:result(30)))
    assert.is_true(q:join(30))
  end)

  it("who has unfinished items does not wait for itself", function()
    local q = filled(2)
    q:get()
    local has, go = mp.Event(), mp.Event()
    local p = mp.spawn(function()
      q:get()
      has:set()
      assert(go:wait(30))
      q:task_done()
      return select(2, q:get())
    end)
    has:wait(30)
    local waiting = mp.spawn(function() return select(2, q:get()) end)
    q:close()
    assert.same({ nil, "closed" }, { q:get() })
    assert.same({ nil, "timeout" }, { waiting:join(0.05) })
    go:set()
    assert.same({ nil, "timeout" }, { waiting:join(0.05) })
    q:task_done()
    assert.equal("closed", waiting:result(30))
    assert.equal("closed", p:result(30))
  end)

  it("a close wakes one that waits with items in hand", function()
    local q = filled(1)
    local has = mp.Event()
    local p = mp.spawn(function()
      q:get()
      has:set()
      local v, why = q:get()
      q:task_done()
      return v, why
    end)
    has:wait(30)
    mp.sleep(0.05)
    q:close()
    assert.same({ nil, "closed", n = 2 }, table.pack(p:result(30)))
    assert.is_true(q:join(30))
  end)
end)

describe("JoinableQueue: a consumer that ends", function()
  local ways = {
    ["returns"] = function() end,
    ["raises"] = function() error "meant" end,
    ["calls os.exit"] = function() os.exit(3) end,
    ["is killed"] = function() os.execute("kill -9 " .. mp.getpid()) mp.sleep(1000) end,
    ["is terminated"] = function() os.execute("kill " .. mp.getpid()) mp.sleep(1000) end,
  }
  for name, way in pairs(ways) do
    it(name .. ": its items go back to the head", function()
      local q = filled(5)
      local p = mp.spawn(function()
        for _ = 1, 3 do q:get() end
        q:task_done()
        way()
      end)
      p:join()
      assert.equal(4, q:qsize())
      assert.same({ 2, nil, "redelivered", n = 3 }, table.pack(q:get()))
      assert.same({ 3, nil, "redelivered", n = 3 }, table.pack(q:get()))
      assert.same({ 4, n = 1 }, table.pack(q:get()))
      assert.same({ 5, n = 1 }, table.pack(q:get()))
      for _ = 1, 4 do q:task_done() end
      assert.is_true(q:join(0))
    end)
  end

  it("a child has none of its creator's", function()
    local q = filled(2)
    q:get()
    assert.is_false(elsewhere(function() return (pcall(q.task_done, q)) end))
    assert.equal(1, q:qsize())
    q:task_done()
    assert.same({ 2, n = 1 }, table.pack(q:get()))
  end)

  it("with large items and handles", function()
    local q = mp.JoinableQueue()
    q:put { ("x"):rep(100000), mp.Queue() }
    for _ = 1, 3 do
      local p = holder(q, 1)
      kill(p)
    end
    local v, _, how = q:get()
    assert.equal("redelivered", how)
    assert.equal(100000, #v[1])
    v[2]:put(1)
    assert.equal(1, (v[2]:get(5)))
    q:task_done()
  end)

  it("a queue may go while items of it are in work", function()
    local q = filled(3)
    q:get()
    q = nil  -- luacheck: ignore
    collectgarbage() collectgarbage()
    q = filled(3)
    assert.is_false((pcall(q.task_done, q)))
    q:get()
    q:task_done()
  end)

  it("a joiner, the only producer, and one in the middle of get may be killed", function()
    local q = mp.JoinableQueue()
    for _ = 1, 5 do
      q:put(1)
      local j = joiner(q)
      local producer = mp.spawn(function() while true do q:put(2) end end)
      local consumer = mp.spawn(function() while true do q:get() end end)
      mp.sleep(0.02)
      for _, p in ipairs { j, producer, consumer } do
        p:kill()
        p:join()
      end
    end
    local n = 0
    while q:get(false) do
      n = n + 1
      q:task_done()
    end
    assert.is_true(n >= 5)
    assert.is_true(q:join(0))
    q:put("after")
    assert.equal("after", (q:get()))
    q:task_done()
    assert.is_true(q:join())
  end)

  it("four consumers, killed at random: each item is finished", function()
    local N = 2000
    local q, log = mp.JoinableQueue(), mp.Queue()
    local function consume()
      for v in q:items() do
        if v % 8 == 0 then mp.sleep(0.001) end
        log:put(v)
        q:task_done()
      end
    end
    local workers = {}
    for i = 1, 4 do workers[i] = mp.spawn(consume) end
    for i = 1, N do q:put(i) end
    local kills = 0
    while q:qsize() > N / 10 do
      local i = math.random(4)
      workers[i]:kill()
      workers[i]:join()
      workers[i] = mp.spawn(consume)
      kills = kills + 1
    end
    assert.is_true(q:join(60))
    q:close()
    join(workers)
    log:close()
    local seen, count = {}, 0
    for v in log:items() do
      if not seen[v] then count = count + 1 end
      seen[v] = true
    end
    assert.equal(N, count)
    assert.is_true(kills > 0)
  end)
end)

describe("JoinableQueue: what else", function()
  after_each(support.clean)

  it("a join that nobody is left to end is reported", function()
    local r = support.mprun { support.script [[
local mp = require "mp"
local q = mp.JoinableQueue()
q:put(1)
mp.spawn(function() q:get() q:get() end)  -- and no task_done
q:join()
]] }
    assert.equal(3, r.status, r.err)
    assert.truthy(r.err:find("all items done of JoinableQueue #", 1, true), r.err)
  end)

  it("a signal's handler runs inside join, which goes on", function()
    local q, pid, count = filled(1), mp.getpid(), 0
    mp.on_signal("USR1", function() count = count + 1 end)
    local p = mp.spawn(function()
      mp.sleep(0.05)
      os.execute("kill -USR1 " .. pid)
      mp.sleep(0.05)
      q:get()
      q:task_done()
    end)
    assert.is_true(q:join())
    mp.on_signal("USR1", nil)
    p:join()
    assert.is_true(count >= 1)
  end)

  it("finalizers may call task_done while an item is read", function()
    local q, pending = mp.JoinableQueue(), 0
    for i = 1, 300 do q:put { i, ("x"):rep(2000), {} } end
    for i = 1, 300 do
      setmetatable({}, { __gc = function()
        if pending > 0 then
          pending = pending - 1
          q:task_done()
        end
      end })
      local v = q:get()
      pending = pending + 1
      assert(v[1] == i and #v[2] == 2000)
    end
    for _ = 1, pending do q:task_done() end
    pending = 0
    assert.is_true(q:join(0))
  end)

  it("an item that cannot be read here is an error, and in work", function()
    local q = mp.JoinableQueue()
    mp.spawn(function()  -- a C function by a name that only the sender has
      package.loaded.only_here = { f = ("x"):gmatch "." }
      local f = package.loaded.only_here.f
      q:put { f }
      q:put { f, q, ("y"):rep(3000) }
      q:put_many { 1, { f, ("y"):rep(3000) }, 3, f }
    end):join()
    for _ = 1, 2 do
      local ok, why = pcall(q.get, q)
      assert.is_false(ok)
      assert.truthy(why:find("only_here", 1, true), why)
    end
    local list, why = q:get_many(9)
    assert.same({ n = 4, 1, nil, 3, nil }, list)
    assert.truthy(why:find("only_here", 1, true), why)
    for _ = 1, 5 do q:task_done() end
    assert.same({ nil, "timeout" }, { q:join(0) })
    q:task_done()
    assert.is_true(q:join(0))
  end)
end)
