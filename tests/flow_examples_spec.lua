-- flow_examples: the examples in examples/flows run and show what they should.
-- SPDX-License-Identifier: MIT

local support = require "tests.support"
local mprun, script = support.mprun, support.script

local FOLDER = "examples/flows/"

local function output(command)
  local got = mprun(command)
  assert.equal(0, got.status, got.err)
  return got.out
end

describe("the example", function()
  after_each(support.clean)

  it("wordcount counts the words of files", function()
    local a = script("the cat\nand The dog\n", "a.txt")
    local b = script(("the bird, the bird\n"):rep(1000), "b.txt")
    local out = output { FOLDER .. "wordcount.lua", a, b }
    assert.is_truthy(out:find "^  1  the +2002 ")
    assert.is_truthy(out:find "\n  2  bird +2000 ")
    assert.is_truthy(out:find "\n  3  and +1 .-\n  4  cat +1 .-\n  5  dog +1 ")
    assert.is_truthy(out:find "\n4005 words in 2 files, ")
  end)

  it("wordcount finds texts by itself", function()
    local out = output { FOLDER .. "wordcount.lua" }
    assert.is_truthy(out:find "^  1  %S+ +%d+ ")
    assert.is_truthy(out:find "\n%d+ words in %d+ files, ")
  end)

  it("access adds up bytes by path", function()
    local log = script([[
1.2.3.4 - - [17/May/2015:10:05:03 +0000] "GET /a.png HTTP/1.1" 200 100 "-" "x"
1.2.3.4 - - [17/May/2015:10:05:03 +0000] "GET /b?q=1 HTTP/1.1" 200 7000 "-" "x"
1.2.3.4 - - [17/May/2015:10:05:03 +0000] "GET /a.png HTTP/1.1" 304 - "-" "x"
no request
1.2.3.4 - - [17/May/2015:10:05:03 +0000] "GET /a.png HTTP/1.1" 200 11 "-" "x"
]], "access.log")
    assert.equal("        7000  /b\n         111  /a.png\n", output { FOLDER .. "access.lua", log })
  end)

  it("access says what is wrong with a missing log", function()
    local got = mprun { FOLDER .. "access.lua", "/nowhere/access.log" }
    assert.equal(1, got.status)
    assert.is_truthy(got.err:find("cannot open /nowhere/access.log", 1, true))
  end)

  it("primes filters and collects", function()
    assert.equal("25 primes up to 100, the last ones:\n61 67 71 73 79 83 89 97\n",
      output { FOLDER .. "primes.lua", "100" })
  end)
end)
