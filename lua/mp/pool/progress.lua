local M = {}
local Tick = {}
Tick.__index = Tick
function Tick.__call(t, done, total, failed) t.last = { done, total, failed } if type(t.f) == "function" then t.f(done, total, failed) end end
function Tick.again() end
function Tick.done() end
function M.new(_, f) return setmetatable({ f = f }, Tick) end
return M
