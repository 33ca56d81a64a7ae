-- pipe: mp.Pipe. SPDX-License-Identifier: MIT
local mp = require "mp"
local support = require "tests.support"
local raises = support.raises

local SOCK_MAX_SIZE = 16 * 1024 * 1024 + 1

-- A process that sends back what it receives, as values and as bytes.
local function echo(b)
  return mp.spawn(function()
    while true do
      local ok, v, err = pcall(b.recv, b)
      if err then return end
      if ok then b:send(v) else b:send_bytes((b:recv_bytes())) end
    end
  end)
end

-- Both ends, and a process that echoes from the far one.
local function echoing()
  local a, b = mp.Pipe()
  local p = mp.spawn(function()
    a:close()
    echo(b):join()
  end)
  b:close()
  return a, p
end

describe("Pipe", function()
  it("O01: carries values and raw bytes both ways", function()
    local a, p = echoing()
    local list = { 1, 2.25, nil, n = 3 }
    assert.is_true(a:send(list))
    assert.same(list, a:recv())
    assert.is_true(a:send_bytes("bytes\0 and more"))
    assert.equal("bytes\0 and more", a:recv_bytes())
    assert.is_true(a:send(nil))
    assert.same({ n = 1 }, table.pack(a:recv()))
    assert.is_true(a:send(false))
    assert.is_false(a:recv())
    a:close()
    assert.is_true(p:join(20))
    assert.equal(0, p.exitcode)
  end)

  it("O02: receives into a Buffer, at an offset, and leaves the rest", function()
    local a, b = mp.Pipe()
    local buffer = mp.Buffer(40)
    a:send_bytes("0123456789abcdef")
    assert.equal(16, b:recv_bytes_into(buffer))
    assert.equal("0123456789abcdef" .. ("\0"):rep(24), buffer:read())
    a:send_bytes("0123456789ABCDEF")
    assert.equal(16, b:recv_bytes_into(buffer, 12))
    assert.equal("0123456789ab0123456789ABCDEF" .. ("\0"):rep(12), buffer:read())
    a:send_bytes ""
    assert.equal(0, b:recv_bytes_into(buffer, 40))
    assert.same({ nil, "timeout" }, { b:recv_bytes_into(buffer, 0, 0) })
    a:send_bytes "x"
    raises("the offset 41 lies behind the end of 40 bytes", b.recv_bytes_into, b, buffer, 41)
    raises("the offset must be a count of bytes, got -1", b.recv_bytes_into, b, buffer, -1)
    raises("Pipe:recv_bytes_into: expected a Buffer, got string", b.recv_bytes_into, b, "x")
    assert.equal(1, b:recv_bytes_into(buffer))
    a:send_bytes(buffer, 12, 3)
    assert.equal("012", b:recv_bytes())
    a:send_bytes(buffer)
    assert.equal(buffer:read(), b:recv_bytes())
    raises("41 bytes from offset 0", a.send_bytes, a, buffer, 0, 41)
    a:send(1)
    raises("Pipe:recv_bytes_into: the next message is a value", b.recv_bytes_into, b, buffer)
    assert.equal(1, b:recv())
    do local _ <close> = buffer end
    raises("the Buffer is closed here", a.send_bytes, a, buffer)
    raises("the Buffer is closed here", b.recv_bytes_into, b, buffer)
    a:close()
    assert.same({ nil, "eof" }, { b:recv_bytes_into(mp.Buffer(1)) })
  end)

  it("O03: a message that does not fit comes with the error", function()
    local a, b = mp.Pipe()
    local long = ("0123456789"):rep(10)
    for offset = 0, 4, 4 do
      a:send_bytes(long)
      local ok, why = pcall(b.recv_bytes_into, b, mp.Buffer(40), offset)
      assert.is_false(ok)
      assert.equal("BufferTooShort", why.name)
      assert.equal(long, why.message_bytes)
      assert.truthy(tostring(why):find("^BufferTooShort: "))
      assert.truthy(why.message:find("a message of 100 bytes does not fit into " .. 40 - offset, 1, true))
    end
    assert.is_false(b:poll())
  end)

  it("O04: polls without, with, and in spite of a timeout", function()
    local a, b = mp.Pipe()
    assert.is_false(a:poll())
    assert.is_false(a:poll(0))
    local t = mp.time()
    assert.is_false(a:poll(0.1))
    assert.is_true(mp.time() - t >= 0.095)
    raises("Pipe:poll: the timeout must not be negative", a.poll, a, -1)
    raises("Pipe:poll: the timeout must be a number", a.poll, a, "1")
    b:send(1)
    assert.is_true(a:poll())
    assert.is_true(a:poll(math.huge))
    assert.is_true(a:poll(20))
    assert.equal(1, a:recv())
    assert.is_false(a:poll())
    b:close()
    assert.is_true(a:poll())  -- recv would not wait
  end)

  it("O04: a poll without end waits for what comes", function()
    local a, b = mp.Pipe(false)
    local asks = mp.Event()
    local p = mp.spawn(function()
      asks:wait()
      mp.sleep(0.05)
      b:send "there"
    end)
    asks:set()
    assert.is_true(a:poll(math.huge))
    assert.equal("there", a:recv())
    p:join()
  end)

  it("O05: echoes large messages whole", function()
    local a, p = echoing()
    for _, n in ipairs { 1 << 20, SOCK_MAX_SIZE } do
      local s = ("0123456789abcdef"):rep(n // 16) .. ("x"):rep(n % 16)
      a:send(s)
      assert.is_true(s == a:recv())
      a:send_bytes(s)
      assert.is_true(s == a:recv_bytes())
    end
    a:close()
    p:join()
  end)

  it("carries 64 MiB in one message", function()
    local a, b = mp.Pipe(false)
    local s = ("y"):rep(64 << 20)
    local p = mp.spawn(function() b:send_bytes(s) end)
    assert.is_true(s == a:recv_bytes())
    p:join()
  end)

  it("O06: tells the end of the pipe", function()
    local a, b = mp.Pipe()
    b:send "left"
    b:close()
    assert.equal("left", a:recv())
    assert.same({ nil, "eof" }, { a:recv() })
    assert.same({ nil, "eof" }, { a:recv_bytes() })
    assert.same({ nil, "eof" }, { a:recv(0) })
    assert.same({ nil, "closed" }, { a:send(1) })
    assert.same({ nil, "closed" }, { a:send_bytes "1" })
  end)

  it("O07: one way, the first end receives and the second sends", function()
    local r, w = mp.Pipe(false)
    assert.same({ true, false }, { r.readable, r.writable })
    assert.same({ false, true }, { w.readable, w.writable })
    assert.is_true(w:send(1))
    assert.equal(1, r:recv())
    raises("Pipe:send: this end only receives", r.send, r, 1)
    raises("Pipe:send_bytes: this end only receives", r.send_bytes, r, "1")
    raises("Pipe:recv: this end only sends", w.recv, w)
    raises("Pipe:recv_bytes: this end only sends", w.recv_bytes, w)
    raises("Pipe:poll: this end only sends", w.poll, w)
    local a, b = mp.Pipe(true)
    assert.same({ true, true, true, true },
                { a.readable, a.writable, b.readable, b.writable })
    raises("mp.Pipe: duplex must be true or false, got 1", mp.Pipe, 1)
  end)

  it("O08: the creator may close the child's end right after start", function()
    local a, b = mp.Pipe()
    local p = mp.Process{ target = function(c) c:send "hello" end, args = { b } }
    p:start()
    b:close()
    assert.equal("hello", a:recv())
    p:join()
    assert.same({ nil, "eof" }, { a:recv() })
  end)

  it("O09: sends a part of the bytes", function()
    local a, b = mp.Pipe()
    local s = "abcdefghijklmnopqrstuvwxyz"
    local function part(...)
      assert.is_true(a:send_bytes(s, ...))
      return b:recv_bytes()
    end
    assert.equal(s, part())
    assert.equal(s:sub(6), part(5))
    assert.equal(s:sub(8, 15), part(7, 8))
    assert.equal("", part(26))
    assert.equal("", part(26, 0))
    assert.equal(s, part(nil, nil))
    raises("the offset 27 lies behind the end of 26 bytes", a.send_bytes, a, s, 27)
    raises("5 bytes from offset 22 on are more than the 26", a.send_bytes, a, s, 22, 5)
    raises("1 bytes from offset 26 on are more than the 26", a.send_bytes, a, s, 26, 1)
    raises("the offset must be a count of bytes, got -1", a.send_bytes, a, s, -1)
    raises("the size must be a count of bytes, got -1", a.send_bytes, a, s, 4, -1)
    raises("the size must be a count of bytes, got 1.5", a.send_bytes, a, s, 4, 1.5)
    raises("Pipe:send_bytes: expected a string or a Buffer, got table", a.send_bytes, a, {})
    assert.is_false(b:poll())
  end)

  it("O10: the end of the scope closes", function()
    local a, b = mp.Pipe()
    local kept
    do
      local c <close> = b
      kept = c
      assert.is_false(c.closed)
      c:send(1)
    end
    assert.is_true(kept.closed)
    raises("Pipe:recv: this Pipe is closed here", kept.recv, kept)
    raises("Pipe:send: this Pipe is closed here", kept.send, kept, 1)
    raises("Pipe:poll: this Pipe is closed here", kept.poll, kept)
    raises("cannot send an object that is closed here", a.send, a, kept)
    kept:close()
    kept:close()
    assert.same({ false, false }, { kept.readable, kept.writable })
    assert.equal("Pipe (closed here)", tostring(kept))
    assert.equal(1, a:recv())
    assert.same({ nil, "eof" }, { a:recv() })
  end)

  it("O12: an empty message is one, and poll says so again and again", function()
    local a, b = mp.Pipe()
    assert.is_true(b:send_bytes "")
    assert.is_true(a:poll())
    assert.is_true(a:poll())
    assert.equal("", a:recv_bytes())
    assert.is_false(a:poll())
  end)

  it("O13: messages arrive one to one, in order, however they are spaced", function()
    local strings = { "hello", "", "a", "b", "", "bye", "", "lop" }
    local a, b = mp.Pipe(false)
    local p = mp.spawn(function()
      for _, s in ipairs(strings) do
        mp.sleep(0.01)
        b:send_bytes(s)
      end
    end)
    b:close()
    for _, s in ipairs(strings) do
      assert.is_true(a:poll(20))
      assert.equal(s, a:recv_bytes())
    end
    assert.same({ nil, "eof" }, { a:recv_bytes() })
    p:join()
  end)

  it("O14: who only polled took nothing; another reader gets it whole", function()
    local a, b = mp.Pipe(false)
    local s = ("z"):rep(100000)
    b:send_bytes(s)
    local p = mp.spawn(function() assert(a:poll(20)) end)
    p:join()
    assert.equal(0, p.exitcode)
    assert.is_true(a:poll())
    local q = mp.spawn(function() return a:recv_bytes() == s end)
    assert.is_true(q:result())
    assert.is_false(a:poll())
  end)

  it("O15: messages are not merged", function()
    local a, b = mp.Pipe(false)
    for _, s in ipairs { "a", "b", "cd" } do b:send_bytes(s) end
    for _, s in ipairs { "a", "b", "cd" } do
      assert.is_true(a:poll())
      assert.is_true(a:poll())
      assert.equal(s, a:recv_bytes())
    end
    assert.is_false(a:poll())
  end)

  it("keeps kinds of messages apart, and loses none by asking for the wrong one", function()
    local a, b = mp.Pipe()
    a:send { 1 }
    a:send_bytes "raw"
    raises("Pipe:recv_bytes: the next message is a value; receive it with recv", b.recv_bytes, b)
    assert.same({ 1 }, b:recv())
    raises("Pipe:recv: the next message is 3 raw bytes; receive it with recv_bytes", b.recv, b)
    assert.equal("raw", b:recv_bytes())
    assert.is_false(b:poll())
  end)

  it("recv_bytes: longer than maxlength closes for reading", function()
    local a, b = mp.Pipe()
    a:send_bytes "12345"
    assert.equal("12345", b:recv_bytes(5))
    a:send_bytes "123456"
    a:send_bytes "1"
    raises("Pipe:recv_bytes: the message has 6 bytes, more than maxlength 5", b.recv_bytes, b, 5)
    raises("this end was closed for reading", b.recv_bytes, b, 5)
    raises("this end was closed for reading", b.recv, b)
    assert.same({ nil, "closed" }, { a:send(1) })
    assert.is_true(b:send "the other way")
    assert.equal("the other way", a:recv())
    raises("maxlength must be a count of bytes, got -1", a.recv_bytes, a, -1)
    raises("maxlength must be a count of bytes, got x", a.recv_bytes, a, "x")
    assert.same({ nil, "timeout" }, { a:recv_bytes(10, 0) })
  end)

  it("refuses what cannot travel, and sends nothing then", function()
    local a, b = mp.Pipe()
    raises("Pipe:send: cannot send a coroutine", a.send, a, { coroutine.create(print) })
    raises("Pipe:send: no value given", a.send, a)
    raises("Pipe:send: the timeout must not be negative", a.send, a, 1, -1)
    raises("Pipe:send: expected a Pipe, got table", a.send, {}, 1)
    assert.is_false(b:poll())
  end)

  it("times out", function()
    local a, b = mp.Pipe()
    local t = mp.time()
    assert.same({ nil, "timeout" }, { a:recv(0.1) })
    assert.is_true(mp.time() - t >= 0.095)
    assert.same({ nil, "timeout" }, { a:recv(0) })
    assert.same({ nil, "timeout" }, { a:recv_bytes(nil, 0.05) })
    b:close()
  end)

  it("a sender waits for a reader that is 1024 messages behind", function()
    local a, b = mp.Pipe(false)
    for i = 1, 1024 do assert.is_true(b:send(i, 0)) end
    assert.same({ nil, "timeout" }, { b:send(0, 0) })
    assert.same({ nil, "timeout" }, { b:send(0, 0.05) })
    local p = mp.spawn(function() return b:send "last" end)
    b:close()
    for i = 1, 1024 do assert.equal(i, a:recv()) end
    assert.equal("last", a:recv())
    assert.is_true(p:result())
  end)

  it("a waiting sender learns that nobody reads any more", function()
    local a, b = mp.Pipe(false)
    for i = 1, 1024 do b:send(i) end
    local p = mp.spawn(function()
      a:close()
      return table.pack(b:send "one too many")
    end)
    a:close()
    assert.same({ nil, "closed", n = 2 }, (p:result(20)))
  end)
end)

describe("The end of a Pipe", function()
  local function reads_to_end(a)
    local n = 0
    while true do
      local _, err = a:recv(20)
      if err then return n, err end
      n = n + 1
    end
  end

  it("comes when the process that has the other end exits", function()
    local a, b = mp.Pipe()
    local p = mp.spawn(function()
      a:close()
      for i = 1, 10 do b:send(i) end
    end)
    b:close()
    assert.same({ 10, "eof" }, { reads_to_end(a) })
    assert.same({ nil, "closed" }, { a:send(1) })
    p:join()
  end)

  it("comes when it is killed", function()
    local a, b = mp.Pipe()
    local p = mp.spawn(function()
      a:close()
      b:send "ready"
      while true do mp.sleep(10) end
    end)
    b:close()
    assert.equal("ready", a:recv())
    p:kill()
    assert.same({ nil, "eof" }, { a:recv(20) })
    p:join()
  end)

  it("comes when the last of several lets go", function()
    local a, b = mp.Pipe()
    local go = mp.Event()
    local first = mp.spawn(function() a:close() end)
    local second = mp.spawn(function() a:close() go:wait() end)
    b:close()
    first:join()
    assert.same({ nil, "timeout" }, { a:recv(0.05) })
    go:set()
    assert.same({ nil, "eof" }, { a:recv(20) })
    second:join()
  end)

  it("comes when the garbage collector finds the other end", function()
    local a, b = mp.Pipe()
    b:send(1)
    b = nil
    collectgarbage()
    collectgarbage()
    assert.is_nil(b)
    assert.same({ 1, "eof" }, { reads_to_end(a) })
  end)

  it("does not come while a message carries the other end, then at once", function()
    local a, b = mp.Pipe()
    local q = mp.Queue()
    q:put(b)
    b:close()
    assert.same({ nil, "timeout" }, { a:recv(0.2) })
    local got = q:get()
    got:send "through"
    assert.equal("through", a:recv())
    local t = mp.time()
    got:close()
    assert.same({ nil, "eof" }, { a:recv(20) })
    assert.is_true(mp.time() - t < 10)
  end)

  it("comes when the message that carries the other end is dropped", function()
    local a, b = mp.Pipe()
    local q = mp.Queue()
    q:put(b)
    b:close()
    q:close(true)
    assert.same({ nil, "eof" }, { a:recv(20) })
  end)

  it("comes when the receiver of the other end is killed", function()
    local a, b = mp.Pipe()
    local q = mp.Queue()
    local p = mp.spawn(function()
      a:close()
      b:close()
      local e = q:get()
      e:send "mine"
      mp.sleep(60)
    end)
    q:put(b)
    b:close()
    assert.equal("mine", a:recv(20))
    p:kill()
    assert.same({ nil, "eof" }, { a:recv(20) })
    p:join()
  end)

  it("Q05: ends travel through pipes; the sender may close its copy at once", function()
    local a, b = mp.Pipe()
    local p = mp.spawn(function()
      a:close()
      local r, w = b:recv(), b:recv()
      b:send(r:recv() .. " read")
      w:send "written"
    end)
    b:close()
    local r1, w1 = mp.Pipe(false)
    local r2, w2 = mp.Pipe(false)
    a:send(r1)
    r1:close()
    a:send(w2)
    w2:close()
    w1:send "what is"
    assert.equal("what is read", a:recv(20))
    assert.equal("written", r2:recv(20))
    assert.same({ nil, "eof" }, { r2:recv(20) })
    p:join()
  end)

  it("leaves no memory behind", function()
    local got = support.mprun{ "--memory", "4M", "-e", [[
      for i = 1, 5000 do
        local a, b = mp.Pipe()
        a:send(b)
        a:send_bytes(("x"):rep(5000))
        if i % 2 == 0 then a:close() b:close() end
      end
      print "done"
    ]] }
    assert.same({ 0, "done\n", "" }, { got.status, got.out, got.err })
  end)
end)

describe("Pipe and descriptors", function()
  after_each(support.clean)

  -- What a process that receives a descriptor writes into it.
  local function write_through(a, b, before)
    return mp.spawn(function()
      a:close()
      if before then before() end
      local file = assert(mp.fdopen(b:recv_fd(), "w"))
      file:write "foo"
      file:close()
    end)
  end

  it("Q01: an open file is sent to another process, which writes", function()
    local path = support.file "sent"
    local a, b = mp.Pipe()
    local p = write_through(a, b)
    b:close()
    local file = assert(io.open(path, "w"))
    assert.is_true(a:send_fd(file))
    file:close()
    p:join()
    assert.equal(0, p.exitcode)
    assert.equal("foo", support.read(path))
  end)

  it("Q02: with a high number in the sender, and the low ones busy in the receiver", function()
    local path = support.file "sent"
    local a, b = mp.Pipe()
    local many = {}
    local function fill()
      for i = 1, 260 do many[i] = assert(io.open("/dev/null")) end
    end
    local p = write_through(a, b, fill)
    b:close()
    fill()
    local file = assert(io.open(path, "w"))
    a:send_fd(file)
    file:close()
    for _, f in ipairs(many) do f:close() end
    p:join()
    assert.equal(0, p.exitcode)
    assert.equal("foo", support.read(path))
  end)

  it("Q03: a message of another kind is no descriptor, and is not lost", function()
    local a, b = mp.Pipe()
    a:send "data"
    raises("Pipe:recv_fd: the next message is a value; receive it with recv", b.recv_fd, b)
    assert.equal("data", b:recv())
    a:send_bytes "raw"
    raises("Pipe:recv_fd: the next message is 3 raw bytes", b.recv_fd, b)
    assert.equal("raw", b:recv_bytes())
    local file = assert(io.tmpfile())
    a:send_fd(file)
    raises("Pipe:recv: the next message is an open file; receive it with recv_fd", b.recv, b)
    raises("Pipe:recv_bytes: the next message is an open file", b.recv_bytes, b)
    mp.fdopen(b:recv_fd(), "r+"):close()
    assert.same({ nil, "timeout" }, { b:recv_fd(0) })
    a:close()
    assert.same({ nil, "eof" }, { b:recv_fd() })
    assert.same({ nil, "closed" }, { b:send_fd(file) })
    file:close()
    raises("Pipe:send_fd: the file is closed", b.send_fd, b, file)
    raises("Pipe:send_fd: expected a descriptor", b.send_fd, b, {})
    raises("Pipe:send_fd: descriptor 44977608 is not open", b.send_fd, b, 44977608)
    raises("Pipe:send_fd: a descriptor must be a non-negative integer, got -1", b.send_fd, b, -1)
  end)

  it("Q03: a receiver without a place for one leaves it where it is", function()
    local got = support.mprun{ "-e", [[
      local a, b = mp.Pipe()
      local file = io.tmpfile()
      file:write "kept"
      a:send_fd(file)
      file:close()
      local many = {}
      repeat many[#many + 1] = io.open("/dev/null") until #many > 100000 or not io.open("/dev/null")
      print(pcall(b.recv_fd, b))
      many = nil
      collectgarbage()
      collectgarbage()
      file = mp.fdopen(b:recv_fd(), "r+")
      file:seek("set", 0)
      print(file:read "a")
    ]] }
    assert.equal("", got.err)
    assert.equal("false\tPipe:recv_fd: no descriptor is left in this process (ulimit -n)\nkept\n", got.out)
  end)

  it("Q04: sockets go through a pipe and are used by the receiver", function()
    local ok, socket = pcall(require, "socket")
    if not ok then return pending "LuaSocket is not on this machine" end
    local a, b = mp.Pipe()
    local p = mp.spawn(function()
      a:close()
      local client = mp.tcp(b:recv_fd(), "client")
      client:send(client:receive() .. " echoed\n")
      client:close()
    end)
    b:close()
    local server = assert(socket.bind("127.0.0.1", 0))
    local host, port = server:getsockname()
    local client = assert(socket.connect(host, port))
    local accepted = assert(server:accept())
    a:send_fd(accepted)
    accepted:close()
    client:settimeout(20)
    client:send "hello\n"
    assert.equal("hello echoed", client:receive())
    assert.equal("closed", (select(2, client:receive())))
    client:close()
    server:close()
    p:join()
  end)
end)

describe("Pipe and waiting for several", function()
  local function ready(list) return mp.wait(list, 0).n end

  it("mp.wait takes ends: a message, or the end of the pipe", function()
    local a, b = mp.Pipe()
    local r, w = mp.Pipe(false)
    assert.same({ n = 0 }, mp.wait({ a, r, w }, 0))
    assert.same({ n = 0 }, mp.wait({ a, r, w }, 0.05))
    local p = mp.spawn(function() b:send(1) end)
    assert.same({ n = 1, a }, mp.wait({ a, r, w }, 20))
    p:join()
    assert.equal(1, a:recv())
    assert.same({ n = 0 }, mp.wait({ a, r, w }, 0))
    b:close()
    w:send(2)
    assert.same({ n = 2, a, r }, mp.wait({ a, r, w }, 20))
    assert.equal(2, r:recv())
    r:close()
    assert.same({ n = 2, a, w }, mp.wait({ a, w }, 20))  -- nobody will read
  end)

  it("wakes who waits when the other end dies", function()
    local a, b = mp.Pipe()
    local p = mp.spawn(function()
      a:close()
      b:send "ready"
      mp.sleep(60)
    end)
    b:close()
    assert.equal("ready", a:recv())
    assert.same({ n = 0 }, mp.wait({ a }, 0))
    p:kill()
    assert.same({ n = 1, a }, mp.wait({ a }, 20))
    assert.same({ nil, "eof" }, { a:recv() })
    p:join()
  end)

  it("O01: fileno is an integer, readable while recv would not wait", function()
    local a, b = mp.Pipe()
    local fd = a:fileno()
    assert.equal("integer", math.type(fd))
    assert.equal(fd, a:fileno())
    assert.equal(0, ready { fd })
    local p = mp.spawn(function()
      b:send(1)
      b:send_bytes "2"
    end)
    p:join()
    assert.equal(1, mp.wait({ fd }, 20).n)
    assert.equal(1, a:recv())
    assert.equal(1, ready { fd })
    assert.equal("2", a:recv_bytes())
    assert.equal(0, ready { fd })
    assert.is_false(a:poll())
    assert.equal(0, ready { fd })
    b:close()
    assert.equal(1, mp.wait({ fd }, 20).n)
    assert.same({ nil, "eof" }, { a:recv() })
    assert.equal(1, ready { fd })
    a:close()
    raises("Pipe:fileno: this Pipe is closed here", a.fileno, a)
  end)
end)

describe("Pipe and signals", function()
  it("S02: a handler runs during recv, which then goes on", function()
    local a, b = mp.Pipe()
    local p = mp.spawn(function()
      local n = 0
      a:close()
      mp.on_signal("USR1", function()
        n = n + 1
        b:send("signal " .. n)
      end)
      b:send "ready"
      b:send(b:recv() .. " received")
    end)
    b:close()
    assert.equal("ready", a:recv())
    for i = 1, 2 do
      os.execute("kill -USR1 " .. p.pid)
      assert.equal("signal " .. i, a:recv(20))
    end
    a:send "data"
    assert.equal("data received", a:recv(20))
    p:join()
  end)

  it("S02: and during a send that waits, of more than 16 MiB", function()
    local a, b = mp.Pipe()
    local told = mp.Queue()
    local p = mp.spawn(function()
      a:close()
      mp.on_signal("USR1", function() told:put "signal" end)
      for i = 1, 1024 do b:send_bytes(tostring(i)) end
      told:put "full"
      b:send_bytes(("x"):rep(SOCK_MAX_SIZE))
      return true
    end)
    b:close()
    assert.equal("full", told:get(20))
    for _ = 1, 2 do
      os.execute("kill -USR1 " .. p.pid)
      assert.equal("signal", told:get(20))
    end
    for i = 1, 1024 do assert.equal(tostring(i), a:recv_bytes(nil, 20)) end
    local s = a:recv_bytes(nil, 20)
    assert.equal(SOCK_MAX_SIZE, #s)
    assert.is_nil(s:find("[^x]"))
    assert.is_true(p:result(20))
  end)

  it("a handler may raise out of recv and out of a send that waits", function()
    local p = mp.spawn(function()
      local a, b = mp.Pipe()
      mp.on_signal("USR1", function() error "enough" end)
      local _, one = pcall(function()
        os.execute("kill -USR1 " .. mp.getpid())
        return a:recv(20)
      end)
      for i = 1, 1024 do b:send(i) end
      local killer = mp.spawn(function()
        mp.on_signal("USR1", nil)
        mp.sleep(0.1)
        os.execute("kill -USR1 " .. mp.getppid())
      end)
      local _, two = pcall(b.send, b, ("x"):rep(100000))
      killer:join()
      return tostring(one), tostring(two), a:recv()
    end)
    local one, two, first = p:result(30)
    assert.truthy(one:find "enough")
    assert.truthy(two:find "enough")
    assert.equal(1, first)
  end)

  it("a handler may close the end that is waited for", function()
    local a, b = mp.Pipe()
    local p = mp.spawn(function()
      mp.on_signal("USR1", function() a:close() end)
      os.execute("(sleep 0.1; kill -USR1 " .. mp.getpid() .. ") &")
      return select(2, pcall(a.recv, a, 20))
    end)
    local why = p:result(30)
    assert.truthy(why:find("Pipe:recv: closed by a signal handler meanwhile", 1, true)
                  or why:find("Pipe:recv: this Pipe is closed here", 1, true))
    b:close()
  end)
end)
