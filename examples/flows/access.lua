-- access: the paths of a web server's log that sent the most bytes.
--   mprun examples/flows/access.lua [access.log]
-- Reads logs of Apache and nginx in the common and the combined format.

flow[[ lines(arg[1] or "access.log")*cpu -> parse -> bytes@path -> top(20) -> report -> stdout ]]

function parse(line)                       -- a line that is no request is dropped
  local path, size = line:match '"%u+ (%S+) [^"]*" %d+ (%d+)'
  return path and { path = path:gsub("%?.*", ""), size = tonumber(size) }
end

function path(item) return item.path end   -- items of one path go to one worker

bytes = fold{ init = 0, add = function(sum, item) return sum + item.size end }

function report(entry) return ("%12d  %s"):format(entry[2], entry[1]) end
