-- outlet: where a worker's results wait for the next commit, by link.
-- SPDX-License-Identifier: MIT
--
-- outlet(stage, core) -> o, for all that a stage feeds:
--   push(v, label)     routes a result as the notation says
--   fail(v)            routes what `!>` gets
--   begin(id, weight, part), close(flag)     a train begins, ends: what is pushed
--                      between goes into it, where its target reads trains. Results stand
--                      one behind the other; in a part of one where their items stood: pos
--   held(), hold(v)    what is in the train that has begun, and puts it there again
--   load(args) -> n    puts link, list, link, list, … into args for a commit
--   sent()             after the commit: all lists are empty again
--   shut() -> boolean  after a commit that found a link closed: forgets those links;
--                      true where none is left, of the results at least
--   waiting            results that wait, keys where they are added up
--   tally() -> the core.tally that all results go into, or nil
--   blame() -> item, label    whose key is being worked out, if one is
--   counts() -> { [checked link's place] = items }, total

local each = require("mp.flow.plan.copy").each
local combiner = require "mp.flow.combiner"
local slots = require("mp.flow.key").slots
local train = require "mp.flow.train"

local LARGE <const> = 1024      -- bytes of a string that count as one more message

local function nil_key(inbox)
  error(("the key '%s' is nil"):format(inbox.key_name), 0)
end

-- senders: what goes into one inbox ------------------------------------------------------
--
-- push(v) -> how many more messages wait then; a long string counts for several

-- Which of an inbox's links an item goes to, working out its key.
local function router(o, inbox)
  local key, slot = inbox.key, slots(inbox.links)
  return function(v)
    o.working, o.working_for = v, inbox.label
    local k = key(v)
    if k == nil then nil_key(inbox) end
    local at = slot(k)
    o.working = nil
    return at
  end
end

local function fresh(n)
  local lists = {}
  for i = 1, n do lists[i] = { n = 0 } end
  return lists
end

local function unload(self, args, n)
  for i, list in ipairs(self.lists) do
    if list.n > 0 and not self.gone[i] then
      args[n + 1], args[n + 2] = self.links[i], list
      n = n + 2
    end
  end
  return n
end

local function emptied(self)
  for i, list in ipairs(self.lists) do
    if list.n > 64 then self.lists[i] = { n = 0 } else list.n = 0 end
  end
end

local function sender(o, inbox)
  return { o = o, inbox = inbox, links = inbox.sends, lists = fresh(inbox.links), gone = {},
           load = unload, sent = emptied, closed = 0 }
end

local function plain(o, inbox)
  local self = sender(o, inbox)
  local route = inbox.links > 1 and router(o, inbox)
  local lists = self.lists

  function self.push(v)
    local list = lists[route and route(v) or 1]
    local n = list.n + 1
    list.n, list[n] = n, v
    return type(v) == "string" and #v >= LARGE and #v // LARGE or 1
  end
  return self
end

-- A full link loses the new items, or the old ones; nobody waits for it.
local function dropping(o, inbox, oldest)
  local self = plain(o, inbox)
  self.dropped = 0

  local function make_room(link, list)
    local over = link:qsize() + list.n - inbox.cap
    if over <= 0 then return end
    self.dropped = self.dropped + over
    if oldest then
      for _ = 1, math.min(over, link:qsize()) do link:get_nowait() end
      over = math.max(0, list.n - inbox.cap)
      table.move(list, over + 1, list.n, 1)
    end
    for i = list.n - over + 1, list.n do list[i] = nil end
    list.n = math.max(0, list.n - over)
  end

  function self.load(_, args, n)
    for i, list in ipairs(self.lists) do make_room(self.links[i], list) end
    return unload(self, args, n)
  end
  return self
end

-- Into trains; a link gets a part of every train, be it empty.
local function tagged(o, inbox, share, positions, branch)
  local self = sender(o, inbox)
  local open, links, places = {}, inbox.links, false
  local route = links > 1 and router(o, inbox)

  function self.begin(id, weight, part)
    places = positions or part
    for i = 1, links do
      open[i] = { id, weight / (share * links), 0, places and {} or false, n = 4 }
    end
  end

  function self.push(v)
    local part = open[route and route(v) or 1]
    local n = part.n + 1
    part.n, part[n] = n, v
    if places then part[4][n - 4] = o.pos end
  end

  function self.held() return table.move(open, 1, links, 1, { n = links }) end

  function self.hold(parts) table.move(parts, 1, links, 1, open) end

  function self.close(flag)
    for i = 1, links do
      local list = self.lists[i]
      open[i][3] = flag + train.BRANCH * branch
      list.n = list.n + 1
      list[list.n], open[i] = open[i], nil
    end
  end
  return self
end

-- What can be worked out before it is sent: one message for a link.
local function combining(o, inbox)
  local self = sender(o, inbox)
  local node = inbox.combines
  local adds = combiner({ spec = node.spec, key = inbox.key, key_name = inbox.key_name, label = node.id },
                        inbox.links)
  local lists = self.lists
  self.push, self.blame, self.tally = adds.add, adds.blame, adds.tally

  function self.load(_, args, n)
    for i, part in pairs(adds.take()) do lists[i].n, lists[i][1] = 1, part end
    return unload(self, args, n)
  end
  return self
end

local function branch_of(inbox, stage)
  return inbox.zip and inbox.zip[stage] or inbox.joins and stage.index or 0
end

local function sender_for(o, inbox, stage, share)
  if inbox.tagged then return tagged(o, inbox, share, o.positions, branch_of(inbox, stage)) end
  if inbox.combines then return combining(o, inbox) end
  if inbox.full ~= "wait" then return dropping(o, inbox, inbox.full == "drop_old") end
  return plain(o, inbox)
end

-- routes ------------------------------------------------------------------------------------

local function unknown_label(outlet, label)
  local known = {}
  for i, name in ipairs(outlet.labels) do known[i] = ("'%s'"):format(name) end
  error(("no branch takes the label %s (there are %s)"):format(
    label == nil and "nil" or ("'%s'"):format(tostring(label)), table.concat(known, ", ")), 0)
end

local compile

-- A label is also the number, or the boolean, that is written like it.
local values = { ["true"] = true, ["false"] = false }

local function value_of(label)
  local value = values[label]
  return value == nil and tonumber(label) or value
end

local function routed(o, outlet)
  local by_label, other = {}, outlet.other and compile(o, outlet.other)
  for i, branch in ipairs(outlet) do
    local label = outlet.labels[i]
    by_label[label] = compile(o, branch)
    local value = value_of(label)
    if value ~= nil then by_label[value] = by_label[label] end
  end
  return function(v, label)
    local to = by_label[label] or other
    if not to then unknown_label(outlet, label) end
    to(v)
  end
end

-- A whole train goes one way; the others get an empty one.
local function any(o, outlet)
  local ways, at = {}, 0
  for i, branch in ipairs(outlet) do ways[i] = compile(o, branch) end
  return function(v)
    if o.dealt ~= outlet then at, o.dealt = at % #ways + 1, outlet end
    ways[at](v)
  end
end

local function all(o, outlet)
  local ways = {}
  for i, branch in ipairs(outlet) do ways[i] = compile(o, branch) end
  return function(v)
    for i = 1, #ways do ways[i](v) end
  end
end

-- The same push for one inbox, however many ways lead there: each counts its items.
local function to(o, outlet)
  local s = o.by_inbox[outlet.inbox]
  local push, count = s.push, { links = outlet.links, n = 0 }
  table.insert(o.counted, count)
  return function(v)
    count.n = count.n + 1
    o.waiting = o.waiting + (push(v) or 0)
  end
end

local kinds = { to = to, all = all, any = any, route = routed }

function compile(o, outlet) return kinds[outlet.kind](o, outlet) end

-- the whole ---------------------------------------------------------------------------------

local Outlet = {}
Outlet.__index = Outlet

function Outlet:begin(id, weight, part)
  self.dealt, self.pos, self.counting = nil, 0, not part
  for _, s in ipairs(self.tagged) do s.begin(id, weight, part) end
end

function Outlet:held()
  local v = { pos = self.pos }
  for i, s in ipairs(self.tagged) do v[i] = s.held() end
  return v
end

function Outlet:hold(v)
  self.pos = v.pos
  for i, s in ipairs(self.tagged) do s.hold(v[i]) end
end

function Outlet:close(flag)
  for _, s in ipairs(self.tagged) do s.close(flag) end
end

function Outlet:load(args)
  local n = 0
  for _, s in ipairs(self.senders) do
    if not s.over then n = s:load(args, n) end
  end
  return n
end

function Outlet:sent()
  for _, s in ipairs(self.senders) do s:sent() end
  self.waiting = 0
end

local function nothing() end

function Outlet:shut()
  local open = 0
  for _, s in ipairs(self.senders) do
    local left = 0
    for i, link in ipairs(s.links) do
      s.gone[i] = s.gone[i] or link:closed()
      left = left + (s.gone[i] and 0 or 1)
    end
    s.over = left == 0
    if not self.fail or self.results[s] then open = open + left end
  end
  return open == 0 and next(self.results) ~= nil
end

-- Where all results go into one inbox: what takes them, true if one more waits then;
-- and where to count them.
function Outlet:single()
  if #self.counted > 1 or #self.tagged > 0 or not self.straight then return nil end
  return self.straight.push, self.counted[1]
end

-- The tally that all results go into, where that is all that is done with them.
function Outlet:tally()
  return #self.senders == 1 and #self.counted == 1 and self.senders[1].tally or nil
end

function Outlet:blame()
  if self.working ~= nil then return self.working, self.working_for end
  for _, s in ipairs(self.senders) do
    local v = s.blame and s.blame()
    if v ~= nil then return v, s.inbox.label end
  end
end

function Outlet:dropped()
  local n = 0
  for _, s in ipairs(self.senders) do n = n + (s.dropped or 0) end
  return n
end

-- A whole train's results stand one behind the other; those of a part of one where
-- the item that they come from stood.
local function placing(o, push)
  return function(v, label)
    if o.counting then o.pos = o.pos + 1 end
    push(v, label)
  end
end

return function(stage)
  local o = setmetatable({ waiting = 0, by_inbox = {}, senders = {},
    tagged = {}, counted = {}, positions = stage.positions, pos = 0 }, Outlet)
  local share = 0
  for _, inbox in ipairs(stage.outboxes) do share = share + (inbox.tagged and 1 or 0) end
  for i, inbox in ipairs(stage.outboxes) do
    local s = sender_for(o, inbox, stage, share)
    o.senders[i], o.by_inbox[inbox] = s, s
    if inbox.tagged then table.insert(o.tagged, s) end
  end
  o.push = stage.out and compile(o, stage.out) or nothing
  o.results = {}
  each(stage.out, function(way) o.results[o.by_inbox[way.inbox]] = true end)
  o.straight = stage.out and stage.out.kind == "to" and o.by_inbox[stage.out.inbox]
  o.fail = stage.err and compile(o, stage.err) or nil
  if #o.tagged > 0 then
    o.push, o.fail = placing(o, o.push), o.fail and placing(o, o.fail)
  end
  return o
end
