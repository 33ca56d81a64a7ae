-- A subclass of Process with fields of its own: start() runs it in a child,
-- run() called directly runs it here.
local mp = require "mp"

local Greeter = mp.Process:extend()

function Greeter:init(greeting)
  self.greeting = greeting
end

function Greeter:run()
  print(("%s from %s"):format(self.greeting, mp.current_process().name))
end

local g = Greeter("hello")
g:run()
g:start()
g:join()
