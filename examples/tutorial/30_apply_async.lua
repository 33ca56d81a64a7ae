-- apply_async does not wait: submit all, then collect. A `get` in the loop that
-- submits would run the tasks one after another.
local mp = require "mp"

local function greet(name, n)
  mp.sleep(0.05 * (4 - n))  -- the first takes longest
  return "hello, " .. name, n
end

local pool <close> = mp.Pool(3)
local results = {}
for n, name in ipairs { "ann", "bob", "eve" } do
  results[n] = pool:apply_async(greet, { name, n })
end
print("submitted:", #results)
for _, r in ipairs(results) do print(r:get()) end  -- in the order of the list
print("again:", results[1]:get())
print("ready:", results[1]:ready(), results[1]:successful())
print("not in 0.05 s:", pool:apply_async(greet, { "zoe", 0 }):get(0.05))
