-- keeper: nothing survives the owner, and nothing hangs without the keeper.
-- Each test runs a script of its own and kills parts of it.
--
-- SPDX-License-Identifier: MIT
local support = require "tests.support"

-- Shell words that find and count the processes of a run, whose first is $P.
local SHELL = [[
keeper() { for c in $(cat /proc/$1/task/$1/children); do
  [ "$(cat /proc/$c/comm 2>/dev/null)" = mprun-keeper ] && echo $c; done; }
alive() { n=0; for p in $(cat "$PIDS" 2>/dev/null) $K; do
  s=$(sed 's/.*) //;s/ .*//' /proc/$p/stat 2>/dev/null) || continue
  case $s in Z|X|'') ;; *) n=$((n + 1)) ;; esac; done; echo $n; }
gone() { for i in $(seq 100); do [ "$(alive)" = 0 ] && break; sleep 0.05; done
  echo "left $(alive)"; }
ready() { for i in $(seq 200); do grep -q ready "$OUT" 2>/dev/null && break; sleep 0.02; done; }
]]

-- Starts a tree: children that sleep, one that computes, one below another, a
-- daemon, and an orphan.
local TREE = [[
local mp = require "mp"
local pids = assert(io.open(arg[1], "a"))
pids:setvbuf "no"
local q = mp.Queue()
local function note() pids:write(mp.getpid() .. "\n") q:put(1) end   -- one write(2): a whole line
local function idle() note() mp.sleep(60) end
note()
mp.spawn(idle)
mp.spawn(function() note() while true do end end)
mp.spawn(function() mp.spawn(idle) idle() end)
mp.Process { daemon = true, target = idle }:start()
local doomed = mp.spawn(function() mp.spawn(idle) mp.sleep(60) end)
for _ = 1, 7 do q:get() end
doomed:kill()
doomed:join()
io.write "ready\n"
mp.sleep(60)
]]

local function run(script, commands)
  local path, pids, out = support.script(script), support.file "pids", support.file "out"
  local r = support.run { "bash", "-c", SHELL .. ([[
PIDS=%s OUT=%s
env --default-signal=INT %s %s $PIDS >$OUT & P=$!
ready; K=$(keeper $P)
]]):format(pids, out, support.program, path) .. commands, seconds = 60 }
  return r
end

