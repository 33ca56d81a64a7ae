-- flow_engine: flows on real processes: results, errors, deaths, mprun's options.
-- SPDX-License-Identifier: MIT

local support = require "tests.support"
local mprun, script = support.mprun, support.script

local function runs(text, ...)
  local got = mprun { script(text), ... }
  assert.equal("", got.err)
  assert.equal(0, got.status)
  return got.out
end

local function lines_of(text)
  local list = {}
  for line in text:gmatch "[^\n]+" do list[#list + 1] = line end
  return list
end

describe("mprun runs", function()
  after_each(support.clean)

  it("a flow declared above its stages", function()
    assert.equal("1\n4\n9\n", runs [[
      flow" range(1, 3) -> square -> stdout "
      function square(n) return n * n end]])
  end)

  it("code on the command line", function()
    local got = mprun { "-e", "flow'range(1, 2) -> stdout'" }
    assert.same({ "1\n2\n", "", 0 }, { got.out, got.err, got.status })
  end)

  it("stages in processes of their own", function()
    local out = lines_of(runs [[
      flow" range(1, 200) -> pid*3{chunk=1} -> distinct -> stdout "
      function pid() mp.sleep(0.002) return mp.getpid() end]])
    assert.equal(3, #out)
  end)

  it("standard input through a flow", function()
    local got = mprun { script "flow'stdin -> words -> stdout'", stdin = "a b\nc" }
    assert.equal("a\nb\nc\n", got.out)
  end)

  it("what is emitted, by sources and by stages", function()
    assert.equal("1\n2\n3\n", runs [[
      flow" numbers -> twice*2 -> sort -> uniq -> stdout "
      function numbers() for i = 1, 3 do emit(i) end end
      function twice(n) emit(n) emit(n) end]])
  end)

  it("an endless source until there is enough", function()
    assert.equal("1\n2\n", runs [[
      flow" forever -> head(2) -> stdout "
      function forever() local i = 0 while true do i = i + 1 emit(i) end end]])
  end)

  it("tables to stdout as JSON", function()
    assert.equal('["a",2]\n', runs "flow'g -> stdout' function g() emit{'a', 2} end")
  end)

  it("flows that share nothing one after another", function()
    assert.equal("1\n2\n", runs "flow'range(1, 1) -> stdout' flow'range(2, 2) -> stdout'")
  end)

  it("folds on many workers to the same result as on one", function()
    local text = [[
      local n = tonumber(arg[1])
      local function go(a, b)
        return flow((" range(1, 20000)*%d -> spread*%d -> sum@mod*%d -> top(7) -> collect ")
          :format(a, b, b)):run()
      end
      function spread(x) emit(x) if x % 3 == 0 then emit(-x) end end
      function mod(x) return x % 7 end
      sum = fold{ init = 0, add = function(s, x) return s + x end }
      for _, e in ipairs(go(n, n)) do print(e[1], e[2]) end]]
    assert.equal(runs(text, "1"), runs(text, "4"))
  end)
end)

describe("mprun ends", function()
  after_each(support.clean)

  it("with 2 and all mistakes of a bad flow", function()
    local path = script "flow[[\n  range(1, 2) -> ouch -> stdou\n]]"
    local got = mprun { path }
    assert.equal(2, got.status)
    assert.equal("", got.out)
    assert.equal((path .. [[:2:18: error: no stage 'ouch'
    2 |   range(1, 2) -> ouch -> stdou
      |                  ^~~~
]] .. path .. [[:2:26: error: no stage 'stdou' (did you mean 'stdout'?)
    2 |   range(1, 2) -> ouch -> stdou
      |                          ^~~~~
]]), got.err)
  end)

  it("with 2 when a script runs a bad flow itself", function()
    local got = mprun { script "flow'range(1, 2) -> ouch -> stdout':run()" }
    assert.equal(2, got.status)
    assert.is_truthy(got.err:find("no stage 'ouch'", 1, true))
    assert.is_falsy(got.err:find("traceback", 1, true))
  end)

  it("with 1 and one report when a stage fails", function()
    local got = mprun { script [[
      flow" range(1, 1000) -> fails*4 -> stdout "
      function fails(n) if n % 5 == 0 then error("five") end end]] }
    assert.equal(1, got.status)
    assert.is_truthy(got.err:find "^mprun: fails%[%d%]: error on item %d+: [^\n]*: five\n")
    local _, reports = got.err:gsub("error on item", "")
    assert.equal(1, reports)
  end)

  it("with 1 when a worker that cannot be replaced dies", function()
    local got = mprun { script [[
      flow" dies -> stdout "
      function dies() emit(1) os.execute 'kill -9 $PPID' end]] }
    assert.equal(1, got.status)
    assert.is_truthy(got.err:find("^mprun: dies%[1%] pid %d+ killed by SIGKILL: a source like this cannot be resumed"),
      got.err)
  end)

  it("in order by a signal that all of its processes get", function()
    for name, status in pairs { TERM = 143, INT = 130 } do
      for _ = 1, 5 do
        local got = support.run { "setsid", "-w", support.program, script(([[
          flow" forever -> f*2 -> `cat` -> count -> stdout "
          function forever()
            for i = 1, 1e9 do
              if i == 100 then os.execute "kill -%s 0" end
              emit(i)
              mp.sleep(0.001)
            end
          end
          function f(n) mp.sleep(0.001) return n end]]):format(name)) }
        assert.equal(status, got.status, got.err)
        assert.is_nil(got.err:find "killed" or got.err:find "error")
        assert.is_true(tonumber(got.out) >= 99, got.out)
      end
    end
  end)

  it("with 1 when an item has taken as many workers down as it may, having told each time", function()
    local got = mprun { script [[
      flow" numbers -> dies{restarts=2, chunk=1} -> stdout "
      function numbers() for i = 1, 10 do emit("no " .. i) end end
      function dies(x)
        if x == "no 4" then os.execute 'kill -9 $PPID' end
        return x
      end]] }
    assert.equal(1, got.status)
    assert.equal("no 1\nno 2\nno 3\n", got.out)
    local told = got.err:gsub("pid %d+", "pid N")
    assert.equal([[
dies[1] pid N killed by SIGKILL on item #4 "no 4", try 1/2
dies[1] pid N killed by SIGKILL on item #4 "no 4", try 2/2
mprun: dies[1]: error on item "no 4": took 2 workers down
]], told)
  end)

  it("with 1 and the item that it was, where stages share their workers", function()
    local got = mprun { script [[
      flow" range(1, 1000) -> dies*2 -> stdout "
      function dies(x)
        if x == 77 then os.execute 'kill -9 $PPID' end
        return x
      end]] }
    assert.equal(1, got.status)
    local told = got.err:gsub("pid %d+", "pid N"):gsub("%[%d%]", "[N]")
    assert.equal([[
dies[N] pid N killed by SIGKILL, try 1/3
dies[N] pid N killed by SIGKILL on item 77, try 2/3
dies[N] pid N killed by SIGKILL on item 77, try 3/3
mprun: dies[N]: error on item 77: took 3 workers down
]], told)
  end)

  it("with 0 when what takes workers down goes its own way", function()
    local got = mprun { script [[
      flow" range(1, 20) -> a -> dies*2{timeout=200ms, restarts=1} -> null; dies !> show -> stdout "
      function a(x) return x end
      function dies(x)
        if x == 7 then os.execute 'kill -9 $PPID' elseif x == 13 then mp.sleep(1000) end
      end
      function show(e) return ("%d %s %s %d"):format(e.item, e.error, e.stage, e.tries) end]] }
    local out = lines_of(got.out)
    table.sort(out)
    assert.same({ "13 took longer than timeout=0.2s dies 1", "7 took a worker down dies 1" }, out)
    assert.equal(0, got.status)
  end)

  it("having only checked or drawn with --check and --graph text", function()
    local path = script "flow'range(1, 2) -> print -> null'"
    local got = mprun { "--check", path }
    assert.same({ 0, "" }, { got.status, got.out })
    got = mprun { "--graph", "text", path }
    assert.same({ 0, "[range -> print -> null]\n[ ]: in the same processes\n" }, { got.status, got.out })
  end)

  it("with a summary when it is asked for", function()
    local got = mprun { "--summary", script "flow'range(1, 50) -> tostring*2 -> null'" }
    assert.is_truthy(got.err:find "range +2 .*\n  tostring +50 +50 ")
  end)

  it("and tells what went in and out of each stage, also within one process", function()
    local got = mprun { "--summary", script [[
      flow" range(1, 50) -> odd -> twice -> count -> stdout "
      odd = filter(function(n) return n % 2 == 1 end)
      function twice(n) emit(n) emit(n) end]], "-j", "1" }
    assert.is_truthy(got.err:find("\nrange +1 +%- +50 .*\n +odd +50 +25 .*\n *twice +1? *25 +50 "), got.err)
  end)

  it("with what -j and -o say", function()
    local path = script [[
      flow" range(1, 300) -> f*cpu -> distinct -> count -> stdout "
      function f(_, ctx) mp.sleep(0.002) return ctx.worker end]]
    assert.equal("5\n", mprun { "-j", "5", "-o", "f.chunk=1", path }.out)
    local got = mprun { "-o", "ff.chunk=1", path }
    assert.equal(2, got.status)
    assert.equal("mprun: -o ff.chunk: no stage 'ff' (did you mean 'f'?)\n", got.err)
  end)
end)

describe("workers killed at random", function()
  after_each(support.clean)

  it("change no result", function()
    local text = [==[
      -- A killer beside the flow: the workers of `square` and `spread` tell it who they are.
      local prey = mp.Queue()
      local kill = arg[1] == "kill"
      local function tell() prey:put(mp.current_process()) end
      square = stage{ open = tell, item = function(n) return n * n end }
      spread = stage{ open = tell, item = function(n) emit(n) emit(n + 1) emit(n % 10) end }
      function mod(n) return n % 97 end
      sum = fold{ init = function() tell() return 0 end, add = function(s, n) return s + n end }
      local f = flow[[ range(1, 200000) -> square*2{restarts=9999} -> spread*2{restarts=9999}
                       -> sum@mod*2{restarts=9999} -> sort(first) -> collect ]]
      function first(pair) return pair[1] end
      local killer
      if kill then
        killer = mp.Process{ daemon = true, target = function()
          local known = {}
          while true do
            repeat
              local p = prey:get(0.003)
              if p then known[#known + 1] = p end
            until not p
            if #known > 0 then table.remove(known, math.random(#known)):kill() end
          end
        end }
        killer:start()
      end
      for _, pair in ipairs(f:run()) do print(pair[1], pair[2]) end
      if killer then killer:kill() killer:join() end]==]
    local path = script(text)
    local expected = mprun { path }
    assert.equal(0, expected.status, expected.err)
    local deaths = 0
    for _ = 1, 5 do
      local got = mprun { path, "kill", seconds = 60 }
      assert.equal(0, got.status, got.err)
      assert.equal(expected.out, got.out)
      local _, n = got.err:gsub("killed by SIGKILL: replaced", "")
      deaths = deaths + n
    end
    assert.is_true(deaths >= 5, deaths .. " deaths")
  end)
end)
