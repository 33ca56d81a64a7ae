-- wait: mp.wait for anything at once. SPDX-License-Identifier: MIT
local mp = require "mp"
local support = require "tests.support"
local raises, eventually, kill = support.raises, support.eventually, support.kill

local has_socket, socket = pcall(require, "socket")

-- A descriptor that becomes readable when the file that comes with it is
-- written to.
local function fifo()
  local path = support.file "fifo"
  assert(os.execute("mkfifo " .. path))
  local w = assert(io.open(path, "r+"))    -- both ends: opening does not wait
  local r = assert(io.open(path, "r"))
  w:setvbuf "no"
  r:setvbuf "no"
  return r, w
end

-- Until the process sleeps in a call of that name (its number differs).
local function asleep(p)
  mp.sleep(0.005)
  eventually(function()
    return support.read(("/proc/%d/stat"):format(p.pid)):match "%) (%a)" == "S"
  end, "it does not sleep")
end

describe("mp.wait", function()
  after_each(support.clean)

  it("gives what is ready, in the list's order", function()
    local q, e = mp.Queue(), mp.Event()
    local r, w = fifo()
    local fd = mp.fd(r)
    local list = { q, r, e, fd, fd:fileno() }
    assert.same({ n = 0 }, mp.wait(list, 0))
    e:set()
    assert.same({ n = 1, e }, mp.wait(list))
    w:write "x"
    assert.same({ n = 4, r, e, fd, fd:fileno() }, mp.wait(list))
    q:put(1)
    assert.same({ n = 5, table.unpack(list) }, mp.wait(list))
    assert.equal("x", r:read(1))
    e:clear()
    q:get()
    assert.same({ n = 0 }, mp.wait(list, 0))
    q:close()
    assert.same({ n = 2, q, q }, mp.wait { q, e, q })
    r:close()
    w:close()
    fd:close()
  end)

  it("R04: nothing ready: empty after the timeout, then exactly the ready one", function()
    local a, b = mp.Queue(), mp.Queue()
    local r, w = fifo()
    for _, list in ipairs { { a, b }, { a, b, r }, { r } } do
      local t = mp.time()
      assert.same({ n = 0 }, mp.wait(list, 0.15))
      assert.is_true(mp.time() - t >= 0.15)
    end
    b:put(1)
    assert.same({ n = 1, b }, mp.wait({ a, b, r }, 20))
    r:close()
    w:close()
  end)

  it("R06: a negative timeout, NaN and an empty list", function()
    local q = mp.Queue()
    raises("mp.wait: the timeout must not be negative, got -1", mp.wait, { q }, -1)
    raises("mp.wait: the timeout must not be negative", mp.wait, { q }, 0 / 0)
    raises("mp.wait: the timeout must be a number", mp.wait, { q }, "1")
    raises("mp.wait: an empty list would be waited for for ever", mp.wait, {})
    local t = mp.time()
    assert.same({ n = 0 }, mp.wait({}, 0.1))
    assert.is_true(mp.time() - t >= 0.1)
  end)

  it("R01: several senders are multiplexed, none lost, an end removes one", function()
    local readers, got, left = {}, {}, 4
    for i = 1, 4 do
      local q = mp.Queue()
      readers[i] = q
      got[q] = 0
      mp.spawn(function()
        for k = 1, 10 do q:put(k) end
        q:close()
      end)
    end
    while left > 0 do
      for _, q in ipairs(mp.wait(readers, 20)) do
        local k, why = q:get(0)
        if k then
          assert.equal(got[q] + 1, k)
          got[q] = k
        elseif why == "closed" then
          for i = 1, left do
            if readers[i] == q then table.remove(readers, i) break end
          end
          left = left - 1
        end
      end
    end
    for _, n in pairs(got) do assert.equal(10, n) end
  end)

  it("R01: the same with pipes, in poll and without", function()
    local r, w = fifo()
    for _, extra in ipairs { false, r } do
      local readers, n = { extra or nil }, 0
      for _ = 1, 4 do
        local mine, other = mp.Pipe(false)
        mp.spawn(function()
          for k = 1, 10 do other:send(k) end
        end)
        other:close()
        readers[#readers + 1] = mine
      end
      while #readers > (extra and 1 or 0) do
        for _, x in ipairs(mp.wait(readers, 20)) do
          local k, why = x:recv(0)
          if k then n = n + 1 end
          if why == "eof" then
            for i = 1, #readers do
              if readers[i] == x then table.remove(readers, i) break end
            end
          end
        end
      end
      assert.equal(40, n)
    end
    r:close()
    w:close()
  end)

  it("R02: the same with delays, and with a descriptor in the list", function()
    local r, w = fifo()
    local readers, n, ends = { r }, 0, 0
    for i = 1, 4 do
      local q = mp.Queue()
      readers[i + 1] = q
      mp.spawn(function()
        for _ = 1, 5 do
          mp.sleep(math.random() * 0.02)
          q:put(i)
        end
        q:close()
      end)
    end
    while ends < 4 do
      for _, q in ipairs(mp.wait(readers, 20)) do
        local k, why = q:get(0)
        if k then n = n + 1 end
        if why == "closed" then
          ends = ends + 1
          for i = 1, #readers do
            if readers[i] == q then table.remove(readers, i) break end
          end
        end
      end
    end
    assert.equal(20, n)
    r:close()
    w:close()
  end)

  it("R03: sockets, read ahead or not", function()
    if not has_socket then return pending "needs LuaSocket" end
    local l = assert(socket.bind("127.0.0.1", 0))
    local q = mp.Queue()
    local p = mp.spawn(function(port)
      l:close()
      q:get()
      local c = assert(socket.connect("127.0.0.1", port))
      c:send("one\ntwo\n")
      q:get()
      c:close()
    end, (select(2, l:getsockname())))
    assert.same({ n = 0 }, mp.wait({ l, mp.Event() }, 0.05))
    q:put(1)
    assert.same({ n = 1, l }, mp.wait({ l, mp.Event() }, 20))
    local s = l:accept()
    assert.same({ n = 1, s }, mp.wait({ s }, 20))
    assert.equal("one", s:receive())
    assert.same({ n = 1, s }, mp.wait({ s }, 20))   -- in LuaSocket's buffer
    assert.equal("two", s:receive())
    assert.same({ n = 0 }, mp.wait({ s }, 0))
    q:put(1)
    assert.same({ n = 1, s }, mp.wait({ s }, 20))   -- hung up
    s:close()
    raises("mp.wait: item 1: tcp{client}", mp.wait, { s })
    p:join()
    l:close()
  end)

  it("R05: a process's sentinel among queues", function()
    local q = mp.Queue()
    local p = mp.spawn(function() q:get() end)
    local list = { q, p.sentinel, p }
    assert.same({ n = 0 }, mp.wait({ p.sentinel, p }, 0.05))
    q:put(1)
    assert.equal(p.sentinel, mp.wait({ p.sentinel }, 20)[1])
    p:join()
    assert.same({ n = 2, p.sentinel, p }, mp.wait(list))
  end)

  it("a file's own buffer counts", function()
    local r = assert(io.popen "echo one; echo two")
    mp.wait({ r }, 20)
    assert.equal("one", r:read())
    assert.same({ n = 1, r }, mp.wait({ r }, 20))
    r:close()
  end)

  it("is woken at once by other processes, in poll too", function()
    local r, w = fifo()
    for _, extra in ipairs { false, r } do
      local q, back = mp.Queue(), mp.Queue()
      local p = mp.spawn(function()
        for _ = 1, 50 do
          mp.wait(extra and { q, extra } or { q })
          back:put((q:get()))
        end
      end)
      local t = mp.time()
      for i = 1, 50 do
        q:put(i)
        assert.equal(i, (back:get(20)))
      end
      assert.is_true(mp.time() - t < 4)     -- 50 slices would be 5 s
      p:join()
    end
    r:close()
    w:close()
  end)

  it("a set and an end wake it in poll", function()
    local r, w = fifo()
    local e = mp.Event()
    local p = mp.spawn(function()
      mp.sleep(0.03)
      e:set()
      mp.sleep(0.03)
    end)
    assert.same({ n = 1, e }, mp.wait({ r, e }, 20))
    assert.same({ n = 1, p }, mp.wait({ r, p }, 20))
    r:close()
    w:close()
  end)

  it("S03: a signal's handler runs meanwhile, and the wait goes on", function()
    local r, w = fifo()
    for _, extra in ipairs { false, r } do
      local q, go = mp.Queue(), mp.Queue()
      local p = mp.spawn(function()
        mp.on_signal("USR1", function() go:put "handled" end)
        go:put "ready"
        local got = mp.wait(extra and { q, extra } or { q })
        return got.n, got[1] == q
      end)
      assert.equal("ready", go:get(20))
      asleep(p)
      os.execute("kill -USR1 " .. p.pid)
      assert.equal("handled", go:get(20))
      q:put(1)
      assert.same({ 1, true }, { p:result(20) })
    end
    r:close()
    w:close()
  end)

  it("a handler that raises ends it, one that closes an object is named", function()
    local q, r, w = mp.Queue(), fifo()
    for _, case in ipairs {
      { "stop it", function() error "stop it" end },
      { "mp.wait: item 1, of type Queue, is closed here",
        function(x) local _ <close> = x end },
    } do
      local ready = mp.Event()
      local p = mp.spawn(function()
        mp.on_signal("USR1", function() case[2](q) end)
        ready:set()
        return select(2, pcall(mp.wait, { q, r }))
      end)
      assert.is_true(ready:wait(20))
      asleep(p)
      os.execute("kill -USR1 " .. p.pid)
      local why = p:result(20)
      assert.truthy(why:find(case[1], 1, true), why)
    end
    r:close()
    w:close()
  end)

  it("names the item that cannot be waited for", function()
    local f = assert(io.open "/dev/null")
    f:close()
    local q = mp.Queue()
    local function list(x) return { q, x, n = 2 } end
    raises("mp.wait: item 2, of type Lock, cannot be waited for", mp.wait, list(mp.Lock()))
    raises("mp.wait: item 2, of type nil, cannot be waited for", mp.wait, list(nil))
    raises("mp.wait: item 2, of type string, cannot be waited for", mp.wait, list "3")
    raises("mp.wait: item 2: expected a descriptor", mp.wait, list {})
    raises("mp.wait: item 2: a descriptor must be a non-negative integer, got -1", mp.wait, list(-1))
    raises("mp.wait: item 2: a descriptor must be a non-negative integer, got 1.5", mp.wait, list(1.5))
    raises("mp.wait: item 2: descriptor 999999 is not open", mp.wait, list(999999))
    raises("mp.wait: item 2: the file is closed", mp.wait, list(f))
    raises("mp.wait: item 2 is a process that has not been started", mp.wait,
      list(mp.Process { target = print }))
    raises("mp.wait: expected a list, got Queue", mp.wait, q)
    raises("mp.wait: expected a list, got nil", mp.wait, nil)
  end)

  it("a child has a bell of its own", function()
    local r, w = fifo()
    local q, a, b = mp.Queue(), mp.Queue(), mp.Queue()
    q:put(1)
    mp.wait({ q, r }, 20)
    assert.same({ n = 0 }, mp.wait({ a, r }, 0.01))     -- now this process has one
    local p = mp.spawn(function()
      for _ = 1, 20 do
        assert(mp.wait({ a, r }, 20).n == 1)
        a:get()
        b:put(1)
      end
    end)
    for _ = 1, 20 do
      a:put(1)
      assert.same({ n = 1, b }, mp.wait({ b, r }, 20))
      b:get()
    end
    p:join()
    assert.equal(0, p.exitcode)
    r:close()
    w:close()
  end)

  it("is given to whoever watches results, and to a table's __mp_result", function()
    local q = mp.Queue()
    local future = setmetatable({}, { __mp_result = function(list, timeout)
      return "future", list, timeout
    end })
    local list = { q, future }
    assert.same({ "future", list, 3 }, { mp.wait(list, 3) })
    mp.core.watch_results(function(...) return "watcher", ... end)
    assert.same({ "watcher", list }, { mp.wait(list) })
    assert.same({ "watcher", { q }, 0 }, { mp.wait({ q }, 0) })
    raises("mp.wait: expected a list, got nil", mp.wait, nil)   -- before it is asked
    raises("the timeout must not be negative", mp.wait, { q }, -1)
    assert.same({ n = 0 }, mp.core.wait({ q }, 0))
    mp.core.watch_results(nil)
    assert.same({ n = 0 }, mp.wait({ q }, 0))
    raises("mp.wait: item 2: expected a descriptor", mp.core.wait, list, 0)
  end)

  it("names the script's line also where a module of ours waits for it", function()
    local ours = load("local core = ... return function(...) return core.wait(...) end", "=mp/x.lua")
    mp.core.watch_results(ours(mp.core))
    local ok, why = pcall(function() mp.wait({ true }, 0) end)
    mp.core.watch_results(nil)
    assert.is_false(ok)
    assert.truthy(why:find("^tests/wait_spec.lua:%d+: mp.wait: item 1, of type boolean"), why)
  end)

  it("a waiter that is killed leaves nothing behind", function()
    local r, w = fifo()
    local q, e = mp.Queue(), mp.Event()
    for _ = 1, 10 do
      local p = mp.spawn(function()
        e:set()
        mp.wait { q, r }
      end)
      assert.is_true(e:wait(20))
      e:clear()
      asleep(p)
      kill(p)
      q:put(1)
      assert.same({ n = 1, q }, mp.wait({ q, r }, 20))
      q:get()
    end
    r:close()
    w:close()
  end)
end)

describe("fileno", function()
  it("of a queue and of an event is readable while they are ready", function()
    local q, e = mp.Queue(), mp.Event()
    local list = { q:fileno(), e:fileno() }
    assert.equal(list[1], q:fileno())
    local function ready() return mp.wait(list, 0).n end
    assert.equal(0, ready())
    mp.spawn(function()
      q:put(1)
      q:put(2)
      e:set()
    end):join()
    assert.equal(2, mp.wait(list, 20).n)
    e:clear()
    q:get()
    assert.equal(1, ready())
    q:get()
    assert.equal(0, ready())
    assert.same({ nil, "empty" }, { q:get(false) })
    mp.wait({ q, e }, 0.01)                 -- in between: it stays watched
    local p = mp.spawn(function() mp.sleep(0.05) q:put(3) end)
    assert.same({ n = 1, list[1] }, mp.wait(list, 20))
    p:join()
    assert.equal(3, (q:get()))
    assert.equal(0, ready())
    q:close()
    assert.equal(1, ready())
  end)

  it("a child has its own, and both are told", function()
    local q, back = mp.Event(), mp.Queue()
    local n = q:fileno()
    local p = mp.spawn(function()
      local mine = q:fileno()
      back:put(true)
      back:put(mp.wait({ mine }, 20).n)
    end)
    back:get()
    q:set()
    assert.equal(1, mp.wait({ n }, 20).n)
    assert.equal(1, (back:get(20)))
    p:join()
  end)
end)
