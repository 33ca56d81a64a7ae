-- Who am I: main and five children print their name, their pid and the pid of
-- the process that created them.
local mp = require "mp"

local function who()
  print(("%s: pid %d, created by %d"):format(
    mp.current_process().name, mp.getpid(), mp.getppid()))
end

who()
local children = {}
for i = 1, 5 do children[i] = mp.spawn(who) end
for _, p in ipairs(children) do p:join() end
