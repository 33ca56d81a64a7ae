-- order: puts trains back into the order in which they began.  Pure.
-- SPDX-License-Identifier: MIT
--
-- order.new(expects, windowed) -> o
--   expects    { [origin] = weight of a whole train } for every origin that reaches here
--   windowed   a MARK counts only when every origin has sent it; what an origin
--              sends behind its mark waits until then
-- o:put(train, lease)      lease: its number, for the worker
-- o:ready() -> whether a whole train is next in line; then
--   o:next_leases()        its leases
--   o:next() -> train, leases     takes it; its parts merged. A train whose flag is
--                          MARK comes once for all origins
-- o:late() -> train, leases | nil     what came behind all others, when there are no more
-- o:state() -> state       how far it is, for the ledger; not what waits

local train = require "mp.flow.train"

local order = { ENOUGH = 1e-12 }       -- what may be missing from a sum of weights
order.__index = order

function order.new(expects, windowed, merge)
  local self = setmetatable({ expects = expects, windowed = windowed, waiting = {}, line = {},
    stopped = {}, nstopped = 0, origins = 0, at_hand = {},
    merge = merge or train.merged }, order)
  for origin in pairs(expects) do
    self.line[origin] = train.first(origin)
    self.origins = self.origins + 1
  end
  return self
end

local function whole(self, id)
  local w = self.waiting[id]
  return w and w.weight >= self.expects[train.origin(id)] - order.ENOUGH
end

function order:put(t, lease)
  local id = t[1]
  local w = self.waiting[id]
  if not w then
    w = { weight = 0, leases = {} }
    self.waiting[id] = w
  end
  w[#w + 1], w.weight = t, w.weight + t[2]
  w.leases[#w.leases + 1] = lease
  local origin = train.origin(id)
  if self.line[origin] == id and whole(self, id) then self.at_hand[#self.at_hand + 1] = origin end
end

-- All have come to the end of the window.
local function align(self)
  for origin in pairs(self.stopped) do
    self.stopped[origin] = nil
    if whole(self, self.line[origin]) then self.at_hand[#self.at_hand + 1] = origin end
  end
  self.nstopped = 0
end

local function take(self, origin)
  local id = self.line[origin]
  local w = self.waiting[id]
  self.waiting[id] = nil
  local flag = w[1][3]
  self.line[origin] = train.following(id, flag)
  return w, flag
end

-- The origin whose train is next.
local function first_ready(self)
  local ready = self.at_hand
  while #ready > 0 do
    local origin = ready[#ready]
    if not self.stopped[origin] and whole(self, self.line[origin]) then return origin end
    ready[#ready] = nil
  end
end

function order:ready() return first_ready(self) ~= nil end

function order:next_leases() return self.waiting[self.line[first_ready(self)]].leases end

function order:next()
  local origin = first_ready(self)
  local w, flag = take(self, origin)
  local t = self.merge(w)
  if self.windowed and flag & 15 == train.MARK then
    self.stopped[origin], self.nstopped = true, self.nstopped + 1
    if self.nstopped == self.origins then align(self) else t[3] = 0 end
  end
  return t, w.leases
end

-- Nothing more will come, and what waits stands behind a gap: a source was stopped
-- in the middle. Goes on behind it; false where nothing waits.
function order:leap()
  local first = {}
  for id in pairs(self.waiting) do
    local origin = train.origin(id)
    if id ~= train.LATE and (not first[origin] or id < first[origin]) then first[origin] = id end
  end
  for origin, id in pairs(first) do
    self.line[origin], self.waiting[id].weight = id, self.expects[origin]
    self.at_hand[#self.at_hand + 1] = origin
  end
  return next(first) ~= nil
end

function order:late()
  local w = self.waiting[train.LATE]
  if not w then return nil end
  self.waiting[train.LATE] = nil
  return self.merge(w), w.leases
end

-- How far it is, as a state for the ledger.
function order:state()
  local told = {}

  local function all()
    local line, stopped = {}, {}
    for origin, id in pairs(self.line) do line[origin], told[origin] = id, id end
    for origin in pairs(self.stopped) do stopped[#stopped + 1] = origin end
    return { line, stopped }, self.origins + 1
  end

  local function changes()
    for origin, id in pairs(self.line) do
      if told[origin] ~= id then return all() end
    end
  end

  local function load(v)
    self.line, self.stopped, self.nstopped = v[1], {}, #v[2]
    for _, origin in ipairs(v[2]) do self.stopped[origin] = true end
  end

  return { all = all, changes = changes, load = load, apply = load }
end

return order
