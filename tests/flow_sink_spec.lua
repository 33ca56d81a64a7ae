-- flow_sink: what the built-in sinks write, driven as a worker drives them, and what
-- is in their files when they are killed.  No engine.
-- SPDX-License-Identifier: MIT

local core = require "mp.core"
local mp = require "mp"
local sink = require "mp.flow.sink"
local support = require "tests.support"
local raises, script, read = support.raises, support.script, support.read

local function params_of(name, ...)
  local params, err = sink[name].arguments(table.pack(...))
  return assert(params, err)
end

local function ready(name, ...)
  local params = params_of(name, ...)
  assert(sink[name].ready(params))
  return params
end

local function make(name, params, out)
  return sink[name].make(params, {}, out)
end

-- A whole run: the items, one commit, the end.
local function write(name, items, ...)
  local op = make(name, ready(name, ...), function() end)
  for i = 1, items.n or #items do op.item(items[i]) end
  op.flush()
  op.close()
end

local function refused(name, message, ...)
  assert.same({ nil, message }, { sink[name].arguments(table.pack(...)) })
end

local function not_ready(name, message, ...)
  assert.same({ nil, message }, { sink[name].ready(params_of(name, ...)) })
end

local path

local function new_path()
  path = support.file "out"
end

describe("the text of an item", function()
  before_each(new_path)
  after_each(support.clean)

  it("is a string as it is, a number as Lua writes it, a table as JSON", function()
    write("append", { "a b", "", 7, 2.5, 3.0, 1e100, true, { b = 1, a = { "x/y", 2 } }, {} }, path)
    assert.equal('a b\n\n7\n2.5\n3.0\n1e+100\ntrue\n{"a":["x/y",2],"b":1}\n{}\n', read(path))
  end)

  it("is the same for stdout and tee, and JSON throughout for jsonl", function()
    local items = { "a", 1, { c = 1, b = 2 } }
    write("tee", items, path)
    assert.equal('a\n1\n{"b":2,"c":1}\n', read(path))
    write("jsonl", items, path)
    assert.equal('"a"\n1\n{"b":2,"c":1}\n', read(path))
    local got = support.mprun { "-e", [[
      local op = require "mp.flow.sink".stdout.make()
      for _, v in ipairs { "a", 1, { c = 1, b = 2 } } do op.item(v) end
      op.flush()]] }
    assert.same({ 'a\n1\n{"b":2,"c":1}\n', "" }, { got.out, got.err })
  end)

  it("is refused where there is none, and nothing of that item is written", function()
    local op = make("append", ready("append", path))
    op.item "a"
    local why = raises("cannot write a function", op.item, { x = { print } })
    assert.equal("append: cannot write a function as JSON (at .x[1])", why)
    raises("append: cannot write a userdata as JSON", op.item, io.stdout)
    op.item "b"
    op.flush()
    op.close()
    assert.equal("a\nb\n", read(path))
  end)
end)

