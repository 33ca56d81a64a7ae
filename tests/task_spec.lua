-- task: what pools are made of (mp.core). SPDX-License-Identifier: MIT
local mp = require "mp"
local support = require "tests.support"
local core = mp.core
local raises, eventually, kill, join = support.raises, support.eventually, support.kill, support.join

-- The queues and the board of a pool with n workers.
local function pool(n)
  return { tasks = core.link(), results = core.link(),
           board = mp.Array("i64", 8 * (n + 1)), creator = mp.current_process() }
end

-- Word i of worker k's line, or of that of all, as board.h counts them.
local function at(k, i) return 8 * k + i + 1 end
local DEADLINE, TASKS, BUSY = 2, 4, 5
local NEXT = at(0, 1)

-- Makes this process worker k.
local function open(p, k, fields)
  local all = { tasks = p.tasks, results = p.results, board = p.board,
                creator = p.creator, number = k or 1 }
  for name, value in pairs(fields or {}) do all[name] = value end
  core.task_open(all)
end

local function submit(p, id, ...)
  assert.is_true(core.task_put(p.tasks, "Pool:submit", id, nil, ...) > 8)
end

local function result(p)
  return core.task_got(p.results, nil, 30)
end

-- A process that is worker k, runs f, and says so; it is killed later.
local function worker(p, k, f)
  return (support.holder(function()
    open(p, k)
    f()
  end))
end

local function asleep(p)
  mp.sleep(0.005)
  eventually(function()
    return support.read(("/proc/%d/stat"):format(p.pid)):match "%) (%a)" == "S"
  end, "it does not sleep")
end

after_each(support.clean)

