-- flow_sink: what the built-in sinks write, driven as a worker drives them, and what
-- is in their files when they are killed.  No engine.
-- SPDX-License-Identifier: MIT

local core = require "mp.core"
local mp = require "mp"
local sink = require "mp.flow.sink"
local source = require "mp.flow.source"
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
    for _, name in ipairs { "jsonl", "csv", "tee" } do
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
    for _, name in ipairs { "append", "jsonl", "csv", "tee" } do
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
    params_of("csv", old)
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

describe("csv", function()
  before_each(new_path)
  after_each(support.clean)

  local function gives(text, items, options)
    write("csv", items, path, options)
    assert.equal(text, read(path))
  end

  it("takes the first item's names for columns, in order", function()
    gives("a,b,c\n1,2,x\n3,,\n", { { c = "x", a = 1, b = 2 }, { a = 3 } })
    gives("2,a\n1,2\n", { { a = 2, [2] = 1 } })
  end)

  it("quotes what needs it", function()
    gives('a,"b,c"\n"x,y","say ""hi"""\n"two\nlines","\r"\n', {
      { a = "x,y", ["b,c"] = 'say "hi"' }, { a = "two\nlines", ["b,c"] = "\r" } })
    gives("a;b\n1,5;\"x;y\"\n", { { a = "1,5", b = "x;y" } }, { sep = ";" })
    gives("a]b\n\"x]\"]1\n", { { a = "x]", b = 1 } }, { sep = "]" })
  end)

  it("writes numbers as Lua does, tables as JSON, and what is missing as nothing", function()
    gives('a,b\n2.5,true\n,"{""x"":[1,2]}"\n', { { a = 2.5, b = true }, { b = { x = { 1, 2 } } } })
  end)

  it("writes lists without a header, and other items as one field", function()
    gives("a,1\nb,2,3\n,,x\n", { { "a", 1 }, { "b", 2, 3 }, { [3] = "x" } })
    gives('w\n7\n""\n', { "w", 7, "" })
  end)

  it("writes the columns that are asked for, in that order", function()
    gives("b,a\n2,1\n,3\n", { { a = 1, b = 2, c = 9 }, { a = 3 } }, { columns = { "b", "a" } })
    gives("x,y\n1,2\n3,\n", { { 1, 2 }, { 3 } }, { columns = { "x", "y" } })
    gives("2,1\n", { { a = 1, b = 2 } }, { columns = { "b", "a" }, header = false })
    gives("1,2\n", { { a = 1, b = 2 } }, { header = false })
    gives("x,y\n", {}, { columns = { "x", "y" } })
    gives("", {}, { columns = { "x", "y" }, header = false })
  end)

  it("refuses items that do not fit, and goes on without them", function()
    local op = make("csv", ready("csv", path))
    raises("csv: cannot write a function as JSON", op.item, { z = print })
    op.item { a = 1, b = 2 }
    raises("csv: 'c' has no column: they are the first item's names", op.item, { a = 1, c = 2 })
    raises("csv: a list after items with names", op.item, { 1, 2 })
    op.item { a = 3 }
    op.flush()
    op.close()
    assert.equal("a,b\n1,2\n3,\n", read(path))
    op = make("csv", ready("csv", path))
    op.item { 1 }
    raises("csv: an item with names after lists", op.item, { a = 1 })
    op = make("csv", ready("csv", path, { columns = { "a" } }))
    raises("csv: 2 fields for 1 columns", op.item, { 1, 2 })
    raises("csv: a field with a boolean for its name", make("csv", ready("csv", path)).item, { [true] = 1 })
  end)

  it("refuses other arguments", function()
    local use = [['csv' expects a path: csv("out.csv") or csv("out.csv", {columns={"a","b"}})]]
    refused("csv", use)
    refused("csv", use, 1)
    refused("csv", use, "a", "b")
    refused("csv", "'csv' has no option 'column' (did you mean 'columns'?)", "a", { column = {} })
    refused("csv", [['csv': sep is one character, such as ";" or "\t"]], "a", { sep = "" })
    refused("csv", "'csv': header is true or false", "a", { header = { "a" } })
    for _, columns in ipairs { "a", {}, { 1 }, { "a", "a" } } do
      refused("csv", "'csv': columns is a list of different names", "a", { columns = columns })
    end
  end)

  it("writes what the source of that name reads", function()
    local pieces = { "a", '"', ",", "\n", "\r\n", " ", "é", ";" }
    local rows = {}
    for i = 1, 2000 do
      local function text()
        local s = ""
        for _ = 1, math.random(0, 4) do s = s .. pieces[math.random(#pieces)] end
        return s
      end
      rows[i] = { x = text(), y = text(), z = text() }
    end
    for _, sep in ipairs { ",", ";", "\t" } do
      write("csv", rows, path, { sep = sep })
      local got = {}
      source.csv.produce(source.csv.arguments { n = 2, path, { sep = sep } }, {},
        function(v) got[#got + 1] = v end)
      assert.same(rows, got)
    end
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

  it("has one header, and the columns of the very first item", function()
    for _ = 1, 20 do
      write_and_die("csv", ready("csv", path), 30, function(i)
        return i == 1 and { b = i, a = "x" } or { b = i }
      end)
      assert.equal("a,b\nx,1\n" .. expected(29, function(i) return "," .. i + 1 end), read(path))
    end
    write_and_die("csv", ready("csv", path), 30, function(i) return { i, "x" } end)
    assert.equal(expected(30, function(i) return i .. ",x" end), read(path))
    write_and_die("csv", ready("csv", path, { columns = { "c" } }), 30, function(i) return { c = i } end)
    assert.equal("c\n" .. expected(30, tostring), read(path))
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
      assert.is_nil(make("csv", ready("csv", each)).state)
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
