-- flow_plain.lua words|log FILE: the same as flow_words.lua and flow_log.lua, line by
-- line in one process of a plain Lua. Run by scripts/bench.  SPDX-License-Identifier: MIT

local counts = {}

if arg[1] == "words" then
  for line in io.lines(arg[2]) do
    for word in line:gmatch "[%w_\x80-\xFF]+" do counts[word] = (counts[word] or 0) + 1 end
  end
else
  for line in io.lines(arg[2]) do
    local name, size = line:match '"%u+ (%S+) [^"]*" %d+ (%d+)'
    if name then counts[name] = (counts[name] or 0) + tonumber(size) end
  end
end

local list = {}
for word in pairs(counts) do list[#list + 1] = word end
table.sort(list, function(a, b)
  if counts[a] == counts[b] then return a < b end
  return counts[a] > counts[b]
end)
for i = 1, math.min(20, #list) do print(("%d %s"):format(counts[list[i]], list[i])) end
