-- signal: what a signal does to a wait and to the helper process, what a
-- runtime leaves of a program's own handling, and closers.
--
-- SPDX-License-Identifier: MIT
local mp = require "mp"
local support = require "tests.support"

-- Signals this process from a child, so that we are in the wait by then: the
-- child looks until we sleep.
local function signal_me(name, what)
  local pid = mp.getpid()
  return mp.spawn(function()
    local state
    repeat
      local f = assert(io.open("/proc/" .. pid .. "/stat"))
      state = f:read("a"):match ".*%) (%u)"
      f:close()
    until state == "S"
    os.execute(("kill -%s %d"):format(name, pid))
    if what then return what() end
  end)
end

-- A script that is sent a signal, once, when its first process sleeps or has
-- called go(); and another process that would go on for long.
local SIGNALLED = [[
local mp = require "mp"
local q, going, main = mp.Queue(), mp.Event(), mp.getpid()
local function go() going:set() end
local function waits() return q:get() end
mp.spawn(mp.sleep, 1000)
mp.spawn(function()
  local state
  repeat
    local f = assert(io.open("/proc/" .. main .. "/stat"))
    state = f:read("a"):match ".*%) (%u)"
    f:close()
  until state == "S" or going:is_set()
  os.execute("kill -SIGNAL " .. main)
end)
]]

local function signalled(signal, text)
  local path = support.script(SIGNALLED:gsub("SIGNAL", signal) .. text)
  return support.run { "env", "--default-signal=INT", support.program, path, seconds = 30 }
end

-- What Lua's own functions give, and those of mprun as well.
local PROTECTED = [=[
local function show(...)
  local t = table.pack(...)
  for i = 1, t.n do
    t[i] = type(t[i]) == "string" and t[i] or type(t[i]) == "table" and "table" or tostring(t[i])
  end
  print(table.concat(t, "\t"))
end
local function fails(e) error(e) end
local function fails_deeply(n) if n == 0 then fails "oops" end fails_deeply(n - 1) return n end
local closes = setmetatable({}, { __close = function(_, e) show("closed", e) end })
local function holds(...)
  local _ <close> = closes
  return (...)(select(2, ...))
end

local function all()
  show(pcall(fails, "a"))
  show(pcall(fails, {}))
  show(pcall(fails))
  show(pcall(select, 2, "x", "y", nil, nil))
  show(pcall(holds, fails, "b"))
  show(pcall(pcall))
  show(pcall(pcall, fails, "c"))
  show(pcall(xpcall, fails))
  show(pcall(xpcall, fails, 1))
  show(pcall(1))
  show(xpcall(select, print, 2, "x", "y", nil))
  show(xpcall(fails_deeply, debug.traceback, 3))
  show(xpcall(fails_deeply, function(e) return debug.traceback(e) end, 2))
  show(xpcall(fails_deeply, function(e) return debug.traceback(e, 2), "lost" end, 2))
  show(xpcall(pcall, debug.traceback, fails_deeply, 2))
  show(xpcall(fails, error, {}))
  show(xpcall(holds, function() return "handled" end, fails, "d"))
  show(pcall(string.rep, "x", -1))
  show(pcall(string.rep, "x", 1 << 60))
  show(pcall(function() local function f() return f() + 1 end return f() end) == false)
  show(pcall(coroutine.resume))
  show(pcall(coroutine.resume, 1))
  show(pcall(coroutine.wrap))
  show(pcall(coroutine.wrap, 1))
  show(pcall(coroutine.close, 1))
  show(pcall(coroutine.close, coroutine.running()))
  show(pcall(function() coroutine.wrap(coroutine.close)(coroutine.running()) end))
  show(coroutine.resume(coroutine.create(fails), "e"))
  show(coroutine.resume(coroutine.create(fails), {}))
  show(pcall(coroutine.wrap(fails), "f"))
  show(pcall(coroutine.wrap(fails), {}))
  show(pcall(coroutine.wrap(holds), fails, "g"))
  show(pcall(function() return coroutine.wrap(fails)("h") end))
  show(xpcall(coroutine.wrap(fails), debug.traceback, "i"))

  local co = coroutine.create(holds)
  show(coroutine.resume(co, coroutine.yield, 1, 2, 3))
  show(coroutine.status(co), coroutine.close(co), coroutine.status(co))
  show(coroutine.resume(co))
  co = coroutine.create(holds)
  show(coroutine.resume(co, fails, "j"))
  show(coroutine.close(co))
  local wrapped = coroutine.wrap(function(...) return coroutine.yield(...) end)
  show(wrapped(1, nil, 3))
  show(wrapped(4, nil))
  show(pcall(wrapped))
  show(coroutine.resume(coroutine.running()))

  -- yields across them
  co = coroutine.wrap(function()
    local got = table.pack(pcall(function(a)
      local b = coroutine.yield(a + 1)
      local _ <close> = closes
      show(xpcall(function() fails(coroutine.yield(b + 1)) end, debug.traceback))
      show(xpcall(coroutine.yield, debug.traceback, "x", "y"))
      error "last"
    end, 1))
    return table.unpack(got)
  end)
  show(co())
  show(co(10))
  show(co "k")
  show(co(nil, false, nil))
end

-- In a coroutine, the frames below which are nobody's.
local co = coroutine.create(all)
local ok, e = coroutine.resume(co)
if not ok then print(debug.traceback(co, e)) end
]=]

