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

local function runs(text, ...)
  local got = mprun { script(text), ... }
  assert.equal("", got.err)
  assert.equal(0, got.status)
  return got.out
end

describe("a flow", function()
  before_each(function()
    input, output = rows(100), support.file "out"
  end)
  after_each(support.clean)

  it("makes JSON of CSV, and CSV of that", function()
    runs("flow'csv(arg[1]) -> jsonl(arg[2])'", input, output)
    assert.equal('{"id":"1","name":"n"}', read(output):match "^[^\n]*")
    local back = support.file "back"
    runs("flow'jsonl(arg[1]) -> csv(arg[2])'", output, back)
    assert.equal(read(input), read(back))
  end)

  it("goes through files, and drops none", function()
    local folder = support.file "folder"
    assert(os.execute(("mkdir -p %s/a/b && cd %s && touch x.txt a/y.txt a/b/z.txt"):format(folder, folder)))
    local out = runs([[
      flow'files(arg[1] .. "/**/*.txt")*2 -> name*2 -> sort -> stdout'
      function name(path) return path:sub(#arg[1] + 2) end]], folder)
    os.execute("rm -rf " .. folder)
    assert.equal("a/b/z.txt\na/y.txt\nx.txt\n", out)
  end)

  it("writes beside what goes on", function()
    assert.equal("2\n4\n", runs([[
      flow'range(1, 2) -> tee(arg[1]) -> twice -> stdout'
      function twice(x) return 2 * x end]], output))
    assert.equal("1\n2\n", read(output))
  end)

  it("appends, or begins anew", function()
    for _ = 1, 2 do runs("flow'range(1, 2) -> append(arg[1])'", output) end
    assert.equal("1\n2\n1\n2\n", read(output))
    for _ = 1, 2 do runs("flow'range(1, 2) -> csv(arg[1], {columns={\"n\"}})'", output) end
    assert.equal("n\n1\n2\n", read(output))
    runs("flow'range(1, 0) -> jsonl(arg[1])'", output)
    assert.equal("", read(output))
  end)

  it("touches no file when another one is missing", function()
    local old = script "old\n"
    for _, text in ipairs { "lines('/nowhere') -> jsonl(arg[1])", "files('/nowhere/*') -> csv(arg[1])",
                            "range(1, 9) -> tee(arg[1]) -> append('/nowhere/x')" } do
      local got = mprun { script(("flow[[ %s ]]"):format(text)), old }
      assert.equal(1, got.status)
      assert.is_truthy(got.err:find "^mprun: %l+: [^\n]*/nowhere[^\n]*\n$", got.err)
      assert.equal("old\n", read(old))
    end
  end)

  it("says what could not be read or written", function()
    local bad = script '{"a":1}\n{"a" 2}\n'
    local got = mprun { script "flow'jsonl(arg[1]) -> null'", bad }
    assert.equal(1, got.status)
    assert.is_truthy(got.err:find(bad .. ":2: no JSON in column 6: ':' expected", 1, true), got.err)
    got = mprun { script "flow'range(1, 9) -> append\"/dev/full\"'" }
    assert.equal(2, got.status)
    got = mprun { script "flow'range(1, 9) -> append(\"/dev/full\")'" }
    assert.equal(1, got.status)
    assert.is_truthy(got.err:find("append: cannot write /dev/full: No space left on device", 1, true), got.err)
  end)

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

-- Kills children of mprun at random, its keeper apart, while the flow runs.
local KILLER <const> = [==[
  local function kill()
    local me, owner = mp.getpid(), mp.getppid()
    while true do
      mp.sleep(0.015)
      local list = {}
      local f <close> = assert(io.open(("/proc/%d/task/%d/children"):format(owner, owner)))
      for pid in f:read "a":gmatch "%d+" do list[#list + 1] = tonumber(pid) end
      local prey = list[math.random(2, #list)]
      if prey ~= me then os.execute(("kill -9 %d 2>/dev/null"):format(prey)) end
    end
  end
  if arg[4] == "kill" then mp.Process { daemon = true, target = kill }:start() end
  defaults { restarts = 9999 }
  function slow(v)
    local t = mp.time() + 0.0002
    repeat until mp.time() > t
    return v
  end
  function thrice(v)
    emit(v)
    slow(v)
    emit(v)
    return v
  end
]==]

describe("workers that are killed at random", function()
  before_each(function()
    input, output = rows(3000), support.file "out"
  end)
  after_each(support.clean)

  local function sorted(text)
    local list = {}
    for line in text:gmatch "[^\n]*\n" do list[#list + 1] = line end
    table.sort(list)
    return table.concat(list)
  end

  local function costs_nothing(flow, in_order)
    local path, copy = script(KILLER .. ("flow[[ %s ]]"):format(flow)), support.file "copy"
    local function result()
      local got = read(output) .. (core.stat(copy) and read(copy) or "")
      return in_order and got or sorted(got)
    end
    local got = mprun { path, input, output, copy }
    assert.equal(0, got.status, got.err)
    local expected = result()
    assert.is_true(#expected > 20000)
    os.remove(output)
    got = mprun { path, input, output, copy, "kill" }
    assert.equal(0, got.status, got.err)
    assert.equal(expected, result())
    local _, deaths = got.err:gsub("killed by SIGKILL", "")
    assert.is_true(deaths > 0, "nobody died")
  end

  it("cost csv and jsonl nothing", function()
    costs_nothing("csv(arg[1]) -> slow -> jsonl(arg[2])", true)
  end)

  it("cost a source nothing whose worker makes several results of a row", function()
    costs_nothing("csv(arg[1]) -> thrice -> jsonl(arg[2])", true)
  end)

  it("cost tee nothing, nor csv with its header", function()
    costs_nothing("csv(arg[1]) -> tee(arg[3]) -> slow -> csv#2(arg[2])", true)
  end)

  it("cost lines and append nothing", function()
    costs_nothing("lines(arg[1])*2 -> slow*2 -> tee(arg[3]) -> append(arg[2])", false)
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
