-- A pool made by hand: workers on one queue of tasks. It has to number results,
-- which come in any order, and to catch errors, which would end a worker.
local mp = require "mp"

local tasks, results = mp.Queue(), mp.Queue()

local function work()
  for task in tasks:items() do
    results:put { task.n, pcall(task.f, table.unpack(task.args)) }
  end
end

local workers = {}
for i = 1, 3 do workers[i] = mp.spawn(work) end

local function square(n) return n * n end
for n = 1, 4 do tasks:put { n = n, f = square, args = { n } } end
tasks:put { n = 5, f = function() error("no square", 0) end, args = {} }
tasks:close()

local got = {}
for _ = 1, 5 do
  local n, _, value = table.unpack(results:get())
  got[n] = value
end
for _, p in ipairs(workers) do p:join() end
print(table.concat(got, " "))

-- A worker that is killed takes its task along, and nobody would know. mp.Pool
-- knows, replaces it, and does the numbering and the catching, too.
local pool <close> = mp.Pool(3)
print(table.concat(pool:map(square, { 1, 2, 3, 4 }), " "))
