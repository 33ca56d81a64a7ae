-- bar: how far something is, drawn with a clock and a terminal of the test's own.
-- SPDX-License-Identifier: MIT
require "mp"
local bar = require "mp.bar"

-- A bar, and what it wrote last; columns false: no terminal.
local function watched(columns, o)
  o = o or {}
  local w = { n = 0, columns = columns }
  o.write = function(text) w.text, w.n = text, w.n + 1 end
  o.columns = function() return w.columns or nil end
  o.now = 100
  w.bar = bar.new(o)
  function w.show(now, ...)
    w.text = nil
    w.bar:show(100 + now, ...)
    return w.text and w.text:gsub("^\r\27%[K", "")
  end
  function w.finish(now)
    w.text = nil
    w.bar:finish(100 + now)
    return w.text and w.text:gsub("^\r\27%[K", "")
  end
  return w
end

describe("a number for people", function()
  it("has commas", function()
    for n, text in pairs { [0] = "0", [999] = "999", [1000] = "1,000", [1234567] = "1,234,567" } do
      assert.equal(text, bar.count(n))
    end
  end)

  it("is a rate by the second, minute or hour", function()
    for x, text in pairs { [1234567.8] = "1,234,568/s", [100] = "100/s", [99.99] = "100/s", [56.78] = "56.8/s",
                           [9.999] = "10.0/s", [1] = "1.00/s", [0.5] = "30.0/min", [0.01] = "36.0/h" } do
      assert.equal(text, bar.rate(x))
    end
  end)

  it("is a time", function()
    for s, text in pairs { [0] = "0:00", [59.6] = "1:00", [3599] = "59:59", [3600] = "1:00:00",
                           [90061] = "1d 01h", [1e9] = ">99 days" } do
      assert.equal(text, bar.span(s))
    end
  end)
end)

describe("a bar", function()
  it("shows how far it is, how fast, and how long it will take", function()
    local w = watched(80)
    assert.equal("[...............................]    0%    0/500", w.show(0, 0, 500, 0))
    assert.equal("[#######........................]   25%  125/500  25.0/s  ETA 0:15",
                 w.show(5, 125, 500, 0))
    assert.equal("[###############################]  100%  500/500  50.0/s  0:10\n", w.show(10, 500, 500, 0)
                 and w.finish(10))
  end)

  it("is drawn ten times a second at most", function()
    local w = watched(80)
    for i = 0, 999 do w.show(i / 1000, i, 1000, 0) end
    assert.equal(10, w.n)
  end)

  it("draws its last state at once, and only once", function()
    local w = watched(80)
    w.show(0, 0, 2, 0)
    assert.is_nil(w.show(0.01, 2, 2, 0))
    assert.truthy(w.finish(0.01):find "100%%  2/2.*\n$")
    assert.is_nil(w.finish(0.02))
  end)

  it("leaves out what there is no room for, the least important first", function()
    local function at(columns)
      local w = watched(columns)
      w.show(0, 0, 1200, 0)
      return w.show(6, 600, 1200, 3)
    end
    assert.equal("[##########...........]   50%    600/1,200  100/s  ETA 0:06  3 failed", at(70))
    assert.equal(" 50%    600/1,200  100/s  ETA 0:06  3 failed", at(45))
    assert.equal(" 50%    600/1,200  ETA 0:06  3 failed", at(40))
    assert.equal(" 50%    600/1,200", at(20))
    assert.equal("  600/1,200", at(12))
    assert.equal(" 50%", at(5))
    assert.equal("", at(4))
  end)

  it("never reaches the last column, whatever the width is now", function()
    local w = watched(80)
    for columns = 1, 200 do
      w.columns = columns
      assert.is_true(#w.show(columns, columns * 10, 2000, 7) < columns)
    end
  end)

  it("takes 80 columns where the terminal does not say", function()
    assert.equal(watched(80).show(0, 1, 2, 0), watched(0).show(0, 1, 2, 0))
  end)

  it("counts where the total is not known", function()
    local w = watched(80)
    assert.equal("0  0.0 s", w.show(0, 0, nil, 0))
    assert.equal("50,000  10,000/s  5.0 s  1 failed", w.show(5, 50000, nil, 1))
    assert.equal("60,000  5,000/s  0:12  1 failed\n", w.show(12, 60000, nil, 1) and w.finish(12))
  end)

  it("copes with nothing to do", function()
    local w = watched(80)
    assert.equal("0/0  0.0 s", w.show(0, 0, 0, 0))
    assert.equal("0/0  0.0 s\n", w.finish(0))
  end)

  it("goes by the speed of the last seconds", function()
    local w = watched(80)
    for t = 1, 100 do w.show(t, t, 10000, 0) end
    local text
    for t = 101, 130 do text = w.show(t, 100 + (t - 100) * 100, 10000, 0) end
    assert.truthy(text:find("100/s  ETA 1:09", 1, true), text)
  end)

  it("expects less while nothing comes", function()
    local w = watched(80)
    assert.truthy(w.show(10, 10, 20, 0):find "ETA 0:10")
    assert.truthy(w.show(20, 10, 20, 0):find "ETA 0:20")
    assert.truthy(w.show(90, 10, 20, 0):find "ETA 1:30")
  end)

  it("is a plain line now and then where there is no terminal", function()
    local w = watched(false, { name = "Pool-1" })
    assert.is_nil(w.show(9.9, 1, 100, 0))
    assert.equal("Pool-1: 10%   10/100  1.00/s  ETA 1:30\n", w.show(10, 10, 100, 0))
    assert.is_nil(w.show(19.9, 19, 100, 0))
    assert.equal("Pool-1: 20%   20/100  1.00/s  ETA 1:20  1 failed\n", w.show(20, 20, 100, 1))
    w.show(25, 100, 100, 1)
    assert.equal("Pool-1: 100%  100/100  4.00/s  0:25  1 failed\n", w.finish(25))
  end)

  it("writes nothing there if it is over before that", function()
    local w = watched(false)
    w.show(9, 100, 100, 0)
    assert.is_nil(w.finish(9.5))
    assert.equal(0, w.n)
  end)
end)
