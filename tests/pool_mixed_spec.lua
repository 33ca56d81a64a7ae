-- pool_mixed: pools of processes and pools of threads in one program: made while
-- the others are at work, in each other's workers, and ended together.
--
-- SPDX-License-Identifier: MIT

local mp = require "mp"
local support = require "tests.support"
local pools = require "tests.pools"

local square, numbers, squares = pools.square, pools.numbers, pools.squares

if support.without_threads then
  it("pools of both kinds", function() pending "a program with threads that forks, under AddressSanitizer" end)
  return
end

for kind, other in pairs { process = "thread", thread = "process" } do
describe("pools of kind " .. kind, function()
  it("come and go while one of kind " .. other .. " is busy", function()
    local stop = mp.Event()
    local busy <close> = mp.Pool { 3, kind = other }
    local work = busy:map_async(function(i)
      while not stop:is_set() do ("x"):rep(1000) end
      return i * i
    end, numbers(6), 1)
    for i = 1, 10 do
      local p = mp.Pool { 2, kind = kind }
      assert.same(squares(50), p:map(square, numbers(50)))
      if i % 2 == 0 then p:close() else p:terminate() end
      assert.is_true(p:join(30))
    end
    stop:set()
    assert.same(squares(6), work:get(30))
  end)

  it("are made by all workers of one of kind " .. other .. " at once", function()
    local outer <close> = mp.Pool { 3, kind = other }
    local got = outer:map(function(n)
      local p <close> = mp.Pool { 2, kind = kind }
      return p:map(square, numbers(n))
    end, numbers(20), 1)
    for i = 1, 20 do assert.same(squares(i), got[i]) end
  end)
end)
end

-- Pools in pools, four levels, of both kinds in turn; at the bottom all are busy.
local TREE = [[
  local mp = require "mp"
  io.stdout:setvbuf "no"
  local running = mp.Queue()
  local function tree(depth, kind, other)
    running:put(mp.getpid())
    if depth == 0 then while true do pcall(function() while true do mp.time() end end) end end
    local p = mp.Pool { 2, kind = kind }
    p:starmap(tree, { { depth - 1, other, kind }, { depth - 1, kind, other } }, 1)
  end
  local p = mp.Pool { 2, kind = "thread" }
  local f = p:starmap_async(tree, { { 2, "process", "thread" }, { 2, "thread", "process" } }, 1)
  for i = 1, 14 do print("pid " .. running:get()) end
  print "ready"
]]

describe("a tree of busy pools of both kinds", function()
  after_each(support.clean)

  -- what is done to it -> the script's end, a command, the status
  for what, case in pairs {
    ["is terminated"] = { "p:terminate() p:join()", "true", 0 },
    ["is cancelled by force"] = { "f:cancel(true) p:close() p:join()", "true", 0 },
    ["ends by Ctrl-C"] = { "f:get()", "kill -INT $P", 130 },
    ["ends by kill -9 of the program"] = { "f:get()", "kill -KILL $P", 137 },
  } do
    it(what .. ", and nothing of it is left", function()
      local path, out, err = support.script(TREE .. case[1]), support.file "out", support.file "err"
      local r = support.run { "bash", "-c", ([[
        env --default-signal=INT %s %s >%s 2>%s & P=$!
        for i in $(seq 1000); do grep -q ready %s && break; sleep 0.02; done
        %s
        wait $P 2>/dev/null; echo status $?
        for i in $(seq 250); do
          left=$(for p in $(sed -n 's/^pid //p' %s); do
            grep -qs ') [^ZX] ' /proc/$p/stat && echo $p; done)
          [ -z "$left" ] && break; sleep 0.02
        done
        echo left $left]]):format(support.quote(support.program), path, out, err, out, case[2], out),
        seconds = 60 }
      assert.equal(("status %d\nleft\n"):format(case[3]), r.out, support.read(out) .. support.read(err))
    end)
  end
end)
