-- flow_fake: the engine's few calls that flows need, in one process, with
-- coroutines for processes: pure tests of what runs, and of deaths at will.
-- SPDX-License-Identifier: MIT
--
-- fake(options) -> engine for flow objects: f.engine = fake()
--   options.die(name, leases) -> true to kill that worker now (it has leased)

local function link_class(state)
  local Link = {}
  Link.__index = Link

  function Link:lease(max, timeout)
    while #self.items == 0 do
      if self.closed then return nil, "closed" end
      if timeout == 0 then return nil, "timeout" end
      state.pause()
    end
    local list = { n = 0 }
    while list.n < max and #self.items > 0 do
      list.n = list.n + 1
      list[list.n] = table.remove(self.items, 1)
      table.insert(state.held(), { link = self, item = list[list.n] })
    end
    state.maybe_die()
    return list
  end

  function Link:close(drop)
    self.closed = true
    if drop then self.items = {} end
  end

  function Link:qsize() return #self.items end
  return Link
end

-- What a message is when it arrives: a copy.
local function copy(v)
  if type(v) == "thread" then error("cannot send a coroutine", 0) end
  if type(v) ~= "table" then return v end
  local new = {}
  for k, x in pairs(v) do new[k] = copy(x) end
  return new
end

local function fake(options)
  options = options or {}
  local state = { processes = {}, main = { held = {} }, clock = 0, pid = 100 }
  local current = state.main
  local core, Process = {}, {}
  Process.__index = Process

  function state.held() return current.held end

  function state.pause()
    assert(current ~= state.main, "deadlock: the owner waits for a link")
    coroutine.yield()
  end

  local function give_back(p)
    for i = #p.held, 1, -1 do table.insert(p.held[i].link.items, 1, p.held[i].item) end
    p.held = {}
  end

  function state.maybe_die()
    if current ~= state.main and options.die and options.die(current.name) then
      current.dead = true
      coroutine.yield()
    end
  end

  local Link = link_class(state)

  function core.link(cap) return setmetatable({ cap = cap, items = {} }, Link) end

  function core.commit(...)
    local args = table.pack(...)
    local function blocked()
      for i = 1, args.n, 2 do
        if #args[i].items >= args[i].cap then return true end
      end
    end
    state.maybe_die()
    local copies = {}
    for i = 1, args.n, 2 do copies[i] = copy(args[i + 1]) end
    for i = 1, args.n, 2 do
      if args[i].closed then return nil, "closed" end
    end
    while blocked() do state.pause() end
    for i = 1, args.n, 2 do
      if args[i].closed then return nil, "closed" end
      for j = 1, args[i + 1].n do table.insert(args[i].items, copies[i][j]) end
    end
    current.held = {}
    state.maybe_die()
    return true
  end

  function core.release() give_back(current) end

  function Process:start()
    state.pid = state.pid + 1
    self.pid, self.held = state.pid, {}
    self.thread = coroutine.create(self.target)
    table.insert(state.processes, self)
  end

  local function finish(p, exitcode)
    p.exitcode = exitcode
    give_back(p)
  end

  function Process:kill()
    if not self.exitcode then finish(self, -9) end
  end

  function Process:join() return self.exitcode and true end
  function Process:is_alive() return self.exitcode == nil end

  local function step(p)
    local before = current
    current = p
    local fine, err = coroutine.resume(p.thread, table.unpack(p.args, 1, p.args.n))
    current = before
    if not fine then
      p.error = err
      finish(p, 1)
    elseif p.dead then
      finish(p, -9)
    elseif coroutine.status(p.thread) == "dead" then
      finish(p, 0)
    end
  end

  local function ready(list)
    local found = {}
    for _, x in ipairs(list) do
      if x.items and (#x.items > 0 or x.closed) or x.exitcode then found[#found + 1] = x end
    end
    return found
  end

  function core.wait(list)
    for _ = 1, 1000000 do
      local found = ready(list)
      if #found > 0 then return found end
      for _, p in ipairs(state.processes) do
        if not p.exitcode then step(p) end
      end
    end
    error "deadlock: nothing moves"
  end

  return {
    core = core,
    Process = function(t)
      t.args.n = t.args.n or #t.args
      return setmetatable(t, Process)
    end,
    time = function()
      state.clock = state.clock + 0.0001
      return state.clock
    end,
    sleep = function(seconds) state.clock = state.clock + seconds end,
    words = function(n)
      local list = {}
      for i = 1, n do list[i] = 0 end
      return list
    end,
    say = function() end,
    cpus = function() return options.cpus or 3 end,
    processes = state.processes,
  }
end

return fake
