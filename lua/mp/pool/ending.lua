-- ending: pools at the end of the script: what was submitted is done, and
-- callbacks run, which may submit more. Of an imap that nobody goes on with,
-- what is in work is done; no more of its input is read. A script that is
-- interrupted, or ends because of a deadlock, waits for nothing.
--
-- SPDX-License-Identifier: MIT

local core = require "mp.core"
local callbacks = require "mp.pool.callbacks"
local client = require "mp.pool.client"
local wait = require "mp.pool.wait"

local function clients()
  local list = {}
  for c in pairs(client.all()) do
    if not c.ended then list[#list + 1] = c end
  end
  return list
end

-- The pools that have jobs for which fits(job) holds.
local function with_jobs(fits)
  local set = {}
  for _, c in ipairs(clients()) do
    for _, job in pairs(c.jobs) do
      if fits(job) then set[c] = true end
    end
  end
  return set
end

local function is_future(job) return not job.detach end

local function any() return true end

local function detach_imaps()
  for _, c in ipairs(clients()) do
    local list = {}
    for _, job in pairs(c.jobs) do
      if job.detach then list[#list + 1] = job end
    end
    for _, job in ipairs(list) do job:detach() end
  end
end

-- Futures first: a callback may still go through an imap.
local function busy()
  callbacks.run()
  local set = with_jobs(is_future)
  if next(set) then return set end
  detach_imaps()
  set = with_jobs(any)
  return next(set) and set
end

local function drain()
  local set = busy()
  while set do
    wait.sleep(set)
    wait.take_in(set)
    set = busy()
  end
end

core.finish(function()
  if not core.interrupted() then
    local ok, e = pcall(drain)
    if not ok and not core.interrupted() then core.stderr(tostring(e) .. "\n") end
  end
  for _, c in ipairs(clients()) do
    if core.interrupted() then
      c:terminate()
    elseif not c.closed then
      c:close()
    end
  end
end)

return true
