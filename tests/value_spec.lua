-- value: mp.Value. SPDX-License-Identifier: MIT
local mp = require "mp"
local support = require "tests.support"
local raises, eventually, kill = support.raises, support.eventually, support.kill

local function set_raises(text, v, x)
  raises(text, function() v.value = x end)
end

-- Runs f in n processes at once, and ends when they have.
local function in_processes(n, f)
  local go, ps = mp.Event(), {}
  for i = 1, n do
    ps[i] = mp.spawn(function() go:wait() f(i) end)
  end
  go:set()
  for _, p in ipairs(ps) do
    assert.is_true(p:join(60))
    assert.equal(0, p.exitcode)
  end
end

describe("Value", function()
  it("K01, K02: a child's write is seen by its creator, for each type", function()
    local cases = {
      { "i64", 4343, 24234 }, { "f64", 3.625, -4.25 }, { "i64", -232, 234 },
      { "i64", 1 << 33, 1 << 34 }, { "bool", true, false }, { "any", "x", "y" },
      { "any", { 1, { k = "v" } }, { 2, n = 1 } },
    }
    local values = {}
    for i, case in ipairs(cases) do
      values[i] = mp.Value(case[1], case[2])
      assert.same(case[2], values[i].value)
      assert.equal(math.type(case[2]), math.type(values[i].value))
    end
    mp.spawn(function()
      for i, case in ipairs(cases) do values[i].value = case[3] end
    end):join()
    for i, case in ipairs(cases) do assert.same(case[3], values[i].value) end
  end)

  it("begins with zero, false or nil", function()
    assert.equal(0, mp.Value("i64").value)
    assert.equal("integer", math.type(mp.Value("i64").value))
    assert.equal(0.0, mp.Value("f64").value)
    assert.equal("float", math.type(mp.Value("f64").value))
    assert.is_false(mp.Value("bool").value)
    assert.is_nil(mp.Value("any").value)
    assert.is_nil(mp.Value("any", nil).value)
    assert.is_false(mp.Value("any", false).value)
  end)

  it("K04: names a type that there is not", function()
    raises('mp.Value: unknown type "x" (there are i64, f64, bool, any)', mp.Value, "x")
    raises("mp.Value: the type must be a string such as \"i64\", got no value", mp.Value)
    raises("mp.Value: the type must be a string such as \"i64\", got number", mp.Value, 5)
  end)

  it("has get and set as well", function()
    local v = mp.Value("i64", 7)
    assert.equal(7, v:get())
    v:set(8)
    assert.equal(8, v.value)
    local a = mp.Value("any", 7)
    a:set(nil)
    assert.is_nil(a:get())
  end)

  it("K13: is sent, by a queue and inside another value", function()
    local q, v = mp.Queue(), mp.Value("f64", 0.5)
    local box = mp.Value("any", { v })
    local p = mp.spawn(function()
      q:get().value = 1.5
      box.value[1]:add(1)
    end)
    q:put(v)
    p:join()
    assert.equal(2.5, v.value)
    assert.is_true(rawequal(v, box.value[1]))
  end)

  it("takes what its type can hold, exactly", function()
    local i = mp.Value("i64")
    i.value = 3.0
    assert.equal("integer", math.type(i.value))
    for _, x in ipairs { math.mininteger, math.maxinteger, -1 } do
      i.value = x
      assert.equal(x, i.value)
    end
    local f = mp.Value("f64")
    f.value = 3
    assert.equal("float", math.type(f.value))
    for _, x in ipairs { math.huge, -math.huge, 1e-320, 1 / 3, -0.0 } do
      f.value = x
      assert.equal(x, f.value)
    end
    f.value = 0 / 0
    assert.is_true(f.value ~= f.value)
  end)

  it("names what its type cannot hold, and keeps what it had", function()
    local i, f, b = mp.Value("i64", 1), mp.Value("f64", 1), mp.Value("bool", true)
    set_raises('Value.value: "i64" takes whole numbers of 64 bits, got 1.5', i, 1.5)
    set_raises("got 9.2233720368548e+18", i, 2.0 ^ 63)
    set_raises("takes whole numbers of 64 bits", i, 0 / 0)
    set_raises('Value.value: "i64" takes a number, got string', i, "5")
    set_raises('Value.value: "i64" takes a number, got nil', i, nil)
    set_raises('Value.value: "f64" takes a number, got boolean', f, true)
    set_raises('Value.value: "bool" takes a boolean, got number', b, 1)
    set_raises('Value.value: "bool" takes a boolean, got nil', b, nil)
    raises("Value:set: no value given", i.set, i)
    raises("Value:set: \"i64\" takes a number", i.set, i, {})
    raises('mp.Value: "bool" takes a boolean, got string', mp.Value, "bool", "yes")
    raises("mp.Value: \"i64\" takes whole numbers", mp.Value, "i64", 0.5)
    raises("Value: there is no field valeu to set, only value", function() i.valeu = 1 end)
    raises("Value: there is no field 1 to set", function() i[1] = 1 end)
    raises("Value:add: expected a Value", i.add, mp.Event(), 1)
    raises("Value:get: expected a Value", i.get, 5)
    assert.is_nil(i.nothing)
    assert.same({ 1, 1.0, true }, { i.value, f.value, b.value })
  end)

  it("is shown with its value", function()
    assert.equal("Value (i64: -5)", tostring(mp.Value("i64", -5)))
    assert.equal("Value (f64: 0.5)", tostring(mp.Value("f64", 0.5)))
    assert.equal("Value (bool: true)", tostring(mp.Value("bool", true)))
    assert.equal("Value (any)", tostring(mp.Value("any", "secret")))
  end)
end)

