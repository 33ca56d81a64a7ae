-- memory: the arena takes what it needs and gives it back.
--
-- SPDX-License-Identifier: MIT

local mp = require "mp"
local support = require "tests.support"
local arena, given_back = support.arena, support.given_back

local MiB = 1 << 20

describe("the arena's memory", function()
  it("is given back after a queue was filled and drained, but for a small cache", function()
    local q = mp.Queue()
    q:put(1)
    q:get()
    local before = arena()
    assert.is_true(before > 0)
    local item = ("x"):rep(100)
    for _ = 1, 1000000 do q:put(item) end
    assert.is_true(arena() > before + 100 * MiB)
    for _ = 1, 1000000 do q:get() end
    given_back(before)
  end)

  it("L03: holds no block of queues and large items that are gone", function()
    local before = arena()
    for _ = 1, 20 do
      local q = mp.Queue()
      for _ = 1, 4 do q:put(("y"):rep(3 * MiB)) end
    end
    collectgarbage()
    given_back(before)
  end)

  it("full for good, with everybody waiting for it, is an error and no hang", function()
    local got = support.mprun { "--memory", "2M", "-e", [[
      local mp = require "mp"
      local q, never = mp.Queue(), mp.Event()
      mp.Process { daemon = true, target = function() never:wait() end }:start()
      local p = mp.spawn(function() while true do q:put(("x"):rep(1000)) end end)
      p:join()
    ]] }
    assert.equal(0, got.status)
    assert.truthy(got.err:find("Queue:put: the shared memory is full and every process waits", 1, true), got.err)
  end)

  it("full while somebody sleeps, or waits with a timeout, is waited for", function()
    local got = support.mprun { "--memory", "2M", "-e", [[
      local mp = require "mp"
      local q, never = mp.Queue(), mp.Event()
      local p = mp.spawn(function()
        for i = 1, 5000 do q:put(("x"):rep(1000)) end
        q:close()
      end)
      mp.sleep(2)
      never:wait(2)
      local n = 0
      for _ in q:items() do n = n + 1 end
      p:join()
      print(n, p.exitcode)
    ]] }
    assert.equal("5000\t0\n", got.out, got.err)
  end)

  after_each(support.clean)
end)
