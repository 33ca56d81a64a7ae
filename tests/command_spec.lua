-- command: shell commands as stages, by a small driver in the engine's place.
--
-- SPDX-License-Identifier: MIT
local mp = require "mp"
local command = require "mp.flow.command"
local support = require "tests.support"
local eventually, raises, group_is_gone = support.eventually, support.raises, support.group_is_gone

local ctx = { time = mp.time }

local function make(text, per, out)
  return command.make({ text = text, per = per }, ctx, out or function() end)
end

-- What a worker does: batches of items, a flush after each, the end.
local function drive(text, items, per, batch)
  local got, taken = {}, 0
  local op = make(text, per, function(v) got[#got + 1] = v end)
  for i, item in ipairs(items) do
    if op.item(item) == "enough" then break end
    taken = i
    if i % (batch or 2) == 0 and op.flush then op.flush() end
  end
  if op.flush then op.flush() end
  if op.finish then op.finish(0, function() end) end
  if op.close then op.close() end
  return got, taken
end

local function by_item(text, items) return drive(text, items, "item") end

local function fails(text, items, per)
  local fine, why = pcall(drive, text, items, per)
  assert.is_false(fine, "it did not fail")
  return why
end

local function open_here()
  local path = support.file "count"
  collectgarbage()
  collectgarbage()
  os.execute(("ls /proc/%d/fd | wc -l >%s"):format(mp.getpid(), path))
  return tonumber(support.read(path))
end

local function children_here()
  local pid = mp.getpid()
  return support.read(("/proc/%d/task/%d/children"):format(pid, pid))
end

describe("a command with a line an item", function()
  after_each(support.clean)

  it("gets items as lines and gives its lines as results", function()
    assert.same({ "A", "B C", "" }, (drive("tr a-z A-Z", { "a", "b c", "" })))
  end)

  it("may keep all until the end of its input", function()
    assert.same({ "1", "2", "10", "33" }, (drive("sort -n", { 33, 10, "2", 1 })))
  end)

  it("runs also where no item comes", function()
    assert.same({ "0" }, (drive("wc -l", {})))
  end)

  it("gets numbers as Lua writes them and tables as JSON", function()
    local got = drive("cat", { 7, 0.5, { 1, 2 }, { name = "x" } })
    assert.same({ "7", "0.5", "[1,2]", '{"name":"x"}' }, got)
  end)

  it("refuses what is no line", function()
    assert.equal("`cat`: an item with a newline in it is no line; {per=item} gives each item "
      .. "a process of its own", fails("cat", { "a\nb" }))
    assert.equal("`cat`: a string, a number or a table expected, got boolean", fails("cat", { true }))
    raises("cannot be written as JSON", drive, "cat", { { print } })
  end)

  it("passes bytes of every kind", function()
    local bytes = {}
    for i = 0, 255 do
      if i ~= 10 then bytes[#bytes + 1] = string.char(i) end
    end
    local all = table.concat(bytes)
    assert.same({ all, "ü" }, (drive("cat", { all, "ü" })))
  end)

  it("gives a last line without a newline too", function()
    assert.same({ "a", "b" }, (drive("cat >/dev/null; printf 'a\\nb'", { "x" })))
  end)

  it("gives a line that comes in pieces as one", function()
    assert.same({ "abc", "d" },
      (drive("cat >/dev/null; printf a; sleep 0.05; printf b; sleep 0.05; echo c; echo d", { "x" })))
  end)

  it("passes on each item without waiting for more", function()
    local got = {}
    local op = make("cat", nil, function(v) got[#got + 1] = v end)
    for i = 1, 20 do
      op.item("item " .. i)
      op.flush()
      assert.is_true(op.due <= mp.time() + 0.01)
      eventually(function()
        if mp.time() >= op.due then op.tick() end
        return #got == i
      end)
    end
    op.close()
  end)

  it("is looked at more and more seldom while it prints nothing", function()
    local clock = 0
    local op = command.make({ text = "sort" }, { time = function() return clock end }, error)
    op.item "a"
    op.flush()
    local looks = 0
    while clock < 10 do
      clock = op.due
      op.tick()
      looks = looks + 1
    end
    assert.is_true(looks > 90 and looks < 120, looks)
    op.close()
    assert.is_nil(op.due)
  end)

  it("takes and gives more than pipes hold: 10 MB in lines", function()
    local items, line = {}, ("x"):rep(1023)
    for i = 1, 10240 do items[i] = line .. i end
    assert.same(items, (drive("cat", items, nil, 256)))
  end)

  it("takes and gives one line of 10 MB", function()
    local item = ("y"):rep(10 << 20)
    local got = drive("cat", { item })
    assert.equal(1, #got)
    assert.is_true(got[1] == item)
  end)

  it("may print far more than it reads, while it reads", function()
    local items = {}
    for i = 1, 300 do items[i] = ("z"):rep(1000) end
    local text = [[awk '{ for (i = 0; i < 50; i++) print $0; fflush() }']]
    local got = drive(text, items, nil, 300)
    assert.equal(15000, #got)
    assert.equal(items[1], got[15000])
  end)

  it("that ends well before its input takes no more", function()
    local items = {}
    for i = 1, 100000 do items[i] = i end
    local got, taken = drive("head -1", items)
    assert.same({ "1" }, got)
    assert.is_true(taken < 100000)
  end)

  it("that ends well while it is looked at says so", function()
    local got = {}
    local op = make("head -1", nil, function(v) got[#got + 1] = v end)
    op.item "a"
    op.flush()
    eventually(function() return op.tick() == "enough" end)
    assert.equal("enough", op.item "b")
    op.finish(0, error)
    assert.same({ "a" }, got)
    op.close()
  end)

  it("that closes its stdin is waited for, with all that it prints", function()
    local got, taken = drive("exec <&-; sleep 0.1; seq 3", { "a", "b", "c", "d" })
    assert.same({ "1", "2", "3" }, got)
    assert.is_true(taken <= 4)
  end)

  it("that never reads its input does not hold up what it prints", function()
    assert.same({ "1", "2" }, (drive("seq 2", { ("x"):rep(1 << 20), "b", "c" }, nil, 1)))
  end)

  it("that closes its stdout goes on reading", function()
    local path = support.file()
    assert.same({}, (drive("cat >" .. path, { "a", "b", "c" }, nil, 1)))
    assert.equal("a\nb\nc\n", support.read(path))
  end)

  it("says how it failed, with the end of its stderr", function()
    assert.equal("`cat; echo no >&2; exit 3`: exit status 3: no",
      fails("cat; echo no >&2; exit 3", { "a" }))
    assert.equal("`exit 4`: exit status 4", fails("exit 4", {}))
    assert.equal("`grep x`: exit status 1 and no message (if that is none, as grep's is: … || true)",
      fails("grep x", { "a" }))
    assert.same({}, (drive("grep x || true", { "a" })))
  end)

  it("says which signal killed it, or one of its programs", function()
    assert.equal("`kill -9 $$`: killed by SIGKILL", fails("kill -9 $$", {}))
    local why = fails("sh -c 'kill -9 $$'; exit $?", {})
    assert.equal("`sh -c 'kill -9 $$'; exit $?`: exit status 137 (128 + SIGKILL)", why:sub(1, 62))
  end)

  it("that is not there is status 127", function()
    local why = fails("no-such-command -x", { "a" })
    assert.truthy(why:find("^`no%-such%-command %-x`: exit status 127: .*not found$"), why)
  end)

  it("that fails before the end of its input is told at once", function()
    local op = make("echo broken >&2; exit 2", nil, error)
    local why
    eventually(function()
      local fine, e = pcall(op.tick)
      why = not fine and e
      return why
    end)
    assert.equal("`echo broken >&2; exit 2`: exit status 2: broken", why)
    assert.equal("enough", op.item "a")
    op.close()
  end)

  it("has at most ten lines of stderr in its message, and no colours", function()
    local why = fails("seq 100 >&2; printf '\\033[31mred\\033[0m\\n  10%%\\r 20%%\\n' >&2; exit 5", {})
    assert.equal(": exit status 5:\n    " .. table.concat({ 93, 94, 95, 96, 97, 98, 99, 100,
      "red", " 20%" }, "\n    "), why:match "`(: exit.*)$")
  end)

  it("has a short name in messages", function()
    local long = "exit 1; " .. ("ä"):rep(60)
    assert.equal("`exit 1; " .. ("ä"):rep(31) .. "…`", fails(long, {}):match "^`.-`")
    assert.equal("`exit 1`", fails("\n  exit\t 1\n", {}):match "^`.-`")
  end)

  it("writes to our stderr, however much", function()
    local path = support.script [[
      local command = require "mp.flow.command"
      local op = command.make({ text = "i=0; while read -r x; do echo \"said $x\" >&2; done; printf end >&2" },
        { time = mp.time }, print)
      for i = 1, 20000 do
        op.item(i)
        if i % 256 == 0 then op.flush() end
      end
      op.flush()
      op.finish(0, print)
      op.close()]]
    local r = support.mprun { path }
    assert.same({ 0, "" }, { r.status, r.out })
    local n = 0
    for line in r.err:gmatch "[^\n]*\n" do
      n = n + 1
      assert.equal(n <= 20000 and ("said %d\n"):format(n) or "end\n", line)
    end
    assert.equal(20001, n)
  end)

  it("is killed by close, with all that it has started", function()
    local got = {}
    local op = make("sleep 1000 | sleep 1000 & echo $$; sleep 1000", nil, function(v) got[1] = v end)
    eventually(function() op.tick() return got[1] end)
    op.close()
    group_is_gone(got[1])
    op.close()
  end)

  it("counts its last results for commits", function()
    local got, marks = 0, {}
    local op = make("cat >/dev/null; seq 1000", nil, function() got = got + 1 end)
    op.finish(0, function(n)
      assert.equal(got, n)
      marks[#marks + 1] = n
    end)
    op.close()
    assert.equal(1000, marks[#marks])
    assert.is_true(#marks >= 3)
  end)

  it("is told to be one that cannot be resumed", function()
    local op = make "cat"
    assert.is_true(op.fragile)
    op.close()
    assert.is_nil(make("cat", "item").fragile)
  end)
end)

describe("a command an item", function()
  after_each(support.clean)

  it("gets the item on stdin, byte for byte", function()
    assert.same({ "3", "0", "1" }, by_item("wc -c | tr -d ' '", { "a\nb", "", "\0" }))
    assert.same({ '{"a":1}' }, by_item("cat", { { a = 1 } }))
    assert.same({ "42" }, by_item("cat", { 42 }))
    raises("got function", by_item, "cat", { print })
  end)

  it("gives its whole output as one result, but for one newline", function()
    local got = by_item("cat", { "a\nb\n", "c", "d\n\n", "\n", "", "e\0f" })
    assert.same({ "a\nb", "c", "d\n", "", "e\0f" }, got)
  end)

  it("takes and gives 10 MB", function()
    local item = ("x"):rep(10 << 20)
    local got = by_item("cat", { item })
    assert.is_true(got[1] == item)
  end)

  it("need not read its stdin", function()
    assert.same({ "1" }, by_item("echo 1", { ("x"):rep(1 << 20) }))
    assert.same({ "x" }, by_item("head -c 1", { ("x"):rep(1 << 20) }))
  end)

  local nasty = {
    "", " ", "a b", "  two  ", "'", '"', "''", '"\'"', "\\", "\\\\'", "$(touch PATH)", "`touch PATH`",
    "; touch PATH", "' ; touch PATH; '", '" ; touch PATH; "', "$HOME", "${HOME}", "*", "~", "-n", "a\nb",
    "\n", "tab\t", "!!", "#", "%s", "{}", "{.}", "ü", "\xff\xfe", "& |", "<>", "(", ")", "$", "\r",
  }

  it("has the item for {}, and nothing of it is executed or split", function()
    local path = support.file "touched"
    for _, place in ipairs { "{}", '"{}"', "'{}'", 'a"{}"b', "a'b{}c'd", '"$(printf \'[%s]\' "{}")"' } do
      local items, want = {}, {}
      for i, item in ipairs(nasty) do items[i] = item:gsub("PATH", path) end
      for i, item in ipairs(items) do
        -- $(…) takes newlines from the end, so there is a bracket.
        local inner = ({ ['a"{}"b'] = "a%sb", ["a'b{}c'd"] = "ab%scd" })[place]
                      or place:find "printf" and "[%s]" or "%s"
        want[i] = "<" .. inner:gsub("%%s", function() return item end) .. ">"
      end
      assert.same(want, by_item("printf '<%s>' " .. place, items), place)
    end
    assert.is_nil(io.open(path))
  end)

  it("has every byte for {} but NUL", function()
    local bytes = {}
    for i = 1, 255 do bytes[i] = string.char(i) end
    local all = table.concat(bytes)
    assert.same({ all .. "." }, by_item("printf '%s.' {}", { all }))
    assert.equal("`echo {}`: the item has a NUL byte, which no command line may have; without {} "
      .. "the item is given on stdin", fails("echo {}", { "a\0b" }, "item"))
  end)

  it("has the parts of a file's name as GNU parallel has them", function()
    local cases = {
      { "a/b/c.tar.gz", "a/b/c.tar", "c.tar.gz", "a/b", "c.tar" },
      { "c.txt", "c", "c.txt", ".", "c" },
      { "/c", "/c", "c", "/", "c" },
      { "a.d/b", "a.d/b", "b", "a.d", "b" },
      { "a b/'c'.x", "a b/'c'", "'c'.x", "a b", "'c'" },
      { "a/b/", "a/b/", "", "a", "" },
      { "//a//b", "//a//b", "b", "//a", "b" },
      { "/", "/", "", "/", "" },
    }
    for _, case in ipairs(cases) do
      assert.same({ table.concat(case, "|") },
        by_item("printf '%s|%s|%s|%s|%s' {} {.} {/} {//} {/.}", { case[1] }))
    end
  end)

  it("has fields of a table, and what a list holds", function()
    assert.same({ "x y.7" }, by_item("echo {name}.{n}", { { name = "x y", n = 7 } }))
    assert.same({ "b a b" }, by_item("echo {2} {1} '{2}'", { { "a", "b" } }))
    assert.same({ "/d/f f.png" }, by_item("echo {src.} {src/.}.png", { { src = "/d/f.jpg" } }))
    assert.same({ '{"a":"it\'s"}' }, by_item("printf %s {}", { { a = "it's" } }))
    assert.equal("`echo {nam}`: the item has no field 'nam' for {nam} (braces of the command's own: "
      .. "with spaces, { nam })", fails("echo {nam}", { { name = 1 } }, "item"))
    assert.equal("`echo {a}`: the item's field 'a' is a table; {a} takes a string or a number",
      fails("echo {a}", { { a = {} } }, "item"))
  end)

  it("keeps braces that are its own", function()
    assert.same({ "{x} a" }, by_item([[echo \{x} $(awk '{print}')]], { "a" }))
    assert.same({ "{}b" }, by_item([[printf '%s' \{} {}]], { "b" }))
    assert.same({ "xab" }, by_item("x=x; echo ${x}{}", { "ab" }))
    assert.same({ "ab" }, by_item("cat # don't\nprintf b # {}", { "a" }))
    assert.same({ "n" }, by_item("awk '{ print $1 }'", { "n m" }))
  end)

  it("reads nothing of ours where its item stands in its text", function()
    assert.same({ "0a" }, by_item("echo $(wc -c){}", { "a" }))
  end)

  it("that is too long for a command line is an error of its item", function()
    assert.equal("`echo {}`: the item is too long for a command line; without {} it is given on stdin",
      fails("echo {}", { ("x"):rep(1 << 20) }, "item"))
  end)

  it("fails with its status and its stderr", function()
    assert.equal("`cat {}`: exit status 1: cat: /no/such: No such file or directory",
      fails("cat {}", { "/no/such" }, "item"))
    assert.equal("`kill -TERM $$ {}`: killed by SIGTERM", fails("kill -TERM $$ {}", { 0 }, "item"):gsub("%$ 0", "$ {}"))
  end)

  it("can fail for one item and not for the next", function()
    local got = {}
    local op = make("test {} != bad && echo {}", "item", function(v) got[#got + 1] = v end)
    op.item "a"
    assert.is_false((pcall(op.item, "bad")))
    op.item "b"
    assert.same({ "a", "b" }, got)
  end)

  it("passes on the stderr of those that ended well", function()
    local path = support.script [[
      local command = require "mp.flow.command"
      local op = command.make({ text = "echo out; seq {} >&2; printf warned >&2; test {} != 2", per = "item" },
        { time = mp.time }, print)
      op.item(1)
      print(pcall(op.item, 2))
      op.item(30000)]]
    local r = support.mprun { path }
    assert.equal(0, r.status, r.err)
    assert.equal("out\nfalse\t`echo out; seq {} >&2; printf warned >&2…`: exit status 1:\n    1\n    2\n"
      .. "    warned\nout\n", r.out)
    local want = { "1", "warned" }
    for i = 1, 30000 do want[i + 2] = tostring(i) end
    want[#want + 1] = "warned\n"
    assert.is_true(r.err == table.concat(want, "\n"))
  end)

  it("waits for what has its stdout or stderr, and ends what it left running besides", function()
    local path = support.file()
    local got = by_item("echo $$; sleep 1000 >/dev/null 2>&1 & (sleep 0.1; echo late) & "
      .. "(sleep 0.2; echo later) >" .. path .. " & exit 0", { "a" })
    assert.equal("late", got[1]:match "\n(.*)")
    assert.equal("later\n", support.read(path))
    group_is_gone(got[1])
  end)

  it("a thousand leave no process and no descriptor", function()
    local items, want = {}, {}
    for i = 1, 1000 do items[i], want[i] = i, tostring(i) end
    by_item("echo {}", { 0 })          -- the runtime is open
    local fds, children = open_here(), children_here()
    assert.same(want, by_item("echo {}; sleep 1000 >/dev/null 2>&1 &", items))
    assert.equal(fds, open_here())
    assert.equal(children, children_here())
  end)
end)

describe("commands in a flow", function()
  after_each(support.clean)

  local function flow(text)
    return support.mprun { "--no-bar", support.script(text) }
  end

  it("take and give each line once", function()
    local r = flow [[
flow "range(1, 100000)*2 -> `cat`*2 -> sum -> stdout"
sum = fold{ init = 0, add = function(s, line) return s + math.tointeger(line) end }]]
    assert.same({ 0, "5000050000\n" }, { r.status, r.out }, r.err)
  end)

  it("fail for an item, which goes where errors go", function()
    local r = flow [[
flow "range(1, 5) -> `test {} != 3 && echo {}`{per=item} !> told -> stdout; `test {} != 3 && echo {}` -> null"
function told(e) return e.item .. " " .. e.error end]]
    assert.equal(0, r.status, r.err)
    assert.truthy(r.out:find("^3 `test {} != 3 && echo {}`: exit status 1 [^\n]*\n$"), r.out)
  end)

  it("that take too long on an item are killed, with all that they have started", function()
    local groups = support.file "groups"
    local r = flow(([[
flow "range(1, 2) -> `echo $$ >>%s; sleep 1000 | sleep 1000; echo {}`{per=item, timeout=100ms, restarts=1} -> stdout"
]]):format(groups))
    assert.equal(1, r.status)
    assert.truthy(r.err:find("took longer than timeout=0.1s", 1, true), r.err)
    for group in support.read(groups):gmatch "%d+" do group_is_gone(group) end
  end)

  it("with one an item keep to an order", function()
    local r = flow [[
flow "range(1, 100) -> `echo {}`*4{per=item} => next_one -> count -> stdout"
local last = 0
function next_one(line)
  assert(tonumber(line) == last + 1, line)
  last = last + 1
  return line
end]]
    assert.same({ 0, "100\n" }, { r.status, r.out }, r.err)
  end)

  it("of lines end their stage when they take no more", function()
    local r = flow [[
flow "endless -> `head -2` -> stdout"
function endless() for i = 1, math.huge do emit(i) mp.sleep(i < 3 and 0 or 0.01) end end]]
    assert.same({ 0, "1\n2\n" }, { r.status, r.out }, r.err)
  end)

  it("of lines that take no more hold up nobody, whose keys are others", function()
    local r = flow [[
flow "range(1, 20000) -> `head -1`@mod*4{cap=64} -> count -> stdout"
function mod(x) return x % 64 end]]
    assert.same({ 0, "4\n" }, { r.status, r.out }, r.err)
  end)

  it("of lines end the run when their worker is killed; others are started again", function()
    local once = support.file "once"
    local r = flow [[flow "range(1, 9) -> `read x; kill -9 $PPID` -> stdout"]]
    assert.equal(1, r.status)
    assert.truthy(r.err:find("killed by SIGKILL: what its command had read", 1, true), r.err)
    r = flow(([[flow "range(1, 9) -> `mkdir %s 2>/dev/null && kill -9 $PPID; echo {}`{per=item} -> count -> stdout"]])
      :format(once))
    assert.same({ 0, "9\n" }, { r.status, r.out }, r.err)
  end)
end)
