-- json: core.json_write and core.json_read. SPDX-License-Identifier: MIT

local core = require "mp.core"
local support = require "tests.support"
local raises = support.raises
local write, read = core.json_write, core.json_read

local has_cjson, cjson = pcall(require, "cjson")

describe("core.json_write", function()
  local function gives(text, v)
    assert.same({ text }, { write(v) })
  end

  local function refuses(why, v)
    assert.same({ nil, why }, { write(v) })
  end

  it("writes scalars", function()
    gives("null", nil)
    gives("true", true)
    gives("false", false)
    gives('""', "")
    gives('"a\\"b\\\\c\\n\\t\\u0001\\u001f/\127"', 'a"b\\c\n\t\1\31/\127')
    gives('"\195\169\255"', "\195\169\255")
    gives("-9223372036854775808", math.mininteger)
  end)

  it("writes floats with as many digits as give them back", function()
    gives("3.0", 3.0)
    gives("-0.0", -0.0)
    gives("0.1", 0.1)
    gives("0.3333333333333333", 1 / 3)
    gives("9007199254740992.0", 2.0 ^ 53)
    gives("1e+300", 1e300)
    for _ = 1, 1000 do
      local x = (math.random() - 0.5) * 10.0 ^ math.random(-300, 300)
      assert.equal(x, tonumber(write(x)))
    end
  end)

  it("writes names in order: numbers, then strings by their bytes", function()
    gives('{"B":1,"a":2,"ab":3,"b":4}', { b = 4, a = 2, ab = 3, B = 1 })
    gives('{"-1":1,"9":2,"10":3,"1.5e+300":4,"a":5}',
      { [-1] = 1, [9] = 2, [10] = 3, [1.5e300] = 4, a = 5 })
    local many = {}
    for i = 1, 1000 do many[("k%04d"):format(i)] = i end
    local at = 0
    for name in write(many):gmatch '"k(%d+)"' do
      at = at + 1
      assert.equal(at, tonumber(name))
    end
    assert.equal(1000, at)
  end)

  it("takes whole numbers from 1 on, at least half of them there, for an array", function()
    gives("[1,2,3]", { 1, 2, 3 })
    gives("[null,2]", { nil, 2 })
    gives("[1,null,null,4]", { [1] = 1, [4] = 4 })
    gives('{"1":1,"5":5}', { [1] = 1, [5] = 5 })
    gives('{"0":0,"1":1}', { [0] = 0, 1 })
    gives('{"200":7}', { [200] = 7 })
    gives('{"1":1,"n":1}', { 1, n = 1 })
    gives("{}", {})
    gives('[{},[[1]],{"a":[{"b":2}]}]', { {}, { { 1 } }, { a = { { b = 2 } } } })
  end)

  it("refuses what JSON has not, and says where it is", function()
    refuses("cannot write a function as JSON", print)
    refuses("cannot write a function as JSON (at .jobs[3].f)", { jobs = { 1, 2, { f = print } } })
    refuses("cannot write a coroutine as JSON (at [1])", { coroutine.create(print) })
    refuses("cannot write a userdata as JSON (at .x)", { x = io.stdout })
    refuses("cannot write a number that is none (NaN) as JSON", 0 / 0)
    refuses("cannot write an infinite number as JSON (at [1])", { -1 / 0 })
    refuses("cannot write a key that is no string or number as JSON (at .x)", { x = { [true] = 1 } })
    local long = ("x"):rep(100)
    refuses(("cannot write a function as JSON (at .%s...)"):format(long:sub(1, 40)), { [long] = print })
  end)

  it("refuses a table inside itself, and too many inside each other; not one twice", function()
    local t = {}
    t.a = { t }
    refuses("cannot write a table that is inside itself as JSON (at .a[1])", t)
    gives("[{},{}]", (function(x) return { x, x } end) {})
    local deep = 1
    for _ = 1, 1000 do deep = { deep } end
    gives(("["):rep(1000) .. "1" .. ("]"):rep(1000), deep)
    local _, why = write { deep }
    assert.is_truthy(why:find "^cannot write tables nested so deeply as JSON %(at %.%.%.%[1%]")
  end)

  it("does not care for the script's locale", function()
    for _, name in ipairs { "de_DE.UTF-8", "fr_FR.UTF-8" } do
      if os.setlocale(name) then
        local text, back = write(0.5), read "[0.25]"
        os.setlocale "C"
        assert.equal("0.5", text)
        assert.equal(0.25, back[1])
      end
    end
  end)
end)