-- Prints how the script's process treats signals before and after there is a
-- runtime, then what the rest prints.
local MASKS = [[
local mp = require "mp"
local function masks()
  local f = assert(io.open "/proc/self/status")
  local text = f:read "a"
  f:close()
  return text:match "(SigBlk.-)CapInh"
end
local before = masks()
local q = mp.Queue()
q:put(1)
print(before == masks() and "the same" or before .. masks())
]]

-- The pid of the process that keeps watch.
local KEEPER = [[
local function keeper()
  for _ = 1, 500 do  -- it takes a moment to name itself
    local f = assert(io.open(("/proc/%d/task/%d/children"):format(mp.getpid(), mp.getpid())))
    for pid in f:read("a"):gmatch "%d+" do
      local c = io.open("/proc/" .. pid .. "/comm")
      if c and c:read "l" == "mprun-keeper" then return pid end
    end
    mp.sleep(0.01)
  end
end
]]

describe("signals", function()
  after_each(function()
    mp.on_signal("USR1", nil)
    support.clean()
  end)

  it("S01: a handler runs during join, which goes on", function()
    local got = 0
    mp.on_signal("SIGUSR1", function() got = got + 1 end)
    local q = mp.Queue()
    local p = signal_me("USR1", function() return q:get() end)
    local feeder = mp.spawn(function()
      mp.sleep(0.3)
      q:put(7)
    end)
    assert.is_true(p:join())
    assert.equal(1, got)
    assert.equal(0, p.exitcode)
    assert.equal(7, p:result())
    feeder:join()
  end)

  it("S02: a handler runs while a put of 16 MiB waits; the item arrives whole", function()
    local got = 0
    mp.on_signal("SIGUSR1", function() got = got + 1 end)
    local q, big = mp.Queue(1), ("x"):rep((16 << 20) + 1)
    q:put "first"
    local p = signal_me("USR1", function()
      mp.sleep(0.1)
      return q:get(), #q:get()
    end)
    assert.is_true(q:put(big))
    assert.equal(1, got)
    assert.same({ "first", #big }, { p:result() })
  end)

  it("S04, S05: the helper process takes no notice of SIGINT and SIGTERM", function()
    local r = support.mprun { support.script(KEEPER:gsub("^", [[
local mp = require "mp"
local q = mp.Queue()
]]) .. [[
local pid = keeper()
for _, name in ipairs { "INT", "TERM", "HUP" } do os.execute("kill -" .. name .. " " .. pid) end
mp.sleep(0.1)
local p = mp.spawn(function() mp.Lock():acquire() os.exit(3) end)
p:join()
print(p.exitcode, keeper() == pid)
]]) }
    assert.equal("3\ttrue\n", r.out, r.err)
    assert.equal("", r.err)
  end)

  it("S06: a runtime leaves the blocked, ignored and caught signals as they were", function()
    local path = support.script(MASKS)
    assert.equal("the same\n", support.mprun { path }.out)
    local r = support.run { "sh", "-c", 'trap "" USR2; exec "$0" "$1"', support.program, path }
    assert.equal("the same\n", r.out, r.err)
    if support.mode ~= "asan" then
      r = support.run { support.lua, path, env = { LUA_CPATH = support.build .. "/?.so" } }
      assert.equal("the same\n", r.out, r.err)
    end
  end)
end)

-- Scripts that never end by themselves.
local ENDLESS = {
  ["pcall"] = "while true do pcall(q.get, q) end",
  ["pcall in pcall"] = [[
    while true do
      pcall(function()
        while true do pcall(pcall, pcall, waits) end
      end)
    end]],
  ["pcall, without a wait"] = [[
    go()
    while true do pcall(function() for i = 1, 1e5 do end end) end]],
  ["xpcall"] = [[
    local function handler(e) print "handled" return debug.traceback(tostring(e)) end
    while true do
      xpcall(xpcall, handler, waits, debug.traceback)
      xpcall(waits, handler)
    end]],
  ["xpcall, without a wait"] = [[
    go()
    while true do
      xpcall(function() for i = 1, 1e5 do end end, function() print "handled" end)
    end]],
  ["a coroutine"] = [[
    while true do
      coroutine.resume(coroutine.create(function()
        while true do
          xpcall(waits, tostring)
          coroutine.resume(coroutine.create(waits))
        end
      end))
    end]],
  ["a wrapped coroutine"] = [[
    local function handler() print "handled" end
    while true do xpcall(coroutine.wrap(coroutine.wrap(waits)), handler) end]],
  ["a coroutine, without a wait"] = [[
    go()
    coroutine.wrap(coroutine.wrap(function() while true do end end))()]],
  ["a coroutine, when the one in it has yielded"] = [[
    go()
    local inner = coroutine.wrap(function() while true do coroutine.yield() end end)
    coroutine.resume(coroutine.create(function()
      inner()
      while true do end
    end))]],
  ["a coroutine that has yielded"] = [[
    local co = coroutine.wrap(function()
      while true do
        xpcall(function()
          pcall(coroutine.yield)
          waits()
        end, function() print "handled" end)
      end
    end)
    while true do pcall(co) end]],
  ["coroutine.close"] = [[
    while true do
      local co = coroutine.create(function()
        local _ <close> = setmetatable({}, { __close = waits })
        coroutine.yield()
      end)
      coroutine.resume(co)
      coroutine.close(co)
    end]],
  ["an executor"] = [[
    local ex <close> = mp.ProcessPoolExecutor(2)
    local f = ex:submit(mp.sleep, 1000)
    while true do pcall(f.result, f) end]],
  ["the end, which waits for a pool's tasks"] = [[
    local pool = mp.Pool(2)
    pool:apply_async(mp.sleep, { 1000 })
    mp.atexit(go)]],
  ["a pool's map"] = [[
    local pool <close> = mp.Pool(2)
    while true do pcall(pool.map, pool, mp.sleep, { 1000, 1000, 1000 }) end]],
  ["a method of ours that catches errors"] = [[
    local t = mp.Timer(1000, print)
    t:start()
    while true do pcall(t.join, t) end]],
}

describe("Ctrl-C", function()
  after_each(support.clean)

  for what, text in pairs(ENDLESS) do
    it("ends a script through " .. what, function()
      local r = signalled("INT", text)
      assert.same({ "", "mprun: interrupted\n", 130 }, { r.out, r.err, r.status })
    end)
  end

  it("so does SIGTERM", function()
    local r = signalled("TERM", ENDLESS["pcall"])
    assert.same({ "", "mprun: terminated\n", 143 }, { r.out, r.err, r.status })
  end)

  it("closes what is to be closed on its way, in coroutines as well", function()
    local r = signalled("INT", [[
      local function closes(name)
        return setmetatable({}, { __close = function(_, e)
          print(name, e.name, pcall(error, "another", 0))
        end, __gc = function() print(name, "is collected") end })
      end
      local function handler() print "handled" end
      pcall(function()
        local _ <close> = closes "pcall"
        coroutine.resume(coroutine.create(function()
          local _ <close> = closes "coroutine"
          xpcall(coroutine.wrap(function()
            local _ <close> = closes "wrap"
            xpcall(waits, handler)
          end), handler)
        end))
      end)
    ]])
    assert.equal([[
wrap	Interrupted	false	another
coroutine	Interrupted	false	another
pcall	Interrupted	false	another
]], r.out:match "^.-pcall[^\n]*\n", r.err)
    for _, name in ipairs { "wrap", "coroutine", "pcall" } do
      assert.truthy(r.out:find(name .. "\tis collected\n", 1, true), r.out)
    end
    assert.same({ "mprun: interrupted\n", 130 }, { r.err, r.status })
  end)

  it("a script handles it by mp.on_signal; what that raises is an error like others", function()
    local r = signalled("INT", [[
      mp.on_signal("INT", function(name) error("got " .. name, 0) end)
      print(pcall(q.get, q))
      for _, p in ipairs(mp.active_children()) do p:kill() end
    ]])
    assert.same({ "false\tgot SIGINT\n", "", 0 }, { r.out, r.err, r.status })
  end)

  it("in a closer ends that one; the others run, and the status says so", function()
    local r = signalled("INT", [[
      mp.atexit(function() print "last" end)
      mp.atexit(waits)
    ]])
    assert.same({ "last\n", "mprun: interrupted\n", 130 }, { r.out, r.err, r.status })
  end)

  it("other errors are caught as Lua's own functions catch them", function()
    local path = support.script(PROTECTED)
    local ours, luas = support.mprun { path }, support.run { support.lua, path }
    assert.equal("", luas.err)
    assert.truthy(luas.out:find("last\n$"), luas.out)  -- it came to its end
    assert.equal(luas.out, ours.out)
    assert.equal("", ours.err)
  end)
end)

describe("closers", function()
  it("U01: run once, the last registered first; what they register runs too", function()
    local q = mp.Queue()
    mp.spawn(function()
      for _, name in ipairs { "a", "b", "c" } do
        mp.atexit(function()
          q:put(name)
          if name == "b" then mp.atexit(function() q:put "d" end) end
        end)
      end
    end):join()
    assert.same({ n = 4, "c", "b", "d", "a" }, q:get_many(9))
  end)

  it("U01: an error in one is reported and stops no other", function()
    local r = support.mprun { support.script [[
local mp = require "mp"
mp.spawn(function()
  mp.atexit(function() print "last" end)
  mp.atexit(function() error "oops" end)
end):join()
]] }
    assert.equal("last\n", r.out)
    assert.truthy(r.err:find("Process%-1 %(pid %d+%): .*oops"), r.err)
    support.clean()
  end)

  it("U02: objects go while others are made, and while a put collects", function()
    local q = mp.Queue()
    for i = 1, 2000 do
      local pair = { mp.Queue(), mp.Event() }
      pair[3] = pair
      q:put { i, pair[1] }
      if i % 100 == 0 then collectgarbage() end
    end
    for i = 1, 2000 do
      local item = q:get()
      assert.equal(i, item[1])
      assert.is_true(item[2]:empty())
    end
  end)

  it("V07: what is dropped leaves no object behind", function()
    local r = support.mprun { support.script [[
local mp = require "mp"
mp.configure { memory = 64 << 20 }
for _ = 1, 30000 do
  local q = mp.Queue()
  q:put("x")
end
for _ = 1, 100000 do mp.Event() end
print "done"
]] }
    assert.equal("done\n", r.out, r.err)
    support.clean()
  end)
end)
