-- flow_log.lua FILE: the 20 paths of an access log that sent the most bytes. Run by
-- scripts/bench with mprun.  SPDX-License-Identifier: MIT

path = arg[1]

function parse(line)
  local name, size = line:match '"%u+ (%S+) [^"]*" %d+ (%d+)'
  return name and { name, tonumber(size) }
end

function name(item) return item[1] end
function report(entry) return ("%d %s"):format(entry[2], entry[1]) end

bytes = fold{ init = 0, add = function(sum, item) return sum + item[2] end,
              merge = function(a, b) return a + b end }

flow[[ lines(path)*cpu -> parse*cpu -> bytes@name -> top(20) -> report -> stdout ]]
