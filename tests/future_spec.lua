-- future: what a task gives, callbacks, and waiting for many. SPDX-License-Identifier: MIT
local mp = require "mp"
local support = require "tests.support"
local raises, eventually = support.raises, support.eventually

local function identity(...) return ... end

-- An event, and a task that gives its arguments when it is set.
local function gate()
  local go = mp.Event()
  return go, function(...)
    go:wait(60)
    return ...
  end
end

local function collected(weak)
  eventually(function()
    collectgarbage()
    return next(weak) == nil
  end, "something keeps it")
end

for _, kind in ipairs(support.kinds) do
  describe("a Future of a pool, kind " .. kind, function()
    local pool

    before_each(function() pool = mp.Pool { processes = 2, kind = kind } end)

    after_each(function()
      pool:terminate()
      pool:join()
      support.clean()
    end)

    -- One of each state; those that are not over wait for the event.
    local function states()
      local go, wait = gate()
      local s = { go = go, done = pool:submit(identity, 42), failed = pool:submit(error, "bad", 0) }
      s.done:wait()
      s.failed:wait()
      s.running = pool:submit(wait, 42)
      s.running2 = pool:submit(wait)
      eventually(function() return s.running:running() and s.running2:running() end)
      s.pending, s.cancelled = pool:submit(identity, 42), pool:submit(identity)
      assert.is_true(s.cancelled:cancel())
      return s
    end

    it("Z13: says its state, and what came of it", function()
      local s = states()
      assert.equal("Future (pending)", tostring(s.pending))
      assert.equal("Future (running)", tostring(s.running))
      assert.equal("Future (cancelled)", tostring(s.cancelled))
      assert.equal("Future (finished: raised Error)", tostring(s.failed))
      assert.equal("Future (finished: returned number)", tostring(s.done))
      s.go:set()
      s.running2:wait()
      assert.equal("Future (finished: returned nothing)", tostring(s.running2))
    end)

    it("Z14: cancel, done, running, cancelled, ready, successful, in every state", function()
      local s = states()
      local function is(f, running, done, cancelled)
        assert.equal(running, f:running())
        assert.equal(done, f:done())
        assert.equal(done, f:ready())
        assert.equal(cancelled, f:cancelled())
      end
      is(s.pending, false, false, false)
      is(s.running, true, false, false)
      is(s.cancelled, false, true, true)
      is(s.failed, false, true, false)
      is(s.done, false, true, false)
      raises("AsyncResult:successful: the task is not over", s.pending.successful, s.pending)
      raises("AsyncResult:successful: the task is not over", s.running.successful, s.running)
      assert.is_false(s.cancelled:successful())
      assert.is_false(s.failed:successful())
      assert.is_true(s.done:successful())
      for _, name in ipairs { "running", "failed", "done" } do
        assert.is_false(s[name]:cancel(), name)
      end
      assert.is_true(s.cancelled:cancel())   -- it is
      assert.is_true(s.pending:cancel())
      is(s.pending, false, true, true)
      s.go:set()
      assert.equal(42, s.running:result())
      is(s.running, false, true, false)
    end)

    it("Z14: by force, a running one too; the pool goes on", function()
      local s = states()
      assert.is_true(s.running:cancel(true))
      assert.is_true(s.running:cancelled())
      assert.equal("Cancelled", raises("Cancelled", s.running.result, s.running).name)
      assert.equal("Cancelled", s.running:exception().name)
      assert.is_false(s.done:cancel(true))
      assert.equal(42, s.pending:result(30))   -- by the worker that took its place
      s.go:set()
      assert.is_true(s.running2:wait(30))
      assert.same({ 1, 2, 3, n = 3 }, pool:map(identity, { 1, 2, 3 }))
    end)

    it("Z15: result and exception with a timeout of 0, or a fraction", function()
      local s = states()
      for _, name in ipairs { "pending", "running" } do
        for _, seconds in ipairs { 0, 0.01 } do
          for _, call in ipairs { "result", "get", "exception", "wait" } do
            assert.same({ nil, "timeout", n = 2 }, table.pack(s[name][call](s[name], seconds)))
          end
        end
      end
      assert.equal("Cancelled", raises("the task was cancelled", s.cancelled.result, s.cancelled, 0).name)
      assert.equal("Cancelled", s.cancelled:exception(0).name)
      raises("bad", s.failed.result, s.failed, 0)
      raises("bad", s.failed.get, s.failed)
      assert.equal("bad", s.failed:exception(0).message)
      assert.equal(42, s.done:result(0))
      assert.is_nil(s.done:exception(0))
      assert.equal(1, select("#", s.done:exception(0)))
      assert.is_true(s.done:wait(0))
    end)

    it("Z16: who waits is woken when it is over, or cancelled by a callback", function()
      local go, wait = gate()
      local f, g = pool:submit(wait, 42), pool:submit(wait, 43)
      local h = pool:submit(identity)    -- behind the two
      f:add_done_callback(function() h:cancel() end)
      local timer = mp.Timer(0.1, function() go:set() end)
      timer:start()
      assert.equal(42, f:result())
      assert.equal(43, g:result(30))
      assert.is_true(h:done())
      timer:join()
    end)

    it("gives all values, none, nil and false", function()
      local f = pool:submit(identity, 1, nil, nil)
      assert.same({ 1, nil, nil, n = 3 }, table.pack(f:result()))
      assert.same({ 1, nil, nil, n = 3 }, table.pack(f:get()))       -- again
      assert.same({ n = 0 }, table.pack(pool:submit(identity):result()))
      assert.same({ nil, n = 1 }, table.pack(pool:submit(identity, nil):result()))
      assert.same({ false, n = 1 }, table.pack(pool:submit(identity, false):result()))
    end)

    it("X16 X18: errors as they were raised, nil, false, tables and strings", function()
      local function fail(e) error(e, 0) end
      for _, e in ipairs { false, 0, { code = 7 } } do
        local f = pool:submit(fail, e)
        local ok, got = pcall(f.result, f)
        assert.is_false(ok)
        assert.same(e, got)
        assert.same(e, f:exception().value)
      end
      local f = pool:submit(fail, nil)
      assert.is_false((pcall(f.result, f)))
      assert.is_false(f:successful())
      f = pool:submit(function() error "with a place" end)
      local why = raises("future_spec.lua:", f.result, f)
      for _, text in ipairs { "with a place", "remote stack traceback:", "in function 'error'", "(pid " } do
        assert.truthy(why:find(text, 1, true), why)
      end
      local e = f:exception()
      assert.equal("Error", e.name)
      assert.equal("number", type(e.pid))
      assert.truthy(e.traceback:find("future_spec.lua:", 1, true), e.traceback)
    end)

    -- callbacks ------------------------------------------------------------------------

    it("Z11: a callback runs once, with the future, added before or after", function()
      local go, wait = gate()
      local blocks = { pool:submit(wait), pool:submit(wait) }
      local makers = {
        result = function() return pool:submit(identity, 1) end,
        failed = function() return pool:submit(error, "bad") end,
        cancelled = function()
          local f = pool:submit(identity)
          f:cancel()
          return f
        end,
      }
      local before, seen = {}, {}
      local function note(f) seen[f] = (seen[f] or 0) + 1 end
      for _, name in ipairs { "result", "failed" } do
        before[#before + 1] = makers[name]()
        before[#before]:add_done_callback(note)
      end
      local c = pool:submit(identity)
      c:add_done_callback(note)
      c:cancel()
      assert.equal(1, seen[c])
      assert.is_nil(seen[before[1]])
      go:set()
      mp.wait_all(before)
      for _, f in ipairs(before) do assert.equal(1, seen[f]) end
      for name, make in pairs(makers) do
        local f = make()
        f:wait()
        f:add_done_callback(note)
        assert.equal(1, seen[f], name)
      end
      mp.wait_all(blocks)
      for _, n in pairs(seen) do assert.equal(1, n) end
    end)

    it("in order of completion, several of one in the order they were added", function()
      local log, gates, list = {}, {}, {}
      local one = mp.Pool { processes = 3, kind = kind }
      for i = 1, 3 do
        local go, wait = gate()
        gates[i], list[i] = go, one:submit(wait, i)
        for k = 1, 2 do
          list[i]:add_done_callback(function(f) log[#log + 1] = f:result() .. "/" .. k end)
        end
      end
      for _, i in ipairs { 3, 1, 2 } do
        gates[i]:set()
        list[i]:result()
      end
      assert.equal("3/1 3/2 1/1 1/2 2/1 2/2", table.concat(log, " "))
      one:close()
      one:join()
    end)

    it("does not run one inside another: a sum of hundreds is right", function()
      local sum, list, order = 0, {}, {}
      for i = 1, 400 do
        list[i] = pool:submit(identity, i)
        list[i]:add_done_callback(function(f)
          sum = sum + f:result()
          order[#order + 1] = f:done() and i
        end)
      end
      mp.wait_all(list)
      assert.equal(400 * 401 // 2, sum)
      assert.equal(400, #order)
    end)

    it("goes on with callbacks when a coroutine was left in the middle of one", function()
      local f, n = pool:submit(identity), 0
      f:add_done_callback(function() coroutine.yield() end)
      local co = coroutine.wrap(function() f:wait() end)
      co()
      local g = pool:submit(identity)
      g:add_done_callback(function() n = n + 1 end)
      g:wait()
      assert.equal(1, n)
    end)

    it("AA21: one may submit: chains of 100, 50 and 60", function()
      local left, over = { 100, 50, 60 }, 0
      local function step(i)
        left[i] = left[i] - 1
        if left[i] == 0 then
          over = over + 1
        else
          pool:submit(identity):add_done_callback(function() step(i) end)
        end
      end
      for i = 1, 3 do pool:submit(identity):add_done_callback(function() step(i) end) end
      while over < 3 do mp.wait({}, 0.01) end
      assert.same({ 0, 0, 0 }, left)
    end)

    it("one may wait for another future, whose callback then has run", function()
      local log = {}
      local f, g = pool:submit(identity, "f"), pool:submit(function()
        mp.sleep(0.02)
        return "g"
      end)
      g:add_done_callback(function() log[#log + 1] = "g" end)
      f:add_done_callback(function()
        log[#log + 1] = "f"
        local got = g:result()
        log[#log + 1] = "got " .. got
      end)
      f:result()
      assert.same({ "f", "g", "got g" }, log)
    end)

    it("Z12: an error in one is reported, and stops nothing", function()
      local r = support.mprun { support.script(([[
        local pool = mp.Pool { processes = 1, kind = %q }
        local f = pool:submit(function() return 1 end)
        f:add_done_callback(function() print "first" error "in the callback" end)
        f:add_done_callback(function() print "second" error { code = 1 } end)
        f:add_done_callback(function() print "third" end)
        print(f:result())
        f:add_done_callback(function() error "added late" end)
        pool:apply_async(error, { "x" }, nil, function(e) error(e.message .. " y") end):wait()
        pool:close()
        pool:join()
        print "end"]]):format(kind)) }
      assert.equal(0, r.status, r.err)
      assert.equal("first\nsecond\nthird\n1\nend\n", r.out)
      local _, n = r.err:gsub("main %(pid %d+%): a callback failed: ", "")
      assert.equal(4, n, r.err)
      for _, text in ipairs { "in the callback", "added late", "x y", "error object is a table value",
                              "script.lua:3: in function" } do
        assert.truthy(r.err:find(text, 1, true), r.err)
      end
    end)

    it("apply_async and map_async: a callback gets the value, the other one the error", function()
      local got, failed = {}, {}
      local function good(v) got[#got + 1] = v end
      local function bad(e) failed[#failed + 1] = e end
      pool:apply_async(identity, { 7, 8 }, good, bad):wait()
      pool:apply_async(error, { { code = 1 } }, good, bad):wait()
      pool:map_async(identity, { 1, 2 }, nil, good, bad):wait()
      pool:map_async(error, { 1, 2 }, nil, good, bad):wait()
      assert.same({ 7, { 1, 2, n = 2 } }, got)
      assert.equal(2, #failed)
      assert.same({ code = 1 }, failed[1].value)
      assert.equal(1, failed[2].value)
    end)

    it("callbacks run though the script only submits", function()
      local n = 0
      eventually(function()
        pool:submit(identity):add_done_callback(function() n = n + 1 end)
        return n > 100
      end)
    end)

    it("AA10: join before close is an error, and waits only so long", function()
      local go, wait = gate()
      local f = pool:submit(wait, 1)
      raises("Pool:join: the pool is still open; close or terminate it first", pool.join, pool)
      pool:close()
      assert.same({ nil, "timeout", n = 2 }, table.pack(pool:join(0.02)))
      assert.is_false(f:done())
      go:set()
      assert.is_true(pool:join(30))
      assert.equal(1, f:result(0))
    end)

    it("callbacks run in ready, done, wait_all, mp.wait, join and stats", function()
      local calls = {
        ready = function(f) return f:ready() end,
        done = function(f) return f:done() end,
        wait_all = function(f) mp.wait_all({ f }, 0.01) end,
        wait_any = function(f) mp.wait_any({ f }, 0.01) end,
        ["mp.wait"] = function() mp.wait({}, 0.01) end,
        ["mp.wait with others"] = function() mp.wait({ mp.Queue() }, 0.01) end,
        stats = function() pool:stats() end,
      }
      for name, call in pairs(calls) do
        local n, f = 0, pool:submit(identity)
        f:add_done_callback(function() n = n + 1 end)
        eventually(function()
          call(f)
          return n == 1
        end, name)
      end
      local n = 0
      pool:submit(identity):add_done_callback(function() n = n + 1 end)
      pool:close()
      pool:join()
      assert.equal(1, n)
    end)

    -- misuse ---------------------------------------------------------------------------

    it("says what is wrong with an argument, and where", function()
      local f = pool:submit(identity)
      raises("future_spec.lua", function() f:result("x") end)
      raises("Future:result: the timeout must be a number of seconds, got string", f.result, f, "x")
      raises("AsyncResult:get: the timeout must not be negative", f.get, f, -1)
      raises("Future:exception: the timeout must not be negative", f.exception, f, 0 / 0)
      raises("Future:cancel: force must be true or false, got number", f.cancel, f, 1)
      raises("Future:add_done_callback: expected a function, got nil", f.add_done_callback, f)
      raises("Future:result: expected a Future, got nil (call it with a colon)", f.result)
      raises("mp.wait_all: futures must be a list, got nil", mp.wait_all)
      raises("mp.wait_all: item 2 must be a Future, got number", mp.wait_all, { f, 1 })
      raises("mp.wait_all: return_when must be", mp.wait_all, { f }, 1, "soon")
      raises("mp.as_completed: item 1 must be a Future, got string", mp.as_completed, { "x" })
      raises("mp.as_completed: futures must be a list, got one Future; put it into {}", mp.as_completed,
             pool:submit(math.abs, -1))
      raises("mp.wait_any: an empty list", mp.wait_any, {})
    end)

    it("is of no use to another process, and cannot be sent", function()
      local f = pool:submit(identity)
      local why = support.elsewhere(function()
        local list = {}
        for _, call in ipairs { "result", "done", "cancel", "running" } do
          list[#list + 1] = select(2, pcall(f[call], f))
        end
        for _, g in ipairs { mp.wait_all, mp.wait_any, mp.as_completed, mp.wait } do
          list[#list + 1] = select(2, pcall(g, { f }))
        end
        return table.concat(list, "\n") .. tostring(f)
      end)
      local _, n = why:gsub("belongs to the process that submitted the task", "")
      assert.equal(8, n, why)
      assert.equal(0, (select("#", f:result(30))))
      raises("Queue:put: cannot send a Future; send what its task gives", function() mp.Queue():put(f) end)
      raises("Pool:apply: cannot send a Future (at ", pool.apply, pool, function() return f end)
      raises("cannot send a Future (at argument 1", pool.apply, pool, identity, { f })
    end)

    -- garbage --------------------------------------------------------------------------

    it("X13: when it is over and dropped, nothing of it is kept", function()
      local weak = setmetatable({}, { __mode = "k" })
      do
        local argument = { "large" }
        local f = pool:submit(identity, argument)
        f:add_done_callback(function() return f end)
        weak[argument], weak[f] = true, true
        weak[f:result()] = true
        local m = pool:map_async(identity, { argument })
        weak[m] = true
        weak[m:get()[1]] = true
      end
      collected(weak)
    end)

    it("Z25: as_completed keeps no future that it gave", function()
      local next_one
      local weak = setmetatable({}, { __mode = "k" })
      do
        local list = {}
        for i = 1, 5 do list[i] = pool:submit(identity, i) end
        next_one = mp.as_completed(list)
      end
      for _ = 1, 5 do
        do weak[next_one()] = true end
        collected(weak)
      end
      assert.is_nil(next_one())
    end)

    -- many -----------------------------------------------------------------------------

    -- Three that are over when told, in a pool with room for all; the gates.
    local function three()
      pool:resize(4)
      local list, gates = {}, {}
      for i = 1, 3 do
        local go, wait = gate()
        gates[i], list[i] = go, pool:submit(i == 2 and function()
          wait()
          error "bad"
        end or wait, i)
      end
      return list, gates
    end

    it("Z19: first_completed, with some over already", function()
      local list, gates = three()
      gates[3]:set()
      local done, pending = mp.wait_all(list, 30, "first_completed")
      assert.same({ n = 1, list[3] }, done)
      assert.same({ n = 2, list[1], list[2] }, pending)
      assert.equal(list[3], mp.wait_any(list))
      done = mp.wait_all(list, 30, "first_completed")   -- does not wait
      assert.equal(1, done.n)
      gates[1]:set()
      list[1]:wait()
      assert.equal(list[3], mp.wait_any(list))          -- the first one still
      done, pending = mp.wait_all(list, 30, "first_completed")
      assert.same({ n = 2, list[1], list[3] }, done)
      assert.same({ n = 1, list[2] }, pending)
      gates[2]:set()
    end)

    it("Z20: first_exception", function()
      local list, gates = three()
      gates[1]:set()
      list[1]:wait()
      local done, pending = mp.wait_all(list, 0.05, "first_exception")
      assert.same({ n = 1, list[1] }, done)
      assert.same({ n = 2, list[2], list[3] }, pending)
      gates[2]:set()
      done, pending = mp.wait_all(list, 30, "first_exception")
      assert.same({ n = 2, list[1], list[2] }, done)
      assert.same({ n = 1, list[3] }, pending)
      gates[3]:set()
      list[3]:wait()
      done, pending = mp.wait_all({ list[3], list[1] }, 30, "first_exception")  -- there is none
      assert.equal(2, done.n)
      assert.equal(0, pending.n)
    end)

    it("Z21: all, an error counts as done, and one that is there twice once", function()
      local list, gates = three()
      for _, go in ipairs(gates) do go:set() end
      local done, pending = mp.wait_all { list[1], list[2], list[1], list[3], list[2] }
      assert.same({ n = 3, list[1], list[2], list[3] }, done)
      assert.same({ n = 0 }, pending)
      assert.same({ n = 0 }, (mp.wait_all {}))
    end)

    it("Z22: timeout, done and pending split right", function()
      local list, gates = three()
      gates[1]:set()
      list[1]:wait()
      local t = mp.time()
      local done, pending = mp.wait_all(list, 0.05)
      assert.is_true(mp.time() - t >= 0.05)
      assert.same({ n = 1, list[1] }, done)
      assert.same({ n = 2, list[2], list[3] }, pending)
      assert.same({ nil, "timeout", n = 2 }, table.pack(mp.wait_any({ list[2], list[3] }, 0.01)))
      assert.same({ nil, "timeout", n = 2 }, table.pack(mp.wait_any({ list[2] }, 0)))
      gates[2]:set()
      gates[3]:set()
    end)

    it("Z23: as_completed gives each once, as they come, those that are over first", function()
      local list, gates = three()
      gates[3]:set()
      list[3]:wait()
      local got = {}
      for f in mp.as_completed { list[1], list[3], list[1], list[2], list[3] } do
        got[#got + 1] = f
        local next_gate = gates[({ 2, 1 })[#got]]
        if next_gate then next_gate:set() end
      end
      assert.same({ list[3], list[2], list[1] }, got)
      for _ in mp.as_completed {} do error "there is none" end
    end)

    it("Z23 Z24: as_completed past its time says how many are missing", function()
      local list, gates = three()
      gates[1]:set()
      list[1]:wait()
      list[4] = pool:submit(identity)
      list[4]:wait()
      for _, seconds in ipairs { 0, 0.05 } do
        local got = {}
        local why = raises("2 (of 4) futures unfinished", function()
          for f in mp.as_completed(list, seconds) do got[#got + 1] = f end
        end)
        assert.equal("Timeout", why.name)
        assert.same({ list[1], list[4] }, got)
      end
      gates[2]:set()
      gates[3]:set()
    end)

    it("Z29: a hundred that end together, time and again", function()
      for _ = 1, 10 do
        local list = {}
        for i = 1, 100 do list[i] = pool:submit(identity, i) end
        local done, pending = mp.wait_all(list, 30)
        assert.equal(100, done.n)
        assert.equal(0, pending.n)
        local seen = 0
        for _ in mp.as_completed(list, 0) do seen = seen + 1 end
        assert.equal(100, seen)
      end
    end)

    it("of two pools, in one list", function()
      local other = mp.Pool { processes = 1, kind = kind }
      local go, wait = gate()
      local f, g = pool:submit(wait, 1), other:submit(identity, 2)
      assert.equal(g, mp.wait_any({ f, g }, 30))
      assert.same({ g, n = 1 }, mp.wait({ f, g }, 30))
      go:set()
      local done = mp.wait_all({ f, g }, 30)
      assert.same({ f, g, n = 2 }, done)
      other:terminate()
      other:join()
    end)

    it("in mp.wait, with queues, events, processes and descriptors, in the list's order", function()
      local go, wait = gate()
      local q, e, p = mp.Queue(), mp.Event(), mp.spawn(function() end)
      p:join()
      local f, g = pool:submit(wait, 1), pool:submit(wait, 2)
      local r, w = mp.Pipe(false)
      local list = { q, f, e, p, g, r:fileno() }
      assert.same({ p, n = 1 }, mp.wait(list, 30))
      list[4] = nil
      list.n = 3
      assert.same({ n = 0 }, mp.wait(list, 0.01))
      list = { q, f, e, g, r:fileno() }
      e:set()
      assert.same({ e, n = 1 }, mp.wait(list, 30))
      go:set()
      f:wait()
      g:wait()
      q:put(1)
      w:send "x"
      assert.same({ q, f, e, g, r:fileno(), n = 5 }, mp.wait(list, 30))
      assert.same({ g, f, g, n = 3 }, mp.wait { g, f, g })
      w:close()
      r:close()
    end)

    it("callbacks run inside mp.wait while it waits for something else", function()
      local q, n = mp.Queue(), 0
      local f = pool:submit(identity, 5)
      f:add_done_callback(function(g)
        n = n + 1
        q:put(g:result())
      end)
      assert.same({ q, n = 1 }, mp.wait({ q }, 30))
      assert.equal(5, q:get(false))
      assert.equal(1, n)
    end)

    it("one that a killed pool leaves behind fails at once", function()
      local go, wait = gate()
      local f, g = pool:submit(wait), pool:map_async(wait, { 1, 2, 3 })
      pool:terminate()
      assert.equal("PoolTerminated", f:exception(0).name)
      raises("the pool was terminated", g.get, g)
      assert.is_true(g:done())
      go:set()
    end)
  end)
end
