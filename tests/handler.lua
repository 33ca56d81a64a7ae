-- handler: busted's output for tests/run. A block per failure and a line per
-- skipped test; the counts go into the file that MP_TEST_COUNTS names, as
-- `passed failed skipped`.
--
-- SPDX-License-Identifier: MIT

local busted = require "busted"

local function text(message)
  if type(message) == "string" then return message end
  if message == nil then return "no message" end
  return require "pl.pretty".write(message)
end

local function show(kind, t)
  local at = t.element.trace or t.trace or {}
  io.write(("%s %s\n"):format(kind, t.name))
  if at.short_src then
    io.write(("  %s:%d\n"):format(at.short_src, at.currentline or 0))
  end
  for line in text(t.message):gmatch "[^\n]+" do
    io.write("  ", line, "\n")
  end
  if t.isError and t.trace and t.trace.traceback then
    io.write("  ", (t.trace.traceback:gsub("^\n", ""):gsub("\n", "\n  ")), "\n")
  end
end

return function()
  local handler = require "busted.outputHandlers.base" ()

  function handler.suiteEnd()
    for _, t in ipairs(handler.failures) do show("FAILED", t) end
    for _, t in ipairs(handler.errors) do show("ERROR", t) end
    for _, t in ipairs(handler.pendings) do
      local why = type(t.message) == "string" and ": " .. t.message or ""
      io.write(("skip %s%s\n"):format(t.name, why))
    end
    local path = os.getenv "MP_TEST_COUNTS"
    local out = path and assert(io.open(path, "w")) or io.stdout
    out:write(("%d %d %d\n"):format(handler.successesCount,
      handler.failuresCount + handler.errorsCount, handler.pendingsCount))
    out:flush()
    return nil, true
  end

  busted.subscribe({ "suite", "end" }, handler.suiteEnd)
  return handler
end
