-- Daemon consumers that work for ever, and a main that waits until all items are
-- finished. One consumer is killed in the middle: another does its item.
local mp = require "mp"

local q, done, holds = mp.JoinableQueue(), mp.Queue(), mp.Event()

local function consume()
  while true do
    local item, _, how = q:get()
    done:put(how and item .. ", " .. how or item)
    q:task_done()
  end
end

for i = 1, 6 do q:put("item " .. i) end

local doomed = mp.Process { daemon = true, target = function()
  q:get()       -- item 1
  holds:set()
  mp.sleep(60)  -- and is killed before task_done
end }:start()
holds:wait()
doomed:kill()
doomed:join()

for _ = 1, 3 do mp.Process { daemon = true, target = consume }:start() end
q:join()
done:close()
for what in done:items() do print(what) end
