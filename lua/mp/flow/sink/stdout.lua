-- stdout: the sink that prints. A flow's workers may be killed in the middle, so a
-- line may come twice; no line is torn.
-- SPDX-License-Identifier: MIT

local argument = require "mp.flow.argument"
local line = require "mp.flow.sink.line"

local function unwritable(why)
  error("cannot write to standard output: " .. why, 0)
end

return {
  role = "sink", pool = "any", prints = true,
  arguments = argument.nothing "stdout",
  make = function()
    local text, out = line.of "stdout", io.stdout
    out:setvbuf "full"
    return { item = function(v)
      local ok, err = out:write(text(v), "\n")
      if not ok then unwritable(err) end
    end, flush = function()
      local ok, err = out:flush()
      if not ok then unwritable(err) end
    end }
  end,
}
