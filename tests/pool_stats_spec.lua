-- pool:stats(): who was busy, who waited, what was slow, why workers were replaced.
-- SPDX-License-Identifier: MIT
local mp = require "mp"
local support = require "tests.support"
local eventually = support.eventually

local kinds = support.kinds

local function numbers(n)
  local list = {}
  for i = 1, n do list[i] = i end
  return list
end

local function spin(seconds)
  local till = mp.time() + seconds
  while mp.time() < till do end
end

for _, kind in ipairs(kinds) do
  describe("stats of a pool of kind " .. kind, function()
    local pool
    local function open(o)
      o.kind = kind
      pool = mp.Pool(o)
      return pool
    end
    after_each(function()
      pool:terminate()
      pool:join()
    end)

    -- Of all workers; one says so a moment after its result is here.
    local function eventually_did(n)
      eventually(function()
        local sum = 0
        for _, w in ipairs(pool:stats().workers) do sum = sum + w.tasks end
        return sum == n
      end, n .. " tasks of workers")
    end

    it("count items, whatever they travel in", function()
      open { processes = 2 }
      local list = numbers(300)
      pool:map(math.abs, list)
      pool:map(math.abs, list, 100)
      pool:starmap(math.max, { { 1, 2 }, { 3, 4 } })
      for _ in pool:imap(math.abs, list) do end
      for _ in pool:imap_unordered(math.abs, list, 7) do end
      pool:apply(math.abs, { 1 })
      pool:submit(math.abs, 1):result()
      local s = pool:stats()
      assert.same({ 1204, 0, 0, 0, 2 }, { s.tasks, s.failed, s.waiting, s.running, s.size })
      eventually_did(1204)
    end)

    it("count the items of chunks that are shared", function()
      open { processes = 2 }
      pool:map(function(i) spin(0.0002) return i end, numbers(400))
      assert.equal(400, pool:stats().tasks)
      eventually_did(400)
    end)

    it("count what failed", function()
      open { processes = 2 }
      local function odd(i) return i % 2 == 1 and i or error "even" end
      pcall(pool.map, pool, odd, numbers(100))
      assert.equal(50, pool:stats().failed)
      pcall(pool.map, pool, odd, numbers(10), 1)
      assert.equal(55, pool:stats().failed)
      local it = pool:imap_unordered(odd, numbers(10), 5)
      repeat local ok, i = pcall(it) until ok and i == nil
      pcall(pool.apply, pool, error)
      pool:submit(math.abs, coroutine.create(print)):exception()
      local s = pool:stats()
      assert.same({ 122, 62 }, { s.tasks, s.failed })
    end)

    it("tell who runs, and how much waits", function()
      open { processes = 2 }
      local go, up = mp.Event(), mp.Semaphore(0)
      local function wait() up:release() go:wait() end
      local one = pool:submit(wait)
      local many = pool:map_async(wait, numbers(9), 3)
      up:acquire()
      up:acquire()
      local s = pool:stats()
      assert.same({ 0, 2, 8 }, { s.tasks, s.running, s.waiting })
      go:set()
      one:result()
      many:get()
      s = pool:stats()
      assert.same({ 10, 0, 0 }, { s.tasks, s.running, s.waiting })
    end)

    it("tell of each worker when it was busy, and what it is", function()
      open { processes = 2 }
      local pid, took = pool:apply(function()
        local began = mp.time()
        spin(0.05)
        return mp.getpid(), mp.time() - began
      end)
      eventually_did(1)
      local s = pool:stats()
      local a, b = s.workers[1], s.workers[2]
      assert.same({ 1, 2 }, { a.number, b.number })
      if a.tasks == 0 then a, b = b, a end
      assert.equal(pid, a.pid)
      assert.is_true(a.busy >= took and s.busy >= took)
      assert.equal(0, b.busy)
      assert.is_true(b.idle > 0 and a.idle > 0)
      assert.equal(0, a.restarts)
      assert.is_nil(a.why)
      if kind == "process" then
        assert.is_true(a.memory > 100000 and a.memory < 2^30)
      else
        assert.is_nil(a.memory)
      end
    end)

    it("count the time of a task that still runs", function()
      open { processes = 1 }
      local go = mp.Event()
      local f = pool:submit(function() go:wait() end)
      eventually(function() return pool:stats().workers[1].busy > 0.01 end)
      assert.equal(1, pool:stats().running)
      go:set()
      f:result()
    end)

    it("name the five slowest tasks", function()
      open { processes = 1 }
      for i = 1, 7 do pool:apply(function(n) spin(n * 0.004) end, { i }) end
      local slow = pool:stats().slowest
      assert.equal(5, #slow)
      for i = 2, 5 do assert.is_true(slow[i].seconds <= slow[i - 1].seconds) end
      assert.is_true(slow[5].seconds >= 0.012)
      assert.truthy(slow[1].task:find "^function at .*pool_stats_spec.lua:%d+ with %d$", slow[1].task)
    end)

    it("show what is in a list, not its address", function()
      local own = setmetatable({}, { __tostring = function() return "mine" end })
      local shown = {
        ["with {1, \"a\"}"] = { 1, "a" }, ["with {1, 2, 3, 4, ...}"] = { 1, 2, 3, 4, 5 },
        ["with {{...}}"] = { { 1 } }, ["with {...}"] = { x = 1 }, ["with {}"] = {}, ["with mine"] = own,
      }
      for text, value in pairs(shown) do
        local one <close> = mp.Pool { processes = 1, kind = kind }
        one:apply(type, { value })
        local task = one:stats().slowest[1].task
        assert.equal(text, task:match "with .*", task)
      end
    end)

    it("name the slowest of a chunk's items", function()
      open { processes = 1 }
      local function f(i) spin(i == 37 and 0.3 or 0.0001) return i end
      local text = "item 37: 37"
      pool:map(f, numbers(50), 50)
      assert.truthy(pool:stats().slowest[1].task:find(text, 1, true), pool:stats().slowest[1].task)
      for _ in pool:imap(f, numbers(50), 50) do end
      assert.truthy(pool:stats().slowest[2].task:find("item 37", 1, true))
    end)

    it("go on when workers are replaced, and say why the last one was", function()
      open { processes = 1, maxtasksperchild = 10 }
      for _ = 1, 30 do pool:apply(math.abs, { 1 }) end
      eventually(function()
        local w = pool:stats().workers[1]
        return w.restarts == 3 and w.why == "maxtasksperchild" and w.tasks == 30
      end)
    end)

    it("say that one ended by itself", function()
      open { processes = 1 }
      pcall(pool.apply, pool, os.exit, { 3 })
      local s
      eventually(function()
        s = pool:stats()
        return s.workers[1].restarts == 1
      end)
      assert.equal("ended with exit code 3", s.workers[1].why)
      assert.same({ 1, 1 }, { s.tasks, s.failed })
    end)

    it("say that one's task was over its time, or cancelled", function()
      open { processes = 1 }
      assert.equal("TaskTimeout", pool:submit_with({ timeout = 0.05 }, mp.sleep, 1000):exception().name)
      eventually(function() return pool:stats().workers[1].why == "timeout" end)
      local f = pool:submit(mp.sleep, 1000)
      eventually(function() return f:running() end)
      assert.is_true(f:cancel(true))
      eventually(function() return pool:stats().workers[1].why == "cancelled" end)
      local s = pool:stats()
      assert.same({ 2, 1, 1 }, { s.workers[1].restarts, s.tasks, s.failed })
    end)

    if kind == "process" then
      it("say what killed one", function()
        open { processes = 1 }
        pcall(pool.apply, pool, function() os.execute("kill -KILL " .. mp.getpid()) end)
        eventually(function() return pool:stats().workers[1].restarts == 1 end)
        assert.equal("killed by SIGKILL", pool:stats().workers[1].why)
      end)

      it("say that one had too much memory", function()
        open { processes = 1, max_memory = "30M" }
        pool:apply(function() mp.worker.state.text = ("x"):rep(64 << 20) end)
        eventually(function() return pool:stats().workers[1].why == "max_memory" end)
      end)
    end

    it("stay when the pool has ended", function()
      open { processes = 2 }
      pool:map(math.abs, numbers(100))
      pool:close()
      pool:join()
      local s = pool:stats()
      assert.equal(100, s.tasks)
      assert.equal(100, s.workers[1].tasks + s.workers[2].tasks)
      assert.is_nil(s.workers[1].pid)
    end)
  end)
end

describe("stats as text", function()
  it("are a table for people, also after they have travelled", function()
    local pool <close> = mp.Pool { processes = 2, name = "crew" }
    pcall(pool.map, pool, function(i) return i == 3 and error "no" or i end, numbers(1234))
    eventually(function() return pool:stats().workers[1].pid and pool:stats().workers[2].pid end)
    local q = mp.Queue()
    q:put(pool:stats())
    local lines = {}
    for line in tostring(q:get()):gmatch "[^\n]+" do lines[#lines + 1] = line end
    assert.equal("crew: 2 workers, 1,234 tasks (1 failed), 0 running, 0 waiting", lines[1])
    assert.truthy(lines[2]:find "^worker +pid +tasks +busy +idle +memory +restarts$", lines[2])
    local row = "^ +%d +%d+ +[%d,]+ +%d+%.%d+ s +[%d-]+%%? +%d+%.%d+ s +%d+%.%d MiB +0$"
    assert.truthy(lines[3]:find(row), lines[3])
    assert.truthy(lines[4]:find(row), lines[4])
    assert.equal("slowest:", lines[5])
    assert.truthy(lines[6]:find "^ +0%.%d+ s  function at .*, item %d+: %d+", lines[6])
  end)

  it("do without what is not there", function()
    local pool <close> = mp.ProcessPoolExecutor { max_workers = 3, name = "idle" }
    local s = pool:stats()
    assert.same({ 0, 0, 0, 0 }, { s.tasks, s.running, s.waiting, #s.workers })
    assert.truthy(tostring(s):find "^idle: 3 workers, 0 tasks %(0 failed%), 0 running, 0 waiting\n")
  end)
end)
