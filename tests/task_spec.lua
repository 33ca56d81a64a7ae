-- task: what pools are made of (mp.core). SPDX-License-Identifier: MIT
local mp = require "mp"
local core = mp.core

-- The queues and the board of a pool with n workers.
local function pool(n)
  return { tasks = core.link(), results = core.link(),
           board = mp.Array("i64", 8 * (n + 1)), creator = mp.current_process() }
end

-- Makes this process worker k.
local function open(p, k)
  core.task_open { tasks = p.tasks, results = p.results, board = p.board,
                   creator = p.creator, number = k or 1 }
end

local function submit(p, id, ...)
  assert.is_true(core.task_put(p.tasks, "Pool:submit", id, nil, ...))
end

local function results(p)
  return core.task_got(p.results, nil, 30)
end

describe("a task", function()
  it("is taken, begun and done; its values and its result travel", function()
    local p = pool(1)
    open(p)
    submit(p, 7, "x", nil, { 1, 2 }, nil)
    local got = table.pack(core.task_take())
    assert.same({ n = 7, 7, 1, 0, "x", nil, { 1, 2 }, nil }, got)
    assert.is_nil(core.task_state(p.board, 1))
    assert.is_false(core.task_begin(1))
    assert.same({ 7, "running" }, { core.task_state(p.board, 1) })
    assert.is_true(core.task_elapsed() >= 0)
    assert.is_true(core.task_done(true, { "r" }, nil) >= 0)
    assert.is_nil(core.task_state(p.board, 1))
    assert.same({ n = 4, 7, true, { "r" }, nil }, table.pack(results(p)))
    assert.equal(1, p.board[13])
    assert.equal(mp.getpid(), p.board[12])
  end)

  it("is split: its result now, the rest as a task", function()
    local p = pool(1)
    open(p)
    submit(p, 3, "a", "b")
    core.task_take()
    core.task_begin(1)
    assert.is_true(core.task_split(2, "r", 1, "b", 2) >= 0)
    assert.same({ 3, "r", 1 }, { results(p) })
    assert.same({ 3, 1, 0, "b", 2 }, { core.task_take() })
    p.tasks:close()
    assert.same({ nil, "closed" }, { core.task_split(0, "c") })
    assert.is_true(core.task_done() >= 0)
    assert.same({ 3 }, { results(p) })
    assert.same({ nil, "closed" }, { core.task_take() })
  end)

  it("is withdrawn while it waits", function()
    local p = pool(1)
    for i = 1, 200 do submit(p, i % 2 + 1, i, ("x"):rep(i)) end
    assert.equal(100, core.task_withdraw(p.tasks, 2))
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
    core.task_release()
    assert.same({ 9, 2, 5, "v" }, { core.task_take() })
    core.task_done()
  end)
end)
