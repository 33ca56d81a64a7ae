-- seed_json: writes a seed corpus for fuzz_json into a folder.
--   lua5.4 tests/fuzz/seed_json.lua FOLDER
-- SPDX-License-Identifier: MIT
local folder = assert(arg[1], "usage: seed_json.lua FOLDER")

local seeds = {
  "null", "[true,false,null,1,-2.5e3,\"x\"]", '{"a":{"b":[]},"c":{"10":1,"9":2}}',
  '"\\u00e9\\ud83d\\ude00\\n\\"\\\\\\/"', "[[[[]]]]", "[null,null,null,4]", "12345678901234567890",
  ' { "k" : [ 0.1 , 1e300 , -0 ] } ', '{"a":1,"a":2}', "[1,]", '"\\ud800"', "\239\187\1911",
}

for i, text in ipairs(seeds) do
  local f = assert(io.open(("%s/seed%02d"):format(folder, i), "wb"))
  f:write(text)
  f:close()
end
