-- stdin: the source of the lines of standard input.  It cannot be read again, so
-- its worker cannot be replaced.
-- SPDX-License-Identifier: MIT

local core = require "mp.core"
local argument = require "mp.flow.argument"
local stream = require "mp.flow.source.stream"

local stdin = { role = "source", pool = "one", arguments = argument.nothing "stdin" }

function stdin.ready()
  local about = core.stat(io.stdin)
  if not about then return nil, "stdin: standard input is closed" end
  if about.kind == "directory" then return nil, "stdin: standard input is a directory" end
  return true
end

function stdin.produce(_, ctx, out)
  local find, sub = string.find, string.sub
  stream.of("stdin", "standard input", io.stdin, ctx):lines(function(text)
    local at = 1
    while at <= #text and not ctx.stopping do
      local nl = find(text, "\n", at, true) or #text + 1
      out(sub(text, at, nl - 1))
      at = nl + 1
    end
  end)
end

return stdin
