-- bad_input: limits of the system, closed streams, signals and kills in the
-- middle of a run: a clear word or none, the right result, nothing left running.
-- Bad command lines: cli_spec; bad flows: flow_check_spec; misuse of an object:
-- its own spec.
--
-- SPDX-License-Identifier: MIT

local support = require "tests.support"
local mprun, script = support.mprun, support.script

-- Words for the shell. What is started with $MARK in its environment is ours;
-- a zombie has no environment.
local WORDS = [[
MARK=MP_BAD_INPUT=$$-$RANDOM
ours() { grep -lzxF "$MARK" /proc/[0-9]*/environ 2>/dev/null | cut -d/ -f3; }
gone() {
  for _ in $(seq 200); do [ -n "$(ours)" ] || break; sleep 0.05; done
  echo "left: $(ours | wc -l)"
}
keeper() {
  for c in $(cat /proc/$1/task/$1/children); do
    [ "$(cat /proc/$c/comm 2>/dev/null)" = mprun-keeper ] && echo $c
  done
}
until_there() { for _ in $(seq 600); do [ -s "$1" ] && return; sleep 0.05; done; echo "no $1"; }
]]

-- `$1` is mprun, `$2` and so on are the rest.
local function shell(commands, ...)
  return support.run { "bash", "-c", WORDS .. commands, "bash", support.program, ... }
end

local function has(text, part)
  assert.is_truthy(text:find(part, 1, true), ("%q is not in: %s"):format(part, text))
end

local function without_sanitizer()
  if support.mode == "asan" or support.mode == "tsan" then
    pending "the sanitizer needs more itself"
  end
end

