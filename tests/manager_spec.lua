-- manager: mp.Namespace and mp.Manager. SPDX-License-Identifier: MIT
local mp = require "mp"
local raises = require("tests.support").raises

describe("Namespace", function()
  it("M10: has fields that are set, read and removed; those with _ are not shown", function()
    local ns = mp.Namespace { x = 1, name = "n" }
    ns.y = { 1, 2 }
    ns._hidden = 5
    assert.equal(1, ns.x)
    assert.same({ 1, 2 }, ns.y)
    assert.equal(5, ns._hidden)
    ns.y = nil
    assert.is_nil(ns.y)
    assert.equal('Namespace(name = "n", x = 1)', tostring(ns))
    local seen = {}
    for k, v in pairs(ns) do seen[k] = v end
    assert.same({ x = 1, name = "n", _hidden = 5 }, seen)
  end)

  it("M20: is shared with other processes", function()
    local ns = mp.Manager():Namespace { x = 0, y = 1 }
    local x, y = mp.spawn(function()
      ns.z = ns.x + ns.y
      return ns.x, ns.y
    end):result(60)
    assert.same({ 0, 1 }, { x, y })
    assert.equal(1, ns.z)
  end)

  it("travels as a value", function()
    local q, ns = mp.Queue(), mp.Namespace { x = 1 }
    q:put { ns = ns }
    local got = q:get().ns
    assert.equal(ns, got)
    got.x = 2
    assert.equal(2, ns.x)
    assert.equal(3, mp.spawn(function(n) n.x = n.x + 1 return n.x end, ns):result(60))
    local d = mp.Dict { ns = ns }
    d.ns.x = 9
    assert.equal(9, ns.x)
  end)

  it("is given up where a variable with it is closed", function()
    local q = mp.Queue()
    local kept
    do
      local ns <close> = mp.Namespace { x = 1 }
      q:put(ns)
      kept = ns
    end
    for _, f in ipairs {
      function() return kept.x end, function() kept.x = 2 end, function() for _ in pairs(kept) do error() end end,
    } do
      local why = raises("Namespace: this Namespace is closed here", f)
      assert.truthy(why:find "^tests/manager_spec.lua:%d+: ", why)
    end
    assert.equal("Namespace (closed here)", tostring(kept))
    raises("closed here", q.put, q, kept)
    do local _ <close> = kept end
    assert.equal(1, q:get().x)
  end)

  it("names the misuse", function()
    local ns = mp.Namespace()
    raises("Namespace: a field's name must be a string, got number", function() ns[2] = 1 end)
    raises("Namespace: a field's name must be a string, got table", function() return ns[{}] end)
    raises("mp.Namespace: a field's name must be a string, got number", mp.Namespace, { 1 })
    raises("mp.Namespace: expected a table, got number", mp.Namespace, 1)
    raises("Namespace: cannot send a coroutine", function() ns.co = coroutine.create(print) end)
    raises("mp.Namespace: cannot send a coroutine", mp.Namespace, { co = coroutine.create(print) })
    assert.equal("Namespace()", tostring(ns))
  end)
end)

describe("Manager", function()
  it("makes what mp makes, in both spellings", function()
    local m <close> = mp.Manager()
    assert.equal(1, m:dict { a = 1 }.a)
    assert.equal(1, m:Dict { a = 1 }.a)
    assert.same({ 1, 2 }, m:list { 1, 2 }:totable())
    assert.same({ 1, 2 }, m:List { 1, 2 }:totable())
    assert.equal(3, m:Namespace { x = 3 }.x)
    local q, l, e = m:Queue(1), m:Lock(), m:Event()
    q:put(1)
    assert.is_true(q:full())
    assert.is_true(l:acquire())
    l:release()
    e:set()
    assert.is_true(e:is_set())
  end)

  it("is nothing that runs: what it made stays", function()
    local m = mp.Manager():start()
    local d = m:dict { x = 1 }
    assert.equal(0, #mp.active_children())
    m:shutdown()
    m:shutdown()
    assert.equal(1, d.x)
    assert.equal(2, mp.spawn(function() d.x = d.x + 1 return d.x end):result(60))
  end)

  it("goes to other processes as any table", function()
    local m = mp.Manager()
    local d = mp.spawn(function() return m:dict { x = 1 } end):result(60)
    assert.equal(1, d.x)
    local q = mp.Queue()
    q:put(m)
    assert.same({ 1 }, q:get():list { 1 }:totable())
  end)

  it("names the misuse", function()
    local m = mp.Manager()
    raises("Manager:dict: expected a Manager, got table (call it with a colon)", m.dict, {})
    raises("mp.Dict: expected a table, got number", m.dict, m, 5)
    raises("mp.Manager: it takes no arguments", mp.Manager, "address")
    assert.is_nil(m.nothing)
  end)
end)
