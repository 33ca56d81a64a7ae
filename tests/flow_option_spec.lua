-- flow_option: options, their values, and those given from outside.
-- SPDX-License-Identifier: MIT

local check = require "mp.flow.check"
local checks = require "tests.flow_checks"
local flow = require "mp.flow"
local option = require "mp.flow.option"

describe("an option", function()
  it("is read from Lua values", function()
    local function reads(name, value, expected)
      assert.equal(expected, (option.read(name, value)))
    end
    reads("timeout", 5, 5)
    reads("timeout", "5s", 5)
    reads("timeout", "100ms", 0.1)
    reads("timeout", 0, nil)
    reads("timeout", math.huge, nil)
    reads("timeout", 0 / 0, nil)
    reads("backoff", 0, 0)
    reads("backoff", "1h", 3600)
    reads("cap", "4K", 4096)
    reads("cap", 2.0, 2)
    reads("cap", 2.5, nil)
    reads("cap", "lots", nil)
    reads("chunk", "auto", "auto")
    reads("chunk", 7, 7)
    reads("full", "drop_old", "drop_old")
    reads("full", true, nil)
    reads("replay", "yes", "yes")
    reads("replay", true, nil)
    reads("retry", {}, nil)
    reads("retry", { kind = "number", value = "x" }, nil)
  end)

  it("says what it expects", function()
    local function says(message, ...)
      local _, got, hint = option.read(...)
      assert.equal(message, option.hinted(got, hint))
    end
    says("no option 'timout' (did you mean 'timeout'?)", "timout", 5)
    says("'timeout' expects a time above 0, such as 5s or 100ms, not -1", "timeout", -1)
    says("'full' expects wait, drop_new or drop_old, not drop_neww (did you mean 'drop_new'?)",
         "full", "drop_neww")
    says("'replay' expects yes, mark or no, not a boolean", "replay", true)
  end)

  it("has a default", function()
    assert.same({ 1024, "auto", "wait", 0, 0.1, "stop", 3, "no", "line" },
      { option.default "cap", option.default "chunk", option.default "full",
        option.default "retry", option.default "backoff", option.default "on_error",
        option.default "restarts", option.default "replay", option.default "per" })
    assert.is_nil(option.default "timeout")
  end)

  it("is refused by defaults{} as anywhere", function()
    local fine, err = pcall(flow.defaults, { timeout = "5x" })
    assert.is_false(fine)
    assert.is_truthy(err:find("defaults: 'timeout' expects a time above 0, such as 5s or 100ms, not 5x", 1, true))
  end)
end)

describe("options from outside", function()
  it("are sorted by stage", function()
    local set, wrong = option.outside { ["fetch.timeout"] = "5s", ["fetch.cap"] = "4K", jobs = 3,
                                        ["`a.b`.per"] = "item" }
    assert.same({}, wrong)
    assert.same({ fetch = { timeout = 5, cap = 4096 }, ["`a.b`"] = { per = "item" } }, set)
  end)

  it("are refused one by one", function()
    local set, wrong = option.outside { ["a.timout"] = "5s", ["a.cap"] = "4 K", ["b.full"] = "wait" }
    assert.same({ "mprun: -o a.cap=4 K: 'cap' expects a whole number from 1 on, not 4 K",
                  "mprun: -o a.timout=5s: no option 'timout' (did you mean 'timeout'?)" }, wrong)
    assert.same({ a = {}, b = { full = "wait" } }, set)
  end)

  it("need a stage for which they mean something in one flow at least", function()
    local one = checks.check "gen -> a -> null"
    local other = checks.check "a -> words#2 -> null"
    local set = { a = { timeout = 5 }, gen = { timeout = 5 }, word = { cap = 3 }, null = { per = "item" } }
    assert.same({
      "mprun: -o gen.timeout: 'gen' is a source: 'timeout' is for stages that take items",
      "mprun: -o null.per: 'per' is for shell commands, and 'null' is none",
      "mprun: -o word.cap: no stage 'word'",
    }, check.unknown(set, { one, other }))
    assert.same({ "mprun: -o wordss#2.cap: no stage 'wordss#2' (did you mean 'words#2'?)" },
                check.unknown({ ["wordss#2"] = { cap = 3 } }, { one, other }))
    local _, mistakes = checks.check("gen -> a -> null", { set = set })
    assert.same({}, mistakes)
  end)
end)
