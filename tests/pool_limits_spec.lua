-- pool_limits: what bounds a pool, of every kind of worker: times, cancelling
-- by force, lives of workers, sizes, initializers, memory.
--
-- A thread takes no signals and has its process's pid and memory; so a worker
-- is known here by its number, or by a life of it.
--
-- SPDX-License-Identifier: MIT

local mp = require "mp"
local support = require "tests.support"
local pools = require "tests.pools"

local square, numbers, squares = pools.square, pools.numbers, pools.squares
local forever, stubborn, gone, end_pools = pools.forever, pools.stubborn, pools.gone, pools.end_all

-- In a task: which life of a worker runs it, a number of its own.
local lives = mp.Value("i64", 0)
local function which()
  local state = mp.worker.state
  state.life = state.life or lives:add(1)
  return state.life
end

local function worker_number() return mp.worker.number end

local function set_of(list)
  local set, n = {}, 0
  for _, v in ipairs(list) do
    if not set[v] then n = n + 1 end
    set[v] = true
  end
  return set, n
end

for _, kind in ipairs(support.kinds) do
local processes = kind == "process"
local live = processes and mp.active_children or mp.active_threads
local title = " with workers of kind " .. kind
local pool, executor, script = pools.of(kind)

local function numbers_of(p) return pools.workers(p, "number") end
local function full(p, n) return pools.full(p, n, "number") end

describe("a timeout" .. title, function()
  after_each(end_pools)

  it("AA01: ends the task and its worker; the next task runs in another", function()
    local p = pool(1)
    local before, pid = p:apply(which), p:apply(mp.getpid)
    local told
    local f = p:submit_with({ timeout = 0.05 }, forever)
    f:add_done_callback(function(x) told = x end)
    local e = f:exception(30)
    assert.equal("TaskTimeout", e.name, tostring(e))
    assert.equal(pid, e.pid)
    assert.equal(-15, e.exitcode)
    assert.equal(f, told)
    assert.not_equal(before, p:apply(which))
  end)

  it("AA01: of the pool holds for its tasks, and not for their waiting", function()
    local p = pool { 1, timeout = 20 }
    local list = {}
    for i = 1, 5 do list[i] = p:submit(square, i) end
    for i = 1, 5 do assert.equal(i * i, list[i]:result(30)) end
    p = pool { 1, timeout = 0.05 }
    assert.equal("TaskTimeout", p:submit(forever):exception(30).name)
    support.raises("TaskTimeout", p.apply, p, forever)
  end)

  it("AA01: of a map counts for each chunk", function()
    local p = pool(2)
    local function some(i) if i == 3 then forever() end return i end
    local seen, it_ = {}, p:imap(some, numbers(5), { timeout = 0.2, chunksize = 1 })
    for i = 1, 5 do
      local ok, v = pcall(it_)
      seen[i] = ok and v or v.name
    end
    assert.same({ 1, 2, "TaskTimeout", 4, 5 }, seen)
    support.raises("TaskTimeout", p.map, p, some, numbers(5), { timeout = 0.2 })
    assert.same(squares(8), p:map(square, numbers(8), { timeout = 20, chunksize = 2 }))
  end)

  it("AA04: ends a task that catches every error, and one that computes", function()
    local p = pool(2)
    local f = p:submit_with({ timeout = 0.05 }, function() while true do pcall(forever) end end)
    local g = p:submit_with({ timeout = 0.05 }, function() while true do end end)
    assert.equal("TaskTimeout", f:exception(30).name)
    assert.equal("TaskTimeout", g:exception(30).name)
    assert.equal(9, p:apply(square, { 3 }))
  end)

  if processes then it("AA04: ends a task that takes no notice of SIGTERM", function()
    local p = pool(1)
    local e = p:submit_with({ timeout = 0.05 }, stubborn):exception(30)
    assert.equal("TaskTimeout", e.name)
    assert.equal(-9, e.exitcode)
    assert.equal(9, p:apply(square, { 3 }))
  end) else it("has to wait for a function in C", function()
    local p, t = pool(1), mp.time()
    assert.equal("TaskTimeout", p:submit_with({ timeout = 0.05 }, os.execute, "sleep 0.3"):exception(30).name)
    assert.is_true(mp.time() - t >= 0.3)
    assert.equal(9, p:apply(square, { 3 }))
  end) end

  it("AA25: of several tasks at once, each its own", function()
    local p = pool(4)
    local list = {}
    for i = 1, 4 do list[i] = p:submit_with({ timeout = 0.05 * i }, forever) end
    local fine = p:submit_with({ timeout = 20 }, square, 5)
    for i = 1, 4 do assert.equal("TaskTimeout", list[i]:exception(30).name) end
    assert.equal(25, fine:result(30))
  end)

  it("is tried again as often as retries says", function()
    local p, runs = pool(1), mp.Value("i64", 0)
    local f = p:submit_with({ timeout = 0.05, retries = 2 }, function() runs:add(1) forever() end)
    assert.equal("TaskTimeout", f:exception(30).name)
    assert.equal(3, runs:get())
    f = p:submit_with({ timeout = 0.2, retries = 2 }, function()
      if runs:add(1) == 4 then forever() end
      return "then"
    end)
    assert.equal("then", f:result(30))
    assert.equal(5, runs:get())
  end)

  it("is not that of a task that came in time", function()
    local p = pool { 2, timeout = 0.01 }
    local fine, late = 0, 0
    for i = 1, 200 do
      local e = p:submit(function() if i % 50 == 0 then forever() end return i end):exception(30)
      if e then
        assert.equal("TaskTimeout", e.name)
        late = late + 1
      else
        fine = fine + 1
      end
    end
    assert.equal(200, fine + late)
    assert.is_true(late >= 4)
  end)
end)

