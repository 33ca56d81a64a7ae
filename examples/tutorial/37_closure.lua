-- Any function is a task: with upvalues, without a name, a method. They are
-- copied, so a task's changes stay in its worker; what is shared is an object.
local mp = require "mp"

local pool <close> = mp.Pool(2)

local factor = 3
print(table.concat(pool:map(function(n) return n * factor end, { 1, 2, 3 }), " "))

local account = { balance = 100 }
function account:after(change) return self.balance + change end
print("a method:", pool:apply(account.after, { account, -30 }))

local plain, shared = 0, mp.Value("i64", 0)
pool:map(function(n)
  plain = plain + n  -- the worker's own copy
  shared:add(n)
end, { 1, 2, 3 })
print("upvalue:", plain)
print("mp.Value:", shared.value)
