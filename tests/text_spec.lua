-- text: texts taken apart in C, and the stages on it, against plain Lua.
-- SPDX-License-Identifier: MIT

local core = require "mp.core"
local builtin = require "mp.flow.text"
local fault = require "mp.flow.pattern"
local support = require "tests.support"

local cut = core.text
local raises = support.raises
local ROUNDS <const> = 300

-- What plain Lua says --------------------------------------------------------------

local plain = {}

function plain.words(s)
  local list = {}
  for w in s:gmatch "[%w_\x80-\xFF]+" do list[#list + 1] = w end
  return list
end

function plain.lines(s)
  local list = {}
  for line, nl in s:gmatch "([^\n]*)(\n?)" do
    if line ~= "" or nl ~= "" then list[#list + 1] = line end
  end
  return list
end

function plain.split(s, sep)
  local list, at = {}, 1
  while true do
    local from, to = s:find(sep, at, true)
    list[#list + 1] = s:sub(at, (from or 0) - 1)
    if not from then return list end
    at = to + 1
  end
end

-- All pieces, `max` in a call; `take` is one of cut's but for its list.
local function pieces(take, max)
  local all, list, at = {}, {}, 1
  repeat
    local n, after = take(list, at, max)
    assert.is_true(n <= (max or 256))
    assert.is_true(n > 0 or not after)
    for i = 1, n do all[#all + 1] = list[i] end
    at = after
  until not at
  return all
end

local function random_text(letters, most)
  local t = {}
  for i = 1, math.random(0, most) do
    local k = math.random(#letters)
    t[i] = letters:sub(k, k):rep(math.random(10) == 1 and math.random(100) or 1)
  end
  return table.concat(t)
end

local LETTERS <const> = "aZ09_ \n\t,.-\0\x80\xFF@[`{/:"

describe("core.text", function()
  local seed = os.time()
  before_each(function() math.randomseed(seed) end)

  it("finds the words, lines and fields that Lua finds, seed " .. seed, function()
    for _ = 1, ROUNDS do
      local s, max = random_text(LETTERS, 300), math.random(3) > 1 and math.random(20) or nil
      local sep = (","):rep(math.random(0, 2)) .. (math.random(2) == 1 and "a" or "\0")
      assert.same(plain.words(s), pieces(function(...) return cut.words(s, ...) end, max))
      assert.same(plain.lines(s), pieces(function(...) return cut.lines(s, ...) end, max))
      assert.same(plain.split(s, sep), pieces(function(...) return cut.split(s, sep, ...) end, max))
      assert.equal(#plain.lines(s), cut.count_lines(s))
    end
  end)

  it("knows for each byte whether it belongs to a word", function()
    for b = 0, 255 do
      local s = "." .. string.char(b) .. "."
      assert.same(plain.words(s), pieces(function(...) return cut.words(s, ...) end))
    end
  end)

  it("begins at any place", function()
    for _ = 1, ROUNDS do
      local s = random_text(LETTERS, 100)
      local at = math.random(#s + 1)
      local rest, list = s:sub(at), {}
      assert.same(plain.words(rest), pieces(function(l, i, m)
        local n, after = cut.words(s, l, i + at - 1, m)
        return n, after and after - at + 1
      end, 7))
      assert.equal(#plain.lines(rest), cut.count_lines(s, at))
      assert.equal(math.min(1, #plain.lines(rest)), (cut.lines(s, list, at, 1)))
      cut.split(s, ",", list, at, 1)
      assert.equal(plain.split(rest, ",")[1], list[1])
    end
  end)

  it("gives nothing for an empty text, but one empty field", function()
    assert.same({ 0 }, { cut.words("", {}) })
    assert.same({ 0 }, { cut.lines("", {}) })
    local list = {}
    assert.same({ 1 }, { cut.split("", ",", list) })
    assert.same({ "" }, list)
    assert.equal(0, cut.count_lines "")
  end)

  it("takes very long words and lines whole", function()
    local long = ("x"):rep(3 << 20)
    local list = {}
    assert.same({ 2 }, { cut.words(long .. " b", list) })
    assert.is_true(list[1] == long)
    assert.same({ 1 }, { cut.lines(long, list) })
    assert.is_true(list[1] == long)
  end)

  it("matches as string.match does", function()
    local function matched(s, p)
      local t = table.pack(s:match(p))
      if t.n == 1 then return t[1] end
      t.n = nil
      return t
    end
    for _, p in ipairs { "%w+", "(%w+)", "()", "(a)(b)", "(a)(b?)()", "^$", "^(.-)=(.*)$", "%z" } do
      for _, s in ipairs { "", "a", "ab", "b=a", "\0", "key=value" } do
        assert.same(matched(s, p), cut.match(s, p))
      end
    end
    raises("malformed pattern", cut.match, "a", "%")
  end)

  it("refuses what makes no sense", function()
    raises("core.text.words: a text of 3 bytes has no place 5", cut.words, "abc", {}, 5)
    raises("core.text.lines: a text of 3 bytes has no place 0", cut.lines, "abc", {}, 0)
    raises("core.text.count_lines: a text of 0 bytes has no place 2", cut.count_lines, "", 2)
    raises("core.text.words: max must be at least 1, got 0", cut.words, "abc", {}, 1, 0)
    raises("core.text.split: the separator is empty", cut.split, "abc", "", {})
    raises("table expected", cut.words, "abc")
    raises("string expected", cut.words, {}, {})
  end)
end)

describe("a pattern", function()
  it("is well formed, or what is wrong with it is said", function()
    for p, wrong in pairs {
      ["a%"] = "it ends with '%'", ["[a"] = "a '[' without its ']'", ["[]"] = "a '[' without its ']'",
      ["[^]"] = "a '[' without its ']'", ["[a%]"] = "a '[' without its ']'",
      ["(a"] = "a '(' without its ')'", ["a)"] = "a ')' without its '('",
      ["%bx"] = "'%b' lacks its two characters", ["%fa"] = "'%f' lacks its '['",
      ["%1"] = "there is no capture %1", ["(a)%0"] = "there is no capture %0",
      ["(a%1)"] = "%1 stands in the capture itself", [("()"):rep(33)] = "too many captures",
    } do
      assert.equal(wrong, fault(p))
    end
    for _, p in ipairs { "", "^", "$", "[]]", "[^]]", "[a-]", "[%]]", "%(", "()", "(a)%1", "((a)b)%2",
                         "%b()", "%f[%w]", "a-", "*", "%f[^a]", "%bxx" } do
      assert.is_nil(fault(p), p)
    end
  end)

  it("is malformed here whenever Lua comes upon it", function()
    local seed = os.time()
    math.randomseed(seed)
    for _ = 1, 20 * ROUNDS do
      local p, s = random_text("a%[]()^$1bf-*+?.", 8):sub(1, 12), random_text("ab()[]", 8)
      local fine, why = pcall(string.match, s, p)
      if not fine then
        assert.is_truthy(fault(p), ("%q on %q: %s, seed %d"):format(p, s, why, seed))
      end
    end
  end)
end)

describe("the stage", function()
  local function op(name, ...)
    local got = {}
    local params = assert(builtin[name].arguments { n = select("#", ...), ... })
    local made = builtin[name].make(params, {}, function(v) got[#got + 1] = v end)
    return made.item, got
  end

  local function gives(name, args, v, want)
    local item, got = op(name, table.unpack(args))
    item(v)
    assert.same(want, got)
  end

  it("words gives a text's words", function()
    gives("words", {}, "to be, or_not\nto bé!", { "to", "be", "or_not", "to", "bé" })
    gives("words", {}, 12.5, { "12", "5" })
    local many = {}
    for i = 1, 1000 do many[i] = "w" .. i end
    gives("words", {}, table.concat(many, " "), many)
  end)

  it("words counts them into a tally as well", function()
    local t = core.tally()
    local item = builtin.words.tally({}, {}, t).item
    item "to be, or not to be"
    item(12.5)
    local list = {}
    assert.same({ 12 }, { t:read(list) })
    assert.same({ "to", 2, "be", 2, "or", 1, "not", 1, "12", 1, "5", 1 }, list)
    local ok, why = pcall(item, {})
    assert.is_false(ok)
    assert.equal("words: a string expected, got table", why)
  end)

  it("split gives a text's fields", function()
    gives("split", { "," }, "a,,b,", { "a", "", "b", "" })
    gives("split", { " a" }, "a b a1", { "a b", "1" })
    local many = {}
    for i = 1, 513 do many[i] = i % 3 == 0 and "" or "w" .. i end
    gives("split", { "::" }, table.concat(many, "::"), many)
  end)

  it("match gives captures, or drops", function()
    gives("match", { "(%w+)=(%w+)" }, "a=1", { { "a", "1" } })
    gives("match", { "=(%w+)" }, "a=1", { "1" })
    gives("match", { "%d+" }, 12, { "12" })
    gives("match", { "%d+" }, "x", {})
  end)

  it("says what it cannot take", function()
    for name, args in pairs { words = {}, split = { "," }, match = { "a" } } do
      local item = op(name, table.unpack(args))
      local ok, why = pcall(item, {})
      assert.is_false(ok)
      assert.equal(name .. ": a string expected, got table", why)
    end
    local item = op("match", ("a?"):rep(300) .. ("a"):rep(300))
    local ok, why = pcall(item, ("a"):rep(300))
    assert.is_false(ok)
    assert.equal("pattern too complex", why)
  end)

  it("says what its arguments must be", function()
    local function refuses(name, list, text)
      local params, why = builtin[name].arguments(list)
      assert.is_nil(params)
      assert.equal(text, why)
    end
    refuses("words", { n = 1, "x" }, "'words' takes no arguments")
    refuses("split", { n = 1, "" }, "'split' expects a separator: split(\",\")")
    refuses("match", { n = 0 }, "'match' expects a Lua pattern: match(\"(%w+)=(%w+)\")")
    refuses("match", { n = 1, "(" }, "'match': the pattern \"(\" is malformed: a '(' without its ')'")
  end)
end)
