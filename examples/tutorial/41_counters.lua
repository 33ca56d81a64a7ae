-- Four processes count to 5000 each. With `v.value = v.value + 1` counts get
-- lost between the reading and the writing; with v:add(1) none does.
local mp = require "mp"

local N = 5000

local function run(f)
  local children = {}
  for i = 1, 4 do children[i] = mp.spawn(f, i) end
  for _, p in ipairs(children) do p:join() end
end

local plain, atomic, by_process = mp.Value("i64", 0), mp.Value("i64", 0), mp.Array("i64", 4)
run(function()
  for _ = 1, N do plain.value = plain.value + 1 end
end)
run(function(i)
  for _ = 1, N do
    atomic:add(1)
    by_process[i] = by_process[i] + 1  -- nobody else writes it
  end
end)
print("read and written:", plain.value < 4 * N and "counts are lost" or "lucky")
print("added:", atomic.value)
print("by process:", table.concat(by_process:totable(), " "))
