-- flow_steer: flows that the script starts, feeds, reads and stops.
-- SPDX-License-Identifier: MIT

local support = require "tests.support"
local mprun, script = support.mprun, support.script

local COMMON <const> = [[
function square(x) return x * x end
function slowly(x) mp.sleep(0.02) return x end
function bad(x) error("oh") end
function forever() local i = 0 while true do i = i + 1 emit(i) mp.sleep(0.001) end end
sum = fold{ init = 0, add = function(a, b) return a + b end }
]]

local function out_of(text)
  local got = mprun { script(COMMON .. text), seconds = 30 }
  assert.equal("", got.err)
  assert.equal(0, got.status)
  return got.out
end

describe("a flow that was started", function()
  after_each(support.clean)

  it("takes what is sent, gives what comes out, in order", function()
    assert.equal("1\t4\n98\t10000\ttrue\n", out_of [[
      local f = flow" in -> square*2 => out ":start()
      for i = 1, 100 do assert(f:send(i)) end
      print(f:recv(), f:recv(5))
      f:close()
      local n, last = 0
      for v in f:results() do n, last = n + 1, v end
      print(n, last, f:wait())]])
  end)

  it("gives what collect gathered", function()
    assert.equal("338350\n", out_of [[
      print(flow" range(1, 100) -> square*2 -> sum -> collect ":start():wait()[1])]])
  end)

  it("does not let a slow end be overtaken: send waits, or says timeout", function()
    assert.equal("timeout\ntrue\n", out_of [[
      local f = flow" in{cap=4} -> slowly{cap=4, chunk=1} -> out ":start()
      local why
      repeat local ok ok, why = f:send(1, 0.001) until not ok
      print(why)
      print(f:send(2))
      f:stop "cancel"
      pcall(f.wait, f)]])
  end)

  it("says closed behind its end", function()
    assert.equal("nil\tclosed\nnil\tclosed\n", out_of [[
      local f = flow" in -> out ":start()
      f:close()
      print(f:recv())
      print(f:send(1))
      f:wait()]])
  end)

  it("tells what its stages have done", function()
    assert.equal("square\ttrue\nnil\ttimeout\n", out_of [[
      local f = flow" forever -> square{cap=8} -> null{cap=8} "
      assert(f:stats() == nil)
      f:start()
      local taken = 0
      while taken == 0 do
        mp.sleep(0.01)
        for _, row in ipairs(f:stats()) do
          if row.label == "square" then taken = row.taken end
        end
      end
      print("square", f:stats()[2].workers == 1)
      print(f:wait(0.01))
      f:stop()
      f:wait()]])
  end)

  it("drains when it is told to stop, and folds give their sums", function()
    assert.equal("true\n", out_of [[
      local f = flow" forever -> sum -> collect ":start()
      mp.sleep(0.2)
      f:stop "drain"
      print(f:wait()[1] > 10)]])
  end)

  it("ends at once when it is cancelled", function()
    assert.equal("false\tit was cancelled\n", out_of [[
      local f = flow" forever -> slowly -> null ":start()
      f:stop "cancel"
      print(pcall(f.wait, f))]])
  end)

  it("raises what made it fail, from wait and from results", function()
    assert.equal("nil\tclosed\nfalse\ttrue\nfalse\ttrue\n", out_of [[
      local f = flow" in -> bad -> out ":start()
      f:send(1)
      print(f:recv())
      local fine, e = pcall(f.wait, f)
      print(fine, tostring(e):find("oh", 1, true) ~= nil)
      f = flow" range(1, 3) -> bad -> out ":start()
      fine, e = pcall(function() for _ in f:results() do end end)
      print(fine, tostring(e):find("oh", 1, true) ~= nil)]])
  end)

  it("is waited for at the script's end, its input being over", function()
    assert.equal("4\n9\n", out_of [[
      local f = flow" in -> square -> stdout ":start()
      f:send(2) f:send(3)]])
  end)

  it("does not wait at the script's end for somebody who reads what comes out", function()
    assert.equal("end\n", out_of [[
      local f = flow" in -> square{cap=4} -> out{cap=4} ":start()
      for _ = 1, 9 do f:send(1, 0.01) end
      print "end"]])
  end)

  it("ends with a script that fails, or leaves", function()
    for ending, status in pairs { ["error 'oh'"] = 1, ["os.exit(5)"] = 5, ["flow 'range(1, 2)':run()"] = 2 } do
      for _, text in ipairs { "in -> square -> out", "forever -> square -> null", "forever -> square -> out" } do
        local got = mprun { seconds = 30, script(("%sflow' %s ':start() %s"):format(COMMON, text, ending)) }
        assert.equal(status, got.status, text .. " " .. ending)
      end
    end
  end)

  it("stops with a process that has not waited for it", function()
    assert.equal("0\ttrue\n", out_of [[
      local seen = mp.Value("i64", 0)
      function see(x) seen:add(1) return x end
      local p = mp.Process { target = function()
        flow" forever -> see -> out ":start()
        while seen:get() == 0 do mp.sleep(0.01) end
      end }:start()
      p:join()
      print(p.exitcode, seen:get() > 0)]])
  end)

  it("does not run where flows are only checked or drawn, and the script goes on", function()
    local text = [[
      local f = flow" in -> square -> out ":start()
      print(f:send(1))
      print(f:recv())
      for _ in f:results() do print "a result" end
      f:close()
      f:stop()
      print(f:wait().n, #f:stats())]]
    local all = "nil\tclosed\nnil\tclosed\n0\t0\n"
    for options, drawn in pairs { ["--check"] = "", ["--graph=text"] = "[in -> square] -> out\n" } do
      local got = mprun { seconds = 30, options, script(COMMON .. text) }
      assert.same({ 0, "", all .. drawn }, { got.status, got.err, got.out:sub(1, #all + #drawn) })
    end
  end)

  it("fails when its supervisor is killed; nobody waits for ever", function()
    local got = mprun { seconds = 30, script(COMMON .. [[
      local f = flow" in -> slowly -> out ":start()
      f:send(1)
      f.going.process:kill()
      print(pcall(f.wait, f))
      print(f:send(2))]]) }
    assert.is_truthy(got.out:find("supervisor", 1, true), got.out)
    assert.is_truthy(got.out:find("nil\tclosed", 1, true), got.out)
  end)

  it("says what is wrong with a call", function()
    for call, message in pairs {
      ["f:recv()"] = "flow:recv: it has not been started: f:start()",
      ["f.start()"] = "flow:start: call it with ':', as f:start()",
      ["f:start() f:start()"] = "flow:start: it has been started already",
      ["f:start() f:send(1)"] = "flow:send: the flow has no 'in'",
      ["f:start() f:wait 'x'"] = "flow:wait: timeout must be a number of seconds from 0 on, got x",
      ["f:start() f:stop 'now'"] = "flow:stop: 'drain' or 'cancel' expected, got now",
      ["flow' in -> out ':run()"] = "'in' is fed and read by the script: f:start(), f:send(v), f:recv()",
    } do
      local got = mprun { seconds = 30, script("local f = flow'range(1, 2) -> null'\n" .. call) }
      assert.is_truthy(got.err:find(message, 1, true), call .. ": " .. got.err)
    end
  end)
end)
