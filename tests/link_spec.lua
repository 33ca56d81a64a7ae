-- link: what flows are made of (mp.core). SPDX-License-Identifier: MIT
local mp = require "mp"
local support = require "tests.support"
local core = mp.core

describe("link", function()
  it("a lease stays in the count until the commit", function()
    local a, b = core.link(4), core.link()
    assert.equal(4, (a:put_many { 1, 2, 3, 4 }))
    local list = a:lease(3)
    assert.same({ 1, 2, 3 }, { table.unpack(list) })
    assert.equal(3, list.n)
    assert.equal(1, a:qsize())
    assert.is_true(a:full())
    assert.is_true(b:empty())
    assert.is_true(core.commit(b, { 10, 20, n = 3 }))
    assert.is_false(a:full())
    assert.same({ n = 3, 10, 20, nil }, b:get_many(9))
    assert.equal(4, (a:get()))
  end)

  it("several outputs, empty ones, large ones", function()
    local a, b, c, d = core.link(), core.link(), core.link(), core.link()
    local long, list = ("x"):rep(5000), {}
    for i = 1, 300 do list[i] = { i, long, d } end
    a:put(1)
    assert.equal(1, a:lease(1)[1])
    assert.is_true(core.commit(b, list, c, {}, d, { false }))
    assert.equal(0, a:qsize())
    for i = 1, 300 do
      local v = b:get()
      assert.equal(i, v[1])
      assert.equal(long, v[2])
      assert.equal(d, v[3])
    end
    assert.is_true(c:empty())
    assert.is_false(d:get())
  end)

  it("without outputs only finishes", function()
    local a = core.link()
    a:put(1)
    a:lease(1)
    assert.is_true(core.commit())
    assert.same({ nil, "empty" }, { a:get(false) })
    a:close()
    assert.same({ nil, "closed" }, { a:lease(1) })
  end)

  it("what cannot be sent leaves everything as it was", function()
    local a, b = core.link(), core.link()
    a:put("x")
    a:lease(1)
    local ok, why = pcall(core.commit, b, { ("y"):rep(500), { coroutine.create(print) } })
    assert.is_false(ok)
    assert.truthy(tostring(why):find("cannot send a coroutine", 1, true), why)
    assert.is_true(b:empty())
    core.release()
    local list = a:lease(1)
    assert.equal("x", list[1])
    assert.is_nil(list.tries)  -- given back unharmed
    core.commit()
  end)

  it("release gives back to the head, in order", function()
    local a = core.link()
    a:put_many { 1, 2, 3 }
    a:lease(2)
    core.release()
    assert.same({ n = 3, 1, 2, 3 }, a:get_many(9))
  end)

  it("an output that was closed refuses", function()
    local a, b = core.link(), core.link()
    a:put(1)
    a:lease(1)
    b:close()
    assert.same({ nil, "closed" }, { core.commit(b, { 1 }) })
    core.release()
    assert.equal(1, (a:get()))
  end)

  it("a worker that dies leaves its lease to another", function()
    local a, has = core.link(), mp.Event()
    a:put("job")
    local p = mp.spawn(function()
      a:lease(1)
      has:set()
      mp.sleep(60)
    end)
    has:wait()
    assert.same({ nil, "timeout" }, { a:lease(1, 0) })
    a:close()
    p:kill()
    local list = a:lease(1, 20)  -- closed, but not drained while it is leased
    assert.equal("job", list[1])
    assert.equal(2, list.tries)
    assert.is_true(core.commit())
    assert.same({ nil, "closed" }, { a:lease(1) })
    p:join()
  end)

  it("a worker that ends with its work undone has had it", function()
    local a = core.link()
    a:put("job")
    mp.spawn(function() a:lease(1) end):join()
    local list = a:lease(1, 20)
    assert.equal("job", list[1])
    assert.equal(2, list.tries)
    core.commit()
  end)

  -- A worker that has leased so many, and would work for long.
  local function holder(link, n)
    local has = mp.Event()
    local p = mp.spawn(function()
      assert(link:lease(n).n == n)
      has:set()
      mp.sleep(60)
    end)
    has:wait()
    return p
  end

  local function dies_with(link, n)
    local before = link:qsize()
    local p = holder(link, n)
    p:kill()
    p:join()
    support.eventually(function() return link:qsize() == before end)
  end

  it("numbers what it leases", function()
    local a, b = core.link(), core.link()
    a:put_many { "a", "b", "c" }
    b:put "x"
    local list = a:lease(2)
    local lease = list.lease
    assert.same({ n = 2, first = 1, lease = lease, "a", "b" }, list)
    assert.same({ n = 1, first = 1, lease = lease + 2, "x" }, b:lease(9))
    core.commit(b, { "y" })
    assert.same({ n = 1, first = 3, lease = lease + 3, "c" }, a:lease(9))
    assert.same({ n = 1, first = 2, lease = lease + 4, "y" }, b:lease(9))
    core.commit()
  end)

  it("leases what was delivered before by itself", function()
    local a = core.link()
    a:put_many { 1, 2, 3 }
    dies_with(a, 2)
    local list = a:lease(9, 20)
    assert.same({ n = 1, first = 1, lease = list.lease, tries = 2, 1 }, list)
    assert.same({ n = 1, first = 2, lease = list.lease + 1, tries = 2, 2 }, a:lease(9))
    assert.same({ n = 1, first = 3, lease = list.lease + 2, 3 }, a:lease(9))
    core.commit()
    -- Those before and behind it go together.
    a:put_many { 4, 5, 6, 7, 8 }
    a:lease(2)
    dies_with(a, 1)
    core.release()
    assert.same({ n = 2, first = 4, lease = list.lease + 5, 4, 5 }, a:lease(9))
    assert.same({ n = 1, first = 6, lease = list.lease + 7, tries = 2, 6 }, a:lease(9, 20))
    assert.same({ n = 2, first = 7, lease = list.lease + 8, 7, 8 }, a:lease(9))
    core.commit()
  end)

  it("leases together what follows each other", function()
    local a = core.link()
    a:put_many { 1, 2, 3, 4, 5 }
    a:lease(2)
    local p = holder(a, 1)
    core.release()
    local list = a:lease(9)
    assert.same({ n = 2, first = 1, lease = list.lease, 1, 2 }, list)
    assert.same({ n = 2, first = 4, lease = list.lease + 2, 4, 5 }, a:lease(9))
    core.commit()
    p:kill()
    p:join()
  end)

  it("leases as many at once as are wanted", function()
    local a, all = core.link(), {}
    for i = 1, 1000 do all[i] = i end
    a:put_many(all)
    local list = a:lease(math.maxinteger)
    assert.equal(1000, list.n)
    for i = 1, 1000 do assert.equal(i, list[i]) end
    core.commit()
    assert.equal(0, a:qsize())
    assert.is_true(a:empty())
  end)

  it("keeps leases out of commits until they are claimed", function()
    local a, b = core.link(), core.link()
    a:put_many { 1, 2, 3, 4, 5 }
    local list = a:lease(5)
    core.keep(list.lease + 1, 3)
    assert.is_true(core.commit(b, { "1 and 5" }))
    assert.equal("1 and 5", (b:get()))
    core.claim(list.lease + 2)
    core.commit(b, { 3 })
    assert.same({ nil, "timeout" }, { a:lease(1, 0) })
    core.release()
    assert.same({ n = 1, first = 2, lease = list.lease + 5, 2 }, a:lease(9))
    assert.same({ n = 1, first = 4, lease = list.lease + 6, 4 }, a:lease(9))
    core.commit()
  end)

  it("gives back what a worker that dies has kept, as if it had not had it", function()
    local a, has = core.link(), mp.Event()
    a:put_many { 1, 2, 3, 4 }
    local p = mp.spawn(function()
      local lease = a:lease(4).lease
      core.keep(lease, 3)
      core.commit()
      core.claim(lease + 2)
      has:set()
      mp.sleep(60)
    end)
    has:wait()
    p:kill()
    p:join()
    support.eventually(function() return a:qsize() == 3 end)
    local list = a:lease(9)
    assert.same({ n = 2, first = 1, lease = list.lease, 1, 2 }, list)
    assert.same({ n = 1, first = 3, lease = list.lease + 2, tries = 2, 3 }, a:lease(9))
    core.commit()
  end)

  it("has closed for whoever has the last of it himself", function()
    local a = core.link()
    a:put(1)
    local lease = a:lease(1).lease
    core.keep(lease)
    a:close()
    assert.is_true(a:closed())
    assert.same({ nil, "closed" }, { a:lease(1) })
    assert.same({ n = 1, a }, core.wait { a })
    mp.spawn(function()
      assert(select(2, a:lease(1, 0)) == "timeout")
      assert(core.wait({ a }, 0).n == 0)
    end):result(20)
    core.claim(lease)
    core.commit()
    mp.spawn(function() assert(select(2, a:lease(1)) == "closed") end):result(20)
  end)

  it("hands every item on exactly once, whoever is killed", function()
    local N = 30000
    local a, b = core.link(200), core.link()
    local function worker()
      while true do
        local list = a:lease(7)
        if not list then return end
        for i = 1, list.n do list[i] = { list[i], ("x"):rep(list[i] % 100) } end
        assert(core.commit(b, list))
      end
    end
    local p = mp.spawn(function()
      for i = 1, N do a:put(i) end
      a:close()
    end)
    local workers, kills = {}, 0
    for i = 1, 3 do workers[i] = mp.spawn(worker) end
    while p:is_alive() do
      local i = kills % 3 + 1
      workers[i]:kill()
      workers[i]:join()
      workers[i] = mp.spawn(worker)
      kills = kills + 1
    end
    for i = 1, 3 do workers[i]:join() end
    local seen = {}
    for _ = 1, N do
      local v = b:get(20)
      assert(not seen[v[1]], "twice")
      seen[v[1]] = true
      assert(#v[2] == v[1] % 100)
    end
    assert.is_true(a:empty())
    assert.is_true(b:empty())
  end)

  it("names the misuse", function()
    local ok, why = pcall(core.commit, 1)
    assert.is_false(ok)
    assert.truthy(why:find("core.commit: ", 1, true), why)
    ok, why = pcall(core.commit, mp.Event(), {})
    assert.is_false(ok)
    assert.truthy(why:find("core.commit: ", 1, true), why)
    local function raises(text, f, ...)
      ok, why = pcall(f, ...)
      assert.is_false(ok)
      assert.truthy(why:find(text, 1, true), why)
    end
    local a = core.link()
    a:put_many { 1, 2, 3 }
    local lease = a:lease(3).lease
    raises("core.keep: expected the number of a lease and how many, got 0 and 1", core.keep, 0)
    raises("core.claim: expected the number", core.claim, lease, -1)
    raises(("core.keep: of the leases %d to %d not all are this process's; list.lease tells")
      :format(lease, lease + 3), core.keep, lease, 4)
    core.keep(lease + 2)
    raises("some are kept already", core.keep, lease, 3)
    raises("some are not kept; core.keep keeps them", core.claim, lease + 1, 2)
    core.claim(lease + 2)
    core.keep(lease, 3)
    core.release()
    raises("not all are this process's", core.claim, lease)
    assert.equal(3, a:qsize())
  end)
end)

describe("core.wait", function()
  it("R04: gives the list of those that are ready, empty on timeout", function()
    local q, e = mp.Queue(), mp.Event()
    local t = mp.time()
    assert.same({ n = 0 }, core.wait({ q, e }, 0.1))
    assert.is_true(mp.time() - t >= 0.095)
    assert.same({ n = 0 }, core.wait({ q, e }, 0))
    q:put(1)
    assert.same({ n = 1, q }, core.wait { q, e })
    e:set()
    assert.same({ n = 2, q, e }, core.wait { q, e })
    q:get()
    assert.same({ n = 1, e }, core.wait { q, e })
    q:close()
    assert.same({ n = 2, q, e }, core.wait { q, e })
  end)

  it("is woken by a put, a set and an end in other processes", function()
    local q, e = mp.Queue(), mp.Event()
    local p = mp.spawn(function()
      mp.sleep(0.05)
      q:put("x")
      mp.sleep(0.05)
      e:set()
    end)
    assert.same({ n = 1, q }, core.wait({ q, e }, 20))
    q:get()
    assert.same({ n = 1, e }, core.wait({ q, e }, 20))
    assert.same({ n = 1, p }, core.wait({ q, p }, 20))
    p:join()
  end)

  it("wakes at once, not at the end of a slice", function()
    local q, back = mp.Queue(), mp.Queue()
    local p = mp.spawn(function()
      for _ = 1, 50 do
        core.wait { q }
        back:put(q:get())
      end
    end)
    local t = mp.time()
    for i = 1, 50 do
      q:put(i)
      back:get()
    end
    assert.is_true(mp.time() - t < 2)
    p:join()
  end)

  it("names what it cannot wait for", function()
    local ok, why = pcall(core.wait, { mp.Queue(), mp.Lock() })
    assert.is_false(ok)
    assert.truthy(why:find("mp.wait: item 2, of type Lock, cannot be waited for", 1, true), why)
  end)
end)
