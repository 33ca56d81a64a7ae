-- file: what flows ask of files: core.stat, glob, truncate, writable, read.
-- SPDX-License-Identifier: MIT

local core = require "mp.core"
local mp = require "mp"
local support = require "tests.support"
local raises = support.raises

-- A folder with what `made` lists: "a/b" is an empty file, "a/" a folder,
-- "a -> b" a link.
local folders = {}
local function tree(...)
  local root = support.file "tree"
  local commands = { "mkdir -p " .. root }
  for _, what in ipairs { ... } do
    local from, to = what:match "^(.-) %-> (.*)$"
    local path = root .. "/" .. (from or what)
    commands[#commands + 1] = "mkdir -p " .. support.quote(path:match "^(.*)/")
    if from then
      commands[#commands + 1] = ("ln -s %s %s"):format(support.quote(to), support.quote(path))
    elseif what:sub(-1) ~= "/" then
      commands[#commands + 1] = "touch " .. support.quote(path)
    end
  end
  assert(os.execute(table.concat(commands, " && ")))
  folders[#folders + 1] = root
  return root
end

local function clean()
  for i = #folders, 1, -1 do
    os.execute("rm -rf " .. folders[i])
    folders[i] = nil
  end
  support.clean()
end

describe("core.glob", function()
  after_each(clean)

  local function finds(root, pattern)
    local list = core.glob(root .. "/" .. pattern)
    for i, path in ipairs(list) do list[i] = path:sub(#root + 2) end
    return table.concat(list, " ")
  end

  it("finds names by *, ? and [], sorted by their bytes, without hidden ones", function()
    local root = tree("b.txt", "a.txt", "B.txt", ".c.txt", "ab.txt", "a.png", "a-b/x.txt")
    assert.equal("B.txt a.txt ab.txt b.txt", finds(root, "*.txt"))
    assert.equal("B.txt a.txt b.txt", finds(root, "?.txt"))
    assert.equal("a.txt b.txt", finds(root, "[a-b].txt"))
    assert.equal("B.txt", finds(root, "[!a-b].txt"))
    assert.equal(".c.txt", finds(root, ".*"))
    assert.equal("a-b/x.txt", finds(root, "*/*"))
    assert.equal("", finds(root, "*.jpg"))
  end)

  it("finds what needs no pattern, if it is there", function()
    local root = tree("a/.hidden/b", "a/[x]")
    assert.equal("a/.hidden/b", finds(root, "a/.hidden/b"))
    assert.equal("a/[x]", finds(root, "a/\\[x]"))
    assert.equal("", finds(root, "a/c"))
    assert.equal("", finds(root, "none/*"))
    assert.same({}, core.glob "")
  end)

  it("finds only folders behind a slash", function()
    local root = tree("a/b/", "a/c", "a/d -> b")
    assert.equal("a/b/ a/d/", finds(root, "a/*/"))
    assert.equal("a/b a/c a/d", finds(root, "a/*"))
    assert.equal("", finds(root, "a/c/"))
  end)

  it("takes ** for any number of folders, but for hidden ones and links", function()
    local root = tree("x.c", "a/x.c", "a/b/c/x.c", ".git/x.c", "a/.x.c", "a/up -> ..", "a/b/y.h")
    assert.equal("a/b/c/x.c a/x.c x.c", finds(root, "**/*.c"))
    assert.equal("a/b/c/x.c a/x.c", finds(root, "a/**/x.c"))
    assert.equal("a/b/c/x.c a/x.c x.c", finds(root, "**/**/x.c"))
    assert.equal("a/b a/b/c a/b/c/x.c a/b/y.h a/up a/x.c", finds(root, "a/**"))
    assert.equal("a/ a/b/ a/b/c/ a/up/", finds(root, "**/"))
  end)

  it("finds paths from here and from the root", function()
    local root = tree("a", "b")
    local got = support.mprun { dir = root, "-e",
      "for _, p in ipairs{'*', './*', '**/b'} do print(table.concat(mp.core.glob(p), ' ')) end" }
    assert.same({ "a b\n./a ./b\nb\n", "" }, { got.out, got.err })
    assert.same({ "/" }, core.glob "/")
    assert.same({ "/dev/null" }, core.glob "/dev/nul[l]")
  end)

  it("finds thousands of names", function()
    local root = tree "many/"
    assert(os.execute(("cd %s/many && seq -f %%05.0f 1 5000 | xargs touch"):format(root)))
    local expected = {}
    for i = 1, 5000 do expected[i] = ("%s/many/%05d"):format(root, i) end
    assert.equal(table.concat(expected, " "), table.concat(core.glob(root .. "/many/*"), " "))
  end)

  it("refuses what is no path", function()
    raises("core.glob: expected a path, got number", core.glob, 1)
    raises("core.glob: a path holds no zero bytes", core.glob, "a\0b")
  end)
end)

describe("core.stat", function()
  after_each(clean)

  it("tells of a path and of an open file", function()
    local path = support.script("hello", "x")
    local about = core.stat(path)
    assert.equal("file", about.kind)
    assert.equal(5, about.size)
    assert.is_true(math.abs(about.mtime - os.time()) < 3600)
    local f <close> = io.open(path)
    assert.same(about, core.stat(f))
    os.rename(path, path .. "2")
    assert.same(about.inode, core.stat(path .. "2").inode)
    assert.equal(about.device, core.stat(f).device)
    os.remove(path .. "2")
  end)

  it("knows kinds, and follows links", function()
    local root = tree("a/", "b -> a")
    local function kind(path) return core.stat(path).kind end
    assert.equal("directory", kind(root .. "/b"))
    assert.equal("char", kind "/dev/null")
    assert(os.execute("mkfifo " .. root .. "/fifo"))
    assert.equal("fifo", kind(root .. "/fifo"))
  end)

  it("says why it cannot", function()
    assert.same({ nil, "No such file or directory" }, { core.stat "/nowhere/x" })
    raises("core.stat: descriptor 999 is not open", core.stat, 999)
  end)
end)

describe("core.truncate", function()
  after_each(clean)

  it("cuts a file by its path, and an open one with what was written to it", function()
    local path = support.script("0123456789", "x")
    assert.is_true(core.truncate(path, 4))
    assert.equal("0123", support.read(path))
    local f <close> = io.open(path, "ab")
    f:write "abcdef"                    -- still in its buffer
    assert.is_true(core.truncate(f, 6))
    assert.equal("0123ab", support.read(path))
    f:write "!"
    f:flush()
    assert.equal("0123ab!", support.read(path))
  end)

  it("says why it cannot", function()
    assert.same({ nil, "No such file or directory" }, { core.truncate("/nowhere/x", 0) })
    raises("core.truncate: the size must be a whole number, 0 or more, got -1",
      core.truncate, "/nowhere/x", -1)
  end)
end)

describe("core.writable", function()
  after_each(clean)

  it("tells whether a file could be opened, and makes none", function()
    local root = tree("a/", "b")
    assert.is_true(core.writable(root .. "/b"))
    assert.is_true(core.writable(root .. "/c"))
    assert.is_nil(core.stat(root .. "/c"))
    assert.is_true(core.writable "/dev/full")
    assert.is_true(core.writable "here-in-this-folder")
    assert.same({ nil, "Is a directory" }, { core.writable(root .. "/a") })
    assert.same({ nil, "No such file or directory" }, { core.writable(root .. "/x/y") })
    assert.same({ nil, "Not a directory" }, { core.writable(root .. "/b/y") })
  end)
end)

describe("core.read", function()
  after_each(clean)

  it("gives what is there, and the end", function()
    local f <close> = io.open(support.script("hello", "x"), "rb")
    assert.equal("hel", core.read(f, 3))
    assert.equal("lo", core.read(f, 100))
    assert.same({ nil, "end" }, { core.read(f, 100) })
  end)

  it("begins with what the file has read ahead", function()
    local pipe <close> = io.popen("printf 'first\\nsecond\\nthird'", "r")
    assert.equal("first", pipe:read "l")
    local text = ""
    repeat
      local more = core.read(pipe, 3)
      text = text .. (more or "")
    until not more
    assert.equal("second\nthird", text)
  end)

  it("waits for the first byte only", function()
    local a, b = mp.Pipe()
    local fd = mp.fd(b):fileno()
    local p = mp.spawn(function()
      mp.sleep(0.05)
      a:send_bytes "x"
    end)
    assert.is_true(#core.read(fd, 1000) > 0)
    p:join()
  end)

  it("says why it cannot", function()
    local f <close> = io.open(support.file "w", "w")
    assert.same({ nil, "Bad file descriptor" }, { core.read(f, 1) })
    raises("core.read: the most to read must be from 1 to", core.read, f, 0)
  end)
end)
