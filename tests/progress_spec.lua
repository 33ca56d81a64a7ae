-- progress: what a map shows of itself on a terminal, elsewhere, and to a function.
-- The terminal is one that script(1) makes; a screen of the test's own reads it.
-- SPDX-License-Identifier: MIT
local mp = require "mp"
local screen = require "tests.screen"
local support = require "tests.support"
local mprun, raises = support.mprun, support.raises

local kinds = support.kinds

-- The script's output on a terminal so wide: screen, bytes, exit status.
local function on_terminal(columns, text)
  local path = support.script("local mp = require 'mp'\n" .. text)
  local r = support.run { "script", "-qec",
    ("stty cols %d; exec %s %s"):format(columns, support.quote(support.program), support.quote(path)),
    "/dev/null" }
  local s = screen.new(columns)
  s:feed(r.out)
  assert.equal(0, s.wraps, r.out)
  return s:lines(), r.out, r.status
end

local function count(text, what)
  local n = 0
  for _ in text:gmatch(what) do n = n + 1 end
  return n
end

local has_script = os.execute "command -v script >/dev/null && script -qec true /dev/null >/dev/null 2>&1 </dev/null"

local function terminal_it(name, f)
  it(name, function()
    if not has_script then return pending "there is no script(1) here" end
    f()
  end)
end

