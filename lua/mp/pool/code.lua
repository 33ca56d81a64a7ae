-- code: functions on their way to workers, once a worker and not once a task.
--
-- new(dict) -> shipper
-- shipper:once(f) -> what to send for it: the function, or its number in the
--                    shared dict once it has been sent before
-- shipper:keep(f) -> number, for a map's many chunks; shipper:drop(number)
--
-- A function's upvalues are copied as they are at each submit. So its number
-- is used again only if it is still the same function in every byte.
--
-- SPDX-License-Identifier: MIT

local core = require "mp.core"

local mp = core.mp

local Code = {}
Code.__index = Code

local M = {}

function M.new(dict)
  return setmetatable({ dict = dict, known = setmetatable({}, { __mode = "k" }),
                        dead = {}, last = 0, pid = mp.getpid() }, Code)
end

local Entry = {}
Entry.__index = Entry

-- The function is gone: so will be its code, when no task needs it any more.
function Entry.__gc(e)
  local dead = e.owner.dead
  dead[#dead + 1] = e.number
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

function Code:keep(f)
  local number = self:number()
  self.dict[number] = f
  return number
end

function Code:drop(number)
  self.dict[number] = nil
end

-- Returns what to send, and what the task has to hold on to meanwhile.
function Code:once(f)
  if type(f) ~= "function" then return f end
  local e = self.known[f]
  if e == nil then
    self.known[f] = false  -- seen: should it come again, it is worth keeping
    return f
  end
  if e and e.constant then return e.number, e end
  local ok, bytes = pcall(mp.pack, f)
  if not ok then return f end  -- it refers to an object of ours
  if e and e.bytes == bytes then return e.number, e end
  e = setmetatable({ owner = self, bytes = bytes, constant = constant(f) }, Entry)
  e.number = self:keep(f)
  if e.constant then e.bytes = nil end
  self.known[f] = e
  return e.number, e
end

return M
