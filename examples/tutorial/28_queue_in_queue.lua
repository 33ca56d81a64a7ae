-- A queue sent through a queue: elsewhere that is refused ("only through
-- inheritance"), here a queue is a value as any other.
local mp = require "mp"

local requests = mp.Queue()

local server = mp.spawn(function()
  for request in requests:items() do
    request.reply:put(request.n * request.n)
  end
end)

local replies = mp.Queue()
for n = 1, 3 do
  requests:put { n = n, reply = replies }
  print(n, (replies:get()))
end
requests:close()
server:join()
