-- support: what the specs share: running commands, scratch files.
--
--   run{ "cmd", "arg", stdin=, env={}, dir=, seconds=60 } -> { status, out, err }
--   mprun{ ... }     the same with our mprun as the command
--   script(text)     the path of a scratch file with that text; file(name) of
--                    one that is not there yet
--   clean()          removes the scratch files: for after_each
--
-- status is the exit status, 128 + N for one killed by signal N, and 124 for a
-- command that did not end in time.
--
-- SPDX-License-Identifier: MIT

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

return support
