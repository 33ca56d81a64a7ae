-- object: a flow in a script's hands: checked, run, steered, drawn.
-- SPDX-License-Identifier: MIT
--
-- object.new(text, stages, info, about) -> flow; info: who called; about: {
--   defaults = table, options() -> what was asked for from outside,
--   summary = whether a run of more than a second is followed by a table }

local check = require "mp.flow.check"
local draw = require "mp.flow.draw"
local grammar = require "mp.flow.grammar"
local option = require "mp.flow.option"
local picture = require "mp.flow.picture"
local place = require "mp.flow.place"
local plan = require "mp.flow.plan"
local run = require "mp.flow.run"
local steer = require "mp.flow.steer"
local summary = require "mp.flow.summary"
local watch = require "mp.flow.watch"

local object = {}

local UNREAD <const> = 128 + 13   -- as a program that SIGPIPE ended: `mprun … | head`
local SIGNALS <const> = { INT = 130, TERM = 143 }

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
local UNKNOWN <const> = { "^no %l[%l ]+ '([%a_][%w_]*)'$", "^the argument '([%a_][%w_]*)' is nil$" }
local LOCAL <const> = { "local%s+function%s+", "local%s+[%w_, <>]-", "%f[%w_]function%f[^%w_][^()]*%([^()]-" }

local function hint_at_local(self, m, source)
  local name = m.message:match(UNKNOWN[1]) or m.message:match(UNKNOWN[2])
  if not name or m.hint then return end
  for _, form in ipairs(LOCAL) do
    if source:find(form .. "%f[%w_]" .. name .. "%f[^%w_]") then
      m.hint = ("'%s' is local here; a flow sees globals%s"):format(name,
        self.stages == _G and " only" or " and the table given with it")
      return
    end
  end
end

