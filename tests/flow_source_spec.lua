-- flow_source: what the built-in sources emit, driven as a worker drives them, and
-- where they go on.  No engine.
-- SPDX-License-Identifier: MIT

local core = require "mp.core"
local source = require "mp.flow.source"
local support = require "tests.support"
local raises, script = support.raises, support.script

-- A context; `steps` happen one a sleep, then the flow stops.
local function context(steps)
  local ctx = { stopping = false, logged = {}, slept = 0, idle = function() end }
  local todo = table.move(steps or {}, 1, #(steps or {}), 1, {})
  function ctx.sleep()
    ctx.slept = ctx.slept + 1
    local step = table.remove(todo, 1)
    if step then step(ctx) else ctx.stopping = true end
    return not ctx.stopping
  end
  function ctx.log(text) ctx.logged[#ctx.logged + 1] = text end
  return ctx
end

local function params_of(name, ...)
  local params, err = source[name].arguments(table.pack(...))
  return assert(params, err)
end

-- Everything that a source gives; the second result: the marks.
local function produce(name, params, resume, ctx)
  local items, marks, def = {}, {}, source[name]
  def.produce(params, ctx or context(), function(v, label, mark)
    assert.is_nil(label)
    items[#items + 1], marks[#marks + 1] = v, mark
  end, resume)
  return items, marks
end

-- A list; the second result: it cannot be read again.
local function tasks_of(name, params, workers, size)
  return source[name].tasks(params, workers or 1, size or 65536)
end

local function work(name, params, tasks, ctx, how)
  local items = {}
  local task = source[name][how or "make"](params, ctx or context(), function(v)
    items[#items + 1] = v
  end)
  for _, t in ipairs(tasks) do task(t) end
  return items
end

local function all(name, ...)
  local params = params_of(name, ...)
  local def = source[name]
  if def.ready then assert(def.ready(params)) end
  if def.produce then return (produce(name, params)) end
  return work(name, params, (tasks_of(name, params)))
end

local function refused(name, message, ...)
  assert.same({ nil, message }, { source[name].arguments(table.pack(...)) })
end

local function not_ready(name, message, ...)
  assert.same({ nil, message }, { source[name].ready(params_of(name, ...)) })
end

local function append(path, text)
  local f <close> = assert(io.open(path, "ab"))
  f:write(text)
end

-- A named pipe that the command writes to.
local function fifo(command)
  local path = support.file "fifo"
  assert(os.execute(("mkfifo %s"):format(path)))
  assert(os.execute(("{ %s; } >%s &"):format(command, path)))
  return path
end

describe("lines", function()
  after_each(support.clean)

  it("gives the lines of files, in order, the last one without its newline, too", function()
    local a, b = script "1\n\n2\r\n3", script "4\n"
    assert.same({ "1", "", "2\r", "3", "4" }, all("lines", a, { b }))
    assert.same({}, all("lines", script ""))
  end)

  it("is the same however it is cut, and begun in the middle", function()
    local text = {}
    for i = 1, 3001 do text[i] = ("x"):rep(i % 40) end
    local path = script(table.concat(text, "\n"))
    for _, workers in ipairs { 1, 3, 100 } do
      local params = params_of("lines", path)
      local tasks = tasks_of("lines", params, workers, 4096)
      assert.is_true(#tasks > 10)
      assert.same(text, work("lines", params, tasks))
      local n = 0
      for _, block in ipairs(work("lines", params, tasks, nil, "blocks")) do
        n = n + select(2, block:gsub("\n", "")) + (block:sub(-1) ~= "\n" and 1 or 0)
      end
      assert.equal(3001, n)
    end
  end)

  -- What is done with a line may take long: ten addresses are work for ten.
  it("is cut for all workers also where it is short", function()
    local params = params_of("lines", script "1\n2\n3\n4\n5\n6\n7\n8\n9\n10")
    local tasks, most = tasks_of("lines", params, 4), 0
    for _, t in ipairs(tasks) do most = math.max(most, #work("lines", params, { t })) end
    assert.equal(1, most)
    assert.equal(10, #work("lines", params, tasks))
  end)

  it("reads what has no length", function()
    local path = fifo "printf 'a\\nbc'; sleep 0.1; printf 'd\\n\\ne'"
    local params = params_of("lines", path)
    assert.is_true(source.lines.ready(params))
    local tasks, endless = tasks_of("lines", params)
    assert.is_true(endless)
    assert.same({ "a", "bcd", "", "e" }, work("lines", params, tasks))
    assert.is_true(#all("lines", "/proc/self/status") > 10)
  end)

  it("stops in the middle of a pipe that gives nothing", function()
    local path = fifo ":"
    local held <close> = assert(io.open(path, "r+b"))      -- it has a writer, always
    held:write "a\nb"
    held:flush()
    local ctx, waits = context(), 0
    function ctx.idle()
      waits = waits + 1
      ctx.stopping = waits == 3
    end
    local params = params_of("lines", path)
    assert.same({ "a" }, work("lines", params, tasks_of("lines", params), ctx))
  end)

  it("refuses other arguments, and files that cannot be read", function()
    refused("lines", "'lines' expects at least one path")
    refused("lines", "'lines' expects at least one path", {})
    refused("lines", "'lines' expects paths, got number", "a", 7)
    refused("lines", "'lines' expects paths, got boolean", { "a", true })
    refused("lines", "'lines' has no option 'sep'", "a", { sep = "," })
    not_ready("lines", "lines: cannot open /nowhere: No such file or directory", "/dev/null", "/nowhere")
    not_ready("lines", "lines: cannot read /tmp: it is a directory", "/tmp")
  end)

  it("says what has gone wrong since", function()
    local path = script "1\n2\n"
    local params = params_of("lines", path)
    local tasks = tasks_of("lines", params)
    os.remove(path)
    local why = raises("lines: cannot open " .. path .. ": No such file", work, "lines", params, tasks)
    assert.equal(1, why:find "lines")
    raises("lines: cannot open " .. path .. ": No such file", tasks_of, "lines", params)
  end)
end)

describe("range", function()
  it("gives both ends, in tasks that hold each number once", function()
    assert.same({ 1, 2, 3 }, all("range", 1, 3))
    assert.same({ -1 }, all("range", -1, -1))
    assert.same({}, all("range", 1, 0))
    local params, at = params_of("range", 1, 1000000), 0
    local tasks = tasks_of("range", params, 4)
    assert.is_true(#tasks > 100)
    for _, n in ipairs(work("range", params, tasks)) do
      at = at + 1
      assert(n == at)
    end
    assert.equal(1000000, at)
  end)

  it("refuses other arguments", function()
    for _, list in ipairs { { 1 }, { 1, 2, 3 }, { 1, 2.5 }, { "a", 2 } } do
      refused("range", "'range' expects two whole numbers: range(from, to)", table.unpack(list))
    end
  end)
end)

describe("files", function()
  local folder

  before_each(function()
    folder = support.file "folder"
    assert(os.execute(("mkdir -p %s/sub && cd %s && touch b.txt a.txt .h.txt c.png sub/d.txt"):format(folder, folder)))
  end)

  after_each(function()
    os.execute("rm -rf " .. folder)
    support.clean()
  end)

  local function found(...)
    local patterns = { ... }
    for i, p in ipairs(patterns) do patterns[i] = folder .. "/" .. p end
    local list = all("files", table.unpack(patterns))
    for i, path in ipairs(list) do list[i] = path:sub(#folder + 2) end
    return table.concat(list, " ")
  end

  it("gives the files that match, sorted, each once", function()
    assert.equal("a.txt b.txt", found "*.txt")
    assert.equal("a.txt b.txt c.png", found "*")
    assert.equal("c.png a.txt b.txt", found("c*", "*.txt", "*"))
    assert.equal("a.txt b.txt sub/d.txt", found "**/*.txt")
    assert.equal("a.txt", found "a.txt")
  end)

  it("is cut into tasks that hold all of them", function()
    assert(os.execute(("cd %s && seq -f %%04.0f.y 1 500 | xargs touch"):format(folder)))
    local params = params_of("files", folder .. "/*.y")
    local tasks = tasks_of("files", params, 2)
    assert.is_true(#tasks >= 8)
    assert.equal(500, #work("files", params, tasks))
  end)

  it("says at the start that there are none", function()
    not_ready("files", ("files: nothing matches '%s/*.jpg'"):format(folder), folder .. "/*.jpg")
    not_ready("files", "files: nothing matches '/nowhere/*' or '/nowhere'", "/nowhere/*", "/nowhere")
    not_ready("files", ("files: nothing matches '%s/*/'"):format(folder), folder .. "/*/")
    raises("files: nothing matches '/nowhere'", tasks_of, "files", params_of("files", "/nowhere"))
    refused("files", "'files' expects at least one path")
  end)
end)

describe("csv", function()
  after_each(support.clean)

  local function read(text, options)
    return all("csv", script(text), options)
  end

  it("gives a table by name for each row", function()
    assert.same({ { a = "1", b = "2" }, { a = "", b = "x y" } }, read "a,b\n1,2\n,x y\n")
    assert.same({ { a = "1", b = "2" } }, read "a,b\r\n1,2")
    assert.same({ { a = "1" } }, read "\xEF\xBB\xBFa\r\n1\r\n\r\n\n")
    assert.same({}, read "a,b\n")
    assert.same({}, read "")
  end)

  it("knows quotes, and what stands in them", function()
    assert.same({ { a = "x,y", b = 'say "hi"' } }, read 'a,b\n"x,y","say ""hi"""\n')
    assert.same({ { a = "two\nlines\r\n", b = "" } }, read '"a",b\r\n"two\nlines\r\n",""\r\n')
    assert.same({ { a = '5" disk', b = "" } }, read 'a,b\n5" disk,\n')
    assert.same({ { a = '"', b = "1" }, { a = "2", b = "" } }, read 'a,b\n"""",1\n"2",""')
    assert.same({ { a = "1", b = "2" } }, read 'a,b\n"1",2\r\n')
  end)

  it("gives lists without a header, of any length", function()
    assert.same({ { "a", "b" }, { "1" }, { "", "", "" } }, read("a,b\n1\n,,\n", { header = false }))
    assert.same({ { "a", "b,c" } }, read('a,"b,c"', { header = false }))
  end)

  it("takes names and a separator from the arguments", function()
    assert.same({ { x = "1", y = "2" } }, read("1;2\n", { header = { "x", "y" }, sep = ";" }))
    assert.same({ { a = "1,5", b = "2" } }, read("a\tb\n1,5\t2\n", { sep = "\t" }))
    assert.same({ { a = "1", b = '"|"' } }, read('a|b\n1|"""|"""\n', { sep = "|" }))
    assert.same({ { a = "1", b = "2" } }, read('a^b\n"1"^2\n', { sep = "^" }))
  end)

  it("puts fields without a name under their numbers", function()
    assert.same({ { a = "1", [2] = "2", c = "3" } }, read "a,,c\n1,2,3\n")
  end)

  it("takes short rows, and long ones that are only empty", function()
    assert.same({ { a = "1" }, { a = "1", b = "2" } }, read "a,b\n1\n1,2,,\n")
    assert.same({ { a = "1" }, { a = "1", b = "2" } }, read 'a,b\n"1"\n"1",2,,""\n')
  end)

  it("reads several files, each with a header of its own", function()
    assert.same({ { a = "1", b = "2" }, { b = "3", a = "4" } },
      all("csv", { script "a,b\n1,2", script "b,a\n3,4" }))
  end)

  local function fails(message, text, options)
    local path = script(text)
    local why = raises(message, all, "csv", path, options)
    assert.equal(("csv: %s:"):format(path), why:match "^csv: .-:")
    return why
  end

  it("names the line of what is wrong", function()
    fails(":4: 3 fields, and 2 names in the header", 'a,b\n1,"x\ny"\n1,2,3\n')
    fails(":3: a quote that opens in this row is not closed", 'a,b\n1,2\n1,"2\n3,4\n')
    fails(":2: field 1 goes on behind its closing quote", 'a,b\n"1"x,2\n')
    fails(":1: two columns are named 'a'", "a,b,a\n1,2,3")
    fails(":1: two columns are named 'a'", "1,2", { header = { "a", "a" } })
  end)

  it("refuses other arguments, and files that cannot be read", function()
    refused("csv", "'csv' expects at least one path", { sep = ";" })
    refused("csv", "'csv' has no option 'headr' (did you mean 'header'?)", "x", { headr = true })
    for _, sep in ipairs { "", ";;", '"', "\n", 1 } do
      refused("csv", [['csv': sep is one character, such as ";" or "\t"]], "x", { sep = sep })
    end
    for _, header in ipairs { 1, "a", {}, { 1 } } do
      refused("csv", "'csv': header is true, false, or a list of names", "x", { header = header })
    end
    not_ready("csv", "csv: cannot open /nowhere: No such file or directory", "/nowhere")
  end)

  -- Rows of every kind, across the ends of the blocks that are read.
  local function random_file(n)
    local pieces = { "a", "bc", '"', ",", "\n", "\r\n", " ", "", ("long"):rep(50) }
    local rows, text = {}, { "x,y,z\n" }
    for i = 1, n do
      local row, line = {}, {}
      for j, name in ipairs { "x", "y", "z" } do
        local value = ""
        for _ = 1, math.random(0, 3) do value = value .. pieces[math.random(#pieces)] end
        if value:find '[",\r\n]' or math.random(5) == 1 then
          line[j] = '"' .. value:gsub('"', '""') .. '"'
        else
          line[j] = value
        end
        row[name] = value
      end
      rows[i] = row
      text[#text + 1] = table.concat(line, ",") .. (i % 3 == 0 and "\r\n" or "\n")
    end
    text[#text] = text[#text]:gsub("\r?\n$", "")
    return rows, script(table.concat(text))
  end

  it("reads large files block by block, and goes on behind every mark", function()
    local rows, path = random_file(6000)
    local other = script "x,y,z\n1,2,3\n4,5,6\n"
    rows[#rows + 1] = { x = "1", y = "2", z = "3" }
    rows[#rows + 1] = { x = "4", y = "5", z = "6" }
    assert.is_true(core.stat(path).size > 200000)
    local params = params_of("csv", path, other)
    assert.is_true(source.csv.resumes(params))
    local got, marks = produce("csv", params)
    assert.same(rows, got)
    for _, at in ipairs { 1, 2, 100, 3000, 5999, 6000, 6001, 6002 } do
      local rest = produce("csv", params, marks[at])
      assert.same(table.move(rows, at + 1, #rows, 1, {}), rest)
    end
  end)

  it("reads rows that end anywhere in a block", function()
    for k = 65520, 65540 do
      local text = ("x"):rep(k)
      assert.same({ { a = "\n" .. text .. '"y' }, { a = "1" } }, read('a\n"\n' .. text .. '""y"\r\n1\n'))
      assert.same({ { a = text .. "y" }, { a = "1" } }, read("a\n" .. text .. "y\r\n1\n"))
    end
  end)

  it("reads a quoted field of megabytes", function()
    local big = ('line ""quoted""\n'):rep(100000)
    local got = read('a,b\n"' .. big .. '",2\n3,4\n')
    assert.equal(big:gsub('""', '"'), got[1].a)
    assert.same({ a = "3", b = "4" }, got[2])
  end)

  it("reads a pipe, which cannot be read again", function()
    local path = fifo "printf 'a,b\\n1,\"x'; sleep 0.1; printf 'y\"\\n2,z'"
    local params = params_of("csv", path)
    assert.is_false(source.csv.resumes(params))
    local got, marks = produce("csv", params)
    assert.same({ { a = "1", b = "xy" }, { a = "2", b = "z" } }, got)
    assert(os.execute(("printf 'a,b\\n' > %s &"):format(path)))
    raises(("csv: what was read of %s cannot be read again"):format(path), produce, "csv", params, marks[1])
  end)

  it("stops when the flow stops", function()
    local params, ctx, n = params_of("csv", script(("1,2\n"):rep(1000), "x"), { header = false }), context(), 0
    source.csv.produce(params, ctx, function()
      n = n + 1
      ctx.stopping = n == 10
    end)
    assert.equal(10, n)
  end)
end)

describe("jsonl", function()
  after_each(support.clean)

  it("gives the value of each line", function()
    assert.same({ { a = 1 }, { 1, 2.5 }, "x", false, 7 },
      all("jsonl", script '{"a":1}\n\n  [1,2.5] \r\n"x"\nfalse\n  \nnull\n7'))
    assert.same({ 1, 2 }, all("jsonl", script "\xEF\xBB\xBF1\n", { script "2" }))
    assert.same({ { b = 1 } }, all("jsonl", script '{"a":null,"b":1}'))
    assert.equal("integer", math.type(all("jsonl", script "1")[1]))
  end)

  it("is the same however it is cut", function()
    local text, values = {}, {}
    for i = 1, 2000 do
      values[i] = { id = i, text = ("x"):rep(i % 50) }
      text[i] = core.json_write(values[i])
    end
    local params = params_of("jsonl", script(table.concat(text, "\n")))
    local tasks = tasks_of("jsonl", params, 4, 5000)
    assert.is_true(#tasks > 10)
    assert.same(values, work("jsonl", params, tasks))
  end)

  it("names file, line and column of what is no JSON", function()
    local path = script('{"a":1}\n\n  {"a" 1}\n')
    local why = raises("jsonl: ", all, "jsonl", path)
    assert.equal(("jsonl: %s:3: no JSON in column 8: ':' expected"):format(path), why)
    path = script(("7\n"):rep(20000) .. "8 9\n")
    local params = params_of("jsonl", path)
    why = raises("jsonl: ", work, "jsonl", params, tasks_of("jsonl", params, 1, 4096))
    assert.equal(("jsonl: %s:20001: no JSON in column 3: something follows the value"):format(path), why)
  end)

  it("names the byte where there are no lines to count", function()
    local path = fifo "printf '1\\n2\\n[\\n'"
    assert.equal(("jsonl: %s, byte 4: no JSON in column 2: a value expected"):format(path),
      raises("byte", all, "jsonl", path))
  end)

  it("refuses files that cannot be read", function()
    not_ready("jsonl", "jsonl: cannot open /nowhere: No such file or directory", "/nowhere")
  end)
end)

describe("tail", function()
  local path

  before_each(function() path = script("old\n", "log") end)
  after_each(function()
    os.remove(path .. ".1")
    support.clean()
  end)

  local function adds(text) return function() append(path, text) end end
  local function rotates() os.rename(path, path .. ".1") end
  local function quiet() end

  -- What it emits while the steps happen, one a pause, after the flow got ready.
  local function follow(steps, options, ready)
    local params = params_of("tail", path, options)
    assert(source.tail.ready(params))
    if ready then ready() end
    local ctx = context(steps)
    local items, marks = produce("tail", params, nil, ctx)
    return items, marks, ctx
  end

  it("gives what is appended once the flow runs, in whole lines", function()
    assert.same({ "a", "bcd", "", "e" },
      (follow { adds "a\nb", adds "c", adds "d\n\ne\nrest" }))
  end)

  it("misses nothing that is written before its worker runs", function()
    assert.same({ "a", "b" }, (follow({ adds "b\n" }, nil, adds "a\n")))
  end)

  it("gives a line that has begun whole", function()
    append(path, "be")
    assert.same({ "begun" }, (follow { adds "gun\n" }))
  end)

  it("begins at the start when asked for", function()
    assert.same({ "old", "a" }, (follow({ adds "a\n" }, { from = "start" })))
  end)

  it("waits for a file that is not there", function()
    os.remove(path)
    local items, _, ctx = follow { quiet, adds "a\nb\n", adds "c\n" }
    assert.same({ "a", "b", "c" }, items)
    assert.same({ "waiting for " .. path }, ctx.logged)
  end)

  it("follows a file that is renamed, to its end, and then the new one", function()
    assert.same({ "a", "late", "later", "unfinished", "b", "c" }, (follow {
      adds "a\n", rotates, function() append(path .. ".1", "late\n") end, adds "b\n",
      function() append(path .. ".1", "later\nunfin") end, function() append(path .. ".1", "ished") end,
      quiet, quiet, adds "c\n", quiet }))
  end)

  it("follows a file that is removed and made again", function()
    assert.same({ "a", "b" }, (follow { adds "a\n", function() os.remove(path) end, quiet, adds "b\n", quiet, quiet }))
  end)

  it("follows a file that is cut, in place", function()
    assert.same({ "a long line", "b", "c" }, (follow {
      adds "a long line\nhalf a li", function() assert(core.truncate(path, 0)) append(path, "b\n") end,
      adds "c\n" }))
  end)

  it("goes on behind every mark", function()
    local items, marks = follow { adds "a\nb\nccc\n", adds "d\n" }
    assert.same({ "a", "b", "ccc", "d" }, items)
    for i = 1, 4 do
      assert.same(table.move(items, i + 1, 4, 1, {}),
        (produce("tail", params_of("tail", path), marks[i])))
    end
  end)

  it("goes on behind a mark in a file that was rotated away, and then in the new one", function()
    local _, marks = follow { adds "a\nb\nc\n" }
    rotates()
    append(path, "d\n")
    assert.same({ "b", "c", "d" },
      (produce("tail", params_of("tail", path), marks[1], context { quiet, quiet, quiet })))
    os.remove(path .. ".1")
    append(path, "e\n")
    local ctx = context()
    assert.same({ "d", "e" }, (produce("tail", params_of("tail", path), marks[1], ctx)))
    assert.is_truthy(ctx.logged[1]:find("is another file now", 1, true))
  end)

  it("begins where the flow began when its first worker died before a commit", function()
    local params = params_of("tail", path)
    assert(source.tail.ready(params))
    append(path, "a\n")
    assert.same({ "a" }, (produce("tail", params)))
    assert.same({ "a" }, (produce("tail", params)))
  end)

  it("gives lines that are longer than a block", function()
    local long = ("x"):rep(200000)
    assert.same({ long, "y" }, (follow { adds(long), adds "\ny\n" }))
    append(path, long)
    assert.same({ "end", "z" }, (follow { adds "end\nz\n" }))
  end)

  it("stops between two lines", function()
    local params, ctx, items = params_of("tail", path, { from = "start" }), context(), {}
    append(path, "1\n2\n3\n")
    source.tail.produce(params, ctx, function(v)
      items[#items + 1] = v
      ctx.stopping = #items == 2
    end)
    assert.same({ "old", "1" }, items)
  end)

  it("refuses other arguments, and what does not grow", function()
    local use = [['tail' expects a path: tail("x.log") or tail("x.log", {from="start"})]]
    refused("tail", use)
    refused("tail", use, 1)
    refused("tail", use, "a", "b")
    refused("tail", "'tail' has no option 'form' (did you mean 'from'?)", "a", { form = "start" })
    refused("tail", [['tail': from is "end" or "start"]], "a", { from = "top" })
    not_ready("tail", "tail: cannot open /nowhere/x: No such file or directory", "/nowhere/x")
    not_ready("tail", "tail: /tmp is no file that grows, but a directory", "/tmp")
    not_ready("tail", "tail: /dev/null is no file that grows, but a char", "/dev/null")
  end)
end)

describe("stdin", function()
  after_each(support.clean)

  local program = [[
    local source = require "mp.flow.source"
    local first = READ and io.read "l"
    if first then print("(" .. first .. ")") end
    local ctx, waits = { stopping = false }, 0
    function ctx.idle()
      waits = waits + 1
      ctx.stopping = waits == MOST
    end
    source.stdin.produce({}, ctx, function(v) print("[" .. v .. "]") end)
    if HOLD then io.open(HOLD, "w"):close() end]]

  local function run(stdin, read, most, hold)
    local text = ("local READ, MOST, HOLD = %s, %s, %q\n"):format(read or false, most or "math.huge", hold) .. program
    local got = support.run { "sh", "-c", stdin .. " | " .. support.program .. " " .. script(text) }
    assert.equal("", got.err)
    return got.out
  end

  it("gives the lines, as they come", function()
    assert.equal("[a]\n[bc]\n[]\n[d]\n", run "{ printf 'a\\nb'; sleep 0.1; printf 'c\\n\\nd'; }")
    assert.equal("", run "true")
  end)

  it("goes on behind what the script has read", function()
    assert.equal("(a)\n[b]\n[c]\n", run("printf 'a\\nb\\nc\\n'", true))
  end)

  it("stops while nothing comes", function()
    local hold = support.file "hold"
    assert.equal("[a]\n", run(("{ printf 'a\\nb'; until [ -e %s ]; do sleep 0.01; done; }"):format(hold),
      false, "3", hold))
  end)

  it("takes no arguments", function()
    refused("stdin", "'stdin' takes no arguments", 1)
    for from, why in pairs { ["<&-"] = "closed", ["</tmp"] = "a directory" } do
      local got = support.run { "sh", "-c", ("exec %s -e 'flow[[ stdin -> null ]]' %s"):format(support.program, from) }
      assert.same({ 1, "mprun: stdin: standard input is " .. why .. "\n" }, { got.status, got.err })
    end
  end)
end)