describe("Value:add", function()
  it("gives the new value", function()
    local i, f = mp.Value("i64", 5), mp.Value("f64", 0.5)
    assert.equal(8, i:add(3))
    assert.equal(6, i:add(-2.0))
    assert.equal("integer", math.type(i:add(0)))
    assert.equal(1.0, f:add(0.5))
    assert.equal(3.0, f:add(2))
    assert.same({ 6, 3.0 }, { i.value, f.value })
  end)

  it("wraps around as Lua's integers do", function()
    local i = mp.Value("i64", math.maxinteger)
    assert.equal(math.mininteger, i:add(1))
    assert.equal(math.maxinteger, i:add(-1))
  end)

  it("K11: loses nothing of what several add at once", function()
    local i, f = mp.Value("i64"), mp.Value("f64")
    in_processes(4, function()
      for _ = 1, 20000 do
        i:add(1)
        f:add(0.5)
      end
    end)
    assert.equal(80000, i.value)
    assert.equal(40000.0, f.value)
  end)

  it("counts what was added by those that are killed meanwhile", function()
    local sum = mp.Value("i64")
    local own, ps = {}, {}
    for w = 1, 3 do
      own[w] = mp.Array("i64", 1)
      ps[w] = mp.spawn(function()
        for n = 1, math.huge do
          sum:add(1)
          own[w][1] = n
        end
      end)
    end
    for w = 1, 3 do
      eventually(function() return own[w][1] >= 1000 end)
      kill(ps[w])
    end
    local known = own[1][1] + own[2][1] + own[3][1]
    assert.is_true(sum.value >= known and sum.value <= known + 3)
  end)

  it("is for numbers", function()
    raises('Value:add: "bool" cannot be added to; "i64" and "f64" can',
      function() mp.Value("bool"):add(1) end)
    raises('Value:add: "any" cannot be added to', function() mp.Value("any", 5):add(1) end)
    local i = mp.Value("i64", 5)
    raises('Value:add: "i64" takes whole numbers of 64 bits, got 0.5', i.add, i, 0.5)
    raises('Value:add: "i64" takes a number, got no value', i.add, i)
    raises('Value:add: "i64" takes a number, got string', i.add, i, "1")
    assert.equal(5, i.value)
  end)
end)