-- All mistakes as text, or nil; the warnings as text.
function Flow:check(given)
  local ast, mistakes = grammar.parse(self.text)
  local set = option.outside(given or self.about.options())
  local env = { stages = self.stages, globals = environment(self.stages),
                defaults = self.about.defaults, set = set }
  local nodes, more, warnings = check(ast, env, self.text, #mistakes > 0)
  table.move(more, 1, #more, #mistakes + 1, mistakes)
  table.sort(mistakes, function(a, b) return a.pos < b.pos end)
  self.nodes = nodes
  local where = place.find(self.info, self.text)
  local function text_of(list)
    local out = {}
    for i, m in ipairs(list) do
      hint_at_local(self, m, where.source)
      out[i] = place.format(where, m)
    end
    return #out > 0 and table.concat(out, "\n") or nil
  end
  return text_of(mistakes), text_of(warnings)
end

-- running ---------------------------------------------------------------------------

local function engine(given)
  local mp, core = require "mp", require "mp.core"
  local e = { core = core, Process = mp.Process, time = mp.time, sleep = mp.sleep, cpus = mp.cpu_count,
              signal = core.on_signal, words = function(n) return mp.Array("i64", n) end,
              say = function(text) io.stderr:write(text, "\n") end }
  local note
  e.watch, note = watch.new(e, given, given.summary ~= false)
  e.say = note or e.say
  return e
end

-- Raised for mistakes in a flow (exit status 2) and for failures of its run.
local FlowError = { __name = "FlowError", __tostring = function(e) return e.message end }

local function throw(message, status, quiet)
  error(setmetatable({ name = "FlowError", message = message, exit_status = status,
                       quiet = quiet }, FlowError), 0)
end

local function planned(self, given, e)
  self.plan = plan(self.nodes, { cpus = tonumber(given.jobs) or e.cpus(), apart = given.apart })
  return self.plan
end

local function sum_up(self, given, e, result)
  self.result = result
  local wanted = given.summary
  if wanted == nil then wanted = self.about.summary and result.seconds > 1 end
  if wanted then io.stderr:write(summary(result), "\n") end
end

-- What a run came to: exit status and report; nil: all is well.
local function outcome(result, report, unread)
  if unread then return UNREAD end
  if not result then return 1, report end
  return SIGNALS[result.signal]
end

local function has_port(self)
  for _, node in ipairs(self.nodes) do
    if node.spec.def and node.spec.def.port then return node end
  end
end

-- Runs what has been checked, here: exit status and report, or nil and the result.
function Flow:execute(given)
  self.steered = true
  local node = has_port(self)
  if node then
    return 1, ("'%s' is fed and read by the script: f:start(), f:send(v), f:recv()"):format(node.id)
  end
  local e = self.engine or engine(given)
  local result, report, unread = run.run(planned(self, given, e), e)
  if result then sum_up(self, given, e, result) end
  local status, message = outcome(result, report, unread)
  return status, message, result
end

local function checked(self)
  local mistakes = self:check()
  if mistakes then throw(mistakes, 2) end
  local given = self.about.options()
  return given, given.check or given.graph
end

-- Runs it to its end: what `collect` collected, a list with n, else true.
-- Raises all mistakes as one error, and what made the run fail.
function Flow:run()
  local given, only_looked_at = checked(self)
  self.steered = true
  if only_looked_at then return {} end    -- the script goes on, nothing runs
  local status, report, result = self:execute(given)
  if status then throw(report or "", status, not report) end
  return result.collected or true
end

-- steering -----------------------------------------------------------------------------

-- What is started where flows are only checked or drawn: it has ended at once.
local still = { input = true, output = true }
function still.send() return nil, "closed" end
function still.recv() return nil, "closed" end
function still.wait() return { collected = { n = 0 } } end
function still.rows() return {} end
function still.finish() end
function still.stop() end

-- Starts it; it goes on beside the script, until f:wait() or the script's end.
function Flow:start()
  if self.going then error("flow:start: it has been started already", 2) end
  local given, only_looked_at = checked(self)
  self.steered = true
  if only_looked_at then
    self.going, self.told = still, true
    return self
  end
  local e = engine { bar = false }
  self.given = given
  local fine, going = pcall(steer.start, planned(self, given, e), e)
  if not fine then throw(tostring(going), 1) end
  self.going = going
  return self
end

local function going(self, call, port)
  local s = self.going
  if not s then error(("flow:%s: it has not been started: f:start()"):format(call), 3) end
  if port and not s[port] then
    error(("flow:%s: the flow has no '%s'"):format(call, port == "input" and "in" or "out"), 3)
  end
  return s
end

local function seconds(call, timeout)
  if timeout == nil or type(timeout) == "number" and timeout >= 0 then return timeout end
  error(("flow:%s: timeout must be a number of seconds from 0 on, got %s"):format(call, tostring(timeout)), 3)
end

-- An item into `in`: true, or nil and "timeout" or "closed".
function Flow:send(v, timeout)
  if v == nil then error("flow:send: an item must not be nil", 2) end
  return going(self, "send", "input"):send(v, seconds("send", timeout))
end

-- The end of what goes into `in`.
function Flow:close() going(self, "close", "input"):finish() end

-- The next item of `out`, or nil and "timeout" or "closed".
function Flow:recv(timeout)
  return going(self, "recv", "output"):recv(seconds("recv", timeout))
end

local function report_of(self, s)
  local o = s.outcome
  if self.told then return end
  self.told = true
  if o.seconds then sum_up(self, self.given, nil, o) end
  local status, report = outcome(o.seconds and o, o.report, o.unread)
  if status then throw(report or "", status, not report) end
end

-- Its items, until it has ended; raises what made it fail.
function Flow:results()
  local s = going(self, "results", "output")
  return function()
    local v = s:recv()
    if v == nil then
      s:wait()
      report_of(self, s)
    end
    return v
  end
end

-- Waits for its end: as run(), or nil and "timeout".
function Flow:wait(timeout)
  local s = going(self, "wait")
  local o, why = s:wait(seconds("wait", timeout))
  if not o then return nil, why end
  report_of(self, s)
  return o.collected or true
end

-- "drain": its sources end, what is inside is finished; "cancel": it ends now.
function Flow:stop(how)
  if how ~= nil and how ~= "drain" and how ~= "cancel" then
    error(("flow:stop: 'drain' or 'cancel' expected, got %s"):format(tostring(how)), 2)
  end
  going(self, "stop"):stop(how or "drain")
end

-- Rows of what each stage has done so far: see rows.lua; nil before the start.
function Flow:stats()
  if self.result then return self.result.rows end
  return self.going and self.going:rows() or nil
end

-- At the script's end: what was started and not waited for.
function Flow:finish()
  local s = self.going
  if not s or self.told then return end
  if s.input then s:finish() end
  s:drain()
  report_of(self, s)
end

-- drawing ------------------------------------------------------------------------------------

local FORMATS <const> = { text = true, dot = true, svg = true }

-- A picture: "text", "dot" or "svg"; after a run with counts.
function Flow:graph(format)
  format = format or "text"
  if not FORMATS[format] then
    error(("flow:graph: 'text', 'dot' or 'svg' expected, got %s"):format(tostring(format)), 2)
  end
  local mistakes = self:check()
  if mistakes then throw(mistakes, 2) end
  local given = self.about.options()
  local how = plan(self.nodes, { cpus = tonumber(given.jobs) or require("mp").cpu_count(), apart = given.apart })
  return draw(self.nodes, format, picture(self.nodes, how, self.result))
end

-- f.run() for f:run()
for name, method in pairs(Flow) do
  if type(method) == "function" then
    Flow[name] = function(self, ...)
      if getmetatable(self) ~= Flow then error(("flow:%s: call it with ':', as f:%s()"):format(name, name), 2) end
      return method(self, ...)
    end
  end
end

-- All that this process has started and not seen to its end is ended.
object.cancel = steer.cancel

function object.new(text, stages, info, about)
  return setmetatable({ text = text, stages = stages or _G, info = info, about = about }, Flow)
end

return object