describe("what comes back", function()
  it("goes into the list that is there for it", function()
    local r, mine = core.link(), { "kept", n = 5 }
    local function got(lists, ...)
      assert.is_true(core.task_put(r, "test", 1, nil, ...) > 8)
      return select(2, core.task_got(r, nil, 30, nil, nil, lists))
    end
    local values = { 2, 3, 4, 5, 0.5, false, "x", { 8 } }
    local first, list, after = got({ mine }, 2, core.part(values, 1, 8, 2), "after")
    assert.is_true(first == 2 and list == mine and after == "after")
    assert.same({ "kept", 2, 3, 4, 5, 0.5, false, "x", { 8 }, n = 5 }, mine)
    assert.is_true(select(2, got({ mine }, 1, core.part({ "first" }, 1, 1, 1))) == mine)
    assert.equal("first", mine[1])
    local long = {}
    for i = 1, 10000 do long[i] = i end
    got({ mine }, core.part(long, 1, 10000, 100))
    assert.is_true(mine[99] == nil and mine[100] == 1 and mine[10099] == 10000 and mine[10100] == nil)
    local before = #mine
    assert.equal(mine, (got({ mine }, core.part({}, 1, 0, 50))))
    assert.equal(before, #mine)
  end)

  it("is a list of its own where there is none for it, or a second one", function()
    local r, mine = core.link(), { 1, 2, 3 }
    local function got(lists, ...)
      assert.is_true(core.task_put(r, "test", 1, nil, ...) > 8)
      return select(2, core.task_got(r, nil, 30, nil, nil, lists))
    end
    for _, lists in ipairs { false, {}, { [2] = mine } } do
      assert.same({ "a", "b" }, (got(lists or nil, core.part({ "a", "b" }, 1, 2, 3))))
    end
    local a, b, c = got({ mine }, { core.part({ "in" }, 1, 1, 2) }, core.part({ "a" }, 1, 1, 2),
                        core.part({ "b" }, 1, 1, 2))
    assert.same({ { "in" } }, a)
    assert.is_true(b == mine)
    assert.same({ "b" }, c)
    assert.same({ 1, "a", 3 }, mine)
    assert.same({ 5, 6, 7, 8 }, (got({ mine }, { 5, 6, 7, 8 })))
    assert.same({ 1, "a", 3 }, mine)
  end)
end)

describe("a task", function()
  it("is taken, begun and done; its values and its result travel", function()
    local p = pool(1)
    open(p)
    submit(p, 7, "x", nil, { 1, 2 }, nil)
    assert.same({ n = 7, 7, 1, 0, "x", nil, { 1, 2 }, nil }, table.pack(core.task_take()))
    assert.is_nil(core.task_state(p.board, 1))
    assert.is_false(core.task_begin(1))
    assert.same({ 7, "running" }, { core.task_state(p.board, 1) })
    mp.sleep(0.001)
    local so_far = core.task_elapsed()
    assert.is_true(so_far >= 1000000)
    local took = core.task_done(true, { "r" }, nil)
    assert.is_true(took >= so_far)
    assert.is_nil(core.task_state(p.board, 1))
    assert.same({ n = 4, 7, true, { "r" }, nil }, table.pack(result(p)))
    assert.equal(1, p.board[at(1, TASKS)])
    assert.equal(took, p.board[at(1, BUSY)])
    assert.equal(mp.getpid(), p.board[at(1, 3)])
    assert.is_true(math.abs(p.board[at(1, 6)] / 1e9 - mp.time()) < 60)
  end)

  it("carries objects and large values there and back", function()
    local p = pool(1)
    open(p)
    local long = ("y"):rep(100000)
    do
      local q = mp.Queue()
      q:put "inside"
      submit(p, 1, q, long)
    end
    collectgarbage()
    local _, _, _, q, text = core.task_take()
    assert.equal(long, text)
    assert.equal("inside", (q:get()))
    core.task_done(q, long, mp.Event())
    collectgarbage()
    local id, back, again, event = result(p)
    assert.equal(1, id)
    assert.equal(q, back)
    assert.equal(long, again)
    assert.is_false(event:is_set())
  end)

  it("may have no values, and be done without a begin", function()
    local p = pool(1)
    open(p)
    submit(p, (1 << 48) - 1)
    assert.same({ (1 << 48) - 1, 1, 0 }, { core.task_take() })
    assert.equal(0, core.task_elapsed())
    core.task_done()
    assert.same({ (1 << 48) - 1 }, { result(p) })
  end)

  it("is split: its result now, the rest as one task or two", function()
    local p = pool(1)
    open(p)
    submit(p, 3, "a", "b")
    core.task_take()
    core.task_begin(1)
    assert.is_true(core.task_split(2, 1, "r", 1, "b", { 2 }) >= 0)
    assert.is_nil(core.task_state(p.board, 1))
    assert.same({ 3, "r", 1 }, { result(p) })
    assert.same({ 3, 1, 0, "b" }, { core.task_take() })
    core.task_begin(2)
    assert.is_true(core.task_split(0, 2, "c", ("x"):rep(1000)) >= 0)
    assert.same({ 3 }, { result(p) })
    assert.same({ 3, 1, 0, { 2 } }, { core.task_take() })
    core.task_begin(3)
    p.tasks:close()
    assert.same({ nil, "closed" }, { core.task_split(0, 1, "d") })
    assert.same({ 3, "running" }, { core.task_state(p.board, 1) })
    assert.is_true(core.task_done() >= 0)
    assert.same({ 3 }, { result(p) })
    assert.same({ 3, 1, 0, "c", ("x"):rep(1000) }, { core.task_take() })
    core.task_done()
    assert.same({ nil, "closed" }, { core.task_take() })
    assert.equal(4, p.board[at(1, TASKS)])
  end)

  it("is withdrawn while it waits", function()
    local p = pool(1)
    for i = 1, 200 do submit(p, i % 2 + 1, i, ("x"):rep(i)) end
    assert.equal(1, core.task_withdraw(p.tasks, 2, 1))
    assert.equal(99, core.task_withdraw(p.tasks, 2))
    assert.equal(0, core.task_withdraw(p.tasks, 2))
    assert.equal(100, p.tasks:qsize())
    open(p)
    for i = 2, 200, 2 do
      local id, tries, label, n = core.task_take()
      assert.same({ 1, 1, 0, i }, { id, tries, label, n })
      core.task_done()
    end
    assert.equal(100, core.task_withdraw(p.results, 1))
  end)

  it("comes back with its label", function()
    local p = pool(1)
    open(p)
    submit(p, 9, "v")
    core.task_take()
    core.task_begin(5)
    core.task_begin(65535)
    core.task_release()
    assert.is_nil(core.task_state(p.board, 1))
    assert.same({ 9, 2, 65535, "v" }, { core.task_take() })
    core.task_done()
    assert.same({ 9 }, { result(p) })
  end)

  it("or a result that cannot be read here says why, and is over all the same", function()
    local p = pool(1)
    support.elsewhere(function()
      package.loaded.only_here = { f = function() end }
      local f = package.loaded.only_here.f
      for id = 4, 5 do submit(p, id, id, { f }, p.board, ("y"):rep(id * 500)) end
      open(p)
      core.task_take()
      core.task_done(f, p.board, ("z"):rep(2000))
      core.task_take()
      core.task_release()
    end)
    local id, what, why = result(p)
    assert.same({ 4, "undecodable" }, { id, what })
    assert.truthy(why:find("only_here", 1, true), why)
    open(p)
    local got = table.pack(core.task_take())
    assert.same({ 4, 5, -2, 0 }, { got.n, got[1], got[2], got[3] })
    assert.truthy(got[4]:find("only_here", 1, true), got[4])
    core.task_done(false, "unreadable")
    assert.same({ 5, false, "unreadable" }, { result(p) })
  end)

  it("whose result cannot be sent can be done with another one", function()
    local p = pool(1)
    open(p)
    submit(p, 6)
    core.task_take()
    core.task_begin(1)
    local long = ("x"):rep(1000)
    raises("Pool: cannot send a coroutine (at argument 2)", core.task_done, long,
           coroutine.create(print))
    raises("Pool: cannot send a coroutine", core.task_split, 1, 1, coroutine.create(print), long)
    raises("Pool: cannot send a coroutine", core.task_split, 1, 1, long, coroutine.create(print))
    raises("Pool: cannot send a coroutine", core.task_split, 1, 1, long, long, coroutine.create(print))
    assert.same({ 6, "running" }, { core.task_state(p.board, 1) })
    assert.same({ nil, "timeout" }, { core.task_got(p.results, nil, 0) })
    core.task_done "sorry"
    assert.same({ 6, "sorry" }, { result(p) })
    submit(p, 6)
    core.task_take()
    p.results:close()
    assert.same({ nil, "closed" }, { core.task_done(long) })
    core.task_release()
    assert.equal(1, p.tasks:qsize())
  end)

  it("that cannot be sent names the call, a full memory counts as waiting", function()
    local p = pool(1)
    raises("Pool:map: cannot send a coroutine (at argument 2)", core.task_put, p.tasks, "Pool:map",
           1, nil, 1, coroutine.create(print))
    raises("Pool:map: the timeout must not be negative", core.task_put, p.tasks, "Pool:map", 1, -1)
    raises("less than 2^48", core.task_put, p.tasks, "Pool:map", 1 << 48, nil)
    raises("less than 2^48", core.task_put, p.tasks, "Pool:map", 0, nil)
    assert.equal(0, p.tasks:qsize())
    p.tasks:close()
    assert.same({ nil, "closed" }, { core.task_put(p.tasks, "Pool:map", 1, nil, "x") })
    local got = support.mprun { "--memory", "2M", "-e", [[
      local mp = require "mp"
      local core, t = mp.core, mp.core.link()
      local function put(timeout) return core.task_put(t, "Pool:map", 1, timeout, ("x"):rep(9000)) end
      local n, why, ok = 0
      repeat
        ok, why = put(0)
        if ok then n = n + 1 end
      until not ok
      print(n > 50, why, put(0.01))
      print(pcall(core.task_put, t, "Pool:map", 1, nil, ("x"):rep(9 << 20)))
      mp.spawn(function() mp.sleep(0.05) core.task_withdraw(t, 1) end)
      print(put() > 9000)
    ]] }
    assert.truthy(got.out:find("^true\ttimeout\tnil\ttimeout\nfalse\t.*Pool:map: the item can never "
      .. "fit.*\ntrue\n$"), got.out .. got.err)
  end)

  it("waits with its result while the memory is full", function()
    local got = support.mprun { "--memory", "2M", "-e", [[
      local mp = require "mp"
      local core, t, r = mp.core, mp.core.link(), mp.core.link()
      local board, full = mp.Array("i64", 16), mp.Queue()
      core.task_put(t, "x", 1, nil, 5)
      local w = mp.spawn(function()
        core.task_open { tasks = t, results = r, board = board, number = 1,
                         creator = mp.parent_process() }
        core.task_take()
        core.task_begin(1)
        while full:put_nowait(("x"):rep(2000)) do end
        core.task_done(("y"):rep(100000))
      end)
      print(core.task_got(r, w, 0.3))
      full:close(true)
      local id, text = core.task_got(r, w, 30)
      print(id, #text, w:join(), board[13])
    ]] }
    assert.equal("nil\ttimeout\n1\t100000\ttrue\t1\n", got.out, got.err)
  end)
end)

describe("a worker", function()
  it("that is killed gives its task back, and tells how far it was", function()
    local p = pool(3)
    open(p, 3)
    submit(p, 1, "not begun")
    kill(worker(p, 1, function() core.task_take() end))
    assert.is_nil(core.task_state(p.board, 1))
    assert.same({ 1, 2, 0, "not begun" }, { core.task_take() })
    core.task_done()
    submit(p, 2, "begun")
    kill(worker(p, 1, function()
      core.task_take()
      core.task_begin(1)
      core.task_begin(3)
    end))
    assert.same({ 2, "running" }, { core.task_state(p.board, 1) })
    assert.same({ 2, 2, 3, "begun" }, { core.task_take() })
    core.task_done()
    submit(p, 3, "done")
    kill(worker(p, 2, function()
      core.task_take()
      core.task_begin(1)
      core.task_done "result"
    end))
    assert.same({ 1, 2 }, { (result(p)), (result(p)) })
    assert.same({ 3, "result" }, { result(p) })
    assert.equal(0, p.tasks:qsize())
    assert.equal(1, p.board[at(2, TASKS)])
    open(p, 2)
    assert.equal(0, p.board[at(2, TASKS)])
  end)

  it("that is killed while it waits takes nothing along", function()
    local p = pool(1)
    local w = mp.Process { target = function()
      open(p)
      core.task_take()
      mp.sleep(1000)
    end }
    w:start()
    eventually(function() return p.board[at(1, 3)] == w.pid end)
    asleep(w)
    kill(w)
    submit(p, 1)
    open(p)
    assert.same({ 1, 1, 0 }, { core.task_take() })
    core.task_done()
  end)

  it("or several, killed at any time: each task has one result, and one only", function()
    local p, n = pool(3), 600
    local function start(k)
      return mp.spawn(function()
        open(p, k)
        local id, _, _, text = core.task_take()
        while id do
          core.task_begin(1)
          if #text % 3 == 0 then core.task_split(1, 1, "half", text .. "x") else core.task_done(text) end
          id, _, _, text = core.task_take()
        end
      end)
    end
    local list, killed, left = { start(1), start(2), start(3) }, 0, n
    for id = 1, n do submit(p, id, ("x"):rep(id % 100)) end
    local halves, whole = {}, {}
    while left > 0 do
      local id, text = core.task_got(p.results, nil, 30)
      if text == "half" then
        halves[id] = (halves[id] or 0) + 1
      else
        whole[id] = (whole[id] or 0) + 1
        left = left - 1
      end
      if id % 20 == 0 and killed < 30 then
        killed = killed + 1
        local k = killed % 3 + 1
        kill(list[k])
        list[k] = start(k)
      end
    end
    p.tasks:close()
    join(list)
    assert.same({ nil, "timeout" }, { core.task_got(p.results, nil, 0) })
    for id = 1, n do
      assert.equal(1, whole[id])
      assert.equal(id % 100 % 3 == 0 and 1 or nil, halves[id])
    end
    assert.equal(30, killed)
  end)

  it("that is condemned never hands over", function()
    local p = pool(1)
    local entered, go = mp.Event(), mp.Event()
    local w = mp.Process { target = function()
      open(p)
      core.task_take()
      core.task_begin(1)
      entered:set()
      go:wait()
      core.task_done "too late"
      os.exit(7)
    end }
    submit(p, 8)
    w:start()
    entered:wait()
    assert.is_false(core.task_condemn(p.board, 1, 9))
    assert.is_false(core.task_condemn(p.board, 1, 8, true))  -- it has all the time
    assert.is_true(core.task_condemn(p.board, 1, 8))
    assert.is_false(core.task_condemn(p.board, 1, 8))
    assert.same({ 8, "condemned" }, { core.task_state(p.board, 1) })
    go:set()
    assert.same({ nil, "timeout" }, { core.task_got(p.results, w, 0.25) })
    assert.is_true(w:is_alive())
    kill(w)
    assert.same({ nil, "lost" }, { core.task_got(p.results, w) })
    open(p)
    assert.same({ 8, 2, 1 }, { core.task_take() })
    core.task_done()
  end)

  it("that is condemned runs its signal handlers", function()
    local p = pool(1)
    local ready = mp.Event()
    submit(p, 8)
    local w = mp.Process { target = function()
      mp.on_signal("TERM", function() os.exit(5) end)
      open(p)
      core.task_take()
      core.task_begin(1)
      core.task_condemn(p.board, 1, 8)
      ready:set()
      core.task_done()
    end }
    w:start()
    ready:wait()
    w:terminate()
    w:join()
    assert.equal(5, w.exitcode)
  end)

  it("that is a thread raises when it is condemned", function()
    local p = pool(1)
    open(p, 1, { thread = true })
    submit(p, 8, "x")
    core.task_take()
    core.task_begin(1)
    assert.is_true(core.task_condemn(p.board, 1, 8))
    local ok, why = pcall(core.task_done, ("x"):rep(1000))
    assert.is_false(ok)
    assert.same({ name = "Condemned" }, why)
    core.task_release()
    assert.same({ 8, 2, 1, "x" }, { core.task_take() })
    core.task_done()
  end)

  it("that is condemned raises once its creator is gone", function()
    local p = pool(1)
    local go, ready = mp.Event(), mp.Event()
    p.creator = mp.Process { target = function() go:wait() end }
    p.creator:start()
    submit(p, 8)
    local w = mp.spawn(function()
      open(p)
      core.task_take()
      core.task_begin(1)
      core.task_condemn(p.board, 1, 8)
      ready:set()
      return select(2, pcall(core.task_done)).name
    end)
    ready:wait()
    asleep(w)
    go:set()
    assert.equal("Condemned", w:result(30))
    p.creator:join()
  end)

  it("is not condemned before it begins, nor when it is done", function()
    local p = pool(1)
    open(p)
    submit(p, 8)
    core.task_take()
    assert.is_false(core.task_condemn(p.board, 1, 8))
    core.task_begin(1)
    core.task_done()
    assert.is_false(core.task_condemn(p.board, 1, 8))
  end)

  it("leaves when there is a ticket, one for each", function()
    local p = pool(4)
    local left = mp.Queue()
    local list = {}
    for k = 1, 4 do
      list[k] = mp.spawn(function()
        open(p, k)
        local id, why = core.task_take()
        while id do
          core.task_done(k)
          id, why = core.task_take()
        end
        left:put(why)
      end)
    end
    for k = 1, 4 do eventually(function() return p.board[at(k, 3)] ~= 0 end) end
    core.task_leave(p.board, 3)
    for _ = 1, 3 do assert.equal("leave", (left:get(true, 30))) end
    assert.equal(0, p.board[1])
    submit(p, 5)
    assert.equal(5, (result(p)))
    p.tasks:close()
    assert.equal("closed", (left:get(true, 30)))
    join(list)
  end)

  it("waits no longer than it is told", function()
    local p = pool(1)
    open(p)
    assert.same({ nil, "idle" }, { core.task_take(0) })
    assert.same({ nil, "idle" }, { core.task_take(0.01) })
    submit(p, 1)
    assert.equal(1, (core.task_take(0)))
    core.task_done()
  end)

  it("ends as an orphan when its creator has ended, also asleep", function()
    local p = pool(1)
    local go = mp.Event()
    p.creator = mp.Process { target = function() go:wait() end }
    p.creator:start()
    local w = mp.spawn(function()
      open(p)
      return select(2, core.task_take())
    end)
    eventually(function() return p.board[at(1, 3)] ~= 0 end)
    asleep(w)
    go:set()
    assert.equal("orphan", w:result(30))
    p.creator:join()
    open(p)
    submit(p, 1)
    assert.same({ nil, "orphan" }, { core.task_take() })
    assert.equal(1, p.tasks:qsize())
  end)

  it("is not what a worker forks", function()
    local p = pool(1)
    open(p)
    submit(p, 1)
    core.task_take()
    assert.truthy(support.elsewhere(function()
      return tostring(select(2, pcall(core.task_done)))
    end):find("core.task_done: this process is no worker", 1, true))
    core.task_done()
    assert.same({ 1 }, { result(p) })
  end)

  it("says what is wrong", function()
    local p = pool(1)
    raises("the board has no worker 2", open, p, 2)
    raises("the board has no worker 0", open, p, 0)
    raises("the board has no worker 1", open, p, 1, { board = mp.Array("i32", 16) })
    raises("the board has no worker 1", open, p, 1, { board = mp.Array("i64", 15) })
    raises("tasks must be open here", open, p, 1, { tasks = mp.Event() })
    raises("creator must be open here", open, p, 1, { creator = 5 })
    raises("no worker; core.task_open makes it one", core.task_take)
    open(p)
    raises("no task was taken", core.task_done)
    raises("no task was taken", core.task_begin, 1)
    submit(p, 1)
    core.task_take()
    raises("the last task is not finished", core.task_take)
    raises("a label must be at most 65535", core.task_begin, 65536)
    raises("expected 3 values, and once or twice 1", core.task_split, 3, 1, 2)
    raises("expected 0 values, and once or twice 1", core.task_split, 0, 1, 1, 2, 3)
    raises("expected 0 values, and once or twice 2", core.task_split, 0, 2, 1, 2, 3)
    raises("expected 0 values, and once or twice 0", core.task_split, 0, 0, 1)
    raises("the board has no worker 2", core.task_state, p.board, 2)
    raises("the board has no worker 1", core.task_leave, mp.Array("i64", 8), 1)
    raises("the board has no worker 1", core.task_next, mp.Array("f64", 16), 1)
    core.task_done()
  end)
end)

describe("a deadline", function()
  it("is told to the supervisor if it looks too late", function()
    local p = pool(1)
    open(p)
    submit(p, 1)
    core.task_take()
    p.board[NEXT] = math.maxinteger
    assert.is_true(core.task_begin(1, 5))
    local deadline = p.board[at(1, DEADLINE)]
    assert.is_true(math.abs(deadline / 1e9 - mp.time() - 5) < 4)
    core.task_next(p.board, deadline)
    assert.equal(deadline, p.board[NEXT])
    assert.is_false(core.task_begin(2))
    assert.equal(deadline, p.board[at(1, DEADLINE)])
    assert.is_false(core.task_begin(3, 100))
    assert.is_true(p.board[at(1, DEADLINE)] > deadline)
    assert.is_true(core.task_begin(4, 0))
    assert.is_true(p.board[at(1, DEADLINE)] < deadline)
    core.task_done()
    submit(p, 2)
    core.task_take()
    assert.is_false(core.task_begin(1))
    assert.equal(0, p.board[at(1, DEADLINE)])
    core.task_done()
  end)
end)

describe("results", function()
  it("end: a timeout, a closed queue", function()
    local p = pool(1)
    assert.same({ nil, "timeout" }, { core.task_got(p.results, nil, 0) })
    assert.same({ nil, "timeout" }, { core.task_got(p.results, mp.current_process(), 0.01) })
    p.results:close()
    assert.same({ nil, "closed" }, { core.task_got(p.results) })
  end)

  it("that are there come before the news that who sent them is gone", function()
    local p = pool(1)
    for id = 1, 3 do submit(p, id) end
    local w = worker(p, 1, function()
      for _ = 1, 3 do
        core.task_take()
        core.task_done()
      end
    end)
    kill(w)
    for id = 1, 3 do assert.same({ id }, { core.task_got(p.results, w) }) end
    assert.same({ nil, "lost" }, { core.task_got(p.results, w) })
    assert.same({ nil, "lost" }, { core.task_got(p.results, w, 0) })
  end)

  it("that nobody will send any more are not waited for", function()
    local p = pool(1)
    for _, how in ipairs { "kill", "end" } do
      local w, go = support.holder(function() end)
      local killer = mp.spawn(function(parent)
        asleep(parent)
        if how == "kill" then w:kill() else go:set() end
      end, mp.current_process())
      assert.same({ nil, "lost" }, { core.task_got(p.results, w) })
      w:join()
      killer:join()
      go:set()
    end
  end)

  it("of a worker that committed and was killed at once are found", function()
    local p = pool(1)
    for round = 1, 30 do
      submit(p, round)
      local w = mp.spawn(function()
        open(p)
        core.task_take()
        core.task_done(round)
        mp.sleep(1000)
      end)
      assert.same({ round, round }, { core.task_got(p.results, w) })
      w:kill()
      assert.same({ nil, "lost" }, { core.task_got(p.results, w) })
      w:join()
    end
  end)

  it("are waited for until a signal handler runs, and again", function()
    local p = pool(1)
    local ran
    mp.on_signal("USR1", function()
      ran = true
      submit(p, 1)
    end)
    local w = mp.spawn(function(parent)
      asleep(parent)
      os.execute("kill -USR1 " .. parent.pid)
      open(p)
      core.task_take()
      core.task_done "after"
    end, mp.current_process())
    assert.same({ nil, "again" }, { core.task_got(p.results, w, 30) })
    assert.same({ 1, "after" }, { core.task_got(p.results, w, 30) })
    mp.on_signal("USR1", nil)
    assert.is_true(ran)
    w:join()
  end)

  it("that never come are a deadlock", function()
    local got = support.mprun { "-e", [[
      local mp = require "mp"
      local core, t, r = mp.core, mp.core.link(), mp.core.link()
      local board = mp.Array("i64", 16)
      local w = mp.Process { daemon = true, name = "worker", target = function()
        core.task_open { tasks = t, results = r, board = board, number = 1,
                         creator = mp.parent_process() }
        core.task_take()
      end }
      w:start()
      core.task_got(r, w)
    ]] }
    assert.equal(3, got.status, got.err)
    assert.truthy(got.err:find("deadlock: all 2 processes wait", 1, true), got.err)
  end)
end)

describe("core.resident", function()
  it("counts the memory of this process", function()
    local before = core.resident()
    assert.is_true(before > 1 << 20)
    local text = ("x"):rep(64 << 20)
    assert.is_true(core.resident() > before + (60 << 20), #text)
  end)
end)

describe("core.can_send", function()
  it("raises for what cannot travel", function()
    core.can_send("Pool:map", { 1, "x", function() end })
    raises("Pool:map: cannot send a coroutine (at .co)", core.can_send, "Pool:map",
      { co = coroutine.create(print) })
  end)
end)
