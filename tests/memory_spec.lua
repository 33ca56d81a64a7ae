-- memory: the arena takes what it needs and gives it back.
--
-- SPDX-License-Identifier: MIT

local mp = require "mp"

-- Bytes really allocated for the arena that this process has open, asked of
-- the kernel.
local function held()
  local pipe = io.popen(([[
    for f in /proc/%d/fd/*; do
      case $(readlink $f) in *memfd:mprun*) stat -L -c %%b $f;; esac
    done]]):format(mp.getpid()))
  local most = 0
  for blocks in pipe:lines "n" do most = math.max(most, blocks * 512) end
  pipe:close()
  return most
end

local MiB = 1 << 20

describe("the arena's memory", function()
  it("is given back after a queue was filled and drained, but for a small cache", function()
    local q = mp.Queue()
    q:put(1)
    q:get()
    local before = held()
    assert.is_true(before > 0)
    local item = ("x"):rep(100)
    for _ = 1, 1000000 do q:put(item) end
    assert.is_true(held() > before + 100 * MiB)
    for _ = 1, 1000000 do q:get() end
    local deadline = mp.time() + 30
    while held() > before + 8 * MiB and mp.time() < deadline do mp.sleep(0.1) end
    assert.is_true(held() <= before + 8 * MiB, ("%d of %d bytes"):format(held(), before))
  end)

  it("L03: holds no block of queues and large items that are gone", function()
    local before = held()
    for _ = 1, 20 do
      local q = mp.Queue()
      for _ = 1, 4 do q:put(("y"):rep(3 * MiB)) end
    end
    collectgarbage()
    local deadline = mp.time() + 30
    while held() > before + 8 * MiB and mp.time() < deadline do mp.sleep(0.1) end
    assert.is_true(held() <= before + 8 * MiB)
  end)
end)
