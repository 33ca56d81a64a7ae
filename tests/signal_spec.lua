-- signal: what a signal does to a wait and to the helper process, what a
-- runtime leaves of a program's own handling, and closers.
--
-- SPDX-License-Identifier: MIT
local mp = require "mp"
local support = require "tests.support"

-- Signals this process from a child, so that we are in the wait by then: the
-- child looks until we sleep.
local function signal_me(name, what)
  local pid = mp.getpid()
  return mp.spawn(function()
    local state
    repeat
      local f = assert(io.open("/proc/" .. pid .. "/stat"))
      state = f:read("a"):match ".*%) (%u)"
      f:close()
    until state == "S"
    os.execute(("kill -%s %d"):format(name, pid))
    if what then return what() end
  end)
end

-- Prints how the script's process treats signals before and after there is a
-- runtime, then what the rest prints.
local MASKS = [[
local mp = require "mp"
local function masks()
  local f = assert(io.open "/proc/self/status")
  local text = f:read "a"
  f:close()
  return text:match "(SigBlk.-)CapInh"
end
local before = masks()
local q = mp.Queue()
q:put(1)
print(before == masks() and "the same" or before .. masks())
]]

-- The pid of the process that keeps watch.
local KEEPER = [[
local function keeper()
  for _ = 1, 500 do  -- it takes a moment to name itself
    local f = assert(io.open(("/proc/%d/task/%d/children"):format(mp.getpid(), mp.getpid())))
    for pid in f:read("a"):gmatch "%d+" do
      local c = io.open("/proc/" .. pid .. "/comm")
      if c and c:read "l" == "mprun-keeper" then return pid end
    end
    mp.sleep(0.01)
  end
end
]]

describe("signals", function()
  after_each(function()
    mp.on_signal("USR1", nil)
    support.clean()
  end)

  it("S01: a handler runs during join, which goes on", function()
    local got = 0
    mp.on_signal("SIGUSR1", function() got = got + 1 end)
    local q = mp.Queue()
    local p = signal_me("USR1", function() return q:get() end)
    local feeder = mp.spawn(function()
      mp.sleep(0.3)
      q:put(7)
    end)
    assert.is_true(p:join())
    assert.equal(1, got)
    assert.equal(0, p.exitcode)
    assert.equal(7, p:result())
    feeder:join()
  end)

  it("S02: a handler runs while a put of 16 MiB waits; the item arrives whole", function()
    local got = 0
    mp.on_signal("SIGUSR1", function() got = got + 1 end)
    local q, big = mp.Queue(1), ("x"):rep((16 << 20) + 1)
    q:put "first"
    local p = signal_me("USR1", function()
      mp.sleep(0.1)
      return q:get(), #q:get()
    end)
    assert.is_true(q:put(big))
    assert.equal(1, got)
    assert.same({ "first", #big }, { p:result() })
  end)

  it("S04, S05: the helper process takes no notice of SIGINT and SIGTERM", function()
    local r = support.mprun { support.script(KEEPER:gsub("^", [[
local mp = require "mp"
local q = mp.Queue()
]]) .. [[
local pid = keeper()
for _, name in ipairs { "INT", "TERM", "HUP" } do os.execute("kill -" .. name .. " " .. pid) end
mp.sleep(0.1)
local p = mp.spawn(function() mp.Lock():acquire() os.exit(3) end)
p:join()
print(p.exitcode, keeper() == pid)
]]) }
    assert.equal("3\ttrue\n", r.out, r.err)
    assert.equal("", r.err)
  end)

  it("S06: a runtime leaves the blocked, ignored and caught signals as they were", function()
    local path = support.script(MASKS)
    assert.equal("the same\n", support.mprun { path }.out)
    local r = support.run { "sh", "-c", 'trap "" USR2; exec "$0" "$1"', support.program, path }
    assert.equal("the same\n", r.out, r.err)
    if support.mode ~= "asan" then
      r = support.run { support.lua, path, env = { LUA_CPATH = support.build .. "/?.so" } }
      assert.equal("the same\n", r.out, r.err)
    end
  end)
end)

describe("closers", function()
  it("U01: run once, the last registered first; what they register runs too", function()
    local q = mp.Queue()
    mp.spawn(function()
      for _, name in ipairs { "a", "b", "c" } do
        mp.atexit(function()
          q:put(name)
          if name == "b" then mp.atexit(function() q:put "d" end) end
        end)
      end
    end):join()
    assert.same({ n = 4, "c", "b", "d", "a" }, q:get_many(9))
  end)

  it("U01: an error in one is reported and stops no other", function()
    local r = support.mprun { support.script [[
local mp = require "mp"
mp.spawn(function()
  mp.atexit(function() print "last" end)
  mp.atexit(function() error "oops" end)
end):join()
]] }
    assert.equal("last\n", r.out)
    assert.truthy(r.err:find("Process%-1 %(pid %d+%): .*oops"), r.err)
    support.clean()
  end)

  it("U02: objects go while others are made, and while a put collects", function()
    local q = mp.Queue()
    for i = 1, 2000 do
      local pair = { mp.Queue(), mp.Event() }
      pair[3] = pair
      q:put { i, pair[1] }
      if i % 100 == 0 then collectgarbage() end
    end
    for i = 1, 2000 do
      local item = q:get()
      assert.equal(i, item[1])
      assert.is_true(item[2]:empty())
    end
  end)

  it("V07: what is dropped leaves no object behind", function()
    local r = support.mprun { support.script [[
local mp = require "mp"
mp.configure { memory = 64 << 20 }
for _ = 1, 30000 do
  local q = mp.Queue()
  q:put("x")
end
for _ = 1, 100000 do mp.Event() end
print "done"
]] }
    assert.equal("done\n", r.out, r.err)
    support.clean()
  end)
end)
