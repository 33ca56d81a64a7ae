-- tutorial: the examples in examples/tutorial run and show what they should.
-- Where processes print at the same time, lines are compared sorted.
-- SPDX-License-Identifier: MIT

local mp = require "mp"
local support = require "tests.support"

local FOLDER = "examples/tutorial/"

local function run(name, status)
  local got = support.mprun { FOLDER .. name .. ".lua" }
  assert.equal(status or 0, got.status, got.out .. got.err)
  if not status then assert.equal("", got.err) end
  return got.out, got.err
end

local function lines(text)
  local list = {}
  for line in text:gmatch "[^\n]+" do list[#list + 1] = line end
  return list
end

local function sorted(text)
  local list = lines(text)
  table.sort(list)
  return list
end

local function index(list, what)
  for i, v in ipairs(list) do
    if v == what then return i end
  end
  error("no line '" .. what .. "'")
end

local tested = {}

-- A test of an example whose parts are there.
local function example(name, needs, f)
  if not f then needs, f = {}, needs end
  tested[name] = true
  it(name, function()
    for _, part in ipairs(needs) do
      if not rawget(mp, part) then return pending("needs mp." .. part) end
    end
    f(name)
  end)
end

-- Of one that needs a library, and says so if that is not there.
local function served(name, f)
  example(name, function()
    local got = support.mprun { FOLDER .. name .. ".lua" }
    if got.status == 77 then return pending(got.out) end
    assert.equal(0, got.status, got.out .. got.err)
    assert.equal("", got.err)
    f(got.out)
  end)
end

describe("tutorial:", function()
  after_each(support.clean)

  example("01_hello", function(name)
    local out = lines(run(name))
    assert.equal("the child has ended with 0", out[3])
    table.sort(out)
    assert.same({ "hello, world", "the child has ended with 0", "the parent goes on" }, out)
  end)

  example("02_who_am_i", function(name)
    local out = run(name)
    local main = out:match "main: pid (%d+), created by %d+\n"
    local seen, n = { [main] = true }, 0
    for pid, creator in out:gmatch "Process%-%d: pid (%d+), created by (%d+)\n" do
      assert.equal(main, creator)
      assert.is_nil(seen[pid])
      seen[pid], n = true, n + 1
    end
    assert.equal(5, n)
  end)

  example("03_several_at_once", function(name)
    local together, one_by_one = run(name):match "joined: (%S+) s\n.- loop: +(%S+) s\n$"
    assert.is_true(tonumber(together) >= 0.1 and tonumber(one_by_one) >= 0.5)
    assert.is_true(tonumber(together) < tonumber(one_by_one))
  end)

  example("04_subclass", function(name)
    assert.equal("hello from main\nhello from Process-1\n", run(name))
  end)

  example("05_own_memory", function(name)
    assert.equal("the child has 150\nthe parent has 100\nthe child returned 150\n", run(name))
  end)

  example("06_daemon", function(name)
    assert.equal("false\tProcess:start: a daemonic process may not have children\n" ..
                 "tick 1\ntick 2\ntick 3\nmain ends, and the daemon with it\n", run(name))
  end)

  example("07_daemon_and_child", function(name)
    assert.same({ "main ends", "the child begins", "the child is done", "the daemon begins" },
                sorted(run(name)))
  end)

  example("08_how_it_ended", function(name)
    local got = support.mprun { FOLDER .. name .. ".lua" }
    assert.equal(0, got.status)
    assert.same({ "running:\ttrue\tnil", "right after terminate:\tboolean",
                  "terminated:\tfalse\t-15", "killed:\t-9",
                  "an uncaught error:\t1\t" .. FOLDER .. name .. ".lua:17: something went wrong",
                  "os.exit(7):\t7" }, lines(got.out))
    assert.truthy(got.err:find("something went wrong\nstack traceback:", 1, true))
  end)

  example("09_names", function(name)
    assert.same({ "worker\tProcess-2", "pids differ:\ttrue\ttrue", "running: 2",
                  "join for 0.1 s:\tnil\ttimeout", "join:\ttrue\ttrue", "running: 0" },
                lines(run(name)))
  end)

  served("10_chat", function(out)
    assert.same({ "ANN SAYS BYE", "ANN SAYS HELLO", "BOB SAYS BYE", "BOB SAYS HELLO",
                  "EVE SAYS BYE", "EVE SAYS HELLO" }, sorted(out))
  end)

  example("11_lock", function(name)
    local without, with = run(name):match "^without a lock\n(.*)with a lock\n(.*)$"
    assert.same({ "process 1 ends", "process 1 starts", "process 2 ends", "process 2 starts",
                  "process 3 ends", "process 3 starts" }, sorted(without))
    local n = 0
    for a, b in with:gmatch "process (%d) starts\nprocess (%d) ends\n" do
      assert.equal(a, b)
      n = n + 1
    end
    assert.equal(3, n)
  end)

  example("12_tickets", function(name)
    local without, with
    for _ = 1, 5 do  -- on a busy machine they may come one after another
      without, with = run(name):match "^without a lock: sold (%d+)\nwith a lock: sold (%d+)\n$"
      assert.equal("5", with)
      if tonumber(without) > 5 then break end
    end
    assert.is_true(tonumber(without) > 5)
  end)

  example("13_semaphore", { "Semaphore" }, function(name)
    local most = run(name):match "^10 visits, at most (%d) at a time\n$"
    assert.is_true(tonumber(most) >= 1 and tonumber(most) <= 4)
  end)

  example("14_event", function(name)
    local out = lines(run(name))
    local green = index(out, "green")
    for i = 1, 3 do
      assert.is_true(index(out, ("car %d waits"):format(i)) < green)
      assert.is_true(index(out, ("car %d drives"):format(i)) > green)
    end
  end)

  example("15_condition", { "Condition" }, function(name)
    assert.equal("4 guests have eaten 12 meals from a pot of 3\n", run(name))
  end)

  example("16_barrier", { "Barrier" }, function(name)
    local all, dies = run(name):match "^(.*)one dies\n(.*)$"
    assert.same({ "at the line", "at the line", "at the line", "runs", "runs", "runs" },
                lines(all))
    assert.same({ "at the line", "at the line", "does not run: broken", "does not run: broken" },
                sorted(dies))
  end)

  example("17_rlock", { "RLock" }, function(name)
    local ok, why = run(name):match "^(%d+)\nfalse\t(.*)\n$"
    assert.equal("120", ok)
    assert.truthy(why:find("this process holds the lock already", 1, true), why)
  end)

  example("18_timer", { "Timer" }, function(name)
    assert.same({ "0.1 seconds later", "both have been started", "done" }, sorted(run(name)))
  end)

  example("19_abandoned", function(name)
    assert.equal("held by Process-1\nacquire:\ttrue\tabandoned\nacquire:\ttrue\n", run(name))
  end)

  example("20_deadlock", { "Barrier" }, function(name)
    local out, err = run(name, 3)
    assert.equal("", out)
    assert.truthy(err:find("mprun: deadlock: 2 processes wait for each other", 1, true), err)
    assert.truthy(err:find("/20_deadlock.lua:12\n", 1, true), err)
  end)

  example("21_queue", function(name)
    assert.same({ "empty:\ttrue", "full:\ttrue\t3", "put_nowait:\tnil\tfull",
                  "put for 0.1 s:\tnil\ttimeout", "get:\titem 1", "get:\titem 2",
                  "get:\titem 3", "get_nowait:\tnil\tempty", "get for 0.1 s:\tnil\ttimeout" },
                lines(run(name)))
  end)

  example("22_list", function(name)
    assert.equal("42\thello\ttrue\n", run(name))
  end)

  example("23_many", function(name)
    assert.equal("200 items\n", run(name))
  end)

  example("24_end_of_work", function(name)
    local out = lines(run(name))
    assert.equal(4, #out)
    for _, line in ipairs(out) do assert.truthy(line:find ":\t15$") end
  end)

  example("24_no_end", function(name)
    local out, err = run(name, 3)
    assert.equal("1\n2\n3\n", out)
    assert.truthy(err:find("mprun: deadlock: all 2 processes wait", 1, true), err)
    assert.truthy(err:find("close the queue when the last item is put", 1, true), err)
  end)

  example("25_joinable", { "JoinableQueue" }, function(name)
    assert.same({ "item 1, redelivered", "item 2", "item 3", "item 4", "item 5", "item 6" },
                sorted(run(name)))
  end)

  example("26_pipe", { "Pipe" }, function(name)
    assert.equal("1\n4\n9\n16\n25\neof\n", run(name))
  end)

  example("27_bytes", { "Pipe", "Buffer" }, function(name)
    assert.same({ "bytes:\t23456", "at most four:\tfour", "into a buffer:\t4\tinto",
                  "too long:\tfalse\tBufferTooShort\ttoo long for it",
                  "longer than the limit:\tfalse" }, lines(run(name)))
  end)

  example("28_queue_in_queue", function(name)
    assert.equal("1\t1\n2\t4\n3\t9\nfrom tasks:\t4\t5\n", run(name))
  end)

  example("29_apply", function(name)
    local one, all = run(name):match("^1\t1\n2\t4\n3\t9\n4\t16\nmap\t1 4 9 16\n" ..
                                     "apply, four times: (%S+) s\nmap of four: +(%S+) s\n$")
    assert.is_true(tonumber(one) >= 0.4 and tonumber(all) >= 0.1)
    assert.is_true(tonumber(all) < tonumber(one))
  end)

  example("30_apply_async", function(name)
    assert.same({ "submitted:\t3", "hello, ann\t1", "hello, bob\t2", "hello, eve\t3",
                  "again:\thello, ann\t1", "ready:\ttrue\ttrue",
                  "not in 0.05 s:\tnil\ttimeout" }, lines(run(name)))
  end)

  example("31_map", function(name)
    assert.same({ "map:\tA B C", "starmap:\t2 9 5", "as they come:\t1 5",
                  "the first above 1000:\t1024" }, lines(run(name)))
  end)

  served("32_callbacks", function(out)
    assert.same({ "/10 has 10 bytes", "/2000 has 2000 bytes", "/300 has 300 bytes" }, sorted(out))
  end)

  served("33_crawler", function(out)
    assert.equal("4 pages", table.remove(lines(out)))
    assert.same({ "/\t2", "/a\t2", "/b\t1", "/c\t0", "4 pages" }, sorted(out))
  end)

  example("34_error", function(name)
    local out = run(name)
    local file = FOLDER .. name .. ".lua"
    assert.truthy(out:find("^false\t[^\n]*:6: 1 is odd\n\nremote stack traceback:\n"), out)
    local _, remote_end = out:find(file .. ":6: in function <" .. file .. ":5>\n[Pool-1:", 1, true)
    assert.truthy(remote_end, out)
    assert.truthy(out:find(file .. ":14: in main chunk", remote_end, true), out)
    assert.truthy(out:find("\nthe next one:\t1\nError\t" .. file .. ":6: 3 is odd\ttrue\n" ..
                           "imap:\ttrue\tfalse\ttrue\n", 1, true), out)
  end)

  example("35_killed", function(name)
    local out = lines(run(name))
    assert.equal("WorkerLost\t-9", out[1])
    assert.truthy(out[2]:find "^Pool%-1:%d %(pid %d+%) killed by SIGKILL during function at .*:8$")
    assert.same({ "others:\t1 4 9", "the second try" }, table.move(out, 3, #out, 1, {}))
  end)

  example("36_timeout", function(name)
    local out = lines(run(name))
    assert.truthy(table.remove(out, 4):find " with 60 took longer than its timeout; its worker ")
    assert.same({ "get(0.1):\tnil\ttimeout", "get():\tdone", "TaskTimeout", "a loop:\tTaskTimeout",
                  "cancel:\tfalse", "by force:\ttrue" }, out)
  end)

  example("37_closure", function(name)
    assert.equal("3 6 9\na method:\t70\nupvalue:\t0\nmp.Value:\t6\n", run(name))
  end)

  served("38_chat_pool", function(out)
    assert.same({ "CLIENT 1", "CLIENT 2", "CLIENT 3", "CLIENT 4", "the fifth: timeout",
                  "the first leaves", "CLIENT 5" }, lines(out))
  end)

  example("39_futures", function(name)
    assert.same({ "quick\t0.05", "slow\t0.4", "called back:\ttrue", "cancel:\ttrue", "first\t0.5",
                  "false\tCancelled", "map:\t4", "map:\t5", "map:\t6" }, lines(run(name)))
  end)

  example("40_how_many", function(name)
    local out = lines(run(name))
    assert.truthy(out[1]:find "^%d+ processors$")
    assert.equal("workers\tcompute\twait", out[2])
    for i, workers in ipairs { 1, 2, 4, 8 } do
      assert.truthy(out[2 + i]:find("^" .. workers .. "\t%d+%.%d+ s\t%d+%.%d+ s$"), out[2 + i])
    end
    assert.equal(6, #out)
  end)

  example("41_counters", { "Value", "Array" }, function(name)
    local out = lines(run(name))
    assert.truthy(out[1] == "read and written:\tcounts are lost" or
                  out[1] == "read and written:\tlucky")
    assert.equal("added:\t20000", out[2])
    assert.equal("by process:\t5000 5000 5000 5000", out[3])
  end)

  example("42_dict", { "Dict", "List" }, function(name)
    assert.equal("be\t2\nnot\t1\nor\t1\nto\t2\n6 words\n", run(name))
  end)

  example("43_threads", { "Thread" }, function(name)
    local out = lines(run(name))
    assert.truthy(out[1] == "without a lock:\tdeposits are lost" or
                  out[1] == "without a lock:\tlucky")
    assert.equal("with a lock:\t10000", out[2])
  end)

  example("44_own_pool", function(name)
    assert.equal("1 4 9 16 no square\n1 4 9 16\n", run(name))
  end)

  served("45_echo_threads", function(out)
    assert.same({ "ann", "bob", "eve", "all in this process" }, lines(out))
  end)

  it("every one is tested here", function()
    local pipe = assert(io.popen("ls " .. FOLDER))
    for file in pipe:lines() do
      assert.is_true(tested[file:match "^(.*)%.lua$"], file)
    end
    pipe:close()
  end)
end)
