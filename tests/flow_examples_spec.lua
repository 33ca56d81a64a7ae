-- flow_examples: the examples in examples/flows run and show what they should.
-- SPDX-License-Identifier: MIT

local mp = require "mp"
local support = require "tests.support"
local eventually, mprun, read, script = support.eventually, support.mprun, support.read, support.script

local FOLDER = "examples/flows/"
local tested = {}

local function example(name, what, f)
  tested[name] = true
  it(name .. " " .. what, f)
end

local function output(command)
  local got = mprun(command)
  assert.equal(0, got.status, got.err)
  return got.out
end

local function shell(command)
  local pipe <close> = assert(io.popen(command))
  return pipe:read "a"
end

local function is_there(command)
  return os.execute(("command -v %s >/dev/null"):format(command)) ~= nil
end

local here = shell("pwd"):match "[^\n]+"

-- A scratch folder, and what removes it.
local function folder()
  local path = support.file "folder"
  assert(os.execute("mkdir " .. path))
  return path, function() assert(os.execute("rm -r " .. path)) end
end

local function sorted(text)
  local list = {}
  for line in text:gmatch "[^\n]+" do list[#list + 1] = line end
  table.sort(list)
  return list
end

-- The site for crawl.
local PAGES <const> = {
  ["/"] = '<a href="a.html">A</a> <a href="/b.html#part">B</a> <a href="http://elsewhere.invalid/">X</a>',
  ["/a.html"] = '<a href="/">home</a> <a href="missing.html">?</a> <a href="slow.html">…</a>',
  ["/b.html"] = '<a href="moody.html">M</a>',
  ["/moody.html"] = "no links",
}

-- Answers until it is terminated: /slow.html never, /moody.html at the third try.
local function serve(listener)
  local silent, asked = nil, 0
  while true do
    local c = assert(listener:accept())
    local path = (c:receive() or ""):match "^GET (%S+)"
    repeat local line = c:receive() until not line or line == ""
    local page = PAGES[path]
    if path == "/moody.html" then asked = asked + 1 end
    if path == "/slow.html" then
      silent = { c, silent }
    elseif page and (path ~= "/moody.html" or asked > 2) then
      c:send(("HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%s"):format(#page, page))
      c:close()
    else
      c:send(("HTTP/1.0 %s\r\nContent-Length: 0\r\n\r\n"):format(page and "503 Busy" or "404 Not Found"))
      c:close()
    end
  end
end

describe("the example", function()
  after_each(support.clean)

  example("wordcount", "counts the words of files", function()
    local a = script("the cat\nand The dog\n", "a.txt")
    local b = script(("the bird, the bird\n"):rep(1000), "b.txt")
    local bar = ("▇"):rep(30)
    assert.equal("     2002  the            " .. bar .. "\n     2000  bird           " .. bar .. "\n" ..
                 "        1  and            ▇\n        1  cat            ▇\n        1  dog            ▇\n",
      output { FOLDER .. "wordcount.lua", a, b })
  end)

  example("wordcount", "finds texts by itself", function()
    if shell "ls /usr/share/doc/*/copyright /usr/share/licenses/*/* 2>/dev/null" == "" then
      return pending "there are no texts on this machine"
    end
    local out = output { FOLDER .. "wordcount.lua" }
    assert.is_truthy(out:find "^ *%d+  %S+ +[▇]+\n")
    assert.equal(20, select(2, out:gsub("\n", "")))
  end)

  example("access", "adds up by path", function()
    local log = script([[
1.2.3.4 - - [17/May/2015:10:05:03 +0000] "GET /a.png HTTP/1.1" 200 100 "-" "x"
1.2.3.4 - - [17/May/2015:10:05:03 +0000] "GET /b?q=1 HTTP/1.1" 200 7000 "-" "x"
1.2.3.4 - - [17/May/2015:10:05:03 +0000] "GET /a.png HTTP/1.1" 304 - "-" "x"
no request
1.2.3.4 - - [17/May/2015:10:05:03 +0000] "GET /a.png HTTP/1.1" 200 11 "-" "x"
1.2.3.4 - - [17/May/2015:10:05:03 +0000] "GET /b HTTP/1.1" 500 1 "-" "x"
]], "access.log")
    assert.equal("        7001 bytes       2 requests  2xx 1  3xx 0  4xx 0  5xx 1  /b\n" ..
                 "         111 bytes       3 requests  2xx 2  3xx 1  4xx 0  5xx 0  /a.png\n",
      output { FOLDER .. "access.lua", log })
  end)

  example("access", "says what is wrong with a missing log", function()
    local got = mprun { FOLDER .. "access.lua", "/nowhere/access.log" }
    assert.equal(1, got.status)
    assert.is_truthy(got.err:find("cannot open /nowhere/access.log", 1, true))
  end)

  example("compress", "does what is not done yet, whatever its name", function()
    if not is_there "gzip" then return pending "there is no gzip" end
    local path, remove = folder()
    local name = path .. "/it's a $log.txt"
    for _, n in ipairs { name, path .. "/b.txt" } do
      local file <close> = assert(io.open(n, "w"))
      file:write(("a line\n"):rep(1000))
    end
    assert.is_truthy(output { FOLDER .. "compress.lua", path .. "/*" }
      :find "^2 files: 14000 bytes are %d%d%d? now\n$")
    assert.equal(("a line\n"):rep(1000), shell("gzip -dc " .. support.quote(name .. ".gz")))
    assert.equal("0 files: 0 bytes are 0 now\n", output { FOLDER .. "compress.lua", path .. "/*" })
    remove()
  end)

  example("import", "puts rows into a table", function()
    if not is_there "sqlite3" then return pending "there is no sqlite3" end
    local rows = { "id,name,population" }
    for i = 1, 1200 do rows[#rows + 1] = ('%d,"Saint-Paul-d\'%d, ""the\nother""",%d'):format(i, i, i * 10) end
    rows[#rows + 1] = "1201,Nowhere"
    local csv, db = script(table.concat(rows, "\n") .. "\n", "cities.csv"), support.file "cities.db"
    for _ = 1, 2 do
      assert.equal("1201 rows\n", output { FOLDER .. "import.lua", csv, env = { DB = db } })
    end
    local query = [[
      select count(*), sum(population) from city; select name from city where id = 7;
      select count(*) from city where population is null]]
    assert.equal("1201|7206000\nSaint-Paul-d'7, \"the\nother\"\n1\n",
      shell(("sqlite3 %s %s"):format(db, support.quote(query))))
  end)

  example("primes", "filters and collects", function()
    assert.equal("25 primes up to 100, the last ones:\n61 67 71 73 79 83 89 97\n",
      output { FOLDER .. "primes.lua", "100" })
  end)

  example("sweep", "finds the best of a grid", function()
    local out = output { FOLDER .. "sweep.lua", "6" }
    local spring, damper, seconds = out:match "^spring +(%d+)  damper +(%S+)  at rest after +(%S+) s\n"
    assert.equal("1.2", damper)
    assert.is_true(tonumber(spring) <= 6 and tonumber(seconds) < 8)
    assert.equal(5, select(2, out:gsub("at rest after", "")))
  end)

  example("crawl", "tries again, and gives up what fails for good", function()
    local found, socket = pcall(require, "socket")
    if not found then return pending "there is no LuaSocket" end
    local listener = assert(socket.bind("127.0.0.1", 0))
    local site = ("http://127.0.0.1:%d/"):format(select(2, listener:getsockname()))
    local server = mp.Process { target = serve, args = { listener }, daemon = true }
    server:start()
    local path, remove = folder()
    local got = mprun { "-o", "fetch.timeout=2s", "-o", "fetch.backoff=1ms",
                        here .. "/" .. FOLDER .. "crawl.lua", site, dir = path }
    server:terminate()
    server:join()
    assert.equal(0, got.status, got.err)
    local dead = sorted(read(path .. "/dead.jsonl"))
    remove()
    local expected = { "404\tmissing.html", "took longer than timeout=2s\tslow.html" }
    for name, text in pairs(PAGES) do expected[#expected + 1] = #text .. "\t" .. name:sub(2) end
    table.sort(expected)
    assert.same(expected, sorted((got.out:gsub(site, ""))))
    assert.equal(2, #dead)
    assert.is_truthy(dead[1]:find('^{"error":"404","item":"' .. site .. 'missing.html".*"tries":3}$'), dead[1])
    assert.is_truthy(dead[2]:find('"item":"' .. site .. 'slow.html"', 1, true), dead[2])
  end)

  example("alert", "watches a log until it is interrupted", function()
    local log, out, pid = script("", "access.log"), script "", script ""
    local watcher = mp.spawn(function()
      return select(3, os.execute(("echo $$ >%s; exec %s %salert.lua %s 3 0.2 >%s 2>/dev/null")
        :format(pid, support.program, FOLDER, log, out)))
    end)
    local function append(status, n)
      local file <close> = assert(io.open(log, "a"))
      file:write(('1.2.3.4 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" %d 1\n'):format(status):rep(n))
    end
    for _, status in ipairs { 503, 500 } do
      eventually(function()
        append(status, 5)
        append(200, 5)
        append(502, 1)
        mp.sleep(0.02)
        return read(out):find(("%%d+ answers with status %d in 0.2 seconds\n"):format(status))
      end, "an alert")
    end
    os.execute("kill -INT " .. read(pid))
    assert.equal(130, watcher:result(30))
    assert.is_nil(read(out):find "status 200")
  end)

  it("is tested, each of them", function()
    for name in shell("ls " .. FOLDER):gmatch "([^\n]+)%.lua\n" do assert.is_true(tested[name], name) end
  end)
end)