describe("Value:cas", function()
  it("replaces what is expected, and nothing else", function()
    local i = mp.Value("i64", 1)
    assert.is_false(i:cas(2, 3))
    assert.equal(1, i.value)
    assert.is_true(i:cas(1.0, 3))
    assert.equal(3, i.value)
    local b = mp.Value("bool")
    assert.is_true(b:cas(false, true))
    assert.is_false(b:cas(false, true))
    local f = mp.Value("f64", -0.0)
    assert.is_true(f:cas(0, 2.5))
    assert.is_false(f:cas(0 / 0, 1))
    f.value = 0 / 0
    assert.is_false(f:cas(0 / 0, 1))
  end)

  it("compares anything as == does", function()
    local e = mp.Event()
    local v = mp.Value "any"
    local steps = { 1, "one", true, false, ("long"):rep(100), e, 2.5 }
    local now
    for _, x in ipairs(steps) do
      assert.is_false(v:cas("not this", 1))
      assert.is_true(v:cas(now, x))
      assert.equal(x, v.value)
      now = x
    end
    v.value = 7
    assert.is_true(v:cas(7.0, nil))
    assert.is_nil(v.value)
    assert.is_true(v:cas(nil, { 1 }))
    assert.is_false(v:cas(nil, 5))
    raises("Value:cas: a table never equals the copy of it that is kept here", v.cas, v, v.value, 5)
    raises("Value:cas: a function never equals", v.cas, v, print, 5)
    assert.same({ 1 }, v.value)
  end)

  it("lets one of several win", function()
    for _, kind in ipairs { "i64", "f64", "any" } do
      local v, won = mp.Value(kind, 0), mp.Array("i64", 3)
      in_processes(3, function(w)
        for n = 0, 299 do
          if v:cas(n, n + 1) then won[w] = won[w] + 1 end
          while v.value <= n do mp.sleep(0) end
        end
      end)
      assert.equal(300, v.value)
      assert.equal(300, won[1] + won[2] + won[3])
    end
  end)

  it("names the misuse", function()
    local i, a = mp.Value("i64", 1), mp.Value("any", 1)
    raises("Value:cas: expected the old and the new value", i.cas, i, 1)
    raises("Value:cas: expected the old and the new value", a.cas, a)
    raises('Value:cas: "i64" takes a number, got string', i.cas, i, 1, "2")
    raises('Value:cas: "i64" takes whole numbers', i.cas, i, 1.5, 2)
    raises("Value:cas: cannot send a coroutine", a.cas, a, 1, coroutine.create(print))
    assert.same({ 1, 1 }, { i.value, a.value })
  end)
end)

