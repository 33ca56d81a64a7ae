-- sink: built-in stages at the end of a flow.
-- SPDX-License-Identifier: MIT

local argument = require "mp.flow.argument"

local sink = {
  stdout = require "mp.flow.sink.stdout",
}

sink.null = {
  role = "sink", pool = "any",
  arguments = argument.nothing "null",
  make = function() return { item = function() end } end,
}

sink.collect = {
  role = "sink", pool = "one", owner = true,
  arguments = argument.nothing "collect",
}

return sink