describe("append", function()
  before_each(new_path)
  after_each(support.clean)

  it("keeps what the file held; jsonl, csv and tee begin it anew", function()
    local old = script "old\n"
    write("append", { "new" }, old)
    assert.equal("old\nnew\n", read(old))
    for _, name in ipairs { "jsonl", "tee" } do
      write(name, { 1 }, old)
      assert.equal("1\n", read(old))
    end
  end)

  it("writes at a commit, whole lines, and nothing before", function()
    local op = make("append", ready("append", path))
    op.item "a"
    assert.is_nil(core.stat(path))
    op.flush()
    assert.equal("a\n", read(path))
    op.item(("x"):rep(1000000))
    assert.equal("a\n", read(path))
    op.flush()
    assert.equal(1000003, #read(path))
    op.close()
  end)

  it("makes a file also where no item comes, and empties an old one that is begun anew", function()
    for _, name in ipairs { "append", "jsonl", "tee" } do
      new_path()
      write(name, {}, path)
      assert.equal("", read(path))
    end
    local old = script "old\n"
    write("append", {}, old)
    assert.equal("old\n", read(old))
    write("jsonl", {}, old)
    assert.equal("", read(old))
  end)

  it("touches no file before its first item", function()
    local old = script "old\n"
    make("jsonl", ready("jsonl", old))
    assert.equal("old\n", read(old))
    ready("append", path)
    assert.is_nil(core.stat(path))
  end)

  it("refuses other arguments, and what cannot be written", function()
    for _, name in ipairs { "append", "jsonl", "tee" } do
      local use = ([['%s' expects a path: %s("out.txt")]]):format(name, name)
      refused(name, use)
      refused(name, use, 1)
      refused(name, use, "")
      refused(name, use, "a", "b")
      not_ready(name, name .. ": cannot write /nowhere/x: No such file or directory", "/nowhere/x")
      not_ready(name, name .. ": cannot write /tmp: Is a directory", "/tmp")
      not_ready(name, name .. ": cannot write /dev/null/x: Not a directory", "/dev/null/x")
    end
  end)

  it("says what went wrong when it writes", function()
    local op = make("append", ready("append", "/dev/full"))
    op.item "a"
    assert.equal("append: cannot write /dev/full: No space left on device",
      raises("No space", op.flush))
    op = make("jsonl", { path = "/nowhere/x", anew = true })
    op.item "a"
    raises("jsonl: cannot write /nowhere/x: No such file or directory", op.flush)
  end)

  it("leaves no half line when the disk is full, and writes it when there is room", function()
    local text = ([[
      local sink = require "mp.flow.sink"
      local params = sink.append.arguments { n = 1, %q }
      sink.append.ready(params)
      local op = sink.append.make(params)
      for i = 1, 40 do op.item(("x"):rep(99)) end
      op.flush()
      for i = 1, 10 do op.item(("y"):rep(99)) end
      print(pcall(op.flush))
      print(#io.open(%q):read "a")
      os.execute(": > " .. %q)
      op.flush()
      op.close()]]):format(path, path, path)
    local got = support.run { "sh", "-c", "trap '' XFSZ; ulimit -f 9; exec " .. support.program .. " "
      .. script(text) }
    assert.same({ ("false\tappend: cannot write %s: File too large\n4000\n"):format(path), "" },
      { got.out, got.err })
    assert.equal((("y"):rep(99) .. "\n"):rep(10), read(path))
  end)
end)

describe("tee", function()
  before_each(new_path)
  after_each(support.clean)

  it("passes items on before their lines are written", function()
    local op, got
    op = make("tee", ready("tee", path), function(v)
      got[#got + 1] = v
      op.flush()                       -- as a commit in the middle of an item
    end)
    got = {}
    op.item "a"
    op.item { 1 }
    assert.same({ "a", { 1 } }, got)
    assert.equal("a\n", read(path))
    op.flush()
    assert.equal("a\n[1]\n", read(path))
    op.close()
  end)

  it("passes nothing on that it cannot write", function()
    local op = make("tee", ready("tee", path), function() error "passed on" end)
    assert.equal("tee: cannot write a function as JSON", raises("function", op.item, print))
  end)
end)

describe("a file whose writer dies", function()
  before_each(new_path)
  after_each(support.clean)

  local sent = mp.unpack

  -- Writes items 1..n, dying at random: before, between and after flush and commit.
  -- `item(i)` makes them.  A commit keeps a state and how far it is.
  local function write_and_die(name, params, n, item)
    local base, log, at, deaths = nil, {}, 0, 0
    while true do
      local op = make(name, params, function() end)
      if base then op.state.load(base) end
      for _, change in ipairs(log) do op.state.apply(sent(change)) end
      local i, last = at, math.random(40)
      while i < n and last > 0 do
        for _ = 1, math.min(math.random(3), n - i) do
          i = i + 1
          op.item(item(i))
        end
        if math.random(12) == 1 then break end          -- dies before
        op.flush()
        if math.random(12) == 1 then break end          -- between
        if math.random(5) == 1 then
          base, log = sent(mp.pack((op.state.all()))), {}
        else
          local value, weight = op.state.changes()
          assert.is_true(weight >= 1)
          log[#log + 1] = mp.pack(value)
        end
        assert.is_nil((op.state.changes()))
        at, last = i, last - 1
      end
      if i == n and at == n then
        op.close()
        return deaths
      end
      deaths = deaths + 1
    end
  end

  local function expected(n, item_text)
    local lines = {}
    for i = 1, n do lines[i] = item_text(i) .. "\n" end
    return table.concat(lines)
  end

  local function number(i) return ("item %d %s"):format(i, ("x"):rep(i % 7)) end

  it("holds each item once, behind what append found there", function()
    local old = script "old, without an end"
    local deaths = write_and_die("append", ready("append", old), 300, number)
    assert.equal("old, without an end" .. expected(300, number), read(old))
    assert.is_true(deaths > 3)
  end)

  it("holds each item once in one that is begun anew", function()
    for _, name in ipairs { "jsonl", "tee" } do
      local old = script "old\n"
      write_and_die(name, ready(name, old), 300, number)
      assert.equal(expected(300, name == "tee" and number or function(i) return '"' .. number(i) .. '"' end),
        read(old))
    end
  end)

  it("holds each item once when the writer is a process that is killed", function()
    local params, commits = ready("append", path), mp.Queue()
    local n, at, state, deaths = 400, 0, nil, 0
    repeat
      local p = mp.Process { target = function()
        local op = make("append", params)
        if state then op.state.load(state) end
        for i = at + 1, n do
          op.item(number(i))
          if i % 3 == 0 or i == n then
            op.flush()
            commits:put { at = i, state = op.state.all() }
          end
        end
        op.close()
      end }
      p:start()
      local first = deaths < 8 and commits:get(30)
      if first then
        at, state = first.at, first.state
        if math.random(2) == 1 then mp.sleep(0.001) end
        p:kill()
        deaths = deaths + 1
      end
      p:join()
      while commits:qsize() > 0 do
        local commit = commits:get()
        at, state = commit.at, commit.state
      end
    until at == n
    assert.equal(expected(n, number), read(path))
    assert.is_true(deaths > 0)
  end)

  it("is not cut when it is another file by now, nor made longer", function()
    local params = ready("append", path)
    local op = make("append", params)
    op.item "first"
    op.flush()
    local state = op.state.all()
    os.rename(path, path .. ".1")
    local f <close> = io.open(path, "w")
    f:write "somebody else's file\n"
    f:flush()
    op = make("append", params)
    op.state.load(state)
    op.item "second"
    op.flush()
    op.close()
    assert.equal("somebody else's file\nsecond\n", read(path))
    os.rename(path .. ".1", path)
    assert(core.truncate(path, 2))
    op = make("append", params)
    op.state.load(state)
    op.item "third"
    op.flush()
    op.close()
    assert.equal("fithird\n", read(path))
  end)

  it("is none where it cannot be cut: a pipe, a device, the standard streams", function()
    assert(os.execute("mkfifo " .. path))
    for _, each in ipairs { path, "/dev/null", "/dev/stderr", "/dev/fd/2" } do
      assert.is_nil(make("append", ready("append", each)).state)
    end
    local got = support.mprun { "-e", [[
      io.stderr:write "before\n"
      local sink = require "mp.flow.sink"
      local params = sink.jsonl.arguments { n = 1, "/dev/stderr" }
      assert(sink.jsonl.ready(params))
      local op = sink.jsonl.make(params)
      op.item "x"
      op.flush()
      op.close()]] }
    assert.equal('before\n"x"\n', got.err)
  end)
end)
