-- outlet: where a worker's results wait for the next commit, by link.
-- SPDX-License-Identifier: MIT
--
-- outlet(stage, links) makes the way into `stage`, which reads `links`:
--   push(v)           routes an item: by its key, or to the one link
--   load(args) -> n   puts link, list, link, list, … into args for a commit
--   sent()            after the commit: all lists are empty again
--   total()           items pushed so far
--   spill(n, f)       f is called when n items wait
--   blame()           the item whose key is being worked out, if one is
-- With `stage.counts` the items are counted per key until the commit,
-- and one message {key, count, key, count, …, n =, items =} goes to each link.

local slots = require("mp.flow.key").slots

local function nil_key(stage)
  error(("the key '%s' is nil"):format(stage.key_name), 0)
end

local function nowhere()
  return { push = function() end, load = function() return 0 end, sent = function() end,
           total = function() return 0 end, spill = function() end, blame = function() end }
end

-- Routes items to a list per link: { n =, item, … }.
local function plain(stage, links)
  local lists, key, slot = {}, stage.key, slots(#links)
  for i = 1, #links do lists[i] = { n = 0 } end
  local only, working = lists[1], nil
  local waiting, sent, limit, full = 0, 0, math.huge, nil

  local function put(list, v)
    local n = list.n + 1
    list.n, list[n] = n, v
    waiting = waiting + 1
    if waiting >= limit then full() end
  end

  local function keyed(v)
    working = v
    local k = key(v)
    if k == nil then nil_key(stage) end
    local list = lists[slot(k)]
    working = nil
    put(list, v)
  end

  local self = {}
  self.push = #links > 1 and keyed or function(v) put(only, v) end

  function self.load(args)
    local n = 0
    for i, list in ipairs(lists) do
      if list.n > 0 then
        args[n + 1], args[n + 2] = links[i], list
        n = n + 2
      end
    end
    return n
  end

  function self.sent()
    for i, list in ipairs(lists) do
      if list.n > 64 then lists[i] = { n = 0 } else list.n = 0 end
    end
    only, sent, waiting = lists[1], sent + waiting, 0
  end

  function self.total() return sent + waiting end
  function self.spill(n, f) limit, full = n, f end
  function self.blame() return working end
  return self
end

-- Counts items per key.  Equal strings have equal keys: they are counted first,
-- and their key is worked out once per commit, so that a word count spends its
-- time in the words.
local function counting(stage, links)
  local key, slot = stage.key or function() return 0 end, slots(#links)
  local strings, order, counts, keys = {}, {}, {}, {}
  local waiting, sent, limit, full, working = 0, 0, math.huge, nil, nil

  local function count(v, n)
    working = v
    local k = key(v)
    if k == nil then nil_key(stage) end
    local before = counts[k]
    if not before then
      slot(k)                     -- raises what cannot be a key
      keys[#keys + 1] = k
    end
    counts[k] = (before or 0) + n
    working = nil
  end

  local function first(v)
    if type(v) ~= "string" then return count(v, 1) end
    strings[v] = 1
    order[#order + 1] = v
  end

  local self = {}

  function self.push(v)
    local n = strings[v]
    if n then strings[v] = n + 1 else first(v) end
    waiting = waiting + 1
    if waiting >= limit then full() end
  end

  function self.load(args)
    for i = 1, #order do count(order[i], strings[order[i]]) end
    local batches, filled = {}, 0
    for i = 1, #keys do
      local k = keys[i]
      local at = slot(k)
      local batch = batches[at]
      if not batch then
        batch = { n = 0, items = 0 }
        batches[at] = batch
        args[filled + 1], args[filled + 2] = links[at], { n = 1, batch }
        filled = filled + 2
      end
      local m, n = batch.n, counts[k]
      batch[m + 1], batch[m + 2] = k, n
      batch.n, batch.items = m + 2, batch.items + n
    end
    return filled
  end

  function self.sent()
    strings, order, counts, keys = {}, {}, {}, {}
    sent, waiting = sent + waiting, 0
  end

  function self.total() return sent + waiting end
  function self.spill(most, f) limit, full = most, f end
  function self.blame() return working end
  return self
end

-- outlet(stage, links)
return function(stage, links)
  if not stage then return nowhere() end
  return (stage.counts and counting or plain)(stage, links)
end
