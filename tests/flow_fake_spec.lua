-- flow_fake: the engine in coroutines does what the real one does: the same calls,
-- chosen at random, have the same results; and its clock.
-- SPDX-License-Identifier: MIT

local fake = require "tests.flow_fake"
local mp = require "mp"
local support = require "tests.support"

-- What a worker does before it is killed: leases, and keeps and commits some.
local function hapless(core, links, plan)
  local list = links[plan.link]:lease(plan.max, 0)
  if not list then return end
  for i = 1, list.n do
    if plan.keeps[i] then core.keep(list.lease + i - 1) end
  end
  if plan.commits then core.commit(links[plan.to], { n = 1, "from one that died" }) end
  if plan.claims then
    for i = 1, list.n do
      if plan.keeps[i] then core.claim(list.lease + i - 1) end
    end
  end
end

local real = { core = mp.core }

function real.dies(links, plan)
  local has = mp.Event()
  local p = mp.spawn(function()
    hapless(mp.core, links, plan)
    has:set()
    mp.sleep(60)
  end)
  has:wait()
  p:kill()
  p:join()
end

-- Until the dead one's leases are back.
function real.settled(link, n) support.eventually(function() return link:qsize() == n end) end

local function unreal()
  local engine = fake()
  local self = { core = engine.core }
  function self.dies(links, plan)
    local p = engine.Process { name = "hapless", args = {}, target = function()
      hapless(engine.core, links, plan)
      engine.sleep(60)
    end }
    p:start()
    engine.sleep(1)
    p:kill()
  end
  function self.settled() end
  return self
end

local function text(...)
  local parts = table.pack(...)
  for i = 1, parts.n do parts[i] = tostring(parts[i]) end
  return table.concat(parts, " ")
end

