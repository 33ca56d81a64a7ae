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

-- n processes take turns with one lock for two seconds: what each has done.
local function contend(make, n)
  local lock, go, done = make(), mp.Event(), mp.Queue()
  for _ = 1, n do
    mp.spawn(function()
      local count = 0
      go:wait()
      local till = mp.time() + 2
      while mp.time() < till do
        for _ = 1, 10 do
          lock:acquire()
          lock:release()
        end
        count = count + 10
      end
      done:put(count)
    end)
  end
  mp.sleep(0.2)
  go:set()
  local total, least = 0, math.huge
  for _ = 1, n do
    local count = done:get()
    total, least = total + count, math.min(least, count)
  end
  return total, least
end

function what.contend2() return 2 / contend(mp.Lock, 2) end
function what.contend8() return 2 / contend(mp.Lock, 8) end

-- The slowest, in per cent of its fair share.
local function fair(n)
  local total, least = contend(mp.Lock, n)
  return 100 * least / (total / n) / 1e9
end

function what.fair2() return fair(2) end
function what.fair8() return fair(8) end

-- A child sends v n times, we receive it.
local function piped(n, v)
  local a, b = mp.Pipe(false)
  local go = mp.Event()
  local p = mp.spawn(function()
    go:wait()
    for _ = 1, n do b:send(v) end
  end)
  local t = mp.time()
  go:set()
  for _ = 1, n do a:recv() end
  t = mp.time() - t
  p:join()
  return t / n
end

function what.pipeint() return piped(500000, 12345) end
function what.pipemib() return piped(300, ("x"):rep(1 << 20)) end

local function each(n, f)
  local t = mp.time()
  for i = 1, n do f(i) end
  return (mp.time() - t) / n
end

function what.dictset()
  local d = mp.Dict()
  return each(500000, function(i) d[i % 1000] = i end)
end

function what.dictget()
  local d = mp.Dict()
  for i = 0, 999 do d[i] = i end
  return each(500000, function(i) return d[i % 1000] end)
end

function what.valueadd()
  local v = mp.Value("i64", 0)
  return each(1000000, function() v:add(1) end)
end

-- 100 objects, one of them ready, and not the first.
function what.wait100()
  local list = {}
  for i = 1, 100 do list[i] = i % 2 == 0 and mp.Queue() or mp.Event() end
  list[70]:put(1)
  return each(20000, function() mp.wait(list) end)
end

-- 50 processes wait for one event: until the last has woken.
function what.event50()
  local e, over, up, woken, n = mp.Event(), mp.Event(), mp.Queue(), mp.Queue(), 50
  for _ = 1, n do
    mp.spawn(function()
      up:put(true)
      e:wait()
      woken:put(mp.time())
      over:wait()  -- their ends would get in the way of the others
    end)
  end
  for _ = 1, n do up:get() end
  mp.sleep(0.3)
  local t, last = mp.time(), 0
  e:set()
  for _ = 1, n do last = math.max(last, woken:get()) end
  over:set()
  return last - t
end

-- 64 MiB go to another process and back; neither copies them.
function what.buffer64()
  local b, there, back, n = mp.Buffer(64 << 20), mp.Queue(), mp.Queue(), 1000
  local p = mp.spawn(function()
    for _ = 1, n do back:put(there:get()) end
  end)
  local t = each(n, function()
    there:put(b)
    back:get()
  end)
  p:join()
  return t / 2
end

-- Pools of two workers. What the tasks do is the same on both sides.
local function same(x) return x end

local function pooled(f)
  local pool = mp.Pool(2)
  pool:map(same, { 1, 2, 3, 4 }, 1)
  local t = f(pool)
  pool:close()
  pool:join()
  return t
end

function what.apply()
  return pooled(function(pool)
    return each(20000, function(i) pool:apply(same, { i }) end)
  end)
end

-- Everybody sleeps when the task comes.
function what.applysleep()
  return pooled(function(pool)
    local n, sum = 100, 0
    for i = 1, n do
      mp.sleep(0.005)
      local t = mp.time()
      pool:apply(same, { i })
      sum = sum + mp.time() - t
    end
    return sum / n
  end)
end

local function mapped(n, chunk)
  local list = {}
  for i = 1, n do list[i] = i end
  return pooled(function(pool)
    local t = mp.time()
    pool:map(same, list, chunk)
    return (mp.time() - t) / n
  end)
end

function what.map1() return mapped(200000, 1) end
function what.map() return mapped(1000000) end

function what.submit()
  local n, f = 10000, {}
  local ex = mp.ProcessPoolExecutor(2)
  for i = 1, 4 do ex:submit(same, i):result() end
  local t = mp.time()
  for i = 1, n do f[i] = ex:submit(same, i) end
  for i = 1, n do f[i]:result() end
  t = mp.time() - t
  ex:shutdown()
  return t / n
end

function what.applymib()
  local v = ("x"):rep(1 << 20)
  return pooled(function(pool)
    return each(100, function() pool:apply(same, { v }) end)
  end)
end

-- From nothing to eight workers that have each done a task, and back.
function what.pool8()
  return each(10, function()
    local all = mp.Barrier(8)
    local pool = mp.Pool(8)
    pool:map(function() all:wait() end, { 1, 2, 3, 4, 5, 6, 7, 8 }, 1)
    pool:close()
    pool:join()
  end)
end

-- Of two processors, how much a map of uneven tasks leaves idle, in per cent.
function what.uneven()
  local list, seed = {}, 1
  for i = 1, 2000 do
    seed = seed * 16807 % 2147483647
    list[i] = 3000 + seed % 87000
  end
  local function work(n)
    local t, x = os.clock(), 0
    for i = 1, n do x = (x + i * i) % 1000003 end
    return os.clock() - t
  end
  return pooled(function(pool)
    local t, sum = mp.time(), 0
    for _, s in ipairs(pool:map(work, list)) do sum = sum + s end
    return 100 * (1 - sum / (2 * (mp.time() - t))) / 1e9
  end)
end

-- How much more is held after ten million tasks than after one: bytes of this
-- process, which include the shared memory it has touched.
function what.poolmemory()
  local n = 10000000
  local function held()
    collectgarbage()
    return 1024 * field("/proc/self/status", "VmRSS:%s*(%d+)")
  end
  local i, before = 0, nil
  local function numbers()
    i = i + 1
    return i <= n and i or nil
  end
  return pooled(function(pool)
    local done = 0
    for _ in pool:imap_unordered(same, numbers) do
      done = done + 1
      if done == n // 10 then before = held() end
    end
    return (held() - before) / 1e9
  end)
end

local run = what[arg[1]]
if not run then error("unknown measurement: " .. tostring(arg[1])) end
print(("%.4f"):format(run() * 1e9))
