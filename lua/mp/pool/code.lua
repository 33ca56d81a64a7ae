-- code: functions on their way to workers, once a worker and not once a task.
--
-- new(dict) -> shipper
-- shipper:once(f) -> what to send for it: the function, or its number in the
--                    shared dict where it has been sent before
-- shipper:keep(f, call) -> the same for a map's many chunks, to be dropped
--                    when that is over: shipper:drop(it)
--
-- A function's upvalues are copied as they are at each submit. So its number
-- is used only while it is still the same function in every byte, and one
-- that changes from submit to submit gets none.
--
-- SPDX-License-Identifier: MIT

local core = require "mp.core"
local check = require "mp.pool.check"

local Code = {}
Code.__index = Code

local M = {}

function M.new(dict)
  return setmetatable({ dict = dict, known = setmetatable({}, { __mode = "k" }),
                        dead = {}, last = 0 }, Code)
end

local Entry = {}
Entry.__index = Entry

-- The function is gone: so will be its code, when no task needs it any more.
function Entry.__gc(e)
  local dead = e.owner.dead
  dead[#dead + 1] = e.number  -- nil: it was never put there
end

-- Do its upvalues hold nothing but the globals? Then it cannot change.
local function constant(f)
  for i = 1, 255 do
    local name, value = debug.getupvalue(f, i)
    if not name then return true end
    if name ~= "_ENV" or value ~= _G then return false end
  end
  return false
end

function Code:sweep()
  for i = #self.dead, 1, -1 do
    self.dict[self.dead[i]] = nil
    self.dead[i] = nil
  end
end

function Code:number()
  if #self.dead > 0 then self:sweep() end
  self.last = self.last + 1
  return self.last
end

-- Its number, or nil: there is no memory for it now, or it cannot travel.
function Code:put(f)
  local number = self:number()
  return pcall(self.dict.set, self.dict, number, f) and number or nil
end

function Code:keep(f, call)
  local number = self:put(f)
  if number then return number end
  local ok, e = pcall(core.can_send, call, f)
  if not ok then error(check.unsent(e, call, 0), 0) end
  return f
end

function Code:drop(code)
  if type(code) == "number" then self.dict[code] = nil end
end

-- Returns what to send, and what the task has to hold on to meanwhile.
function Code:once(f)
  if type(f) ~= "function" then return f end
  local e = self.known[f]
  if e == nil then
    self.known[f] = false  -- seen: should it come again, it is worth keeping
    return f
  end
  if e and e.constant and e.number then return e.number, e end
  local ok, bytes = pcall(core.encoded, "Pool", f)
  if not ok then return f end  -- it cannot travel: the task says why
  if not e or e.bytes ~= bytes then
    e = setmetatable({ owner = self, bytes = bytes, constant = constant(f) }, Entry)
    self.known[f] = e
    if not e.constant then return f end  -- it has changed, and may again
  end
  e.number = e.number or self:put(f)
  return e.number or f, e
end

return M