describe("retries" .. title, function()
  after_each(end_pools)

  it("counts after an error; the last one is told", function()
    local p, runs = pool { 1, retries = 1 }, mp.Value("i64", 0)
    support.raises("run 2", p.apply, p, function() error("run " .. runs:add(1)) end)
    assert.equal(2, runs:get())
    local f = p:submit_with({ retries = 3 }, function()
      if runs:add(1) < 5 then error "again" end
      return "fifth"
    end)
    assert.equal("fifth", f:result(30))
    assert.equal(5, runs:get())
  end)

  it("counts errors and deaths alike, for the items of a map too", function()
    local p, runs = pool { 2, retries = 2 }, mp.Array("i64", 6)
    local function task(i)
      runs[i] = runs[i] + 1
      if i % 2 == 0 and runs[i] == 1 then error "once" end
      if i % 2 == 0 and runs[i] == 2 then os.exit(1) end
      return i
    end
    assert.same({ n = 6, 1, 2, 3, 4, 5, 6 }, p:map(task, numbers(6)))
    assert.same({ 1, 3, 1, 3, 1, 3 }, runs:totable())
  end)
end)

describe("cancel by force" .. title, function()
  after_each(end_pools)

  it("AA02: ends a running task; the rest goes on in a new worker", function()
    local p, running = pool(1), mp.Queue()
    local f = p:submit(function() running:put { mp.getpid(), which() } forever() end)
    local after = p:submit(which)
    local pid, before = table.unpack(running:get(30))
    assert.is_false(f:cancel())
    assert.is_true(f:running())
    assert.is_true(f:cancel(true))
    assert.is_true(f:cancelled())
    assert.equal("Cancelled", f:exception(0).name)
    assert.not_equal(before, after:result(30))
    if processes then gone { pid } end
  end)

  if processes then it("AA02, AA04: also one that takes no notice of SIGTERM, or would be retried", function()
    local p, running = pool { 1, on_death = "retry", retries = 5 }, mp.Queue()
    local f = p:submit(stubborn, running)
    running:get(30)
    assert.is_true(f:cancel(true))
    assert.equal(9, p:apply(square, { 3 }))
    assert.is_nil(running:get(0))
  end) end

  it("AA02: of a map ends all its items, in work or not", function()
    for _, death in ipairs { "fail", "retry" } do
      local p, running = pool { 2, on_death = death }, mp.Queue()
      local f = p:map_async(function(i) running:put(i) forever() end, numbers(8), 2)
      local first = { running:get(30), running:get(30) }
      assert.is_true(f:cancel(true))
      assert.equal("Cancelled", f:exception(0).name)
      table.sort(first)
      assert.same({ 1, 3 }, first)
      assert.same(squares(20), p:map(square, numbers(20)))
      assert.is_nil(running:get(0))
    end
  end)

  it("AA02: of a map leaves no item to a worker that has its code already", function()
    local p, running = pool(2), mp.Queue()
    local third = mp.Event()
    local f = p:map_async(function(i)
      running:put(i)
      if i == 1 then third:wait(60) end
      if i == 3 then third:set() end
      if i >= 3 then forever() end
    end, numbers(4), 2)
    local seen = { running:get(30), running:get(30), running:get(30) }
    table.sort(seen)
    assert.same({ 1, 2, 3 }, seen)
    assert.is_true(f:cancel(true))
    assert.same(squares(20), p:map(square, numbers(20)))
    assert.is_nil(running:get(0))
    assert.is_true(p:close() == nil and p:join(30))
  end)

  it("leaves nothing behind: the pool's notes of it go with the task", function()
    local p, running = pool(1), mp.Queue()
    local notes = rawget(p, "client").spec.codes
    for _ = 1, 3 do
      local f = p:submit(function() running:put(1) forever() end)
      running:get(30)
      assert.is_true(f:cancel(true))
      f = p:map_async(function() running:put(1) forever() end, numbers(4))
      running:get(30)
      assert.is_true(f:cancel(true))
    end
    assert.equal(9, p:apply(square, { 3 }))
    for _, key in ipairs(notes:keys()) do assert.is_true(key > 0, tostring(key)) end
  end)

  it("leaves a task that is over as it is", function()
    local p = pool(1)
    local f = p:submit(square, 3)
    assert.equal(9, f:result(30))
    assert.is_false(f:cancel(true))
    assert.equal(9, f:result())
  end)
end)

