-- simple_queue: mp.SimpleQueue; the names in front of colons are the lines of
-- the list of behaviours. SPDX-License-Identifier: MIT
local mp = require "mp"
local elsewhere = require("tests.support").elsewhere

describe("SimpleQueue", function()
  it("D01: tells in every process whether it is empty", function()
    local q, told = mp.SimpleQueue(), mp.SimpleQueue()
    assert.is_true(q:empty())
    local p = mp.spawn(function()
      told:put(q:empty())
      q:put("x")
      told:put(q:empty())
    end)
    assert.is_true((told:get()))
    assert.is_false((told:get()))
    p:join()
    assert.is_false(q:empty())
    assert.equal("x", q:get())
    assert.is_true(q:empty())
  end)

  it("is first in, first out, between processes", function()
    local q = mp.SimpleQueue()
    local p = mp.spawn(function()
      for i = 1, 500 do q:put(i) end
    end)
    for i = 1, 500 do assert(q:get() == i) end
    p:join()
  end)

  it("waits, or not", function()
    local q = mp.SimpleQueue()
    assert.same({ nil, "empty" }, { q:get(false) })
    assert.same({ nil, "timeout" }, { q:get(0.05) })
    assert.is_true(q:put { 1, q })
    assert.equal(q, q:get()[2])
  end)

  it("D02: empty() of a closed one is an error", function()
    local q = mp.SimpleQueue()
    q:put(1)
    for _, one in ipairs { q, mp.SimpleQueue() } do
      one:close()
      local ok, why = pcall(one.empty, one)
      assert.is_false(ok)
      assert.truthy(why:find("SimpleQueue:empty: this SimpleQueue is closed", 1, true), why)
    end
  end)

  it("D03 D04: close is for everybody, and twice is fine", function()
    local q = mp.SimpleQueue()
    q:put("left")
    q:close()
    q:close()
    local function all() return { select(2, q:put(1)), (q:get()), select(2, q:get()) } end
    assert.same({ "closed", "left", "closed" }, elsewhere(all))
    assert.same({ nil, "closed" }, { q:put(1) })
    assert.same({ nil, "closed" }, { q:get() })
  end)

  it("wakes who waits when it is closed", function()
    local q, near = mp.SimpleQueue(), mp.Event()
    local p = mp.spawn(function()
      near:set()
      return select(2, q:get())
    end)
    near:wait(30)
    mp.sleep(0.05)
    q:close()
    assert.equal("closed", p:result(30))
  end)

  it("has these members, and names itself in errors", function()
    local q = mp.SimpleQueue()
    for _, name in ipairs { "put", "get", "empty", "close" } do
      assert.equal("function", type(q[name]))
    end
    assert.is_nil(q.qsize)
    local function says(what, f, ...)
      local ok, why = pcall(f, ...)
      assert.is_false(ok)
      assert.truthy(why:find(what, 1, true), why)
    end
    says("SimpleQueue:put: no item given", q.put, q)
    says("SimpleQueue:put: cannot send a coroutine", q.put, q, coroutine.create(print))
    says("SimpleQueue:get: expected a SimpleQueue, got table", q.get, {})
    assert.truthy(tostring(q):find("^SimpleQueue"))
  end)
end)
