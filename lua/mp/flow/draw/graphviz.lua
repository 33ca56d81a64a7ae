-- graphviz: from dot to svg, where the program `dot` is there.
-- SPDX-License-Identifier: MIT
--
-- graphviz(text) -> svg that fits light and dark surroundings | nil: there is no such
-- program, or it did not do it. Nothing is said about that, and no file is written.

local style = require "mp.flow.draw.style"

local LONGEST <const> = 120000   -- a command's argument may not be longer on Linux

local function run(text)
  local command = "command -v dot >/dev/null 2>&1 && printf %s '" .. text:gsub("'", "'\\''")
    .. "' | dot -Tsvg 2>/dev/null"
  if #command > LONGEST then return nil end
  local pipe = io.popen(command, "r")
  local svg = pipe and pipe:read "a"
  return pipe and pipe:close() and svg
end

return function(text)
  local svg = run(text)
  local body = svg and svg:match "<svg.*</svg>"
  local head, rest = (body or ""):match "^(<svg[^>]*>)(.*)$"
  return head and head .. "\n<style>" .. style.css() .. "</style>" .. rest
end