describe("a limit of the system", function()
  after_each(support.clean)

  local FLOW = "flow[[ range(1, 30) -> tostring*20 -> count -> stdout ]]"

  it("of memory addresses (ulimit -v) leaves a smaller shared memory", function()
    without_sanitizer()
    local got = shell([[ulimit -v 1000000; "$1" -e "$2"]], FLOW)
    assert.same({ "30\n", "", 0 }, { got.out, got.err, got.status })
  end)

  it("of file sizes (ulimit -f) too, or is named", function()
    local got = shell([[ulimit -f 100000; "$1" -e "$2"]], FLOW)
    assert.same({ "30\n", "", 0 }, { got.out, got.err, got.status })
    got = shell([[ulimit -f 1000; "$1" -e "mp.Queue()"]])
    has(got.err, "mp.Queue: cannot start the runtime: ")
    has(got.err, "ulimit -f")
    assert.equal(1, got.status)
  end)

  it("of descriptors (ulimit -n) does not limit the number of processes", function()
    local got = shell([[ulimit -n 16; "$1" -e "$2"]], FLOW)
    assert.same({ "30\n", "", 0 }, { got.out, got.err, got.status })
    -- The keeper cannot watch them all by descriptors; none is taken for dead.
    got = shell([[ulimit -n 16; "$1" "$2"]], script [[
      local list, go = {}, mp.Event()
      for i = 1, 40 do list[i] = mp.spawn(function() go:wait() return i end) end
      for i = 1, 20 do list[i]:kill() end
      for i = 1, 20 do assert(list[i]:join(30) and list[i].exitcode == -9, i) end
      for i = 21, 40 do assert(list[i]:is_alive(), i) end
      go:set()
      local sum = 0
      for i = 21, 40 do sum = sum + list[i]:result(30) end
      print(sum)]])
    assert.same({ "610\n", "", 0 }, { got.out, got.err, got.status })
  end)

  it("of descriptors that is too low for a start is named", function()
    without_sanitizer()
    for most = 5, 7 do
      local got = shell('ulimit -n "$2"; "$1" -e "mp.spawn(mp.sleep, 0):join()"', most)
      has(got.err, "cannot start the runtime: ")
      has(got.err, "Too many open files")
      assert.equal(1, got.status)
    end
  end)

  -- As a user without other processes. root is not limited.
  local AS_OTHER = [[
    if [ "$(id -u)" = 0 ]; then
      uid=$((50000 + $$ % 10000))
      other() { setpriv --reuid=$uid --regid=$uid --clear-groups "$@"; }
      most=8
    else
      other() { "$@"; }
      most=$(($(ps -L -u "$(id -u)" | wc -l) + 40))
    fi
    other test -x "$1" || { echo skip; exit; }
  ]]

  local function as_other(commands, ...)
    local got = shell(AS_OTHER .. commands, ...)
    if got.out == "skip\n" then pending "no other user can run mprun here" end
    return got
  end

  it("of processes (ulimit -u) is named, and what runs goes on", function()
    local got = as_other([[other bash -c "ulimit -u $most; exec env $MARK \"\$@\"" x "$1" -e "$2"; gone]], [[
      local list, why = {}
      while #list < 1000 and not why do
        local ok, p = pcall(mp.spawn, mp.sleep, 60)
        if ok then list[#list + 1] = p else why = p end
      end
      print(#list > 0, why:match "Process:start.*")
      for _, p in ipairs(list) do p:kill() end
      for _, p in ipairs(list) do p:join() end
      print(mp.spawn(function() return "goes on" end):result(30), #mp.active_children())]])
    assert.equal("true\tProcess:start: cannot fork: too many processes (RLIMIT_NPROC, ulimit -u, "
      .. "or the cgroup's pids.max)\ngoes on\t0\nleft: 0\n", got.out, got.err)
  end)

  it("of processes ends a flow that needs more, with the stage's name", function()
    local got = as_other([[other bash -c "ulimit -u $most; exec env $MARK \"\$@\"" x "$1" -e "$2"
      echo $?; gone]], "flow[[ range(1, 10) -> tostring*1000 -> null ]]")
    assert.equal("1\nleft: 0\n", got.out)
    assert.is_truthy(got.err:find "^mprun: tostring%[%d+%]: no process for it: cannot fork: "
      , got.err)
    has(got.err, "ulimit -u")
  end)

  it("no right to write anything does no harm", function()
    local got = as_other([[cd /; other "$1" -e "$2"]], FLOW)
    assert.same({ "30\n", "", 0 }, { got.out, got.err, got.status })
  end)
end)

describe("a limit of the shared memory", function()
  after_each(support.clean)

  it("is named with the remedy by what can never fit", function()
    local got = mprun { "--memory", "4M", "-e", [[
      local q = mp.Queue()
      local ok, why = pcall(q.put, q, ("x"):rep(5 << 20))
      print(ok, why, q:qsize(), q:put "next", (q:get()))]] }
    has(got.out, "false\t")
    has(got.out, "Queue:put: the item can never fit into this runtime's memory of 4 MiB; "
      .. "set a larger limit (mp.configure{memory=}, mprun --memory, MPRUN_MEMORY)")
    has(got.out, "\t0\ttrue\tnext\n")
  end)

  it("makes put wait, and go on after a get", function()
    local got = mprun { "--memory", "4M", "-e", [[
      local q, big, n = mp.Queue(), ("x"):rep(100000), 0
      while q:put(big, false) do n = n + 1 end
      print(n > 10 and n < 42, select(2, q:put(big, 0.05)))
      local p = mp.spawn(function() return q:put(big, 30) end)
      q:get()
      q:get()
      print(p:result(30))]] }
    assert.same({ "true\ttimeout\ntrue\n", "", 0 }, { got.out, got.err, got.status })
  end)

  it("makes a process wait that has something to return", function()
    local got = mprun { "--memory", "4M", "-e", [[
      local q, big = mp.Queue(), ("x"):rep(100000)
      for _, item in ipairs { big, ("x"):rep(1000), ("x"):rep(50), 1 } do
        while q:put(item, false) do end
      end
      local p = mp.spawn(function() return ("y"):rep(50000) end)
      mp.sleep(0.2)
      print(p:is_alive())
      for _ = 1, 5 do q:get() end
      print(#p:result(30))]] }
    assert.same({ "true\n50000\n", "", 0 }, { got.out, got.err, got.status })
  end)

  it("is the reason for a result that is lost, where nobody is left to free any", function()
    local got = mprun { "--memory", "4M", "-e", [[
      local q, big = mp.Queue(), ("x"):rep(100000)
      for _, item in ipairs { big, ("x"):rep(1000), ("x"):rep(50), 1 } do
        while q:put(item, false) do end
      end
      local p = mp.spawn(function() return ("y"):rep(50000) end)
      p:join()
      print(p.exitcode, pcall(p.result, p))]] }
    has(got.out, "0\tfalse\tProcess:result: the shared memory was full, so what it "
      .. "returned is lost; set a larger limit")
    assert.same({ "", 0 }, { got.err, got.status })
  end)

  it("makes a flow's stages wait for one another", function()
    local got = mprun { "--memory", "4M", script [[
      flow" range(1, 60) -> big -> length*2 -> sum -> stdout "
      function big() return ("x"):rep(1 << 18) end
      function length(text) return #text end
      sum = fold{ init = 0, add = function(a, n) return a + n end, done = function(_, s) return s end }]] }
    assert.same({ (60 << 18) .. "\n", "", 0 }, { got.out, got.err, got.status })
  end)

  it("ends a flow whose items can never fit, with the stage's name", function()
    local got = mprun { "--memory", "4M", script [[
      flow" range(1, 3) -> big -> {cap=8} null "
      function big() return ("x"):rep(5 << 20) end]] }
    assert.equal(1, got.status)
    assert.is_truthy(got.err:find "^mprun: %l+%[1%]: error[%l%d ]*: its result: the item can never fit [^\n]*\n$",
      got.err)
  end)
end)

describe("a wrong argument", function()
  after_each(support.clean)

  -- What each expression says, a line each, without the place.
  local function says(expressions)
    local lines = { 'local mp = require "mp"' }
    for _, e in ipairs(expressions) do
      lines[#lines + 1] = ("print((select(2, pcall(function() %s end)):gsub('^[^ ]*:%%d+: ', '')))"):format(e)
    end
    local got = mprun { script(table.concat(lines, "\n")) }
    assert.same({ "", 0 }, { got.err, got.status })
    return got.out
  end

  it("of the module's functions is named with the call", function()
    assert.equal([[
mp.sleep: expected a number of seconds, got no value
mp.sleep: expected a number of seconds, got string
mp.configure: expected a table such as {memory = 2^30}, got number
mp.on_signal: expected a signal's name, such as "USR1", got no value
mp.on_signal: expected a signal's name, such as "USR1", got number
mp.tcp: the kind must be "client" or "listener", got no value
Queue:get_many: max must be a positive integer, got no value
mp.Process: name must be a string, got number
mp.Process: daemon must be true or false, got number
mp.unpack: expected a string, got no value
mp.unpack: expected a table such as {functions = true}, got number
]], says {
      "mp.sleep()", "mp.sleep '1'", "mp.configure(5)", "mp.on_signal()", "mp.on_signal(15, print)",
      "mp.tcp(0)", "mp.Queue():get_many()", "mp.Process { name = 5 }", "mp.Process { daemon = 1 }",
      "mp.unpack()", "mp.unpack('', 5)",
    })
  end)

  it("that is missing, as the object before a dot, is told as that", function()
    assert.equal([[
Lock:release: expected a Lock, got no value (call it with a colon)
Queue:put: expected a Queue, got number (call it with a colon)
Dict:keys: expected a Dict, got no value (call it with a colon)
Dict:update: expected (key, function) or (table), got no value as the function
]], says { "mp.Lock().release()", "mp.Queue().put(1)", "mp.Dict().keys()", "mp.Dict():update 'k'" })
  end)

  it("is a field that an object does not have to set", function()
    local rest = " cannot be set; what is to be shared goes into an mp.Value or mp.Dict\n"
    assert.equal("Lock: field owner" .. rest .. "Queue: field 1" .. rest .. "Semaphore: field value" .. rest,
      says { "mp.Lock().owner = 5", "mp.Queue()[1] = 2", "mp.Semaphore().value = 2" })
  end)

  it("is a list's n that no list has; a long one can be interrupted", function()
    assert.equal("Queue:put_many: the list's n must be a count, got 1099511627776\n",
      says { "mp.Queue():put_many { n = 1 << 40 }" })
    local got = mprun { script [[
      local me, q = mp.getpid(), mp.Queue()
      mp.on_signal("USR1", function() error "stop" end)
      mp.spawn(function()
        mp.sleep(0.2)
        os.execute("kill -USR1 " .. me)
      end)
      print(pcall(q.put_many, q, { n = 2147483647 }))
      print(q:qsize())]] }
    assert.is_truthy(got.out:find "^false\t[^\n]*stop\n0\n$", got.out .. got.err)
  end)
end)

describe("what cannot be sent", function()
  after_each(support.clean)

  it("is named with its path and a remedy; the queue is unharmed", function()
    local got = mprun { "-e", [[
      local q = mp.Queue()
      local function try(v) return select(2, pcall(q.put, q, v)) end
      print(try { log = { io.tmpfile() } })
      print(try { co = coroutine.create(print) })
      print(try { string.gmatch("", "") })
      print(q:qsize(), q:put "next", (q:get()))]] }
    assert.equal([[
Queue:put: cannot send a file (at .log[1]); send its name, and open it there
Queue:put: cannot send a coroutine (at .co); send the function that it runs
Queue:put: cannot send a C function that no module names (at [1]); call it from a Lua function
0	true	next
]], got.out, got.err)
  end)

  it("ends a flow with the stage's name", function()
    local got = mprun { "-e", [[
      flow" range(1, 3) -> bad -> {cap=8} stdout "
      function bad() return { co = coroutine.create(print) } end]] }
    assert.same({ "", "mprun: range[1]: error: its result: cannot send a coroutine (at .co); "
      .. "send the function that it runs\n", 1 }, { got.out, got.err, got.status })
  end)
end)

describe("parts that are loaded when they are asked for", function()
  after_each(support.clean)

  it("are there, and other names are nil", function()
    local got = mprun { "-e", "print(rawget(mp, 'Pool'), type(mp.Pool), type(rawget(mp, 'Pool')), mp.no_such_thing)" }
    assert.equal("nil\tfunction\tfunction\tnil\n", got.out)
  end)
end)

describe("closed streams", function()
  after_each(support.clean)

  it("a reader of stdout that leaves ends a flow quietly", function()
    for _, run in ipairs { "", ":run()" } do
      local got = shell([[env $MARK "$1" -e "$2" | head -n 1 >/dev/null; echo ${PIPESTATUS[0]}; gone]],
        "function id(n) return n end flow[[ range(1, 1000000) -> id*2 -> stdout ]]" .. run)
      assert.same({ "141\nleft: 0\n", "" }, { got.out, got.err })
    end
  end)

  it("a flow without stdout says that it cannot write, in one line", function()
    local flow = "flow[[ range(1, 1000) -> stdout ]]"
    local got = shell([["$1" -e "$2" >&-; echo $?]], flow)
    assert.equal("1\n", got.out)
    assert.equal("mprun: stdout[1]: error: cannot write to standard output: Bad file descriptor\n", got.err)
    got = shell([["$1" -e "$2" >/dev/full; echo $?]], flow)
    assert.equal("1\n", got.out)
    assert.equal("mprun: stdout[1]: error: cannot write to standard output: No space left on device\n", got.err)
  end)

  it("a flow from stdin without stdin says so; others do not care", function()
    local got = shell([["$1" -e "flow'stdin -> stdout'" <&-; echo $?]])
    assert.equal("1\n", got.out)
    assert.equal("mprun: stdin: standard input is closed\n", got.err)
    got = shell([["$1" -e "flow'range(1, 2) -> stdout'" <&-; echo $?]])
    assert.same({ "1\n2\n0\n", "" }, { got.out, got.err })
  end)

  it("without stderr the exit status tells", function()
    local got = shell([[
      "$1" -e "flow'range(1, 2) -> stdout'" 2>&-; echo $?
      "$1" -e "flow'range(1, 2) -> ouch -> stdout'" 2>&-; echo $?
      "$1" -e "flow'range(1, 2) -> error -> stdout'" 2>&-; echo $?]])
    assert.same({ "1\n2\n0\n2\n1\n", "" }, { got.out, got.err })
  end)
end)

-- A flow that stands still in its middle, at item 500, until the file arg[2]
-- is there. Its workers write their pids into arg[1].
local FLOW = [==[
flow[[ range(1, 1000) -> slow*2{chunk=1} -> sum -> stdout ]]
slow = stage{
  open = function()
    local f = io.open(arg[1], "a")
    f:write(mp.getpid(), "\n")
    f:close()
  end,
  item = function(n)
    while n == 500 do
      local f = io.open(arg[2])
      if f then f:close() break end
      mp.sleep(0.01)
    end
    return n
  end,
}
sum = fold{ init = 0, add = function(a, n) return a + n end, done = function(_, a) return a end }
]==]

-- The same without a flow.
local PLAIN = [==[
local function idle() mp.sleep(60) end
mp.spawn(idle)
mp.spawn(function() while true do end end)
mp.spawn(function() mp.spawn(idle) idle() end)
mp.Process{ daemon = true, target = idle }:start()
local f = io.open(arg[1], "w")
f:write "ready"
f:close()
mp.Queue():get(60)
]==]

-- Runs a script in a process group of its own, $P its first process, then the
-- commands, when it is in its middle.
local function middle(text, commands)
  return shell([[
    setsid env --default-signal=INT "$MARK" "$1" "$2" "$3" "$4" & P=$!
    until_there "$3"]] .. "\n" .. commands,
    script(text), support.file "pids", support.file "go")
end

describe("in the middle of a flow", function()
  after_each(support.clean)

  it("kill -9 of mprun leaves nothing running", function()
    local got = middle(FLOW, "kill -9 $P; { wait $P; } 2>/dev/null; gone")
    assert.same({ "left: 0\n", "" }, { got.out, (got.err:gsub("[^\n]*Killed[^\n]*\n", "")) })
  end)

  it("kill -9 of the keeper changes nothing", function()
    local got = middle(FLOW, "kill -9 $(keeper $P); touch \"$4\"; wait $P; echo $?; gone")
    assert.same({ "500500\n0\nleft: 0\n", "" }, { got.out, got.err })
  end)

  it("kill -9 of a worker, and of the keeper before, changes no result", function()
    for _, before in ipairs { "", "kill -9 $(keeper $P); " } do
      local got = middle(FLOW, before .. [[kill -9 $(head -n 1 "$3"); touch "$4"; wait $P; echo $?; gone]])
      assert.equal("500500\n0\nleft: 0\n", got.out, got.err)
      assert.is_truthy(got.err:find "^slow%[%d%] pid %d+ killed by SIGKILL[^\n]*\n$", got.err)
    end
  end)
end)

-- The same, when the script is over and its processes are joined.
local OVER = PLAIN:gsub("mp.Queue%(%):get%(60%)\n", "")

describe("a signal for the whole group", function()
  after_each(support.clean)

  it("lets a flow finish what is inside", function()
    for signal, says in pairs { INT = "130\nleft: 0\n", TERM = "143\nleft: 0\n" } do
      local got = middle(FLOW, "kill -" .. signal .. " -$P; touch \"$4\"; wait $P; echo $?; gone")
      assert.is_truthy(got.out:find("^%d+\n" .. says .. "$"), got.out .. got.err)
    end
  end)

  for name, text in pairs { ["a plain script"] = PLAIN, ["the end"] = OVER } do
    it("ends " .. name .. " with one line", function()
      for signal, says in pairs { INT = "130\nleft: 0\n", TERM = "143\nleft: 0\n" } do
        local got = middle(text, "kill -" .. signal .. " -$P; wait $P; echo $?; gone")
        assert.equal(says, got.out, got.err)
        assert.equal(signal == "INT" and "mprun: interrupted\n" or "mprun: terminated\n", got.err)
      end
    end)
  end
end)
