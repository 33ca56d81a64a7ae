-- coprocess: core.command, shell commands beside a process; and what becomes of
-- what they have started when that process ends in any way.
--
-- SPDX-License-Identifier: MIT
local mp = require "mp"
local core = require "mp.core"
local support = require "tests.support"
local eventually, raises, group_is_gone = support.eventually, support.raises, support.group_is_gone

-- All output of a command that is given this text, and how it ended.
local function rest(c, text)
  local pieces, state = {}, text and "more"
  while state == "more" do
    pieces[#pieces + 1], state = c:exchange(text)
    text = nil
  end
  while true do
    local output, status, tail = c:finish()
    pieces[#pieces + 1] = output
    if status then return table.concat(pieces), status, tail end
  end
end

describe("core.command", function()
  after_each(support.clean)

  it("gives output, then its status and the end of stderr", function()
    local c = core.command "cat; echo sorry >&2; exit 9"
    assert.truthy(tostring(c):find("pid " .. c:pid(), 1, true))
    local output, status, tail = rest(c, "hello")
    assert.same({ "hello", { code = 9 }, "sorry\n" }, { output, status, tail })
    assert.is_nil(c:pid())
    assert.equal("Command (ended)", tostring(c))
  end)

  it("says when it takes no more, and when it has ended", function()
    local c = core.command "exec <&-; sleep 1000"
    local state
    eventually(function()
      state = select(2, c:exchange())
      return state
    end)
    assert.equal("closed", state)
    c:kill()
    local done = core.command "exit 0"
    eventually(function() return select(2, done:exchange "x") == "ended" end)
    assert.same({ code = 0 }, (select(2, rest(done))))
  end)

  it("keeps 2 KiB of the end of stderr", function()
    local _, _, tail = rest(core.command("seq 1 20000 >&2; echo >&2; exit 1", { hold = true }))
    assert.equal(2048, #tail)
    assert.equal("19999\n20000\n\n", tail:sub(-13))
  end)

  it("refuses misuse", function()
    raises("core.command: the text has a NUL byte", core.command, "a\0b")
    local c = core.command("true", { input = false })
    rest(c)
    raises("Command:finish: it has ended", c.finish, c)
    raises("Command:exchange: expected a Command, got no value", c.exchange)
    assert.same({ n = 2, nil, "too long for a command line" },
      table.pack(core.command(("x"):rep(1 << 20))))
  end)

  it("lets a few run at once", function()
    local list = {}
    for i = 1, 4 do list[i] = core.command "cat" end
    raises("runs 4 commands already", core.command, "cat")
    list[2]:kill()
    list[2] = core.command "cat"
    for i = 1, 4 do
      assert.equal(tostring(i), (rest(list[i], tostring(i))))
    end
  end)

  it("is killed when it is collected or goes out of scope", function()
    local pid
    do
      local c <close> = core.command "sleep 1000"
      pid = c:pid()
    end
    group_is_gone(pid)
    pid = core.command("sleep 1000"):pid()
    collectgarbage()
    collectgarbage()
    group_is_gone(pid)
  end)

  it("starts with the signals and the session of a program of its own", function()
    local r = support.mprun { "-e", [[
      mp.on_signal("USR1", print)
      local c = require "mp.core".command(
        "cat /proc/self/status; cut -d' ' -f6 /proc/$$/stat; echo $$; : </dev/tty")
      local text, status = "", nil
      while not status do
        local output, how = c:finish()
        text, status = text .. output, how
      end
      print(text, status.code ~= 0)]] }
    local blocked, ignored, caught, sid, pid = r.out:match
      "SigBlk:%s*(%x+)\nSigIgn:%s*(%x+)\nSigCgt:%s*(%x+)\n.*\n(%d+)\n(%d+)\n"
    -- 32 and 33 are the C library's own, and nobody's to change.
    local ours = ~(3 << 31)
    assert.same({ 0, 0, 0, pid },
      { tonumber(blocked, 16) & ours, tonumber(ignored, 16) & ours, tonumber(caught, 16), sid })
    assert.truthy(r.out:find "true\n$", r.out)
  end)

  it("inherits no descriptor of ours", function()
    local c = core.command "sleep 1000"
    local output = rest(core.command("ls /proc/self/fd", { input = false }))
    -- Its three, and the folder that ls reads; other files are those we had begun with.
    local mine = io.popen("ls /proc/self/fd"):read "a"
    assert.equal(mine, output)
    c:kill()
  end)

  it("runs handlers while it waits, and goes on", function()
    local caught = 0
    mp.on_signal("USR1", function() caught = caught + 1 end)
    local c = core.command(("kill -USR1 %d; sleep 0.3; kill -USR1 %d; cat"):format(mp.getpid(), mp.getpid()))
    assert.equal("x", (rest(c, "x")))
    assert.equal(2, caught)
    mp.on_signal("USR1", nil)
  end)

  it("ends a wait whose handler kills it", function()
    -- It is sent when we sleep, which is in finish.
    local c = core.command(([[
      read x; until [ "$(cut -d' ' -f3 /proc/%d/stat)" = S ]; do :; done; kill -USR1 %d; sleep 1000]])
      :format(mp.getpid(), mp.getpid()))
    mp.on_signal("USR1", function() c:kill() end)
    c:exchange "\n"
    raises("Command:finish: it was killed by a signal handler meanwhile", c.finish, c)
    mp.on_signal("USR1", nil)
  end)

  it("is not held up by a process that was forked meanwhile", function()
    local c = core.command "cat"
    local p, go = support.holder(function() end)
    assert.equal("x", (rest(c, "x")))
    go:set()
    support.join { p }
  end)

  it("belongs to the process that started it", function()
    local c = core.command "cat"
    local p = mp.spawn(function()
      raises("it has ended, or is another process's", c.exchange, c, "x")
      c:kill()
    end)
    p:join()
    assert.equal(0, p.exitcode)
    assert.equal("x", (rest(c, "x")))
  end)

  it("runs in threads as well", function()
    if support.without_threads then return end
    local list = {}
    for i = 1, 4 do
      list[i] = mp.Thread { target = function(text)
        local own = require "mp.core"
        for _ = 1, 20 do
          local c <close> = own.command "cat"
          local output, status = c:exchange(text), nil
          while not status do
            local piece, how = c:finish()
            output, status = output .. piece, how
          end
          if output ~= text then error(#output) end
        end
        own.command "sleep 1000"     -- ends with the thread
        return true
      end, args = { ("t"):rep(100000 + i) } }:start()
    end
    for i = 1, 4 do assert.is_true(list[i]:result()) end
  end)
end)

describe("what a command has started ends", function()
  after_each(support.clean)

  local TREE = "(sleep 1000 | sleep 1000) & echo $$; sleep 1000 | sleep 1000"

  -- A process that runs it, and the number of its group.
  local function running(after)
    local told = mp.Queue()
    local p = mp.spawn(function()
      local c = core.command(TREE)
      told:put(c:finish():match "%d+")
      after(c)
    end)
    return p, told:get()
  end

  it("when its worker is killed", function()
    local p, group = running(function() mp.sleep(1000) end)
    support.kill(p)
    group_is_gone(group)
  end)

  it("when its worker is killed while it waits for it", function()
    local p, group = running(function(c) c:finish() end)
    support.kill(p)
    group_is_gone(group)
  end)

  it("when its worker ends in order, without closing it", function()
    local p, group = running(function() end)
    support.join { p }
    group_is_gone(group)
  end)

  it("when its worker is killed and there is no keeper", function()
    local group = support.file "group"
    support.run { "bash", "-c", ([[
      %s %s & P=$!
      for i in $(seq 300); do [ -s "$GROUP" ] && break; sleep 0.02; done
      K=; for c in $(cat /proc/$P/task/$P/children); do
        [ "$(cat /proc/$c/comm)" = mprun-keeper ] && K=$c; done
      kill -9 $K; kill -9 $P; wait $P]]):format(support.program, support.script [[
        local told = os.getenv "GROUP"
        local worker = mp.spawn(function()
          local c = require "mp.core".command "echo $$; exec sleep 1000"
          local group = c:finish()
          local f = io.open(told, "w")
          f:write(group)
          f:close()
          mp.sleep(1000)
        end)
        worker:join()]]), env = { GROUP = group } }
    group_is_gone(support.read(group))
  end)

  -- A script that runs it in its owner and in a child, and writes the groups' numbers.
  local function killed_by(signal)
    local groups = support.file "groups"
    local path = support.script(([[
      local core = require "mp.core"
      local text = %q
      local f = io.open(%q, "a")
      f:setvbuf "no"
      local own = core.command(text)
      f:write((own:finish()))
      mp.spawn(function()
        local c = core.command(text)
        f:write((c:finish()))
        c:finish()
      end)
      own:finish()]]):format(TREE, groups))
    local r = support.run { "bash", "-c", ([[
      env --default-signal=INT %s %s & P=$!
      for i in $(seq 500); do [ "$(wc -l <%s)" = 2 ] && break; sleep 0.02; done
      kill -%s $P; wait $P]]):format(support.program, path, groups, signal) }
    for group in support.read(groups):gmatch "%d+" do group_is_gone(group) end
    return r.status
  end

  it("when the owner is killed", function() assert.equal(137, killed_by "KILL") end)
  it("at Ctrl-C", function() assert.equal(130, killed_by "INT") end)
  it("at SIGTERM", function() assert.equal(143, killed_by "TERM") end)
end)
