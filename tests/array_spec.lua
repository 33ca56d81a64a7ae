-- array: mp.Array. SPDX-License-Identifier: MIT
local mp = require "mp"
local support = require "tests.support"
local raises, kill, join = support.raises, support.kill, support.join

-- What a[i], and a[i] = x, raise.
local function get_raises(text, a, i)
  raises(text, function() return a[i] end)
end
local function set_raises(text, a, i, x)
  raises(text, function() a[i] = x end)
end

local RANGES = {
  i8 = { -128, 127 }, i16 = { -32768, 32767 },
  i32 = { -2147483648, 2147483647 }, i64 = { math.mininteger, math.maxinteger },
  u8 = { 0, 255 }, u16 = { 0, 65535 }, u32 = { 0, 4294967295 },
}

describe("Array", function()
  it("K05: has a length, elements, slices", function()
    local list = { 680, 626, 934, 821, 150, 233, 548, 982, 714, 831 }
    local a = mp.Array("i32", list)
    assert.equal(10, #a)
    assert.equal("Array (10 of i32)", tostring(a))
    for i, x in ipairs(list) do assert.equal(x, a[i]) end
    assert.same({ 934, 821, 150, 233, 548 }, a:slice(3, 7))
    a:set(5, { 1, 2, 3, 4 })
    for i = 1, 4 do list[4 + i] = i end
    assert.same(list, a:totable())
    assert.equal(3, a[7.0])
    a[7.0] = 5.0
    assert.equal(5, a[7])
    assert.equal("integer", math.type(a[7]))
  end)

  it("K05, K07: a child's prefix sum in place is seen by its creator", function()
    local a = mp.Array("i64", { 1, 2, 3, 4, 5 })
    mp.spawn(function()
      for i = 2, #a do a[i] = a[i] + a[i - 1] end
    end):join()
    assert.same({ 1, 3, 6, 10, 15 }, a:totable())
  end)

  it("K06: of a size is zero every time, in used memory too", function()
    for _, n in ipairs { 10, 5000, 100000 } do
      for _ = 1, 3 do
        local a = mp.Array("i32", n)
        assert.equal(n, #a)
        for _, x in ipairs(a) do if x ~= 0 then error(x) end end
        a:fill(-1)
        a = nil -- luacheck: ignore
        collectgarbage()
      end
    end
    assert.equal(0.0, mp.Array("f64", 1)[1])
  end)

  it("K10: holds each of its types, to the ends of their range", function()
    for kind, range in pairs(RANGES) do
      local a = mp.Array(kind, { range[1], 1, range[2] })
      assert.same({ range[1], 1, range[2] }, a:totable())
      for i = 1, 3 do assert.equal("integer", math.type(a[i])) end
      mp.spawn(function() a[1], a[3] = a[3], a[1] end):join()
      assert.same({ range[2], 1, range[1] }, a:totable())
    end
    local d = mp.Array("f64", { 1 / 3, -0.0, math.huge })
    mp.spawn(function() d[1] = d[1] * 2 end):join()
    assert.same({ 2 / 3, -0.0, math.huge }, d:totable())
    d[1] = 5
    assert.equal("float", math.type(d[1]))
    d[1] = 0 / 0
    assert.is_true(d[1] ~= d[1])
    local f = mp.Array("f32", { 0.5, 1 / 3, -math.huge })
    assert.equal(0.5, f[1])
    assert.equal((string.unpack("f", string.pack("f", 1 / 3))), f[2])
    assert.equal(-math.huge, f[3])
  end)

  it("neighbours of every size do not touch each other", function()
    for kind, range in pairs(RANGES) do
      local a = mp.Array(kind, 3)
      a[2] = range[1]
      assert.same({ 0, range[1], 0 }, a:totable())
      a:fill(range[2])
      a[2] = 0
      assert.same({ range[2], 0, range[2] }, a:totable())
    end
  end)

  it("K12: what totable gives is a copy", function()
    local a = mp.Array("f64", { 1, 2, 3 })
    local b = mp.Array("f64", a:totable())
    a[1] = 9
    assert.same({ 1, 2, 3 }, b:totable())
  end)

  it("K14: its length and elements are seen where it is sent", function()
    local q, back = mp.Queue(), mp.Queue()
    local p = mp.spawn(function()
      local a = q:get()
      back:put { #a, a[1], a[#a] }
      a[2] = 22
      back:put(a)
    end)
    local a = mp.Array("u16", { 7, 8, 9 })
    q:put(a)
    assert.same({ 3, 7, 9 }, (back:get(60)))
    assert.is_true(rawequal(a, (back:get(60))))
    assert.equal(22, a[2])
    p:join()
  end)

  it("works in for loops", function()
    local a, seen = mp.Array("i8", { 5, 6, 7 }), {}
    for i, x in ipairs(a) do seen[i] = x end
    assert.same({ 5, 6, 7 }, seen)
    for i, x in pairs(a) do seen[i] = -x end
    assert.same({ -5, -6, -7 }, seen)
    for _ in ipairs(mp.Array("i8", 0)) do error "none" end
    for _ in pairs(mp.Array("i8", 0)) do error "none" end
    assert.equal("5,6,7", table.concat(a, ","))
    assert.same({ 6, 7 }, { table.unpack(a, 2) })
  end)

  it("slices as string.sub does", function()
    local a = mp.Array("u8", { 1, 2, 3, 4, 5 })
    local s = "\1\2\3\4\5"
    local bounds = { math.mininteger, -6, -5, -2, -1, 0, 1, 2, 5, 6, math.maxinteger }
    for _, i in ipairs(bounds) do
      assert.same({ s:sub(i):byte(1, -1) }, a:slice(i))
      for _, j in ipairs(bounds) do
        assert.same({ s:sub(i, j):byte(1, -1) }, a:slice(i, j))
      end
    end
    assert.same({ 1, 2, 3, 4, 5 }, a:slice())
    assert.same({ 1, 2 }, a:slice(nil, 2))
    raises("Array:slice: expected a whole number, got 1.5", a.slice, a, 1.5)
    raises("Array:slice: expected a whole number, got x", a.slice, a, 1, "x")
  end)

  it("takes lists with n", function()
    assert.same({ 1, 2 }, mp.Array("i8", { 1, 2, 3, n = 2 }):totable())
    raises("mp.Array: element 2: expected a number, got nil", mp.Array, "i8", { 1, n = 2 })
    raises("mp.Array: the list's n must be a count", mp.Array, "i8", { n = -1 })
    assert.equal(0, #mp.Array("i8", {}))
    local a = mp.Array("i8", 2)
    a:set(3, {})
    a:set(1, table.pack(4, 5))
    assert.same({ 4, 5 }, a:totable())
  end)

  it("is shared by many writers, each at its own place", function()
    local a, ps = mp.Array("u8", 4), {}
    for w = 1, 4 do
      ps[w] = mp.spawn(function()
        for i = 1, 20000 do a[w] = i % 200 end
        a[w] = 100 + w
      end)
    end
    join(ps)
    assert.same({ 101, 102, 103, 104 }, a:totable())
  end)

  it("shows each element whole, also while it is written", function()
    local a, stop = mp.Array("i64", 1), mp.Event()
    local p = mp.spawn(function()
      while not stop:is_set() do
        a[1] = -1
        a[1] = 0x0123456789abcdef
        a[1] = 0
      end
    end)
    for _ = 1, 100000 do
      local x = a[1]
      if x ~= 0 and x ~= -1 and x ~= 0x0123456789abcdef then error(x) end
    end
    stop:set()
    p:join()
  end)

  it("shows what was written before an element that is seen", function()
    local a = mp.Array("i64", 200)
    local p = mp.spawn(function()
      for i = 1, 20000 do
        a[100] = i
        a[1] = i
      end
    end)
    repeat
      local flag = a[1]
      if a[100] < flag then error(flag) end
    until flag == 20000
    p:join()
  end)

  it("K08: has an RLock, the same one in every process", function()
    local a, ps = mp.Array("i32", 1), {}
    assert.is_true(rawequal(a:get_lock(), a:get_lock()))
    for w = 1, 3 do
      ps[w] = mp.spawn(function()
        for _ = 1, 300 do
          a:get_lock():with(function() a[1] = a[1] + 1 end)
        end
      end)
    end
    join(ps)
    assert.equal(900, a[1])
    local p = mp.spawn(function() a:get_lock():acquire() end)
    p:join()
    assert.same({ true, "abandoned" }, { a:get_lock():acquire(20) })
    a:get_lock():release()
    raises("Array:get_lock: expected a Array", a.get_lock, 5)
  end)

  it("outlives whoever is killed while writing to it", function()
    local a, has = mp.Array("i32", 100000), mp.Event()
    local p = mp.spawn(function()
      while true do
        a:fill(0x11111111)
        has:set()
        a:fill(0x22222222)
      end
    end)
    has:wait()
    kill(p)
    for _, x in ipairs(a) do
      if x ~= 0x11111111 and x ~= 0x22222222 then error(x) end
    end
    a:fill(7)
    assert.equal(7, a[100000])
  end)

  it("names an index that is none", function()
    local a = mp.Array("i32", 10)
    get_raises("Array: index 0 is out of range 1..10", a, 0)
    get_raises("Array: index 11 is out of range 1..10", a, 11)
    get_raises("Array: index -1 is out of range 1..10", a, -1)
    get_raises("Array: index 1.5 is not a whole number", a, 1.5)
    get_raises("Array: index 1e+300 is out of range", a, 1e300)
    get_raises("is not a whole number", a, 0 / 0)
    set_raises("Array: index 0 is out of range 1..10", a, 0, 1)
    set_raises("Array: index 11 is out of range 1..10", a, 11, 1)
    set_raises("Array: index 0.5 is not a whole number", a, 0.5, 1)
    set_raises("Array: expected an index, got x", a, "x", 1)
    set_raises("Array: expected an index, got 1", a, "1", 1)
    get_raises("Array: index 1 is out of range 1..0", mp.Array("i8", 0), 1)
    assert.is_nil(a.nothing)
    for _, x in ipairs(a) do assert.equal(0, x) end
  end)

  it("names a value that is out of the type's range, or of another type", function()
    for kind, range in pairs(RANGES) do
      local a = mp.Array(kind, { 1 })
      if kind ~= "i64" then
        for _, x in ipairs { range[1] - 1, range[2] + 1 } do
          set_raises(("Array: %d is out of the range of %q (%d..%d)"):format(x, kind,
            range[1], range[2]), a, 1, x)
        end
      end
      set_raises(("Array: 9.2233720368548e+18 is out of the range of %q"):format(kind), a, 1, 2.0^63)
      set_raises(("Array: 1.5 is not a whole number, and %q holds no other"):format(kind), a, 1, 1.5)
      set_raises("is not a whole number", a, 1, 0 / 0)
      set_raises("out of the range", a, 1, math.huge)
      set_raises("Array: expected a number, got string", a, 1, "1")
      set_raises("Array: expected a number, got nil", a, 1, nil)
      assert.equal(1, a[1])
    end
    local f = mp.Array("f32", { 1 })
    set_raises('Array: 1e+300 is out of the range of "f32"', f, 1, 1e300)
    set_raises("Array: expected a number, got boolean", f, 1, true)
    assert.equal(1.0, f[1])
  end)

  it("stores nothing of a list of which something is wrong", function()
    local a = mp.Array("u8", { 1, 2, 3 })
    raises("Array:set: element 2: 256 is out of the range", a.set, a, 1, { 9, 256 })
    raises("Array:set: 3 elements from index 2 on go past the end: it has 3", a.set, a, 2, { 9, 9, 9 })
    raises("Array:set: index 0 is out of range 1..3", a.set, a, 0, { 9 })
    raises("Array:set: index 5 is out of range 1..3", a.set, a, 5, {})
    raises("Array:set: index 1.5 is not a whole number", a.set, a, 1.5, { 9 })
    raises("Array:set: expected a list, got number", a.set, a, 1, 9)
    raises("Array:set: expected an index, got table", a.set, a, { 9 })
    raises("Array:set: expected an index, got string", a.set, a, "1", { 9 })
    raises("Array:fill: expected a number, got no value", a.fill, a)
    raises('Array:fill: -1 is out of the range of "u8" (0..255)', a.fill, a, -1)
    raises("Array:fill: expected a Array", a.fill, mp.Queue(), 1)
    assert.same({ 1, 2, 3 }, a:totable())
  end)

  it("K09: names a type that there is not, and a size that cannot be", function()
    raises('mp.Array: unknown type "x" (there are i8, i16, i32, i64, u8, u16, u32, f32, f64)', mp.Array, "x", 10)
    raises('mp.Array: unknown type "u64"', mp.Array, "u64", 10)
    raises("mp.Array: the type must be a string such as \"i32\", got number", mp.Array, 10)
    raises("mp.Array: the type must be a string", mp.Array)
    raises("mp.Array: expected a size or a list, got no value", mp.Array, "i8")
    raises("mp.Array: expected a size or a list, got string", mp.Array, "i8", "10")
    raises("mp.Array: the size must be a whole number, 0 or more, got -1", mp.Array, "i8", -1)
    raises("mp.Array: the size must be a whole number, 0 or more, got 2.5", mp.Array, "i8", 2.5)
    raises("mp.Array: 1152921504606846976 elements can never fit into", mp.Array, "f64", 1 << 60)
    raises("can never fit", mp.Array, "i64", math.maxinteger)
    raises("can never fit", mp.Array, "i64", 1 << 35)
  end)
end)
