-- thread: mp.Thread. What it shares with mp.Process is tested for both kinds; the
-- names in front of colons are the lines of the list of behaviours.
--
-- SPDX-License-Identifier: MIT
local mp = require "mp"
local support = require "tests.support"
local raises, eventually, kill, join = support.raises, support.eventually, support.kill, support.join

if support.without_threads then
  it("mp.Thread", function() pending "a program with threads that forks, under AddressSanitizer" end)
  return
end

local function thread(target, ...)
  return mp.Thread { target = target, args = table.pack(...) }:start()
end

-- Entries of /proc/self/task and /proc/self/fd.
local function count(what)
  local pipe = io.popen(("ls /proc/%d/%s | wc -l"):format(mp.getpid(), what))
  local n = pipe:read "n"
  pipe:close()
  return n
end

for _, kind in ipairs { "Process", "Thread" } do
  local Class = mp[kind]

  local function start(target, ...)
    return Class { target = target, args = table.pack(...) }:start()
  end

  describe(kind .. ", as both kinds are:", function()
    it("arguments and results are any values, nil and objects among them", function()
      local q = mp.Queue()
      local r = table.pack(start(function(...) return select("#", ...), ... end, 1, nil, q, nil):result(20))
      assert.same({ n = 5, 4, 1, nil, q, nil }, r)
      assert.equal(q, r[4])
      local p = Class { target = function(a, k) return a, k.x end, args = { 1 }, kwargs = { x = 2 } }
      assert.same({ 1, 2 }, { p:start():result(20) })
      assert.equal(0, select("#", start(function() end):result(20)))
    end)

    it("upvalues travel, as they are at the start", function()
      local n = 1
      local p = Class { target = function() n = n + 1 return n end }
      n = 10
      assert.equal(11, p:start():result(20))
      assert.equal(10, n)
    end)

    it("before start", function()
      local p = Class { target = function() end }
      assert.is_false(p:is_alive())
      assert.same({}, { p.exitcode, p.pid, p.ident })
      raises(kind .. ":join: it has not been started", p.join, p)
      raises(kind .. ":terminate: it has not been started", p.terminate, p)
      raises(kind .. ":result: it has not been started", p.result, p)
      raises(kind .. ".sentinel: it has not been started", function() return p.sentinel end)
    end)

    it("from start to join", function()
      local go = mp.Event()
      local p = Class { name = "Named", target = function() go:wait(20) end }
      assert.equal(kind .. " Named (not started)", tostring(p))
      assert.equal(p, p:start())
      assert.is_true(p:is_alive())
      assert.is_nil(p.exitcode)
      assert.equal(("%s Named (pid %d)"):format(kind, p.pid), tostring(p))
      assert.same({ nil, "timeout" }, { p:join(0) })
      assert.same({ nil, "timeout" }, { p:join(-1) })
      assert.same({ nil, "timeout" }, { p:result(0.01) })
      go:set()
      assert.is_true(p:join(20))
      assert.equal(0, p.exitcode)
      assert.is_false(p:is_alive())
      assert.equal(kind .. " Named (ended, exit code 0)", tostring(p))
      raises(kind .. ":start: it was started before", p.start, p)
      assert.is_true(p:join())
    end)

    it("name and daemon are set before the start", function()
      local p = Class { target = mp.sleep, args = { 0 } }
      p.name, p.daemon = "New", true
      assert.same({ "New", true }, { p.name, p.daemon })
      raises(kind .. ".name: expected a string", function() p.name = 1 end)
      raises(kind .. ".exitcode: it cannot be set", function() p.exitcode = 1 end)
      p:start():join()
      raises(kind .. ".name: it can only be set before start", function() p.name = "x" end)
    end)

    it("misuse names the class", function()
      raises("mp." .. kind .. ": expected a table", Class, 1)
      raises("mp." .. kind .. ": target must be a function, got number", Class, { target = 1 })
      raises("mp." .. kind .. ": unknown option 'targt'", Class, { targt = print })
      raises("mp." .. kind .. ": the function goes into target=", Class, { print })
      for _, name in ipairs { "join", "is_alive", "terminate", "kill", "close", "result", "start" } do
        raises(("%s:%s: expected a %s, got number"):format(kind, name, kind), Class[name], 1)
      end
      local p = start(function() end)
      p:join()
      p:close()
      p:close()
      raises("closed here", p.join, p)
      local _, why = pcall(function() Class { target = 1 } end)
      assert.truthy(why:find("tests/thread_spec.lua", 1, true), why)
    end)

    it("terminate and kill", function()
      for how, code in pairs { terminate = -15, kill = -9 } do
        local has = mp.Event()
        local p = start(function() has:set() mp.sleep(1000) end)
        assert.is_true(has:wait(20))
        p[how](p)
        assert.is_true(p:join(20))
        assert.equal(code, p.exitcode)
        p[how](p)
      end
    end)

    it("one that was ended says so in its result", function()
      local p = start(mp.sleep, 1000)
      p:kill()
      raises(("%s (pid %d) killed by SIGKILL"):format(p.name, p.pid), p.result, p)
    end)

    it("close is refused while it runs", function()
      local p = start(mp.sleep, 1000)
      raises(kind .. ":close: it still runs", p.close, p)
      kill(p)
      p:close()
    end)

    it("os.exit ends it, also in pcalls and coroutines", function()
      for status, given in pairs { [0] = table.pack(), [8] = table.pack(8), [1] = table.pack(false) } do
        local p = start(function()
          local wrapped = coroutine.wrap(function()
            pcall(function() os.exit(table.unpack(given, 1, given.n)) end)
          end)
          while true do pcall(wrapped) end
        end)
        assert.is_true(p:join(20))
        assert.equal(status, p.exitcode)
      end
    end)

    it("an uncaught error is there for others", function()
      local p = start(function() error "boom" end)
      p:join()
      assert.equal(1, p.exitcode)
      local e = p.error
      assert.truthy(e.message:find("thread_spec.lua:%d+: boom"))
      assert.truthy(e.traceback:find("thread_spec.lua", 1, true))
      assert.falsy(e.traceback:find("mp/", 1, true))
      assert.same({ p.name, p.pid, 1 }, { e.process, e.pid, e.exitcode })
      raises("boom\n\nremote stack traceback", p.result, p)
      assert.equal(e.message, support.elsewhere(function() return p.error.message end))
      p = start(function() error { code = 5 } end)
      local ok, value = pcall(p.result, p)
      assert.same({ false, { code = 5 } }, { ok, value })
    end)

    it("a result that cannot travel is the result's error", function()
      local p = start(function() return coroutine.create(print) end)
      p:join()
      assert.equal(0, p.exitcode)
      raises("cannot send a coroutine", p.result, p)
    end)

    it("a subclass has fields, methods and a parent", function()
      local Base = Class:extend()
      function Base:init(n) Base.super.init(self, { name = "Sub" .. n, daemon = true }) end
      function Base:double() return self.n * 2 end
      local Derived = Base:extend()
      function Derived:init(n, q)
        Derived.super.init(self, n)
        self.n, self.q = n, q
      end
      function Derived:run()
        self.q:put(self:double())
        return self.name, self.daemon, Derived.super == Base, Base.super == mp[kind]
      end
      local q = mp.Queue()
      local p = Derived(21, q)
      assert.same({ "Sub21", true, true, true }, { p:start():result(20) })
      assert.equal(42, q:get(20))
    end)

    it("any process and any thread may join it, wait for it, end it", function()
      for _, other in ipairs { mp.Process, mp.Thread } do
        local p = start(mp.sleep, 1000)
        assert.same({ true, 1, -15, "terminated" }, { other { target = function()
          p:terminate()
          return p:join(20), #mp.wait({ p }, 20), p.exitcode, "terminated"
        end }:start():result(30) })
      end
    end)

    it("a sentinel is a descriptor that is readable at its end", function()
      local go = mp.Event()
      local p = start(function() go:wait(20) end)
      local fd = p.sentinel
      assert.equal("integer", math.type(fd))
      assert.equal(fd, p.sentinel)
      assert.equal(0, #mp.wait({ fd }, 0))
      go:set()
      assert.equal(1, #mp.wait({ fd }, 20))
      p:join()
    end)

    it("nothing keeps one that ended, nor its target", function()
      local weak = setmetatable({}, { __mode = "k" })
      do
        local big = { "big" }
        local p = Class { target = function(v) return v[1] end, args = { big } }
        weak[big], weak[p] = true, true
        assert.equal("big", p:start():result(20))
      end
      mp.active_children()
      mp.active_threads()
      collectgarbage()
      collectgarbage()
      assert.is_nil(next(weak))
    end)

    it("what one held at its end is abandoned when join returns", function()
      local lock, work = mp.Lock(), mp.JoinableQueue()
      work:put "item"
      local p = start(function()
        lock:acquire()
        return (work:get(20))
      end)
      assert.equal("item", p:result(20))
      assert.same({ true, "abandoned" }, { lock:acquire(0) })
      lock:release()
      assert.same({ "item", nil, "redelivered" }, { work:get(20) })
      work:task_done()
    end)

    it("closers run last first, also after os.exit and an error", function()
      for _, f in ipairs { function() end, function() os.exit(3) end, function() error "x" end } do
        local q = mp.Queue()
        start(function()
          mp.atexit(function() q:put "first" end)
          mp.atexit(function() q:put "last" end)
          f()
        end):join()
        assert.same({ "last", "first" }, { q:get(20), q:get(20) })
        assert.is_true(q:empty())
      end
    end)

    it("math.random is seeded afresh", function()
      local function roll() return math.random(1 << 40) end
      assert.is_not.equal(start(roll):result(20), start(roll):result(20))
    end)

    it("daemons end with who started them, others are joined", function()
      for _, Other in ipairs { mp.Process, mp.Thread } do
        local q = mp.Queue()
        local p = start(function()
          q:put(Class { daemon = true, target = mp.sleep, args = { 1000 } }:start())
          Class { target = function() mp.sleep(0.05) q:put "joined" end }:start()
        end)
        assert.is_true(p:join(20))
        local daemon = q:get(20)
        assert.same({ "joined", false, -15 }, { q:get(0), daemon:is_alive(), daemon.exitcode })
        assert.truthy(Other)
      end
    end)

    it("a hundred at once", function()
      local list = {}
      for i = 1, 100 do list[i] = start(function() return i end) end
      for i, p in ipairs(list) do assert.equal(i, p:result(60)) end
    end)
  end)
end

describe("Thread: identity", function()
  it("a thread knows itself, and its process stays the process", function()
    assert.is_nil(mp.current_thread())
    local t = mp.Thread { target = function()
      local me = mp.current_thread()
      return me, me.name, me:is_alive(), mp.current_process(), mp.getpid(), mp.parent_process(), mp.getppid()
    end }
    local me, name, alive, process, pid, parent, ppid = t:start():result(20)
    assert.equal(t, me)
    assert.same({ t.name, true, mp.getpid() }, { name, alive, pid })
    assert.equal(mp.current_process(), process)
    assert.is_nil(parent)
    assert.equal(mp.getppid(), ppid)
    assert.equal(mp.getpid(), t.pid)
    local inner = mp.spawn(function()
      return thread(function() return mp.parent_process(), mp.getppid() end):result(20)
    end)
    assert.same({ mp.current_process(), mp.getpid() }, { inner:result(20) })
  end)

  it("default names are counted by creator", function()
    local a, b = mp.Thread {}, mp.Thread {}
    local na, nb = tonumber(a.name:match "^Thread%-(%d+)$"), tonumber(b.name:match "^Thread%-(%d+)$")
    assert.equal(na + 1, nb)
    local t = mp.Thread { target = function() return mp.Thread {}.name, mp.Process {}.name end }
    local inner, process = t:start():result(20)
    assert.equal(("Thread-%d:1"):format(nb + 1), inner)
    assert.truthy(process:find "^Process%-%d+$", process)
  end)

  it("active_threads lists those that this state started", function()
    local go = mp.Event()
    local a = mp.Thread { target = function() go:wait(20) end }:start()
    local inner = thread(function()
      local t = mp.Thread { target = function() end }:start()
      local n = mp.active_threads().n
      t:join()
      return n <= 1, mp.active_threads().n, mp.active_children().n
    end)
    assert.same({ true, 0, 0 }, { inner:result(20) })
    local list = mp.active_threads()
    assert.equal(1, list.n)
    assert.equal(a, list[1])
    assert.equal(0, mp.active_children().n)
    go:set()
    a:join()
    assert.equal(0, mp.active_threads().n)
  end)

  it("a thread cannot join itself, nor its process", function()
    local ok, why, ok2, why2 = thread(function()
      local me, process = mp.current_thread(), mp.current_process()
      local a, b = pcall(me.join, me)
      local c, d = pcall(process.join, process)
      return a, b, c, d
    end):result(20)
    assert.same({ false, false }, { ok, ok2 })
    assert.truthy(why:find("Thread:join: a thread cannot join itself", 1, true), why)
    assert.truthy(why2:find("Process:join: a process cannot join itself", 1, true), why2)
  end)
end)

describe("Thread: its state", function()
  it("finds modules as its creator does", function()
    local path, preload = package.path, package.preload
    package.path = "/nowhere/?.lua;" .. path
    preload["thread_spec.given"] = function() return { v = 7 } end
    preload["thread_spec.cannot"] = coroutine.wrap(print)
    local t = thread(function() return package.path, require "thread_spec.given".v, package.cpath end)
    local seen, v, cpath = t:result(20)
    package.path, preload["thread_spec.given"], preload["thread_spec.cannot"] = path, nil, nil
    assert.same({ "/nowhere/?.lua;" .. path, 7, package.cpath }, { seen, v, cpath })
  end)

  it("has the arguments, and no globals of its creator's", function()
    rawset(_G, "thread_spec_global", 1)
    local args, global = thread(function() return arg, rawget(_G, "thread_spec_global") end):result(20)
    rawset(_G, "thread_spec_global", nil)
    assert.same(arg, args)
    assert.is_nil(global)
  end)

  it("what cannot travel is an error of start, with its path", function()
    local t = mp.Thread { target = print, args = { 1, { co = coroutine.create(print) } } }
    local why = raises("Thread:start: cannot send a coroutine (at .args[2].co)", function() t:start() end)
    assert.truthy(why:find("^tests/thread_spec.lua:%d+: "), why)
    assert.equal("Thread " .. t.name .. " (not started)", tostring(t))
    local co = coroutine.create(print)
    raises("cannot send a coroutine", thread, function() return co end)
  end)

  it("has no signals", function()
    local ok, why = thread(function() return pcall(mp.on_signal, "USR1", print) end):result(20)
    assert.is_false(ok)
    assert.truthy(why:find("mp.on_signal: signals are handled in the process's first thread", 1, true), why)
  end)

  it("executes commands that have no signals blocked", function()
    local blocked = thread(function()
      local pipe = io.popen "grep SigBlk /proc/self/status"
      local text = pipe:read "a"
      pipe:close()
      local ok, how, code = os.execute "grep -q 'SigBlk:.*0000000000000000' /proc/self/status && exit 3"
      return text:match "%x+$" or text:match "%x+%s*$", ok, how, code
    end)
    local text, ok, how, code = blocked:result(20)
    assert.equal("0000000000000000", (text:gsub("%s", "")))
    assert.same({ nil, "exit", 3 }, { ok, how, code })
  end)
end)

describe("Thread: ending it", function()
  local function ended(f)
    local has = mp.Event()
    local t = thread(f, has)
    assert.is_true(has:wait(20))
    t:terminate()
    assert.is_true(t:join(20))
    assert.equal(-15, t.exitcode)
  end

  it("in a loop of Lua", function()
    ended(function(has) has:set() while true do end end)
  end)

  it("in pcalls, which do not stop it", function()
    ended(function(has)
      has:set()
      while true do pcall(function() while true do pcall(error) end end) end
    end)
  end)

  it("in a message handler, and in a function of C that calls Lua", function()
    ended(function(has)
      has:set()
      while true do xpcall(error, function() while true do end end) end
    end)
    ended(function(has)
      has:set()
      while true do pcall(table.sort, { 1, 2, 3 }, function() while true do end end) end
    end)
  end)

  it("in coroutines, also if it never called us from there", function()
    ended(function(has)
      has:set()
      coroutine.wrap(function() while true do end end)()
    end)
    ended(function(has)
      local function deep(n)
        local co = coroutine.create(function()
          if n == 0 then has:set() while true do end end
          deep(n - 1)
        end)
        while true do coroutine.resume(co) end
      end
      deep(3)
    end)
  end)

  it("in every wait", function()
    local lock = mp.Lock()
    lock:acquire()
    local full, a = mp.Queue(1), mp.Pipe()
    full:put(1)
    local waits = {
      function() mp.Queue():get() end, function() full:put(1) end, function() lock:acquire() end,
      function() mp.Event():wait() end, function() mp.Barrier(2):wait() end,
      function() mp.Semaphore(0):acquire() end, function() a:recv() end,
      function() mp.wait { mp.Queue() } end, function() mp.wait { mp.Queue(), (io.popen "sleep 3") } end,
      function() mp.spawn(mp.sleep, 0.5):join() end, function() mp.sleep(1000) end,
      function() local c = mp.Condition() c:acquire() c:wait() end,
    }
    for _, wait in ipairs(waits) do
      ended(function(has) has:set() while true do pcall(wait) end end)
    end
    lock:release()
  end)

  it("at its very beginning", function()
    for _ = 1, 20 do
      local t = thread(function() while true do end end)
      t:terminate()
      assert.is_true(t:join(20))
      assert.equal(-15, t.exitcode)
    end
  end)

  it("by itself", function()
    local t = thread(function() mp.current_thread():terminate() while true do end end)
    assert.is_true(t:join(20))
    assert.equal(-15, t.exitcode)
  end)

  it("releases what <close> and with hold, and runs no closers", function()
    local lock, q = mp.Lock(), mp.Queue()
    ended(function(has)
      mp.atexit(function() q:put "closer" end)
      local _ <close> = lock:hold()
      has:set()
      while true do end
    end)
    assert.same({ true }, { lock:acquire(0) })
    lock:release()
    assert.is_true(q:empty())
  end)

  it("its children go on, and are the process's", function()
    local q, go, has = mp.Queue(), mp.Event(), mp.Event()
    local t = thread(function()
      q:put(mp.spawn(function() go:wait(20) return "process" end))
      q:put(mp.Thread { target = function() go:wait(20) return "thread" end }:start())
      q:put(mp.Process { daemon = true, target = mp.sleep, args = { 1000 } }:start())
      has:set()
      mp.sleep(1000)
    end)
    assert.is_true(has:wait(20))
    t:terminate()
    assert.is_true(t:join(20))
    local process, inner, daemon = q:get(20), q:get(20), q:get(20)
    assert.same({ true, true, false, -15 },
      { process:is_alive(), inner:is_alive(), daemon:is_alive(), daemon.exitcode })
    go:set()
    assert.same({ "process", "thread" }, { process:result(20), (inner:result(20)) })
    assert.same({ 0, 0 }, { process.exitcode, inner.exitcode })
  end)
end)

describe("Thread: with processes", function()
  it("a process started from a thread is a process", function()
    local q = mp.Queue()
    local t = thread(function()
      local p = mp.spawn(function()
        q:put { mp.current_thread() == nil, mp.current_process().name, mp.parent_process().pid, mp.getppid() }
        local blocked = io.open "/proc/self/status":read "a":match "SigBlk:%s*(%x+)"
        local inner = thread(function() return mp.current_thread().name end)
        return blocked, inner:result(20)
      end)
      return p.name, p:result(20)
    end)
    local name, blocked, inner = t:result(30)
    assert.same({ true, name, mp.getpid(), mp.getpid() }, q:get(20))
    assert.equal("0000000000000000", blocked)
    assert.truthy(inner:find "^Thread%-[%d:]+$")
  end)

  it("A28: a process waits for its threads, and not for daemons", function()
    local q = mp.Queue()
    local p = mp.spawn(function()
      mp.Thread { target = function() mp.sleep(0.1) q:put "waited for" end }:start()
      q:put(mp.Thread { daemon = true, target = mp.sleep, args = { 1000 } }:start())
    end)
    assert.is_true(p:join(20))
    local daemon = q:get(20)
    assert.equal("waited for", q:get(0))
    assert.same({ 0, -15 }, { p.exitcode, daemon.exitcode })
  end)

  it("a daemon that does not end in time is left behind", function()
    local q, mark = mp.Queue(), support.file "mark"
    local p = mp.spawn(function()
      q:put(mp.Thread { daemon = true, target = function()
        os.execute(("touch %s; exec sleep 4"):format(mark))
      end }:start())
      repeat
        mp.sleep(0.002)
        local file = io.open(mark)
      until file
    end)
    local daemon = q:get(20)
    local t = mp.time()
    assert.is_true(p:join(20))
    assert.is_true(mp.time() - t < 3.5)
    assert.same({ 0, true, -9 }, { p.exitcode, daemon:join(20), daemon.exitcode })
    support.clean()
  end)

  it("a daemonic process may have threads, a daemonic thread no children", function()
    local p = mp.Process { daemon = true, target = function() return thread(function() return 7 end):result() end }
    assert.equal(7, p:start():result(20))
    for _, kind in ipairs { "Process", "Thread" } do
      local t = mp.Thread { daemon = true, target = function()
        return pcall(function() mp[kind] { target = print }:start() end)
      end }
      local ok, why = t:start():result(20)
      assert.is_false(ok)
      assert.truthy(why:find(kind .. ":start: a daemonic thread may not have children", 1, true), why)
    end
  end)

  it("kill -9 of a process buries its threads: locks and items come back", function()
    local work, ready, threads = mp.JoinableQueue(), mp.Queue(), mp.Queue()
    local locks, sem = { mp.Lock(), mp.RLock(), mp.Lock() }, mp.Semaphore(3)
    for i = 1, 3 do work:put(i) end
    local p = mp.spawn(function()
      for i = 1, 3 do
        threads:put(thread(function()
          locks[i]:acquire()
          sem:acquire()
          ready:put(work:get())
          mp.sleep(1000)
        end))
      end
      mp.sleep(1000)
    end)
    local got = {}
    for i = 1, 3 do got[i] = ready:get(20) end
    table.sort(got)
    assert.same({ 1, 2, 3 }, got)
    assert.equal(0, sem.value)
    kill(p)
    for i = 1, 3 do
      assert.same({ true, "abandoned" }, { locks[i]:acquire(0) })
      locks[i]:release()
      assert.equal(i, (work:get(0)))
      work:task_done()
    end
    assert.equal(3, sem.value)
    for _ = 1, 3 do
      local t = threads:get(20)
      assert.is_true(t:join(20))
      assert.same({ false, -9 }, { t:is_alive(), t.exitcode })
    end
  end)

  it("one lock, one balance: threads and processes exclude each other", function()
    local lock, dict = mp.Lock(), mp.Dict { n = 0 }
    local function add()
      for _ = 1, 100 do lock:with(function() dict.n = dict.n + 1 end) end
    end
    local list = {}
    for i = 1, 6 do list[i] = mp[i % 2 == 0 and "Process" or "Thread"] { target = add }:start() end
    join(list)
    assert.equal(600, dict.n)
  end)
end)

describe("Thread: nothing is left", function()
  it("of a thousand: slots, objects, memory, descriptors, system threads", function()
    local function round(n)
      for i = 1, n do
        local t = thread(function(q)
          q:fileno()
          local _ <close> = mp.Lock():hold()
          return q
        end, mp.Queue())
        if i % 2 == 0 then t:terminate() end
        t:join()
        t:close()
      end
      collectgarbage()
      collectgarbage()
    end
    round(100)
    local fds, tasks, arena = count "fd", count "task", support.arena()
    local rss = tonumber(support.read "/proc/self/statm":match "%d+ (%d+)")
    round(1000)
    -- popen closes one end of its pipe a moment later
    eventually(function() return count "fd" <= fds and count "task" <= tasks end)
    support.given_back(arena)
    local now = tonumber(support.read "/proc/self/statm":match "%d+ (%d+)")
    if support.mode == "release" then assert.is_true(now - rss < 4096, ("%d pages"):format(now - rss)) end
  end)

  it("when the table of actors is full, start says so and works again", function()
    local path = support.script [[
      local mp = require "mp"
      mp.configure { processes = 8 }
      local go, list = mp.Event(), {}
      local ok, why
      repeat
        local t = mp.Thread { target = function() go:wait() end }
        ok, why = pcall(t.start, t)
        if ok then list[#list + 1] = t end
      until not ok
      print(#list, why:match "Thread:start: as many")
      go:set()
      for _, t in ipairs(list) do t:join() end
      print(mp.Thread { target = function() return "again" end }:start():result())]]
    local r = support.mprun { path }
    support.clean()
    assert.equal("8\tThread:start: as many\nagain\n", r.out .. r.err)
  end)
end)

describe("Thread: a program", function()
  after_each(support.clean)

  local function program(text, command)
    command = command or {}
    table.insert(command, 1, support.script(text, "program.lua"))
    return support.mprun(command)
  end

  it("reports an error of a thread with its name and traceback", function()
    local r = program [[
      mp.Thread { target = function() error "boom" end }:start()]]
    assert.equal(0, r.status)
    assert.truthy(r.err:find "^Thread%-1 %(pid %d+%): .-program.lua:1: boom\nstack traceback:\n", r.err)
  end)

  it("has the same tracebacks through our modules in its first thread and in later ones", function()
    local r = program [[
      local mp = require "mp"
      local function f()
        return (select(2, xpcall(require "mp.pool.map".start, debug.traceback)))
      end
      local first = mp.Thread { target = f }:start():result()
      print(first)
      for _ = 1, 3 do assert(first == mp.Thread { target = f }:start():result()) end
      assert(first == mp.Thread { target = function()
        return mp.spawn(function() return mp.Thread { target = f }:start():result() end):result()
      end }:start():result())]]
    assert.equal("", r.err)
    assert.truthy(r.out:find "mp/pool/map.lua:%d+: in function 'mp.pool.map.start'", r.out)
  end)

  it("waits for its threads at the end", function()
    local r = program [[
      mp.Thread { target = function() mp.sleep(0.1) print "done" end }:start()]]
    assert.same({ 0, "done\n", "" }, { r.status, r.out, r.err })
  end)

  it("has a flow's words in threads as well", function()
    local r = program [[
      print(mp.Thread { target = function() return type(flow), type(stage), rawget(_G, "mp") == mp end }
        :start():result())]]
    assert.same({ "table\tfunction\ttrue\n", "" }, { r.out, r.err })
  end)

  it("never tears a line", function()
    local r = program [[
      for i = 1, 4 do
        mp.Thread { target = function()
          for k = 1, 200 do io.write(tostring(i):rep(900 + k * 40), "\n") end
          for k = 1, 200 do print(i, i, i) end
        end }:start()
      end
      for k = 1, 200 do print(0, 0, 0) end]]
    local lines = 0
    for line in r.out:gmatch "([^\n]*)\n" do
      lines = lines + 1
      assert.equal("", (line:gsub("\t", ""):gsub(line:sub(1, 1), "")))
    end
    assert.same({ 1800, "" }, { lines, r.err })
  end)

  it("writes what was buffered once, whoever starts a process", function()
    local r = program [[
      io.write "first "
      local t = mp.Thread { target = function()
        io.write "thread "
        mp.spawn(function() io.write "child\n" end):join()
        io.write "end\n"
      end }:start()
      t:join()
      io.write "last\n"]]
    local words = {}
    for word in r.out:gmatch "%w+" do words[#words + 1] = word end
    table.sort(words)
    assert.same({ "child", "end", "first", "last", "thread" }, words)
  end)

  it("Ctrl-C ends the first thread, and that all others", function()
    local path = support.script([[
      mp.Thread { target = function() while true do end end }:start()
      mp.Thread { target = function()
        pcall(function() mp.Queue():get() end)
        while true do pcall(mp.sleep, 1) end
      end }:start()
      mp.Thread { target = function() mp.spawn(function() while true do end end):join() end }:start()
      local t = mp.Thread { target = function() mp.sleep(0.05) end }:start()
      t:join()
      io.popen("kill -INT " .. mp.getpid()):close()  -- os.execute would ignore it meanwhile
      while true do mp.sleep(1) end]], "program.lua")
    local t = mp.time()
    local r = support.mprun { path }
    assert.same({ 130, "mprun: interrupted\n" }, { r.status, r.err })
    assert.is_true(mp.time() - t < 20)
  end)

  it("is told of threads that wait for each other", function()
    local r = program [[
      local one, two, a, b = mp.Lock(), mp.Lock(), mp.Event(), mp.Event()
      mp.Thread { target = function() one:acquire() a:set() b:wait() two:acquire() end }:start()
      local t = mp.Thread { target = function() two:acquire() b:set() a:wait() one:acquire() end }:start()
      t:join()]]
    assert.equal(3, r.status)
    assert.truthy(r.err:find("deadlock: 2 threads wait for each other", 1, true), r.err)
    assert.truthy(r.err:find("Thread%-1 %(%d+%) +Lock #%d+ +Thread%-2 %(%d+%)"), r.err)
  end)

  it("ends while a thread reads from a terminal or a pipe", function()
    local r = support.run { "bash", "-c", ("sleep 5 | timeout 4 %s %s"):format(support.program,
      support.script [[
        local has = mp.Event()
        mp.Thread { daemon = true, target = function() has:set() io.read() end }:start()
        has:wait()
        mp.spawn(function() print "child" end):join()
        print "over"]]) }
    assert.same({ 0, "child\nover\n", "" }, { r.status, r.out, r.err })
  end)

  it("os.exit of the first thread is the program's", function()
    local r = program [[
      mp.Thread { daemon = true, target = function() while true do end end }:start()
      mp.Thread { target = function() mp.sleep(0.05) print "joined" end }:start()
      os.exit(5)]]
    assert.same({ 5, "joined\n" }, { r.status, r.out })
  end)
end)

describe("Thread: kill -9 of the program", function()
  it("leaves nothing of it", function()
    local ready = support.file "ready"
    local path = support.script(([[
      mp.Thread { target = function()
        local p = mp.spawn(function() mp.sleep(1000) end)
        local out = io.open(%q, "w")
        out:write(mp.getpid(), " ", p.pid, " ")
        out:close()
        while true do end
      end }:start():join()]]):format(ready))
    os.execute(("%s %s &"):format(support.program, path))
    local pids = {}
    eventually(function()
      local file = io.open(ready)
      if not file then return false end
      pids = { file:read("n", "n") }
      file:close()
      return #pids == 2
    end)
    os.execute("kill -9 " .. pids[1])
    for _, pid in ipairs(pids) do
      eventually(function()
        local file = io.open(("/proc/%d/stat"):format(pid))
        local state = file and file:read "a":match "%) (%a)"
        if file then file:close() end
        return not state or state == "Z"
      end)
    end
    support.clean()
  end)
end)
