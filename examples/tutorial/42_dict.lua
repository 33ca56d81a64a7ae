-- Workers share a table and a list. There is no server process behind them: they
-- lie in shared memory.
local mp = require "mp"

local words = { "to", "be", "or", "not", "to", "be" }
local counts, log = mp.Dict(), mp.List()

local workers = {}
for i = 1, 3 do
  workers[i] = mp.spawn(function()
    for k = i, #words, 3 do
      -- `counts[w] = counts[w] + 1` would lose counts: update does it in one step.
      counts:update(words[k], function(n) return (n or 0) + 1 end)
      log:append(words[k])
    end
  end)
end
for _, p in ipairs(workers) do p:join() end

local keys = counts:keys()
table.sort(keys)
for _, w in ipairs(keys) do print(w, counts[w]) end
print(#log .. " words")
