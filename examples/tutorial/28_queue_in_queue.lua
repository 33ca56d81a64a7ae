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

-- And as an argument of a pool's tasks.
local pool <close> = mp.Pool(2)
local log = mp.Queue()
pool:starmap(function(q, n) q:put(n) end, { { log, 4 }, { log, 5 } })
local a, b = log:get(), log:get()
print("from tasks:", math.min(a, b), math.max(a, b))
