-- Two processes take two locks in opposite order, and would wait for each other
-- for ever: the deadlock is reported, and mprun ends with status 3.
-- exits: 3
local mp = require "mp"

local a, b = mp.Lock(), mp.Lock()
local both = mp.Barrier(2)

local function take(first, second)
  first:acquire()
  both:wait()         -- by now the other one has its first lock
  second:acquire()
end

local p = mp.spawn(take, a, b)
mp.spawn(take, b, a)
p:join()
