-- seed_codec: writes a seed corpus for fuzz_codec into a folder.
--   lua5.4 tests/fuzz/seed_codec.lua FOLDER
-- SPDX-License-Identifier: MIT
local mp = require "mp"

local folder = assert(arg[1], "usage: seed_codec.lua FOLDER")

local shared = { "shared", 1 }
local cycle = { name = "cycle" }
cycle.self, cycle[cycle] = cycle, cycle

local seeds = {
  { n = 0 }, { 1 }, { -17, 200, 70000, 1 << 40, 1.5, 0 / 0, n = 6 }, { nil, true, false, n = 3 },
  { "", "short", ("x"):rep(100), ("y"):rep(300), n = 4 }, { {}, { 1, 2, 3 }, { a = 1, b = 2 } },
  { { shared, shared, key = shared } }, { cycle },
  { { "repeated", "repeated", repeated = "repeated" } },
  { setmetatable({ 1 }, { __name = "named", __mode = "k" }) },
  { { [1] = 1, [2] = 2, [4] = 4, [1.5] = "f", [true] = false } },
  { { 1, 2, 3, 4, 5 }, { 300, 1, 2, -300 }, { 1 << 20, 1, 2, 3 }, { math.mininteger, 1, 2, 3 } },
  { { 0.5, -0.0, 0 / 0, 1e300, 1, 2, 3, 4, "s", 5, 6, 7, 8, n = 13 }, shared },
  { mp.core.part({ 1, 2, 3, 4, 5, "x" }, 1, 6, 3), mp.core.part({ shared }, 1, 1, 1) },
}

for i, values in ipairs(seeds) do
  local f = assert(io.open(("%s/seed%02d"):format(folder, i), "wb"))
  f:write("\3", mp.pack(table.unpack(values, 1, values.n or #values)))
  f:close()
end
