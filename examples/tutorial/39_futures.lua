-- An executor and its futures: submit gives a future at once, as_completed hands
-- out those that are done first, and one that nobody has begun can be cancelled.
local mp = require "mp"

local function wait(name, seconds)
  mp.sleep(seconds)
  return name, seconds
end

do
  local ex <close> = mp.ProcessPoolExecutor { max_workers = 2 }
  local futures = { ex:submit(wait, "slow", 0.4), ex:submit(wait, "quick", 0.05) }
  for f in mp.as_completed(futures) do print(f:result()) end
end  -- <close> waits for what was submitted; a Pool's would end it

do
  local ex <close> = mp.ProcessPoolExecutor { max_workers = 1 }
  local first, second = ex:submit(wait, "first", 0.5), ex:submit(wait, "second", 60)
  second:add_done_callback(function(f) print("called back:", f:cancelled()) end)
  print("cancel:", second:cancel())
  print(first:result())
  local ok, e = pcall(second.result, second)
  print(ok, e.name)
end

do
  local ex <close> = mp.ProcessPoolExecutor { max_workers = 2 }
  for n in ex:map(math.max, { 1, 5, 3 }, { 4, 2, 6 }) do print("map:", n) end
end
