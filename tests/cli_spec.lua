-- cli: the command line of mprun: options, complaints, exit statuses.
--
-- SPDX-License-Identifier: MIT

local support = require "tests.support"
local mprun, script = support.mprun, support.script

describe("mprun", function()
  after_each(support.clean)

  local function fails(command, status, ...)
    local got = mprun(command)
    for _, text in ipairs { ... } do
      assert.is_truthy(got.err:find(text, 1, true),
        ("stderr lacks %q: %s"):format(text, got.err))
    end
    assert.equal(status, got.status)
    assert.equal("", got.out)
  end

  local function prints(command, text)
    local got = mprun(command)
    assert.equal("", got.err)
    assert.equal(text, got.out)
    assert.equal(0, got.status)
  end

  describe("runs", function()
    it("a script, with its arguments in arg and ...", function()
      local path = script "print(arg[0], #arg, arg[1], arg[2], ...)"
      prints({ path, "a", "-b" }, path .. "\t2\ta\t-b\ta\t-b\n")
    end)

    it("a script with arg[-1] as the program", function()
      prints({ script "print(arg[-1])" }, support.program .. "\n")
    end)

    it("a script whose first line is for the shell", function()
      prints({ script "#!/usr/bin/env mprun\nprint 'ran'" }, "ran\n")
    end)

    it("a precompiled script", function()
      local path = script(string.dump(load "print 'compiled'"))
      prints({ path }, "compiled\n")
    end)

    it("standard input as `-`", function()
      prints({ "-", "x", stdin = "print(..., arg[0])" }, "x\t-\n")
    end)

    it("code, with all other words as its arguments", function()
      prints({ "-e", "print(...)", "a", "b" }, "a\tb\n")
    end)

    it("several pieces of code as lines of one", function()
      prints({ "-e", "local x = 1", "-j", "2", "-e", "print(x)" }, "1\n")
    end)

    it("a script whose name starts with a dash, after --", function()
      local path = script("print(arg[0])", "-dash.lua")
      local folder, name = path:match "^(.*)/([^/]*)$"
      prints({ "--", name, dir = folder }, name .. "\n")
    end)

    -- A script needs no guard: a child does not run it again.
    it("A40 A45: a script with processes, in whatever form", function()
      local text = "local p = mp.spawn(function() return 1 + 1 end) print(p:result(30))"
      prints({ script(text) }, "2\n")
      prints({ script(text, "without_suffix") }, "2\n")
      prints({ script(string.dump(load(text))) }, "2\n")
      prints({ "-", stdin = text }, "2\n")
      prints({ "-e", text }, "2\n")
    end)

    it("with mp as a global and a module", function()
      prints({ "-e", "print(mp == require 'mp', type(mp.version))" },
        "true\tstring\n")
    end)

    it("with lpeg, and C modules of the system", function()
      prints({ "-e", [[
        print(require "lpeg".match("a", "a"), require "cjson".encode { 1 },
              type(require "lfs".currentdir()))]] }, "2\t[1]\tstring\n")
    end)
  end)

  describe("gives as exit status", function()
    it("0 at the script's end", function()
      assert.equal(0, mprun { script "" }.status)
    end)

    it("what os.exit says", function()
      assert.equal(7, mprun { "-e", "os.exit(7)" }.status)
      assert.equal(1, mprun { "-e", "os.exit(false)" }.status)
      assert.equal(0, mprun { "-e", "os.exit(true, true)" }.status)
    end)

    it("1 for an error, with message and traceback", function()
      local path = script "local function f()\n  error 'broken'\nend\nf()\n"
      fails({ path }, 1, "mprun: " .. path .. ":2: broken\nstack traceback:",
        path .. ":4: in main chunk")
      assert.is_nil(mprun { path }.err:find("mp/main", 1, true))
    end)

    it("1 for an error that is no string", function()
      fails({ "-e", "error {}" }, 1, "(error object is a table value)")
      fails({ "-e", "error()" }, 1, "(error object is a nil value)")
      fails({ "-e", "error(setmetatable({}, { __tostring = function() "
        .. "return 'told' end }))" }, 1, "mprun: told\n")
    end)

    it("1 for a script that does not compile", function()
      local path = script "x = = 1"
      fails({ path }, 1, "mprun: " .. path .. ":1: unexpected symbol near '='")
      fails({ "-e", "x" }, 1, "mprun: (command line):1: ")
      fails({ "-", stdin = "\nx" }, 1, "mprun: stdin:2: ")
    end)

    it("what an error object wants, without a traceback", function()
      fails({ "-e", "error(setmetatable({ exit_status = 2 }, { __tostring = "
        .. "function() return 'x.lua:1:2: error: bad' end }))" }, 2,
        "x.lua:1:2: error: bad\n")
    end)
  end)

  describe("refuses with exit status 2", function()
    it("no script", function()
      fails({}, 2, "mprun: no script given", "--help")
    end)

    it("a script that is not there, or a folder", function()
      fails({ "no/such.lua" }, 2,
        "mprun: cannot open no/such.lua: No such file or directory")
      fails({ "/tmp" }, 2, "mprun: cannot open /tmp: Is a directory")
    end)

    it("a script that it may not read", function()
      local path = script "print 'read'"
      os.execute("chmod 000 " .. support.quote(path))
      if io.open(path) then pending "root may read everything" end
      fails({ path }, 2, "cannot open " .. path .. ": Permission denied")
    end)

    it("unknown options, with a suggestion where one is near", function()
      fails({ "--hlep" }, 2,
        "mprun: unknown option '--hlep' (did you mean '--help'?)")
      fails({ "--sumary", "x" }, 2, "did you mean '--summary'?")
      fails({ "--no-such-thing", "x" }, 2,
        "unknown option '--no-such-thing' (mprun --help lists them)")
      fails({ "-x" }, 2, "unknown option '-x'")
    end)

    it("an option without its value, or with one too many", function()
      fails({ "-j" }, 2, "option '-j' needs a value")
      fails({ "--check=yes", "x" }, 2, "option '--check' takes no value")
    end)

    it("values that make no sense", function()
      local path = script "print 'ran'"
      fails({ "-j", "0", path }, 2, "jobs: '0' is not a number from 1")
      fails({ "-j", "many", path }, 2, "jobs: 'many'")
      fails({ "--memory", "4Q", path }, 2, "memory: '4Q' is not a size")
      fails({ "--graph", "png", path }, 2, "'png' is not dot, svg or text")
      fails({ "-o", "retry=3", path }, 2, "stage.option=value")
      fails({ "-o", "fetch.retry", path }, 2, "stage.option=value")
    end)

    it("a senseless MPRUN_MEMORY", function()
      fails({ script "", env = { MPRUN_MEMORY = "lots" } }, 2,
        "memory: 'lots' is not a size")
    end)

    it("what comes later", function()
      for _, command in ipairs { { "--trace", "f" }, { "--joblog", "f" },
                                 { "--resume" }, { "top" } } do
        command[#command + 1] = script ""
        fails(command, 2, "comes later")
      end
    end)
  end)

  describe("keeps as options", function()
    local function option(name, ...)
      local command = { ... }
      command[#command + 1] = "-e"
      command[#command + 1] =
        ("print(require 'mp.options'[%q])"):format(name)
      return command
    end

    -- Whether there is such a stage is the flows' business: see their specs.
    it("a stage's", function()
      local function stage(...) return mprun(option("fetch.cap", ...)).out end
      assert.equal("5\n", stage("-o", "fetch.cap=5"))
      assert.equal("a=b\n", stage "-ofetch.cap=a=b")
      assert.equal("2\n", stage("-o", "fetch.cap=1", "-o", "fetch.cap=2"))
    end)

    it("its own", function()
      prints(option("jobs", "-j", "3"), "3\n")
      prints(option("jobs", "-j3"), "3\n")
      prints(option("memory", "--memory", "64M"), (64 << 20) .. "\n")
      prints(option("summary", "--summary"), "true\n")
      prints(option("bar", "--no-bar"), "false\n")
      prints(option("bar"), "nil\n")
      prints(option("graph", "--graph=text"), "text\n")
      prints(option("check", "--check"), "true\n")
    end)

    it("memory from the environment, and rather from the command line",
       function()
      local command = option "memory"
      command.env = { MPRUN_MEMORY = "32M" }
      prints(command, (32 << 20) .. "\n")
      command = option("memory", "--memory", "48M")
      command.env = { MPRUN_MEMORY = "32M" }
      prints(command, (48 << 20) .. "\n")
    end)
  end)

  it("tells its version and its options", function()
    prints({ "--version" }, "mprun 0.1.0\n")
    prints({ "-v" }, "mprun 0.1.0\n")
    local help = mprun { "--help" }
    assert.equal(0, help.status)
    assert.equal("", help.err)
    for _, word in ipairs { "usage:", "-o ", "--graph", "Exit status" } do
      assert.is_truthy(help.out:find(word, 1, true), word)
    end
  end)

  it("says so when standard output cannot be written", function()
    local got = support.run { "sh", "-c",
      support.quote(support.program) .. " --help >/dev/full" }
    assert.equal(1, got.status)
    assert.equal("mprun: cannot write to standard output\n", got.err)
  end)
end)
