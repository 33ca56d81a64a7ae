-- pool in use: what its user sees besides the results.
--
-- SPDX-License-Identifier: MIT

local mp = require "mp"
local support = require "tests.support"

local KINDS = support.kinds

describe("a pool", function()
  after_each(support.clean)

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
      " during os.exit with 3\nin process Pool%-%d+:1 %(pid %d+%)\nexit code 3$"), tostring(e))
  end)

  -- Whichever way the script ends; there is no call of the pool after the last submit.
  for how, text in pairs { ["its last line"] = "", ["os.exit"] = "os.exit(0)" } do
    it("runs what was submitted, and callbacks, after " .. how, function()
      if support.mode == "asan" then pending "lua5.4 would need the sanitizer" return end
      local script = support.script([[
        local mp = require "mp"
        local pool = mp.Pool(2)
        for n = 1, 3 do
          pool:apply_async(function() mp.sleep(0.02) return n end, {}, print)
        end
      ]] .. text)
      local lua = { support.lua, script, env = { LUA_CPATH = support.build .. "/?.so;;" } }
      for _, got in ipairs { support.mprun { script }, support.run(lua) } do
        assert.equal("", got.err)
        local seen = {}
        for n in got.out:gmatch "%d" do seen[#seen + 1] = n end
        table.sort(seen)
        assert.equal("123", table.concat(seen))
      end
    end)
  end
end)
