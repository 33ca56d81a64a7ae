-- pool_end: pools, of every kind of worker, that are nested, terminated,
-- interrupted, or cannot be made, and what is left of them: nothing.
--
-- SPDX-License-Identifier: MIT

local mp = require "mp"
local support = require "tests.support"
local pools = require "tests.pools"

local square, numbers, squares = pools.square, pools.numbers, pools.squares
local forever, stubborn, gone, end_pools = pools.forever, pools.stubborn, pools.gone, pools.end_all

-- Threads and descriptors of this process.
local function entries(folder)
  local pipe, n = io.popen(("ls /proc/%d/%s"):format(mp.getpid(), folder)), 0
  for _ in pipe:lines() do n = n + 1 end
  pipe:close()
  return n
end

for _, kind in ipairs(support.kinds) do
local processes = kind == "process"
local live = processes and mp.active_children or mp.active_threads
local title = " with workers of kind " .. kind
local pool, executor, script = pools.of(kind)

local function full(p, n) return pools.full(p, n, "number") end

describe("nesting" .. title, function()
  after_each(end_pools)

  it("AA11: a task may start processes and pools", function()
    local p = pool(2)
    assert.equal(10, p:apply(function() return mp.spawn(function() return 10 end):result(30) end))
    assert.same({ n = 4, 30, 30, 30, 30 }, p:map(function()
      local inner = mp.Pool { 2, kind = kind }
      local sum = 0
      for _, v in ipairs(inner:map(square, numbers(4))) do sum = sum + v end
      inner:terminate()
      inner:join()
      return sum
    end, numbers(4), 1))
  end)

  local function nest(depth, size)
    if depth == 0 then return 0 end
    local p = mp.Pool { size, kind = kind }
    local d = p:apply(nest, { depth - 1, size })
    p:terminate()
    p:join()
    return d + 1
  end

  it("AA24: ten deep works, deeper is an error that says so", function()
    assert.equal(10, nest(10, 1))
    local e = support.raises("nested deeper than 10", nest, 11, 1)
    assert.truthy(tostring(e):find("give the work to the pool that is there", 1, true))
  end)

  it("AA38: default sizes share the processors, so all in all there are few workers", function()
    local p = pool()
    assert.equal(mp.cpu_count(), p.size)
    assert.equal(1, p:apply(function()
      local inner <close> = mp.Pool { kind = kind }
      return inner.size
    end))
    local small = pool(1)
    assert.equal(mp.cpu_count(), small:apply(function()
      local inner <close> = mp.Pool { kind = kind }
      return inner.size
    end))
  end)

  for _, class in ipairs { "Process", "Thread" } do
    it("AA24, AA38: a " .. class .. " that a task starts is as deep as the task", function()
      local function child(f, ...)
        return (mp[class] { target = f, args = table.pack(...) }:start():result(60))
      end
      assert.equal(1, pool():apply(child, { function()
        local inner <close> = mp.Pool { kind = kind }
        return inner.size
      end }))
      local function down(depth)
        if depth == 0 then return 0 end
        local p <close> = mp.Pool { 1, kind = kind }
        return 1 + p:apply(child, { down, depth - 1 })
      end
      assert.equal(10, down(10))
      support.raises("nested deeper than 10", down, 11)
    end)
  end

  it("AA33: a thread may make a pool", function()
    local t = mp.Thread { target = function()
      local p <close> = mp.Pool { 2, kind = kind }
      return p:map(square, numbers(4))
    end }
    t:start()
    assert.same(squares(4), t:result(30))
  end)

  it("AA16, AA17: to terminate one ends all below it, four levels", function()
    local pids, before = mp.Queue(), entries "task"
    local function tree(depth)
      pids:put(mp.getpid())
      if depth == 0 then forever() end
      local p = mp.Pool { 2, kind = kind }
      p:map(tree, { depth - 1, depth - 1 }, 1)
    end
    local p = pool(2)
    p:map_async(tree, { 3, 3 }, 1)
    local list = {}
    for i = 1, 30 do list[i] = pids:get(30) end
    p:terminate()
    assert.is_true(p:join(30))
    if processes then gone(list) end
    support.eventually(function() return entries "task" <= before end, "the end of all threads")
  end)
end)

