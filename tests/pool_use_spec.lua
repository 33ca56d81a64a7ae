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
end)