describe("maxtasksperchild" .. title, function()
  after_each(end_pools)

  it("Y15: 3: tasks 1 to 3 in one life of the worker, the 4th in another, always one at a time", function()
    local p = pool { 1, maxtasksperchild = 3 }
    local seen = {}
    for i = 1, 9 do seen[i] = p:apply(which) end
    for i = 1, 9 do
      assert.equal(i % 3 ~= 1, seen[i] == seen[i - 1])
    end
    assert.equal(3, select(2, set_of(seen)))
  end)

  it("AA45: 1: a fresh worker for each item", function()
    local p = pool { 3, maxtasksperchild = 1 }
    assert.equal(12, select(2, set_of(p:map(which, numbers(12), 1))))
    assert.equal(1, p:map(function() _G.kept = (_G.kept or 0) + 1 return _G.kept end, numbers(6), 1)[6])
  end)

  for _, case in ipairs { { 1, 2, 6 }, { 2, 2, 8 }, { 3, 1, 20 } } do
    local workers, life, jobs = table.unpack(case)
    it(("Y17: %d workers, %d tasks each, %d jobs"):format(workers, life, jobs), function()
      local p = pool { workers, maxtasksperchild = life }
      local list = {}
      for i = 1, jobs do list[i] = p:submit(square, i) end
      for i = 1, jobs do assert.equal(i * i, list[i]:result(30)) end
      assert.same(squares(jobs), p:map(square, numbers(jobs), 1))
      full(p, workers)
    end)
  end

  it("Y18: with shutdown right after the last submit", function()
    local ex = executor { max_workers = 3, max_tasks_per_child = 1 }
    local list = {}
    for i = 1, 6 do list[i] = ex:submit(square, i) end
    ex:shutdown()
    for i = 1, 6 do assert.equal(i * i, list[i]:result(0)) end
  end)

  it("Y19: goes on after shutdown(false), and when the executor is forgotten", function()
    local make = mp[processes and "ProcessPoolExecutor" or "ThreadPoolExecutor"]
    local ex = make { max_workers = 1, max_tasks_per_child = 2 }
    local list = {}
    for i = 1, 7 do list[i] = ex:submit(square, i) end
    ex:shutdown(false)
    for i = 1, 7 do assert.equal(i * i, list[i]:result(30)) end
    ex = make { max_workers = 2, max_tasks_per_child = 1 }
    for i = 1, 7 do list[i] = ex:submit(square, i) end
    ex = nil
    collectgarbage()
    collectgarbage()
    for i = 1, 7 do assert.equal(i * i, list[i]:result(30)) end
    assert.is_nil(ex)
  end)

  it("Y20: a worker that is worn out is not replaced in a pool that is terminated", function()
    local p, running = pool { 2, maxtasksperchild = 1, name = "worn" }, mp.Queue()
    local list = {}
    for i = 1, 20 do list[i] = p:submit(function() running:put(1) return i end) end
    running:get(30)
    p:terminate()
    assert.is_true(p:join(30))
    for i = 1, 20 do
      local e = list[i]:exception(0)
      assert.is_true(e == nil or e.name == "PoolTerminated", tostring(e))
    end
    for _, c in ipairs(live()) do assert.not_equal("worn", c.name) end
  end)
end)

