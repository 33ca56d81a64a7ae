-- wordcount: the most frequent words of many texts, counted on all processors.
--   mprun examples/flows/wordcount.lua [FILE…]
-- Without files it takes texts that it finds on this machine.

local FIND = [[find /usr/share/common-licenses /usr/share/doc /usr/share/perl /usr/include -type f \
  \( -name '*.txt' -o -name copyright -o -name '*.pod' -o -name '*.h' -o -name '*GPL*' \) 2>/dev/null]]
local ENOUGH = 24e6

texts, bytes = {}, 0

local function take(path)
  local file = io.open(path, "rb")
  local size = file and file:seek "end"
  if file then file:close() end
  if size and (arg[1] or bytes + size < ENOUGH) then
    texts[#texts + 1], bytes = path, bytes + size
  end
end

for _, path in ipairs(arg) do take(path) end
if not arg[1] then
  for path in io.popen(FIND):lines() do take(path) end
end

function lower(word) return word:lower() end

local all = 0
with_all = stage{ item = function(entry) all = all + entry[2] return entry end,
                  close = function() return { "(all words)", all } end }

local began = mp.time()
local found = flow[[ lines(texts)*cpu -> words -> count@lower*cpu -> with_all -> top(21) -> collect ]]:run()
local took = mp.time() - began

for rank = 2, #found do
  local word, n = table.unpack(found[rank])
  print(("%3d  %-14s %9d  %s"):format(rank - 1, word, n, ("▇"):rep(math.ceil(30 * n / found[2][2]))))
end
print(("\n%d words in %d files, %.1f MB, in %.2f s on %d processors"):format(
  found[1][2], #texts, bytes / 1e6, took, mp.cpu_count()))
