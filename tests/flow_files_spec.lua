-- flow_files: flows that read and write files, on processes, some of them killed.
-- SPDX-License-Identifier: MIT

local core = require "mp.core"
local support = require "tests.support"
local mprun, script, read = support.mprun, support.script, support.read

local input, output

-- A CSV file of n rows.
local function rows(n)
  local text = { "id,name\n" }
  for i = 1, n do text[i + 1] = i % 7 == 0 and ('%d,"name, %d"\n'):format(i, i) or i .. ",n\n" end
  return script(table.concat(text), "in.csv")
end

describe("a flow", function()
  before_each(function()
    input, output = rows(100), support.file "out"
  end)
  after_each(support.clean)

  it("hands on what a source has given before it waits", function()
    -- The last line comes when those before have come out at the other end.
    for _, from in ipairs { "stdin", "lines('/dev/stdin')", "csv('/dev/stdin', {header=false}) -> first" } do
      local text = ("flow[[ %s -> f*2 -> append(arg[1]) ]] function f(v) return v end "):format(from)
        .. "function first(v) return v[1] end"
      local got = support.run { "sh", "-c", ([[
        rm -f %s
        { seq 20; until [ "$(grep -c . %s 2>/dev/null)" = 20 ]; do sleep 0.01; done; echo 21; } | %s %s %s]])
        :format(output, output, support.program, script(text), output) }
      assert.same({ 0, "" }, { got.status, got.err })
      assert.equal(21, select(2, read(output):gsub("\n", "")))
    end
  end)

  it("stops in the middle of a pipe", function()
    local got = support.run { "sh", "-c", ([[
      { seq 20; until [ -e %s ]; do sleep 0.01; done; } | {
        exec 3<&0
        %s --no-bar %s %s <&3 & pid=$!
        until [ "$(grep -c . %s 2>/dev/null)" = 20 ]; do sleep 0.01; done
        kill -INT $pid; wait $pid; echo $?; : >%s; }]]):format(output .. "2", support.program,
          script "flow[[ lines('/dev/stdin') -> f -> append(arg[1]) ]] function f(v) return v end",
          output, output, output .. "2") }
    os.remove(output .. "2")
    assert.equal("130\n", got.out)
  end)

  it("follows a log until it is interrupted", function()
    local log, status, pid = script("old\n", "log"), support.file "status", support.file "pid"
    local f <close> = assert(io.open(log, "a"))
    f:setvbuf "no"
    assert(os.execute(("{ %s --no-bar %s %s %s & echo $! >%s; wait $!; echo $? >%s; } 2>%s &"):format(
      support.program, script "flow'tail(arg[1]) -> append(arg[2])'", log, output, pid, status,
      support.file "err")))
    local function holds(path, text)
      return function() return core.stat(path) and read(path):find(text, 1, true) end
    end
    support.eventually(function()
      f:write "1\n"               -- what is written before the flow is ready is not its own
      return holds(output, "1\n")()
    end, "the first line")
    f:write "two\nthree\nunfin"
    support.eventually(holds(output, "two\nthree\n"), "more lines")
    assert(os.execute(("kill -INT %s"):format(read(pid))))
    support.eventually(holds(status, "130"), "the end")
    assert.equal("two\nthree\n", read(output):gsub("1\n", ""))
  end)
end)

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
