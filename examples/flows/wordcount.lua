-- wordcount: the most frequent words of many texts, counted on all processors.
--   mprun examples/flows/wordcount.lua [FILE…]
-- Without files it reads the licences of what is installed on this machine.

flow[[ lines(texts)*cpu -> words -> count@lower*cpu -> top(20) -> show -> stdout ]]

texts = arg
if not arg[1] then
  local found <close> = io.popen "ls /usr/share/doc/*/copyright /usr/share/licenses/*/* 2>/dev/null"
  texts = {}
  for path in found:lines() do texts[#texts + 1] = path end
end

function lower(word) return word:lower() end   -- "The" and "the" are one word

local most

function show(entry)                           -- what count@key gives is { key, n }
  local word, n = table.unpack(entry)
  most = most or n                             -- the largest one comes first
  return ("%9d  %-14s %s"):format(n, word, ("▇"):rep(math.ceil(30 * n / most)))
end
