-- exports: which names the products show to the world, and what they load.
--
-- lpeg has a bare `match` and `compile`, and two copies of Lua in one process
-- crash it: both would show here.
--
-- SPDX-License-Identifier: MIT

local support = require "tests.support"

local function lines(command)
  local got = support.run(command)
  assert.equal(0, got.status, got.err)
  return got.out:gmatch "[^\n]+"
end

-- Names that FILE defines for others, without those it has from libc (those
-- have a version: stdout@GLIBC) and the marks of linker and sanitizers.
local function exported(file)
  local names = {}
  for line in lines { "nm", "-D", "--defined-only",
                      support.build .. "/" .. file } do
    local name = line:match "%S+$"
    if not name:find "@" and not name:find "^_" then
      names[#names + 1] = name
    end
  end
  table.sort(names)
  return names
end

local function public()
  local names = {}
  for name in support.read "runtime/include/mprun.h"
      :gmatch "MP_API [%w_ ]-%*?(mp_[%w_]+)%(" do
    names[#names + 1] = name
  end
  return names
end

local function needed(file)
  local names = {}
  for line in lines { "readelf", "-d", support.build .. "/" .. file } do
    local name = line:match "%(NEEDED%).*%[(.-)%]"
    if name then names[#names + 1] = name end
  end
  return table.concat(names, " ")
end

local sanitized = support.mode == "asan" or support.mode == "tsan"

describe("what others see of", function()
  after_each(support.clean)

  -- mp.core is what the Lua parts and the flows stand on.
  local modules = { "luaopen_mp", "luaopen_mp_core" }

  it("libmprun.so is mprun.h and the modules", function()
    local expected = public()
    assert.is_true(#expected >= 12)
    table.move(modules, 1, #modules, #expected + 1, expected)
    table.sort(expected)
    assert.same(expected, exported "libmprun.so")
  end)

  it("mp.so is the modules", function()
    assert.same(modules, exported "mp.so")
  end)

  it("mprun is Lua, and mprun.h", function()
    if sanitized then pending "the sanitizer's names are among them" end
    local seen = {}
    for _, name in ipairs(exported "mprun") do
      assert.is_truthy(name:find "^lua" or name:find "^mp_", name)
      seen[name] = true
    end
    for _, name in ipairs { "lua_newstate", "luaL_checkversion_", "lua_gc",
                            "luaopen_mp", "luaopen_lpeg" } do
      assert.is_true(seen[name], name)
    end
    for _, name in ipairs(public()) do
      assert.is_true(seen[name], name)
    end
  end)

  it("libmprun.a begins with mp_, but for the modules", function()
    for line in lines { "nm", "-g", "--defined-only",
                        support.build .. "/libmprun.a" } do
      local kind, name = line:match "^%x+ (%a) (%S+)$"
      if kind and not name:find "^_" then
        assert.is_truthy(name:find "^mp_" or name:find "^luaopen_mp", name)
      end
    end
  end)
end)

describe("as libraries", function()
  after_each(support.clean)

  it("mprun needs those of the system, and no Lua", function()
    if sanitized then pending "the sanitizer's library is among them" end
    for name in needed "mprun":gmatch "%S+" do
      assert.is_truthy(name:find "^libc%.so" or name:find "^libm%.so"
        or name:find "^libdl%.so" or name:find "^libpthread%.so"
        or name:find "^ld%-linux", name)
    end
  end)

  it("mp.so needs no Lua", function()
    assert.is_nil(needed "mp.so":find "lua")
  end)

  it("libmprun.so needs the system's Lua", function()
    assert.is_truthy(needed "libmprun.so":find "liblua5.4.so")
  end)

  it("libmprun.so has a name with a version", function()
    local got = support.run { "readelf", "-d", support.build
      .. "/libmprun.so" }
    assert.is_truthy(got.out:find "SONAME.*%[libmprun%.so%.%d+%]")
  end)
end)
