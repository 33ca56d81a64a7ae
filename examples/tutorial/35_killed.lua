-- A worker is killed in the middle of a task: that task fails, and says how; the
-- worker is replaced, and the pool goes on. (Elsewhere the result never comes.)
local mp = require "mp"

local pool <close> = mp.Pool(2)
local pids = mp.Queue()

local doomed = pool:submit(function()
  pids:put(mp.getpid())
  mp.sleep(60)
end)
os.execute("kill -9 " .. pids:get())

local e = doomed:exception()
print(e.name, e.exitcode)
print(e.message)
print("others:", table.concat(pool:map(function(n) return n * n end, { 1, 2, 3 }), " "))

-- Who can be done twice without harm may be tried again.
local tries = mp.Value("i64", 0)
local again = pool:submit_with({ retries = 1 }, function()
  if tries:add(1) == 1 then os.exit(1) end
  return "the second try"
end)
print(again:result())
