-- thread: mp.Thread and its subclasses, and how a thread's Lua state begins.
--
-- SPDX-License-Identifier: MIT

local core = require "mp.core"
local actor = require "mp.actor"

local mp = core.mp

local threads = {}   -- started here and perhaps still running

-- A forked child has none of its creator's.
function core.forget_threads()
  if #threads > 0 then threads = {} end
end

-- what a state begins with -----------------------------------------------------------

-- What is in package.preload and can travel: C functions go another way.
local function preloaded()
  local list = {}
  for name, f in pairs(package.preload) do
    local is_c = type(f) == "function" and debug.getinfo(f, "S").what == "C"
    if not is_c and core.can_travel(f) then list[name] = f end
  end
  return list
end

-- nil where it was closed, too.
local function parent()
  local p = core.parent()
  return p and pcall(core.get, p, "state") and p or nil
end

-- arg: the script's; options: mprun's; words: a flow's are globals; nesting: see
-- pool/depth.lua.
local function setup()
  return { path = package.path, cpath = package.cpath, preload = preloaded(), arg = arg,
           options = package.loaded["mp.options"], words = core.words, parent = parent(),
           nesting = core.nesting }
end

-- A pipeline's words are loaded when the first one is used: few threads do.
local WORDS = { flow = true, stage = true, filter = true, fold = true, source = true, emit = true,
                defaults = true }

local function words_on_demand()
  _G.mp = mp
  setmetatable(_G, { __index = function(globals, name)
    if not WORDS[name] then return nil end
    setmetatable(globals, nil)
    require "mp.main".prepare(globals)
    return globals[name]
  end })
end

core.enter_thread(function()
  local given = core.given(1)
  package.path, package.cpath = given.path, given.cpath
  for name, f in pairs(given.preload) do package.preload[name] = f end
  _G.arg = given.arg
  if given.options then
    package.preload["mp.options"] = function() return given.options end
  end
  core.adopt(given.parent)
  core.current()
  core.words, core.nesting = given.words, given.nesting
  if given.words then words_on_demand() end
  local p = core.current_thread()
  actor.take(p, core.given(2))
  return actor.run(p)
end)

-- Thread ---------------------------------------------------------------------------------

local Thread = actor.class("Thread", core.thread_methods, core.new_thread)

-- What cannot travel is raised in the codec; the caller gives it its place.
local function start(p)
  local ok, started, why = pcall(core.start_thread, p, setup(), actor.task(p))
  if ok then return started, why end
  return nil, (tostring(started):gsub("^.-Thread:start: ", "", 1))
end

function Thread:start()
  actor.demand(self, "Thread", "Thread:start")
  return actor.start(self, threads, start)
end

mp.Thread = Thread
mp.current_thread = core.current_thread

-- Who runs here: the thread, else the process.
function core.actor() return core.current_thread() or core.current() end

function mp.active_threads()
  return actor.live(threads)
end

return Thread
