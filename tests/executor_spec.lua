-- executor: pools under the names of concurrent.futures. SPDX-License-Identifier: MIT
local mp = require "mp"
local support = require "tests.support"
local raises, eventually = support.raises, support.eventually

local function identity(...) return ... end

local function all(...)
  local list = {}
  for x in ... do list[#list + 1] = x end
  return list
end

local function upto(n)
  local list = {}
  for i = 1, n do list[i] = i end
  return list
end

local function squares(n)
  local list = {}
  for i = 1, n do list[i] = i * i end
  return list
end

local function count(set)
  local n = 0
  for _ in pairs(set) do n = n + 1 end
  return n
end

for _, kind in ipairs(support.kinds) do
local name = kind == "process" and "ProcessPoolExecutor" or "ThreadPoolExecutor"
  describe("mp." .. name, function()
    local ex

    local function make(o)
      o = o or {}
      o.max_workers = o.max_workers or 2
      return mp[name](o)
    end

    local function script(text, o)
      o = o or {}
      o[1] = support.script((text:gsub("EXECUTOR", "mp." .. name)))
      return support.mprun(o)
    end

    before_each(function() ex = make() end)

    after_each(function()
      ex:shutdown(true, true)
      support.clean()
    end)

    -- basics ---------------------------------------------------------------------------

    it("X01: submit: arguments, results, and a function that is missing", function()
      assert.equal(256.0, ex:submit(function(x, y) return x ^ y end, 2, 8):result())
      assert.same({ self = 1, fn = 2 }, ex:submit(identity, { self = 1, fn = 2 }):result())
      assert.equal("x", ex:submit_with({ timeout = 60, retries = 1 }, identity, "x"):result())
      raises("Executor:submit: expected a function, got nil", ex.submit, ex)
      raises("executor_spec.lua", function() ex:submit() end)
      raises("Executor:submit: expected an Executor, got nil (call it with a colon)", ex.submit)
      raises("Executor:map: expected a function, got table", ex.map, ex, {})
    end)

    it("says what it is, and how many it has", function()
      assert.equal(2, ex.max_workers)
      assert.equal(2, ex.size)
      assert.equal(7, mp[name](7).max_workers)
      assert.truthy(tostring(ex):find "^Executor .+ %(2 %a+, running%)$", tostring(ex))
      ex:shutdown()
      assert.truthy(tostring(ex):find "ended%)$", tostring(ex))
      raises("Executor: field x cannot be set", function() ex.x = 1 end)
    end)

    it("X15: max_workers and the other options", function()
      for _, n in ipairs { 0, -1, "x" } do
        raises(("mp.%s: max_workers must be an integer from 1"):format(name), mp[name], { max_workers = n })
      end
      raises("executor_spec.lua", function() mp[name](0) end)
      raises("unknown option 'workers'", mp[name], { workers = 1 })
      raises("unknown option 'kind'", mp[name], { kind = kind })
      raises("max_tasks_per_child must be an integer from 1", mp[name], { max_tasks_per_child = 0 })
      raises(("mp.%s: expected a table such as {max_workers = 4}"):format(name), mp[name], "x")
    end)

    it("X19 X20: workers start as tasks come, up to max_workers", function()
      local four = make { max_workers = 4 }
      assert.equal(0, four:stats().workers.n)
      local pids = {}
      for _ = 1, 3 do pids[four:submit(mp.getpid):result()] = true end
      if kind == "process" then assert.equal(1, count(pids)) end
      assert.equal(1, four:stats().workers.n)
      local go, list = mp.Event(), {}
      for i = 1, 60 do list[i] = four:submit(function() go:wait(60) end) end
      eventually(function() return four:stats().running == 4 end)
      assert.equal(4, four:stats().workers.n)
      go:set()
      mp.wait_all(list)
      assert.equal(4, four:stats().workers.n)
      four:shutdown()
    end)

    it("X23: fewer workers than wanted do the work; where there is none, tasks say why", function()
      local text = [[
        mp.configure { processes = %d }
        local ex, list = EXECUTOR(4), {}
        for i = 1, 20 do list[i] = ex:submit(math.abs, -i) end
        for i = 1, 20 do
          local e = list[i]:exception()
          print(e and e.name or list[i]:result(), e and e.message:match "as many processes as")
        end]]
      local r = script(text:format(3))
      assert.equal("", r.err)
      assert.truthy(r.out:find "^1\tnil\n.*20\tnil\n$", r.out)
      r = script(text:format(1))
      assert.equal(("BrokenPool\tas many processes as\n"):rep(20), r.out)
      assert.equal(0, r.status)
    end)

    it("X19: a map starts as many as it has items", function()
      local four = make { max_workers = 4 }
      local here = mp.Barrier(4)
      assert.same({ true, true, true, true },
                  all(four:map(function() return here:wait(60) and true end, upto(4))))
      four:shutdown()
    end)

    -- map ------------------------------------------------------------------------------

    it("X02 X17: map: several inputs, until the shortest ends; chunk sizes", function()
      local function times(x, y) return x * y end
      for _, size in ipairs { false, 3, 6, 40, 50 } do
        local o = size and { chunksize = size } or nil
        assert.same(squares(40), all(ex:map(times, upto(40), upto(41), o)))
        assert.same(upto(40), all(ex:map(identity, upto(40), o)))
      end
      local q = mp.Queue()
      q:put_many(upto(5))
      q:close()
      assert.same(squares(3), all(ex:map(times, q, upto(3))))
      for _, size in ipairs { 0, -1, "foo", 2.5 } do
        raises("Executor:map: chunksize must be an integer from 1", ex.map, ex, times, {}, { chunksize = size })
      end
    end)

    it("X03 X05: an error at its place, a timeout that the task raises too", function()
      for _, size in ipairs { 1, 3 } do
        for _, value in ipairs { "bad", { name = "Timeout" } } do
          local it = ex:map(function(x)
            if x == 3 then error(value, 0) end
            return x
          end, { 1, 2, 3, 4 }, { chunksize = size, timeout = 60 })
          assert.equal(1, it())
          assert.equal(2, it())
          local ok, e = pcall(it)
          assert.is_false(ok)
          if type(value) == "table" then assert.same(value, e) else assert.truthy(e:find "^bad") end
          assert.equal(4, it())
          assert.is_nil(it())
          assert.is_nil(it())
        end
      end
    end)

    it("X04 X25: the time for a map: results, then the error; what waits is cancelled", function()
      for _, call in ipairs { "()", ":next()", ":next(60)" } do
        local go, begun = mp.Event(), mp.Value("i64", 0)
        local it = ex:map(function(x)
          begun:add(1)
          if x > 2 then go:wait(60) end
          return x
        end, upto(10), { timeout = 0.3 })
        local function ask()
          if call == "()" then return it() end
          return it:next(call:match "%d+" and 60 or nil)
        end
        assert.equal(1, ask())
        assert.equal(2, ask())
        assert.equal("Timeout", raises("Executor:map: not all results came in time", ask).name)
        assert.is_nil(ask())
        go:set()
        assert.equal(1, ex:submit(identity, 1):result(30))
        assert.is_true(begun.value <= 4, begun.value)
      end
      raises("Executor:map: the timeout must not be negative", ex.map, ex, identity, {}, { timeout = -1 })
    end)

    it("X06: closed early", function()
      for _, size in ipairs { 1, 3 } do
        local it = ex:map(identity, upto(9), { chunksize = size })
        assert.equal(1, it())
        it:close()
        assert.is_nil(it())
      end
    end)

    it("X07 X08: buffersize: results and order are the same; what is wrong with one", function()
      for _, size in ipairs { 1, 2, 4, 8 } do
        local o = { buffersize = size }
        assert.same(upto(20), all(ex:map(identity, upto(20), o)))
        assert.same(squares(20), all(ex:map(function(x, y) return x * y end, upto(20), upto(20), o)))
      end
      for _, size in ipairs { "foo", 2.5, 0, -1 } do
        raises("Executor:map: buffersize must be an integer from 1", ex.map, ex, identity, {},
               { buffersize = size })
      end
      raises("Executor:map: unknown option 'buffer' (there are buffersize", ex.map, ex, identity, {},
             { buffer = 1 })
    end)

    it("X09 X10 X11: endless and empty inputs; exactly buffersize items are read", function()
      local function counter()
        local i = { n = 0 }
        return function()
          i.n = i.n + 1
          return i.n
        end, i
      end
      local a, read_a = counter()
      local b, read_b = counter()
      local it = ex:map(function(x, y) return x + y end, a, b, { buffersize = 2 })
      mp.sleep(0.02)
      assert.equal(2, read_a.n)
      assert.equal(2, read_b.n)
      for i = 1, 10 do assert.equal(2 * i, it()) end
      it:close()
      it = ex:map(identity, (counter()))
      for i = 1, 100 do assert.equal(i, it()) end
      it:close()
      assert.same({}, all(ex:map(identity, {}, { buffersize = 2 })))
      assert.same({}, all(ex:map(identity, {})))
      raises("Executor:map: expected a list or an iterator function", ex.map, ex, identity)
      raises("Executor:map: expected a list", ex.map, ex, identity, nil)
    end)

    it("X24: map starts work though nobody asks for its results", function()
      local n = mp.Value("i64", 0)
      ex:map(function() n:add(1) end, upto(20))
      collectgarbage()
      eventually(function() return n.value == 20 end)
    end)

    it("X14: an iterator keeps no result that it gave", function()
      local weak = setmetatable({}, { __mode = "k" })
      local it = ex:map(function(x) return { x } end, upto(4))
      for _ = 1, 4 do
        do weak[it()] = true end
        eventually(function()
          collectgarbage()
          return next(weak) == nil
        end)
      end
      assert.is_nil(it())
    end)

    it("X21: a worker drops what a task was given", function()
      local one = make { max_workers = 1, initializer = function()
        mp.worker.state.kept = setmetatable({}, { __mode = "k" })
      end }
      one:submit(function(t) mp.worker.state.kept[t] = true end, { "large" }):result()
      eventually(function()
        return one:submit(function()
          collectgarbage()
          return next(mp.worker.state.kept) == nil
        end):result()
      end)
      one:shutdown()
    end)

    -- initializer ----------------------------------------------------------------------

    it("Z26: every worker ran the initializer with its arguments", function()
      local calls = mp.Value("i64", 0)
      local three = make { max_workers = 3, initargs = { 40, 2 }, initializer = function(x, y)
        calls:add(1)
        mp.worker.state.sum = x + y
      end }
      local here = mp.Barrier(3)
      assert.same({ 42, 42, 42 }, all(three:map(function()
        here:wait(60)
        return mp.worker.state.sum
      end, upto(3))))
      assert.equal(3, calls.value)
      three:shutdown()
    end)

    it("Z27: one that fails: futures and submit say so, and it is reported once", function()
      local r = script [[
        local ex = EXECUTOR { max_workers = 2, initializer = function() error "no database" end }
        local f, g = ex:submit(print, 1), ex:submit(print, 2)
        print(f:exception().name, g:exception().name)
        print(f:exception().message:match "no database")
        print(pcall(ex.submit, ex, print))
        ex:shutdown()]]
      assert.equal(0, r.status, r.err)
      local first, second, third = r.out:match "^(.-)\n(.-)\n(.*)"
      assert.equal("BrokenPool\tBrokenPool", first)
      assert.equal("no database", second)
      assert.truthy(third:find("Executor:submit: the pool is broken", 1, true), third)
      local _, n = r.err:gsub("no database", "")
      assert.equal(1, n, r.err)
    end)

    -- shutdown -------------------------------------------------------------------------

    it("Z01: no work after shutdown", function()
      ex:shutdown()
      raises("Executor:submit: the executor was shut down; it takes no new tasks", ex.submit, ex, print)
      raises("Executor:map: the executor was shut down", ex.map, ex, print, {})
      raises("executor_spec.lua", function() ex:submit(print) end)
      ex:shutdown()
      raises("Executor:shutdown: wait must be true or false, got number", ex.shutdown, ex, 1)
    end)

    it("Z04: all results are there after shutdown", function()
      local list = {}
      for i = 1, 50 do
        list[i] = ex:submit(function()
          mp.sleep(0.001)
          return i
        end)
      end
      ex:shutdown()
      for i = 1, 50 do assert.equal(i, list[i]:result(0)) end
    end)

    it("Z05: cancel_futures: what nobody has begun is cancelled, none is left pending", function()
      for _, how in ipairs { "arguments", "table" } do
        local one, go, list = make(), mp.Event(), {}
        for i = 1, 50 do
          list[i] = one:submit(function()
            go:wait(60)
            return i
          end)
        end
        eventually(function() return list[1]:running() and list[2]:running() end)
        if how == "table" then
          one:shutdown { wait = false, cancel_futures = true }
        else
          one:shutdown(false, true)
        end
        for i = 3, 50 do assert.is_true(list[i]:cancelled()) end
        assert.is_false(list[1]:done())
        go:set()
        one:shutdown()
        assert.equal(1, list[1]:result(0))
        assert.equal(2, list[2]:result(0))
      end
    end)

    it("Z05: of maps, too", function()
      local go = mp.Event()
      local it = ex:map(function(x)
        if x > 1 then go:wait(60) end
        return x
      end, upto(50))
      assert.equal(1, it())
      ex:shutdown(false, true)
      go:set()
      ex:shutdown()
      local n, last = 0, nil
      while true do
        local ok, x = pcall(it)
        if not ok then last = x break end
        if x == nil then break end
        n = n + 1
      end
      assert.is_true(n < 10, n)
      assert.equal("Cancelled", last and last.name)
      assert.is_nil(it())
    end)

    it("X12 Z07 Z10: shutdown right after submitting, cancelling, or a task that failed", function()
      for _ = 1, 10 do
        local one, n = make(), mp.Value("i64", 0)
        for _ = 1, 3 do one:submit(function() n:add(1) end) end
        one:shutdown()
        assert.equal(3, n.value)
        one = make()
        one:submit(identity):cancel()
        one:shutdown()
        one = make { max_tasks_per_child = 1 }
        local f, g = one:submit(error, "x"), one:submit(identity, 1)
        one:shutdown(false)
        assert.equal("x", f:exception(30).message)
        assert.equal(1, g:result(30))
        one:shutdown()
      end
    end)

    it("Z08 Z09: all its workers have ended: after shutdown, a scope, or dropped", function()
      local live = kind == "process" and mp.active_children or mp.active_threads
      local before = #live()
      local pids = {}
      local function use(one)
        pids[#pids + 1] = one:submit(mp.getpid):result()
        return one:submit(function() mp.sleep(0.02) return 7 end)
      end
      local function gone()
        return #live() == before
          and (kind ~= "process" or not io.open(("/proc/%d/stat"):format(pids[#pids])))
      end
      local f
      do
        local one <close> = make()
        f = use(one)
      end
      assert.equal(7, f:result(0))
      assert.is_true(gone())
      f = use(make())
      eventually(function()
        collectgarbage()
        return gone()
      end, "a dropped executor leaves something behind")
      assert.equal(7, f:result(0))
      local one = make()
      f = use(one)
      one:shutdown(false)
      eventually(gone, "shutdown(false) leaves something behind")
      assert.equal(7, f:result(0))
    end)

    -- the end of the script ------------------------------------------------------------

    it("Z02 Z06: the script's end waits for what was submitted; callbacks run", function()
      for _, last in ipairs { "", "ex:shutdown(false)", "ex = nil collectgarbage()", "os.exit(0, true)",
                              "os.exit(0)" } do
        local r = script([[
          local ex = EXECUTOR(2)
          ex:submit(function() mp.sleep(0.05) io.write "apple\n" end)
            :add_done_callback(function(f) print("done", f:done()) end)
        ]] .. last)
        assert.equal("", r.err, last)
        assert.equal(#"apple\ndone\ttrue\n", #r.out, last)   -- in any order: two processes
        assert.truthy(r.out:find "apple\n" and r.out:find "done\ttrue\n", r.out)
        assert.equal(0, r.status, last)
      end
    end)

    it("an error at the script's end does not undo what was submitted", function()
      local r = script [[
        local ex = EXECUTOR(1)
        ex:submit(function() mp.sleep(0.05) io.write "apple\n" end)
        error "the script's own"]]
      assert.equal("apple\n", r.out)
      assert.truthy(r.err:find("the script's own", 1, true), r.err)
      assert.equal(1, r.status)
    end)

    it("dropped with everything, at once before the end", function()
      local r = script [[
        for _ = 1, 3 do
          local ex = EXECUTOR(1)
          ex:submit(function() io.write "apple\n" end)
          ex = nil
          collectgarbage()
        end]]
      assert.equal("", r.err)
      assert.equal("apple\napple\napple\n", r.out)
      assert.equal(0, r.status)
    end)

    it("Z03: an exit handler may submit, and so may callbacks after the script's end", function()
      local r = script [[
        local ex = EXECUTOR(1)
        mp.atexit(function()
          ex:submit(function() io.write "from the handler\n" end)
        end)
        local left = 20
        local function step()
          left = left - 1
          if left == 0 then return print "the last step" end
          ex:submit(math.abs, 1):add_done_callback(step)
        end
        ex:submit(math.abs, 1):add_done_callback(step)]]
      assert.equal("", r.err)
      assert.equal(0, r.status)
      assert.truthy(r.out:find("from the handler\n", 1, true), r.out)
      assert.truthy(r.out:find("the last step\n", 1, true), r.out)
    end)

    it("Z30: no-wait shutdown with cancel: the script ends, and says nothing", function()
      local r = script [[
        local ex, list = EXECUTOR(1), {}
        for i = 1, 20 do list[i] = ex:submit(mp.sleep, 0.01) end
        ex:shutdown { wait = false, cancel_futures = true }]]
      assert.equal("", r.err)
      assert.equal("", r.out)
      assert.equal(0, r.status)
    end)

    it("Ctrl-C in a callback and at the end: nothing is waited for", function()
      for _, text in ipairs { [[
        f:add_done_callback(function() kill() mp.sleep(60) end)
        f:wait()]], [[
        ex:submit(function() mp.sleep(0.1) kill() mp.sleep(60) end)]] } do
        local r = script([[
          local main = mp.getpid()
          local function kill() io.popen("kill -INT " .. main):close() end
          local ex = EXECUTOR(1)
          local f = ex:submit(math.abs, 1)
          ]] .. text, { seconds = 30 })
        assert.equal(130, r.status, r.err)
        assert.equal("mprun: interrupted\n", r.err)
        assert.equal("", r.out)
      end
    end)

    -- in other processes ---------------------------------------------------------------

    it("belongs to its process: a child learns that, and its end does no harm", function()
      local f = ex:submit(identity, 1)
      local why = support.elsewhere(function()
        local list = {}
        for _, call in ipairs { "submit", "map", "shutdown", "stats" } do
          list[#list + 1] = select(2, pcall(ex[call], ex, print, {}))
        end
        getmetatable(ex).__close(ex)
        getmetatable(ex).__gc(ex)
        return table.concat(list, "\n")
      end)
      local _, n = why:gsub("belongs to the process that made it", "")
      assert.equal(4, n, why)
      assert.equal(1, f:result(30))
      assert.equal(2, ex:submit(identity, 2):result(30))
      raises("cannot send an Executor; make one there, or send what its tasks return", mp.pack, ex)
    end)

    it("Z28: children forked while tasks are under way never hang", function()
      local list = {}
      for i = 1, 50 do
        for _ = 1, 4 do list[#list + 1] = ex:submit(identity, i) end
        assert.equal(i, support.elsewhere(function()
          local one = make { max_workers = 1 }
          local got = one:submit(identity, i):result()
          one:shutdown()
          return got
        end))
      end
      local done = mp.wait_all(list, 60)
      assert.equal(200, done.n)
    end)
  end)
end
