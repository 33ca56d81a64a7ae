-- A producer sends a sequence and closes its end; the consumer ends at the end of
-- the pipe. Each side closes the end that it does not use: a consumer that kept a
-- copy of the sending end would wait for itself.
local mp = require "mp"

local r, s = mp.Pipe(false)

local producer = mp.spawn(function()
  r:close()
  for i = 1, 5 do s:send(i * i) end
  s:close()
end)

s:close()
while true do
  local v, why = r:recv()
  if why then
    print(why)
    break
  end
  print(v)
end
producer:join()
