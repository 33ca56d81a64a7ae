-- buffer: mp.Buffer. SPDX-License-Identifier: MIT
local mp = require "mp"
local support = require "tests.support"
local raises, kill = support.raises, support.kill
local arena, given_back = support.arena, support.given_back

local MiB = 1 << 20

describe("Buffer", function()
  it("is so many zero bytes, or those of a string", function()
    local b = mp.Buffer(10)
    assert.equal(10, #b)
    assert.equal(("\0"):rep(10), b:read())
    assert.equal("Buffer (10 bytes)", tostring(b))
    local s = "any\0bytes\xff"
    b = mp.Buffer(s)
    assert.equal(#s, #b)
    assert.equal(s, b:read())
    assert.equal(0, #mp.Buffer(0))
    assert.equal("", mp.Buffer(""):read())
    assert.equal(4, #mp.Buffer(4.0))
  end)

  it("is read and written at offsets from 0", function()
    local b = mp.Buffer(10)
    b:write(0, "abc")
    b:write(8, "yz")
    b:write(10, "")
    assert.equal("abc\0\0\0\0\0yz", b:read())
    assert.equal("abc", b:read(0, 3))
    assert.equal("yz", b:read(8))
    assert.equal("bc", b:read(1, 2))
    assert.equal("", b:read(10))
    assert.equal("", b:read(3, 0))
    b:write(2, string.pack("<i4", -2))
    assert.equal(-2, (string.unpack("<i4", b:read(2, 4))))
  end)

  it("is filled, whole or in part", function()
    local b = mp.Buffer(6)
    b:fill(0x61)
    assert.equal("aaaaaa", b:read())
    b:fill(0x62, 4)
    b:fill(0x63, 1, 2)
    assert.equal("accabb", b:read())
    b:fill(0)
    assert.equal(("\0"):rep(6), b:read())
  end)

  it("reads strings of every length", function()
    local s = {}
    for i = 1, 600 do s[i] = string.char(i % 251) end
    s = table.concat(s)
    local b = mp.Buffer(s)
    for n = 0, 600, 3 do assert.equal(s:sub(1, n), b:read(0, n)) end
  end)

  it("K10: what a child writes, its creator sees, and the other way round", function()
    local b, go = mp.Buffer "hello", mp.Event()
    local p = mp.spawn(function()
      go:wait()
      b:write(0, b:read():upper())
    end)
    b:write(4, "p")
    go:set()
    p:join()
    assert.equal("HELLP", b:read())
  end)

  it("K06: is zero every time, in used memory too", function()
    for _, size in ipairs { 1, 100, 3000, 30000, 100000, 3 * MiB + 5 } do
      for _ = 1, 3 do
        local b = mp.Buffer(size)
        assert.equal(("\0"):rep(size), b:read())
        b:fill(0xaa)
        b = nil -- luacheck: ignore
        collectgarbage()
      end
    end
  end)

  it("is zero where it lies partly in used, partly in new memory", function()
    local used = mp.Buffer(2 * MiB)
    used:fill(0x55)
    local rest = mp.Buffer(3 * MiB)
    used = nil -- luacheck: ignore
    collectgarbage()
    for _, size in ipairs { 1, 3, 6 } do
      local b = mp.Buffer(size * MiB)
      assert.equal(("\0"):rep(size * MiB), b:read())
    end
    assert.equal(3 * MiB, #rest)
  end)

  it("of 64 MiB goes to another process without a copy", function()
    local b, out, back = mp.Buffer(64 * MiB), mp.Queue(), mp.Queue()
    local p = mp.spawn(function()
      local got = out:get()
      back:put "got"
      got:write(64 * MiB - 4, "tail")
      got:fill(0x78, 0, MiB)
      back:put(got)
    end)
    local before = arena()
    assert.is_true(before > 64 * MiB)
    out:put(b)
    assert.equal("got", (back:get(60)))
    assert.is_true(arena() <= before + MiB)
    local same = back:get(60)
    p:join()
    assert.is_true(rawequal(same, b))
    assert.equal("tail", b:read(64 * MiB - 4))
    assert.equal(("x"):rep(MiB) .. "\0", b:read(0, MiB + 1))
    assert.is_true(arena() <= before + MiB)
  end)

  it("lives in a queue when its maker has gone", function()
    local q = mp.Queue()
    mp.spawn(function() q:put(mp.Buffer "kept") end):join()
    assert.equal("kept", q:get():read())
  end)

  it("L03: gives its memory back", function()
    local before = arena()
    for _ = 1, 8 do
      mp.Buffer(16 * MiB):fill(1)
      collectgarbage()
    end
    given_back(before)
  end)

  it("L04: may be freed by the collector in the middle of making another", function()
    local sum = 0
    for i = 1, 5000 do
      local a, b = { mp.Buffer(i % 700 + 1) }, { mp.Buffer(("s"):rep(i % 50)) }
      a.other, b.other = b, a   -- a cycle: only the collector frees them
      sum = sum + #a[1] + #b[1]
    end
    collectgarbage()
    assert.is_true(sum > 0)
  end)

  it("outlives whoever is killed while writing to it", function()
    local b, has = mp.Buffer(MiB), mp.Event()
    local p = mp.spawn(function()
      while true do
        b:fill(1)
        has:set()
        b:fill(2)
      end
    end)
    has:wait()
    kill(p)
    assert.truthy(b:read():find "^[\1\2]*$")
    b:fill(3)
    assert.equal("\3\3", b:read(MiB - 2))
  end)

  it("names the misuse, and changes nothing", function()
    local b = mp.Buffer "0123456789"
    raises("Buffer:read: 1 bytes at offset 10 go past the end: it has 10", b.read, b, 10, 1)
    raises("Buffer:read: 0 bytes at offset 11 go past the end", b.read, b, 11)
    raises("Buffer:read: 11 bytes at offset 0", b.read, b, 0, 11)
    raises("go past the end", b.read, b, 1, math.maxinteger)
    raises("go past the end", b.read, b, math.maxinteger, math.maxinteger)
    raises("Buffer:read: the offset must be a whole number, 0 or more, got -1", b.read, b, -1)
    raises("Buffer:read: the offset must be a whole number, 0 or more, got 0.5", b.read, b, 0.5)
    raises("Buffer:read: the offset must be a number, got string", b.read, b, "1")
    raises("Buffer:read: the number of bytes must be a whole number", b.read, b, 0, -3)
    raises("Buffer:write: 3 bytes at offset 8 go past the end: it has 10", b.write, b, 8, "abc")
    raises("Buffer:write: the offset must be a number, got nil", b.write, b, nil, "a")
    raises("Buffer:write: expected a string, got number", b.write, b, 0, 5)
    raises("Buffer:write: expected a string, got no value", b.write, b, 0)
    raises("Buffer:fill: the byte must be 0 to 255, got 256", b.fill, b, 256)
    raises("Buffer:fill: the byte must be a number, got string", b.fill, b, "x")
    raises("Buffer:fill: 5 bytes at offset 6 go past the end", b.fill, b, 0, 6, 5)
    raises("Buffer:read: expected a Buffer", b.read, mp.Queue())
    raises("Buffer:read: expected a Buffer", b.read, "s")
    assert.is_false(pcall(function() b.x = 1 end))
    assert.is_nil(b.nothing)
    assert.equal("0123456789", b:read())
  end)

  it("names a size that cannot be", function()
    raises("mp.Buffer: the size must be a number, got no value", mp.Buffer)
    raises("mp.Buffer: the size must be a number, got table", mp.Buffer, {})
    raises("mp.Buffer: the size must be a whole number, 0 or more, got -1", mp.Buffer, -1)
    raises("mp.Buffer: the size must be a whole number, 0 or more, got 1.5", mp.Buffer, 1.5)
    raises("mp.Buffer: the size must be a whole number, 0 or more, got nan", mp.Buffer, math.abs(0/0))
    raises("mp.Buffer: 1152921504606846976 bytes can never fit into this runtime's memory", mp.Buffer, 1 << 60)
    raises("can never fit", mp.Buffer, math.maxinteger)
  end)

  it("says so when the memory is full, and goes on", function()
    local got = support.mprun { "--memory", "4M", "-e", [[
      local mp = require "mp"
      local one = mp.Buffer(2 << 20)
      local ok, why = pcall(mp.Buffer, 3 << 20)
      print(ok, (why:gsub(".-(mp.Buffer: [^;]*).*", "%1")))
      for _ = 1, 20 do mp.Buffer(1 << 20) end   -- garbage is collected for it
      print(#one)
    ]] }
    assert.equal("false\tmp.Buffer: the shared memory is full\n2097152\n", got.out, got.err)
  end)

  after_each(support.clean)
end)
