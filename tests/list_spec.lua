-- list: mp.List. SPDX-License-Identifier: MIT
local mp = require "mp"
local support = require "tests.support"
local raises, kill = support.raises, support.kill

describe("List", function()
  it("M01: is read, sliced, extended and searched", function()
    local l = mp.List { 1, 2, 3 }
    l:extend { 4, 5 }
    l:extend(mp.List { 6 })
    l:extend { n = 2, 7, 8 }
    l:extend {}
    assert.same({ 1, 2, 3, 4, 5, 6, 7, 8 }, l:totable())
    assert.same({ 3, 4 }, l:slice(3, 4))
    assert.same({ 7, 8 }, l:slice(7, 100))
    assert.same({ 7, 8 }, l:slice(-2))
    assert.same({ 1, 2, 3, 4, 5, 6, 7 }, l:slice(1, -2))
    assert.same({}, l:slice(5, 4))
    assert.same({}, l:slice(9))
    assert.equal(4, l:index(4))
    assert.is_nil(l:index(4, 5))
    assert.is_nil(l:index "nothing")
    assert.equal("List (8 items)", tostring(l))
  end)

  it("is indexed as a table is", function()
    local l = mp.List()
    assert.equal(0, #l)
    assert.is_nil(l[1])
    l[#l + 1] = "a"
    l[#l + 1] = { "b" }
    l[1.0] = "A"
    assert.equal("A", l[1])
    assert.same({ "b" }, l[2.0])
    assert.is_nil(l[0])
    assert.is_nil(l[-1])
    assert.is_nil(l[3])
    assert.is_nil(l.nothing)
    l[#l] = nil
    assert.same({ "A" }, l:totable())
    raises("List: index 3 is out of range: the list has 1 items", function() l[3] = 1 end)
    raises("List: index 0 is out of range", function() l[0] = 1 end)
    raises("List: the index must be an integer, got x", function() l.x = 1 end)
    raises("List: the index must be an integer, got 1.5", function() l[1.5] = 1 end)
  end)

  it("cannot hold nil, and says so", function()
    local l = mp.List { 1, 2, false }
    raises("List: a list cannot hold nil", function() l[1] = nil end)
    raises("List:append: a list cannot hold nil", l.append, l, nil)
    raises("List:append: no value given", l.append, l)
    raises("List:insert: a list cannot hold nil", l.insert, l, 1, nil)
    raises("List:extend: item 2: a list cannot hold nil", l.extend, l, { n = 3, 1, nil, 3 })
    assert.same({ 1, 2, false }, l:totable())
    assert.is_false(l[3])
  end)

  it("insert, pop and remove", function()
    local l = mp.List { "b" }
    l:insert(1, "a")
    l:insert(3, "d")
    l:insert(3, "c")
    l:insert "e"
    assert.same({ "a", "b", "c", "d", "e" }, l:totable())
    assert.equal("e", l:pop())
    assert.equal("b", l:pop(2))
    assert.equal("a", l:pop(1))
    assert.is_true(l:remove "d")
    assert.is_false(l:remove "d")
    assert.equal("c", l:pop())
    assert.is_nil(l:pop())
    assert.is_nil(l:pop(1))
    raises("List:insert: index 2 is out of range: the list has 0 items", l.insert, l, 2, "x")
    raises("List:pop: index 5 is out of range", l.pop, l, 5)
    raises("List:pop: index 0 is out of range", l.pop, l, 0)
    raises("List:pop: the index must be an integer", l.pop, l, "last")
  end)

  it("M03: iteration sees what changes before it comes there, and ends", function()
    local l, seen = mp.List { 1, 2, 3 }, {}
    for i, v in ipairs(l) do
      seen[i] = v
      if i == 1 then l[2] = "changed" end
      if i == 3 then l:append(4) end
    end
    assert.same({ 1, "changed", 3, 4 }, seen)
    seen = {}
    for i, v in pairs(l) do seen[i] = v end
    assert.same({ 1, "changed", 3, 4 }, seen)
    local step, state, at = l:items()
    for _ = 1, 4 do at = step(state, at) end
    assert.is_nil(step(state, at))
    assert.is_nil(step(state, at))
  end)

  it("M04: has what a sequence has", function()
    local l = mp.List()
    for _, name in ipairs { "append", "insert", "pop", "remove", "extend", "index", "count", "sort", "reverse",
      "clear", "slice", "items", "totable", "copy" } do
      assert.equal("function", type(l[name]), name)
    end
  end)

  it("M11: count, index, sort, reverse, clear", function()
    local l = mp.List { 3, 1, 2, 3, { 1 }, { 1 } }
    assert.equal(2, l:count(3))
    assert.equal(2, l:count { 1 })
    assert.equal(5, l:index { 1 })
    assert.equal(0, l:count(9))
    raises("attempt to compare", l.sort, l)
    assert.equal(6, #l)
    l:remove { 1 }
    assert.equal(6, #l + 1)
    l:pop()
    l:sort()
    assert.same({ 1, 2, 3, 3 }, l:totable())
    l:sort(function(a, b) return a > b end)
    assert.same({ 3, 3, 2, 1 }, l:totable())
    l:reverse()
    assert.same({ 1, 2, 3, 3 }, l:totable())
    raises("List:sort: expected a function", l.sort, l, 5)
    raises("List:index: the first index must be an integer", l.index, l, 1, "x")
    for i = 5, 16 do l:append(i) end
    assert.equal(16, #l)
    l:clear()
    assert.equal(0, #l)
    l:reverse()
    l:sort()
    assert.same({}, l:totable())
    l:append(1)
    assert.equal(1, l[1])
  end)

  it("sort keeps the order of what is equal", function()
    local l, want = mp.List(), {}
    for i = 1, 200 do l:append { key = i * 7 % 5, i = i } end
    l:sort(function(a, b) return a.key < b.key end)
    for k = 0, 4 do
      for i = 1, 200 do
        if i * 7 % 5 == k then want[#want + 1] = i end
      end
    end
    for i, item in ipairs(l:totable()) do assert.equal(want[i], item.i) end
  end)

  it("sort begins again when another has changed the list", function()
    local l, once = mp.List { 3, 1, 2 }, true
    l:sort(function(a, b)
      if once then once = false l:append(0) end
      return a < b
    end)
    assert.same({ 0, 1, 2, 3 }, l:totable())
  end)

  it("M02: lists in lists", function()
    local inner = mp.List { 1 }
    local outer = mp.List { inner, "x" }
    inner:append(2)
    assert.same({ 1, 2 }, outer[1]:totable())
    outer[1][1] = 55
    assert.equal(55, inner[1])
    assert.equal("x", outer[2])
  end)

  it("M05: keeps what it contains, and gives it back", function()
    local outer = mp.List()
    for i = 1, 5 do outer:append(mp.List { i }) end
    collectgarbage()
    collectgarbage()
    outer[1][1] = 55
    for i = 2, 5 do assert.same({ i }, outer[i]:totable()) end
    local taken = outer:pop(2)
    assert.same({ 2 }, taken:totable())
    assert.same({ 55 }, outer:pop(1):totable())
    assert.equal(3, #outer)
  end)

  it("M05: may contain itself", function()
    local l = mp.List()
    l:append(l)
    assert.equal(l, l[1])
    assert.equal(l, l[1][1][1])
    l = nil -- luacheck: ignore
    collectgarbage()
    collectgarbage()
  end)

  it("B22: a queue is used through it", function()
    local l = mp.List { mp.Queue() }
    l[1]:put "through"
    assert.equal("through", mp.spawn(function() return l[1]:get(10) end):result(60))
  end)

  it("is appended to and taken from by several", function()
    local l, out, ps = mp.List(), mp.List(), {}
    for w = 1, 3 do
      ps[w] = mp.spawn(function()
        for i = 1, 300 do l:append(w * 1000 + i) end
        for _ = 1, 300 do out:append((l:pop())) end
      end)
    end
    for _, p in ipairs(ps) do p:result(60) end
    assert.equal(0, #l)
    assert.equal(900, #out)
    local seen = {}
    for _, v in ipairs(out:totable()) do
      assert.is_nil(seen[v])
      seen[v] = true
    end
  end)

  it("extend adds all at once", function()
    local l, ps = mp.List(), {}
    for w = 1, 3 do
      ps[w] = mp.spawn(function()
        for _ = 1, 50 do l:extend { w, w, w, w } end
      end)
    end
    for _, p in ipairs(ps) do p:result(60) end
    local items = l:totable()
    assert.equal(600, #items)
    for i = 1, 600, 4 do
      for k = 1, 3 do assert.equal(items[i], items[i + k]) end
    end
  end)

  it("a process that is killed in the middle of changes harms nobody", function()
    local l = mp.List()
    for _ = 1, 15 do
      local started = mp.Event()
      local p = mp.spawn(function()
        local i = 0
        while true do
          i = i + 1
          l:append(("x"):rep(i % 200))
          l:insert(1, ("y"):rep(i % 200))
          if #l > 20 then
            l:pop(2)
            l:pop()
            l:reverse()
          end
          if i == 20 then started:set() end
        end
      end)
      assert.is_true(started:wait(60))
      kill(p)
      l:append "mine"
      local items = l:totable()
      assert.equal("mine", items[#items])
      assert.equal(#l, #items)
      for i = 1, #items - 1 do assert.truthy(items[i]:find "^x*$" or items[i]:find "^y*$" or items[i] == "mine") end
    end
  end)

  it("names what cannot be kept, and changes nothing", function()
    local l = mp.List { 1 }
    local co = coroutine.create(print)
    raises("List:append: cannot send a coroutine", l.append, l, co)
    raises("List:insert: cannot send a coroutine (at .co)", l.insert, l, 1, { co = co })
    raises("List:extend: item 2: cannot send a coroutine", l.extend, l, { 1, co, 3 })
    raises("List: cannot send a coroutine", function() l[1] = co end)
    raises("mp.List: item 1: cannot send a coroutine", mp.List, { co })
    raises("mp.List: expected a list, got number", mp.List, 5)
    raises("List:extend: expected a list, got nil", l.extend, l)
    raises("List:extend: the list's n must be a count", l.extend, l, { n = -1 })
    assert.same({ 1 }, l:totable())
    do local _ <close> = l end
    for _, name in ipairs { "append", "insert", "extend", "pop", "remove", "index", "count", "sort",
                            "reverse", "clear", "items", "slice", "totable", "copy" } do
      raises("List:" .. name .. ": this List is closed here", mp.List()[name], l)
    end
    raises("pairs(List): this List is closed here", pairs, l)
    assert.equal("List (closed here)", tostring(l))
  end)
end)