-- The calls to choose from; each returns what happened, as text. `held` are the
-- leases as this process knows them, by number; numbers are counted from `base`.
local function acts_of(engine, links)
  local core, held, youngest, count, base = engine.core, {}, 0, 0, nil
  local acts = {}

  function acts.lease()
    local at = math.random(#links)
    local list, why = links[at]:lease(math.random(6), 0)
    if not list then return text("lease", at, why) end
    base = base or list.lease
    youngest = list.lease - base + list.n - 1
    for i = 0, list.n - 1 do held[list.lease - base + i] = "leased" end
    return text("lease", at, list.n, list.first, list.lease - base, list.tries, table.concat(list, ","))
  end

  function acts.commit()
    local args = {}
    for _, link in ipairs(links) do
      local list = { n = link:full() and 0 or math.random(0, 3) }
      for i = 1, list.n do list[i] = count + i end
      count = count + list.n
      args[#args + 1], args[#args + 2] = link, list
    end
    local fine, why = core.commit(table.unpack(args))
    for lease, what in pairs(fine and held or {}) do
      if what == "leased" then held[lease] = nil end
    end
    return text("commit", count, fine, why)
  end

  -- Of a few leases; mostly such as are leased, or kept.
  local function turn(call, from, to)
    local lease, n = math.max(0, youngest - math.random(0, 12)), math.random(2)
    for _ = 1, 12 do
      if held[lease] ~= from then lease = (lease + 5) % (youngest + 1) end
    end
    local fine = pcall(core[call], (base or 1) + lease, n)
    for i = lease, lease + n - 1 do held[i] = fine and to or held[i] end
    return text(call, lease, n, fine)
  end

  function acts.keep() return turn("keep", "leased", "kept") end
  function acts.claim() return turn("claim", "kept", "leased") end

  function acts.release()
    core.release()
    held = {}
    return "release"
  end

  function acts.death(sizes)
    local plan = { link = math.random(2), to = 2, max = math.random(4), keeps = {},
                   commits = math.random(2) == 1, claims = math.random(3) == 1 }
    for i = 1, plan.max do plan.keeps[i] = math.random(2) == 1 end
    engine.dies(links, plan)
    for i, n in ipairs(sizes or {}) do engine.settled(links[i], n) end
    return "death"
  end

  function acts.close()
    local at = math.random(2, #links)
    links[at]:close()
    return text("close", at)
  end
  return acts
end

local ODDS <const> = { lease = 30, commit = 15, keep = 25, claim = 15, release = 3, death = 3, close = 1 }
local NAMES <const> = { "lease", "commit", "keep", "claim", "release", "death", "close" }

local function choose()
  local at = math.random(92)
  for _, name in ipairs(NAMES) do
    at = at - ODDS[name]
    if at <= 0 then return name end
  end
end

-- An open one that is empty may look ready: whoever takes finds out.
local function state_of(core, link)
  local some = not link:empty() or link:closed()
  return (link:closed() and " closed" or "") .. (link:full() and " full" or "")
    .. (some and core.wait({ link }, 0).n == 1 and " ready" or "")
end

-- What happened, as text, and what was in the links after each call. known: that,
-- as it was with the other engine.
local function play(engine, seed, known)
  math.randomseed(seed)
  local core, log, all = engine.core, {}, {}
  local links = { core.link(12), core.link(), core.link(5) }
  local acts = acts_of(engine, links)
  for step = 1, 250 do
    local name = choose()
    local line, sizes = acts[name](known and known[step]), {}
    for i, link in ipairs(links) do
      sizes[i] = link:qsize()
      line = line .. "  " .. sizes[i] .. state_of(core, link)
    end
    log[step], all[step] = line, sizes
  end
  core.release()
  return log, all
end

describe("the fake engine", function()
  it("does what the real one does", function()
    for seed = 1, 30 do
      local expected, known = play(unreal(), seed)
      local log = play(real, seed, known)
      for step, line in ipairs(expected) do
        assert.equal(line, log[step], ("seed %d, step %d, after %s"):format(seed, step, log[step - 1]))
      end
    end
  end)

  it("lets time pass when nothing moves", function()
    local engine = fake()
    local core = engine.core
    local link, log = core.link(), {}
    local function note(...) log[#log + 1] = table.concat({ ("%.1f"):format(engine.time()), ... }, " ") end
    local reader = engine.Process { name = "reader", args = {}, target = function()
      note(select(2, link:lease(1, 5)))
      note(link:lease(1, 5)[1])
      core.commit()
      note(select(2, link:lease(1)))
    end }
    local writer = engine.Process { name = "writer", args = {}, target = function()
      engine.sleep(7)
      core.commit(link, { "late" })
      engine.sleep(2)
      link:close()
    end }
    reader:start()
    writer:start()
    assert.same({ n = 0 }, core.wait({ reader }, 6))
    note "waited"
    assert.same({ n = 1, reader }, core.wait { reader })
    assert.same({ "5.0 timeout", "6.0 waited", "7.0 late", "9.0 closed" }, log)
    assert.equal(0, reader.exitcode)
    local lost = engine.Process { name = "lost", args = {}, target = function() core.link():lease(1) end }
    lost:start()
    assert.has_error(function() core.wait { lost } end, "deadlock: nothing moves")
  end)

  it("kills whom it is told to, with signals too", function()
    local engine = fake { die = function(name, n) return name == "b" and n == 2 end }
    local core = engine.core
    local link, log = core.link(), {}
    core.commit(link, { 1, 2, 3 })
    local function run(name, f)
      local p = engine.Process { name = name, args = {}, target = f }
      p:start()
      return p
    end
    local b = run("b", function() link:lease(2) log[1] = "survived" end)
    core.wait { b }
    assert.equal(-9, b.exitcode)
    assert.same({ n = 1, first = 1, lease = 1, tries = 2, 1 }, link:lease(9))
    local stops = run("stops", function()
      engine.signal("TERM", function() error("stopped", 0) end)
      log[1] = select(2, pcall(engine.sleep, 1000))
    end)
    local ends = run("ends", function() engine.sleep(1000) end)
    engine.sleep(1)
    stops:terminate()
    ends:terminate()
    core.wait { stops }
    assert.same({ "stopped", -15, 0 }, { log[1], ends.exitcode, stops.exitcode })
    engine.signal("INT", function() error("interrupted", 0) end)
    run("c", function() engine.interrupt "INT" engine.sleep(9) end)
    assert.has_error(function() engine.sleep(1) end, "interrupted")
  end)
end)
