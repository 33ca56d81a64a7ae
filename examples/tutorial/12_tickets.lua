-- Ten buyers, five tickets in a small JSON file, and a delay between reading and
-- writing it. Without a lock more than five are sold; with it, exactly five.
local mp = require "mp"

local path = os.tmpname()

local function read()
  local f <close> = assert(io.open(path))
  return tonumber(f:read("a"):match '"left": (%d+)')
end

local function write(n)
  local f <close> = assert(io.open(path, "r+"))
  f:write(('{"left": %d}\n'):format(n))
end

local function buy()
  local left = read()
  if left == 0 then return false end
  mp.sleep(0.1)  -- the payment
  write(left - 1)
  return true
end

local function sell(how)
  write(5)
  local buyers, sold = {}, 0
  for i = 1, 10 do buyers[i] = mp.spawn(how) end
  for _, p in ipairs(buyers) do
    if p:result() then sold = sold + 1 end
  end
  return sold
end

print("without a lock: sold " .. sell(buy))
local lock = mp.Lock()
print("with a lock: sold " .. sell(function() return lock:with(buy) end))
os.remove(path)
