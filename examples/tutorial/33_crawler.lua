-- A crawler: workers fetch pages and extract their links with lpeg, the callback,
-- in main, submits what is new. It needs LuaSocket and lpeg.
local mp = require "mp"
local ok, socket = pcall(require, "socket")
if not (ok and pcall(require, "lpeg")) then
  print("needs LuaSocket and lpeg")
  os.exit(77)
end
local http = require "socket.http"

local site = {
  ["/"] = '<a href="/a">A</a> <a href="/b">B</a>',
  ["/a"] = '<a href="/b">B</a> <a href="/c">C</a>',
  ["/b"] = '<a href="/">home</a>',
  ["/c"] = "no links, and no way back",
}

local listener = assert(socket.bind("127.0.0.1", 0))
local _, port = listener:getsockname()

mp.Process { name = "server", daemon = true, target = function()
  while true do
    local c = assert(listener:accept())
    local path = c:receive():match "^GET (%S+)"
    repeat until c:receive() == ""
    c:send("HTTP/1.0 200 OK\r\n\r\n" .. site[path])
    c:close()
  end
end }:start()

-- An lpeg pattern is userdata, which does not travel: each worker makes its own.
local function prepare()
  local lpeg = require "lpeg"
  local link = '<a href="' * lpeg.C((1 - lpeg.P '"') ^ 0) * '"'
  mp.worker.state.links = lpeg.Ct((link + 1) ^ 0)
end

local function visit(path)
  local body = assert(http.request(("http://127.0.0.1:%d%s"):format(port, path)))
  return { path = path, links = mp.worker.state.links:match(body) }
end

local pool <close> = mp.Pool { processes = 3, initializer = prepare }
local seen, results = {}, {}

local function submit(path)
  if seen[path] then return end
  seen[path] = true
  results[#results + 1] = pool:apply_async(visit, { path }, function(page)
    print(page.path, #page.links)
    for _, link in ipairs(page.links) do submit(link) end
  end)
end

submit "/"
for _, r in ipairs(results) do r:get() end  -- callbacks make the list longer meanwhile
print(#results .. " pages")
