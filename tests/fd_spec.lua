-- fd: descriptors that travel. SPDX-License-Identifier: MIT
local mp = require "mp"
local support = require "tests.support"
local raises, eventually = support.raises, support.eventually

local has_socket, socket = pcall(require, "socket")

local function scratch(text)
  local path = support.file "fd"
  local f = assert(io.open(path, "w+"))
  f:write(text or "")
  return f, path
end

-- Descriptors that this process has open, garbage aside.
local function open_here()
  local path = support.file("count" .. mp.getpid())   -- a child counts alike
  collectgarbage()
  collectgarbage()
  assert(os.execute(("ls /proc/%d/fd | wc -l >%s"):format(mp.getpid(), path)))
  local n = tonumber(support.read(path))
  os.remove(path)
  return n
end

describe("mp.fd", function()
  after_each(support.clean)

  it("Q01: an open file is sent to a child, which writes to it", function()
    local f, path = scratch "sender, "
    local q = mp.Queue()
    local p = mp.spawn(function()
      local out = mp.fdopen(q:get(), "w")
      out:write("receiver")
      out:close()
    end)
    q:put(mp.fd(f))
    f:close()                       -- at once: the object has its own
    assert.is_true(p:join(20))
    assert.equal(0, p.exitcode)
    assert.equal("sender, receiver", support.read(path))
  end)

  it("takes the standard streams, which are files as others", function()
    local got = support.mprun { "-e", [[
      io.write "1 "
      local fd = mp.fd(io.stdout)
      local p = mp.spawn(function()
        local out <close> = mp.fdopen(fd, "a")
        out:write "2 "
      end)
      p:join()
      io.write "3\n"
      io.stderr:write(mp.fd(io.stderr):fileno() > 2 and "4" or "?")]] }
    assert.same({ "1 2 3\n", "4", 0 }, { got.out, got.err, got.status })
  end)

  it("travels as an argument, an upvalue and a result, to any process", function()
    local f, path = scratch()
    local fd = mp.fd(f)
    f:close()
    local p = mp.spawn(function(arg)
      local function say(x, text)
        local out = mp.fdopen(x, "a")
        out:write(text)
        out:close()
      end
      say(arg, "arg ")
      say(fd, "up ")
      mp.spawn(say, fd, "grandchild "):join()
      return { fd }
    end, fd)
    local back = p:result(20)[1]
    local out = mp.fdopen(back, "a")
    out:write("result")
    out:close()
    assert.equal("arg up grandchild result", support.read(path))
  end)

  it("Q02: descriptors above 256, and a receiver whose low ones are busy", function()
    local keep = {}
    for i = 1, 300 do keep[i] = assert(io.open "/dev/null") end
    local f, path = scratch()
    local fd = mp.fd(f)
    assert.is_true(fd:fileno() > 256)
    for i = 1, 300 do keep[i]:close() end
    local p = mp.spawn(function()
      for i = 1, 280 do keep[i] = assert(io.open "/dev/null") end
      local own = mp.fd(fd):detach()
      local out = mp.fdopen(own, "w")
      out:write("foo")
      out:close()
      return own
    end)
    assert.is_true(p:result(20) > 256)
    f:close()
    assert.equal("foo", support.read(path))
  end)

  it("fileno is a descriptor of this process, the object's own", function()
    local f = scratch "text"
    local fd = mp.fd(f)
    local before = open_here()
    local n = fd:fileno()
    assert.equal(n, fd:fileno())
    assert.equal(before + 1, open_here())
    fd:close()
    assert.equal(before, open_here())
    raises("FD:fileno: this FD is closed here", fd.fileno, fd)
    fd:close()
    do
      local closed <close> = mp.fd(f)
      closed:fileno()
    end
    assert.equal(before, open_here())
    mp.fd(f):fileno()
    assert.equal(before, open_here())
    f:close()
  end)

  it("takes numbers, files, and what has getfd or fileno", function()
    local f = scratch()
    local fd = mp.fd(f)
    assert.truthy(tostring(fd):find("^FD"))
    mp.fd(fd:fileno()):close()
    mp.fd({ getfd = function() return fd:fileno() end }):close()
    mp.fd({ fileno = function() return fd:fileno() end }):close()
    mp.fd(fd):close()
    mp.fd(mp.spawn(function() end).sentinel):close()
    fd:close()
    f:close()
  end)

  it("names the misuse", function()
    local f = scratch()
    f:close()
    raises("mp.fd: the file is closed", mp.fd, f)
    raises("mp.fd: descriptor 999999 is not open", mp.fd, 999999)
    raises("mp.fd: a descriptor must be a non-negative integer, got -1", mp.fd, -1)
    raises("mp.fd: a descriptor must be a non-negative integer, got 1.5", mp.fd, 1.5)
    raises("mp.fd: a descriptor must be a non-negative integer, got", mp.fd, 0 / 0)
    raises("mp.fd: a descriptor must be a non-negative integer, got 1e+300", mp.fd, 1e300)
    raises("mp.fd: expected a descriptor, a file, or something with", mp.fd)
    raises("mp.fd: expected a descriptor, a file, or something with", mp.fd, "3")
    raises("mp.fd: expected a descriptor, a file, or something with", mp.fd, {})
    raises("mp.fd: expected a descriptor, a file, or something with", mp.fd, mp.Lock())
    raises("is closed, or not connected", mp.fd, { getfd = function() return -1 end })
    raises("mp.fdopen: expected a descriptor or an mp.fd, got userdata", mp.fdopen, io.stdout, "w")
    raises("mp.fdopen: descriptor 999999 is not open", mp.fdopen, 999999, "r")
    raises("mp.fdopen: invalid mode \"x\"", mp.fdopen, 1, "x")
    raises("mp.fdopen: invalid mode \"rw\"", mp.fdopen, 1, "rw")
    raises("mp.tcp: the kind must be", mp.tcp, 1, "server")
    raises("mp.tcp: the kind must be", mp.tcp, 1)
  end)

  it("Q05: refuses a mode that the descriptor is not open for, and keeps it", function()
    local f = assert(io.open "/dev/null")
    local fd = mp.fd(f)
    f:close()
    local before = open_here()
    raises("mp.fdopen: the descriptor is open for reading only", mp.fdopen, fd, "w")
    raises("mp.fdopen: the descriptor is open for reading only", mp.fdopen, fd, "r+")
    assert.equal(before, open_here())
    mp.fdopen(fd, "r"):close()
    fd:close()
  end)

  it("what has another end is taken once, and ends when its taker closes it", function()
    local pipe = assert(io.popen("cat", "w"))
    local fd = mp.fd(pipe)
    local copy = mp.fd(fd)             -- who shares it makes one for each
    local out = mp.fdopen(fd, "w")
    raises("this FD is closed here", mp.fdopen, fd, "w")
    out:close()
    local p = mp.spawn(function() return copy:detach() > 2 end)
    assert.is_true(p:result(20))
    raises("mp.fdopen: its descriptor was taken over already", mp.fdopen, copy, "w")
    pipe:close()
  end)

  it("arrives though the sender was killed right after it sent", function()
    local f, path = scratch()
    local q = mp.Queue()
    local p = mp.spawn(function()
      q:put(mp.fd(f))
      mp.current_process():kill()
    end)
    f:close()
    assert.is_true(p:join(20))
    assert.equal(-9, p.exitcode)
    local out = mp.fdopen(q:get(20), "w")
    out:write("here")
    out:close()
    assert.equal("here", support.read(path))
  end)

  it("a queue that is dropped takes its descriptors along", function()
    -- What has been removed from the store is seen at the pipe's other end.
    local path = support.file "fifo"
    assert(os.execute("mkfifo " .. path))
    local w = assert(io.open(path, "r+"))   -- both ends: opening does not wait
    local r = assert(io.open(path, "r"))
    local q = mp.Queue()
    for _ = 1, 20 do q:put(mp.fd(w)) end
    w:close()
    q:close(true)
    collectgarbage()
    collectgarbage()
    assert.is_nil(r:read "a":match ".")     -- returns at the end of file
    r:close()
  end)

  it("nothing leaks when receivers are killed while they take", function()
    local path = support.file "fifo"
    assert(os.execute("mkfifo " .. path))
    local w = assert(io.open(path, "r+"))
    local r = assert(io.open(path, "r"))
    local q = mp.Queue()
    local function worker()
      for fd in q:items() do
        local out = mp.fdopen(fd, "w")
        out:close()
      end
    end
    for _ = 1, 300 do
      local fd <close> = mp.fd(w)
      q:put(fd)
    end
    w:close()
    q:close()
    while q:qsize() > 0 do
      local a, b = mp.spawn(worker), mp.spawn(worker)
      mp.sleep(math.random() * 0.003)
      a:kill()
      b:kill()
      a:join()
      b:join()
    end
    assert.equal("", r:read "a")            -- returns at the end of file
    r:close()
  end)

  it("the keeper's death changes nothing", function()
    local path = support.file "fifo"
    assert(os.execute("mkfifo " .. path))
    local w = assert(io.open(path, "r+"))
    local r = assert(io.open(path, "r"))
    local q, e = mp.Queue(), mp.Event()
    q:put(mp.fd(w))
    w:close()
    collectgarbage()
    collectgarbage()
    local list = assert(io.popen("ps -o pid=,comm= --ppid " .. mp.getpid()))
    local keeper = list:read "a":match "(%d+) mprun%-keeper"
    list:close()
    if keeper then os.execute("kill -9 " .. keeper) end
    local p = mp.spawn(function()
      mp.wait { q, 0 }
      local out = mp.fdopen(q:get(), "w")
      out:write "here"
      out:close()
      e:set()
    end)
    assert.same({ n = 1, e }, mp.wait({ e }, 20))
    assert.equal("here", r:read "a")
    p:join()
    r:close()
  end)

  it("says when too many are under way, and goes on when some were received", function()
    local f = assert(io.open "/dev/null")
    local list, why = {}, nil
    for i = 1, 100000 do
      local ok, fd = pcall(mp.fd, f)
      if not ok then
        why = fd
        break
      end
      list[i] = fd
    end
    assert.truthy(why and why:find("mp.fd: too many descriptors are under way", 1, true), why)
    assert.is_true(#list >= 256, #list)
    list[#list]:close()
    list[1]:close()
    list[2]:close()
    eventually(function() return pcall(mp.fd, f) end)
    assert.is_true(list[3]:fileno() > 2)
    for i = 3, #list - 1 do list[i]:close() end
    f:close()
  end)

  it("leaves no descriptor open in anybody", function()
    local f = assert(io.open "/dev/null")
    local q, back = mp.Queue(), mp.Queue()
    local p = mp.spawn(function()
      local before = open_here()
      for fd in q:items() do
        mp.fdopen(fd, "r"):close()
        fd:close()
        back:put(true)
      end
      return open_here() - before
    end)
    local before = open_here()
    for _ = 1, 200 do
      local fd <close> = mp.fd(f)
      q:put(fd)
      assert.is_true(back:get(20))
    end
    q:close()
    assert.equal(0, p:result(20))
    assert.equal(before, open_here())
    f:close()
  end)
end)

describe("mp.tcp", function()
  local listener, port

  before_each(function()
    if not has_socket then return end
    listener = assert(socket.bind("127.0.0.1", 0))
    port = select(2, listener:getsockname())
  end)
  after_each(function() if listener then listener:close() end end)

  local function test(name, f)
    it(name, function()
      if not has_socket then return pending "needs LuaSocket" end
      f()
    end)
  end

  test("Q04: an accepted connection goes through a queue and is used by the receiver", function()
    local q = mp.Queue()
    local p = mp.spawn(function()
      for fd in q:items() do
        local c = mp.tcp(fd, "client")
        c:settimeout(20)
        c:send(c:receive():upper() .. "\n")
        c:close()
      end
    end)
    for i = 1, 5 do
      local c = assert(socket.connect("127.0.0.1", port))
      local s = listener:accept()
      q:put(mp.fd(s))
      s:close()
      c:settimeout(20)
      c:send("hello " .. i .. "\n")
      assert.equal("HELLO " .. i, c:receive())
      -- The sender's object may still be there: it keeps nothing open.
      assert.same({ nil, "closed", "" }, { c:receive() })
      c:close()
    end
    q:close()
    p:join()
    assert.equal(0, p.exitcode)
  end)

  test("Q04: a listener is shared by several", function()
    local fd = mp.fd(listener)
    local workers = {}
    for i = 1, 2 do
      workers[i] = mp.spawn(function(x)
        local l = mp.tcp(x, "listener")
        l:settimeout(20)
        local c = assert(l:accept())
        c:send("worker\n")
        c:close()
      end, fd)
    end
    for _ = 1, 2 do
      local c = assert(socket.connect("127.0.0.1", port))
      c:settimeout(20)
      assert.equal("worker", c:receive())
      c:close()
    end
    for i = 1, 2 do assert.equal(true, workers[i]:join(20)) end
    fd:close()
  end)

  test("names what is no such socket, and keeps it", function()
    raises("mp.tcp: the socket listens; its kind is \"listener\"", mp.tcp, mp.fd(listener), "client")
    local c = assert(socket.connect("127.0.0.1", port))
    local fd = mp.fd(c)
    raises("mp.tcp: the socket does not listen", mp.tcp, fd, "listener")
    raises("mp.tcp: expected a descriptor or an mp.fd, got userdata", mp.tcp, c, "client")
    mp.tcp(fd, "client"):close()
    c:close()
    raises("mp.fd: tcp{client}", mp.fd, c)
    local f = assert(io.open "/dev/null")
    raises("mp.tcp: the descriptor is no stream socket", mp.tcp, mp.fd(f), "client")
    f:close()
  end)

  test("an integer is taken over", function()
    local c = assert(socket.connect("127.0.0.1", port))
    local s = listener:accept()
    local t = mp.tcp(mp.fd(s):detach(), "client")
    s:close()
    t:send("x\n")
    assert.equal("x", c:receive())
    t:close()
    assert.same({ nil, "closed", "" }, { c:receive() })
    c:close()
  end)
end)

describe("without LuaSocket", function()
  after_each(support.clean)

  it("mp.tcp says so", function()
    local out = support.mprun { "-", stdin = [[
      local mp = require "mp"
      package.path, package.cpath = "", ""
      local fd = mp.fd(assert(io.popen("true", "r")))
      print(pcall(mp.tcp, fd, "client"))
    ]] }
    assert.truthy(out.out:find("the descriptor is no stream socket", 1, true), out.out .. out.err)
    if not has_socket then return end
    out = support.mprun { "-", stdin = [[
      local mp, socket = require "mp", require "socket"
      local l = socket.bind("127.0.0.1", 0)
      local fd = mp.fd(socket.connect("127.0.0.1", (select(2, l:getsockname()))))
      package.path, package.cpath = "", ""
      package.loaded.socket, package.loaded["socket.core"] = nil, nil
      print(pcall(mp.tcp, fd, "client"))
      print(fd:fileno() > 2)
    ]] }
    assert.truthy(out.out:find("mp.tcp: LuaSocket is needed", 1, true), out.out .. out.err)
    assert.truthy(out.out:find("true\n", 1, true), out.out .. out.err)
  end)
end)
