-- The chat server of 10 with a pool of 4: a fifth client is accepted, but waits
-- until one of the four has left. It needs LuaSocket.
local mp = require "mp"
local ok, socket = pcall(require, "socket")
if not ok then
  print("needs LuaSocket")
  os.exit(77)
end

local listener = assert(socket.bind("127.0.0.1", 0))
local _, port = listener:getsockname()

local function serve(fd)
  local connection = mp.tcp(fd, "client")
  for line in function() return connection:receive() end do
    connection:send(line:upper() .. "\n")
  end
  connection:close()
end

mp.Process { name = "server", target = function()
  local pool = mp.Pool(4)
  for _ = 1, 5 do
    local connection = assert(listener:accept())
    pool:apply_async(serve, { mp.fd(connection) })  -- a socket travels as mp.fd
    connection:close()
  end
  pool:close()
  pool:join()
end }:start()
listener:close()

local clients = {}
for i = 1, 5 do
  clients[i] = assert(socket.connect("127.0.0.1", port))
  clients[i]:send(("client %d\n"):format(i))
  if i < 5 then print((clients[i]:receive())) end
end

clients[5]:settimeout(0.3)
local _, why = clients[5]:receive()
print("the fifth: " .. why)
clients[1]:close()
print "the first leaves"
clients[5]:settimeout(nil)
print((clients[5]:receive()))
for i = 2, 5 do clients[i]:close() end