describe("max_memory" .. title, function()
  after_each(end_pools)

  if not processes then
    it("AA19: is for processes", function()
      support.raises("max_memory is for processes: threads share the memory of theirs", pool,
                     { 1, max_memory = "80M" })
    end)
    return
  end

  it("AA19: replaces a worker that has grown, between tasks, and says why", function()
    local r = support.mprun { support.script [[
      local mp = require "mp"
      local p = mp.Pool { 1, max_memory = "80M", name = "fat" }
      local function grow(i)
        _G.kept = _G.kept or {}
        table.insert(_G.kept, ("x"):rep(30 * 2^20))
        return mp.getpid()
      end
      local pids, n = {}, 0
      for i = 1, 12 do
        local pid = p:apply(grow, { i })
        if not pids[pid] then n = n + 1 end
        pids[pid] = true
      end
      print(n > 2, n < 12)]], seconds = 30 }
    assert.equal(0, r.status, r.err)
    assert.equal("true\ttrue\n", r.out)
    assert.truthy(r.err:find("^fat:1 %(pid %d+%): replaced, for it has %d+ MiB in memory, "
                             .. "more than max_memory, 80 MiB\n"), r.err)
  end)

  it("AA19: leaves those alone that are within it", function()
    local p = pool { 1, max_memory = "2G" }
    local pid = p:apply(mp.getpid)
    for _ = 1, 5 do assert.equal(pid, p:apply(mp.getpid)) end
    support.raises("max_memory must be a number of bytes or a size", mp.Pool, { 1, max_memory = "much" })
  end)
end)

describe("resize" .. title, function()
  after_each(end_pools)

  it("AA20: up and down keeps the workers that stay", function()
    local p = pool(2)
    full(p, 2)
    p:resize(5)
    assert.equal(5, p.size)
    full(p, 5)
    p:resize(3)
    full(p, 3)
    for _, w in ipairs(p:stats().workers) do assert.equal(0, w.restarts) end
    assert.same(squares(30), p:map(square, numbers(30)))
  end)

  it("AA20: down leaves running tasks their workers", function()
    local p, running, go = pool(4), mp.Queue(), mp.Event()
    local list = {}
    for i = 1, 4 do list[i] = p:submit(function() running:put(1) go:wait(60) return mp.worker.number end) end
    for _ = 1, 4 do running:get(30) end
    p:resize(1)
    go:set()
    local seen = {}
    for i = 1, 4 do seen[i] = list[i]:result(30) end
    assert.equal(4, select(2, set_of(seen)))
    assert.is_true(set_of(seen)[full(p, 1)[1]])
    assert.equal(9, p:apply(square, { 3 }))
  end)

  it("AA20: down takes the idle ones, not those at work", function()
    local p, running, go = pool(3), mp.Queue(), mp.Event()
    full(p, 3)
    local f = p:submit(function() running:put(mp.worker.number) go:wait(60) return worker_number() end)
    local busy = running:get(30)
    p:resize(1)
    assert.equal(busy, full(p, 1)[1])
    go:set()
    assert.equal(busy, f:result(30))
  end)

  it("AA20: 12, 2, 1, 12, 6, 1, 8, 5, at once and in work", function()
    local p = pool(3)
    local work = p:map_async(function(i) return i * i end, numbers(400), 1)
    for _, n in ipairs { 12, 2, 1, 12, 6, 1, 8, 5 } do p:resize(n) end
    assert.same(squares(400), work:get(60))
    assert.equal(5, p.size)
    full(p, 5)
  end)

  it("says what is wrong", function()
    local p = pool(1)
    support.raises("the number of workers must be an integer from 1, got 0", p.resize, p, 0)
    support.raises("at most", p.resize, p, 100000)
  end)
end)

