-- draw: a flow as a picture.
-- SPDX-License-Identifier: MIT
--
-- draw(graph, [format], [extra]) -> text, without a newline at its end
--   graph    what check gives (see check.lua)
--   format   "text" (if nil), "dot" for Graphviz, "svg" for browsers: a page that fits light and
--            dark surroundings, laid out by Graphviz where `dot` is there, else by us
--   extra    what is known besides, all of it optional; keys are the graph's own
--            nodes and links:
--     title    a line for the picture
--     joined   { [node] = a number, or the node that it runs together with }: nodes of
--              one number, and nodes and their heads, share processes
--     lifted   { [link] = a word for what is done there already ("pre-added") }
--     counts   { [link] = items that went over it }
--     rows     { [node] = { taken, given, [failed], [busy] } }, after a run; not in "text"
--     graphviz false: svg is laid out by us in any case

local dot = require "mp.flow.draw.dot"
local graphviz = require "mp.flow.draw.graphviz"
local scene = require "mp.flow.draw.scene"
local svg = require "mp.flow.draw.svg"
local text = require "mp.flow.draw.text"

local formats = { text = text }

function formats.dot(graph, extra) return dot(scene(graph, extra)) end

function formats.svg(graph, extra)
  local s = scene(graph, extra)
  return extra.graphviz ~= false and graphviz(dot(s)) or svg(s)
end

return function(graph, format, extra)
  local f = formats[format or "text"]
  if not f then
    error(("draw: the format must be 'text', 'dot' or 'svg', not '%s'"):format(tostring(format)), 2)
  end
  return f(graph, extra or {})
end