describe("progress on a terminal", function()
  after_each(support.clean)

  for columns, last in pairs { [20] = "^100%%  40/40$", [40] = "^100%%  40/40  [%d.,]+/s",
                               [80] = "^%[#+%]  100%%  40/40  [%d.,]+/s  [%d:]+%.?%d?" } do
    terminal_it(("AA31: is one line of it, %d columns wide"):format(columns), function()
      local lines, _, status = on_terminal(columns, [[
        local list = {}
        for i = 1, 40 do list[i] = i end
        local pool <close> = mp.Pool(2)
        pool:map(function(i) mp.sleep(0.01) return i end, list, { progress = true, chunksize = 1 })
        print "the end"
      ]])
      assert.equal(0, status)
      assert.equal(2, #lines, table.concat(lines, "\n"))
      if columns ~= 20 then assert.truthy(lines[1]:find(last), lines[1]) end
      assert.truthy(lines[1]:find "100%%  40/40", lines[1])
      assert.equal("the end", lines[2])
    end)
  end

  terminal_it("AA31: goes on while nothing comes", function()
    local _, out = on_terminal(80, [[
      local pool <close> = mp.Pool(1)
      pool:map(mp.sleep, { 1 }, { progress = true })
    ]])
    assert.is_true(count(out, "0/1") >= 3, out)
  end)

  terminal_it("AA31: leaves the lines that tasks and the script write whole", function()
    local lines = on_terminal(80, [[
      local list = {}
      for i = 1, 40 do list[i] = i end
      local pool <close> = mp.Pool(2)
      local function f(i)
        mp.sleep(0.01)
        if i % 10 == 0 then print("task " .. i .. "\nand more") end
        return i
      end
      for i in pool:imap(f, list, { progress = true }) do
        if i % 10 == 0 then print("got " .. i) end
      end
    ]])
    local seen, bars = {}, 0
    for _, line in ipairs(lines) do
      if line:find "^%[" then
        bars = bars + 1
      else
        seen[line] = (seen[line] or 0) + 1
      end
    end
    assert.same({ ["task 10"] = 1, ["task 20"] = 1, ["task 30"] = 1, ["task 40"] = 1, ["and more"] = 4,
                  ["got 10"] = 1, ["got 20"] = 1, ["got 30"] = 1, ["got 40"] = 1 }, seen)
    assert.equal(1, bars, table.concat(lines, "\n"))
  end)

  terminal_it("AA31: counts what fails, and ends its line before the error", function()
    local lines, _, status = on_terminal(80, [[
      local pool <close> = mp.Pool(2)
      local function f(i) if i > 2 then error("no " .. i, 0) end end
      local _, e = pcall(pool.map, pool, f, { 1, 2, 3, 4 }, { progress = true })
      print((e:match "^[^\n]*"))
    ]])
    assert.equal(0, status)
    assert.truthy(lines[1]:find "100%%  4/4 .* 2 failed$", lines[1])
    assert.equal("no 3", lines[2])
  end)

  terminal_it("AA31: ends its line when the loop is left early", function()
    local lines, _, status = on_terminal(80, [[
      local pool <close> = mp.Pool(2)
      local function id(i) return i end
      for i in pool:imap(id, { 1, 2, 3, 4, 5, 6, 7, 8, 9 }, { progress = true, buffer = 2 }) do
        if i == 2 then break end
      end
      print "after"
    ]])
    assert.equal(0, status)
    assert.equal(2, #lines, table.concat(lines, "\n"))
    assert.truthy(lines[1]:find "[234]/9", lines[1])
    assert.equal("after", lines[2])
  end)

  terminal_it("AA31: ends its line when the pool is terminated, or breaks", function()
    local lines = on_terminal(80, [[
      local pool = mp.Pool(1)
      local r = pool:map_async(mp.sleep, { 1000 }, { progress = true })
      pool:terminate()
      print(r:exception().name)
    ]])
    assert.truthy(lines[1]:find "0/1", lines[1])
    assert.equal("PoolTerminated", lines[2])
  end)

  terminal_it("AA31: with Ctrl-C, ends its line", function()
    local lines, _, status = on_terminal(80, [[
      local pool <close> = mp.Pool(1)
      local me = mp.getpid()
      pool:map(function(i) os.execute("kill -INT " .. me) mp.sleep(1000) end, { 1 }, { progress = true })
    ]])
    assert.equal(130, status)
    assert.truthy(lines[1]:find "0/1", lines[1])
    assert.is_nil(lines[2]:find "0/1", lines[2])
  end)

  terminal_it("AA31: without a known length, with none, and for executors", function()
    local lines = on_terminal(80, [[
      local pool <close> = mp.Pool(2)
      local n = 0
      local function numbers()
        n = n + 1
        return n <= 100 and n or nil
      end
      local function id(i) return i end
      for _ in pool:imap_unordered(id, numbers, { progress = true }) do end
      pool:map(id, {}, { progress = true })
      for _ in pool:imap(id, {}, { progress = true }) do end
      local ex <close> = mp.ProcessPoolExecutor(2)
      for _ in ex:map(function(a, b) return a + b end, { 1, 2, 3 }, { 4, 5, 6, 7 }, { progress = true }) do end
    ]])
    assert.equal(4, #lines, table.concat(lines, "\n"))
    assert.truthy(lines[1]:find "100/100 ", lines[1])
    assert.truthy(lines[2]:find "^0/0 ", lines[2])
    assert.truthy(lines[3]:find "^0/0 ", lines[3])
    assert.truthy(lines[4]:find "100%%  3/3 ", lines[4])
  end)
end)

describe("a bar of several lines", function()
  after_each(support.clean)

  local SHOW = [[
    local core = require "mp.core"
    mp.spawn(print, "begin"):join()
    local function show(text) core.bar("\r\n" .. text .. "\27[2A\r") end
  ]]

  terminal_it("goes where somebody writes, and leaves nothing behind", function()
    local lines, out = on_terminal(80, SHOW .. [[
      show "one\ntwo"
      show "three\nfour"
      mp.spawn(function() print "a\nb\nc" end):join()
      show "five\nsix"
      core.bar("\r\27[J", true)
      print "the end"
    ]])
    assert.same({ "begin", "a", "b", "c", "the end" }, lines)
    assert.equal(2, count(out, "\27%[J"), out)
  end)

  terminal_it("does not go over an unfinished line", function()
    assert.same({ "begin", "where? here", "and there", "the end" }, (on_terminal(80, SHOW .. [[
      show "one\ntwo"
      io.write "where? here"
      io.flush()
      show "three\nfour"
      io.write "and "
      io.flush()
      io.write "there\n"
      show "five\nsix"
      core.bar("\r\27[J", true)
      print "the end"
    ]])))
  end)

  terminal_it("is over with a text that ends its line", function()
    local lines = on_terminal(80, SHOW .. [[
      show "one\ntwo"
      core.bar "\rthe last\n"
      io.write "x"
      io.flush()
      core.bar "\rnothing stood here\n"
    ]])
    assert.same({ "begin", "the last", "nothing stood here" }, { lines[1], lines[2], lines[3] })
  end)
end)

describe("progress elsewhere", function()
  after_each(support.clean)

  it("AA31: is nothing, for what is over soon", function()
    local r = mprun { support.script [[
      local mp = require "mp"
      local pool <close> = mp.Pool(2)
      pool:map(function(i) return i end, { 1, 2, 3 }, { progress = true })
      for _ in pool:imap(function(i) return i end, { 1, 2, 3 }, { progress = true }) do end
    ]] }
    assert.same({ status = 0, out = "", err = "" }, r)
  end)
end)

for _, kind in ipairs(kinds) do
  describe("progress as a function, with a pool of kind " .. kind, function()
    local pool, calls, began
    local function note(done, total, failed)
      calls[#calls + 1] = { done, total or false, failed, mp.getpid() }
    end
    -- Rarely, in order, and the last one, only that, for all of them.
    local function check(n, failed)
      assert.is_true(#calls <= (mp.time() - began) / 0.1 + 2, #calls .. " calls")
      for i, c in ipairs(calls) do
        assert.is_true(i == #calls or c[1] < n)
        assert.is_true(i == 1 or c[1] >= calls[i - 1][1])
        assert.equal(mp.getpid(), c[4])
      end
      assert.same({ n, n, failed, mp.getpid() }, calls[#calls])
    end
    before_each(function()
      pool, calls, began = mp.Pool { processes = 2, kind = kind }, {}, mp.time()
    end)
    after_each(function()
      pool:terminate()
      pool:join()
      support.clean()
    end)

    it("AA31: is called rarely, here, and at the end", function()
      local list = {}
      for i = 1, 60 do list[i] = i end
      local got = pool:map(function(i) mp.sleep(0.01) return -i end, list, { progress = note, chunksize = 1 })
      assert.equal(-60, got[60])
      check(60, 0)
      assert.is_true(#calls > 1)
      assert.equal(60, calls[1][2])
    end)

    it("AA31: is told of failures", function()
      raises("odd", pool.map, pool, function(i) assert(i % 2 == 0, "odd") end, { 1, 2, 3, 4, 5 },
             { progress = note })
      check(5, 3)
    end)

    it("AA31: learns the total when it is known", function()
      local n = 0
      local function numbers()
        n = n + 1
        if n <= 30 then return n end
      end
      for _ in pool:imap(function(i) mp.sleep(0.01) return i end, numbers,
                         { progress = note, buffer = 4 }) do end
      check(30, 0)
      assert.is_false(calls[1][2])
    end)

    it("AA31: is called for nothing, too", function()
      assert.same({ n = 0 }, pool:map(print, {}, { progress = note }))
      check(0, 0)
      calls = {}
      for _ in pool:imap(print, function() end, { progress = note }) do end
      check(0, 0)
    end)

    it("AA31: is called for starmap, map_async and unordered results", function()
      local function add(a, b) return a + b end
      pool:starmap(add, { { 1, 2 }, { 3, 4 } }, { progress = note })
      check(2, 0)
      calls = {}
      pool:map_async(math.abs, { 1, 2, 3 }, { progress = note }):get()
      check(3, 0)
      calls = {}
      for _ in pool:imap_unordered(math.abs, { 1, 2, 3 }, { progress = note }) do end
      check(3, 0)
    end)

    it("AA31: is not told of an end that did not come", function()
      for i in pool:imap(math.abs, { 1, 2, 3, 4, 5, 6, 7 }, { progress = note, buffer = 2 }) do
        if i == 2 then break end
      end
      for _, c in ipairs(calls) do assert.is_true(c[1] < 7) end
    end)

    it("AA31: may use the pool", function()
      local got = {}
      pool:map(function() mp.sleep(0.01) end, { 1, 2, 3 }, { chunksize = 1, progress = function(done)
        local twice = pool:apply(function(i) return i * 2 end, { done })
        got[twice] = true
      end })
      assert.is_true(got[6])
    end)

    it("AA31: that is no function is refused", function()
      raises("Pool:map: progress must be true or a function, got number",
             pool.map, pool, print, { 1 }, { progress = 1 })
      raises("Pool:imap: progress must be", pool.imap, pool, print, { 1 }, { progress = "yes" })
      local ex <close> = mp.ProcessPoolExecutor(1)
      raises("Executor:map: progress must be", ex.map, ex, print, { 1 }, { progress = 1 })
    end)
  end)

  it("AA31: an error in it is reported and stops nothing, with a pool of kind " .. kind, function()
    local r = mprun { support.script(([[
      local mp = require "mp"
      local pool <close> = mp.Pool { processes = 2, kind = "%s" }
      local list = pool:map(math.abs, { -1, -2 }, { progress = function() error "oh" end })
      print(list[1], list[2])
    ]]):format(kind)) }
    support.clean()
    assert.equal("1\t2\n", r.out)
    assert.equal(0, r.status)
    assert.truthy(r.err:find "a callback failed: .*oh", r.err)
  end)
end
