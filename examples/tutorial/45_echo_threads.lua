-- An echo server on a pool of threads: one process, four clients at a time. A
-- thread has Lua values of its own: a socket travels as mp.fd. It needs LuaSocket.
local mp = require "mp"
local ok, socket = pcall(require, "socket")
if not ok then
  print("needs LuaSocket")
  os.exit(77)
end

local listener = assert(socket.bind("127.0.0.1", 0))
local _, port = listener:getsockname()

local function echo(fd)
  local connection = mp.tcp(fd, "client")
  for line in function() return connection:receive() end do connection:send(line .. "\n") end
  connection:close()
  return mp.getpid()
end

local function client(name)
  local server = assert(socket.connect("127.0.0.1", port))
  server:send(name .. "\n")
  local line = server:receive()
  server:close()
  return line
end

local clients, served = {}, {}
for i, name in ipairs { "ann", "bob", "eve" } do clients[i] = mp.spawn(client, name) end

local ex <close> = mp.ThreadPoolExecutor { max_workers = 4 }
for i = 1, 3 do
  local connection = assert(listener:accept())
  served[i] = ex:submit(echo, mp.fd(connection))
  connection:close()
end

for _, p in ipairs(clients) do print(p:result()) end
for _, f in ipairs(served) do assert(f:result() == mp.getpid()) end
print "all in this process"
