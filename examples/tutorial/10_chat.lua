-- A chat server on TCP that sends back in capitals what it gets, one process for
-- each client; and three clients. It needs LuaSocket.
local mp = require "mp"
local ok, socket = pcall(require, "socket")
if not ok then
  print("needs LuaSocket")
  os.exit(77)
end

local listener = assert(socket.bind("127.0.0.1", 0))
local _, port = listener:getsockname()

local function serve(connection)
  for line in function() return connection:receive() end do
    connection:send(line:upper() .. "\n")
  end
end

mp.Process { name = "server", target = function()
  for _ = 1, 3 do
    local connection = assert(listener:accept())
    mp.spawn(serve, connection)
    connection:close()  -- the child has its own
  end
end }:start()
listener:close()

local function client(name)
  local server = assert(socket.connect("127.0.0.1", port))
  for _, what in ipairs { "hello", "bye" } do
    server:send(("%s says %s\n"):format(name, what))
    print((server:receive()))
  end
  server:close()
end

for _, name in ipairs { "ann", "bob", "eve" } do mp.spawn(client, name) end
