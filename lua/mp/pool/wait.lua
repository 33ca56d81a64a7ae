-- wait: for futures, of one pool or several, alone or among other things.
--
-- as_completed, wait_all, wait_any, and what mp.wait does when a future is in
-- its list, or when callbacks are due meanwhile.
--
-- SPDX-License-Identifier: MIT

local core = require "mp.core"
local remote = require "mp.error"
local callbacks = require "mp.pool.callbacks"
local check = require "mp.pool.check"
local future = require "mp.pool.future"

local mp = core.mp
local Future = future.Future

-- Takes in what has come for the pools of these futures, without waiting.
local function take_in(clients)
  for c in pairs(clients) do
    if not c.foreign then c:look() end
  end
end

-- Sleeps until something may have come for one of them (or, with others,
-- something of that list is ready), or the time is over.
local function sleep(clients, others, left)
  local one = next(clients)
  if one and next(clients, one) == nil and not others and not one.ended then
    return one:await(left)
  end
  local list = others or {}
  for c in pairs(clients) do
    if not c.ended then
      list[#list + 1] = c.results
      list[#list + 1] = c.supervisor
    end
  end
  core.wait(list, left, true)
  for c in pairs(clients) do
    if not c.ended and not c.supervisor:is_alive() then c:supervisor_ended() end
  end
end

local function each_future(list, call)
  if getmetatable(list) == Future then
    check.fail(call, "futures must be a list, got one Future; put it into {}")
  end
  local n = check.list(list, call, "futures")
  local seen, all = {}, {}
  for i = 1, n do
    local f = list[i]
    if getmetatable(f) ~= Future then
      check.fail(call, "item %d must be a Future, got %s", i, type(f))
    elseif f.client.foreign then
      check.fail(call, "item %d belongs to the process that submitted the task", i)
    end
    if not seen[f] then
      seen[f] = true
      all[#all + 1] = f
    end
  end
  return all
end

local function pending_clients(all)
  local clients, n = {}, 0
  for _, f in ipairs(all) do
    if f.state == "pending" then
      clients[f.client] = true
      n = n + 1
    end
  end
  return clients, n
end

-- Until enough(pending) says so, or the deadline has passed.
local function until_done(all, timeout, enough)
  local deadline = timeout and mp.time() + timeout
  local clients = pending_clients(all)
  take_in(clients)
  while true do
    callbacks.run()
    local n
    clients, n = pending_clients(all)
    if enough(n) then return true end
    local left = deadline and math.max(0, deadline - mp.time())
    if left and left <= 0 then return false end
    sleep(clients, nil, left)
    take_in(clients)
  end
end

-- wait_all, wait_any -------------------------------------------------------------------

local RETURN = { all_completed = true, first_completed = true, first_exception = true }

local function any_failed(all)
  for _, f in ipairs(all) do
    if f.state ~= "pending" and f.state ~= "done" then return true end
  end
  return false
end

-- done, pending = mp.wait_all(futures, [timeout], [return_when])
function mp.wait_all(futures, timeout, return_when)
  local call = "mp.wait_all"
  local all = each_future(futures, call)
  check.timeout(timeout, call)
  if return_when ~= nil and not RETURN[return_when] then
    check.fail(call, "return_when must be all_completed, first_completed or first_exception, got %s",
               tostring(return_when))
  end
  local total = #all
  until_done(all, timeout, function(n)
    return n == 0 or (return_when == "first_completed" and n < total)
      or (return_when == "first_exception" and any_failed(all))
  end)
  local done, pending = { n = 0 }, { n = 0 }
  for _, f in ipairs(all) do
    local list = f.state == "pending" and pending or done
    list.n = list.n + 1
    list[list.n] = f
  end
  return done, pending
end

-- The first that is done, or nil, "timeout".
function mp.wait_any(futures, timeout)
  local call = "mp.wait_any"
  local all = each_future(futures, call)
  check.timeout(timeout, call)
  if #all == 0 then check.fail(call, "an empty list would be waited for for ever") end
  local total = #all
  until_done(all, timeout, function(n) return n < total end)
  local first
  for _, f in ipairs(all) do
    if f.state ~= "pending" and (not first or f.order < first.order) then first = f end
  end
  if not first then return nil, "timeout" end
  return first
end

-- as_completed -------------------------------------------------------------------------

-- Those that are not done; and those that are, the first one last.
local function parted(all)
  local pending, done = {}, {}
  for _, f in ipairs(all) do
    local list = f.state == "pending" and pending or done
    list[#list + 1] = f
  end
  table.sort(done, function(a, b) return a.order > b.order end)
  return pending, done
end

-- for f in mp.as_completed(futures, [timeout]): those that are done first.
function mp.as_completed(futures, timeout)
  local call = "mp.as_completed"
  local all = each_future(futures, call)
  check.timeout(timeout, call)
  local total, deadline = #all, timeout and mp.time() + timeout
  local done = {}  -- the last one is the next; none of those that were given
  return function()
    if #done == 0 and #all > 0 then
      local count = #all
      until_done(all, deadline and math.max(0, deadline - mp.time()), function(n) return n < count end)
      all, done = parted(all)
      if #done == 0 then
        error(remote.new { name = "Timeout", traceback = "",
          message = ("%d (of %d) futures unfinished"):format(count, total) }, 0)
      end
    end
    return table.remove(done)
  end
end

-- mp.wait ------------------------------------------------------------------------------

-- The list without its futures; pools to listen to; is any of them done?
local function sort_out(list, n)
  local others, clients, done = { n = 0 }, future.clients_held(), false
  for i = 1, n do
    local x = list[i]
    if getmetatable(x) ~= Future then
      others.n = others.n + 1
      others[others.n] = x
    elseif x.client.foreign then
      check.fail("mp.wait", "item %d belongs to the process that submitted the task", i)
    elseif x.state == "pending" then
      clients[x.client] = true
    else
      done = true
    end
  end
  return others, clients, done
end

-- What of the list is done or ready, in its order.
local function chosen(list, n, ready)
  local set, result = {}, { n = 0 }
  for i = 1, #ready do set[ready[i]] = true end
  for i = 1, n do
    local x = list[i]
    if set[x] or (getmetatable(x) == Future and x.state ~= "pending") then
      result.n = result.n + 1
      result[result.n] = x
    end
  end
  return result
end

local function mp_wait(list, timeout)
  check.timeout(timeout, "mp.wait")
  local deadline = timeout and mp.time() + timeout
  local n = check.list(list, "mp.wait", "the argument")
  if n == 0 and not timeout then return core.wait(list, timeout) end
  while true do
    local _, clients = sort_out(list, n)
    take_in(clients)
    callbacks.run()
    local others, still, done = sort_out(list, n)
    local ready = others.n > 0 and core.wait(others, 0) or {}
    if done or #ready > 0 then return chosen(list, n, ready) end
    local left = deadline and math.max(0, deadline - mp.time())
    if left and left <= 0 then return { n = 0 } end
    others.n = nil
    sleep(still, others, left)
  end
end

future.wait = mp_wait
Future.__mp_result = mp_wait

return { sleep = sleep, take_in = take_in }