describe("terminate" .. title, function()
  after_each(end_pools)

  it("Y22: ends running tasks that would never end; some take no notice", function()
    local p, running = pool(4), mp.Queue()
    local list = {
      p:submit(processes and stubborn or forever, running),
      p:submit(function() running:put(mp.getpid()) while true do pcall(forever) end end),
      p:submit(function() running:put(mp.getpid()) while true do end end),
      p:submit(function() running:put(mp.getpid()) forever() end),
      p:submit(square, 1),
    }
    local pids = { running:get(30), running:get(30), running:get(30), processes and running:get(30) or nil }
    p:terminate()
    assert.is_true(p:join(30))
    for _, f in ipairs(list) do assert.equal("PoolTerminated", f:exception(0).name) end
    if processes then gone(pids) end
  end)

  it("Y23: of a pool with dead workers or none is fine; then it takes no work", function()
    local p = pool(2)
    full(p, 2)
    for _, w in ipairs(p:stats().workers) do
      if processes then os.execute("kill -9 " .. w.pid) else p:submit(os.exit) end
    end
    p:terminate()
    p:terminate()
    assert.is_true(p:join(30))
    support.raises("the pool was terminated", p.submit, p, square, 1)
    local ex = executor(2)
    ex:shutdown { cancel_futures = true }
    support.raises("the executor was shut down", ex.submit, ex, square, 1)
  end)

  it("AA08: with 100 MB in flight, and with 10 x 10 MB waiting", function()
    local before = support.arena()
    local p, running = pool(1), mp.Queue()
    local big = ("x"):rep(100 * 2^20 // 1)
    p:submit(function() running:put(1) forever() end)
    running:get(30)
    local f = p:submit(string.len, big)
    p:terminate()
    assert.is_true(p:join(30))
    assert.equal("PoolTerminated", f:exception(0).name)
    p = pool(1)
    local list = {}
    for i = 1, 10 do list[i] = p:submit(string.len, big:sub(1, 10 << 20)) end
    for i = 1, 10 do list[i]:cancel() end
    p:terminate()
    assert.is_true(p:join(30))
    support.given_back(before)
  end)

  it("AA44: 200 pools that come and go leave no descriptor, process, thread or memory", function()
    local function cycle(i)
      local p = mp.Pool { 2, kind = kind }
      assert.equal(4, p:apply(square, { 2 }))
      if i % 2 == 0 then p:close() else p:terminate() end
      assert.is_true(p:join(30))
      if i % 10 == 0 then collectgarbage() end
    end
    for i = 1, 20 do cycle(i) end
    local fds, tasks, memory, before = entries "fd", entries "task", support.arena(), #live()
    for i = 1, 200 do cycle(i) end
    support.eventually(function()
      mp.active_children()  -- reaps the last supervisor
      collectgarbage()
      return entries "fd" <= fds
    end, "the end of all descriptors")
    assert.equal(before, #live())
    support.eventually(function() return entries "task" <= tasks end, "the end of all threads")
    assert.is_true(support.arena() <= memory + (1 << 20))
  end)

  it("AA44: 100 workers of one task each, without a pause", function()
    local p = pool { 4, maxtasksperchild = 1 }
    assert.same(squares(100), p:map(square, numbers(100), 1))
  end)
end)

describe("chunks" .. title, function()
  after_each(end_pools)

  it("AA34: of tiny tasks are large, of their own accord", function()
    local p = pool(2)
    local chunks, label = mp.Value("i64", 0), require "mp.core".task_label
    assert.same(squares(5000), p:map(function(x)
      if label() == 1 then chunks:add(1) end
      return square(x)
    end, numbers(5000)))
    assert.is_true(chunks.value > 0 and chunks.value < 2000, tostring(chunks.value))
    local n = 0
    for v in p:imap(square, numbers(5000)) do n = n + v end
    assert.equal(5000 * 5001 * 10001 // 6, n)
  end)

  it("AA34: of tasks that wait for each other are small enough to run at once", function()
    local p, barrier = pool(2), mp.Barrier(2)
    assert.same({ n = 2, true, true }, p:map(function() return barrier:wait(30) ~= nil end, { 1, 2 }))
  end)
end)

-- A script that says `ready` and then waits; what became of it.
local function interrupted(text)
  local path, out, err = script(text), support.file "out", support.file "err"
  local r = support.run { "bash", "-c", ([[
    env --default-signal=INT %s %s >%s 2>%s & P=$!
    for i in $(seq 1000); do grep -q ready %s && break; sleep 0.02; done
    kill -INT $P
    wait $P; echo status $?
    for i in $(seq 250); do
      left=$(for p in $(sed -n 's/^pid //p' %s); do
        grep -qs ') [^ZX] ' /proc/$p/stat && echo $p; done)
      [ -z "$left" ] && break; sleep 0.02
    done
    echo left $left]]):format(support.quote(support.program), path, out, err, out, out), seconds = 60 }
  return r, support.read(out), support.read(err)
end

local BUSY = [[
  local mp = require "mp"
  io.stdout:setvbuf "no"
  local p = mp.Pool { 3, KIND }
  local running = mp.Queue()
  local list = {}
  for i = 1, 3 do list[i] = p:submit(function()
    running:put(mp.getpid())
    if i == 1 then while true do end end
    if i == 2 and DEAF then mp.on_signal("TERM", function() end) end
    while true do mp.sleep(60) end
  end) end
  for i = 4, 9 do list[i] = p:submit(print, "FINISHED") end
  for i = 1, 3 do print("pid " .. running:get()) end
  for _, c in ipairs(mp.active_children()) do print("pid " .. c.pid) end
  print "ready"
]]

describe("Ctrl-C" .. title, function()
  after_each(end_pools)

  for name, waits in pairs {
    ["a result"] = "list[1]:result()",
    ["a map"] = "p:map(function() mp.sleep(60) end, { 1, 2, 3 })",
    ["results, within pcall"] = "for i = 1, 9 do pcall(list[i].result, list[i]) end print 'not here'",
    ["join"] = "p:close() p:join()",
    ["the end of the script"] = "",
    ["a computation"] = "while true do end",
    ["a result, with a task that takes no notice of SIGTERM,"] =
      processes and "--[[DEAF]] list[2]:result()" or nil,
  } do
    it("AA39: during " .. name .. " ends all, with one message and status 130", function()
      local r, out, err = interrupted((waits:find "DEAF" and "DEAF = true " or "") .. BUSY .. waits)
      assert.equal("status 130\nleft\n", r.out, out .. err)
      assert.is_nil(out:find "FINISHED")
      assert.is_nil(out:find "not here")
      local _, lines = err:gsub("\n", "")
      assert.equal(1, lines, err)
      assert.truthy(err:find("interrupted", 1, true), err)
    end)
  end
end)

describe("a worker that cannot be started" .. title, function()
  after_each(end_pools)

  it("Y21: the pool says so, and is no pool", function()
    local r = support.mprun { script [[
      local mp = require "mp"
      mp.configure { processes = 16 }
      local ok, e = pcall(mp.Pool, { 40, KIND })
      print(ok, e)
      local p = mp.Pool { 2, KIND }
      print(p:apply(function() return 5 end))]], seconds = 60 }
    assert.truthy(r.out:find "^false\t[^\n]*a worker could not be started", r.out)
    assert.truthy(r.out:find "\n5\n$", r.out)
  end)
end)
end
