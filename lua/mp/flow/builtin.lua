-- builtin: the stages that need not be written, and what each may do.
-- SPDX-License-Identifier: MIT
--
-- builtin[name] = {
--   role      "source" | "between" | "sink"
--   arguments function(list) -> params | nil, message
--   make      function(params, ctx, out, stage) -> op, see operator
--             (sources: tasks, make, blocks, produce; see source)
--   pool      "any": any number of workers; "one": a single one;
--             "key": several only with @key, as each has a state of its own
--   light     true where it is cheap and has no state: it may run inside a
--             neighbour's workers
--   gathers   true where it has a state over its items
--   whole     true where a text of many lines gives what its lines give
--   prints    true where it writes standard output
--   writes    true where it writes params.path, and keeps how long that is
--   owner     true where the owner of the run does it, without a process
--   port      true where the script, or a host, feeds or reads it
--   fold      what it does, where it is a fold
-- }
-- builtin[name] = { either = true, source = …, sink = … } is the one in a flow's
-- first place and the other in its last.

local builtin = {}

for _, family in ipairs { "source", "text", "gather", "timed", "zip", "sink" } do
  for name, def in pairs(require("mp.flow." .. family)) do
    local other = builtin[name]
    builtin[name] = other and { either = true, source = other, sink = def } or def
  end
end

return builtin
