-- crawl: follows the links of a web site, eight pages at a time.
--   mprun examples/flows/crawl.lua http://localhost:8000/ [PAGES]
-- A page that fails is tried three times, one that hangs is given up after five
-- seconds; what failed for good stands in dead.jsonl. Needs LuaSocket.

local http, url = require "socket.http", require "socket.url"

local site = flow[[
  in -> fetch*8{retry=2, backoff=200ms, timeout=5s, restarts=1} -> out
  fetch !> (jsonl("dead.jsonl") & given_up -> out)
]]

function fetch(address)
  local body, code = http.request(address)
  if code ~= 200 then error(code, 0) end
  local page = { address = address, bytes = #body, links = {} }
  for link in body:gmatch 'href="([^"#]+)' do
    page.links[#page.links + 1] = url.absolute(address, link)
  end
  return page
end

function given_up(failed) return { address = failed.item, why = failed.error, links = {} } end

local start, most = arg[1] or "http://localhost:8000/", tonumber(arg[2]) or 1000
local found, seen, sent, open = { start }, { [start] = true }, 0, 0

local function send()
  while open < 100 and found[sent + 1] do    -- what is on its way is bounded
    sent, open = sent + 1, open + 1
    site:send(found[sent])
  end
end

site:start()
send()
for page in site:results() do
  open = open - 1
  print(page.why or page.bytes, page.address)
  for _, link in ipairs(page.links) do
    if link:sub(1, #start) == start and not seen[link] and #found < most then
      seen[link], found[#found + 1] = true, link
    end
  end
  send()
  if open == 0 then site:close() end         -- no more comes
end
