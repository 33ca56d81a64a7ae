-- Workers fetch pages from a server, callbacks write their sizes to a file. They
-- run in main, one at a time, so the file needs no lock. It needs LuaSocket.
local mp = require "mp"
local ok, socket = pcall(require, "socket")
if not ok then
  print("needs LuaSocket")
  os.exit(77)
end
local http = require "socket.http"

local listener = assert(socket.bind("127.0.0.1", 0))
local _, port = listener:getsockname()

-- Answers /N with N bytes.
mp.Process { name = "server", daemon = true, target = function()
  while true do
    local c = assert(listener:accept())
    local size = c:receive():match "/(%d+)"
    repeat until c:receive() == ""
    c:send(("HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%s"):format(size, ("x"):rep(size)))
    c:close()
  end
end }:start()

local function fetch(page)
  local body = assert(http.request(("http://127.0.0.1:%d/%s"):format(port, page)))
  return { page = page, size = #body }
end

local name = os.tmpname()
local file = assert(io.open(name, "w"))
local pool = mp.Pool(3)
for _, page in ipairs { "10", "2000", "300" } do
  pool:apply_async(fetch, { page }, function(got)
    file:write(("/%s has %d bytes\n"):format(got.page, got.size))
  end, function(e)
    print("failed: " .. e.message)
  end)
end
pool:close()
pool:join()  -- callbacks run in calls of the pool and its results; here in this one

file:close()
io.write(assert(io.open(name)):read "a")
os.remove(name)
