-- Two threads change one balance. Reading it and writing it back are two steps:
-- without a lock one thread's change is lost when the other writes in between;
-- with it, every one counts.
local mp = require "mp"

local account, lock = mp.Dict { balance = 0 }, mp.Lock()

local function deposit(n)
  for _ = 1, n do account.balance = account.balance + 1 end
end

local function deposit_locked(n)
  for _ = 1, n do
    lock:with(function() account.balance = account.balance + 1 end)
  end
end

local function both(f)
  account.balance = 0
  local threads = {}
  for i = 1, 2 do threads[i] = mp.Thread { target = f, args = { 5000 } }:start() end
  for _, t in ipairs(threads) do t:join() end
  return account.balance
end

print("without a lock:", both(deposit) < 10000 and "deposits are lost" or "lucky")
print("with a lock:", both(deposit_locked))
