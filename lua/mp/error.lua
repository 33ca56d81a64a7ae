-- error: errors that travel from the process where they were raised.
--
-- new(fields) -> e     name (its kind), message, value (as raised), traceback,
--                      process, pid, exitcode; tostring gives all
-- catch(value) -> e    what an error handler gives: message, value, traceback
-- raise(e)             raises it here as it was raised there: a string with the
--                      remote traceback appended, anything else as it is
-- killed(process)      the text for a process that a signal ended
--
-- SPDX-License-Identifier: MIT

local core = require "mp.core"

local Error = { __name = "mp.Error" }
Error.__index = Error

local M = { Error = Error }

function M.new(fields)
  fields.name = fields.name or "Error"
  return setmetatable(fields, Error)
end

local function where(e)
  if not e.process then return nil end
  return e.pid and ("%s (pid %d)"):format(e.process, e.pid) or e.process
end

function Error:__tostring()
  local text = { ("%s: %s"):format(self.name, self.message or "") }
  local place = where(self)
  if place then text[#text + 1] = "in process " .. place end
  if self.exitcode then text[#text + 1] = "exit code " .. self.exitcode end
  if self.traceback and self.traceback ~= "" then text[#text + 1] = self.traceback end
  return table.concat(text, "\n")
end

local function text_of(value)
  local kind = type(value)
  if kind == "string" then return value end
  local meta = getmetatable(value)
  if kind == "number" or (type(meta) == "table" and meta.__tostring) then
    local ok, text = pcall(tostring, value)
    if ok then return text end
  end
  return ("(error object is a %s value)"):format(kind)
end
M.text_of = text_of

-- The frames below the target are ours, and of no use to its author.
local function trim(trace)
  return (trace:gsub("\n%s+%[C%]: in %l+ '[%l_]*xpcall'\n%s+mp/.*$", "")
    :gsub("\n%s+%[C%]: in [^\n]*task_run[^\n]*$", ""))
end

function M.catch(value)
  return M.new {
    message = text_of(value),
    value = value,
    traceback = trim(debug.traceback(nil, 2):gsub("^\n", "")),
  }
end

function M.raise(e)
  local value = e.value
  if value == nil then error(e, 0) end
  if type(value) ~= "string" then error(value, 0) end
  if not e.traceback or e.traceback == "" then error(value, 0) end
  error(("%s\n\nremote %s\n[%s]"):format(value, e.traceback, where(e) or "?"), 0)
end

function M.killed(process)
  local code, pid = process.exitcode, process.pid
  local who = ("%s (pid %s)"):format(process.name, pid or "?")
  if not code then return who .. " ended, it is unknown how" end
  if code < 0 then return ("%s killed by %s"):format(who, core.signame(-code)) end
  return ("%s ended with exit code %d"):format(who, code)
end

return M
