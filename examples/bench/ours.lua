-- ours.lua WHAT: one measurement of mprun; prints nanoseconds per operation
-- (idle: bytes, blocked: per cent of a processor). Run by scripts/bench.
-- SPDX-License-Identifier: MIT
local mp = require "mp"

-- A child puts n items of make()'s, we get them: seconds for all.
local function through(n, make)
  local q, go = mp.Queue(), mp.Event()
  local v = make()
  local p = mp.spawn(function()
    go:wait()
    for _ = 1, n do q:put(v) end
  end)
  local t = mp.time()
  go:set()
  for _ = 1, n do q:get() end
  t = mp.time() - t
  p:join()
  return t / n
end

local function table100()
  local t = {}
  for i = 1, 100 do t["key" .. i] = i * 1000 end
  return t
end

local function field(path, pattern)
  local f = assert(io.open(path))
  local text = f:read "a"
  f:close()
  return tonumber(text:match(pattern))
end

-- A child that has done a little and now waits for good.
local function waiting(look)
  local q = mp.Queue()
  local p = mp.spawn(function() q:get() end)
  mp.sleep(0.3)
  local x = look(p.pid)
  q:close()
  p:join()
  return x / 1e9  -- no nanoseconds, these
end

local what = {}

function what.int() return through(1000000, function() return 12345 end) end
function what.str64()
  return through(500000, function() return ("x"):rep(64) end)
end
function what.mib()
  return through(300, function() return ("x"):rep(1 << 20) end)
end
function what.table100() return through(30000, table100) end

function what.many()
  local rounds, n = 2000, 1000
  local q, list = mp.Queue(), {}
  for i = 1, n do list[i] = i end
  local t = mp.time()
  local p = mp.spawn(function()
    for _ = 1, rounds do q:put_many(list) end
  end)
  local got = 0
  while got < rounds * n do got = got + q:get_many(n).n end
  t = mp.time() - t
  p:join()
  return t / got
end

function what.alone()
  local q, n = mp.Queue(), 2000000
  local t = mp.time()
  for i = 1, n do
    q:put(i)
    q:get()
  end
  return (mp.time() - t) / n
end

function what.roundtrip()
  local a, b, n = mp.Queue(), mp.Queue(), 100000
  local p = mp.spawn(function()
    for _ = 1, n do b:put(a:get()) end
  end)
  local t = mp.time()
  for i = 1, n do
    a:put(i)
    b:get()
  end
  t = mp.time() - t
  p:join()
  return t / n
end

function what.lock()
  local l, n = mp.Lock(), 2000000
  local t = mp.time()
  for _ = 1, n do
    l:acquire()
    l:release()
  end
  return (mp.time() - t) / n
end

function what.startjoin()
  local n = 300
  local function nothing() end
  local t = mp.time()
  for _ = 1, n do mp.Process{ target = nothing }:start():join() end
  return (mp.time() - t) / n
end

function what.idle()
  return waiting(function(pid)
    local rollup = "/proc/" .. pid .. "/smaps_rollup"
    return 1024 * (field(rollup, "Private_Dirty:%s*(%d+)") +
                   field(rollup, "Private_Clean:%s*(%d+)"))
  end)
end

function what.blocked()
  return waiting(function(pid)
    local ran = "/proc/" .. pid .. "/schedstat"
    local before, t = field(ran, "^(%d+)"), mp.time()
    mp.sleep(2)
    return 100 * (field(ran, "^(%d+)") - before) / 1e9 / (mp.time() - t)
  end)
end

local run = what[arg[1]]
if not run then error("unknown measurement: " .. tostring(arg[1])) end
print(("%.4f"):format(run() * 1e9))