describe("keeper", function()
  after_each(support.clean)

  it("kills every process when the owner is killed", function()
    local r = run(TREE, "echo $(alive); kill -9 $P; wait $P; gone")
    assert.equal("8\nleft 0\n", r.out, r.err)
  end)

  for _, how in ipairs { { "INT", 130, "interrupted" }, { "TERM", 143, "terminated" } } do
    it("SIG" .. how[1] .. " ends all, with one line", function()
      local r = run(TREE, "kill -" .. how[1] .. " $P; wait $P; echo $?; gone")
      assert.equal(how[2] .. "\nleft 0\n", r.out)
      assert.equal("mprun: " .. how[3] .. "\n", r.err)
    end)
  end

  it("a second SIGINT ends at once", function()
    local r = run([[
local mp = require "mp"
local p = mp.spawn(function() mp.on_signal("TERM", function() end) while true do mp.sleep(1) end end)
mp.sleep(0.2)
io.write "ready\n"
io.flush()
mp.sleep(60)
]], "kill -INT $P; sleep 0.2; kill -INT $P; wait $P; echo $?; gone")
    assert.equal("130\nleft 0\n", r.out)
  end)

  it("is started again when it is killed", function()
    local r = run([[
local mp = require "mp"
mp.spawn(mp.sleep, 0.01):join()
io.write "ready\n"
io.flush()
mp.sleep(0.6)
local p = mp.spawn(mp.sleep, 60)
mp.spawn(function() p:kill() assert(p:join(10)) end):join()
print(p.exitcode)
]], [[kill -9 $K; sleep 0.4; N=$(keeper $P); [ -n "$N" ] && [ "$N" != "$K" ] && echo another
wait $P; echo $?; cat $OUT]])
    assert.equal("another\n0\nready\n-9\n", r.out, r.err)
  end)

  it("killed together with the owner, it leaves nobody that waits or is the owner's child", function()
    local r = run(TREE, "kill -STOP $P; kill -9 $K; kill -9 $P; wait $P; K=; gone")
    assert.equal("left 0\n", r.out, r.err)
  end)

  it("deaths are found without it", function()
    -- The owner is stopped, so nobody starts another keeper.
    local r = run([[
local mp = require "mp"
local l, q = mp.Lock(), mp.Queue()
local victim = mp.spawn(function() l:acquire() q:put(mp.getpid()) mp.sleep(60) end)
local out = io.open(arg[1], "w")
out:write(q:get(), "\n")
out:close()
mp.spawn(function()
  print(l:acquire(30))
  print(victim:join(30), victim.exitcode)
  io.flush()
  os.execute("kill -CONT " .. mp.getppid())
end)
io.write "ready\n"
io.flush()
mp.sleep(60)
]], [[kill -STOP $P; kill -9 $K; kill -9 $(cat $PIDS)
for i in $(seq 100); do [ $(wc -l <$OUT) -ge 3 ] && break; sleep 0.05; done
cat $OUT; kill -9 $P; wait $P]])
    assert.equal("ready\ntrue\tabandoned\ntrue\t-9\n", r.out, r.err)
  end)

  it("orphans that end do not stay zombies of mprun", function()
    local r = run([[
local mp = require "mp"
local p = mp.spawn(function() for _ = 1, 5 do mp.spawn(mp.sleep, 0.3) end mp.sleep(60) end)
mp.sleep(0.1)
p:kill()
p:join()
mp.sleep(0.6)
io.write "ready\n"
io.flush()
mp.sleep(0.3)
]], "ps -o stat= --ppid $P | grep -c Z; wait $P")
    assert.equal("0\n", r.out, r.err)
  end)

  it("keeps no pipe open, and no terminal", function()
    local r = run([[
local mp = require "mp"
mp.Event()
io.write "ready\n"
io.flush()
mp.sleep(0.3)
]], "ls -l /proc/$K/fd | grep -c pipe: ; ls -l /proc/$K/fd/1 | sed 's/.*-> //'; "
      .. "sed 's/.*) //' /proc/$K/stat | cut -d' ' -f5; wait $P")   -- tty_nr
    assert.equal("1\n/dev/null\n0\n", r.out, r.err)
  end)

  it("the pipe of `mprun | head` ends quietly", function()
    local path = support.script [[
local mp = require "mp"
for i = 1, 4 do mp.spawn(function() while true do io.write("line ", i, "\n") end end) end
while true do io.write "main\n" end
]]
    local r = support.run { "bash", "-c", ("%s %s | head -n 1 >/dev/null; echo ${PIPESTATUS[0]}"):format(
      support.program, path) }
    assert.equal("141\n", r.out)
    assert.equal("", r.err)
  end)

  it("memory that was freed goes back to the system", function()
    local r = support.mprun { support.script [[
local mp = require "mp"
local function allocated()
  local pipe = io.popen "stat -L -c %b /proc/$PPID/fd/3"
  local n = pipe:read "n"
  pipe:close()
  return n * 512
end
local q, block = mp.Queue(), ("x"):rep(1 << 20)
for _ = 1, 40 do q:put(block) end
local full = allocated()
for _ = 1, 40 do q:get() end
block = nil
mp.sleep(2)
print(full > 40 << 20, allocated() < 12 << 20)
]] }
    assert.equal("true\ttrue\n", r.out, r.err)
  end)

  it("costs nothing when nothing happens", function()
    local r = run([[
local mp = require "mp"
mp.Queue():put(1)
mp.sleep(0.5)
io.write "ready\n"
io.flush()
mp.sleep(1.2)
]], [[w() { sed -n 's/^voluntary_ctxt_switches:\t//p' /proc/$K/status; }
a=$(w); sleep 1; b=$(w); echo $((b - a)); wait $P]])
    assert.equal("0\n", r.out, r.err)
  end)
end)
