-- sink: built-in stages that write, and others at the end of a flow.
-- SPDX-License-Identifier: MIT
--
-- What writes files also has, as sources have,
--   ready(params) -> true | nil, message    in the owner, before any process starts;
--                                           it makes nothing, and notes in params
--                                           where the file begins

local argument = require "mp.flow.argument"

local sink = {
  stdout = require "mp.flow.sink.stdout",
  csv = require "mp.flow.sink.csv",
}

for name, def in pairs(require "mp.flow.sink.append") do sink[name] = def end

sink.null = {
  role = "sink", pool = "any",
  arguments = argument.nothing "null",
  make = function() return { item = function() end } end,
}

sink.collect = {
  role = "sink", pool = "one", owner = true,
  arguments = argument.nothing "collect",
}

-- The port by which the script reads what the flow gives.
sink.out = { role = "sink", pool = "one", port = true, arguments = argument.nothing "out" }

return sink
