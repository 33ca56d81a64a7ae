-- How do consumers learn that nothing more comes? Three ways with an end mark,
-- as elsewhere, and ours: close(), no mark at all. (And 24_no_end.lua.)
local mp = require "mp"

local function produce(q, mark)
  for i = 1, 5 do q:put(i) end
  if mark then q:put(mark) end
end

local function consume(q)
  local sum = 0
  while true do
    local v = q:get()
    if v == "end" then return sum end
    sum = sum + v
  end
end

do
  local q = mp.Queue()
  mp.spawn(produce, q, "end")
  print("the producer sends the mark:", mp.spawn(consume, q):result())
end

do
  local q = mp.Queue()
  local consumer, producer = mp.spawn(consume, q), mp.spawn(produce, q)
  producer:join()
  q:put "end"
  print("main sends it after joining:", consumer:result())
end

do
  local q, consumers, sum = mp.Queue(), {}, 0
  for i = 1, 3 do consumers[i] = mp.spawn(consume, q) end
  mp.spawn(produce, q):join()
  for _ = 1, 3 do q:put "end" end  -- one for each: a consumer takes only its own
  for _, p in ipairs(consumers) do sum = sum + p:result() end
  print("one mark for each of three:", sum)
end

do
  local q, consumers, sum = mp.Queue(), {}, 0
  for i = 1, 3 do
    consumers[i] = mp.spawn(function()
      local mine = 0
      for v in q:items() do mine = mine + v end
      return mine
    end)
  end
  mp.spawn(produce, q):join()
  q:close()
  for _, p in ipairs(consumers) do sum = sum + p:result() end
  print("close(), and no mark:", sum)
end
