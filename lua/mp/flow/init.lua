-- mp.flow: pipelines of processes, written in one notation.
-- SPDX-License-Identifier: MIT
--
--   local flow = require "mp.flow"
--   local f = flow([[ range(1, 10) -> square*4 -> collect ]], { square = … })
--   local results = f:run()
-- Under mprun the words below are globals, stages are the script's globals, and
-- what was declared and not run by hand runs when the script ends.

local check = require "mp.flow.check"
local draw = require "mp.flow.draw"
local emit = require "mp.flow.emit"
local grammar = require "mp.flow.grammar"
local option = require "mp.flow.option"
local place = require "mp.flow.place"
local plan = require "mp.flow.plan"
local run = require "mp.flow.run"
local stage = require "mp.flow.stage"
local summary = require "mp.flow.summary"

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

-- flows ----------------------------------------------------------------------------

local UNREAD <const> = 128 + 13   -- as a program that SIGPIPE ended: `mprun … | head`

local Flow = { __name = "flow" }
Flow.__index = Flow

local function environment(stages)
  return setmetatable({}, { __index = function(_, name)
    local v = stages[name]
    if v == nil then v = _G[name] end
    return v
  end })
end

-- What a flow does not see: locals of the script. Where a mistake has no better
-- hint, and the source has such a local, that is the hint.
local function hint_at_local(m, source)
  local name = m.message:match "^no %l[%l ]+ '([%a_][%w_]*)'$"
  if not name or m.hint then return end
  for _, form in ipairs { "local%s+function%s+", "local%s+" } do
    if source:find("%f[%w_]" .. form .. name .. "%f[^%w_]") then
      m.hint = ("'%s' is local here; a flow sees globals only"):format(name)
      return
    end
  end
end

-- All mistakes as text, or nil; the warnings as text.
function Flow:check(given)
  local ast, mistakes = grammar.parse(self.text)
  local set = option.outside(given or options())
  local env = { stages = self.stages, globals = environment(self.stages),
                defaults = defaults, set = set }
  local nodes, more, warnings = check(ast, env, self.text, #mistakes > 0)
  table.move(more, 1, #more, #mistakes + 1, mistakes)
  table.sort(mistakes, function(a, b) return a.pos < b.pos end)
  self.nodes = nodes
  local where = place.find(self.info, self.text)
  local function text_of(list)
    local out = {}
    for i, m in ipairs(list) do
      hint_at_local(m, where.source)
      out[i] = place.format(where, m)
    end
    return #out > 0 and table.concat(out, "\n") or nil
  end
  return text_of(mistakes), text_of(warnings)
end

local function engine()
  local mp, core = require "mp", require "mp.core"
  return { core = core, Process = mp.Process, time = mp.time, sleep = mp.sleep, cpus = mp.cpu_count,
           signal = mp.on_signal, words = function(n) return mp.Array("i64", n) end,
           say = function(text) io.stderr:write(text, "\n") end }
end

-- Runs what has been checked: its result, or nil, what went wrong, and whether
-- that is only that nobody reads the output any more.
local function execute(self, given)
  local e = self.engine or engine()
  local planned = plan(self.nodes, { cpus = tonumber(given.jobs) or e.cpus(), apart = given.apart })
  local result, report, unread = run.run(planned, e)
  if not result then return nil, report, unread end
  local wanted = given.summary
  if wanted == nil then wanted = script.keeps and result.seconds > 1 end
  if wanted then e.say(summary(result)) end
  return result
end

-- Raised for mistakes in a flow (exit status 2) and for failures of its run.
local FlowError = { __name = "FlowError", __tostring = function(e) return e.message end }

local function throw(message, status, quiet)
  error(setmetatable({ name = "FlowError", message = message, exit_status = status,
                       quiet = quiet }, FlowError), 0)
end

-- Runs it to its end: what `collect` collected, a list with n, else true.
-- Raises all mistakes as one error, and what made the run fail.
function Flow:run()
  self.steered = true
  local mistakes = self:check()
  if mistakes then throw(mistakes, 2) end
  local given = options()
  if given.check or given.graph then return {} end    -- the script goes on, nothing runs
  local result, report, unread = execute(self, given)
  if not result then throw(report, unread and UNREAD or 1, unread) end
  return result.collected or true
end

function Flow:graph(format)
  if format ~= nil and format ~= "text" then
    error(("flow:graph: the format '%s' is not available in this version"):format(format), 2)
  end
  local mistakes = self:check()
  if mistakes then throw(mistakes, 2) end
  return draw(self.nodes)
end

for _, name in ipairs { "start", "send", "close", "recv", "results", "wait", "stop", "stats" } do
  Flow[name] = function()
    error(("flow:%s is not available in this version"):format(name), 2)
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
  local f = setmetatable({ text = text, stages = stages or _G, info = caller() }, Flow)
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

local function draw_all(flows, format)
  if format ~= "text" then
    return 2, ("mprun: --graph %s is not available in this version, --graph text is"):format(format)
  end
  for _, f in ipairs(flows) do io.stdout:write(draw(f.nodes), "\n") end
  return 0
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
  if given.graph then return draw_all(flows, given.graph) end
  for _, f in ipairs(flows) do
    if not f.steered then
      local result, report, unread = execute(f, given)
      if unread then return UNREAD end
      if not result then return 1, report end
    end
  end
  return 0
end

return flow