describe("an initializer" .. title, function()
  after_each(end_pools)

  it("runs once in each worker, also in a replacement, with its arguments", function()
    local count = mp.Value("i64", 0)
    local p = pool { 2, initializer = function(a, b) count:add(1) _G.got = a .. b end,
                     initargs = { "x", "y" } }
    full(p, 2)
    assert.equal(2, count:get())
    assert.equal("xy", p:apply(function() return _G.got end))
    p:submit(os.exit, 1):exception(30)
    full(p, 2)
    support.eventually(function() return count:get() == 3 end, "the replacement")
    assert.equal("xy", p:apply(function() return _G.got end))
  end)

  for what, fails in pairs { error = "error 'no such file'", table = "error { code = 7 }", exit = "os.exit(4)",
                             death = processes and "os.execute('kill -9 ' .. mp.getpid()) mp.sleep(60)" or nil } do
    it("AA07: that fails by " .. what .. " is told once, and ends the pool", function()
      local r = support.mprun { script(([[
        local mp = require "mp"
        local runs = mp.Value("i64", 0)
        local p = mp.Pool { 2, KIND, name = "bad", initializer = function() runs:add(1) %s end }
        local waiting = { n = 0 }
        local ok, e = pcall(function()
          for i = 1, 1000 do
            waiting[i] = p:submit(print, i)
            waiting.n = i
            waiting[i]:wait(0.05)
          end
        end)
        print(ok, e)
        for i = 1, waiting.n do
          assert(waiting[i]:exception(10).name == "BrokenPool")
          assert(i == 1 or waiting[i]:exception() ~= waiting[i - 1]:exception())
        end
        print(runs:get() <= 10)
        p:terminate()
        print(p:join(10))
        ]]):format(fails)), seconds = 30 }
      assert.equal(0, r.status, r.err)
      assert.truthy(r.out:find("false\t.*Pool:submit: the pool is broken: "), r.out)
      assert.truthy(r.out:find("true\ntrue\n$"), r.out)
      local _, lines = r.err:gsub("bad %(pid", "")
      assert.equal(1, lines, r.err)
      local text = what == "error" and "no such file" or what == "table" and "a table value"
                   or what == "exit" and "ended with exit code 4" or "SIGKILL"
      assert.truthy(r.err:find(text, 1, true), r.err)
    end)
  end

  it("AA07: that dies once only is no reason to give up", function()
    local runs = mp.Value("i64", 0)
    local p = pool { 2, initializer = function() if runs:add(1) == 1 then os.exit(3) end end }
    assert.same(squares(10), p:map(square, numbers(10)))
    full(p, 2)
    assert.equal(3, runs:get())
  end)

  it("that takes its time does not keep the others waiting", function()
    local first, go = mp.Value("i64", 0), mp.Event()
    local p = pool { 2, initializer = function() if first:add(1) == 1 then go:wait(60) end end }
    assert.same(squares(10), p:map(square, numbers(10), 1))
    assert.equal(1, #numbers_of(p))
    go:set()
    full(p, 2)
  end)
end)

describe("mp.worker" .. title, function()
  after_each(end_pools)

  it("AA28: is nil outside, and a worker's number and state inside", function()
    assert.is_nil(mp.worker)
    local p = pool { 3, initializer = function(x) mp.worker.state.shared = x return "made", 2 end,
                     initargs = { { 7 } } }
    local seen = p:map(function() return { mp.worker.number, mp.worker.state.shared[1], mp.worker.result,
                                           mp.worker.results[2] } end, numbers(9), 1)
    for i = 1, 9 do
      assert.is_true(seen[i][1] >= 1 and seen[i][1] <= 3)
      assert.same({ 7, "made", 2 }, table.move(seen[i], 2, 4, 1, {}))
    end
    assert.is_nil(p:apply(function()
      return mp.spawn(function() return mp.worker and mp.worker.number end):result(30)
    end))
  end)

  it("AA28: keeps its state from task to task", function()
    local p = pool(1)
    for i = 1, 5 do
      assert.equal(i, p:apply(function()
        local s = mp.worker.state
        s.n = (s.n or 0) + 1
        return s.n
      end))
    end
  end)

  it("AA27: on_exit's results are collected, once for each life of a worker", function()
    local p = pool { 2, maxtasksperchild = 2,
                     initializer = function() mp.worker.state.n = 0 end,
                     on_exit = function(state) return { n = state.n, big = ("x"):rep(1 << 20) } end }
    p:map(function() mp.worker.state.n = mp.worker.state.n + 1 end, numbers(10), 1)
    p:close()
    assert.is_true(p:join(30))
    local done, list = 0, p:exit_results()
    for i = 1, list.n do
      done = done + list[i].n
      assert.equal(1 << 20, #list[i].big)
    end
    assert.equal(10, done)
    assert.is_true(list.n >= 5 and list.n <= 7, tostring(list.n))
  end)

  it("AA27: an error in on_exit is reported, and stops nothing", function()
    local r = support.mprun { script [[
      local mp = require "mp"
      local p = mp.Pool { 1, KIND, on_exit = function() error "at the end" end }
      print(p:apply(function() return 5 end))
      p:close()
      print(p:join(10), p:exit_results().n)]], seconds = 30 }
    assert.equal("5\ntrue\t0\n", r.out)
    assert.truthy(r.err:find("on_exit: .*at the end"), r.err)
    assert.equal(0, r.status)
  end)
end)
end
