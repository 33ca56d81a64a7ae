-- support: what the specs share: running commands, scratch files, errors,
-- processes that hold, end and are killed.
--
--   run{ "cmd", "arg", stdin=, env={}, dir=, seconds=60 } -> { status, out, err }
--   mprun{ ... }     the same with our mprun as the command
--   script(text)     the path of a scratch file with that text; file(name) of
--                    one that is not there yet
--   clean()          removes the scratch files: for after_each
--
--   raises(text, f, ...)   f(...) raises an error with that text in it; the error
--   eventually(f, what)    waits until f() is true: 30 seconds at the most
--   elsewhere(f, ...)      runs f in another process: what it returned
--   holder(take, give, name) -> process, event: a process that has called take and
--                    calls give (nil: nothing) when the event is set
--   kill(process)    kills one that is alive, and waits for its end
--   join(processes)  all of them end in order
--   group_is_gone(pid)     waits until nobody of a process group runs any more
--   arena()          bytes really allocated for the shared memory of this process
--   given_back(before)     waits until that is `before` again, but for a small cache
--
-- status is the exit status, 128 + N for one killed by signal N, and 124 for a
-- command that did not end in time.
--
-- SPDX-License-Identifier: MIT

local mp = require "mp"
local assert = require "luassert"

local support = {}

local function absolute(path)
  if path:sub(1, 1) == "/" then return path end
  local pipe = assert(io.popen("pwd", "r"))
  local here = pipe:read "l"
  pipe:close()
  return here .. "/" .. path
end

support.build = absolute(os.getenv "B" or "build/release")
support.program = absolute(os.getenv "MPRUN" or support.build .. "/mprun")
support.lua = os.getenv "LUA" or "lua5.4"
support.mode = os.getenv "MODE" or "release"

-- Kinds of workers that a spec of pools is for. The allocator of AddressSanitizer
-- is not ready for forks of a program with threads: a child may find its lock
-- held. Threads are before it in tests/c/test_bind_*.
support.without_threads = support.mode == "asan"
support.kinds = support.without_threads and { "process" } or { "process", "thread" }

local folder = os.getenv "TMPDIR" or "/tmp"
-- Other processes have other addresses. Lua cuts long names in messages: short.
local mine = ("%p"):format(support):sub(-8, -4)
local made, count = {}, 0

function support.file(name)
  count = count + 1
  local path = ("%s/%s%d-%s"):format(folder, mine, count, name or "file")
  made[#made + 1] = path
  return path
end

function support.script(text, name)
  local path = support.file(name or "script.lua")
  local out = assert(io.open(path, "w"))
  out:write(text)
  out:close()
  return path
end

function support.read(path)
  local input = assert(io.open(path, "rb"))
  local text = input:read "a"
  input:close()
  return text
end

function support.clean()
  for i = #made, 1, -1 do
    os.remove(made[i])
    made[i] = nil
  end
end

function support.quote(word)
  return "'" .. tostring(word):gsub("'", "'\\''") .. "'"
end

function support.run(command)
  local words = {}
  if command.dir then
    words[#words + 1] = "cd " .. support.quote(command.dir) .. " &&"
  end
  words[#words + 1] = "env"
  for name, value in pairs(command.env or {}) do
    words[#words + 1] = support.quote(name .. "=" .. value)
  end
  words[#words + 1] = ("timeout -k 5 %d"):format(command.seconds or 60)
  for _, word in ipairs(command) do
    words[#words + 1] = support.quote(word)
  end
  local input = command.stdin and support.script(command.stdin, "stdin")
  local out, err = support.file "stdout", support.file "stderr"
  local _, how, code = os.execute(("{ %s; } <%s >%s 2>%s"):format(
    table.concat(words, " "), support.quote(input or "/dev/null"),
    support.quote(out), support.quote(err)))
  return {
    status = how == "signal" and 128 + code or code,
    out = support.read(out),
    err = support.read(err),
  }
end

function support.mprun(command)
  table.insert(command, 1, support.program)
  return support.run(command)
end

function support.raises(text, f, ...)
  local ok, why = pcall(f, ...)
  assert.is_false(ok, "raised nothing: " .. text)
  assert.truthy(tostring(why):find(text, 1, true), tostring(why))
  return why
end

function support.eventually(f, what)
  local deadline = mp.time() + 30
  while not f() do
    if mp.time() > deadline then error("not in time: " .. (what or "?"), 2) end
    mp.sleep(0.002)
  end
end

function support.elsewhere(f, ...)
  return mp.spawn(f, ...):result(30)
end

function support.holder(take, give, name)
  local has, go = mp.Event(), mp.Event()
  local p = mp.Process { name = name, target = function()
    take()
    has:set()
    go:wait(1000)   -- it is killed, or told, long before
    if give then give() end
  end }
  p:start()
  assert.is_true(has:wait(30))
  return p, go
end

function support.kill(p)
  p:kill()
  assert.is_true(p:join(30))
  assert.equal(-9, p.exitcode)
end

-- Who reaps what is nobody's child takes its time: a zombie has ended.
function support.group_is_gone(pid)
  local member = "%) [^ZX] %d+ " .. tostring(pid):match "%d+" .. " "
  support.eventually(function()
    local stats <close> = io.popen "cat /proc/[0-9]*/stat 2>/dev/null"
    return not stats:read("a"):find(member)
  end, "processes of the group are left")
end

function support.join(list)
  for _, p in ipairs(list) do
    assert.is_true(p:join(60))
    assert.equal(0, p.exitcode)
  end
end

-- Asked of the kernel.
function support.arena()
  local pipe = io.popen(([[
    for f in /proc/%d/fd/*; do
      case $(readlink $f) in *memfd:mprun*) stat -L -c %%b $f;; esac
    done]]):format(mp.getpid()))
  local most = 0
  for blocks in pipe:lines "n" do most = math.max(most, blocks * 512) end
  pipe:close()
  return most
end

function support.given_back(before)
  support.eventually(function() return support.arena() <= before + (8 << 20) end,
    "memory is not given back")
end

return support
