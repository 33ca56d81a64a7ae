-- pool_deadlock: what the detection of deadlocks says of pools, of every kind
-- of worker.
--
-- SPDX-License-Identifier: MIT

local support = require "tests.support"

for _, kind in ipairs(support.kinds) do
-- A script's text, in which KIND is the kind.
local function script(text)
  return support.script((text:gsub("KIND", ("kind = %q"):format(kind))), "s.lua")
end

describe("deadlock detection of pools with workers of kind " .. kind, function()
  after_each(support.clean)

  it("names a task that waits for a lock which its creator holds, waiting for the task", function()
    local r = support.mprun { script [[
      local mp = require "mp"
      local lock = mp.Lock()
      local p = mp.Pool { 2, KIND }
      lock:acquire()
      p:submit(function() lock:acquire() end):result()]], seconds = 60 }
    assert.equal(3, r.status, r.err .. r.out)
    assert.truthy(r.err:find("deadlock: ", 1, true), r.err)
    assert.truthy(r.err:find "\n  main %(%d+%) +a pool's result ", r.err)
    assert.truthy(r.err:find "\n  Pool%-1:%d %(%d+%) +Lock #%d+ +main", r.err)
    assert.truthy(r.err:find "\n  and 2 of pools, which have nothing to do\n", r.err)
    assert.equal(6, select(2, r.err:gsub("\n", "")), r.err)
  end)

  it("says nothing of an idle pool, whatever its creator does", function()
    local words = {}
    for _, does in ipairs { "mp.sleep(1.5)", "mp.spawn(function() mp.sleep(1.5) end):join()",
                            "local till = mp.time() + 1.5 while mp.time() < till do end",
                            "p:apply(function() mp.sleep(1.5) end)", "os.execute 'sleep 1.5'" } do
      words[#words + 1] = ("%s %s &"):format(support.quote(support.program), script(([[
        local mp = require "mp"
        local p = mp.Pool { 2, KIND }
        assert(p:apply(function() return 1 end) == 1)
        %s
        print(p:apply(function() return 2 end))]]):format(does)))
    end
    words[#words + 1] = "wait"
    local r = support.run { "bash", "-c", table.concat(words, "\n"), seconds = 60 }
    assert.equal("", r.err)
    assert.equal(("2\n"):rep(5), r.out)
  end)
end)
end
