-- mp.flow: pipelines of processes, written in one notation.
-- SPDX-License-Identifier: MIT
--
--   local flow = require "mp.flow"
--   local f = flow([[ range(1, 10) -> square*4 -> collect ]], { square = … })
--   local results = f:run()
-- Under mprun the words below are globals, stages are the script's globals, and
-- what was declared and not run by hand runs when the script ends.

local check = require "mp.flow.check"
local emit = require "mp.flow.emit"
local option = require "mp.flow.option"
local object = require "mp.flow.object"
local stage = require "mp.flow.stage"

local flow = { stage = stage.stage, filter = stage.filter, fold = stage.fold,
               source = stage.source, emit = emit.emit }

-- What a script has declared so far; only under mprun is there an end at which
-- it is run, so only there it is kept.
local script = { declared = {}, keeps = false }
local defaults = {}

-- What was asked for from outside, as mprun's options name it:
--   check, graph = "text", jobs = N, summary = true | false | nil,
--   ["stage.option"] = text
local function options()
  local fine, outer = pcall(require, "mp.options")
  return fine and type(outer) == "table" and outer or {}
end

-- defaults{cap = …}: for all flows that do not say otherwise.
function flow.defaults(t)
  if type(t) ~= "table" then error("defaults: a table expected, got " .. type(t), 2) end
  for name, v in pairs(t) do
    local value, message, hint = option.read(name, v)
    if value == nil then
      error("defaults: " .. option.hinted(message, hint), 2)
    end
    defaults[name] = value
  end
end

-- Who called flow(), two calls above; a tail call has left no trace of it.
local function caller()
  if debug.getinfo(3, "t").istailcall then
    return { source = "=flow", short_src = "flow", currentline = 1 }
  end
  return debug.getinfo(4, "Sl")
end

-- `declared`: said with the script's own word, not with a module's.
local function new(text, stages, declared)
  local about = { defaults = defaults, options = options, summary = script.keeps }
  local f = object.new(text, stages, caller(), about)
  if script.keeps and (declared or not stages) then table.insert(script.declared, f) end
  return f
end

local function demand_text(text)
  if type(text) ~= "string" then
    error(("flow: a text expected, got %s"):format(type(text)), 3)
  end
end

setmetatable(flow, { __call = function(_, text, stages)
  demand_text(text)
  local f = new(text, stages, false)
  return f
end })

-- for mprun --------------------------------------------------------------------------

-- The script's word `flow`: the module's fields, and a call that declares.
local word = setmetatable({}, {
  __index = flow,
  __call = function(_, text, stages)
    demand_text(text)
    local f = new(text, stages, true)
    return f
  end,
})

-- The words that a script finds as globals.
function flow.globals()
  script.keeps = true
  return { flow = word, stage = flow.stage, filter = flow.filter, fold = flow.fold,
           source = flow.source, emit = flow.emit, defaults = flow.defaults }
end

-- Every mistake in every flow, before anything runs, as one text; or nil.
local function check_all(flows, given)
  local set, wrong = option.outside(given)
  local all, graphs = {}, {}
  for i, f in ipairs(flows) do
    local mistakes, warnings = f:check(given)
    if given.check and warnings then io.stderr:write(warnings, "\n") end
    all[#all + 1] = mistakes
    graphs[i] = f.nodes
  end
  local unknown = #all == 0 and check.unknown(set, graphs) or {}
  table.move(wrong, 1, #wrong, #all + 1, all)
  table.move(unknown, 1, #unknown, #all + 1, all)
  return #all > 0 and table.concat(all, "\n") or nil
end

-- At the script's end: checks all flows, then does what the options say with
-- those that the script has not run itself.  Returns an exit status, and what
-- there is to report.
function flow.run_declared(given)
  given = given or options()
  local flows = script.declared
  script.declared = {}
  local mistakes = check_all(flows, given)
  if mistakes then return 2, mistakes end
  if given.check then return 0 end
  for _, f in ipairs(flows) do
    if given.graph then
      io.stdout:write(f:graph(given.graph), "\n")
    elseif f.steered then
      f:finish()
    else
      local status, report = f:execute(given)
      if status then return status, report end
    end
  end
  return 0
end

-- The script has failed: what it started ends.
flow.cancel = object.cancel

return flow
