-- source: the built-in sources.
-- SPDX-License-Identifier: MIT
--
-- A source that is cut into tasks (a piece of a file, a piece of the range): they wait
-- in a link; a worker takes one, emits what is in it, and finishes it in the same
-- commit.  So a source whose worker is killed goes on where the last commit stood,
-- and several workers share one file.
--   { role = "source", pool = "any", arguments, ready,
--     tasks(params, workers, size) -> list of tasks, fragile     (in the owner)
--     make(params, ctx, out) -> function(task)                   (in a worker)
--     blocks    or nil: the same, with out(text of many lines) }
-- One that is not, with a mark for each item from which it can go on:
--   { role = "source", pool = "one", arguments, ready,
--     produce(params, ctx, out, resume)     out(v, label, mark); resume: the last
--                                           mark that was committed, or nil
--     resumes   nil, or function(params) -> whether it can go on behind a mark }
-- In both:
--   arguments(list) -> params | nil, message           it looks at no file
--   ready(params) -> true | nil, message               nil: nothing to look at.  In
--             the owner, before any process starts; it may note in params what the
--             workers shall begin with

local argument = require "mp.flow.argument"

local source = {}

for _, name in ipairs { "lines", "files", "csv", "jsonl", "tail", "range", "stdin" } do
  source[name] = require("mp.flow.source." .. name)
end

-- The port by which the script feeds the flow.
source["in"] = { role = "source", pool = "one", port = true, arguments = argument.nothing "in" }

return source
