-- A function that locks calls another one that locks: with an RLock the holder
-- takes it again. With a Lock it would wait for itself; that is an error.
local mp = require "mp"

local function account(lock)
  local balance = 100
  local function add(n)
    lock:with(function() balance = balance + n end)
  end
  local function add_twice(n)
    lock:with(function()
      add(n)
      add(n)
    end)
  end
  add_twice(10)
  return balance
end

print(account(mp.RLock()))
print(pcall(account, mp.Lock()))
