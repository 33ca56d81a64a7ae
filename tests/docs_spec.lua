-- docs: what README.md and docs/ show is true: every Lua block in them runs,
-- and where they show output it is that output.
--
-- SPDX-License-Identifier: MIT

local support = require "tests.support"

-- What the texts take as given; a block's own definitions come after.
local GIVEN = [[
function lower(word) return word:lower() end
function slow(n) return n end
function prime(n) for i = 2, n // 2 do if n % i == 0 then return end end return n > 1 and n or nil end
function fetch(url) return url end
database = { open = function() return {} end }
]]

local FILES = {
  ["a.txt"] = "the words of a text\n", ["b.txt"] = "the words of a text\n",
  ["urls.txt"] = "http://localhost/a\nhttp://localhost/b\n",
}

local LOG = ('1.2.3.4 - - [20/Nov/2026] "GET /a HTTP/1.1" 200 10\n'):rep(3)

local function documents()
  local names = { "README.md" }
  for name in io.popen("ls docs/*.md"):lines() do names[#names + 1] = name end
  return names
end

-- { code, line, output }: a block of Lua, and what the text says it prints.
local function blocks(path)
  local found, text, line, fence = {}, {}, 0, nil
  for each in io.lines(path) do
    line = line + 1
    local mark = each:match "^```(.*)"
    if not mark then
      text[#text + 1] = each
    elseif fence then
      local body = table.concat(text, "\n")
      if fence == "lua" then
        found[#found + 1] = { code = body, line = line - #text - 1 }
      elseif body:match "^%$ mprun " then
        found[#found].command, found[#found].output = body:match "^%$ mprun ([^\n]*)\n(.*)"
      end
      fence = nil
    else
      fence, text = mark, {}
    end
  end
  return found
end

local function run(block)
  local folder = support.file "folder"
  os.execute("mkdir -p " .. folder)
  local function keep(name, text)
    local file = assert(io.open(folder .. "/" .. name, "w"))
    file:write(text)
    file:close()
  end
  keep("access.log", LOG)
  for name, text in pairs(FILES) do keep(name, text) end
  keep("given.lua", GIVEN)
  keep("block.lua", 'dofile "given.lua"\n' .. block.code .. "\n")
  local args = (block.command or "x.lua access.log"):gsub("%S+%.lua", "block.lua", 1)
  local words = { dir = folder, seconds = 60 }
  for word in args:gmatch "%S+" do words[#words + 1] = word end
  local got = support.mprun(words)
  os.execute("rm -r " .. folder)
  return got
end

describe("the documents", function()
  after_each(support.clean)

  for _, path in ipairs(documents()) do
    for _, block in ipairs(blocks(path)) do
      it(("show what runs: %s:%d"):format(path, block.line), function()
        local file = block.command and block.command:match "%s(/%S+)"
        if file and not io.open(file) then
          pending(file .. " is not on this machine")
          return
        end
        local got = run(block)
        -- What took more than a second ends with a table.
        local err = got.err:gsub("^stage +workers.-\n%d+ processes, [^\n]*\n$", "")
        if block.output and block.output:find "deadlock" then
          err = err:gsub("^mprun: deadlock: .-\n  help: [^\n]*\n$", "")
        end
        assert.equal("", err)
        assert.equal(0, got.status)
        if block.output then assert.equal(block.output .. "\n", got.out) end
      end)
    end
  end

  it("show commands that run", function()
    for _, path in ipairs(documents()) do
      for line in io.lines(path) do
        local code = line:match "^    mprun %-e '(.*)'$"
        if code then assert.equal(0, support.mprun{ "-e", code }.status, line) end
      end
    end
  end)
end)
