-- access: what a web server sent, by path: bytes, requests, and how they ended.
--   mprun examples/flows/access.lua [access.log]
-- Reads logs of Apache and nginx in the common and the combined format.

flow[[ lines(arg[1] or "access.log")*cpu -> parse -> sums@path -> top(20, bytes) -> report -> stdout ]]

function parse(line)                       -- a line that is no request is dropped
  local path, status, size = line:match '"%u+ ([^ ?"]+)[^"]*" (%d)%d%d (%S+)'
  return path and { path = path, status = tonumber(status), bytes = tonumber(size) or 0 }
end

function path(item) return item.path end   -- items of one path go to one worker

sums = fold{
  init = function() return { bytes = 0, requests = 0, [2] = 0, [3] = 0, [4] = 0, [5] = 0 } end,
  add = function(sum, item)
    sum.bytes, sum.requests = sum.bytes + item.bytes, sum.requests + 1
    sum[item.status] = (sum[item.status] or 0) + 1
    return sum
  end,
  done = function(path, sum) sum.path = path return sum end,
}

function bytes(sum) return sum.bytes end   -- top(n, by) takes the largest ones

function report(s)
  return ("%12d bytes %7d requests  2xx %d  3xx %d  4xx %d  5xx %d  %s"):format(
    s.bytes, s.requests, s[2], s[3], s[4], s[5], s.path)
end
