-- progress: what `progress = true` or `progress = f` of a map does.
--
-- new(progress, total, name) -> p; name: of what plain lines tell
-- p:tick(done, total, failed)   so far; total nil: unknown yet. Nothing is called
--                  here: callbacks.run calls f, a bar is drawn
-- p:again()        nothing has come, but time goes on
-- p:done(total, failed)   all is over: f is called for the last time
-- p:close()        there will be no more, for whatever reason
--
-- SPDX-License-Identifier: MIT

local core = require "mp.core"
local bar = require "mp.bar"
local callbacks = require "mp.pool.callbacks"

local mp = core.mp

local RARELY = 0.1         -- seconds between two calls of a function
local STDERR = 2

local M = { RARELY = RARELY }

-- a function -----------------------------------------------------------------------------

local Calls = {}
Calls.__index = Calls

function Calls:tick(done, total, failed)
  if done == total then return end
  local now = mp.time()
  if now < self.due then return end
  self.due = now + RARELY
  callbacks.due(self, self.f, done, total, failed)
end

function Calls.again() end

function Calls:done(total, failed)
  if self.over then return end
  self.over = true
  callbacks.due(self, self.f, total, total, failed)
end

function Calls.close() end
Calls.__close = Calls.close

-- a bar ----------------------------------------------------------------------------------

local Shown = {}
Shown.__index = Shown

function Shown:tick(done, total, failed)
  self.last = { done, total, failed }
  self.bar:show(mp.time(), done, total, failed)
end

-- The number it is at stays; the time it will take does not.
function Shown:again()
  local l = self.last
  self.bar:show(mp.time(), l[1], l[2], l[3])
end

function Shown:done(total, failed)
  self:tick(total, total, failed)
  self:close()
end

function Shown:close() self.bar:finish(mp.time()) end
Shown.__close = Shown.close

function M.new(progress, total, name)
  if progress ~= true then return setmetatable({ f = progress, due = 0 }, Calls) end
  local p = setmetatable({ last = { 0, total, 0 }, bar = bar.new { write = core.bar, now = mp.time(),
    name = name, columns = function() return core.terminal(STDERR) end } }, Shown)
  p:again()
  return p
end

return M
