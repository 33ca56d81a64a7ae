-- terminate, kill, an error, os.exit: what is_alive and exitcode say.
local mp = require "mp"

local p = mp.spawn(mp.sleep, 60)
print("running:", p:is_alive(), p.exitcode)
p:terminate()
-- A signal takes a moment: right after it the child may still be alive.
print("right after terminate:", type(p:is_alive()))
p:join()
print("terminated:", p:is_alive(), p.exitcode)

p = mp.spawn(mp.sleep, 60)
p:kill()
p:join()
print("killed:", p.exitcode)

p = mp.spawn(function() error "something went wrong" end)
p:join()
print("an uncaught error:", p.exitcode, p.error.message)

p = mp.spawn(function() os.exit(7) end)
p:join()
print("os.exit(7):", p.exitcode)
