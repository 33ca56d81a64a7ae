-- pool: mp.Pool, of every kind of worker; the names in front of colons are the
-- lines of the list of behaviours. SPDX-License-Identifier: MIT
local mp = require "mp"
local support = require "tests.support"
local raises, eventually = support.raises, support.eventually

local KINDS = support.kinds

local function square(x) return x * x end

local function range(from, to)
  local list = {}
  for i = from, to do list[#list + 1] = i end
  return list
end

local function squares(n)
  local list = { n = n }
  for i = 1, n do list[i] = i * i end
  return list
end

-- An iterator over 1 to n that fails at the item `bad`.
local function failing(bad, n)
  local i = 0
  return function()
    i = i + 1
    if i == bad then error({ at = i }) end
    return i <= n and i or nil
  end
end

local function collect(iterator)
  local list = { n = 0 }
  for value in iterator do
    list.n = list.n + 1
    list[list.n] = value
  end
  return list
end

local function sorted(list)
  table.sort(list)
  return list
end

for _, kind in ipairs(KINDS) do
describe((kind == "thread" and "N35: " or "") .. "Pool of kind " .. kind, function()
  local pool

  local function new(o)
    o = o or {}
    o.kind, o.processes = kind, o.processes or 4
    pool = mp.Pool(o)
    return pool
  end

  after_each(function()
    if pool then
      pool:terminate()
      pool:join()
      pool = nil
    end
    support.clean()
  end)

  it("N01: apply equals the local call", function()
    new()
    local function f(a, b, o) return a + b, o.c, select("#", a, b, o) end
    assert.same({ 3, "c", 3 }, { pool:apply(f, { 1, 2, { c = "c" } }) })
    assert.same({ 25 }, { pool:apply(square, { 5 }) })
    assert.equal(0, select("#", pool:apply(function() end)))
  end)

  it("N02: map keeps the order", function()
    new()
    assert.same(squares(10), pool:map(square, range(1, 10)))
    assert.same(squares(100), pool:map(square, range(1, 100), 20))
    assert.same(squares(100), pool:map(square, range(1, 100), { chunksize = 20 }))
    assert.same(squares(1000), pool:map(square, range(1, 1000)))
  end)

  it("N03: starmap unpacks each item", function()
    new()
    local items, expected = {}, { n = 100 }
    for i = 1, 100 do items[i], expected[i] = { i, 2 * i }, 3 * i end
    local function add(a, b) return a + b end
    assert.same(expected, pool:starmap(add, items, 20))
    assert.same(expected, pool:starmap(add, items))
    assert.same(expected, pool:starmap_async(add, items):get())
    assert.same({ 3, n = 1 }, pool:starmap(function(...) return select("#", ...) end, { { nil, 1, nil, n = 3 } }))
  end)

  it("N03: a map's results stand where its items do, whatever they are", function()
    new()
    local got = pool:map(function(i)
      local k = i // 5 % 6
      if k == 0 then return nil end
      return k == 1 and i or k == 2 and i / 2 or k == 3 and "s" .. i or k == 4 and { i } or i % 2 == 0
    end, range(1, 3000))
    assert.equal(3000, got.n)
    for i = 1, 3000 do
      local k, x = i // 5 % 6, got[i]
      if k == 4 then x = x[1] end
      local expected = k == 1 and i or k == 2 and i / 2 or k == 3 and "s" .. i or k == 4 and i
      if k == 5 then expected = i % 2 == 0 elseif k == 0 then expected = nil end
      assert.is_true(x == expected and math.type(x) == math.type(expected))
    end
  end)

  it("N04 N09: asynchronous results are waited for", function()
    new()
    local go = mp.Event()
    local r = pool:apply_async(function(x)
      go:wait()
      return x * x
    end, { 7 })
    assert.is_false(r:ready())
    raises("AsyncResult:successful: the task is not over", r.successful, r)
    go:set()
    assert.equal(49, r:get())
    assert.is_true(r:ready())
    assert.is_true(r:successful())
    assert.same(squares(10), pool:map_async(square, range(1, 10)):get())
  end)

  it("N05 N26: callbacks are called once", function()
    new()
    local calls, errors = {}, {}
    local function done(v) calls[#calls + 1] = v end
    local function failed(e) errors[#errors + 1] = e end
    pool:map_async(square, range(1, 10), nil, done, failed):get()
    assert.same({ squares(10) }, calls)
    local r = pool:map_async(function(x) error({ x }) end, { 1, 2 }, 1, done, failed)
    assert.same({ 1 }, select(2, pcall(r.get, r)))
    local key = pool:apply_async(function() error({ key = "k" }) end, nil, done, failed)
    assert.same({ key = "k" }, select(2, pcall(key.get, key)))
    pool:close()
    pool:join()
    assert.equal(1, #calls)
    assert.equal(2, #errors)
    assert.same({ 1 }, errors[1].value)
    assert.same({ key = "k" }, errors[2].value)
  end)

  it("N06: an argument that cannot travel raises in the caller", function()
    new()
    local co = coroutine.create(print)
    local function try(f) raises("cannot send a coroutine (at item 2)", f, pool, square, { 1, co }) end
    try(pool.map)
    try(pool.map_async)
    raises("cannot send a coroutine (at item 3[2])", pool.starmap, pool, math.max, { { 1 }, { 2 }, { 3, co } }, 2)
    raises("cannot send a coroutine (at argument 2.co)", pool.apply, pool, square, { 1, { co = co } })
    assert.equal(9, pool:apply(square, { 3 }))
  end)

  it("N07 N17: nothing gives nothing", function()
    new()
    assert.same({ n = 0 }, pool:map_async(square, {}, 1):get(30))
    assert.same({ n = 0 }, pool:map(square, {}))
    assert.same({ n = 0 }, pool:map(square, function() end))
    assert.same({ n = 0 }, pool:starmap(square, {}))
    assert.same({ n = 0 }, collect(pool:imap(square, {})))
    assert.same({ n = 0 }, collect(pool:imap_unordered(square, {}, 3)))
  end)

  it("N08 N20: an error of the input is the caller's", function()
    new()
    for _, bad in ipairs { 1, 1, 4 } do
      local ok, e = pcall(pool.map, pool, square, failing(bad, 10), 1)
      assert.same({ false, { at = bad } }, { ok, e })
    end
    local _, e = pcall(pool.map, pool, square, function() error("mine", 0) end)
    assert.equal("mine", e)
    assert.same(squares(3), pool:map(square, failing(9, 3)))
  end)

  it("N10: a result that takes too long", function()
    new()
    local go = mp.Event()
    local r = pool:apply_async(function() return go:wait() end)
    assert.same({ nil, "timeout" }, { r:get(0.05) })
    assert.same({ nil, "timeout" }, { r:wait(0) })
    pool:terminate()
    assert.is_true(pool:join(30))
    raises("PoolTerminated", r.get, r)
  end)

  it("N11: imap gives one after another, in order", function()
    new()
    local it = pool:imap(square, range(1, 10))
    for i = 1, 10 do assert.equal(i * i, it:next()) end
    assert.is_nil(it:next())
    assert.is_nil(it:next())
    assert.same(squares(1000), collect(pool:imap(square, range(1, 1000), 100)))
    assert.same(squares(1000), collect(pool:imap(square, range(1, 1000))))
  end)

  it("N12: imap delivers what came before a bad item", function()
    new()
    for _, case in ipairs { { 4, 10, 1 }, { 7, 20, 2 }, { 5, 20, 4 } } do
      local bad, n, chunk = table.unpack(case)
      local it = pool:imap(square, failing(bad, n), chunk)
      for i = 1, bad - 1 do assert.equal(i * i, it:next()) end
      assert.same({ false, { at = bad } }, { pcall(it.next, it) })
      assert.is_nil(it:next())
    end
  end)

  it("N13: imap_unordered gives the same set", function()
    new()
    local expected = squares(1000)
    assert.same(expected, sorted(collect(pool:imap_unordered(square, range(1, 1000), 100))))
    assert.same(expected, sorted(collect(pool:imap_unordered(square, range(1, 1000)))))
  end)

  it("N14: imap_unordered delivers only right values before a bad item", function()
    new()
    local it, seen, e = pool:imap_unordered(square, failing(7, 20), 2), {}, nil
    repeat
      local ok, value = pcall(it.next, it)
      if ok then
        assert.is_nil(seen[value])
        seen[value] = true
        assert.equal(0, math.sqrt(value) % 1)
        assert.is_true(value <= 36)
      else
        e = value
      end
    until not ok
    assert.same({ at = 7 }, e)
  end)

  it("N15: a pool has the size that was asked for", function()
    for _, size in ipairs { -1, 0 } do
      raises("mp.Pool: processes must be an integer from 1, got " .. size, mp.Pool,
             { processes = size, kind = kind })
    end
    new { processes = 3 }
    assert.equal(3, pool.size)
    eventually(function() return #pool:stats().workers == 3 end, "3 workers")
  end)

  it("N16: terminate ends endless tasks, and those that wait", function()
    new { processes = 3 }
    local never, begun = mp.Event(), mp.Event()
    local r = pool:map_async(function()
      begun:set()
      never:wait()
    end, range(1, 10000), 1)
    begun:wait()
    local t = mp.time()
    pool:terminate()
    pool:join()
    assert.is_true(mp.time() - t < 20)
    raises("PoolTerminated", r.get, r)
  end)

  it("N18 N24: the end of a scope ends the pool", function()
    local kept
    do
      local scoped <close> = mp.Pool { processes = 2, kind = kind }
      kept = scoped
      assert.equal(4, kept:apply(square, { 2 }))
    end
    raises("Pool:map_async: the pool was terminated", kept.map_async, kept, square, { 1 })
    raises("Pool:apply: the pool was terminated", function()
      local again <close> = kept
      again:apply(square, { 2 })
    end)
    kept:join()
  end)

  it("N19 N21: an error keeps its value and shows where it was raised", function()
    new()
    local function lib() error({ code = 123 }) end
    assert.same({ code = 123 }, select(2, pcall(pool.apply, pool, lib)))
    local class = setmetatable({}, { __tostring = function() return "a class" end })
    assert.equal("a class", tostring(select(2, pcall(pool.apply, pool, error, { class }))))
    local r = pool:apply_async(lib)
    local e = r:exception()
    assert.same({ code = 123 }, e.value)
    assert.truthy(e.traceback:find("pool_spec.lua:%d+: in "))
    local why = raises("remote stack traceback", pool.apply, pool, function() error("bad thing") end)
    assert.matches("^[^\n]*pool_spec.lua:%d+: bad thing\n", why)
  end)

  it("N22: large errors neither block nor end a pool too soon", function()
    new()
    local go, calls = mp.Event(), 0
    local function fail(wait)
      if wait then go:wait() end
      error(("x"):rep(1 << 20), 0)
    end
    local function count() calls = calls + 1 end
    local one = pool:map_async(fail, { false }, 1, nil, count)
    local two = pool:map_async(fail, { true }, 1, nil, count)
    raises("xxx", one.get, one)
    pool:close()
    assert.same({ nil, "timeout" }, { pool:join(0.05) })
    go:set()
    assert.is_true(pool:join(30))
    raises("xxx", two.get, two)
    assert.equal(2, calls)
  end)

  it("N23: a map that is over keeps nothing", function()
    new()
    local alive = setmetatable({}, { __mode = "k" })
    local function use()
      local items = {}
      for i = 1, 10 do
        items[i] = { i }
        alive[items[i]] = true
      end
      for _, r in ipairs(pool:map(function(x) return x end, items)) do alive[r] = true end
      alive[pool:apply(function(x) return x end, { items[1] })] = true
    end
    use()
    collectgarbage()
    collectgarbage()
    assert.is_nil(next(alive))
  end)

  it("N27: results that cannot travel are those tasks' errors", function()
    new()
    for i = 1, 20 do
      local r = pool:apply_async(function() return i, { co = coroutine.create(print) } end)
      local why = raises("cannot send a coroutine (at value 2.co)", r.get, r)
      assert.equal("UnsendableResult", why.name)
    end
    local why = raises("cannot send a coroutine (at value 1)", pool.map, pool,
                       function() return coroutine.create(print) end, { 1 })
    assert.equal("UnsendableResult", why.name)
    raises("cannot send a coroutine", pool.map, pool, function(i)
      return i == 2 and coroutine.create(print) or i
    end, { 1, 2, 3 }, 3)
    for _, w in ipairs(pool:stats().workers) do assert.equal(0, w.restarts) end
  end)

  it("N28: workers are replaced after so many tasks", function()
    new { processes = 3, maxtasksperchild = 10 }
    local results, before = {}, {}
    eventually(function()
      local workers = pool:stats().workers
      for _, w in ipairs(workers) do
        if not w.pid then return false end  -- it is being started
        before[w.pid] = true
      end
      return #workers == 3
    end, "3 workers")
    for i = 1, 100 do results[i] = pool:apply_async(square, { i }) end
    for i = 1, 100 do assert.equal(i * i, results[i]:get()) end
    eventually(function()
      local workers = pool:stats().workers
      for _, w in ipairs(workers) do
        if w.pid and w.restarts > 0 and (kind == "thread" or not before[w.pid]) then return true end
      end
    end, "a new worker")
  end)

  it("N29: workers are replaced after close, too", function()
    new { processes = 3, maxtasksperchild = 1 }
    local go, results = mp.Event(), {}
    for i = 1, 6 do
      results[i] = pool:apply_async(function()
        go:wait()
        return i
      end)
    end
    pool:close()
    go:set()
    assert.is_true(pool:join(60))
    for i = 1, 6 do assert.equal(i, results[i]:get(0)) end
  end)

  it("N30: maxtasksperchild is a count", function()
    for _, bad in ipairs { 0, -1, 0.5, "12" } do
      raises("mp.Pool: maxtasksperchild must be an integer from 1, got", mp.Pool,
             { processes = 3, maxtasksperchild = bad, kind = kind })
    end
  end)

  it("N32: the initializer runs once in each worker", function()
    raises("mp.Pool: initializer must be a function, got number", mp.Pool, { initializer = 1, kind = kind })
    local count = mp.Value("i64", 0)
    new { processes = 3, initializer = function(c, n) c:add(n) end, initargs = { count, 2 } }
    eventually(function() return count.value == 6 end, "three initializers")
    pool:map(square, range(1, 50), 1)
    assert.equal(6, count.value)
  end)

  it("M19: a manager makes pools; they stay where they are made", function()
    pool = mp.Manager():Pool { processes = 2, kind = kind }
    assert.same(squares(5), pool:map(square, range(1, 5)))
    local why = support.elsewhere(function() return select(2, pcall(pool.map, pool, square, { 1 })) end)
    assert.truthy(why:find("Pool:map: this Pool belongs to the process that made it", 1, true), why)
  end)

  it("W07: a task can pass its queue on to a pool of its own", function()
    local q = mp.Queue()
    new { processes = 1 }
    pool:apply(function(theirs)
      local inner <close> = mp.Pool { processes = 2, kind = kind }
      inner:map(function(x) theirs:put(x) end, { 1, 2 })
    end, { q })
    assert.same({ 1, 2 }, sorted { q:get(30), q:get(30) })
  end)

  it("A37 N35: a child can run a pool of four", function()
    local sum = support.elsewhere(function()
      local inner = mp.Pool { processes = 4, kind = kind }
      local list = inner:map(square, range(1, 7))
      inner:close()
      inner:join()
      return list
    end)
    assert.same(squares(7), sum)
  end)
end)
end

describe("a script with a pool", function()
  after_each(support.clean)

  local function output(text, command)
    command = command or {}
    command[#command + 1] = support.script(text)
    return support.mprun(command)
  end

  it("N19: prints both tracebacks of an error that nobody catches", function()
    local r = output [[
local mp = require "mp"
local pool = mp.Pool(1)
local function inner() error("no such thing") end
pool:apply(function() inner() end)]]
    assert.equal(1, r.status)
    assert.matches("script.lua:3: no such thing", r.err)
    assert.matches("remote stack traceback:.*script.lua:3: in .*script.lua:4: in ", r.err)
    assert.matches("\nstack traceback:.*script.lua:4: in main chunk", r.err)
  end)

  it("N31: need not close a global pool", function()
    local r = output [[
mp = require "mp"
pool = mp.Pool(3)
print(pool:apply(math.max, { 1, 5 }))]]
    assert.same({ 0, "5\n", "" }, { r.status, r.out, r.err })
  end)

  it("N33: a worker that cannot be started ends those that were", function()
    local r = output [[
local mp = require "mp"
mp.configure { processes = 5 }
local ok, why = pcall(mp.Pool, 8)
print(ok, why:match ":3: (mp.Pool: a worker could not be started)" or why)
print(#mp.active_children())
local pool = mp.Pool(2)
print(pool:apply(math.max, { 1, 5 }))]]
    assert.same({ 0, "false\tmp.Pool: a worker could not be started\n0\n5\n" }, { r.status, r.out })
    local _, lines = r.err:gsub("\n", "")
    assert.equal(1, lines, r.err)
  end)

  it("N34: can have 200 workers", function()
    local r = output [[
local mp = require "mp"
local pool = mp.Pool(200)
local list, sum = {}, 0
for i = 0, 999 do list[#list + 1] = i end
for _, x in ipairs(pool:map(function(x) return x * x end, list)) do sum = sum + x end
print(sum)]]
    assert.same({ 0, "332833500\n", "" }, { r.status, r.out, r.err })
  end)
end)
