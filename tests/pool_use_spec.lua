-- pool in use: what its user sees besides the results.
--
-- SPDX-License-Identifier: MIT

local mp = require "mp"
local support = require "tests.support"

local KINDS = { "process" }

describe("a pool", function()
  for _, kind in ipairs(KINDS) do
    it("is joined when its last worker ends, not some time later: " .. kind, function()
      support.eventually(function()
        local took = {}
        for i = 1, 9 do
          local pool = mp.Pool { processes = 2, kind = kind }
          assert.equal(3, pool:apply(math.abs, { -3 }))
          pool:close()
          took[i] = mp.time()
          assert.is_true(pool:join())
          took[i] = mp.time() - took[i]
        end
        table.sort(took)
        return took[5] < 0.05
      end, "the joins of idle pools")
    end)
  end

  it("tells of a killed worker in three lines", function()
    local pool <close> = mp.Pool(1)
    local e = pool:submit(os.exit, 3):exception()
    assert.truthy(tostring(e):find("^WorkerLost: Pool%-%d+:1 %(pid %d+%) ended with exit code 3" ..
      " during a C function with 3\nin process Pool%-%d+:1 %(pid %d+%)\nexit code 3$"), tostring(e))
  end)
end)
