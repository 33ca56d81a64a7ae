-- draw: a flow as a picture.
-- SPDX-License-Identifier: MIT
--
-- draw(graph, [format], [extra]) -> text, without a newline at its end
--   graph    what check gives (see check.lua)
--   format   "text"
--   extra    what is known besides, all of it optional; keys are the graph's own
--            nodes and links:
--     title    a line for the picture
--     joined   { [node] = a number, or the node that it runs together with }: nodes of
--              one number, and nodes and their heads, share processes
--     lifted   { [link] = a word for what is done there already ("pre-added") }
--     counts   { [link] = items that went over it }

local text = require "mp.flow.draw.text"

local formats = { text = text }

return function(graph, format, extra)
  local f = formats[format or "text"]
  if not f then error(("draw: the format must be 'text', not '%s'"):format(tostring(format)), 2) end
  return f(graph, extra or {})
end
