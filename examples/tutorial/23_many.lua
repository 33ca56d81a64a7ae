-- Ten producers and ten consumers share a queue of three places: producers wait
-- while it is full, consumers while it is empty, and nothing is lost.
local mp = require "mp"

local q = mp.Queue(3)

local function produce(i)
  for k = 1, 20 do q:put(i * 100 + k) end
end

local function consume()
  local n = 0
  for _ in q:items() do n = n + 1 end
  return n
end

local producers, consumers, total = {}, {}, 0
for i = 1, 10 do
  producers[i] = mp.spawn(produce, i)
  consumers[i] = mp.spawn(consume)
end
for _, p in ipairs(producers) do p:join() end
q:close()
for _, p in ipairs(consumers) do total = total + p:result() end
print(total .. " items")
