-- tally: core.tally, which counts values in C, against a table of Lua's.
-- SPDX-License-Identifier: MIT

local core = require "mp.core"
local support = require "tests.support"

local raises = support.raises

local function value(k)
  local kind = k % 6
  if kind == 0 then return ("s"):rep(k % 20) .. k end
  if kind == 1 then return k end
  if kind == 2 then return k - 1.0 end        -- equal to an integer
  if kind == 3 then return k / 7 end
  if kind == 4 then return k % 4 == 0 end
  return ({ "", "\0", "\0\0", "12345678", "123456789", "1", math.huge, -math.huge, 2^63, -2^63,
            math.mininteger, math.maxinteger })[k % 12 + 1]
end

-- What is in it: by value, and in order.
local function content(t)
  local counts, order, list, from = {}, {}, {}, 1
  repeat
    local n, after = t:read(list, from, math.random(10))
    for i = 1, n, 2 do
      assert.is_nil(counts[list[i]])
      counts[list[i]], order[#order + 1] = list[i + 1], list[i]
    end
    from = after
  until not from
  return counts, order
end

local function sum(counts)
  local n = 0
  for _, k in pairs(counts) do n = n + k end
  return n
end

describe("core.tally", function()
  local seed = os.time()
  before_each(function() math.randomseed(seed) end)

  it("counts as a table does, in order, seed " .. seed, function()
    local t, want, order = core.tally(), {}, {}
    for _ = 1, 20000 do
      local v, n = value(math.random(3000)), math.random(3)
      if not want[v] then order[#order + 1] = v end
      want[v] = (want[v] or 0) + n
      t:add(v, n)
    end
    local got, in_order = content(t)
    assert.same(want, got)
    assert.same(order, in_order)
    assert.equal(#order, t:size())
    assert.equal(sum(want), t:total())
  end)

  it("counts 1 and 1.0 as the integer, and \"1\" for itself", function()
    local t = core.tally()
    for _, v in ipairs { 1, 1.0, "1", true, -0.0, 0, 1.5 } do t:add(v) end
    local got, order = content(t)
    assert.same({ [1] = 2, ["1"] = 1, [true] = 1, [0] = 2, [1.5] = 1 }, got)
    assert.equal("integer", math.type(order[1]))
    assert.equal("integer", math.type(order[4]))
  end)

  it("says what it cannot count", function()
    local t = core.tally()
    for _, v in ipairs { {}, print, io.stdout, 0 / 0 } do assert.is_nil(t:add(v)) end
    assert.is_nil(t:add(nil))
    assert.equal(0, t:total())
  end)

  it("says how many values have a count", function()
    local t = core.tally(1)
    assert.same({ 1, 1, 2 }, { t:add "a", t:add "a", (t:add(1)) })
    assert.same({ 3, 4 }, { t:words "a b c" })
    assert.equal(5, t:add "e")
    t:pour(function() return 1, "all" end)
    assert.equal(1, t:add "e")
    t:empty()
    assert.same({ 0, 0 }, { t:words "" })
  end)

  it("counts a text's words", function()
    local t, want = core.tally(), {}
    for _ = 1, 200 do
      local s = {}
      for i = 1, math.random(0, 100) do
        s[i] = ("ab"):rep(math.random(8)):sub(math.random(9)) .. (" .\0"):rep(math.random(0, 2))
      end
      s = table.concat(s)
      local words = 0
      for w in s:gmatch "[%w_\x80-\xFF]+" do
        words, want[w] = words + 1, (want[w] or 0) + 1
      end
      assert.equal(words, (t:words(s)))
    end
    assert.same(want, (content(t)))
  end)

  it("knows values until it is cleared", function()
    local t = core.tally()
    assert.equal(0, t:bytes())
    t:words "b a b"
    local bytes = t:bytes()
    t:empty()
    assert.same({ 2, 0, bytes }, { t:size(), t:total(), t:bytes() })
    assert.same({}, (content(t)))
    t:words "a b"
    assert.same({ b = 1, a = 1 }, (content(t)))
    assert.equal(bytes, t:bytes())
    t:clear()
    assert.same({ 0, 0, 0 }, { t:size(), t:total(), t:bytes() })
    assert.same({ 0 }, { t:read {} })
    t:add(("x"):rep(1000))
    assert.is_true(t:bytes() > 1000)
  end)

  it("packs its counts, and adds what others packed", function()
    local t, u, want = core.tally(), core.tally(), {}
    assert.is_nil(t:pack())
    for _ = 1, 100 do
      for _ = 1, math.random(100) do
        local v, n = value(math.random(3000)), math.random(300)
        t:add(v, n)
        want[v] = (want[v] or 0) + n
      end
      local bytes, total = t:pack()
      assert.equal(t:total(), total)
      assert.equal(total, u:unpack(bytes))
      t:empty()
    end
    assert.same(want, (content(u)))
    t:clear()
    t:unpack(u:pack())
    assert.same(want, (content(t)))
    assert.equal(0, t:unpack "")
  end)

  it("pours into its ways, and asks for each value once", function()
    local t, want, asked = core.tally(2), { {}, {} }, {}
    local function aim(v)
      assert.is_nil(asked[v])
      asked[v] = true
      return #tostring(v) % 2 + 1, tostring(v):lower()
    end
    for _ = 1, 20 do
      for _ = 1, 300 do
        local v = (math.random(2) == 1 and "X" or "x") .. value(6 * math.random(100))
        local way = want[#v % 2 + 1]
        way[v:lower()] = (way[v:lower()] or 0) + 1
        t:add(v)
      end
      t:pour(aim)
      assert.equal(0, t:total())
      t:into(2, "more", 3)
      want[2].more = (want[2].more or 0) + 3
      for k = 1, 2 do
        local u = core.tally()
        local bytes, total = t:pack(k)
        if bytes then assert.equal(total, u:unpack(bytes)) end
        assert.same(want[k], (content(u)))
        want[k] = {}
      end
      t:empty()
    end
    t:clear()
    asked = {}
    t:add "Xs0"
    t:pour(aim)
    assert.is_true(asked.Xs0)
  end)

  it("moves nothing when aim raises", function()
    local t, refuse = core.tally(1), true
    t:words "a b c"
    local function aim(v)
      if v == "b" and refuse then error("not that", 0) end
      return 1, v
    end
    raises("not that", t.pour, t, aim)
    assert.equal(3, t:total())
    assert.is_nil(t:pack(1))
    refuse = false
    t:pour(aim)
    local u = core.tally()
    u:unpack(t:pack(1))
    assert.same({ a = 1, b = 1, c = 1 }, (content(u)))
  end)

  it("refuses what makes no sense", function()
    local t = core.tally(2)
    raises("tally:into: a string, a number or a boolean expected, got table", t.into, t, 1, {})
    raises("tally:into: NaN cannot be counted", t.into, t, 1, 0 / 0)
    raises("tally:add: n must be at least 1, got 0", t.add, t, "a", 0)
    raises("tally:pack: 2 ways, and none is 3", t.pack, t, 3)
    raises("tally:into: 2 ways, and none is x", t.into, t, "x", "a")
    raises("tally:read: from and max must be at least 1", t.read, t, {}, 0)
    raises("tally:unpack: no tally has packed that", t.unpack, t, "\0")
    raises("core.tally: 0 to 65536 ways, not -1", core.tally, -1)
    raises("mp.core.tally expected", t.size, {})
    t:add "a"
    raises("tally:pour: 2 ways, and none is 0", t.pour, t, function() return 0, "a" end)
    raises("tally:pour: a string, a number or a boolean expected, got nil", t.pour, t,
           function() return 1 end)
  end)
end)
