-- codec: what mp.pack and mp.unpack promise of Lua values.
-- SPDX-License-Identifier: MIT
local mp = require "mp"

local function copy(...)
  return mp.unpack(mp.pack(...), { functions = true })
end

local function bits(x)
  return string.pack("<n", x)
end

local function refusal(...)
  local ok, err = pcall(mp.pack, ...)
  assert.is_false(ok)
  return err
end

-- Makes a module for the duration of f.
local function with_module(name, module, f)
  package.loaded[name] = module
  local ok, err = pcall(f)
  package.loaded[name] = nil
  assert(ok, err)
end

describe("codec: scalars", function()
  it("keeps integers of every width", function()
    local edges = { 0, 1, 47, 48, -16, -17, 127, 128, -128, -129, 32767, 32768, -32769,
      2^31 | 0, -(2^31 | 0) - 1, 1 << 53, math.maxinteger, math.mininteger }
    for _, i in ipairs(edges) do
      local got = copy(i)
      assert.equal(i, got)
      assert.equal("integer", math.type(got))
      assert.equal(i, copy({ i })[1])
    end
  end)

  it("keeps integers and floats apart", function()
    for _, x in ipairs { 0.0, 1.0, -1.0, 2.0^53, 1e300, 5e-324, math.pi, math.huge, -math.huge } do
      assert.equal("float", math.type(copy(x)))
      assert.equal(bits(x), bits(copy(x)))
    end
    assert.equal(bits(-0.0), bits(copy(-0.0)))
    local nan = copy(0 / 0)
    assert.is_true(nan ~= nan)
  end)

  it("keeps nil, false and their number", function()
    assert.same({ n = 0 }, table.pack(copy()))
    assert.same({ n = 1 }, table.pack(copy(nil)))
    assert.same({ n = 4, [2] = false, [3] = true }, table.pack(copy(nil, false, true, nil)))
    local many = {}
    for i = 1, 200 do many[i] = i end
    assert.same(table.pack(table.unpack(many)), table.pack(copy(table.unpack(many))))
  end)

  it("keeps strings of every length, with zeros", function()
    for _, n in ipairs { 0, 1, 3, 4, 40, 41, 63, 64, 255, 256, 4095, 4096, 4097, 70000 } do
      local s = ("a\0\255"):rep(n // 3 + 1):sub(1, n)
      assert.is_true(s == copy(s))
      local got = copy({ s, s, k = s })
      assert.is_true(got[1] == s and got[2] == s and got.k == s)
    end
  end)

  it("keeps a string of 100 MB", function()
    local s = ("0123456789"):rep(10000000)
    assert.is_true(copy(s) == s)
  end)

  it("takes two bytes at most beyond small integers and short strings", function()
    assert.equal(2, #mp.pack(7))
    assert.equal(2 + 5, #mp.pack("hello"))
  end)
end)

describe("codec: tables", function()
  it("keeps lists, maps, mixtures and holes", function()
    for _, t in ipairs {
      {}, { 1, 2, 3 }, { a = 1, b = { c = "x" } }, { 1, 2, nil, 4 }, { nil, nil, 3 },
      { [0] = 0, 1, 2, [-1] = "m", [1.5] = "f", [true] = "t", [2^53] = "big" },
      { 1, 2, x = 3, [10] = 10 }, { { {} }, { { 1 } } },
      { [1] = 1, [2] = 2, [4] = 4, [8] = 8, [1 << 40] = 40 },
    } do
      assert.same(t, copy(t))
    end
  end)

  it("keeps a large list and a large map", function()
    local list, map = {}, {}
    for i = 1, 20000 do
      list[i] = i * 3
      map["key" .. i] = i
    end
    local l, m = copy(list, map)
    assert.equal(20000, #l)
    for i = 1, 20000 do
      assert(l[i] == i * 3 and m["key" .. i] == i)
    end
    local n = 0
    for _ in pairs(m) do n = n + 1 end
    assert.equal(20000, n)
  end)

  it("keeps cycles and shared references, between values too", function()
    local shared = { 1 }
    local t = { shared, shared, x = shared }
    t.self, t[t] = t, t
    local a, b = copy(t, shared)
    assert.is_true(a.self == a and a[a] == a)
    assert.is_true(a[1] == a[2] and a[1] == a.x and a[1] == b)
  end)

  it("writes a repeated string once", function()
    local one = #mp.pack({ ("x"):rep(60) })
    local s = ("x"):rep(60)
    assert.is_true(#mp.pack({ s, s, s, s }) < one + 12)
  end)

  it("keeps metatables, shared ones too", function()
    local mt = { __name = "point", __index = { kind = "p" } }
    local a, b = copy(setmetatable({ 1 }, mt), setmetatable({}, mt))
    assert.equal("p", a.kind)
    assert.equal(getmetatable(a), getmetatable(b))
    assert.not_equal(mt, getmetatable(a))
    local self = setmetatable({}, nil)
    setmetatable(self, self)
    local c = copy(self)
    assert.equal(c, getmetatable(c))
  end)

  it("calls no metamethod", function()
    local function never() error("called") end
    local mt = { __index = never, __newindex = never, __len = never, __pairs = never,
      __eq = never, __call = never, __metatable = "hidden" }
    local t = copy(setmetatable({ 1, 2, x = 3 }, mt))
    assert.equal(3, rawget(t, "x"))
    assert.equal(2, rawlen(t))
  end)

  it("takes tables and functions as keys", function()
    local k = { "key" }
    local t = copy({ [k] = k, [string.format] = 1, [{}] = {} })
    assert.equal(1, t[string.format])
    local found
    for key, v in pairs(t) do
      found = found or (type(key) == "table" and key == v and key[1] == "key")
    end
    assert.is_true(found)
  end)

  it("keeps linked lists of 90000 nodes, and names its limit", function()
    local list
    for i = 1, 90000 do list = { next = list, i = i } end
    local n, node = 0, copy(list)
    while node do n, node = n + 1, node.next end
    assert.equal(90000, n)
    for i = 1, 20000 do list = { next = list, i = i } end
    assert.matches("^mp.pack: cannot send values nested deeper than 100000 levels", refusal(list))
  end)
end)

-- Numbers that follow each other in a list travel in blocks.
describe("codec: lists of numbers", function()
  local function keeps(list, n)
    local got = copy(list)
    for i = 1, n or #list do
      local a, b = list[i], got[i]
      assert.equal(math.type(a), math.type(b))
      if math.type(a) == "float" then a, b = bits(a), bits(b) end
      if a ~= b then assert.equal(a, b, "element " .. i) end
    end
    assert.equal(#list, #got)
    return got
  end

  local function filled(n, f)
    local list = {}
    for i = 1, n do list[i] = f(i) end
    return list
  end

  it("keeps the edges of every width, alone and among others", function()
    local edges = { 0, 1, -1, 47, 48, -16, -17, 127, 128, -128, -129, 255, 256, 32767, 32768,
      -32768, -32769, 65535, 65536, 2^31 - 1 | 0, 2^31 | 0, -(2^31 | 0), -(2^31 | 0) - 1, 1 << 53,
      math.maxinteger, math.mininteger }
    keeps(edges)
    for _, edge in ipairs(edges) do
      keeps(filled(70, function() return edge end))
      for _, at in ipairs { 1, 2, 63, 64, 65, 70 } do
        keeps(filled(70, function(i) return i == at and edge or 1 end))
      end
    end
  end)

  it("keeps the bits of floats", function()
    local floats = { 0.0, -0.0, 1.0, 0.1, 2.0^53, 1e300, 5e-324, math.huge, -math.huge }
    keeps(floats)
    local list = filled(100, function(i) return floats[i % #floats + 1] end)
    keeps(list)
    local nans = { 0 / 0, -(0 / 0), (string.unpack("<d", "\1\2\3\4\5\6\xf8\x7f")), 0 / 0, 0 / 0 }
    local got = copy(nans)
    for i = 1, #nans do assert.equal(string.pack("<d", nans[i]), string.pack("<d", got[i])) end
  end)

  it("keeps lists of every length", function()
    for _, n in ipairs { 1, 2, 3, 4, 5, 63, 64, 65, 127, 128, 129, 65535, 65536, 65537 } do
      keeps(filled(n, function(i) return i end))
      keeps(filled(n, function(i) return i + 0.5 end))
    end
  end)

  it("keeps integers and floats that take turns, and others between them", function()
    for length = 1, 6 do
      keeps(filled(300, function(i) return i // length % 2 == 0 and i or i + 0.0 end))
    end
    local t = {}
    local list = filled(300, function(i)
      local k = i // 7 % 5
      return k == 0 and i or k == 1 and i + 0.0 or k == 2 and "s" .. i or k == 3 and i % 2 == 0 or t
    end)
    local got, shared = copy(list, t)
    for i = 1, 300 do
      assert.equal(list[i] == t and shared or list[i], got[i])
      assert.equal(math.type(list[i]), math.type(got[i]))
    end
  end)

  it("keeps holes, pairs, metatables and what is shared beside them", function()
    local list = filled(200, function(i) return i end)
    list[100], list[150] = nil, nil
    assert.same(list, copy(list))
    list = filled(100, function(i) return i * 0.5 end)
    list.n, list[-1], list[1.5], list.list = 100, 1, 2, list
    local got = copy(list)
    assert.is_true(got.list == got)
    got.list, list.list = nil, nil
    assert.same(list, got)
    local numbers = filled(100, function(i) return i end)
    local a, b, c = copy(numbers, { numbers, 1, 2, 3, 4, 5, numbers }, setmetatable(numbers, {
      __index = numbers }))
    assert.is_true(a == b[1] and a == b[7] and a == c and b[6] == 5)
    assert.equal(a, getmetatable(a).__index)
  end)

  it("keeps lists whose elements are not in the order of their numbers", function()
    local back, mixed = {}, { x = "x" }
    for i = 300, 1, -1 do back[i] = i end
    for i = 20, 1, -1 do
      mixed[i], mixed["k" .. i] = i, i
    end
    assert.same(back, copy(back))
    assert.same(mixed, copy(mixed))
  end)

  it("takes as many bytes a number as the widest beside it needs", function()
    for bytes, x in pairs { [1] = 100, [2] = 1000, [4] = 100000, [8] = 1 << 40 } do
      assert.is_true(#mp.pack(filled(640, function() return x end)) <= 640 * bytes + 26)
    end
    assert.is_true(#mp.pack(filled(640, function() return 0.5 end)) <= 640 * 8 + 26)
  end)

  it("reads numbers that came one by one", function()
    assert.same({ 1, 2, 3, 200, 0.5 },
      mp.unpack("\xb1\x92\x05\x00\x11\x12\x13\x84\xc8\0\x87" .. ("<d"):pack(0.5)))
  end)

  it("refuses blocks that are cut, too long, or no elements", function()
    local block = "\x8d\x03abcd"
    assert.same({ 97, 98, 99, 100 }, mp.unpack("\xb1\x92\x04\0" .. block))
    assert.same({ 97, 98, 99, 100, true }, mp.unpack("\xb1\x92\x05\0" .. block .. "\x82"))
    for _, s in ipairs { block, "\x92\x03\0" .. block, "\x92\x04\0\x8d", "\x92\x04\0\x8d\x03abc",
      "\x92\x04\0\x8d\xc3" .. ("a"):rep(31), "\x92\x04\0\x8e\x03" .. ("a"):rep(31), "\x92\x04\0\x8e",
      "\x92\x00\x03" .. block, "\x92\x01\x03\x10" .. block, "\x93\x01\0\x10" .. block,
      "\x92\x04\0" .. block .. "\x10", "\x92\x05\0" .. block } do
      local got, err = mp.unpack("\xb1" .. s)
      assert.is_nil(got)
      assert.is_string(err)
    end
  end)
end)

-- What pools send of a list.
describe("codec: a part of a list", function()
  local core = mp.core

  local function same_as_slice(list, first, n, at)
    local got, expected = copy(core.part(list, first, n, at)), core.slice(list, first, n)
    for i = 1, n do
      assert.same(expected[i], got[i])
      assert.equal(math.type(expected[i]), math.type(got[i]))
    end
    for i in pairs(got) do assert.is_true(math.type(i) == "integer" and i >= 1 and i <= n) end
  end

  it("arrives as a list of its own, whatever is in it", function()
    local numbers, all = {}, {}
    for i = 1, 300 do
      numbers[i] = i * 1000
      all[i] = ({ i, i + 0.5, "s" .. i, i % 3 == 0, { i }, i })[i // 5 % 6 + 1]
    end
    for _, n in ipairs { 0, 1, 2, 3, 4, 63, 64, 65, 128, 200 } do
      for _, first in ipairs { 1, 2, 100 } do
        same_as_slice(numbers, first, n)
        same_as_slice(all, first, n)
        same_as_slice(all, first, n, 7)
      end
    end
  end)

  it("may have holes, and reach over the list's end", function()
    local list = { n = 9, [-1] = "before", [2] = 2, [3] = 3, [5] = 5.5, [7] = "x", [8] = 8 }
    for first = -2, 10 do
      for n = 0, 12 do same_as_slice(list, first, n, n % 2) end
    end
    assert.is_nil(copy(core.part(list, 1, 9)).n)
  end)

  it("shares what is shared, but is no part of it", function()
    local t, list = {}, { 1, 2 }
    list[3], list[4], list[5] = t, list, "repeated"
    local got, again, u, whole = copy(core.part(list, 2, 4), core.part(list, 1, 5), t, list)
    assert.is_true(got[2] == u and again[3] == u and whole[3] == u)
    assert.is_true(got[3] == whole and again[4] == whole and whole[4] == whole)
    assert.is_true(got ~= whole and again ~= whole and got[4] == "repeated")
  end)

  it("passes metatables over, but for what __index gives", function()
    local list = setmetatable({ 1, 2, 3 }, { __len = error, __name = "list" })
    assert.same({ 2, 3 }, copy(core.part(list, 2, 2)))
    assert.is_nil(getmetatable(copy(core.part(list, 2, 2))))
    list = setmetatable({}, { __index = function(_, i) return i * 2 end })
    assert.same({ 4, 6, n = 2 }, copy(core.part(list, 2, 2)))
  end)

  it("says where what cannot travel is", function()
    local co = coroutine.create(print)
    local list = { 1, 2, 3, co, { x = co } }
    assert.matches("cannot send a coroutine (at [3]);", refusal(core.part(list, 2, 3)), 1, true)
    assert.matches("cannot send a coroutine (at argument 2[2].x);",
      refusal(1, core.part({ 1, list[5] }, 1, 2)), 1, true)
  end)

  it("is built again when the names of modules have to be looked up", function()
    local M = { f = function() end }
    with_module("test.part", M, function()
      assert.equal(M.f, copy(core.part({ 1, 2, 3, 4, 5, M.f }, 2, 5))[5])
    end)
  end)

  it("is refused where it is cut", function()
    local s = mp.pack(core.part({ 1, 2, 3, 4, 0.5, "x", { 1 } }, 1, 7, 3))
    for i = 0, #s - 1 do assert.is_nil((mp.unpack(s:sub(1, i)))) end
    for i = 1, #s do
      for b = 0, 255 do mp.unpack(s:sub(1, i - 1) .. string.char(b) .. s:sub(i + 1)) end
    end
    assert.is_nil((mp.unpack("\xb1\x8f\1" .. ("\xff"):rep(9) .. "\1\x10")))
  end)
end)

describe("codec: functions", function()
  it("copies upvalues by value", function()
    local n, t = 1, { 2 }
    local function f() n = n + 1; return n, t end
    local g = copy(f)
    local got, u = g()
    assert.equal(2, got)
    assert.same({ 2 }, u)
    assert.is_true(u ~= t)
    assert.equal(1, n)
  end)

  it("gives every arrival upvalues of its own, the tenth as the first", function()
    local n = 0
    local s = mp.pack(function() n = n + 1; return n end)
    for _ = 1, 10 do
      local f = mp.unpack(s, { functions = true })
      local g = mp.unpack(s, { functions = true })
      assert.equal(1, f())
      assert.equal(2, f())
      assert.equal(1, g())
    end
  end)

  it("keeps an upvalue shared between two closures of a message", function()
    for _ = 1, 3 do
      local n = 0
      local function inc() n = n + 1 end
      local function get() return n end
      local i, g = copy(inc, get)
      i()
      i()
      assert.equal(2, g())
      assert.equal(0, n)
      local t = copy { a = { inc }, b = { get } }
      t.a[1]()
      assert.equal(1, t.b[1]())
    end
  end)

  it("keeps recursive and mutually recursive functions", function()
    local function fact(n) return n < 2 and 1 or n * fact(n - 1) end
    local even, odd
    function even(n) return n == 0 or odd(n - 1) end
    function odd(n) return n ~= 0 and even(n - 1) end
    for _ = 1, 3 do
      assert.equal(120, copy(fact)(5))
      assert.is_true(copy(even)(10))
      assert.is_false(select(2, copy(even, odd))(10))
    end
  end)

  it("makes _ENV the receiver's globals", function()
    local f = load("return function() return _G, tostring(1) end")()
    for _ = 1, 3 do
      local g, s = copy(f)()
      assert.is_true(g == _G)
      assert.equal("1", s)
    end
    assert.is_true(copy(_G) == _G)
  end)

  it("takes an environment that inherits, as busted's, for the globals", function()
    local f = function() return tostring(1), _ENV end
    local s, env = copy(f)()
    assert.equal("1", s)
    assert.is_true(rawequal(env, _G))
  end)

  it("copies an environment that hides the globals", function()
    local f = load("x = x + 1; return x", "sandbox", "t", { x = 1 })
    for _ = 1, 3 do assert.equal(2, copy(f)()) end
    assert.equal(2, f())
  end)

  it("does not reuse a function whose environment was changed", function()
    local s = mp.pack(load("return tostring"))
    local f = mp.unpack(s, { functions = true })
    debug.setupvalue(f, 1, { tostring = "mine" })
    assert.equal("mine", f())
    assert.is_true(mp.unpack(s, { functions = true })() == tostring)
  end)

  it("keeps line numbers and names for tracebacks", function()
    local x = nil
    local f = copy(function() return x.field end)
    local ok, err = pcall(f)
    assert.is_false(ok)
    assert.matches("codec_spec.lua:%d+: attempt to index a nil value %(upvalue 'x'%)", err)
  end)

  it("keeps functions with many upvalues, constants and inner functions", function()
    local names, values = {}, {}
    for i = 1, 190 do names[i], values[i] = "v" .. i, i end
    local sum = "local " .. table.concat(names, ",") .. " = ...\nreturn function() return "
      .. table.concat(names, "+", 1, 60)
      .. ",v190 and 'x' or 1.5, (function() return v2 end)() end"
    local f = load(sum)(table.unpack(values))
    local fewer = load((sum:gsub(",v190 and", ",v30 and")))(table.unpack(values))
    for _ = 1, 4 do
      assert.same({ f() }, { copy(f)() })
      assert.same({ fewer() }, { copy(fewer)() })
    end
  end)

  it("keeps a message of many closures of the same code small", function()
    local function make(i) return function() return i * 1000 + 1 end end
    local list, one = {}, #mp.pack(make(1))
    for i = 1, 100 do list[i] = make(i) end
    assert.is_true(#mp.pack(list) < one + 100 * 12)
    local got = copy(list)
    for i = 1, 100 do assert.equal(i * 1000 + 1, got[i]()) end
  end)

  it("sends fresh closures again and again", function()
    for i = 1, 3000 do
      assert(copy(function() return i end)() == i)
    end
  end)
end)

describe("codec: names", function()
  it("sends C functions and libraries by name", function()
    for _, v in ipairs { print, string.format, io.write, string, table, mp, mp.pack,
      package.loaded } do
      assert.is_true(rawequal(v, copy(v)))
    end
    assert.is_true(rawequal(io.stdout, copy { io.stdout }[1]))
  end)

  it("sends modules, their functions and classes by name", function()
    local M = { sub = { deep = {} }, data = { 1, 2 } }
    function M.f() end
    function M.sub.g() end
    function M.sub.deep.h() end
    M.Class = { new = function() end }
    M.Class.__index = M.Class
    with_module("test.module", M, function()
      for _, v in ipairs { M, M.f, M.sub, M.sub.g, M.sub.deep.h, M.Class } do
        assert.is_true(rawequal(v, copy(v)))
      end
      local obj = copy(setmetatable({ 1 }, M.Class))
      assert.equal(M.Class, getmetatable(obj))
      local data = copy(M.data)
      assert.same({ 1, 2 }, data)
      assert.is_true(data ~= M.data)
    end)
  end)

  it("notices modules that come and change", function()
    for i = 1, 5 do
      local M = { f = function() return i end }
      with_module("test.changing" .. i % 2, M, function()
        assert.is_true(copy(M) == M)
        assert.is_true(copy(M.f) == M.f)
        local old = M.f
        M.f = function() return "new" end
        assert.equal(i, copy(old)())
      end)
      assert.is_true(copy(M) ~= M)
    end
    local M = { f = function() end }
    with_module("test.one", M, function() assert.is_true(copy(M) == M) end)
    with_module("test.two", M, function() assert.is_true(copy(M) == M) end)
  end)

  it("copies what a script defines globally", function()
    _G.test_global = { f = function() return "by value" end }
    _G.test_function = function() return 1 end
    local function added() return 2 end
    rawset(string, "test_added", added)
    local a, b, c = copy(_G.test_global, _G.test_function, added)
    assert.is_true(a ~= _G.test_global and b ~= _G.test_function)
    assert.equal("by value", a.f())
    assert.equal(2, c())
    assert.is_true(c ~= added)
    _G.test_global, _G.test_function = nil, nil
    rawset(string, "test_added", nil)
  end)

  it("requires the module that a message names", function()
    local M = { f = function() return "here" end }
    local s
    with_module("test.later", M, function() s = mp.pack(M.f) end)
    local got, err = mp.unpack(s, { functions = true })
    assert.is_nil(got)
    assert.matches("cannot load the module 'test.later' that the message names", err)
    package.preload["test.later"] = function() return M end
    assert.is_true(mp.unpack(s, { functions = true }) == M.f)
    M.f = nil
    got, err = mp.unpack(s, { functions = true })
    assert.is_nil(got)
    assert.equal("the message names 'test.later.f', which does not exist here", err)
    package.preload["test.later"], package.loaded["test.later"] = nil, nil
  end)
end)

describe("codec: refusals", function()
  local co = coroutine.create(print)
  local unnamed = ("x"):gmatch("x")

  it("name what and where, and what can be sent", function()
    local instead = "; send the function that it runs"
    local function says(place, ...)
      assert.equal("mp.pack: cannot send a coroutine" .. place .. instead, refusal(...))
    end
    says("", co)
    says(" (at .jobs[3].co)", { jobs = { 1, 2, { co = co } } })
    says(" (at argument 2)", 1, co)
    says(" (at argument 2[\"odd key\"][1.5][true])",
      1, { ["odd key"] = { [1.5] = { [true] = co } } })
    says(" (at .x, a key of type thread)", { x = { [co] = 1 } })
    says(" (at metatable.__index)", setmetatable({}, { __index = co }))
    assert.equal("mp.pack: cannot send a C function that no module names (at .f); "
      .. "call it from a Lua function", refusal { f = unnamed })
  end)

  it("name the upvalue and its function", function()
    local holder = { co }
    local line = debug.getinfo(1, "l").currentline + 1
    local err = refusal { cb = function() return holder end }
    assert.matches("^mp.pack: cannot send a coroutine %(at .cb, upvalue 'holder' of function",
      err)
    assert.matches("codec_spec.lua:" .. line .. ">[1])", err, 1, true)
  end)

  it("hint at what can be sent for files", function()
    local f <close> = assert(io.tmpfile())
    assert.equal("mp.pack: cannot send a file (at .log); send its name, and open it there",
      refusal { log = f })
  end)

  it("shorten a long path", function()
    local t = { co }
    for _ = 1, 5000 do t = { n = t } end
    local err = refusal(t)
    assert.matches("(4985 more)", err, 1, true)
    assert.is_true(#err < 300)
  end)

  it("leave the codec as it was", function()
    for _ = 1, 100 do refusal { { { co } }, ("x"):rep(10000) } end
    assert.same({ 1, { "x" } }, copy { 1, { "x" } })
  end)
end)

describe("codec: bytes from outside", function()
  local function sample()
    return { 1, "two", { 3.5, x = "repeated", y = "repeated" } }, setmetatable({}, { 1 }),
      { 1, 2, 3, 4, 500, 0.5, 1.5, 2.5, 3.5, "end", 1 << 40, 1, 1, 1, x = 1 }
  end

  it("give no functions unless asked", function()
    for _, v in ipairs { print, function() end, string, _G } do
      local got, err = mp.unpack(mp.pack({ v }))
      assert.is_nil(got)
      assert.matches("^the message holds", err)
    end
  end)

  it("give nil and a reason when they are no message", function()
    for _, s in ipairs { "", "x", "\xb1", "\xb1\x91\xff\xff\xff\xff\x7f",
      "\xb1\x92\xff\xff\xff\x7f\x40",
      "\xb1\x8a\x00", "\xbf\xff\xff\xff\xff\x0f", "\xb1\x10\x10", "\xb1\x92\x00\x01\x80\x10\x8b",
      "\xb1\x93\x00\x00\x10", "\xb1\x8b", "\xb1\x8c\x00\x00" } do
      local got, err = mp.unpack(s)
      assert.is_nil(got)
      assert.is_string(err)
    end
  end)

  it("give nil and a reason wherever a message is cut", function()
    local s = mp.pack(sample())
    for i = 0, #s - 1 do
      local got, err = mp.unpack(s:sub(1, i))
      assert.is_nil(got)
      assert.is_string(err)
    end
  end)

  it("survive every change of a byte", function()
    local s = mp.pack(sample())
    for i = 1, #s do
      for b = 0, 255 do
        mp.unpack(s:sub(1, i - 1) .. string.char(b) .. s:sub(i + 1))
      end
    end
  end)

  it("cannot ask for more memory than they justify", function()
    local bomb = "\xb1" .. ("\x92\xff\xff\xff\xff\x07\x20"):rep(20000)
    collectgarbage()
    local before = collectgarbage("count")
    assert.is_nil(mp.unpack(bomb))
    assert.is_true(collectgarbage("count") - before < 40000)
  end)

  it("are strings; all else is misuse", function()
    assert.has_error(function() mp.unpack({}) end)
    assert.has_error(function() mp.unpack("", 1) end)
  end)
end)

describe("codec: memory", function()
  it("is given back after large messages, and works on", function()
    local t = {}
    for i = 1, 100000 do t[i] = { "value " .. i } end
    for _ = 1, 2 do
      assert.equal(100000, #copy(t))
      for i = 1, 40 do assert.same({ i, "x" }, copy { i, "x" }) end
      for i = 1, 40 do assert.equal(i, copy(i)) end
    end
  end)
end)

describe("codec: finalizers", function()
  it("may pack and unpack in the middle of another message", function()
    local runs = 0
    local function garbage()
      setmetatable({}, { __gc = function()
        runs = runs + 1
        assert(copy({ "finalizer", ("z"):rep(9000), { runs } })[3][1] == runs)
      end })
    end
    local big = ("y"):rep(5000)
    for i = 1, 2000 do
      garbage()
      local got = copy({ i, { big, tostring(i) }, big, function() return i end })
      assert(got[1] == i and got[2][1] == big and got[2][2] == tostring(i) and got[4]() == i)
    end
    collectgarbage()
    assert.is_true(runs > 100)
  end)
end)
