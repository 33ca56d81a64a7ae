-- pool_death: workers, the supervisor and the creator of a pool die, in every
-- phase: a death costs the tasks that were begun there, and nothing else.
--
-- A thread dies by os.exit: a signal would end its whole process.
--
-- SPDX-License-Identifier: MIT

local mp = require "mp"
local support = require "tests.support"
local pools = require "tests.pools"

local square, numbers, squares = pools.square, pools.numbers, pools.squares
local gone, end_pools = pools.gone, pools.end_all

local function full(p, n) return pools.full(p, n, "pid") end

local ASAN = support.mode == "asan"  -- it has a handler of its own for SIGSEGV

local function kill(pid, signal)
  os.execute(("kill -%s %s 2>/dev/null"):format(signal or "KILL", pid))
end

local function supervisor(name)
  for _, p in ipairs(mp.active_children()) do
    if p.name == name then return p end
  end
end

-- Kills it, and waits until another has taken over.
local function kill_supervisor(p, name)
  local pid = supervisor(name).pid
  kill(pid)
  support.eventually(function()
    p:stats()
    local s = supervisor(name)
    return s and s.pid ~= pid
  end, "another supervisor")
end

local function lost(future, exitcode)
  local e = future:exception(30)
  assert.equal("WorkerLost", e.name, tostring(e))
  assert.equal(exitcode, e.exitcode, tostring(e))
  assert.equal("integer", math.type(e.pid))
  return e
end

for _, kind in ipairs(support.kinds) do
local processes = kind == "process"
local title = " with workers of kind " .. kind
local pool, executor = pools.of(kind)

-- In a task: the worker ends itself, and with which exit code.
local function die(signal)
  if kind == "thread" then os.exit(9) end
  os.execute(("kill -%s %d"):format(signal or "KILL", mp.getpid()))
  mp.sleep(60)
end
local DIED = processes and -9 or 9
local HOW = processes and "SIGKILL" or "exit code 9"

-- In a task: which life of a worker runs it, a number of its own.
local lives = mp.Value("i64", 0)
local function which()
  local state = mp.worker.state
  state.life = state.life or lives:add(1)
  return state.life
end

