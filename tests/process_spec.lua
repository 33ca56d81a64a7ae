-- process: mp.Process; the names in front of colons are the
-- lines of the list of behaviours. SPDX-License-Identifier: MIT
local mp = require "mp"
local support = require "tests.support"
local raises, eventually, kill, join = support.raises, support.eventually, support.kill, support.join

describe("Process: identity", function()
  it("A01: the current process", function()
    local me = mp.current_process()
    assert.equal("main", me.name)
    assert.is_true(me:is_alive())
    assert.is_false(me.daemon)
    assert.is_nil(me.exitcode)
    assert.equal(mp.getpid(), me.ident)
    assert.equal(mp.getpid(), me.pid)
    assert.equal(32, #me.authkey)
    assert.equal(me, mp.current_process())
    assert.is_nil(mp.parent_process())
  end)

  it("A03: arguments arrive as they are", function()
    for _, value in ipairs { 1, "two", { 1, 2, { 3 } }, 2.5 } do
      local p = mp.Process { target = function(v) return v end, args = { value } }
      assert.same(value, p:start():result(20))
    end
    local n = mp.spawn(function(...) return select("#", ...) end, nil, 2, nil):result(20)
    assert.equal(3, n)
    local p = mp.Process { target = function(a, k) return a, k.x end,
                           args = { 1 }, kwargs = { x = 2 } }
    assert.same({ 1, 2 }, { p:start():result(20) })
  end)

  it("A04: a daemon's flag is inherited unless it is given", function()
    assert.is_false(mp.Process {}.daemon)
    assert.is_true(mp.Process { daemon = true }.daemon)
    local p = mp.Process { daemon = true, target = function()
      return mp.Process {}.daemon, mp.Process { daemon = false }.daemon
    end }
    assert.same({ true, false }, { p:start():result(20) })
  end)

  it("A05: a child knows its creator", function()
    local name, pid, ppid = mp.spawn(function()
      local parent = mp.parent_process()
      return parent.name, parent.pid, mp.getppid()
    end):result(20)
    assert.same({ "main", mp.getpid(), mp.getpid() }, { name, pid, ppid })
  end)

  it("A06: a creator's death can be seen and waited for", function()
    local q, go = mp.Queue(), mp.Event()
    local p = mp.spawn(function()
      mp.spawn(function()
        local parent = mp.parent_process()
        q:put(parent:is_alive())
        q:put(parent:join(20))
        q:put(parent:is_alive())
      end)
      go:wait(20)
    end)
    assert.is_true(q:get(20))
    p:terminate()
    assert.is_true(q:get(20))
    assert.is_false(q:get(20))
    p:join()
  end)

  it("default names are counted by creator", function()
    local a, b = mp.Process {}, mp.Process {}
    local na, nb = tonumber(a.name:match "^Process%-(%d+)$"), tonumber(b.name:match "^Process%-(%d+)$")
    assert.equal(na + 1, nb)
    local p = mp.Process { name = "Named", target = function() return mp.Process {}.name end }
    local child = p:start():result(20)
    assert.equal(("Process-%d:1"):format(nb + 1), child)
  end)
end)

describe("Process: life", function()
  it("A07: before start", function()
    local p = mp.Process { target = function() end }
    assert.is_false(p:is_alive())
    assert.is_nil(p.exitcode)
    assert.is_nil(p.pid)
    assert.is_nil(p.ident)
    assert.equal(mp.current_process().authkey, p.authkey)
    assert.equal(0, #mp.active_children())
    raises("Process:join: it has not been started", p.join, p)
    raises("Process:terminate: it has not been started", p.terminate, p)
    raises("Process.sentinel: it has not been started", function() return p.sentinel end)
  end)

  it("A08 A09 A10 A11 A19: from start to join", function()
    local go = mp.Event()
    local p = mp.Process { name = "SomeProcess", target = function(a, b)
      go:wait(20)
      local me = mp.current_process()
      return a, b, me.name, me.authkey, me.pid
    end, args = { 1, "x" } }
    assert.equal(p, p:start())
    assert.is_true(p:is_alive())
    assert.is_nil(p.exitcode)
    local list = mp.active_children()
    assert.equal(1, list.n)
    assert.equal(p, list[1])
    assert.is_not.equal(list, mp.active_children())
    go:set()
    assert.is_true(p:join())
    assert.equal(0, p.exitcode)
    assert.is_false(p:is_alive())
    assert.equal(0, #mp.active_children())
    assert.same({ 1, "x", "SomeProcess", mp.current_process().authkey, p.pid }, { p:result() })
    raises("Process:start: it was started before", p.start, p)
    assert.is_true(p:join())
  end)

  it("A13: join with a timeout", function()
    local p = mp.spawn(mp.sleep, 20)
    assert.same({ nil, "timeout" }, { p:join(0) })
    assert.same({ nil, "timeout" }, { p:join(-1) })
    local t = mp.time()
    assert.same({ nil, "timeout" }, { p:join(0.1) })
    assert.is_true(mp.time() - t >= 0.099)
    assert.same({ nil, "timeout" }, { p:result(0) })
    assert.is_true(p:is_alive())
    kill(p)
  end)

  it("A14, A15: terminate and kill", function()
    local a, b = mp.spawn(mp.sleep, 20), mp.spawn(mp.sleep, 20)
    a:terminate()
    assert.is_true(a:join(10))
    assert.equal(-15, a.exitcode)
    assert.is_true(a:join())
    kill(b)
    b:kill()  -- nobody else's pid is hit
    raises(("%s (pid %d) killed by SIGKILL"):format(b.name, b.pid), b.result, b)
  end)

  it("A16, A17: SIGINT is left to the first process unless it is asked for", function()
    local ready = mp.Event()
    local p = mp.spawn(function()
      ready:set()
      mp.sleep(0.2)
      return "lived"
    end)
    ready:wait()
    os.execute("kill -INT " .. p.pid)
    assert.equal("lived", p:result(20))
    ready:clear()
    p = mp.spawn(function()
      mp.on_signal("INT", nil)
      ready:set()
      mp.sleep(20)
    end)
    ready:wait()
    os.execute("kill -INT " .. p.pid)
    p:join(20)
    assert.equal(-2, p.exitcode)
  end)

  it("A20: children start children", function()
    local q = mp.Queue()
    local function tree(path, depth)
      q:put(path)
      if depth == 0 then return end
      for i = 0, 1 do mp.spawn(tree, path .. i, depth - 1):join() end
    end
    mp.spawn(tree, "", 2):join()
    local got = {}
    for i = 1, 7 do got[i] = q:get(20) end
    assert.same({ "", "0", "00", "01", "1", "10", "11" }, got)
  end)

  it("A36: a child has queues and daemons of its own", function()
    assert.equal("from its daemon", mp.spawn(function()
      local q = mp.Queue()
      mp.Process { daemon = true, target = function()
        q:put "from its daemon"
        mp.sleep(60)
      end }:start()
      return (q:get(20))
    end):result(30))
  end)

  it("A41: a child finds the modules that its creator finds", function()
    local path, preload = package.path, package.preload
    package.path = "/nowhere/?.lua;" .. path
    preload["process_spec.given"] = function() return { v = 7 } end
    local seen, v = mp.spawn(function()
      return package.path, require "process_spec.given".v
    end):result(20)
    package.path, preload["process_spec.given"] = path, nil
    assert.same({ "/nowhere/?.lua;" .. path, 7 }, { seen, v })
  end)

  it("A46: two levels of children share a queue", function()
    local p = mp.spawn(function()
      local q, list = mp.Queue(), {}
      for i = 1, 2 do list[i] = mp.spawn(function() q:put(i) end) end
      for _, child in ipairs(list) do child:join() end
      return q:get(20) + q:get(20)
    end)
    assert.equal(3, p:result(30))
    assert.equal(0, p.exitcode)
  end)

  it("A21: a sentinel is a descriptor", function()
    local p = mp.spawn(mp.sleep, 20)
    local fd = p.sentinel
    assert.equal("integer", math.type(fd))
    assert.equal(fd, p.sentinel)
    assert.is_true(fd > 2)
    kill(p)
  end)

  it("A22: close", function()
    local p = mp.spawn(mp.sleep, 20)
    raises("Process:close: it still runs", p.close, p)
    kill(p)
    p:close()
    p:close()
    for _, name in ipairs { "is_alive", "join", "terminate", "kill", "start" } do
      raises("closed here", p[name], p)
    end
  end)

  it("A23, A26: nothing keeps a process that ended, nor its target", function()
    local weak = setmetatable({}, { __mode = "k" })
    do
      local big = { "big" }
      weak[big] = true
      local p = mp.Process { target = function(v) return v[1] end, args = { big } }
      weak[p] = true
      assert.equal("big", p:start():result(20))
    end
    mp.active_children()
    collectgarbage()
    collectgarbage()
    assert.is_nil(next(weak))
  end)

  it("A24, A25: a hundred at once", function()
    local list = {}
    for i = 1, 100 do list[i] = mp.spawn(mp.sleep, 0.01) end
    for _, p in ipairs(list) do
      p:join()
      assert.equal(0, p.exitcode)
    end
    for i = 1, 100 do list[i] = mp.spawn(mp.sleep, 20) end
    mp.sleep(0.001)
    for _, p in ipairs(list) do p:terminate() end
    for _, p in ipairs(list) do
      assert.is_true(p:join(20))
      assert.equal(-15, p.exitcode)
    end
    assert.equal(0, #mp.active_children())
  end)

  it("A27: a child has none of its siblings' descriptors", function()
    local function count()
      -- popen itself closes one end of its pipe a moment later
      local pipe = io.popen "sleep 0.1; ls /proc/$PPID/fd | wc -l"
      local n = tonumber(pipe:read "a")
      pipe:close()
      return n
    end
    collectgarbage()  -- of files that the test runner left open
    collectgarbage()
    local go, q, list = mp.Event(), mp.Queue(), {}
    for i = 1, 5 do
      list[i] = mp.spawn(function()
        q:put(count())
        go:wait(20)
      end)
      assert.truthy(list[i].sentinel)
      list[i]:join(0)  -- opens one as well
    end
    local first = q:get(20)
    for _ = 2, 5 do assert.equal(first, q:get(20)) end
    go:set()
    join(list)
  end)

  it("any process may join any other, itself excepted", function()
    local p = mp.spawn(mp.sleep, 0.1)
    local other = mp.spawn(function()
      return p:join(20), p.exitcode
    end)
    assert.same({ true, 0 }, { other:result(20) })
    local me = mp.current_process()
    raises("Process:join: a process cannot join itself", me.join, me)
  end)

  it("a process can be sent to another one", function()
    local q = mp.Queue()
    local worker = mp.spawn(function()
      local p = q:get(20)
      p:kill()
      return p:join(20), p.exitcode, p.name
    end)
    local p = mp.Process { name = "Victim", target = mp.sleep, args = { 20 } }
    q:put(p:start())
    assert.same({ true, -9, "Victim" }, { worker:result(20) })
  end)
end)

describe("Process: outcome", function()
  it("A33, A34: os.exit as Lua has it", function()
    local function code(...)
      local args = table.pack(...)
      local p = mp.spawn(function() os.exit(table.unpack(args, 1, args.n)) end)
      p:join()
      return p.exitcode
    end
    assert.equal(0, code())
    assert.equal(0, code(true))
    assert.equal(1, code(false))
    assert.equal(8, code(8))
    assert.equal(0, code(true, true))
  end)

  it("results: all values, nil among them, handles too", function()
    local r = table.pack(mp.spawn(function() return 1, nil, false, nil end):result(20))
    assert.same({ 1, nil, false, nil, n = 4 }, r)
    assert.equal(0, select("#", mp.spawn(function() end):result(20)))
    local q = mp.spawn(function()
      local inner = mp.Queue()
      inner:put "from the dead"
      return inner
    end):result(20)
    collectgarbage()
    assert.equal("from the dead", q:get(20))
    local big = ("x"):rep(3 << 20)
    assert.equal(big, mp.spawn(function() return big end):result(20))
  end)

  it("a result that cannot travel is the result's error", function()
    local p = mp.spawn(function() return coroutine.create(print) end)
    p:join()
    assert.equal(0, p.exitcode)
    raises("cannot send a coroutine", p.result, p)
  end)

  it("A32: an uncaught error", function()
    local p = mp.spawn(function() error "boom" end)
    p:join()
    assert.equal(1, p.exitcode)
    local e = p.error
    assert.equal("Error", e.name)
    assert.truthy(e.message:find("boom", 1, true))
    assert.truthy(e.traceback:find("process_spec.lua", 1, true))
    assert.falsy(e.traceback:find("mp/actor.lua", 1, true))
    assert.same({ p.name, p.pid, 1 }, { e.process, e.pid, e.exitcode })
    assert.equal(1, tostring(e):find("Error: ", 1, true))
    raises("boom\n\nremote stack traceback", p.result, p)
  end)

  it("an error that is a table arrives as an equal table", function()
    local p = mp.spawn(function() error { code = 5, list = { 1, 2 } } end)
    p:join()
    local ok, value = pcall(p.result, p)
    assert.is_false(ok)
    assert.same({ code = 5, list = { 1, 2 } }, value)
    assert.same(value, p.error.value)
  end)

  it("an error that cannot travel arrives as its text", function()
    local p = mp.spawn(function()
      error(setmetatable({ co = coroutine.create(print) }, { __tostring = function() return "odd" end }))
    end)
    p:join()
    assert.equal("odd", p.error.message)
    local ok, value = pcall(p.result, p)
    assert.is_false(ok)
    assert.equal("odd", value.message)
  end)

  it("A35: closers run last first, also after os.exit and an error", function()
    local q = mp.Queue()
    local function register()
      mp.atexit(function() q:put "first" end)
      mp.atexit(function() q:put "last" end)
    end
    for _, f in ipairs { function() end, function() os.exit(3) end, function() error "x" end } do
      mp.spawn(function()
        register()
        f()
      end):join()
      assert.same({ "last", "first" }, { q:get(20), q:get(20) })
      assert.is_true(q:empty())
    end
  end)

  it("a coroutine is no place to yield from", function()
    local p = mp.spawn(function() coroutine.yield(1) end)
    p:join()
    assert.equal(1, p.exitcode)
  end)

  it("os.exit works anywhere", function()
    local p = mp.spawn(function()
      coroutine.wrap(function() pcall(function() os.exit(9) end) end)()
    end)
    p:join()
    assert.equal(9, p.exitcode)
  end)

  it("math.random is seeded afresh", function()
    local function roll() return math.random(1 << 40) end
    local a, b = mp.spawn(roll):result(20), mp.spawn(roll):result(20)
    assert.is_not.equal(a, b)
  end)
end)

describe("Process: subclasses", function()
  it("A31: a subclass with fields of its own", function()
    local Upper = mp.Process:extend()
    function Upper:init(input, output)
      self.input, self.output = input, output
      self.name = "Upper"
    end
    function Upper:run()
      for text in self.input:items() do self.output:put(text:upper()) end
      return self.name
    end
    assert.equal(mp.Process, Upper.super)
    local a, b = mp.Queue(), mp.Queue()
    local p = Upper(a, b)
    p:start()
    a:put "hello"
    assert.equal("HELLO", b:get(20))
    a:close()
    assert.equal("Upper", p:result(20))
  end)

  it("run called directly runs here, and again", function()
    local n = 0
    local p = mp.Process { target = function(k) n = n + k end, args = { 2 } }
    p:run()
    p:run()
    assert.equal(4, n)
    assert.is_nil(p.pid)
  end)

  it("a subclass may use its parent's init", function()
    local Base = mp.Process:extend()
    function Base:init(n)
      Base.super.init(self, { target = function() return n, self.extra end, daemon = true })
    end
    local Derived = Base:extend()
    function Derived:init(n)
      Derived.super.init(self, n)
      self.extra = "extra"
    end
    local p = Derived(7)
    assert.is_true(p.daemon)
    assert.same({ 7, "extra" }, { p:start():result(20) })
  end)
end)

describe("Process: daemons and orphans", function()
  it("a daemon may not have children", function()
    local p = mp.Process { daemon = true, target = function()
      return pcall(mp.spawn, function() end)
    end }
    local ok, why = p:start():result(20)
    assert.is_false(ok)
    assert.truthy(why:find("Process:start: a daemonic process may not have children", 1, true))
  end)

  it("children are joined before their creator ends, daemons ended", function()
    local q = mp.Queue()
    local p = mp.spawn(function()
      mp.spawn(function()
        mp.sleep(0.2)
        q:put "ordinary"
      end)
      q:put(mp.Process { daemon = true, target = function()
        mp.sleep(20)
        q:put "daemon"
      end }:start())
    end)
    local t = mp.time()
    assert.is_true(p:join(20))
    assert.is_true(mp.time() - t < 10)
    local daemon = q:get(20)
    assert.equal("ordinary", q:get(20))
    assert.is_false(daemon:is_alive())
    assert.equal(-15, daemon.exitcode)
    assert.is_true(q:empty())
  end)

  it("a killed creator's children go on, its daemons end", function()
    local q, go, ready = mp.Queue(), mp.Event(), mp.Event()
    local p = mp.spawn(function()
      q:put(mp.spawn(function()
        go:wait(20)
        return "went on"
      end))
      q:put(mp.Process { daemon = true, target = function()
        mp.on_signal("TERM", function() end)  -- so it takes SIGKILL
        ready:set()
        for _ = 1, 100 do mp.sleep(1) end
      end }:start())
      mp.sleep(20)
    end)
    local child, daemon = q:get(20), q:get(20)
    assert.is_true(ready:wait(20))
    kill(p)
    local t = mp.time()
    assert.is_true(daemon:join(20))
    assert.is_true(mp.time() - t > 0.5)
    assert.equal(-9, daemon.exitcode)
    assert.is_true(child:is_alive())
    go:set()
    assert.equal("went on", child:result(20))
    assert.equal(0, child.exitcode)
  end)

  it("what a killed process held is free when join returns", function()
    local l, ready = mp.Lock(), mp.Event()
    local p = mp.spawn(function()
      l:acquire()
      ready:set()
      mp.sleep(20)
    end)
    ready:wait()
    kill(p)
    assert.same({ true, "abandoned" }, { l:acquire(0) })
    l:release()
  end)
end)

describe("Process: misuse", function()
  it("names the call and what was wrong", function()
    raises("mp.Process: unknown option 'tagret'", mp.Process, { tagret = print })
    raises("mp.Process: target must be a function, got number", mp.Process, { target = 5 })
    raises("mp.Process: args must be a list, got string", mp.Process, { args = "x" })
    raises("mp.Process: the function goes into target=", mp.Process, { print })
    for _, name in ipairs { "start", "run", "result" } do
      raises("Process:" .. name .. ": expected a Process, got nil (call it with a colon)",
             mp.Process[name])
    end
    raises("Process:result: it has not been started", mp.Process.result, mp.Process {})
    raises("mp.Process: expected a table such as", mp.Process, print)
    raises("mp.spawn: expected a function, got nil", mp.spawn)
    raises("mp.atexit: expected a function", mp.atexit, 1)
    raises("Process:join: expected a Process, got table", mp.Process.join, {})
    local p = mp.spawn(function() end)
    raises("the timeout must be a number of seconds", p.join, p, "x")
    raises("Process.name: it can only be set before start", function() p.name = "x" end)
    raises("Process.daemon: it can only be set before start", function() p.daemon = true end)
    raises("Process.pid: it cannot be set", function() p.pid = 1 end)
    p:join()
  end)

  it("a process made elsewhere is started there", function()
    local q = mp.Queue()
    q:put(mp.Process { target = print })
    local p = mp.spawn(function() return pcall(q:get().start) end)
    p:join()
    local r = mp.spawn(function()
      local made = mp.spawn(function() return mp.Process {} end):result(20)
      return made == nil
    end)
    r:join()
    assert.truthy(r.exitcode)
  end)
end)

describe("Module", function()
  it("A18: cpu_count", function()
    assert.equal("integer", math.type(mp.cpu_count()))
    assert.is_true(mp.cpu_count() >= 1)
  end)

  it("time and sleep", function()
    local t = mp.time()
    mp.sleep(0.05)
    assert.is_true(mp.time() - t >= 0.05)
    raises("mp.sleep: the timeout must not be negative", mp.sleep, -1)
  end)

  it("version", function()
    assert.truthy(mp.version:match "^%d+%.%d+%.%d+$")
  end)

  it("on_signal: in a loop, in a wait, and an error in it", function()
    local got = {}
    mp.on_signal("SIGUSR1", function(name) got[#got + 1] = name end)
    os.execute("kill -USR1 " .. mp.getpid())
    eventually(function() return got[1] end)
    local pid = mp.getpid()
    local p = mp.spawn(function()
      mp.sleep(0.1)
      os.execute("kill -USR1 " .. pid)
      mp.sleep(0.2)
    end)
    local t = mp.time()
    assert.is_true(p:join(20))  -- goes on after the handler
    assert.is_true(mp.time() - t > 0.25)
    assert.same({ "SIGUSR1", "SIGUSR1" }, got)
    mp.on_signal("USR1", function() error "enough" end)
    p = mp.spawn(function()
      mp.sleep(0.1)
      os.execute("kill -USR1 " .. pid)
    end)
    raises("enough", mp.sleep, 20)
    p:join()
    mp.on_signal("USR1", nil)
    raises("SIGKILL cannot be caught", mp.on_signal, "KILL", print)
    raises("no signal 'FOO'", mp.on_signal, "FOO", print)
  end)

  it("configure", function()
    mp.current_process()
    raises("mp.configure: unknown option 'mem'", mp.configure, { mem = 1 })
    raises("mp.configure: start must be \"fork\"", mp.configure, { start = "spawn" })
    raises("before the first object", mp.configure, { memory = 1 << 20 })
  end)

  it("is one and the same after package.loaded was emptied", function()
    package.loaded.mp, package.loaded["mp.error"] = nil, nil
    assert.equal(mp, require "mp")
  end)
end)
