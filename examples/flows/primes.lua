-- primes: a filter on all processors, and its results back in the script.
--   mprun examples/flows/primes.lua [LIMIT]

limit = tonumber(arg[1]) or 100000

prime = filter(function(n)
  for d = 2, math.floor(n ^ 0.5) do
    if n % d == 0 then return false end
  end
  return n > 1
end)

local primes = flow[[ range(1, limit) -> prime*cpu -> sort -> collect ]]:run()

print(("%d primes up to %d, the last ones:"):format(#primes, limit))
print(table.concat(primes, " ", math.max(1, #primes - 7)))
