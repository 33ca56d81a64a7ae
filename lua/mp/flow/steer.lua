-- steer: a flow that the script has started and goes on beside it: what comes in,
-- what comes out, its end.
-- SPDX-License-Identifier: MIT
--
-- A process of its own, the supervisor, does what mprun's main process does for a
-- flow that simply runs (run.lua): starts workers, replaces those that die, ends
-- stages. The script only feeds and reads links.
--
-- steer.start(plan, engine) -> s
-- s:send(v, [timeout]), s:recv([timeout]), s:finish() end of input, s:wait([timeout]) ->
-- outcome | nil, "timeout", s:stop(how), s:rows(), s:drain() waits, and drops what
-- comes out
-- steer.cancel() all that this process has started end now
--   outcome   { report, unread, signal, collected, rows, … }, see run.supervise

local rows = require "mp.flow.rows"
local run = require "mp.flow.run"

local SLICE <const> = 0.5      -- seconds between two looks whether the supervisor lives

local Steered = {}
Steered.__index = Steered

-- The link behind `in` or before `out`.
local function port(r, role)
  for _, stage in ipairs(r.stages) do
    if stage.port and stage.role == role then return stage.inbox.sends[1] end
  end
end

local function supervise(r)
  local result, report, unread = run.supervise(r)
  result = result or { report = report, unread = unread, rows = rows(r) }
  result.collected = nil
  return result
end

-- Of this process, that have not ended.
local started, registered = {}, false

local function stop_all(how)
  for s in pairs(started) do
    s:stop(how)
    s:drain()
  end
end

-- What a process has started and not waited for stops with it.
local function remember(self)
  started[self] = true
  if registered then return end
  registered = true
  table.insert(self.core.forked, function() started = {} end)
  self.core.finish(function() stop_all "drain" end)
end

local function start(plan, engine)
  local r = run.prepare(plan, engine)
  r.apart = true
  local self = setmetatable({ run = r, core = engine.core, time = engine.time, input = port(r, "source"),
    output = port(r, "sink"), Process = engine.Process }, Steered)
  for _, stage in ipairs(r.stages) do
    if stage.owner and not stage.port then self.gather, self.collected = stage.inbox.sends[1], { n = 0 } end
  end
  self.process = engine.Process { target = supervise, args = { r }, name = "flow" }
  self.process:start()
  remember(self)
  return self
end

-- The supervisor died: nobody will end its stages, so their links end.
local function abandon(self)
  for _, inbox in ipairs(self.run.inboxes) do
    for _, link in ipairs(inbox.sends) do link:close(true) end
    for _, links in pairs(inbox.credits or {}) do
      for _, link in pairs(links) do link:close(true) end
    end
  end
  for _, stage in ipairs(self.run.stages) do
    if stage.feed then stage.feed:close(true) end
  end
end

local function ended(self)
  if self.outcome then return true end
  local p = self.process
  if p:is_alive() then return false end
  p:join()
  local fine, outcome = pcall(p.result, p)
  if not fine or type(outcome) ~= "table" then
    abandon(self)
    outcome = { report = "the flow's supervisor: " .. tostring(outcome), rows = {} }
  end
  self.outcome, started[self] = outcome, nil
  return true
end

local function left(self, deadline)
  return deadline and math.max(0, deadline - self.time()) or math.huge
end

-- true, or nil and "timeout" or "closed".
function Steered:send(v, timeout)
  local deadline = timeout and self.time() + timeout
  repeat
    local seconds = math.min(SLICE, left(self, deadline))
    local ok, why = self.input:put(v, seconds)
    if ok then return true end
    if why ~= "timeout" then return nil, why end
    if ended(self) then return nil, "closed" end
  until left(self, deadline) == 0
  return nil, "timeout"
end

function Steered:finish() self.input:close() end

function Steered:recv(timeout)
  local deadline = timeout and self.time() + timeout
  while true do
    local v, why = self.output:get(0)
    if v == nil and ended(self) then
      v = self.output:get(0)
      why = "closed"
    end
    if v ~= nil then return v end
    if why == "closed" then return nil, why end
    local seconds = left(self, deadline)
    if seconds == 0 then return nil, "timeout" end
    self.core.wait({ self.output, self.process }, seconds < math.huge and seconds or nil)
  end
end

local function collect(self)
  local all = self.collected
  while self.gather do
    local list = self.gather:get_many(1024, 0)
    if not list then return end
    table.move(list, 1, list.n, all.n + 1, all)
    all.n = all.n + list.n
  end
end

function Steered:wait(timeout)
  local deadline = timeout and self.time() + timeout
  while not ended(self) do
    local seconds = left(self, deadline)
    if seconds == 0 then return nil, "timeout" end
    collect(self)
    local list = { self.process }
    if self.gather and not self.gather:closed() then list[2] = self.gather end
    self.core.wait(list, seconds < math.huge and seconds or nil)
  end
  collect(self)
  self.outcome.collected = self.collected
  return self.outcome
end

-- "drain": sources stop, what is inside is finished; "cancel": all ends now.
function Steered:stop(how) self.run.control:put { kind = "stop", how = how } end

-- To its end; what comes out and nobody reads does not hold it up.
function Steered:drain()
  while self.output and self:recv() ~= nil do end
  return self:wait()
end

function Steered:rows()
  if self.outcome then return self.outcome.rows end
  return rows(self.run)
end

return { start = start, cancel = function() stop_all "cancel" end }
