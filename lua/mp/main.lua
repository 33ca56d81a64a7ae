-- main: what a run of a script consists of, for mprun and for C hosts.
--
-- set(name, value)          keeps an option in mp.options, by its name, a
--                           stage's as "stage.option"; raises what is wrong
-- prepare(globals)          puts the module and a pipeline's words there
-- run(script) -> status, message
--                           prepares the globals, runs the script and then the
--                           flows that it declared. status is what mprun shall
--                           exit with; message is nil if there is nothing
--                           (more) to report.
--
-- An error object with an integer field `exit_status` chooses the status, and
-- is reported as tostring gives it: that is how a bad flow ends with 2 and
-- without a traceback. One with a field `quiet` is not reported at all.
--
-- SPDX-License-Identifier: MIT

local options = require "mp.options"

local xpcall = xpcall  -- Lua's: the script's lets Ctrl-C pass (bind/protect.c)

local main = {}

-- options ---------------------------------------------------------------------

local UNITS = { K = 2^10, M = 2^20, G = 2^30, T = 2^40 }

local function size(text)
  local number, unit = text:match "^(%d+%.?%d*)([KMGT]?)i?B?$"
  local bytes = number and tonumber(number) * (UNITS[unit] or 1)
  if bytes and bytes >= 1 and bytes < 2^62 then
    return bytes // 1 | 0
  end
  return nil, "a size such as 512M or 4G"
end

local function count(text)
  local n = text:match "^%d+$" and math.tointeger(tonumber(text))
  if n and n >= 1 then return n end
  return nil, "a number from 1"
end

local SWITCH = { yes = true, ["true"] = true, ["1"] = true, on = true,
                 no = false, ["false"] = false, ["0"] = false, off = false }

local function switch(text)
  if SWITCH[text] ~= nil then return SWITCH[text] end
  return nil, "yes or no"
end

local FORMATS = { dot = true, svg = true, text = true }

local function format(text)
  if FORMATS[text] then return text end
  return nil, "dot, svg or text"
end

local function as_is(text) return text end

local KINDS = { memory = size, processes = count, jobs = count, check = switch,
                graph = format, summary = switch, bar = switch, apart = switch,
                standalone = switch, program = as_is }

function main.set(name, value)
  local kind = KINDS[name]
  if not kind and name:find "^[^.]+%.[^.]+$" then kind = as_is end
  if not kind then
    error(("no option '%s' (a stage's is written stage.option)"):format(name), 0)
  end
  local parsed, wanted = kind(value)
  if wanted then
    error(("%s: '%s' is not %s"):format(name, value, wanted), 0)
  end
  options[name] = parsed
end

-- globals ---------------------------------------------------------------------

local flow  -- the module mp.flow; kept, for a test runner may unload it

-- The pipeline's words. Where mp.flow cannot be loaded (a host without lpeg),
-- scripts that have no flow still run: the reason comes when one is used.
function main.prepare(env)
  env.mp = require "mp"
  require "mp.core".words = true
  local ok, got = pcall(require, "mp.flow")
  if not ok then
    env.flow = function() error(got, 2) end
    return
  end
  flow = got
  for name, value in pairs(flow.globals()) do
    env[name] = value
  end
end

local function configure()
  local core = require "mp.core"
  if options.standalone then core.standalone() else core.hosted() end
  if options.memory or options.processes then
    require "mp".configure { memory = options.memory,
                             processes = options.processes }
  end
end

-- running ---------------------------------------------------------------------

-- The frames below the script are ours, and of no use to its author.
local function trim(trace)
  return (trace:gsub("\n%s+%[C%]: in %l+ 'xpcall'\n%s+mp/main%.lua:.*$", ""))
end

-- The message handler: { exit status, message }.
local function explain(err)
  local meta = getmetatable(err)
  if type(err) == "table" and math.type(err.exit_status) == "integer" then
    if err.name == "Deadlock" then require "mp.core".force() end  -- its processes would be joined in vain
    return { err.exit_status, not err.quiet and tostring(err) or nil }
  elseif type(err) == "string" or type(err) == "number" then
    return { 1, trim(debug.traceback(tostring(err), 2)) }
  elseif type(meta) == "table" and meta.__tostring then
    return { 1, tostring(err) }
  end
  local what = ("(error object is a %s value)"):format(type(err))
  return { 1, trim(debug.traceback(what, 2)) }
end

local function finish()
  if not flow then return 0 end
  return flow.run_declared(options)
end

-- A message that the handler could not make: no memory, an error in __tostring.
local function failed(report)
  if type(report) == "table" then return report[1], report[2] end
  return 1, tostring(report)
end

-- What the script has started is not waited for.
local function give_up(report)
  if flow then pcall(flow.cancel) end
  return failed(report)
end

function main.run(script)
  local args = _G.arg
  if options.program then args[-1] = options.program end
  local ok, report = xpcall(configure, explain)
  if not ok then return failed(report) end
  ok, report = xpcall(main.prepare, explain, _G)
  if not ok then return failed(report) end
  ok, report = xpcall(script, explain, table.unpack(args))
  if not ok then return give_up(report) end
  local status, message
  ok, status, message = xpcall(finish, explain)
  if not ok then return give_up(status) end
  return status or 0, message
end

return main