describe("a worker's death" .. title, function()
  after_each(end_pools)

  if processes then it("Y01: costs its own task; the worker is replaced, and the pool goes on", function()
    local p, running, go = pool(2), mp.Queue(), mp.Event()
    local function wait()
      running:put(mp.getpid())
      go:wait(60)
      return "done"
    end
    local a, b = p:submit(wait), p:submit(wait)
    local more = p:map_async(square, numbers(20), 1)
    local victim, other = running:get(30), running:get(30)
    kill(victim)
    go:set()
    local fates = { a:exception(30) or false, b:exception(30) or false }
    assert.is_true((fates[1] and 1 or 0) + (fates[2] and 1 or 0) == 1)
    local e = fates[1] or fates[2]
    assert.equal("WorkerLost", e.name)
    assert.equal(victim, e.pid)
    assert.equal(-9, e.exitcode)
    assert.truthy(e.message:find("SIGKILL", 1, true), e.message)
    assert.truthy(e.message:find("pool_death_spec.lua:", 1, true), e.message)
    assert.same(squares(20), more:get(30))
    assert.equal(4, p:submit(square, 2):result(30))
    support.eventually(function()
      local pids = full(p, 2)
      return pids[1] ~= victim and pids[2] ~= victim
    end, "the replacement")
    local pids = full(p, 2)
    assert.is_true(pids[1] == other or pids[2] == other)
  end) else it("Y01: costs its own task; the worker is replaced, and the pool goes on", function()
    local p, running, go = pool(2), mp.Queue(), mp.Event()
    local function wait(dies)
      running:put(1)
      go:wait(60)
      if dies then os.exit(9) end
      return "done"
    end
    local a, b = p:submit(wait, true), p:submit(wait)
    local more = p:map_async(square, numbers(20), 1)
    running:get(30)
    running:get(30)
    go:set()
    local e = lost(a, 9)
    assert.equal(mp.getpid(), e.pid)
    assert.truthy(e.message:find("pool_death_spec.lua:", 1, true), e.message)
    assert.equal("done", b:result(30))
    assert.same(squares(20), more:get(30))
    full(p, 2)
    assert.equal(1, p:stats().workers[1].restarts + p:stats().workers[2].restarts)
  end) end

  it("Y02: each future has an error object of its own", function()
    local p = pool(2)
    local a, b = p:submit(die), p:submit(die)
    local ea, eb = lost(a, DIED), lost(b, DIED)
    assert.is_false(rawequal(ea, eb))
    ea.mine = true
    assert.is_nil(eb.mine)
  end)

  it("Y03, AA03: the message names pid and exit code", function()
    local p = pool(1)
    local e = lost(p:submit(os.exit, 99), 99)
    assert.truthy(e.message:find("ended with exit code 99", 1, true), e.message)
    assert.truthy(e.message:find(("pid %d"):format(e.pid), 1, true), e.message)
    assert.equal(9, p:apply(square, { 3 }))
  end)

  it("Y04: an argument that cannot travel costs its own task", function()
    local p = pool(1)
    local f = p:submit(square, coroutine.create(square))
    assert.truthy(tostring(f:exception(30)):find("coroutine", 1, true))
    assert.equal(9, p:apply(square, { 3 }))
  end)

  -- Makes a module; the pool that make() makes knows where it is and has not
  -- loaded it, unlike this process.
  local function module(name, at_load, make)
    local path = support.script(([[
      if require "mp".worker then %s end
      return { f = function() end, call = function() return 1 end }]]):format(at_load), name .. ".lua")
    local folder, file = path:match "^(.*)/([^/]*)%.lua$"
    local before = package.path
    package.path = folder .. "/?.lua;" .. before
    local p = make()
    local m = require(file)
    package.path = before
    return p, m, function() package.loaded[file] = nil end
  end

  -- what -> what loading does
  local crash = "os.execute('kill -%s ' .. require 'mp'.getpid()) require 'mp'.sleep(60)"
  for what, at_load in pairs { exit = "os.exit(5)", error = "error 'not here'",
                               crash = processes and crash:format(ASAN and "KILL" or "SEGV") or nil } do
    it("Y05: " .. what .. " while a task is read costs that task", function()
      local p, m, undo = module(what, at_load, function() return pool(2) end)
      local f = p:submit(square, m.call)
      local g = p:submit(m.call)
      local map = p:map_async(m.call, { 1, 2, 3 })
      undo()
      for _, x in ipairs { f, g, map } do
        local e = x:exception(30)
        assert.is_table(e)
        assert.equal(what == "error" and "Error" or "WorkerLost", e.name, tostring(e))
      end
      assert.same(squares(8), p:map(square, numbers(8)))
    end)
  end

  local signals = { SEGV = not ASAN and -11 or nil, TERM = -15, KILL = -9, ABRT = -6 }
  for signal, code in pairs(processes and signals or {}) do
    it("Y06, AA12: by SIG" .. signal .. " in a task is named", function()
      local p = pool(1)
      local e = lost(p:submit(die, signal), code)
      assert.truthy(e.message:find("SIG" .. signal, 1, true), e.message)
      assert.equal(9, p:apply(square, { 3 }))
    end)
  end

  for _, code in ipairs { 0, 1, 42 } do
    it("Y07, AA12, AA40: os.exit(" .. code .. ") in a task is told as that", function()
      local p = pool(1)
      local e = lost(p:submit(os.exit, code), code)
      assert.truthy(e.message:find("exit code " .. code, 1, true), e.message)
      assert.truthy(code ~= 0 or e.message:find("os.exit", 1, true))
      assert.equal(9, p:apply(square, { 3 }))
    end)
  end

  it("Y08, AA05: an error is no death: the same worker goes on", function()
    local p = pool(1)
    local before = p:apply(which)
    for i = 1, 3 do
      support.raises("wrong " .. i, p.apply, p, function() error("wrong " .. i) end)
      assert.equal(before, p:apply(which))
    end
  end)

  it("Y09: a result that cannot travel costs its own task, not its worker", function()
    local p = pool(1)
    local before = p:apply(which)
    local e = p:submit(coroutine.create, square):exception(30)
    assert.truthy(tostring(e):find("coroutine", 1, true), tostring(e))
    assert.equal(before, p:apply(which))
  end)

  it("Y10: a result that cannot be read here is that task's error", function()
    local p, running, go = pool(1), mp.Queue(), mp.Event()
    local path = support.script "return { f = function() end }"
    local f = p:submit(function(folder, file)
      package.path = folder .. "/?.lua;" .. package.path
      local found = require(file).f
      running:put(1)
      go:wait(60)
      return found
    end, path:match "^(.*)/([^/]*)%.lua$")
    running:get(30)
    os.remove(path)
    go:set()
    local e = f:exception(30)
    assert.is_table(e)
    assert.truthy(tostring(e):find("cannot be read here", 1, true), tostring(e))
    assert.equal(9, p:apply(square, { 3 }))
  end)

  it("Y11: after close, while join waits, is told all the same", function()
    local p = pool(1)
    local go = mp.Event()
    local f = p:submit(function() go:wait(60) die() end)
    local after = p:submit(square, 5)
    p:close()
    mp.spawn(function() mp.sleep(0.05) go:set() end)
    assert.is_true(p:join(30))
    lost(f, DIED)
    assert.equal(25, after:result(0))
  end)

  it("Y12: shutdown(false) after an argument that cannot travel ends in order", function()
    local path = support.script(([[
      local mp = require "mp"
      local ex = mp.%s(2)
      local f = ex:submit(print, coroutine.create(print))
      ex:shutdown(false)
      print(f:exception().name)]]):format(processes and "ProcessPoolExecutor" or "ThreadPoolExecutor"))
    local r = support.mprun { path, seconds = 30 }
    assert.equal("", r.err)
    assert.equal("Error\n", r.out)
    assert.equal(0, r.status)
  end)

  it("Y13: while arguments of 4 MiB are on their way neither hangs nor leaks", function()
    local before = support.arena()
    local p = pool(2)
    local big = ("x"):rep(4 * 1024 * 1024 + 1)
    local list = {}
    for i = 1, 10 do
      list[i] = p:submit(function(s) if i == 1 then die() end return #s end, big)
    end
    lost(list[1], DIED)
    for i = 2, 10 do assert.equal(#big, list[i]:result(30)) end
    p:terminate()
    p:join()
    support.given_back(before)
  end)

  if processes then it("Y14: submitting does not wait for a supervisor that stands still", function()
    local p = pool { 2, name = "still" }
    kill(supervisor("still").pid, "STOP")
    local list = {}
    for i = 1, 100 do list[i] = p:submit(square, i) end
    for i = 1, 100 do assert.equal(i * i, list[i]:result(30)) end
    kill(supervisor("still").pid, "CONT")
  end) end

  it("Y11, AA40: in a chunk costs the items up to the one in hand", function()
    local p = pool(2)
    local seen = {}
    local it_ = p:imap(function(i) if i == 5 then die() end return i end, numbers(40), 10)
    for _ = 1, 40 do
      local ok, v = pcall(it_)
      seen[#seen + 1] = ok and v or v.name
    end
    for i = 1, 40 do assert.equal(i <= 5 and "WorkerLost" or i, seen[i]) end
    assert.is_nil(it_())
  end)

  if processes then it("AA09, AA13: workers that kill one another leave a pool that works", function()
    for _, n in ipairs { 1, 2, 5 } do
      local p = pool(n)
      local pids = mp.List()
      local all = {}
      for i = 1, 4 * n do
        all[i] = p:submit(function()
          pids:append(mp.getpid())
          for j = 1, #pids do
            local pid = pids[j]
            if pid and pid ~= mp.getpid() then os.execute(("kill -9 %d 2>/dev/null"):format(pid)) end
          end
          return true
        end)
      end
      for _, f in ipairs(all) do
        local e = f:exception(30)
        assert.is_true(e == nil or e.name == "WorkerLost", tostring(e))
      end
      assert.same(squares(8), p:map(square, numbers(8)))
      p:terminate()
    end
  end) end

  it("AA09: while it holds a lock leaves that abandoned, not the pool stuck", function()
    local p, lock = pool(2), mp.Lock()
    lost(p:submit(function() lock:acquire() die() end), DIED)
    assert.equal("abandoned", p:apply(function()
      local _, how = lock:acquire(30)
      lock:release()
      return how or "fine"
    end))
  end)

  it("AA14: among 100 tasks that cannot be sent, 100 good ones are done", function()
    local p = pool(2)
    local bad, good = {}, {}
    for i = 1, 100 do
      bad[i] = p:submit(square, coroutine.create(square))
      good[i] = p:submit(square, i)
    end
    for i = 1, 100 do
      assert.equal(i * i, good[i]:result(30))
      assert.is_table(bad[i]:exception(30))
    end
  end)

  for _, n in ipairs { 1, 3 } do
    for _, life in ipairs { false, 1, 3 } do
      it(("AA26: %d workers, %s tasks each: of 100 tasks exactly one is lost"):format(n, life or "all"),
      function()
        local p = pool { processes = n, maxtasksperchild = life or nil }
        local list, fallen = {}, 0
        for i = 1, 100 do
          list[i] = p:apply_async(function() if i == 40 then die() end return i end)
        end
        for i = 1, 100 do
          local e = list[i]:exception(30)
          if e then
            fallen = fallen + 1
            assert.equal("WorkerLost", e.name)
            assert.equal(40, i)
          else
            assert.equal(i, list[i]:get())
          end
        end
        assert.equal(1, fallen)
      end)
    end
  end

  if not processes then return end

  it("AA26: idle ones that are killed are replaced, and no task notices", function()
    local p = pool(3)
    for _ = 1, 5 do
      for _, pid in ipairs(full(p, 3)) do kill(pid) end
      assert.same(squares(30), p:map(square, numbers(30)))
    end
  end)

  it("by lack of memory costs its own task", function()
    if ASAN then return pending "it needs terabytes of addresses" end
    local path = support.script [[
      local mp = require "mp"
      mp.configure { memory = 64 * 2^20 }
      local p = mp.Pool(2)
      local f = p:submit(function()
        local t = {}
        while true do t[#t + 1] = ("x"):rep(2^20) .. #t end
      end)
      local g = p:submit(function(i) return i end, 7)
      print(f:exception(30).name, g:result(30), p:apply(mp.getpid) > 0)]]
    local r = support.run { "bash", "-c", ("ulimit -v 600000; exec %s %s"):format(support.program, path) }
    assert.truthy(r.out == "Error\t7\ttrue\n" or r.out == "WorkerLost\t7\ttrue\n", r.out .. r.err)
    assert.equal(0, r.status)
  end)
end)

describe("on_death = \"retry\"" .. title, function()
  after_each(end_pools)

  it("runs a task again, four times in all, and then says it is lost", function()
    local p, runs = pool { 2, on_death = "retry" }, mp.Value("i64", 0)
    local e = lost(p:submit(function() runs:add(1) die() end), DIED)
    assert.equal(4, runs:get())
    assert.truthy(e.message:find(HOW, 1, true))
    assert.equal(9, p:apply(square, { 3 }))
  end)

  it("gives the result of a run that lives", function()
    local p, runs = pool { 2, on_death = "retry" }, mp.Value("i64", 0)
    assert.equal("third", p:apply(function()
      if runs:add(1) < 3 then die() end
      return "third"
    end))
    assert.equal(3, runs:get())
  end)

  it("holds for the items of a map, each by itself", function()
    local p, runs = pool { 3, on_death = "retry" }, mp.Array("i64", 12)
    assert.same(squares(12), p:map(function(i)
      runs[i] = runs[i] + 1
      if runs[i] == 1 and i % 4 == 0 then die() end
      return i * i
    end, numbers(12), 1))
    for i = 1, 12 do assert.equal(i % 4 == 0 and 2 or 1, runs[i]) end
  end)

  it("\"fail\" runs nothing twice, retries do", function()
    local p, runs = pool { 2, on_death = "fail" }, mp.Array("i64", 2)
    lost(p:submit(function() runs[1] = runs[1] + 1 die() end), DIED)
    lost(p:submit_with({ retries = 2 }, function() runs[2] = runs[2] + 1 die() end), DIED)
    assert.same({ 1, 3 }, { runs[1], runs[2] })
  end)
end)

describe("an executor" .. title, function()
  after_each(end_pools)

  it("Y01: takes tasks after a worker was lost", function()
    local ex = executor(2)
    lost(ex:submit(die), DIED)
    assert.equal(9, ex:submit(square, 3):result(30))
    ex:shutdown()
  end)

  it("Y11: shutdown waits for a task that is lost meanwhile", function()
    local ex = executor(1)
    local f = ex:submit(function() mp.sleep(0.05) die() end)
    ex:shutdown()
    lost(f, DIED)
  end)
end)
end

local function pool(options)
  local p = mp.Pool(options)
  pools[#pools + 1] = p
  return p
end

describe("the supervisor's death", function()
  after_each(end_pools)

  it("is not noticed: another takes over, with the workers there are", function()
    local p = pool { 3, name = "heir" }
    local before = full(p, 3)
    for _ = 1, 3 do kill_supervisor(p, "heir") end
    assert.same(before, full(p, 3))
    assert.same(squares(50), p:map(square, numbers(50), 1))
    p:close()
    assert.is_true(p:join(30))
  end)

  it("is noticed by who only asks whether a task is done", function()
    local p, running = pool { 1, name = "asked" }, mp.Queue()
    local f = p:submit(function() running:put(mp.getpid()) mp.sleep(60) end)
    local pid = running:get(30)
    kill(supervisor("asked").pid)
    support.eventually(function() return not supervisor "asked" end, "its death")
    kill(pid)
    support.eventually(function() return f:done() end, "the task")
    lost(f, -9)
  end)

  it("while tasks run loses and doubles none", function()
    local p, runs = pool { 2, name = "busy" }, mp.Array("i64", 300)
    local map = p:map_async(function(i) runs[i] = runs[i] + 1 return i * i end, numbers(300), 1)
    for _ = 1, 5 do kill_supervisor(p, "busy") end
    assert.same(squares(300), map:get(30))
    for i = 1, 300 do assert.equal(1, runs[i]) end
  end)

  it("together with that of its workers: the tasks in hand are lost, no others", function()
    local p, running, go = pool { 3, name = "all" }, mp.Queue(), mp.Event()
    local list = {}
    for i = 1, 9 do
      list[i] = p:submit(function() running:put(mp.getpid()) go:wait(60) return i end)
    end
    local pids = { supervisor("all").pid }
    for i = 2, 4 do pids[i] = running:get(30) end
    kill(pids[1], "STOP")
    kill(table.concat(pids, " ", 2))
    kill(pids[1])
    go:set()
    local fallen = 0
    for i = 1, 9 do
      local e = list[i]:exception(30)
      if e then
        assert.equal("WorkerLost", e.name)
        fallen = fallen + 1
      else
        assert.equal(i, list[i]:result())
      end
    end
    assert.equal(3, fallen)
  end)

  it("between a timeout and the end of the worker leaves no worker waiting for it", function()
    -- The task takes no notice of SIGTERM; so the supervisor waits to kill it.
    local p, running = pool { 1, name = "late" }, mp.Queue()
    local f = p:submit_with({ timeout = 0.05 }, function()
      mp.on_signal("TERM", function() running:put "told" end)
      while true do mp.sleep(1) end
    end)
    assert.equal("told", running:get(30))
    kill(supervisor("late").pid)
    assert.is_table(f:exception(30))
    assert.equal(9, p:apply(square, { 3 }))
  end)

  it("before it could obey: cancel, resize and close are done by the next one", function()
    local p, running = pool { 2, name = "deaf" }, mp.Queue()
    local f = p:submit(function() running:put(1) while true do mp.sleep(1) end end)
    running:get(30)
    local s = supervisor "deaf"
    kill(s.pid, "STOP")
    p:resize(4)
    mp.spawn(function() mp.sleep(0.1) kill(s.pid) end)
    assert.is_true(f:cancel(true))
    full(p, 4)
    kill(supervisor("deaf").pid, "STOP")
    p:close()
    kill(supervisor("deaf").pid)
    assert.is_true(p:join(30))
  end)

  it("after terminate: the workers are ended by the pool itself", function()
    local p, running = pool { 2, name = "last" }, mp.Queue()
    for _ = 1, 2 do p:submit(function() running:put(mp.getpid()) while true do end end) end
    local pids = { running:get(30), running:get(30) }
    kill(supervisor("last").pid, "STOP")
    p:terminate()
    kill(supervisor("last").pid)
    assert.is_true(p:join(30))
    gone(pids)
  end)
end)

describe("the creator's death", function()
  after_each(end_pools)

  it("AA15: by SIGKILL leaves no worker: of the whole program", function()
    local pids = support.file "pids"
    local path = support.script [[
      local mp = require "mp"
      local out = io.open(arg[1], "w")
      local p = mp.Pool(3)
      local running = mp.Queue()
      for _ = 1, 2 do p:submit(function() running:put(1) while true do end end) end
      running:get() running:get()
      local pids
      repeat
        mp.sleep(0.01)
        pids = {}
        for _, w in ipairs(p:stats().workers) do pids[#pids + 1] = w.pid end
      until #pids == 3
      out:write(table.concat(pids, "\n"), "\n")
      for _, c in ipairs(mp.active_children()) do out:write(c.pid, "\n") end
      out:close()
      os.execute "kill -9 $PPID"
      mp.sleep(60)]]
    local r = support.mprun { path, pids, seconds = 30 }
    assert.equal(137, r.status)
    local list = {}
    for pid in support.read(pids):gmatch "%d+" do list[#list + 1] = pid end
    assert.equal(4, #list)
    gone(list)
  end)

  it("AA15: by SIGKILL leaves no worker: of a process that made a pool", function()
    local out = mp.Queue()
    local p = mp.spawn(function()
      local inner = mp.Pool(3)
      local running = mp.Queue()
      for _ = 1, 2 do inner:submit(function() running:put(1) while true do end end) end
      running:get() running:get()
      local pids = full(inner, 3)
      pids[4] = mp.active_children()[1].pid
      out:put(pids)
      mp.sleep(60)
    end)
    local pids = out:get(30)
    support.kill(p)
    assert.equal(4, #pids)
    gone(pids)
  end)
end)
