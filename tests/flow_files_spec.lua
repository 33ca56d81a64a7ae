-- flow_files: flows that read and write files, on processes, some of them killed.
-- SPDX-License-Identifier: MIT

local core = require "mp.core"
local support = require "tests.support"
local mprun, script = support.mprun, support.script

local output

-- A CSV file of n rows.
local function rows(n)
  local text = { "id,name\n" }
  for i = 1, n do text[i + 1] = i % 7 == 0 and ('%d,"name, %d"\n'):format(i, i) or i .. ",n\n" end
  return script(table.concat(text), "in.csv")
end

describe("a source whose worker dies", function()
  before_each(function() output = support.file "out" end)
  after_each(support.clean)

  it("goes on behind its mark, also where a stage shares its worker", function()
    local seen, dead = support.file "seen", support.file "dead"
    local got = mprun { script [[
      flow" csv(arg[1]) -> f -> jsonl(arg[2]) "
      function f(v)
        seen = seen or io.open(arg[3], "a")
        seen:write "."
        seen:flush()
        if v.id == "1500" and not io.open(arg[4]) then
          io.open(arg[4], "w"):close()
          os.execute "kill -9 $PPID"
        end
        return v
      end]], rows(2000), output, seen, dead }
    assert.equal(0, got.status, got.err)
    assert.is_truthy(core.stat(dead))
    local times = core.stat(seen).size
    assert.is_true(times > 2000 and times < 2000 + 600, times .. " items")
  end)
end)
