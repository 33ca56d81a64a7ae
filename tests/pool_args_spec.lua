-- pool_args: what can be a task, an argument and a result of a pool; what is
-- said of what cannot; how code and large values travel. SPDX-License-Identifier: MIT
local mp = require "mp"
local support = require "tests.support"
local raises, eventually = support.raises, support.eventually

local KINDS = support.kinds

local function id(...) return ... end

-- f raises, and names its own line and that text.
local function raises_here(text, f)
  local why = raises(text, f)
  local line = debug.getinfo(f, "S").linedefined
  local got = tonumber(tostring(why):match "pool_args_spec.lua:(%d+): ")
  assert.equal(line, got, tostring(why))
  assert.is_nil(tostring(why):find("mp/pool", 1, true), tostring(why))
end

for _, kind in ipairs(KINDS) do
describe("Pool of kind " .. kind .. ":", function()
  local pool

  setup(function() pool = mp.Pool { processes = 2, kind = kind } end)

  teardown(function()
    pool:terminate()
    pool:join()
  end)

  after_each(support.clean)

  describe("tasks", function()
    it("are closures; upvalues are copied at each submit", function()
      local n = 0
      local function f(x) return x + n end
      for i = 1, 8 do
        n = i * 100
        assert.equal(n + 1, pool:apply(f, { 1 }))
      end
      local results = {}
      for i = 1, 8 do
        n = i // 2
        results[i] = pool:submit(f, 10)
      end
      for i = 1, 8 do assert.equal(10 + i // 2, results[i]:result()) end
      n = 7
      assert.same({ 8, 9, n = 2 }, pool:map(f, { 1, 2 }))
    end)

    it("are closures; what a task makes of its upvalues, the next does not see", function()
      local p <close> = mp.Pool { 1, kind = kind }
      local n, list = 0, {}
      local function count() n = n + 1 return n end
      local function collect(x) list[#list + 1] = x return #list end
      local function both() return count() + collect(1) end
      for _ = 1, 6 do
        assert.same({ 1, 1, 2 }, { p:apply(count), p:apply(collect, { 7 }), p:apply(both) })
      end
      n = 10
      assert.equal(11, p:apply(count))
      assert.equal(11, p:apply(count))
    end)

    it("are recursive and anonymous functions, and each other's upvalues", function()
      local fact
      function fact(x) return x < 2 and 1 or x * fact(x - 1) end
      local function twice(x) return 2 * fact(x) end
      for _ = 1, 4 do
        assert.equal(120, pool:apply(fact, { 5 }))
        assert.equal(240, pool:apply(twice, { 5 }))
        assert.equal("ab", pool:apply(function(a) return a .. "b" end, { "a" }))
      end
    end)

    it("are callable tables", function()
      local class = { __call = function(self, x) return self.k * x end }
      local c = setmetatable({ k = 3 }, class)
      for k = 3, 6 do
        c.k = k
        assert.equal(7 * k, pool:apply(c, { 7 }))
      end
      assert.same({ 6, 12, n = 2 }, pool:map(c, { 1, 2 }))
      local it = pool:imap(c, { 1, 2 })
      assert.same({ 6, 12 }, { it(), it() })
    end)

    it("are functions and modules by name", function()
      assert.equal("4-x", pool:apply(string.format, { "%d-%s", 4, "x" }))
      assert.same({ 1, 2, n = 2 }, pool:map(math.floor, { 1.5, 2.5 }))
      assert.is_true(pool:apply(rawequal, { string, string }))
      assert.is_number(pool:apply(mp.getpid))
    end)

    it("are methods, with their object as the argument", function()
      local o = { x = 1 }
      function o:add(y) return self.x + y end
      assert.equal(5, pool:apply(o.add, { o, 4 }))
      local q, event, v, d = mp.Queue(), mp.Event(), mp.Value("i64", 1), mp.Dict()
      for i = 1, 4 do assert.is_true(pool:apply(q.put, { q, i })) end
      assert.same({ 1, 2, 3, 4, n = 4 }, q:get_many(9))
      pool:apply(event.set, { event })
      assert.is_true(event:is_set())
      assert.equal(5, pool:apply(v.add, { v, 4 }))
      pool:starmap(d.set, { { d, "a", 1 }, { d, "b", 2 } })
      assert.same({ a = 1, b = 2 }, d:totable())
      local lock = mp.Lock()
      assert.equal(9, pool:apply(lock.with, { lock, id, 9 }))
      local here, there = mp.Pipe()
      local send = there.send
      pool:apply(function(x) send(there, x) end, { "hello" })
      assert.equal("hello", here:recv(30))
    end)
  end)

  describe("values", function()
    it("are objects of ours: arguments, upvalues and results", function()
      local a, b = mp.Pipe()
      local objects = { mp.Queue(), mp.JoinableQueue(), mp.SimpleQueue(), a, b, mp.Lock(), mp.RLock(),
        mp.Semaphore(2), mp.BoundedSemaphore(1), mp.Event(), mp.Condition(), mp.Barrier(2),
        mp.Value("i64", 3), mp.Value("any", {}), mp.Array("f64", 3), mp.Buffer(10), mp.Dict {},
        mp.List {}, mp.Namespace {}, mp.current_process(), mp.Process { target = print } }
      for _, x in ipairs(objects) do
        assert.equal(x, (pool:apply(id, { x })))
        assert.equal(x, (pool:apply(function() return x end)))
        assert.equal(x, pool:apply(id, { { deep = { x } } }).deep[1])
      end
      assert.same({ n = #objects, table.unpack(objects) }, pool:map(id, objects))
    end)

    it("are open files by mp.fd", function()
      local path = support.script("first\nsecond\n")
      local file <close> = assert(io.open(path))
      local fd = mp.fd(file)
      assert.equal("first", pool:apply(function(x) return mp.fdopen(x, "r"):read() end, { fd }))
      raises_here("Pool:apply: cannot send a file (at argument 1); send its name, and open it there",
        function() pool:apply(id, { file }) assert(true) end)
    end)

    it("are nil, false, many, and lists with holes", function()
      assert.same({ n = 4, [2] = false }, table.pack(pool:apply(id, { n = 4, nil, false })))
      assert.same({ n = 3, [2] = false }, table.pack(pool:submit(id, nil, false, nil):result()))
      assert.equal(1000, select("#", pool:apply(id, { n = 1000 })))
      assert.equal(200, select("#", pool:apply(function() return table.unpack({}, 1, 200) end)))
      for chunk = 1, 4 do
        local list = { n = 5, 1, nil, false, nil, 5 }
        assert.same(list, pool:map(id, list, chunk))
      end
      assert.same({ n = 2, false }, pool:map(id, { false, n = 2 }))
      local function count(...) return select("#", ...) end
      assert.same({ n = 3, 0, 3, 300 }, pool:starmap(count, { {}, { nil, nil, n = 3 }, { n = 300 } }))
      assert.same({ n = 3, 0, 3, 300 }, pool:starmap(count, { {}, { nil, nil, n = 3 }, { n = 300 } }, 3))
      local it = pool:imap(id, { false, 1, false })
      assert.same({ false, 1, false }, { it:next(), it:next(), it:next() })
    end)

    it("that cannot travel are named, as the script's line", function()
      local co, closed = coroutine.create(print), mp.Dict()
      do local _ <close> = closed end
      raises_here("Pool:apply: cannot send a coroutine (at argument 2.a[1]); send the function that it runs",
        function() pool:apply(id, { 1, { a = { co } } }) assert(true) end)
      raises_here("Pool:apply: cannot send a coroutine (at upvalue 'co' of function <",
        function() pool:apply(function() return co end) assert(true) end)
      raises_here("Pool:map: cannot send a coroutine (at upvalue 'co' of function <",
        function() pool:map(function() return co end, { 1 }) assert(true) end)
      raises_here("Pool:imap: cannot send a coroutine (at upvalue 'co' of function <",
        function() pool:imap(function() return co end, { 1 }) assert(true) end)
      raises_here("Pool:map: cannot send a coroutine (at item 5.co)",
        function() pool:map(id, { 1, 2, 3, 4, { co = co } }, 3) assert(true) end)
      raises_here("Pool:apply: cannot send an object that is closed here (at argument 1)",
        function() pool:apply(id, { closed }) assert(true) end)
      raises_here("Pool:apply: cannot send a C function that no module names (at the function)",
        function() pool:apply(coroutine.wrap(print)) assert(true) end)
      raises("Pool:apply: cannot send a Pool (at argument 1); make one there", pool.apply, pool, id, { pool })
      raises("Pool:apply: cannot send a Future", pool.apply, pool, id, { pool:submit(id) })
    end)

    it("that cannot travel are their task's error", function()
      local bad, good = pool:submit(id, coroutine.create(print)), pool:submit(id, 3)
      assert.equal(3, good:result())
      assert.truthy(bad:exception().message:find("Pool:submit: cannot send a coroutine (at argument 1)", 1, true))
      local it = pool:imap(id, { 1, coroutine.create(print), 3 }, 3)
      assert.equal(1, it())
      raises("Pool:imap: cannot send a coroutine (at item 2)", it)
      assert.equal(3, it())
      assert.is_nil(it())
    end)
  end)

  describe("inputs", function()
    it("are iterators, queues and shared lists", function()
      local i = 0
      assert.same({ 1, 2, 3, n = 3 }, pool:map(id, function()
        i = i + 1
        return i < 4 and i or nil
      end))
      assert.same({ "a", "b", n = 2 }, pool:map(id, io.lines(support.script("a\nb\n"))))
      for _, make in ipairs { mp.Queue, mp.JoinableQueue, mp.SimpleQueue } do
        local q = make()
        for k = 1, 3 do q:put(k) end
        q:close()
        assert.same({ 1, 2, 3, n = 3 }, pool:map(id, q))
      end
      assert.same({ 1, 2, 3, n = 3 }, pool:map(id, mp.List { 1, 2, 3 }))
      assert.same({ 4, 5, n = 2 }, pool:map(id, mp.Array("i64", { 4, 5 })))
      local keys = pool:map(id, mp.Dict { a = 1, b = 2 })
      table.sort(keys)
      assert.same({ "a", "b", n = 2 }, keys)
    end)

    it("are divided as asked, however that fits", function()
      local list, expected = {}, { n = 10 }
      for i = 1, 10 do list[i], expected[i] = i, i end
      for _, chunk in ipairs { 1, 3, 10, 11, 1000 } do
        assert.same(expected, pool:map(id, list, chunk))
        assert.same(expected, pool:starmap(id, { { 1 }, { 2 }, { 3 }, { 4 }, { 5 }, { 6 }, { 7 }, { 8 },
                                                 { 9 }, { 10 } }, chunk))
        local it, got = pool:imap(id, list, chunk), { n = 0 }
        for v in it do
          got.n = got.n + 1
          got[got.n] = v
        end
        assert.same(expected, got)
      end
    end)

    it("may be very long", function()
      local list = {}
      for i = 1, 1000000 do list[i] = i end
      local got = pool:map(function(x) return x + 1 end, list)
      assert.equal(1000000, got.n)
      for i = 1, 1000000, 997 do assert.equal(i + 1, got[i]) end
      assert.equal(1000001, got[1000000])
    end)

    it("of long tasks leave nobody idle", function()
      -- The first item ends only when another has begun: in another worker.
      local others, seen = mp.Event(), {}
      local function task(i)
        if i == 1 then
          others:wait()
        else
          others:set()
        end
        return mp.worker.number
      end
      for _, number in ipairs(pool:map(task, { 1, 2 })) do seen[number] = true end
      assert.same({ true, true }, seen)
      -- Chunks whose first items take so long that the rest is shared.
      local list = {}
      for i = 1, 128 do list[i] = i end
      eventually(function()
        local began, counts = mp.Value("i64", 0), { 0, 0 }
        local got = pool:map(function(i)
          began:add(1)
          mp.sleep(i % 8 == 2 and 0.01 or 0.001)
          return mp.worker.number
        end, list)
        for i = 1, 128 do counts[got[i]] = counts[got[i]] + 1 end
        assert.equal(128, began.value)
        return counts[1] > 0 and counts[2] > 0
      end, "both workers took part")
    end)

  end)

  describe("code", function()
    local function pump(n, make)
      local results, sum = {}, 0
      for i = 1, n do
        results[#results + 1] = pool:submit(make(i))
        if #results == 100 or i == n then
          for _, r in ipairs(results) do sum = sum + r:result() end
          results = {}
        end
      end
      return sum
    end

    local function stays_small(make, n)
      pump(1000, make)
      local before = support.arena()
      assert.equal(n, pump(n, make))
      support.given_back(before)
    end

    it("of fresh closures is freed", function()
      local text = ("x"):rep(1000)
      stays_small(function(i) return function() return #text + i > 0 and 1 end end, 20000)
    end)

    it("of a function whose upvalues change is freed", function()
      local text
      local function f() return #text > 0 and 1 end
      stays_small(function(i)
        text = tostring(i):rep(200)
        return f
      end, 20000)
    end)

    it("of one function is sent once, not once a task", function()
      local text, q = ("x"):rep(4 << 20), mp.Queue()
      local function f() return #text + q:qsize() end
      pool:apply(f)
      pool:apply(f)
      pool:apply(f)
      local before = support.arena()
      local results = {}
      for i = 1, 50 do results[i] = pool:submit(f) end
      assert.is_true(support.arena() - before < 32 << 20)
      for i = 1, 50 do assert.equal(4 << 20, results[i]:result()) end
    end)
  end)

  describe("errors", function()
    it("name the call, the argument and the script's line", function()
      local calls = {
        ["mp.Pool: processes must be an integer from 1, got 0"] = function() mp.Pool(0) assert(1) end,
        ["mp.Pool: expected a number of processes or a table, got string"] = function() mp.Pool("3") assert(1) end,
        ["mp.Pool: expected one argument; more options go into a table such as {processes = 4, "] =
          function() mp.Pool(1, id, { 1 }) assert(1) end,
        ["mp.ThreadPoolExecutor: expected one argument; more options go into a table such as {max_workers = 4, "] =
          function() mp.ThreadPoolExecutor(1, "name") assert(1) end,
        ["mp.Pool: unknown option 'foo' (there are buffer, initargs, "] =
          function() mp.Pool { foo = 1 } assert(1) end,
        ["mp.Pool: initargs has keys but no item 1; it must be a list"] =
          function() mp.Pool { initializer = id, initargs = { x = 1 } } assert(1) end,
        ["Pool:apply: args has keys but no item 1; it must be a list"] =
          function() pool:apply(id, { x = 1 }) assert(1) end,
        ["mp.Pool: initargs must be a list, got number"] = function() mp.Pool { initargs = 3 } assert(1) end,
        ["mp.Pool: name must be a string, got number"] =
          function() mp.Pool { name = 3 } assert(1) end,
        ["mp.Pool: kind must be \"process\" or \"thread\", got x"] = function() mp.Pool { kind = "x" } assert(1) end,
        ["mp.Pool: on_death must be \"fail\" or \"retry\", got y"] =
          function() mp.Pool { on_death = "y" } assert(1) end,
        ["mp.Pool: retries must be an integer from 0, got -1"] = function() mp.Pool { retries = -1 } assert(1) end,
        ["mp.Pool: timeout must be a positive number of seconds, got 0"] =
          function() mp.Pool { timeout = 0 } assert(1) end,
        ["mp.Pool: buffer must be an integer from 1, got 0"] = function() mp.Pool { buffer = 0 } assert(1) end,
        ["mp.Pool: on_exit must be a function, got number"] = function() mp.Pool { on_exit = 3 } assert(1) end,
        ["mp.Pool: max_memory must be a number of bytes or a size such as \"300M\", got x"] =
          function() mp.Pool { max_memory = "x" } assert(1) end,
        ["Pool:apply: expected a function, got nil"] = function() pool:apply() assert(1) end,
        ["Pool:apply: args must be a list, got number"] = function() pool:apply(id, 3) assert(1) end,
        ["Pool:apply: args: its n must be a count, got -1"] = function() pool:apply(id, { n = -1 }) assert(1) end,
        ["Pool:apply: args: 1000000 arguments are too many"] =
          function() pool:apply(id, { n = 1000000 }) assert(1) end,
        ["Pool:apply: expected a Pool, got function (call it with a colon)"] =
          function() pool.apply(id) assert(1) end,
        ["Pool:apply_async: callback must be a function, got number"] =
          function() pool:apply_async(id, {}, 3) assert(1) end,
        ["Pool:map_async: error_callback must be a function, got number"] =
          function() pool:map_async(id, {}, 1, nil, 3) assert(1) end,
        ["Pool:submit: expected a function, got nil"] = function() pool:submit() assert(1) end,
        ["Pool:submit_with: expected a table such as {timeout = 5, retries = 2}, got function"] =
          function() pool:submit_with(id) assert(1) end,
        ["Pool:submit_with: unknown option 'x'"] = function() pool:submit_with({ x = 1 }, id) assert(1) end,
        ["Pool:starmap: item 2 must be a list of arguments, got number"] =
          function() pool:starmap(id, { {}, 3 }) assert(1) end,
        ["Pool:resize: expected a number of workers"] = function() pool:resize() assert(1) end,
        ["Pool:resize: the number of workers must be an integer from 1, got 0"] =
          function() pool:resize(0) assert(1) end,
        ["Pool:join: the pool is still open; close or terminate it first"] = function() pool:join() assert(1) end,
        ["Pool: field size cannot be set"] = function() pool.size = 3 assert(1) end,
        ["Pool:stats: expected a Pool, got nil (call it with a colon)"] = function() pool.stats() assert(1) end,
        ["AsyncResult:get: the timeout must be a number of seconds, got string"] =
          function() pool:submit(id):get("x") assert(1) end,
        ["Future:result: the timeout must not be negative, nor NaN"] =
          function() pool:submit(id):result(-1) assert(1) end,
        ["imap:next: the timeout must be a number of seconds, got string"] =
          function() pool:imap(id, { 1 }):next("x") assert(1) end,
        ["imap: the function gave nil for item 1, which would end the loop"] =
          function() pool:imap(id, { nil, n = 1 })() assert(1) end,
      }
      for text, call in pairs(calls) do raises_here(text, call) end
    end)

    it("are the same for every map", function()
      for _, name in ipairs { "map", "map_async", "starmap", "starmap_async", "imap", "imap_unordered" } do
        local function bad(text, ...)
          local args = table.pack(...)
          raises_here(("Pool:%s: %s"):format(name, text),
            function() pool[name](pool, table.unpack(args, 1, args.n)) assert(1) end)
        end
        bad("expected a function, got nil", nil, {})
        bad("expected a list, an iterator function or a queue, got nil", id)
        bad("expected a list, an iterator function or a queue, got string", id, "abc")
        bad("expected a list, an iterator function or a queue, got userdata", id, mp.Lock())
        bad("the list has keys but no item 1; it must be a list", id, { a = 1 })
        bad("the list: its n must be a count, got -1", id, { n = -1 })
        bad("the list: its n must be a count, got string", id, { n = "x" })
        bad("chunksize must be an integer from 1, got 0", id, {}, 0)
        bad("chunksize must be an integer from 1, got 1.5", id, {}, { chunksize = 1.5 })
        bad("expected a chunk size or a table such as {chunksize = 10}, got string", id, {}, "x")
        bad("unknown option 'chunk' (there are buffer, chunksize, progress, retries and timeout)",
            id, {}, { chunk = 1 })
        bad("timeout must be a positive number of seconds, got -1", id, {}, { timeout = -1 })
        bad("retries must be an integer from 0, got -1", id, {}, { retries = -1 })
        bad("buffer must be an integer from 1, got 0", id, {}, { buffer = 0 })
        bad("progress must be true or a function, got number", id, {}, { progress = 3 })
      end
    end)

    it("tell of a pool that is closed", function()
      local over = mp.Pool { processes = 1, kind = kind }
      over:close()
      raises_here("Pool:map: the pool is closed", function() over:map(id, {}) assert(1) end)
      raises_here("Pool:submit: the pool is closed", function() over:submit(id) assert(1) end)
      raises_here("Pool:resize: the pool is closed", function() over:resize(2) assert(1) end)
      over:join()
    end)
  end)
end)

describe("memory that is nearly full, with workers of kind " .. kind, function()
  after_each(support.clean)

  local function run(text)
    local r = support.mprun { "--memory", "16M", support.script(([[
local mp = require "mp"
local pool = mp.Pool { processes = 2, kind = "%s" }
local M = 1 << 20
local function id(x) return x end
local function sizes(list)
  local sum = 0
  for i = 1, #list do sum = sum + #list[i] end
  return sum // M
end
local function fails(text, f, ...)
  local ok, e = pcall(f, ...)
  print(not ok and tostring(e):find(text, 1, true) and "fails" or e)
end
%s]]):format(kind, text)) }
    assert.equal("", r.err)
    assert.equal(0, r.status)
    return r.out
  end

  it("is waited for by tasks, and freed by results that are taken", function()
    assert.equal("40\n40\n40\n40\n", run [[
local big = {}
for i = 1, 40 do big[i] = ("x"):rep(M) end
print(sizes(pool:map(id, big)))
print(sizes(pool:map(function() return ("x"):rep(M) end, { n = 40 })))
local results = {}
for i = 1, 40 do results[i] = pool:submit(id, big[i]) end
for i = 1, 40 do results[i] = results[i]:result() end
print(sizes(results))
local n = 0
for s in pool:imap_unordered(id, big) do n = n + #s end
print(n // M)]])
  end)

  it("never holds all that quick tasks with large results give", function()
    assert.equal("250\n", run [[
print(sizes(pool:map(function() return ("x"):rep(M // 4) end, { n = 1000 })))]])
  end)

  it("is never filled by one chunk of large items", function()
    assert.equal("100\n8292\n", run [[
local large = {}
for i = 1, 100 do large[i] = ("%8d"):format(i):rep(M // 8) end
print(#pool:map(string.len, large))
local list = {}
for i = 1, 8192 do list[i] = i end
table.move(large, 1, 100, 8193, list)
print(#pool:map(function(x) return #tostring(x) end, list))]])
  end)

  it("has no room for some tasks: those fail alone", function()
    assert.equal("fails\nfails\nfails\nfails\nfails\nfails\nfails\nfails\n3\n0\n", run [[
local never = "can never fit into this runtime's memory of 16 MiB"
local huge = ("x"):rep(17 * M)
fails("Pool:submit: the item " .. never, function() pool:submit(id, huge):result() end)
fails("Pool:submit: the item " .. never, function() pool:submit(function() return huge end):result() end)
fails("Pool:map: the item " .. never, pool.map, pool, id, { 1, huge })
fails("Pool:map: the item " .. never, pool.map, pool, function() return huge end, { 1 })
fails("the task's result: the item " .. never, function() pool:submit(string.rep, "x", 17 * M):result() end)
fails("these are 4 items in one chunk", pool.map, pool, function() return ("x"):rep(7 * M) end, { 1, 2, 3, 4 }, 4)
local function large() error(("x"):rep(17 * M), 0) end
fails("bytes)", function() pool:submit(large):result() end)
fails("bytes)", pool.map, pool, large, { 1, 2 }, 2)
print(pool:apply(id, { 3 }))
local restarts = 0
for _, w in ipairs(pool:stats().workers) do restarts = restarts + w.restarts end
print(restarts)]])
  end)
end)
end