describe("core.json_read", function()
  it("reads values, whole numbers as integers", function()
    local v = read ' { "a" : [ 1 , -2.5e1 , true , false , "x" ] , "b" : { } } \r\n'
    assert.same({ a = { 1, -25.0, true, false, "x" }, b = {} }, v)
    assert.equal("integer", math.type(v.a[1]))
    assert.equal(1.2345678901234567e19, read "12345678901234567890")
    assert.equal(9223372036854775807, read "9223372036854775807")
    assert.equal('\195\169\240\159\152\128\n\t\b\f\r"\\/',
      read [["\u00e9\ud83d\uDE00\n\t\b\f\r\"\\\/"]])
    assert.equal("e\0e", read [["e\u0000e"]])
  end)

  it("reads null as nothing", function()
    assert.same({ n = 1 }, table.pack(read "null"))
    assert.same({ 1, [3] = 3 }, read "[1,null,3]")
    assert.same({ b = 2 }, read '{"a":null,"b":2}')
  end)

  it("reads a part of a text", function()
    assert.equal(23, read("12345", 2, 3))
    assert.same({ nil, "a value expected", 3 }, { read("12", 3) })
    raises("must lie in the text", read, "12", 1, 3)
    raises("must be from 1 on", read, "12", 0)
  end)

  local function refuses(why, text, at)
    it(("refuses %q"):format(text), function()
      assert.same({ nil, why, at }, { read(text) })
    end)
  end

  refuses("a value expected", "", 1)
  refuses("a value expected", "[1,]", 4)
  refuses("a value expected", "nul", 1)
  refuses("',' or ']' expected", "[1 2]", 4)
  refuses("',' or ']' expected", "[1", 3)
  refuses("',' or '}' expected", '{"a":1', 7)
  refuses("a name in quotes expected", '{"a":1,}', 8)
  refuses("a name in quotes expected", "{a:1}", 2)
  refuses("':' expected", '{"a" 1}', 6)
  refuses("something follows the value", "[1] x", 5)
  refuses("something follows the value", "01", 2)
  refuses("a digit expected", "-", 2)
  refuses("a digit expected behind the point", "1.", 3)
  refuses("a digit expected in the exponent", "1e+", 4)
  refuses("a number that is too large", "[1e999]", 2)
  refuses("a string without an end", '"abc', 5)
  refuses("a string without an end", '"abc\\n', 7)
  refuses("an unescaped control character in a string", '"a\tb"', 3)
  refuses("no escape that JSON knows", '"\\x"', 3)
  refuses("four hexadecimal digits expected behind \\u", '"\\u12g4"', 4)
  refuses("half a pair of surrogates", '"\\ud800x"', 8)
  refuses("half a pair of surrogates", '"\\udc00"', 8)

  it("refuses what is nested too deeply", function()
    assert.is_table(read(("["):rep(1000) .. ("]"):rep(1000)))
    assert.same({ nil, "nested too deeply", 1002 }, { read(("["):rep(1001)) })
  end)

  it("reads what it wrote, whatever it is", function()
    local function any(depth)
      local kind = math.random(depth > 4 and 4 or 6)
      if kind == 1 then return math.random(0) end
      if kind == 2 then return (math.random() - 0.5) * 10.0 ^ math.random(-20, 20) end
      if kind == 3 then return math.random(2) == 1 end
      if kind == 4 then
        return (("x"):rep(math.random(0, 20)):gsub("x", function()
          return string.char(math.random(0, 255))
        end))
      end
      local t = {}
      for i = 1, math.random(5) do
        t[kind == 5 and i or "k" .. i] = any(depth + 1)
      end
      return t
    end
    for _ = 1, 2000 do
      local v = any(0)
      assert.same(v, read(write(v)))
    end
  end)

  it("understands what lua-cjson writes, which understands it", function()
    if not has_cjson then pending "there is no lua-cjson" return end
    local v = { a = { 1.5, 2.25, "x/y\n\1\195\169" }, b = { c = true }, d = "" }
    assert.same(v, read(cjson.encode(v)))
    assert.same(v, cjson.decode(write(v)))
    assert.equal('{"a":null}', write { a = cjson.null })
  end)
end)
