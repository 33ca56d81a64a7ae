-- alert: watches a web server's log as it grows, and says when errors become many.
--   mprun examples/flows/alert.lua access.log [LIMIT [SECONDS]]
-- Ctrl-C ends it: what the last window has counted by then is looked at, too.

limit, seconds = tonumber(arg[2]) or 10, tonumber(arg[3]) or 10

flow[[ tail(arg[1] or "access.log") -> status -> window(seconds) -> count@itself -> many -> stdout ]]

function status(line) return line:match '" (%d%d%d) ' end

function itself(code) return code end

-- What count@key gives at each window's end is { key, n }.
function many(entry)
  local code, n = table.unpack(entry)
  if code >= "500" and n >= limit then
    return ("%s  %d answers with status %s in %g seconds"):format(os.date "%X", n, code, seconds)
  end
end
