-- pool_race: what happens in the middle of a pool's calls: signal handlers,
-- finalizers, deaths between two messages; and what many tasks cost.
--
-- SPDX-License-Identifier: MIT

local mp = require "mp"
local support = require "tests.support"

-- Until the process sleeps.
local function asleep(pid)
  mp.sleep(0.005)
  support.eventually(function()
    return support.read(("/proc/%d/stat"):format(pid)):match "%) (%a)" == "S"
  end, "its sleep")
end

describe("a pool, in the middle of something,", function()
  after_each(support.clean)

  -- The handler takes in the result that the call it interrupts waits for.
  for what, wait in pairs {
    get = function(f) return f:get() end,
    ["mp.wait"] = function(f) return mp.wait({ f, mp.Event() })[1]:get() end,
    ["mp.wait_all"] = function(f, other) return mp.wait_all({ f, other })[1]:get() end,
    imap = function(_, _, it) return it() end,
    join = function(f, _, _, pool)
      pool:close()
      pool:join()
      return f:get()
    end,
  } do
    it("finds what a signal's handler took in meanwhile: " .. what, function()
      local ready = mp.Event()
      local p = mp.spawn(function()
        local pool, more <close>, go = mp.Pool(2), mp.Pool(1), mp.Event()
        local function work()
          go:wait()
          return "done"
        end
        local f, it = pool:submit(work), pool:imap(work, { 1 })
        local other = more:submit(work)
        mp.on_signal("USR1", function()
          go:set()
          mp.wait_all { f, other }
          while not it.job.ready[1] do pool:stats() end
          if what == "join" then pool:join() end
        end)
        ready:set()
        return wait(f, other, it, pool)
      end)
      assert.is_true(ready:wait(20))
      asleep(p.pid)
      os.execute("kill -USR1 " .. p.pid)
      assert.equal("done", p:result(20))
    end)
  end

  -- It raises while the result is decoded: that is when most of them come.
  it("keeps a result when a signal's handler raises", function()
    local go, raised = mp.Event(), mp.Event()
    local p = mp.spawn(function()
      local pool <close> = mp.Pool(1)
      mp.on_signal("USR1", function()
        raised:set()
        error("alarm", 0)
      end)
      for i = 1, 40 do
        local f = pool:submit(function()
          local list = {}
          for k = 1, 100000 do list[k] = { k } end
          return list, go:set()
        end)
        local ok, why = pcall(f.get, f)
        assert(ok or why == "alarm")
        if not ok then assert(#f:get(20) == 100000) end
        pcall(raised.wait, raised, 20)
        raised:clear()
      end
    end)
    for i = 1, 40 do
      if not go:wait(20) then break end
      go:clear()
      mp.sleep(i / 2000)
      os.execute("kill -USR1 " .. p.pid)
    end
    p:join(60)
    assert.equal(0, p.exitcode)
  end)

  it("gives results whatever the arguments' metamethods do", function()
    local pool <close> = mp.Pool(1)
    local function raise() error "evil" end
    local evil = setmetatable({}, { __tostring = raise })
    assert.equal("table", pool:submit(type, evil):get(20))
    assert.same({ n = 1, "table" }, pool:map_async(type, { evil }):get(20))
    local first = true
    local once = setmetatable({ n = 1 }, { __index = function()
      if not first then raise() end
      first = false
      return 5
    end })
    assert.same({ n = 1, "number" }, pool:map_async(type, once):get(20))
    local e = pool:submit(function() os.exit(4) end, evil):exception(20)
    assert.equal("WorkerLost", e.name)
  end)

  it("works in a finalizer, where Lua collects nothing", function()
    local got = support.mprun { "-e", [[
      local mp = require "mp"
      setmetatable({}, { __gc = function()
        local pool <close> = mp.Pool(1)
        pool:apply(print, { "one" })
        mp.sleep(0.5)  -- workers tidy up in the meantime
        pool:apply(print, { "two" })
      end })
      collectgarbage()
    ]] }
    assert.same({ status = 0, out = "one\ntwo\n", err = "" }, got)
  end)

  -- All chunks of a map have its id.
  it("blames each death for what died with it", function()
    local pool <close> = mp.Pool { 2, on_death = "fail" }
    local pids = mp.Dict()
    local it <close> = pool:imap(function(i)
      pids[i] = mp.getpid()
      mp.sleep(60)
    end, { 1, 2 }, 1)
    support.eventually(function() return pids[1] and pids[2] end)
    local first, second = pids[1], pids[2]
    os.execute("kill -KILL " .. second)
    support.eventually(function()  -- it is told, and a worker has the item again
      local c = rawget(pool, "client")
      c:take_in()
      return it.job.ready[2]
    end)
    os.execute("kill -KILL " .. first)
    assert.equal(first, select(2, pcall(it)).pid)
    assert.equal(second, select(2, pcall(it)).pid)
  end)

  it("blames the last death where earlier ones were made good", function()
    local pool <close> = mp.Pool { 1, on_death = "retry" }
    local c = rawget(pool, "client")
    local runs, pids = mp.Value("i64", 0), mp.Queue()
    local f = pool:map_async(function(i)
      local n = runs:add(1)
      if i == 1 and n == 1 then os.exit(7) end
      if i == 2 then
        pids:put(mp.getpid())
        os.exit(8)
      end
    end, { 1, 2 }, 1)
    local e = f:exception(30)
    assert.same({ "WorkerLost", 8 }, { e.name, e.exitcode })
    assert.is_nil(next(c.deaths))
  end)

  -- It had told of a worker's death, and not yet struck that from the board.
  it("counts a death once when the supervisor dies after it", function()
    local pool <close> = mp.Pool(1)
    local c = rawget(pool, "client")
    local pids = mp.Queue()
    local it <close> = pool:imap(function()
      pids:put(mp.getpid())
      mp.sleep(60)
    end, { 1, 2 }, 1)
    local first = pids:get(20)
    os.execute("kill -STOP " .. c.supervisor.pid)
    os.execute("kill -KILL " .. first)
    support.eventually(function()
      return support.read(("/proc/%d/stat"):format(first)):match "%) Z"
    end, "the worker's end")
    mp.core.task_put(c.results, "test", 1, nil, "died", 1, first, -9, it.job.id, nil, 1)
    c.supervisor:kill()
    assert.equal(first, select(2, pcall(it)).pid)
    local second = pids:get(20)
    os.execute("kill -KILL " .. second)
    assert.equal(second, select(2, pcall(it)).pid)
  end)

  it("gives many results of one task in linear time", function()
    local pool <close> = mp.Pool(1)
    local start = os.clock()
    local list = table.pack(pool:submit(function() return table.unpack({}, 1, 100000) end):get(20))
    assert.equal(100000, list.n)
    assert.is_true(os.clock() - start < 1)
  end)

  -- Each looks for its message from the first on, and no further than that is.
  it("cancels many tasks as fast as it takes them", function()
    local ex <close> = mp.ProcessPoolExecutor(1)
    local go, futures, n = mp.Event(), {}, 20000
    ex:submit(function() go:wait() end)
    for _, cancel in ipairs {
      function() for i = 1, n do futures[i]:cancel() end end,
      function() ex:shutdown(false, true) end,
    } do
      local start = os.clock()
      for i = 1, n do futures[i] = ex:submit(math.abs, i) end
      local middle = os.clock()
      cancel()
      local took = os.clock() - middle
      assert.is_true(took < 2 * (middle - start) + 0.05, took)
      assert.is_true(futures[1]:cancelled() and futures[n]:cancelled())
    end
    go:set()
  end)
end)
