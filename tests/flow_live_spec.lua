-- flow_live: the live progress of a flow, with a clock and a terminal of the test's own.
-- SPDX-License-Identifier: MIT
require "mp"
local live = require "mp.flow.live"
local pace = require "mp.flow.pace"
local screen = require "tests.screen"

-- rows ---------------------------------------------------------------------------

-- What a flow has done after t seconds: `fetch` holds the others up.
local function crawl(t)
  return {
    { label = "lines", role = "source", workers = 1, taken = 0, given = 100 * t, busy = 0.2 * t,
      blocked = 0.8 * t, total = 10000, done = 100 * t },
    { label = "clean", role = "between", inside = true, taken = 100 * t, given = 90 * t },
    { label = "fetch", role = "between", workers = 4, taken = 80 * t, given = 80 * t, busy = 3.96 * t,
      blocked = 0, fill = 1000, cap = 1024 },
    { label = "sum", role = "between", workers = 2, taken = 80 * t, given = 0, busy = 0.4 * t, blocked = 0,
      fill = 0, cap = 1024 },
    { label = "stdout", role = "sink", workers = 1, taken = 0, given = 0, busy = 0, blocked = 0,
      fill = 0, cap = 1024 },
  }
end

-- The same, and what is different in it: { name = { field = value } }, by label.
local function with(rows, changes)
  for _, row in ipairs(rows) do
    for k, v in pairs(changes[row.label] or {}) do row[k] = v end
  end
  return rows
end

local function many(n)
  return function(t)
    local rows = crawl(t)
    for i = 1, n do
      table.insert(rows, 4, { label = "stage" .. n + 1 - i, role = "between", workers = 1, taken = t, given = t,
        busy = 0.1 * t, blocked = 0, fill = 1, cap = 1024 })
    end
    return rows
  end
end

-- a terminal -------------------------------------------------------------------------

-- A live on a terminal so wide and high; it begins at 0. `ours` writes as processes
-- of ours do, `theirs` as others; both with what the core keeps of a bar.
local function terminal(width, height, o)
  local t = { width = width, height = height, writes = 0, s = screen.new(width, height) }
  local stands = false
  local function feed(text) t.s:feed((text:gsub("\n", "\r\n"))) end
  o = o or {}
  o.now = 0
  function o.write(text, over)
    t.writes = t.writes + 1
    feed(text)
    stands = not over and text:sub(-1) ~= "\n"
  end
  function o.columns() return t.width end
  function o.lines() return t.height end
  t.live = live.new(o)
  function t.ours(text)
    if stands then feed "\r\27[J" end
    stands = false
    feed(text)
  end
  t.theirs = feed
  function t.lines() return t.s:lines() end
  function t.text() return table.concat(t.lines(), "\n") end
  -- Shows every 0.1 s what `rows` gives, up to a time.
  function t.run(rows, to, info)
    for i = 0, to * 10 do t.live:show(i / 10, rows(i / 10), info) end
    return t
  end
  return t
end

