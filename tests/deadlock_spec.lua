-- deadlock: nothing hangs silently, and nothing that goes on is called stuck.
-- Each case is a script of its own; all of them run at once, before the tests.
--
-- SPDX-License-Identifier: MIT

local support = require "tests.support"

local PARTS = [[
local mp = require "mp"

-- n processes in a circle of as many locks; what a process needs, when all
-- have one
local function circle(n)
  local locks, ready, go = {}, mp.Queue(), mp.Event()
  for i = 1, n do locks[i] = mp.Lock() end
  local list = {}
  for i = 1, n do
    list[i] = mp.spawn(function()
      locks[i]:acquire()
      ready:put(i)
      go:wait()
      locks[i % n + 1]:acquire()
    end)
  end
  for _ = 1, n do ready:get() end
  go:set()
  return list
end

local function waits(q) return q:get() end
]]

-- lines: of the second acquire in circle, and of a case's own first
local CIRCLE = select(2, PARTS:match "(.*)locks%[i %% n":gsub("\n", "")) + 1
local FIRST = select(2, PARTS:gsub("\n", "")) + 1

-- name -> { script, stdin = a shell command, program }
local cases = {}
local function case(name, script, how)
  how = how or {}
  how.script = PARTS .. script
  cases[name] = how
  cases[#cases + 1] = name
end

local results

local function run_all()
  local words, found = {}, {}
  for i, name in ipairs(cases) do
    local how = cases[name]
    local r = { path = support.script(how.script, ("case%d.lua"):format(i)) }
    for _, what in ipairs { "out", "err", "ended" } do r[what] = support.file(what) end
    found[name] = r
    words[#words + 1] = ("{ %s timeout -k 5 90 %s %s %s >%s 2>%s; echo $? >%s; } &"):format(
      how.stdin and ("{ %s; } |"):format(how.stdin) or "", how.program or support.quote(support.program),
      r.path, how.stdin and "" or "</dev/null", r.out, r.err, r.ended)
  end
  words[#words + 1] = "wait"
  os.execute(("bash -c %s"):format(support.quote(table.concat(words, "\n"))))
  for _, r in pairs(found) do
    r.status = tonumber(support.read(r.ended))
    r.out, r.err = support.read(r.out), support.read(r.err)
  end
  return found
end

-- { headline, rows = { { process, waits for, held by, since, at } }, help = {} }
local function report(err)
  local r = { rows = {}, help = {}, text = err }
  r.head = err:match "deadlock: ([^\n]*)"
  for line in err:gmatch "\n  ([^\n]*)" do
    local help = line:match "^help: (.*)"
    if help then
      r.help[#r.help + 1] = help
    else
      local row = {}
      for cell in (line .. "    "):gmatch "(.-)    +" do row[#row + 1] = cell end
      r.rows[#r.rows + 1] = row
    end
  end
  return r
end

local function reported(name, head, n)
  local got = results[name]
  assert.equal(3, got.status, got.err .. got.out)
  local r = report(got.err)
  assert.equal(head, r.head, got.err)
  assert.equal(n + 1, #r.rows, got.err)
  assert.truthy(#r.help > 0, got.err)
  return r, got
end

local function fine(name, out)
  local got = results[name]
  assert.equal("", got.err)
  assert.equal(0, got.status)
  if out then assert.equal(out, got.out) end
end

-- deadlocks ------------------------------------------------------------------------

case("crossed", [[
mp.atexit(function() print "closed" end)
local list = circle(2)
list[1]:join()
print "not here"
]])

case("busy", [[
circle(3)
while true do end
]])

case("asleep", "circle(3) mp.sleep(60)")
case("reading", "circle(2) io.read() mp.sleep(60)", { stdin = "sleep 5" })
case("coroutine", "circle(2) coroutine.wrap(function() while true do mp.sleep(0.01) end end)()")

case("joins", [[
local q1, q2 = mp.Queue(), mp.Queue()
local function f(q) q:get():join() end
local p1, p2 = mp.spawn(f, q1), mp.spawn(f, q2)
q1:put(p2)
q2:put(p1)
p1:join()
]])

case("join and lock", [[
local lock = mp.Lock()
lock:acquire()
mp.spawn(function() lock:acquire() end):join()
]])

case("queue", "mp.spawn(waits, mp.Queue()):join()")
case("full", [[
local q = mp.Queue(2)
mp.spawn(function() for i = 1, 3 do q:put(i) end end):join()
]])
case("alone", "mp.Queue():get()")

case("event", [[
local e = mp.Event()
for _ = 1, 3 do mp.spawn(e.wait, e) end
e:wait()
]])

case("semaphore", [[
local s = mp.Semaphore(1)
s:acquire()
mp.spawn(s.acquire, s)
s:acquire()
]])

case("condition", [[
local c = mp.Condition()
local function wait() c:acquire() c:wait() end
mp.spawn(wait)
wait()
]])

case("rlocks", [[
local a, b, e = mp.RLock(), mp.RLock(), mp.Event()
a:acquire()
mp.spawn(function() b:acquire() e:set() a:with(print) end)
e:wait()
b:acquire()
]])

case("barrier", [[
local b = mp.Barrier(3)
mp.spawn(b.wait, b)
b:wait()
]])

case("pipe", [[
local a, b = mp.Pipe()
mp.spawn(function() a:close() b:recv() end)
b:close()
a:recv()
]])

case("own copy", [[
local busy = mp.spawn(function() while true do end end)
local r, w = mp.Pipe(false)
local p = mp.spawn(function() r:close() w:send "x" w:close() end)
print(r:recv())
p:join()
r:recv()
]])

case("pipes, others busy", [[
mp.spawn(function() while true do end end)
local a1, a2 = mp.Pipe()
local b1, b2 = mp.Pipe()
mp.spawn(function() a2:close() b1:close() a1:recv() b2:send(1) end)
mp.spawn(function() a1:close() b2:close() b1:recv() a2:send(1) end)
for _, x in ipairs { a1, a2, b1, b2 } do x:close() end
mp.sleep(60)
]])

case("task_done", [[
local q = mp.JoinableQueue()
q:put(1)
mp.spawn(function() q:get() waits(mp.Queue()) end)
q:join()
]])

case("several", [[
local q, e = mp.Queue(), mp.Event()
local p = mp.spawn(waits, q)
mp.wait { q, e, p }
]])

case("result", "mp.spawn(waits, mp.Queue()):result()")

case("end", "mp.spawn(waits, mp.Queue())")
case("exit", "mp.spawn(waits, mp.Queue()) os.exit(0)")
case("error", "mp.spawn(waits, mp.Queue()) error 'oops'")
case("child's end", "mp.spawn(function() mp.spawn(waits, mp.Queue()) end)")

case("grandchildren", [[
mp.spawn(function() circle(2) mp.sleep(60) end)
mp.spawn(function() while true do end end)
mp.sleep(60)
]])

case("again", [[
local list = circle(2)
for i = 1, 2 do
  local ok, e = pcall(mp.sleep, 60)
  print(ok, e.name, e.exit_status, e.message, e.report:match "help: %a+")
end
for _, p in ipairs(list) do p:kill() p:join() end
print(select(2, pcall(waits, mp.Queue())))
print "on"
]])

case("owner in order", [[
local q, done = mp.Queue(), mp.Queue()
local p = mp.spawn(function() mp.sleep(1.5) done:put(1) waits(q) end)
print(done:get())
p:join()
]])

case("no keeper", [[
for line in io.popen("cat /proc/" .. mp.getpid() .. "/task/*/children"):lines() do
  for pid in line:gmatch "%d+" do
    local comm = io.open("/proc/" .. pid .. "/comm")
    if comm and comm:read "l" == "mprun-keeper" then os.execute("kill -9 " .. pid) end
  end
end
circle(2)
while true do mp.sleep(0.1) end
]])

case("flow", [[
local q = mp.Queue()
function stuck(x) q:get() return x end
print(#flow [=[ range(1, 3) -> stuck -> collect ]=]:run())
]])

-- what only looks like one ------------------------------------------------------------

case("sleeper", [[
local q = mp.Queue()
local p = mp.spawn(waits, q)
mp.sleep(3)
q:put "item"
print(p:result())
]])

case("timed", [[
local q = mp.Queue()
local p = mp.spawn(function() for _ = 1, 3 do q:get(1) end return "over" end)
print(q:get(2.5), p:result())
]])

case("stdin", [[
local q = mp.Queue()
local p = mp.spawn(waits, q)
q:put(io.read())
print(p:result())
]], { stdin = "sleep 3; echo line" })

case("program", [[
local q = mp.Queue()
local p = mp.spawn(waits, q)
os.execute "sleep 3"
q:put "item"
print(p:result())
]])

case("loop", [[
local q = mp.Queue()
local p = mp.spawn(function()
  local till = mp.time() + 3
  while mp.time() < till do end
  q:put "item"
end)
print(q:get())
]])

case("terminate", [[
local q = mp.Queue()
local list = {}
for i = 1, 3 do list[i] = mp.spawn(waits, q) end
mp.sleep(3)
for i = 1, 3 do list[i]:terminate() end
for i = 1, 3 do list[i]:join() end
print(list[1].exitcode)
]])

case("ends late", [[
local q = mp.Queue()
local p = mp.spawn(function()
  mp.on_signal("TERM", function() os.execute "sleep 2" os.exit(7) end)
  q:put(1)
  waits(mp.Queue())
end)
q:get()
p:terminate()
p:join()
print(p.exitcode)
]])

case("chain", [[
local lock, e, held = mp.Lock(), mp.Event(), mp.Event()
local a = mp.spawn(function() lock:acquire() held:set() e:wait() lock:release() end)
held:wait()
local b = mp.spawn(function() lock:acquire() lock:release() return "b" end)
local c = mp.spawn(function() b:join() return "c" end)
mp.spawn(function() mp.sleep(3) e:set() end)
print(c:result(), a:join())
]])

case("handler", [[
local e = mp.Event()
mp.on_signal("USR1", function() e:set() end)
local p = mp.spawn(e.wait, e)
os.execute("{ sleep 3; kill -USR1 " .. mp.getpid() .. "; } &")
print(e:wait(), p:join())
]])

case("child's handler", [[
local q, e = mp.Queue(), mp.Event()
local p = mp.spawn(function()
  mp.on_signal("USR1", function() e:set() end)
  q:put(mp.getpid())
  waits(mp.Queue())
end)
os.execute("{ sleep 3; kill -USR1 " .. q:get() .. "; } &")
print(e:wait())
p:kill()
]])

case("slow flow", [[
function same(line) return line end
print(#flow [=[ stdin -> same*2 -> collect ]=]:run())
]], { stdin = "echo a; sleep 2; echo b; sleep 2; echo c" })

case("descriptor", [[
local q = mp.Queue()
local p = mp.spawn(waits, q)
print(#mp.wait { q, 0 })
q:put "item"
p:join()
]], { stdin = "sleep 3; echo" })

case("socket", [[
local socket = require "socket"
local server = assert(socket.bind("127.0.0.1", 0))
local _, port = server:getsockname()
local q = mp.Queue()
local p = mp.spawn(waits, q)
os.execute(("{ sleep 3; bash -c 'echo hi >/dev/tcp/127.0.0.1/%d'; } &"):format(port))
q:put(server:accept():receive())
print(p:result())
]])

-- other programs ------------------------------------------------------------------------

local plain = ("env LUA_CPATH=%s %s"):format(support.quote(support.build .. "/?.so;;"), support.lua)

case("plain", "circle(2)[1]:join()", { program = plain })
case("plain end", "mp.spawn(waits, mp.Queue())", { program = plain })
case("plain exit", "mp.spawn(waits, mp.Queue()) os.exit(0)", { program = plain })
case("plain goes on", [[
local list = circle(2)
local ok, e = pcall(list[1].join, list[1])
print(ok, e.name, e.exit_status)
list[1]:kill()
print(list[2]:join())
]], { program = plain })

-- ------------------------------------------------------------------------------------------

describe("a deadlock", function()
  lazy_setup(function() results = run_all() end)
  lazy_teardown(support.clean)

  it("of two processes and two locks is reported, and ends the script in order", function()
    local r, got = reported("crossed", "2 processes wait for each other", 2)
    assert.equal("closed\n", got.out)
    local name = got.path:sub(-31):gsub("%p", "%%%0")
    for i = 1, 2 do
      local row, other = r.rows[i + 1], r.rows[4 - i]
      assert.truthy(row[1]:find("^Process%-%d %(%d+%)$"), got.err)
      assert.truthy(row[2]:find "^Lock #%d+$", got.err)
      assert.equal(other[1], row[3])
      assert.truthy(tonumber(row[4]:match "^(%d+%.%d) s$") >= 1)
      assert.truthy(row[5]:find(name .. ":" .. CIRCLE .. "$"), got.err)
    end
    assert.same({ "take locks in the same order everywhere, or acquire with a timeout" }, r.help)
    assert.truthy(got.err:find "^mprun: deadlock: ")
  end)

  for name, n in pairs { busy = 3, asleep = 3, reading = 2, coroutine = 2, grandchildren = 2,
                         ["no keeper"] = 2 } do
    it("in a circle is reported while others work on: " .. name, function()
      reported(name, n .. " processes wait for each other", n)
    end)
  end

  it("of processes that join each other", function()
    local r = reported("joins", "2 processes wait for each other", 2)
    assert.truthy(r.rows[2][2]:find "^end of Process%-2$")
    assert.truthy(r.help[1]:find "join")
  end)

  it("of a lock and a join", function()
    local r = reported("join and lock", "2 processes wait for each other", 2)
    assert.equal("main", r.rows[2][1]:match "%a+")
    assert.equal("end of Process-1", r.rows[2][2])
    assert.equal("release a lock before joining a process that needs it", r.help[1])
  end)

  for name, want in pairs {
    queue = { "an item of Queue", "nobody is left to put" },
    result = { "an item of Queue", "nobody is left to put" },
    full = { "room in Queue", "nobody is left to get" },
    ["end"] = { "an item of Queue", "nobody is left to put" },
    exit = { "an item of Queue", "nobody is left to put" },
    ["owner in order"] = { "an item of Queue", "nobody is left to put" },
  } do
    it("of a process that is joined and waits for ever: " .. name, function()
      local r = reported(name, "all 2 processes wait, and nobody is left to end that", 2)
      assert.equal("end of Process-1", r.rows[2][2])
      assert.equal(want[1], r.rows[3][2]:match "^(.*) #%d+$")
      assert.truthy(r.help[1]:find(want[2], 1, true))
    end)
  end

  it("says where the joining process is, at its end as well", function()
    local name = results.result.path:sub(-31):gsub("%p", "%%%0")
    assert.truthy(report(results.result.err).rows[2][5]:find(name .. ":" .. FIRST .. "$"))
    assert.equal("its end", report(results["end"].err).rows[2][5])
    local r = reported("child's end", "all 3 processes wait, and nobody is left to end that", 3)
    assert.equal("its end", r.rows[2][5])
    assert.equal("its end", r.rows[3][5])
    assert.equal("end of Process-1:1", r.rows[3][2])
  end)

  it("after an error keeps the error's message", function()
    local r, got = reported("error", "all 2 processes wait, and nobody is left to end that", 2)
    assert.truthy(got.err:find "^mprun: [^\n]*oops\n" and #r.help == 1)
  end)

  it("of one process", function()
    reported("alone", "the only process waits, and nobody is left to end that", 1)
  end)

  it("of all who wait for an event", function()
    local r = reported("event", "all 4 processes wait, and nobody is left to end that", 4)
    assert.truthy(r.help[1]:find "set the event")
  end)

  it("of all who wait for a semaphore or a condition", function()
    local r = reported("semaphore", "all 2 processes wait, and nobody is left to end that", 2)
    assert.truthy(r.rows[2][2]:find "^Semaphore #%d" and r.help[1]:find "release the semaphore")
    r = reported("condition", "all 2 processes wait, and nobody is left to end that", 2)
    assert.truthy(r.rows[2][2]:find "^Condition #%d" and r.help[1]:find "to notify")
  end)

  it("of main and recursive locks", function()
    local r = reported("rlocks", "2 processes wait for each other", 2)
    assert.truthy(r.rows[2][1]:find "^main %(" and r.rows[2][2]:find "^RLock #%d")
  end)

  it("of a barrier and of a pipe", function()
    local r = reported("barrier", "all 2 processes wait, and nobody is left to end that", 2)
    assert.truthy(r.rows[2][2]:find "^Barrier #%d" and r.help[1]:find "parties")
    r = reported("pipe", "2 processes wait for each other", 2)
    assert.truthy(r.rows[2][2]:find "^a message of Pipe #%d" and r.help[1]:find "nobody is left to send")
    assert.equal(r.rows[3][1], r.rows[2][3])
    reported("pipes, others busy", "2 processes wait for each other", 2)
  end)

  it("of one that waits for the end of a pipe whose other end it has itself", function()
    local r, got = reported("own copy", "a process waits for itself", 1)
    assert.equal("x\n", got.out)
    assert.equal(r.rows[2][1], r.rows[2][3])
    assert.truthy(r.help[1]:find "^close the end of the pipe that this process does not use")
  end)

  it("of one who waits for items to be done", function()
    local r = reported("task_done", "all 2 processes wait, and nobody is left to end that", 2)
    assert.truthy(r.rows[2][2]:find "^all items done of JoinableQueue #%d" and r.help[2]:find "task_done")
  end)

  it("of one who waits for several things", function()
    local r = reported("several", "all 2 processes wait, and nobody is left to end that", 2)
    assert.equal("one of several", r.rows[2][2])
  end)

  it("inside a flow", function()
    local got = results.flow
    assert.equal(3, got.status, got.err)
    assert.truthy(got.err:find "deadlock: all %d+ processes wait")
  end)

  it("is an error that a script can catch; it is told again when it waits again", function()
    local got = results.again
    local line = "false\tDeadlock\t3\tdeadlock: 2 processes wait for each other\thelp: take\n"
    assert.equal(line .. line .. "deadlock: the only process waits, and nobody is left to end that\non\n",
      got.out, got.err)
    assert.equal(0, got.status)
    assert.equal(3, select(2, got.err:gsub("mprun: deadlock: ", "")))
  end)

  it("is an error in another program, which ends as it likes", function()
    if support.mode == "asan" then pending "lua5.4 would need the sanitizer" return end
    for name, want in pairs { plain = 1, ["plain end"] = 0, ["plain exit"] = 3, ["plain goes on"] = 0 } do
      local got = results[name]
      assert.equal(want, got.status, name .. got.err)
      assert.equal(1, select(2, got.err:gsub("mp: deadlock: ", "")), name .. got.err)
    end
    assert.equal("false\tDeadlock\t3\ntrue\n", results["plain goes on"].out)
    assert.truthy(results.plain.err:find("lua5.4: deadlock: 2 processes wait for each other\n$"),
      results.plain.err)
  end)
end)

describe("no deadlock is", function()
  for name, want in pairs {
    sleeper = "item", timed = "nil\tover", stdin = "line", program = "item", loop = "item",
    terminate = "-15", ["ends late"] = "7", chain = "c\ttrue", handler = "true\ttrue",
    ["child's handler"] = "true", descriptor = "1",
  } do
    it("a wait that something will end: " .. name, function()
      fine(name, want .. "\n")
    end)
  end

  it("a flow that waits for its input", function()
    local got = results["slow flow"]
    assert.equal(0, got.status, got.err)
    assert.equal("3\n", got.out)
    assert.falsy(got.err:find "deadlock")
  end)

  it("a wait for a connection", function()
    if results.socket.err:find "module 'socket' not found" then pending "no LuaSocket" return end
    fine("socket", "hi\n")
  end)
end)
