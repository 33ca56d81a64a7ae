-- flow_words.lua [lua] FILE: the 20 most frequent words, cut by the built-in stage
-- or by a function of the script. Run by scripts/bench with mprun.
-- SPDX-License-Identifier: MIT

path = arg[#arg]

function cut(line)
  for word in line:gmatch "[%w_\x80-\xFF]+" do emit(word) end
end

function word(w) return w end
function report(entry) return ("%d %s"):format(entry[2], entry[1]) end

if arg[1] == "lua" then
  flow[[ lines(path)*cpu -> cut*cpu -> count@word -> top(20) -> report -> stdout ]]
else
  flow[[ lines(path)*cpu -> words -> count@word -> top(20) -> report -> stdout ]]
end
