-- Names and pids, the list of children that run, and a join that gives up.
local mp = require "mp"

local stop = mp.Event()
local function wait() stop:wait() end

local a = mp.Process { target = wait, name = "worker" }:start()
local b = mp.Process { target = wait }:start()
print(a.name, b.name)
print("pids differ:", a.pid ~= b.pid, a.pid ~= mp.getpid())
print("running: " .. #mp.active_children())
print("join for 0.1 s:", a:join(0.1))
stop:set()
print("join:", a:join(), b:join())
print("running: " .. #mp.active_children())
