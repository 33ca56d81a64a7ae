-- watch: shows on stderr how a flow gets on while it runs.
-- SPDX-License-Identifier: MIT
--
-- watch.new(engine, given, name) -> function(now, rows, over) | nil
--   given.bar      true: in any case; false: never; nil: where stderr is a terminal
--   given.summary  a table follows: what stands on the terminal goes

local live = require "mp.flow.live"

local watch = {}

local STDERR <const> = 2
local RARELY <const> = 10

-- note(text) says something in between.
function watch.new(engine, given, followed)
  local core = engine.core
  if given.bar == false or not core.terminal then return nil end
  if given.bar == nil and not core.terminal(STDERR) then return nil end
  local shown = live.new { write = core.bar, now = engine.time(), every = RARELY, name = "mprun",
    columns = function() return (core.terminal(STDERR)) end,
    lines = function() return select(2, core.terminal(STDERR)) end }
  local info = { cpus = engine.cpus() }
  return function(now, rows, over, state)
    info.state, info.clear = state, over and followed
    if over then shown:finish(now, rows(), info) else shown:show(now, rows(), info) end
  end, function(text) shown:note(text, engine.time()) end
end

return watch
