-- Raw bytes through a pipe: a part of a string, a limit on what is received, a
-- message right into a buffer, and one that is too long for it.
local mp = require "mp"

local a, b = mp.Pipe()

a:send_bytes("0123456789", 2, 5)
print("bytes:", b:recv_bytes())

a:send_bytes("four")
print("at most four:", b:recv_bytes(4))

local buffer = mp.Buffer(8)
a:send_bytes("into")
print("into a buffer:", b:recv_bytes_into(buffer), buffer:read(0, 4))

a:send_bytes("too long for it")
local ok, e = pcall(b.recv_bytes_into, b, buffer)
print("too long:", ok, e.name, e.message_bytes)

a:send_bytes("longer than four")
print("longer than the limit:", (pcall(b.recv_bytes, b, 4)))
