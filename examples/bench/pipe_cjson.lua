-- pipe_cjson.lua: what one would do by hand: a forked producer writes tables
-- of 100 keys as lines of JSON (lua-cjson, in C) into a pipe, this process
-- reads and decodes them. Prints nanoseconds per table. For plain lua5.4.
-- SPDX-License-Identifier: MIT
local cjson = require "cjson"
local N = 30000

if arg[1] == "produce" then
  local t = {}
  for i = 1, 100 do t["key" .. i] = i * 1000 end
  for _ = 1, N do io.write(cjson.encode(t), "\n") end
  return
end

local function now()  -- plain Lua has no finer clock of real time
  local f = assert(io.open "/proc/uptime")
  local t = f:read "n"
  f:close()
  return t
end

local producer = assert(io.popen(("exec lua5.4 %q produce"):format(arg[0])))
local first = cjson.decode(producer:read "l")
assert(first.key100 == 100000)
local t = now()
for _ = 2, N do cjson.decode(producer:read "l") end
t = now() - t
producer:close()
print(("%.4f"):format(t / (N - 1) * 1e9))
