-- stdio: output is never torn inside a line, lost or doubled.
--
-- SPDX-License-Identifier: MIT
local support = require "tests.support"

local function mprun(text, extra)
  local command = { support.script(text) }
  for k, v in pairs(extra or {}) do command[k] = v end
  return support.mprun(command)
end

local function shell(text, script)
  return support.run { "bash", "-c", (text:gsub("MPRUN", function() return support.program end)
    :gsub("SCRIPT", function() return script and support.script(script) or "" end)) }
end

-- Each process writes lines of its own digit only.
local LINES = [[
local mp = require "mp"
for i = 1, 4 do
  mp.spawn(function()
    for k = 1, 200 do io.write(tostring(i):rep(900 + k * 40), "\n") end
  end)
end
]]

local function torn(text)
  local lines, bad = 0, 0
  for line in text:gmatch "([^\n]*)\n" do
    lines = lines + 1
    if line:gsub(line:sub(1, 1), "") ~= "" then bad = bad + 1 end
  end
  return lines, bad
end

describe("stdio", function()
  after_each(support.clean)

  it("A38: what was buffered before a start appears once", function()
    local r = mprun [[
local mp = require "mp"
io.write "once "
mp.spawn(function() io.write "child\n" end):join()
io.write "part"
mp.spawn(function() end):join()
io.stderr:write "err"
mp.spawn(function() end):join()
print "end"
]]
    assert.equal("once child\npartend\n", r.out)
    assert.equal("err", r.err)
  end)

  it("lines are whole in a file and in a pipe, however long", function()
    local r = mprun(LINES)
    assert.same({ 800, 0 }, { torn(r.out) })
    r = shell("MPRUN SCRIPT | cat", LINES)
    assert.same({ 800, 0 }, { torn(r.out) })
  end)

  it("lines longer than the buffer are whole", function()
    local r = shell("MPRUN SCRIPT | cat", [[
local mp = require "mp"
for i = 1, 3 do
  mp.spawn(function() for _ = 1, 10 do io.write(tostring(i):rep(150000), "\n") end end)
end
]])
    assert.same({ 30, 0 }, { torn(r.out) })
  end)

  it("an explicit flush writes an unfinished line", function()
    local r = shell("(MPRUN SCRIPT & sleep 0.3; echo; wait) | cat", [[
local mp = require "mp"
io.write "prompt> "
io.flush()
mp.sleep(0.6)
]])
    assert.equal("prompt> \n", r.out)
  end)

  it("what was written is out before a process sleeps", function()
    local r = mprun [[
local mp = require "mp"
local a, b = mp.Event(), mp.Event()
local p = mp.spawn(function()
  a:wait()
  mp.sleep(0.3)  -- main sleeps by then
  io.write "second\n"
  mp.sleep(0)
  b:set()
  mp.sleep(0.3)
  io.write "fourth\n"
end)
io.write "first\n"
a:set()
b:wait()
io.write "third\n"
p:join()
]]
    assert.equal("first\nsecond\nthird\nfourth\n", r.out)
  end)

  it("the output of os.exit, an error and a closer is not lost", function()
    local r = mprun [[
local mp = require "mp"
mp.spawn(function() io.write "a" os.exit(0) end):join()
mp.spawn(function() io.write "b" error "x" end):join()
mp.spawn(function() mp.atexit(function() io.write "c\n" end) end):join()
io.write "d"
os.exit(5)
]]
    assert.equal("abc\nd", r.out)
    assert.equal(5, r.status)
  end)

  it("A32: an uncaught error is one message with its traceback", function()
    local r = mprun [[
local mp = require "mp"
for i = 1, 20 do mp.spawn(function() error "boom" end) end
]]
    local n = 0
    for text in (r.err .. "Process"):gmatch "(%-%d+ %(pid %d+%): .-)Process" do
      n = n + 1
      assert.truthy(text:find("script.lua:2: boom\nstack traceback:\n", 1, true), text)
    end
    assert.equal(20, n)
  end)

  it("A29, A30: closed streams do no harm", function()
    local script = [[
local mp = require "mp"
print "to nowhere"
io.stderr:write "to nowhere\n"
local p = mp.spawn(function() print "child" io.stdout:close() return "ok" end)
os.exit(p:result(20) == "ok" and p.exitcode == 0 and 42 or 1)
]]
    assert.equal(42, shell("MPRUN SCRIPT >&-", script).status)
    assert.equal(42, shell("MPRUN SCRIPT 2>&-", script).status)
    assert.equal(42, shell("MPRUN SCRIPT <&- >&- 2>&-", script).status)
    assert.equal(42, shell("MPRUN SCRIPT <&- >&- 2>&-", script).status)
    assert.equal(42, shell("MPRUN SCRIPT >/dev/full", script).status)
  end)

  it("an error in the main script still joins its children", function()
    local r = mprun [[
local mp = require "mp"
mp.spawn(function() mp.sleep(0.3) print "child" end)
mp.Process { daemon = true, target = function() mp.sleep(20) print "daemon" end }:start()
error "main"
]]
    assert.equal(1, r.status)
    assert.equal("child\n", r.out)
    assert.truthy(r.err:find("main", 1, true))
  end)

  it("works where nothing can be written", function()
    local r = shell("cd / && MPRUN SCRIPT", "print(require 'mp'.spawn(function() return 1 end):result())")
    assert.equal("1\n", r.out)
  end)

  it("more processes than configured, or than the user may have, is an error", function()
    local r = mprun [[
local mp = require "mp"
mp.configure { processes = 3 }
local list = {}
for i = 1, 3 do list[i] = mp.spawn(mp.sleep, 20) end
local ok, why = pcall(mp.spawn, mp.sleep, 20)
print(ok, why)
list[1]:kill()
list[1]:join()
local p = mp.spawn(mp.sleep, 0)
print(p:join())
for i = 2, 3 do list[i]:kill() end
]]
    assert.truthy(r.out:find("false\tProcess:start: as many processes", 1, true), r.out)
    assert.truthy(r.out:find("\ntrue\n", 1, true), r.out)
  end)
end)
