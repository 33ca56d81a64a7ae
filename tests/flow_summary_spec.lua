-- flow_summary: text in columns, and the table of stages at the end of a run.
-- SPDX-License-Identifier: MIT
require "mp"
local columns = require "mp.flow.columns"
local summary = require "mp.flow.summary"

describe("text for a terminal", function()
  it("has the width that a terminal gives it", function()
    for s, width in pairs { [""] = 0, abc = 3, ["é…"] = 2, ["e\u{301}"] = 1, ["日本"] = 4, ["한글x"] = 5, ["😀"] = 2 } do
      assert.equal(width, columns.width(s), s)
    end
  end)

  it("is cut where it is too wide, between characters", function()
    assert.equal("abc", columns.cut("abc", 3))
    assert.equal("ab…", columns.cut("abcd", 3))
    assert.equal("…", columns.cut("abcd", 1))
    assert.equal("", columns.cut("abcd", 0))
    assert.equal("日…", columns.cut("日本語", 4))
    assert.equal("日本…", columns.cut("日本語", 5))
    for most = 0, 12 do
      assert.is_true(columns.width(columns.cut("日x本é語😀ab", most)) <= most)
    end
  end)

  it("has no control characters, and no broken UTF-8", function()
    assert.equal("a b c", columns.clean "a\nb\27c")
    assert.equal("a b", columns.clean "a\u{9b}b")
    assert.equal("é?x??", columns.clean "é\xE9x\xF0\x9F")
    for _ = 1, 500 do
      local bytes = {}
      for i = 1, 20 do bytes[i] = string.char(math.random(0, 255)) end
      local s = columns.clean(table.concat(bytes))
      assert.truthy(utf8.len(s))
      assert.is_nil(s:find "%c")
    end
  end)
end)

describe("a table", function()
  local function table_of()
    return { { head = "name", rank = 0, left = true, "a long name indeed", "b" },
             { head = "x", rank = 2, "1", "22" }, { head = "more", rank = 3, "3", "4" },
             { head = "most", rank = 1, "5", "6" } }
  end

  it("aligns its columns", function()
    assert.same({ "name                 x  more  most", "a long name indeed   1     3     5",
                  "b                   22     4     6" }, columns.set(table_of(), 80))
  end)

  it("cuts the first column, then leaves out what matters least", function()
    assert.same({ "name            x  more  most", "a long name …   1     3     5",
                  "b              22     4     6" }, columns.set(table_of(), 29))
    assert.same({ "name                x  most", "a long name inde…   1     5",
                  "b                  22     6" }, columns.set(table_of(), 27))
    assert.same({ "name           most", "a long name …     5", "b                 6" },
                columns.set(table_of(), 19))
    assert.same({ "name", "a long name …", "b" }, columns.set(table_of(), 13))
  end)

  it("is never wider than there is room", function()
    for room = 0, 50 do
      for _, line in ipairs(columns.set(table_of(), room)) do
        assert.is_true(columns.width(line) <= room, line)
      end
    end
  end)
end)

describe("the summary", function()
  local function result(rows, more)
    local r = { rows = rows, seconds = 4, processes = 6, deaths = 0 }
    for k, v in pairs(more or {}) do r[k] = v end
    return r
  end
  local function rows()
    return {
      { label = "lines", role = "source", workers = 1, taken = 3, given = 120000, busy = 1.5 },
      { label = "words", role = "between", inside = true, taken = 120000, given = 900000, busy = 0 },
      { label = "fetch", role = "between", workers = 4, taken = 900000, given = 899990, busy = 72 },
      { label = "collect", role = "sink", workers = 0, taken = 2, given = 0, busy = 0 },
    }
  end

  it("is a table of the stages", function()
    assert.equal([[
stage    workers  items in  items out       rate   busy
lines          1         -    120,000   30,000/s  1.50s
  words            120,000    900,000   30,000/s
fetch          4   900,000    899,990  225,000/s   1:12
collect        -         2          -   30.0/min  0.00s
6 processes, 4.00s]], summary(result(rows())))
  end)

  it("has columns for what went wrong, or waited, where there is such", function()
    local list = rows()
    list[1].blocked = 2.5
    list[3].failed, list[3].skipped, list[3].retried = 1, 2, 3456
    local head, first, _, third = summary(result(list)):match "^(.-)\n(.-)\n(.-)\n(.-)\n"
    assert.truthy(head:find "busy  blocked  failed  skipped  retried$")
    assert.truthy(first:find "1.50s    2.50s$")
    assert.truthy(third:find "1:12    0.00s       1        2    3,456$")
    list[3].skipped, list[3].retried = 0, 0
    assert.is_nil(summary(result(list)):find "skipped")
  end)

  it("tells how many workers there were, when none is left", function()
    local list = rows()
    list[1].workers, list[1].most, list[3].most = 0, 2, 16
    local text = summary(result(list))
    assert.truthy(text:find "\nlines +2 ")
    assert.truthy(text:find "\nfetch +16 ")
    assert.truthy(text:find "\ncollect +%- ")
  end)

  it("says which workers were replaced", function()
    local text = summary(result(rows(), { deaths = 1 }))
    assert.truthy(text:find "\n1 worker was replaced; what it did last may be missing here$")
    local list = rows()
    list[1].replaced, list[3].replaced = 1, 2
    assert.truthy(summary(result(list, { deaths = 3 })):find "\n3 workers were replaced %(lines 1, fetch 2%);")
  end)

  it("keeps to a line what is none", function()
    local list = rows()
    list[3].label = "`tr a-z A-Z\n| sort " .. ("x"):rep(100)
    local text = summary(result(list, { processes = 1 }))
    assert.truthy(text:find "\n`tr a%-z A%-Z | sort x+…  ")
    assert.truthy(text:find "\n1 process, 4.00s$")
  end)
end)