local function plain(o)
  local t = { out = {} }
  o = o or {}
  o.now = 0
  function o.write(text) t.out[#t.out + 1] = text end
  function o.columns() end
  t.live = live.new(o)
  return t
end

describe("the live progress of a flow", function()
  it("is a line per stage, how far it is, and what holds it up", function()
    assert.equal([[

stage    workers    rate  queue       busy  blocked
lines          1   100/s               20%      80%
  clean            100/s
fetch          4  80.0/s  [#######.]   99%       0%
sum            2  80.0/s  [........]   20%       0%
stdout         1       -  [........]    0%       0%
[######........................]  20%  2,000/10,000  ETA 1:20  0:20
bottleneck: fetch: its 4 workers are busy; more would help]],
      terminal(80, 24).run(crawl, 20).text())
  end)

  it("is drawn ten times a second at most, and not at once", function()
    local t = terminal(80, 24)
    for i = 0, 999 do
      t.live:show(i / 1000, crawl(i / 1000))
      if i < 300 then assert.equal(0, t.writes) end
    end
    assert.equal(7, t.writes)
  end)

  it("shows nothing of what is over in a moment", function()
    local t = terminal(80, 24)
    t.live:show(0.1, crawl(0.1))
    t.live:finish(0.2, crawl(0.2))
    assert.equal(0, t.writes)
  end)

  it("stays in its place", function()
    local t = terminal(80, 24).run(crawl, 20)
    assert.equal(1, t.s.row)
    assert.equal(0, t.s.column)
    assert.equal(9, #t.lines())
  end)

  it("has columns for what goes wrong, as soon as there is such", function()
    local t = terminal(100, 24)
    t.run(crawl, 2)
    assert.is_nil(t.text():find "failed")
    t.live:show(3, with(crawl(3), { fetch = { failed = 1234, skipped = 2, retried = 3 } }))
    assert.truthy(t.text():find("blocked  failed  skipped  retried\n", 1, true))
    assert.truthy(t.text():find("\nfetch [^\n]* 1,234        2        3\n"))
    t.live:show(4, crawl(4))
    assert.truthy(t.text():find "failed")
  end)

  it("tells how many workers there may be, and what a script has told", function()
    local t = terminal(100, 24)
    t.live:show(3, with(crawl(3), { fetch = { most = 8 }, sum = { progress = { 30, 40 } } }))
    assert.truthy(t.text():find "\nfetch +4/8 ")
    assert.truthy(t.text():find "\nsum [^\n]* 75%%\n")
    assert.truthy(t.text():find "it may have up to 8")
    t.live:show(4, with(crawl(4), { fetch = { most = 4 } }))
    assert.truthy(t.text():find "\nfetch +4 ")
    local over = { fetch = { workers = 0, most = 8 } }
    t.live:show(5, with(crawl(4), over))
    assert.truthy(t.text():find "\nfetch +%- ")
    t.live:finish(6, with(crawl(4), over))
    assert.truthy(t.text():find "\nfetch +8 ")
  end)

  it("knows bytes, the state, and how many workers were replaced", function()
    local t = terminal(100, 24)
    t.live:show(4, with(crawl(4), { lines = { total = 3 * 2^30, done = 2^30, unit = "bytes" } }),
                { state = "stopping", replaced = 2 })
    assert.truthy(t.text():find("\nstopping  [##########....................]  33%  1.0/3.0 GiB  ETA 0:08  4.0 s  "
                                .. "2 workers replaced\n", 1, true))
  end)

  it("goes by the slowest source, else by a stage that told, else by none", function()
    local t = terminal(100, 24)
    local function foot(changes)
      local rows = with(crawl(4), changes)
      table.insert(rows, 2, { label = "range", role = "source", workers = 1, taken = 0, given = 0, busy = 0,
                              total = changes.range and 100, done = 1 })
      t.live.due = 0
      t.live:show(4, rows)
      return t.text():match "\nstdout [^\n]*\n%[?[#.]*%]? *([^\n]*)"
    end
    assert.equal("4%  400/10,000  ETA 1:36  4.0 s", foot {})
    assert.equal("1%  1/100  ETA 6:36  4.0 s", foot { range = true })
    assert.equal("50%  3/6  ETA 0:04  4.0 s", foot { lines = { total = false }, sum = { progress = { 3, 6 } } })
    assert.equal("4.0 s", foot { lines = { total = false } })
  end)

  it("leaves out what there is no room for, the least important first", function()
    local function head(width)
      return terminal(width, 24).run(crawl, 3).lines()[2]
    end
    assert.equal("stage    workers    rate  queue       busy  blocked", head(52))
    assert.equal("stage    workers    rate  queue       busy", head(51))
    assert.equal("stage      rate  queue       busy", head(42))
    assert.equal("stage      rate  busy", head(33))
    assert.equal("stage      rate", head(21))
    assert.equal("stage", head(15))
    assert.equal("st…", head(4))
  end)

  it("shows the stages that tell most where lines are few", function()
    assert.same({ "stage   workers    rate  queue       busy  blocked  failed",
      "lines         1   100/s               20%      80%",
      "fetch         4  80.0/s  [#######.]   99%       0%",
      "stage7        1  1.00/s  [#.......]   10%       0%       1",
      "stdout        1       -  [........]    0%       0%", "… 21 more",
      "[..............................]  3%  300/10,000  ETA 1:37  3.0 s",
      "bottleneck: fetch: its 4 workers are busy; more would help" },
      terminal(80, 9).run(function(t)
        return with(many(20)(t), { stage7 = { failed = 1 } })
      end, 3).lines())
  end)

  it("has at least a line", function()
    assert.same({ "[###...........................]  10%  1,000/10,000  ETA 1:30  0:10" },
                terminal(80, 2).run(crawl, 10).lines())
    assert.same({ "10%  ETA 1:30  0:10" }, terminal(24, 1).run(crawl, 10).lines())
  end)

  it("takes 80 columns and 24 lines where the terminal does not say", function()
    local t = terminal(80, 24)
    t.width, t.height = 0, 0
    assert.equal(terminal(80, 24).run(many(30), 3).text(), t.run(many(30), 3).text())
    t = terminal(80, 24)
    t.live.lines = nil
    assert.equal(terminal(80, 24).run(many(30), 3).text(), t.run(many(30), 3).text())
  end)

  it("never wraps nor scrolls, whatever the size is now", function()
    local label = ("名前é"):rep(20)
    for height = 1, 30, 3 do
      local t = terminal(200, height)
      for i = 0, 120 do
        t.width = (i * 37) % 150 + 1
        t.s.width = t.width
        t.live:show(i, with(many(i % 25)(i), { fetch = { label = label, failed = i } }), { state = "stopping" })
        assert.is_true(#t.lines() < math.max(2, height))
        assert.equal(1, t.s.row)
      end
      assert.equal(0, t.s.wraps)
    end
  end)

  it("goes when it is over, for a summary; or stays, with the rates of the whole run", function()
    local t = terminal(80, 24).run(crawl, 20)
    t.live:finish(20, crawl(20), { clear = true })
    t.ours "the summary\n"
    assert.same({ "the summary" }, t.lines())
    t = terminal(80, 24).run(crawl, 20)
    t.live:finish(40, with(crawl(20), { lines = { done = 10000 } }))
    t.live:finish(40, crawl(20))
    t.ours "$"
    local lines = t.lines()
    assert.equal("stage    workers    rate  queue       busy  blocked", lines[1])
    assert.equal("fetch          4  40.0/s  [#######.]   50%       0%", lines[4])
    assert.equal("[##############################]  100%  10,000/10,000  0:40", lines[7])
    assert.equal("$", lines[8])
  end)

  it("makes room for a note", function()
    local t = terminal(80, 24)
    t.live:note("early", 0)
    t.run(crawl, 20)
    t.live:note("fetch[1] pid 1 killed by SIGKILL: replaced\nits item comes again", 20.05)
    assert.same({ "early", "fetch[1] pid 1 killed by SIGKILL: replaced", "its item comes again" }, t.lines())
    t.live:note("another\n", 20.2)
    local lines = t.lines()
    assert.same({ "another", "", "stage    workers    rate  queue       busy  blocked" },
                { lines[4], lines[5], lines[6] })
    assert.equal(12 + 1, #lines)
  end)

  it("leaves whole what others write there, in a terminal that scrolls", function()
    math.randomseed(7)
    for round = 1, 40 do
      local height = math.random(3, 20)
      local t = terminal(60, height)
      local said = {}
      for i = 1, 200 do
        t.live:show(i / 10, many(math.random(0, 3))(i / 10))
        local text = ("%d-%d "):format(round, i) .. ("x"):rep(math.random(0, 50))
        local way = math.random(6)
        if way == 1 then
          t.ours(text .. "\n")
        elseif way == 2 then
          t.live:note(text, i / 10 + math.random(0, 1) / 5)
        end
        if way <= 2 then said[#said + 1] = text:gsub(" +$", "") end
      end
      t.live:finish(30, crawl(30), { clear = true })
      assert.same(said, t.lines())
      assert.equal(0, t.s.wraps)
    end
  end)

  it("leaves the beginning of what programs write that are not ours", function()
    local t = terminal(60, 24)
    local said = {}
    for i = 1, 20 do
      t.live:show(i, crawl(i))
      local text = ("gzip: line %d"):format(i)
      t.theirs(text .. "\n" .. (i % 4 == 0 and "and more\n" or ""))
      said[#said + 1] = text
      if i % 4 == 0 then said[#said + 1] = "and more" end
    end
    t.live:finish(30, crawl(30), { clear = true })
    local lines = t.lines()
    assert.equal(#said, #lines)
    for i, text in ipairs(said) do assert.equal(text, lines[i]:sub(1, #text)) end
    assert.equal("gzip: line 1", lines[1])
  end)
end)

describe("where there is no terminal, the live progress", function()
  it("is a plain line every ten seconds", function()
    local t = plain { name = "crawl" }
    for i = 0, 250 do
      t.live:show(i / 10, with(crawl(i / 10), { fetch = { failed = i > 150 and 3 or 0 } }), { replaced = i // 100 })
    end
    assert.same({
      "crawl: 10%  1,000/10,000  ETA 1:30  0:10  1 worker replaced  lines 100/s  stdout -  "
        .. "bottleneck: fetch: its 4 workers are busy; more would help\n",
      "crawl: 20%  2,000/10,000  ETA 1:20  0:20  2 workers replaced  lines 100/s  stdout -  3 failed  "
        .. "bottleneck: fetch: its 4 workers are busy; more would help\n" }, t.out)
    t.live:finish(25, crawl(25))
    assert.equal("crawl: 25%  2,500/10,000  0:25  lines 100/s  stdout -\n", t.out[3])
  end)

  it("is nothing if it is over before that, and after it if a summary follows", function()
    local t = plain {}
    t.live:show(9, crawl(9))
    t.live:finish(9.5, crawl(9.5))
    assert.same({}, t.out)
    t = plain { every = 1 }
    t.live:show(9, crawl(9))
    t.live:finish(9.5, crawl(9.5), { clear = true })
    assert.equal(1, #t.out)
  end)

  it("passes notes on as they are", function()
    local t = plain {}
    t.live:note("one", 1)
    t.live:show(2, crawl(2))
    t.live:note("two\n", 2)
    assert.same({ "one\n", "two\n" }, t.out)
  end)
end)

describe("the bottleneck", function()
  -- The sentence for what has happened between two moments five seconds apart.
  local function found(changes, cpus)
    local p = pace.new(0)
    local rows = with(crawl(5), changes or {})
    for _, row in ipairs(rows) do
      for _, name in ipairs { "busy", "blocked" } do
        if row["each_" .. name] then row[name] = row["each_" .. name] * row.workers * 5 end
      end
    end
    local looks = p:look(5, rows)
    return select(2, pace.bottleneck(rows, looks, cpus))
  end
  local quiet = { fill = 0, each_busy = 0.3 }

  it("is the stage whose queue is full and whose workers are busy", function()
    assert.equal("fetch: its 4 workers are busy; more would help", found())
    assert.equal("fetch: its worker is busy; more would help", found { fetch = { workers = 1, each_busy = 1 } })
    assert.equal("fetch: its 4 workers are busy; it may have up to 16", found { fetch = { most = 16 } })
    assert.equal("fetch: its 4 workers are busy; there are 4 processors", found({}, 4))
    assert.equal("fetch: its 4 workers are busy; more would help", found({}, 5))
  end)

  it("is the last of those, not one that waits for it", function()
    assert.equal("stdout: its worker is busy; the others wait for it", found {
      fetch = { each_busy = 0.1, each_blocked = 0.9 }, sum = { fill = 1024, each_busy = 0.2, each_blocked = 0.8 },
      stdout = { fill = 1024, each_busy = 1 } })
    assert.equal("sum: its 2 workers are busy; more would help", found {
      fetch = { each_busy = 0.81, each_blocked = 0.19 }, sum = { fill = 1000, each_busy = 1 } })
  end)

  it("is one worker whose keys are the common ones", function()
    assert.equal("fetch: one of its 4 workers is busy; its keys are spread unevenly",
                 found { fetch = { key = true, fill = 256, each_busy = 0.26 } })
    assert.is_nil(found { fetch = { fill = 256, each_busy = 0.26 } })
  end)

  it("is a stage that lets its queue wait", function()
    assert.equal("fetch: its queue is full, but its workers are busy 10 % of the time",
                 found { fetch = { each_busy = 0.1 } })
  end)

  it("is the source where no queue fills up", function()
    assert.equal("lines: its worker is busy; the others wait for items",
                 found { fetch = quiet, lines = { each_busy = 1, each_blocked = 0 } })
    assert.equal("lines: the others wait for items, and it for its input",
                 found { fetch = quiet, lines = { each_busy = 0.1, each_blocked = 0 } })
  end)

  it("is none where nobody waits, or nobody is left", function()
    assert.is_nil(found { fetch = { fill = 400, each_busy = 0.5 } })
    assert.is_nil(found { fetch = quiet, lines = { workers = 0, busy = 0, blocked = 0 } })
    assert.is_nil(found { fetch = { workers = 0 }, lines = { workers = 0, busy = 0, blocked = 0 } })
  end)

  it("is told of the last seconds", function()
    local p = pace.new(0)
    for i = 0, 20 do p:look(i, crawl(i)) end
    local rows = with(crawl(20), { fetch = { fill = 0 } })
    local looks
    for i = 21, 26 do looks = p:look(i, rows) end
    assert.equal(0, looks[3].busy)
    assert.equal(0, looks[3].rate)
    looks = p:look(26.5, with(crawl(20), { fetch = { fill = 0, taken = 80 * 20 + 55 } }))
    assert.equal(10, looks[3].rate)
  end)

  it("copes with numbers that fall, and with no time", function()
    local p = pace.new(0)
    p:look(1, crawl(10))
    local looks = p:look(7, crawl(5))
    assert.equal(0, looks[1].rate)
    assert.equal(0, looks[3].busy)
    assert.equal(0, pace.new(3):look(3, crawl(3))[1].rate)
  end)
end)

describe("a terminal of the tests", function()
  it("does what one does", function()
    local s = screen.new(5, 3)
    s:feed "abc\r\ndef\r\27[Kx\27[A\rA"
    assert.same({ "Abc", "x" }, s:lines())
    s:feed "\27[J"
    assert.same({ "A" }, s:lines())
    s:feed "12345"
    assert.equal(1, s.wraps)
    s:feed "\r\n\r\n\r\n4\27[9A!"
    assert.same({ "A1234", "5", " !", "", "4" }, s:lines())
  end)
end)
