-- source: what a map goes through: a list, an iterator function, a queue, or
-- anything else that can be called for one item after the other.
--
-- new(iterable, call) -> source, at least raises what is wrong with it
-- source:take(max, [wait]) -> list of up to max items (n), n
--   What the script's iterator raises ends it; it is in source.error then.
-- source.over        there are no more
-- source.n           how many there are, nil: unknown
-- source.queue       the queue, if it is one: take then gives what is there,
--                    at least one item if it may wait. So whoever puts may
--                    wait for a result before putting more.
--
-- SPDX-License-Identifier: MIT

local core = require "mp.core"
local check = require "mp.pool.check"

local types = core.types

local Source = {}
Source.__index = Source

local M = {}

local function list(t, call)
  local n, i = check.list(t, call, "the list"), 0
  return function(max)
    local k = math.min(max, n - i)
    local items = core.slice(t, i + 1, k)
    i = i + k
    return items, k
  end, n
end

-- What the iterable returns, one by one, until nil.
local function calls(next)
  return function(max, self)
    local items, k = { n = 0 }, 0
    while k < max do
      local ok, item = pcall(next)
      if not ok then
        self.error = { value = item }
        break
      end
      if item == nil then break end
      k = k + 1
      items[k] = item
    end
    items.n = k
    return items, k
  end
end

-- What a queue has; to wait, it takes the script's word that more will come.
local function queued(q, call)
  return function(max, self, wait)
    local items, k = { n = 0 }, 0
    while k < max do
      local item, why = q:get(wait and k == 0 or false)
      if item == nil then
        self.over = why ~= "empty"
        if not why then
          self.error = { value = call .. ": a nil item in the queue would end the loop" }
        end
        break
      end
      k = k + 1
      items[k] = item
    end
    items.n = k
    return items, k
  end
end

-- What a `for` over f, s gives first: a dict's keys.
local function loop(f, s)
  local key
  return calls(function()
    key = f(s, key)
    return key
  end)
end

-- The methods of our objects, however they are indexed.
local function methods(x)
  local meta = type(x) == "userdata" and getmetatable(x)
  return type(meta) == "table" and types[meta.__name] or {}
end

function M.new(iterable, call)
  local self = setmetatable({}, Source)
  local has = methods(iterable)
  if type(iterable) == "function" then
    self.pull = calls(iterable)
  elseif has == types.Queue or has == types.JoinableQueue then
    self.pull, self.queue = queued(iterable, call), iterable
  elseif has == types.SimpleQueue then
    self.pull = calls(function() return (iterable:get()) end)
  elseif check.is_callable(iterable) then
    self.pull = calls(function() return iterable() end)
  elseif type(iterable) == "table" then
    self.pull, self.n = list(iterable, call)
  elseif has == types.List or has == types.Array then
    self.pull, self.n = list(iterable:totable(), call)
  elseif has.items then
    self.pull = loop(iterable:items())
  else
    check.fail(call, "expected a list, an iterator function or a queue, got %s", type(iterable))
  end
  return self
end

function Source:take(max, wait)
  if self.over then return nil, 0 end
  local items, n = self.pull(max, self, wait)
  if n < max and not self.queue then self.over = true end
  return items, n
end

-- Everything, as a list; raises what the script's iterator raised.
function Source:all()
  local all, n = { n = 0 }, 0
  repeat
    local items, k = self:take(65536, true)
    if k > 0 then table.move(items, 1, k, n + 1, all) end
    n = n + k
  until self.over
  if self.error then error(self.error.value, 0) end
  all.n = n
  return all
end

return M