describe('Value "any"', function()
  after_each(support.clean)

  it("K12: gives a copy each time", function()
    local t = { list = { 1, 2, 3 }, f = function(x) return x + 1 end }
    local v = mp.Value("any", t)
    t.list[1] = 9
    v.value.list[1] = 8
    assert.same({ 1, 2, 3 }, v.value.list)
    assert.equal(6, v.value.f(5))
  end)

  it("holds values of every size, one after the other", function()
    local v = mp.Value "any"
    for _, n in ipairs { 0, 1, 47, 500, 5000, 100, 70000, 3 << 20, 10 } do
      local s = ("s"):rep(n)
      v.value = s
      assert.is_true(v.value == s)
      assert.is_true(v:get() == s)
    end
  end)

  it("names what cannot travel, and keeps what it had", function()
    local v = mp.Value("any", "old")
    set_raises("Value.value: cannot send a coroutine (at .a[2])", v, { a = { 1, coroutine.create(print) } })
    raises("Value:set: cannot send a coroutine", v.set, v, coroutine.create(print))
    raises("mp.Value: cannot send a coroutine", mp.Value, "any", coroutine.create(print))
    assert.equal("old", v.value)
  end)

  it("says so when the memory cannot hold it, and keeps what it had", function()
    local got = support.mprun { "--memory", "2M", "-e", [[
      local mp = require "mp"
      local v = mp.Value("any", "old")
      local function try(x)
        local ok, why = pcall(v.set, v, x)
        print(ok, (why:gsub(".-(Value:set: [^;]*).*", "%1")), v.value)
      end
      try(("x"):rep(3 << 20))
      local held = mp.Buffer(1 << 20)
      try(("x"):rep(1 << 20))
      held = nil
      collectgarbage()
      v.value = ("x"):rep(1 << 20)
      print(#v.value)
    ]] }
    assert.equal("false\tValue:set: the item can never fit into this runtime's memory of 2 MiB\told\n"
      .. "false\tValue:set: the shared memory is full and every process waits for somebody "
      .. "to free some\told\n1048576\n", got.out, got.err)
  end)

  it("keeps alive what it holds, and no longer", function()
    local v = mp.Value "any"
    mp.spawn(function() v.value = { mp.Buffer "kept" } end):join()
    collectgarbage()
    mp.sleep(0.3)
    local b = v.value[1]
    assert.equal("kept", b:read())
    v.value = nil
    assert.equal("kept", b:read())
    v.value = { b }
    b = nil -- luacheck: ignore
    collectgarbage()
    mp.sleep(0.3)
    assert.equal("kept", v.value[1]:read())
  end)

  it("is whole for every reader while several write", function()
    local v = mp.Value("any", { 0, 0 })
    in_processes(3, function(w)
      for n = 1, 1500 do
        if w == 1 then
          v.value = { n, n, ("x"):rep(n % 7 * 300) }
        elseif w == 2 then
          v.value = { -n, -n }
        else
          local t = v.value
          assert(t[1] == t[2] and (not t[3] or #t[3] == t[1] % 7 * 300))
        end
      end
    end)
    local t = v.value
    assert.equal(t[1], t[2])
  end)

  it("is old or new when who sets it is killed", function()
    local v, e = mp.Value("any", { 0, 0 }), mp.Event()
    for round = 1, 10 do
      local has = mp.Event()
      local p = mp.spawn(function()
        for n = 1, math.huge do
          v.value = { n, n, e, ("x"):rep(n % 3 * 3000) }
          has:set()
        end
      end)
      has:wait()
      mp.sleep(round / 10000)
      p:kill()
      local t = v.value
      assert.equal(t[1], t[2])
      assert.is_true(rawequal(e, t[3]))
      assert.equal(t[1] % 3 * 3000, #t[4])
      p:join()
    end
    v.value = "still works"
    assert.equal("still works", v.value)
  end)

  it("sees a reader killed without harm", function()
    local v, has = mp.Value("any", ("x"):rep(100000)), mp.Event()
    local p = mp.spawn(function()
      while v.value do has:set() end
    end)
    has:wait()
    p:kill()
    v.value = "next"
    assert.equal("next", v.value)
    p:join()
  end)
end)

describe("get_lock", function()
  it("K03: gives an RLock, the same one in every process", function()
    for _, v in ipairs { mp.Value "i64", mp.Value("any", 0) } do
      local l = v:get_lock()
      assert.is_true(rawequal(l, v:get_lock()))
      assert.equal("RLock (free)", tostring(l))
      v.value = 0
      in_processes(3, function()
        for _ = 1, 200 do
          v:get_lock():with(function()
            local hold <close> = v:get_lock():hold() -- luacheck: ignore
            v.value = v.value + 1
          end)
        end
      end)
      assert.equal(600, v.value)
    end
  end)

  it("is one lock when several ask first", function()
    for _ = 1, 10 do
      local v, q = mp.Value "bool", mp.Queue()
      in_processes(3, function() q:put(v:get_lock()) end)
      local l = v:get_lock()
      for _ = 1, 3 do assert.is_true(rawequal(l, (q:get(20)))) end
    end
  end)

  it("lives as long as the value, without a holder of its own", function()
    local v = mp.Value "i64"
    mp.spawn(function() v:get_lock() end):join()
    mp.sleep(0.3)
    local l = v:get_lock()
    assert.is_true(l:acquire(false))
    l:release()
    v = nil -- luacheck: ignore
    collectgarbage()
    assert.is_true(l:acquire(false))
    l:release()
  end)

  it("tells of a holder that was killed", function()
    local v, has = mp.Value("i64", 1), mp.Event()
    local p = mp.spawn(function()
      v:get_lock():acquire()
      v.value = 2
      has:set()
      mp.sleep(60)
    end)
    has:wait()
    assert.same({ nil, "timeout" }, { v:get_lock():acquire(false) })
    p:kill()
    assert.same({ true, "abandoned" }, { v:get_lock():acquire(20) })
    assert.equal(2, v.value)
    v:get_lock():release()
    p:join()
  end)

  it("may be closed and asked for again", function()
    local v = mp.Value "i64"
    do
      local l <close> = v:get_lock()
      l:acquire()
      l:release()
    end
    assert.is_true(v:get_lock():acquire(false))
    v:get_lock():release()
    raises("Value:get_lock: expected a Value", v.get_lock, mp.Event())
  end)
end)
