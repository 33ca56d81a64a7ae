-- imap: results one by one, input read lazily. SPDX-License-Identifier: MIT
local mp = require "mp"
local support = require "tests.support"
local raises, eventually = support.raises, support.eventually

local function identity(x) return x end

-- 1, 2, 3 ... to n or for ever; and how many were asked for.
local function counter(n)
  local i = { n = 0 }
  return function()
    if i.n == n then return nil end
    i.n = i.n + 1
    return i.n
  end, i
end

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

for _, kind in ipairs(support.kinds) do
  describe("imap, kind " .. kind, function()
    local pool

    before_each(function() pool = mp.Pool { processes = 2, kind = kind } end)

    after_each(function()
      pool:terminate()
      pool:join()
      support.clean()
    end)

    -- Nothing waits, and both workers have done what they had.
    local function idle()
      eventually(function() return pool:stats().waiting == 0 end, "work is left behind")
      local here = mp.Barrier(2)
      pool:map(function() return here:wait(60) end, { 1, 2 }, 1)
    end

    it("gives the results in order, of a list, a function and a queue", function()
      for _, how in ipairs { false, 1, 7, 1000 } do
        local chunk = how or nil
        assert.same(upto(300), all(pool:imap(identity, upto(300), chunk)))
        assert.same(upto(300), all(pool:imap(identity, counter(300), chunk)))
        local q = mp.Queue()
        q:put_many(upto(300))
        q:close()
        assert.same(upto(300), all(pool:imap(identity, q, chunk)))
      end
      assert.same({}, all(pool:imap(identity, {})))
      assert.same({}, all(pool:imap(identity, function() end)))
    end)

    it("imap_unordered gives each once", function()
      for _, how in ipairs { false, 1, 7 } do
        local got = all(pool:imap_unordered(identity, counter(300), how or nil))
        table.sort(got)
        assert.same(upto(300), got)
      end
    end)

    it("AA36: unordered, the one that is done first comes first", function()
      local go = mp.Event()
      local it = pool:imap_unordered(function(x)
        if x == 1 then go:wait(60) end
        return x
      end, { 1, 2, 3, 4 }, 1)
      local got = { it(), it(), it() }
      table.sort(got)
      assert.same({ 2, 3, 4 }, got)
      go:set()
      assert.equal(1, it())
      assert.is_nil(it())
    end)

    it("AA35 X11: reads as far ahead as the buffer, and no further", function()
      local next_item, read = counter()
      local it = pool:imap(identity, next_item, { chunksize = 1, buffer = 3 })
      assert.equal(3, read.n)
      mp.sleep(0.05)
      assert.equal(3, read.n)
      for i = 1, 20 do
        assert.equal(i, it())
        assert.is_true(read.n <= i + 3, read.n)
      end
      it:close()
      it = pool:imap(identity, next_item)      -- 4 x workers x chunk, of one at first
      assert.is_true(read.n <= 23 + 8, read.n)
      it:close()
    end)

    it("goes through an endless iterator in constant memory", function()
      local next_item, read = counter()
      local n, before = 0, nil
      local item = ("x"):rep(1000)
      for x in pool:imap(function(i) return i .. item end, next_item) do
        n = n + 1
        assert.equal(n .. item, x)
        if n == 2000 then before = support.arena() end
        if n == 20000 then break end
      end
      -- At most 512 items a chunk, 4 chunks a worker.
      assert.is_true(read.n - n <= 512 * 8, read.n)
      assert.is_true(support.arena() <= before + (32 << 20))
      idle()
    end)

    it("one who stops early leaves no work behind: break, error, close", function()
      local next_item, read = counter()
      local started = mp.Value("i64", 0)
      local function work(x)
        started:add(1)
        return x
      end
      for x in pool:imap(work, next_item) do
        if x == 5 then break end
      end
      pcall(function()
        for _ in pool:imap_unordered(work, next_item) do error "enough" end
      end)
      local it = pool:imap(work, next_item)
      it()
      it:close()
      assert.is_nil(it())
      assert.is_nil(it:next(0))
      it:close()
      idle()
      local n, m = started.value, read.n
      assert.is_true(n <= m)
      assert.same({ 1, 2, 3, n = 3 }, pool:map(identity, { 1, 2, 3 }))
      assert.equal(n, started.value)
      assert.equal(m, read.n)
    end)

    it("AA37: dropped after 2 of 10: collected, and the rest is taken back", function()
      local go, started = mp.Event(), mp.Value("i64", 0)
      local function work(x)
        started:add(1)
        if x > 2 then go:wait(60) end
        return x
      end
      do
        local it = pool:imap(work, upto(10), 1)
        assert.equal(1, it())
        assert.equal(2, it())
        eventually(function() return started.value == 4 end)   -- both workers have one
      end
      eventually(function()
        collectgarbage()
        return pool:stats().waiting == 0
      end, "it was not collected")
      go:set()
      assert.same({ 1, n = 1 }, pool:map(identity, { 1 }))
      idle()
      assert.equal(4, started.value)
    end)

    it("one that nobody asked for a result is done all the same", function()
      local n = mp.Value("i64", 0)
      do
        pool:imap(function() n:add(1) end, upto(6), 1)
      end
      collectgarbage()
      eventually(function()
        pool:stats()
        return n.value == 6
      end)
    end)

    it("AA06: an error is raised at its place, and the later items come", function()
      for _, how in ipairs { false, 1, 3 } do
        local it = pool:imap(function(x)
          if x % 3 == 0 then error({ bad = x }, 0) end
          return x
        end, upto(7), how or nil)
        local log = {}
        for i = 1, 7 do
          local ok, x = pcall(it)
          assert.equal(i % 3 ~= 0, ok)
          log[i] = ok and x or x.bad
        end
        assert.same(upto(7), log)
        assert.is_nil(it())
        assert.is_nil(it())
      end
    end)

    it("AA37: the first one's error comes at once, with much behind it", function()
      local go = mp.Event()
      local why = raises("bad", function()
        for _ in pool:imap(function(x)
          if x == 1 then error("bad", 0) end
          go:wait(60)
        end, upto(100), 1) do error "unexpected" end
      end)
      assert.truthy(why:find("remote", 1, true))
      assert.equal(0, pool:stats().waiting)
      go:set()
      idle()
    end)

    it("an error of the input comes behind the results of what it gave before", function()
      for _, how in ipairs { false, 4 } do
        local n = 0
        local it = pool:imap(identity, function()
          n = n + 1
          if n == 4 then error({ code = 7 }, 0) end
          return n
        end, how or nil)
        assert.same({ 1, 2, 3 }, { it(), it(), it() })
        local ok, e = pcall(it)
        assert.is_false(ok)
        assert.same({ code = 7 }, e)
        assert.is_nil(it())
      end
      assert.equal(1, pool:apply(identity, { 1 }))
    end)

    it("an item or a function that cannot travel", function()
      local co = coroutine.create(print)
      for _, how in ipairs { 1, 2, 4 } do
        local it = pool:imap(type, { 1, co, "x", { { co } } }, how)
        assert.equal("number", it())
        raises("Pool:imap: cannot send a coroutine (at item 2)", it)
        assert.equal("string", it())
        raises("(at item 4[1][1])", it)
        assert.is_nil(it())
      end
      raises("imap_spec.lua", pool.imap, pool, function() return co end, { 1 })
      raises("Pool:imap: cannot send a coroutine (at upvalue 'co'", pool.imap, pool,
             function() return co end, { 1 })
      local it = pool:imap(function(x) return x == 2 and coroutine.create(print) or x end, { 1, 2, 3 })
      assert.equal(1, it())
      raises("cannot send a coroutine", it)
      assert.equal(3, it())
    end)

    it("a nil result is an error that says so, false is a result", function()
      local it = pool:imap(function(x)
        if x == 2 then return nil end
        return x == 1
      end, { 1, 2, 3 })
      assert.is_true(it())
      raises("Pool:imap: the function gave nil for item 2", it)
      assert.is_false(it())
      assert.is_nil(it())
    end)

    it("next waits for so long", function()
      local go = mp.Event()
      local it = pool:imap(function(x)
        go:wait(60)
        return x
      end, { 1, 2 })
      assert.same({ nil, "timeout", n = 2 }, table.pack(it:next(0)))
      assert.same({ nil, "timeout", n = 2 }, table.pack(it:next(0.02)))
      go:set()
      assert.equal(1, it:next(30))
      assert.equal(2, it:next())
      assert.same({}, { it:next(0) })
      raises("imap:next: the timeout must not be negative", it.next, it, -1)
      raises("imap:next: expected an imap", it.next)
    end)

    it("AA32: several at once, with other work between, and one through another", function()
      local a, b = pool:imap(identity, (counter())), pool:imap_unordered(identity, (counter(50)))
      local n = 0
      for i = 1, 50 do
        assert.equal(i, a())
        n = n + b()
        if i % 10 == 0 then
          assert.same({ i, n = 1 }, pool:map(identity, { i }))
          assert.equal(i, pool:submit(identity, i):result())
        end
      end
      assert.equal(50 * 51 // 2, n)
      assert.is_nil(b())
      a:close()
      assert.same({ 2, 4, 6 }, all(pool:imap(function(x) return 2 * x end, (pool:imap(identity, { 1, 2, 3 })))))
    end)

    it("reads what a queue has: a result may be what its producer waits for", function()
      local q, got = mp.Queue(), {}
      q:put(1)
      for x in pool:imap(identity, q) do
        got[#got + 1] = x
        if x < 40 then q:put(x + 1) else q:close() end
      end
      assert.same(upto(40), got)
      q = mp.Queue()
      local it = pool:imap(identity, q)
      assert.same({ nil, "timeout", n = 2 }, table.pack(it:next(0.02)))
      local p = mp.spawn(function()
        q:put_many { 1, 2, 3 }
        q:close()
      end)
      assert.same({ 1, 2, 3 }, all(it))
      p:join()
    end)

    it("goes on after close, and gives its results after join", function()
      local next_item, read = counter(100)
      local it, q = pool:imap(identity, next_item, { chunksize = 1, buffer = 2 }), mp.Queue()
      local of_queue, one = pool:imap(identity, q), pool:imap(identity, { 1 })
      assert.equal(1, it())
      q:put_many { 1, 2 }
      pool:close()
      raises("Pool:imap: the pool is closed", pool.imap, pool, identity, {})
      assert.equal(2, it())
      assert.same({ nil, "timeout", n = 2 }, table.pack(pool:join(0.01)))   -- the queue is open
      assert.equal(100, read.n)
      q:put(3)
      q:close()
      assert.is_true(pool:join(60))
      local got = all(it)
      assert.equal(98, #got)
      assert.equal(100, got[98])
      assert.same({ 1, 2, 3 }, all(of_queue))
      assert.same({ 1 }, all(one))
    end)

    it("terminate: what has come is given, then the reason why there is no more", function()
      local go = mp.Event()
      local it = pool:imap(function(x)
        if x > 1 then go:wait(60) end
        return x
      end, { 1, 2, 3 }, 1)
      assert.equal(1, it())
      pool:terminate()
      assert.equal("PoolTerminated", raises("the pool was terminated", it).name)
      assert.is_nil(it())
      go:set()
    end)

    it("keeps its pool", function()
      local n = 0
      for x in mp.Pool({ processes = 2, kind = kind }):imap(identity, (counter(400))) do
        n = n + 1
        assert.equal(n, x)
        if n % 40 == 0 then collectgarbage() end
      end
      assert.equal(400, n)
    end)

    it("X14: keeps no result that it gave, and is freed with its function", function()
      local weak = setmetatable({}, { __mode = "k" })
      local it
      do
        local function f(x) return { x } end
        it = pool:imap(f, upto(20), 1)
        weak[f], weak[it] = true, true
        for _ = 1, 20 do weak[it()] = true end
      end
      eventually(function()
        collectgarbage()
        local n = 0
        for x in pairs(weak) do if type(x) == "table" and x ~= it then n = n + 1 end end
        return n == 0
      end, "results are kept")
      it = nil
      eventually(function()
        collectgarbage()
        return next(weak) == nil
      end, "the iterator is kept")
    end)

    it("options, and what is wrong with them", function()
      assert.same({ 1, 2 }, all(pool:imap(identity, { 1, 2 }, { chunksize = 2, buffer = 1 })))
      raises("Pool:imap: chunksize must be an integer from 1, got 0", pool.imap, pool, identity, {}, 0)
      raises("chunksize must be an integer from 1, got -1", pool.imap, pool, identity, {}, -1)
      raises("buffer must be an integer from 1, got string", pool.imap, pool, identity, {}, { buffer = "foo" })
      raises("Pool:imap: unknown option 'size'", pool.imap, pool, identity, {}, { size = 1 })
      raises("Pool:imap: expected a function, got nil", pool.imap, pool)
      raises("Pool:imap: expected a list, an iterator function or a queue, got nil", pool.imap, pool, identity)
      raises("Pool:imap_unordered: expected a list", pool.imap_unordered, pool, identity, 5)
    end)

    it("is of no use to another process, and cannot be sent", function()
      local it = pool:imap(identity, { 1 })
      local why = support.elsewhere(function()
        it:close()
        return table.concat({ select(2, pcall(it)), select(2, pcall(it.next, it)),
                              select(2, pcall(pool.imap, pool, identity, {})) }, "\n")
      end)
      local _, n = why:gsub("belongs to the process", "")
      assert.equal(3, n, why)
      raises("cannot send an imap; send what it gives", mp.pack, it)
      assert.equal(1, it())
    end)

    it("at the script's end, what is in work is done, an endless input left", function()
      local r = support.mprun { support.script(([[
        local pool = mp.Pool { processes = 1, kind = %q }
        local function say(x) print(x) return x end
        local i = 0
        it = pool:imap(say, function() i = i + 1 return i end, { chunksize = 1, buffer = 3 })
        other = pool:imap(say, mp.Queue())]]):format(kind)) }
      assert.equal("", r.err)
      assert.equal("1\n2\n3\n", r.out)
      assert.equal(0, r.status)
    end)
  end)
end
