-- dict: mp.Dict. SPDX-License-Identifier: MIT
local mp = require "mp"
local support = require "tests.support"
local raises, kill, join = support.raises, support.kill, support.join

local function sorted(list)
  table.sort(list, function(a, b) return tostring(a) < tostring(b) end)
  return list
end

describe("Dict", function()
  after_each(support.clean)

  it("M06: is set, read, copied and listed", function()
    local d = mp.Dict { a = 1, b = "two" }
    d.c = { 3, x = true }
    d[4] = 4.5
    assert.equal(4, #d)
    assert.equal(1, d.a)
    assert.equal("two", d["b"])
    assert.same({ 3, x = true }, d.c)
    assert.equal(4.5, d[4])
    assert.is_nil(d.nothing)
    assert.same({ 4, "a", "b", "c", n = 4 }, sorted(d:keys()))
    assert.equal(4, d:values().n)
    assert.same({ a = 1, b = "two", c = { 3, x = true }, [4] = 4.5 }, d:totable())
    assert.same(d:totable(), d:copy())
    assert.same(d:totable(), mp.Dict(d):totable())
    assert.equal("Dict (4 entries)", tostring(d))
    local seen = {}
    for k, v in d:items() do seen[k] = v end
    assert.same(d:totable(), seen)
    seen = {}
    for k, v in pairs(d) do seen[k] = v end
    assert.same(d:totable(), seen)
  end)

  it("keeps keys apart as a table does", function()
    local d = mp.Dict()
    local keys = { 1, "1", 1.5, true, false, "", "a\0b", "a", -1, math.mininteger, math.maxinteger,
      math.huge, -math.huge, 2^53, 1e300, ("k"):rep(10000) }
    for i, k in ipairs(keys) do d[k] = i end
    assert.equal(#keys, #d)
    for i, k in ipairs(keys) do assert.equal(i, d[k], tostring(k)) end
    d[1.0] = "one"
    d[-0.0] = "zero"
    assert.equal("one", d[1])
    assert.equal("zero", d[0])
    assert.equal("integer", math.type(mp.Dict { [2^53] = 1 }:keys()[1]))
    assert.equal("float", math.type(mp.Dict { [1.5] = 1 }:keys()[1]))
  end)

  it("takes objects as keys, and keeps them", function()
    local d, q = mp.Dict(), mp.Queue()
    q:put "inside"
    d[q] = "queue"
    assert.equal("queue", d[q])
    assert.is_nil(d[mp.Queue()])
    q = nil -- luacheck: ignore
    collectgarbage()
    collectgarbage()
    local k, v = d:popitem()
    assert.equal("queue", v)
    assert.equal("inside", k:get(0))
  end)

  it("refuses keys that nothing could find again", function()
    local d = mp.Dict()
    raises("Dict: a table cannot be a key: what travels is a copy", function() d[{}] = 1 end)
    raises("Dict: a table cannot be a key", function() return d[{}] end)
    raises("Dict:set: a function cannot be a key", d.set, d, print, 1)
    raises("Dict: the key is nil", function() d[nil] = 1 end)
    raises("Dict: the key is NaN", function() d[0/0] = 1 end)
    raises("Dict:update: the key is nil", d.update, d, nil, print)
    assert.is_nil(d[nil])
    assert.is_nil(d[0/0])
    assert.is_false(d:has(nil))
    assert.equal(0, #d)
  end)

  it("nil removes; false is a value", function()
    local d = mp.Dict { a = 1, b = false }
    assert.is_true(d:has "b")
    assert.is_true(d:contains "b")
    assert.is_false(d.b)
    assert.is_false(d:get("b", 7))
    d.a = nil
    d.a = nil
    assert.is_false(d:has "a")
    assert.equal(1, #d)
    d:set("b", nil)
    assert.equal(0, #d)
    raises("Dict:set: no value given", d.set, d, "b")
  end)

  it("M12: get, pop, popitem, setdefault, update, clear", function()
    local d = mp.Dict { x = 1 }
    assert.equal(1, d:get "x")
    assert.equal(9, d:get("y", 9))
    assert.is_nil(d:get "y")
    assert.equal(1, d:pop("x", 5))
    assert.equal(5, d:pop("x", 5))
    assert.is_nil(d:pop "x")
    assert.same({ 1 }, d:setdefault("l", { 1 }))
    assert.same({ 1 }, d:setdefault("l", 2))
    assert.is_nil(d:setdefault "none")
    d:update { a = 1, l = 3 }
    assert.same({ a = 1, l = 3 }, d:totable())
    d:update(mp.Dict { b = 2 })
    assert.equal(2, d.b)
    local n, left = 0, d:totable()
    while true do
      local k, v = d:popitem()
      if k == nil then break end
      assert.equal(left[k], v)
      n = n + 1
    end
    assert.equal(3, n)
    d:update { a = 1, b = 2 }
    d:clear()
    assert.equal(0, #d)
    assert.is_nil(d.a)
    d.a = 3
    assert.equal(3, d.a)
  end)

  it("M07: has what a mapping has", function()
    local d = mp.Dict()
    for _, name in ipairs { "get", "set", "has", "contains", "pop", "popitem", "setdefault", "update", "keys",
      "values", "items", "clear", "totable", "copy" } do
      assert.equal("function", type(d[name]), name)
    end
  end)

  it("methods win over keys of their names in d.k", function()
    local d = mp.Dict { get = 1 }
    assert.equal("function", type(d.get))
    assert.equal(1, d:get "get")
    d.keys = 2
    assert.equal(2, d:get "keys")
  end)

  it("what is read is a copy", function()
    local d = mp.Dict { t = { x = 1 } }
    d.t.x = 2
    assert.equal(1, d.t.x)
    d:update("t", function(t) t.x = 2 return t end)
    assert.equal(2, d.t.x)
  end)

  it("M08: iteration ends; what is gone meanwhile is passed over", function()
    local d = mp.Dict { a = 1, b = 2, c = 3 }
    local next_item, state = d:items()
    for _ = 1, 3 do assert.truthy(next_item(state)) end
    assert.is_nil(next_item(state))
    assert.is_nil(next_item(state))
    local n = 0
    for _ in d:items() do
      n = n + 1
      d:clear()
    end
    assert.equal(1, n)
    d:update { a = 1, b = 2, c = 3 }
    for k in pairs(d) do d[k] = nil end
    assert.equal(0, #d)
  end)

  it("holds values of all sizes, and replaces one by another", function()
    local d = mp.Dict()
    local sizes = { 0, 1, 5, 30, 31, 32, 33, 60, 100, 250, 500, 1000, 4000, 5000, 70000, 3000000, 10 }
    for _, n in ipairs(sizes) do
      d.s = ("x"):rep(n)
      assert.equal(n, #d.s)
      d.t = { ("y"):rep(n), n }
      assert.equal(n, #d.t[1])
    end
    assert.equal(2, #d)
    assert.equal(10, #d:pop "s")
  end)

  it("is seen and changed by other processes", function()
    local d = mp.Dict { from = "main" }
    local p = mp.spawn(function()
      d.child = d.from .. "'s child"
      d.f = function(x) return x + 1 end
      return #d
    end)
    assert.equal(3, p:result(60))
    assert.equal("main's child", d.child)
    assert.equal(8, d.f(7))
  end)

  it("travels in itself, in queues, as an argument, and as a result", function()
    local q, d = mp.Queue(), mp.Dict { x = 1 }
    q:put { d }
    assert.equal(d, q:get()[1])
    local other = mp.spawn(function(given)
      given.y = 2
      local mine = mp.Dict { inner = given }
      return mine
    end, d):result(60)
    assert.equal(2, d.y)
    assert.equal(2, other.inner.y)
    assert.equal(d, other.inner)
  end)

  it("update is atomic: 8 processes count to 8000", function()
    local d, ps = mp.Dict(), {}
    for i = 1, 8 do
      ps[i] = mp.spawn(function()
        for _ = 1, 1000 do d:update("n", function(n) return (n or 0) + 1 end) end
      end)
    end
    join(ps)
    assert.equal(8000, d.n)
  end)

  it("update of larger values is atomic too", function()
    local d, ps = mp.Dict { log = {} }, {}
    for i = 1, 3 do
      ps[i] = mp.spawn(function()
        for k = 1, 60 do
          d:update("log", function(log) log[#log + 1] = i * 1000 + k return log end)
        end
      end)
    end
    join(ps)
    assert.equal(180, #d.log)
    local last = {}
    for _, v in ipairs(d.log) do
      assert.is_true(v % 1000 == (last[v // 1000] or 0) + 1)
      last[v // 1000] = v % 1000
    end
  end)

  it("update gives what it set, and removes for nil", function()
    local d = mp.Dict()
    assert.equal(5, d:update("a", function(v) assert(v == nil) return 5 end))
    assert.equal(6, d:update("a", function(v) return v + 1 end))
    assert.is_nil(d:update("a", function() return nil end))
    assert.is_false(d:has "a")
    assert.is_nil(d:update("a", function() return nil end))
    local n = 0   -- set by another in the middle: once more, with what is there then
    d.a = 1
    assert.equal(11, d:update("a", function(v)
      n = n + 1
      if n == 1 then d.a = 10 end
      return v + 1
    end))
    assert.equal(2, n)
    -- The same value again is another all the same.
    n = 0
    d:update("a", function(v)
      n = n + 1
      if n == 1 then d.a, d.a = 0, v end
      return v
    end)
    assert.equal(2, n)
  end)

  it("update may yield, raise, and use the dict", function()
    local d = mp.Dict { a = 1, b = 2 }
    local co = coroutine.wrap(function()
      return d:update("a", function(v) return v + coroutine.yield "asked" end)
    end)
    assert.equal("asked", co())
    assert.equal(11, co(10))
    raises("no", d.update, d, "a", function() error "no" end)
    assert.equal(13, d:update("a", function(v) return v + d.b end))
    assert.equal(13, d.a)
    raises("Dict:update: the function returned nothing", d.update, d, "a", function() end)
    raises("Dict:update: expected (key, function) or (table), got number", d.update, d, "a", 5)
    raises("Dict:update: expected (key, function) or (table)", d.update, d, "a")
    local callable = setmetatable({}, { __call = function(_, v) return v * 2 end })
    assert.equal(26, d:update("a", callable))
  end)

  it("setdefault sets once", function()
    local d, ps = mp.Dict(), {}
    for i = 1, 4 do ps[i] = mp.spawn(function() return d:setdefault("k", i) end) end
    local first = d:setdefault("k", 9)
    for _, p in ipairs(ps) do assert.equal(first, p:result(60)) end
  end)

  it("pop gives each to one", function()
    local d, ps = mp.Dict(), {}
    for i = 1, 500 do d[i] = i end
    for w = 1, 3 do
      ps[w] = mp.spawn(function()
        local sum = 0
        while true do
          local k, v = d:popitem()
          if k == nil then return sum end
          sum = sum + v
        end
      end)
    end
    local sum = 0
    for _, p in ipairs(ps) do sum = sum + p:result(60) end
    assert.equal(500 * 501 // 2, sum)
  end)

  it("B22: keeps a queue, which is used through it", function()
    local d = mp.Dict { q = mp.Queue() }
    collectgarbage()
    collectgarbage()
    d.q:put(5)
    assert.equal(5, mp.spawn(function() return d.q:get(10) end):result(60))
  end)

  it("M09: dicts in dicts", function()
    local outer = mp.Dict { inner = mp.Dict { n = 1 }, plain = { n = 1 } }
    local inner = outer.inner
    inner.n = 2
    assert.equal(2, outer.inner.n)
    outer.inner.m = 3
    assert.equal(3, inner.m)
    outer.plain.n = 2
    assert.equal(1, outer.plain.n)
    assert.equal("table", type(outer.plain))
    outer:clear()
    assert.equal(2, inner.n)
    outer.inner = inner
    inner = nil -- luacheck: ignore
    collectgarbage()
    collectgarbage()
    assert.equal(3, outer.inner.m)
  end)

  it("grows to many entries and back", function()
    local d, n = mp.Dict(), 50000
    for i = 1, n do d[i] = i end
    for i = 1, n do d["k" .. i] = i end
    assert.equal(2 * n, #d)
    local sum = 0
    for i = 1, n do sum = sum + d[i] + d["k" .. i] end
    assert.equal(n * (n + 1), sum)
    for i = 1, n do d[i] = nil end
    assert.equal(n, d:keys().n)
    d:clear()
    assert.equal(0, #d)
  end)

  it("a process that is killed in the middle of changes harms nobody", function()
    local d = mp.Dict { kept = "as it was" }
    for round = 1, 15 do
      local started = mp.Event()
      local p = mp.spawn(function()
        local i = 0
        while true do
          i = i + 1
          d[i % 50] = ("x"):rep(i % 300)
          d:update("n", function(v) return (v or 0) + 1 end)
          if i % 7 == 0 then d[i % 50] = nil end
          if i == 20 then started:set() end
        end
      end)
      assert.is_true(started:wait(60))
      kill(p)
      d.mine = round
      assert.equal(round, d.mine)
      assert.equal("as it was", d.kept)
      local n = 0
      for k, v in pairs(d) do
        n = n + 1
        if math.type(k) == "integer" then assert.equal(("x"):rep(#v), v) end
      end
      assert.equal(n, #d)
    end
  end)

  it("says that the memory is full, and keeps what there is", function()
    local got = support.mprun { "--memory", "4M", "-e", [[
      local d, n, big = mp.Dict(), 0, ("x"):rep(30000)
      local ok, why = pcall(function()
        while true do
          d[n + 1] = big
          n = n + 1
        end
      end)
      print(ok, why:match "Dict: the shared memory is full", n > 40, #d == n, d[n] == big)
      d:clear()
      d.next = big
      print(#d, pcall(d.set, d, "huge", ("x"):rep(5 << 20)))]] }
    assert.equal("", got.err)
    for _, text in ipairs {
      "false\tDict: the shared memory is full\ttrue\ttrue\ttrue\n1\tfalse\t",
      "Dict:set: the item can never fit into this runtime's memory of 4 MiB",
    } do
      assert.truthy(got.out:find(text, 1, true), got.out)
    end
  end)

  it("waits for memory that another gives back", function()
    local got = support.mprun { "--memory", "4M", "-e", [[
      local d, q, big = mp.Dict(), mp.Queue(), ("x"):rep(100000)
      while q:put(big, false) do end
      local p = mp.spawn(function()
        mp.sleep(0.1)
        for _ = 1, 5 do q:get() end
      end)
      d.k = big
      p:join()
      print(#d.k)]] }
    assert.same({ "100000\n", "", 0 }, { got.out, got.err, got.status })
  end)

  it("names what cannot be kept, and changes nothing", function()
    local d = mp.Dict { a = 1 }
    raises("Dict: cannot send a coroutine", function() d.a = coroutine.create(print) end)
    raises("Dict:update: cannot send a coroutine (at .co)", d.update, d, "a",
      function() return { co = coroutine.create(print) } end)
    raises("Dict:update: cannot send a coroutine", d.update, d, { a = 2, b = coroutine.create(print) })
    raises("mp.Dict: cannot send a coroutine", mp.Dict, { coroutine.create(print) })
    raises("mp.Dict: expected a table, got number", mp.Dict, 5)
    assert.same({ a = 1 }, d:totable())
    local closed = mp.Queue()
    do local _ <close> = closed end
    raises("closed here", d.set, d, "q", closed)
    raises("Dict:set: the key is an object that is closed here", d.set, d, closed, 1)
    do local _ <close> = d end
    for _, name in ipairs { "get", "set", "has", "contains", "pop", "popitem", "setdefault", "update",
                            "keys", "values", "items", "clear", "totable", "copy" } do
      raises("Dict:" .. name .. ": this Dict is closed here", mp.Dict()[name], d, "a", 1)
    end
    raises("pairs(Dict): this Dict is closed here", pairs, d)
    assert.equal("Dict (closed here)", tostring(d))
    raises("Dict:get: expected a Dict, got table (call it with a colon)", mp.Dict().get, {}, "a")
  end)
end)
