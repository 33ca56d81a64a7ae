-- embed: a host program in C and in C++, with the shared and with the static
-- library, compiled as a user would. What the functions do: c/test_embed.c.
--
-- SPDX-License-Identifier: MIT

local support = require "tests.support"

local HOST = [[
#include <mprun.h>
#include <stdio.h>
#include <string.h>

int main(void)
{
	const char *args[] = { "host", "world" };
	const char *script = "greeting = 'hello ' .. ... ; print(greeting)";
	mp_config cfg;
	mp_rt *rt;
	int rc;

	mp_config_init(&cfg, sizeof cfg);
	rc = mp_open(&rt, &cfg);
	if (rc) {
		fprintf(stderr, "mp_open: %s\n", mp_errmsg(NULL));
		return 1;
	}
	if ((rc = mp_args(rt, 2, args))
	    || (rc = mp_load_string(rt, script, strlen(script), "=host"))
	    || (rc = mp_run(rt)))
		fprintf(stderr, "%s: %s\n", mp_strerror(rc), mp_errmsg(rt));
	mp_close(rt);
	return rc ? 1 : 0;
}
]]

describe("a host program", function()
  after_each(support.clean)

  local function compiles_and_runs(compiler, flags, suffix)
    if support.mode == "asan" or support.mode == "tsan" then
      pending "the libraries need the sanitizer's flags here"
    end
    local source = support.script(HOST, "host" .. suffix)
    local program = support.file "host"
    local command = { compiler, "-Wall", "-Wextra", "-Werror",
                      "-Iruntime/include", source, "-o", program }
    table.move(flags, 1, #flags, #command + 1, command)
    local compiled = support.run(command)
    assert.equal("", compiled.err)
    assert.equal(0, compiled.status)
    local got = support.run { program,
                              env = { LD_LIBRARY_PATH = support.build } }
    assert.equal("", got.err)
    assert.equal("hello world\n", got.out)
    assert.equal(0, got.status)
  end

  local shared = { "-L" .. support.build, "-lmprun" }
  local static = { support.build .. "/libmprun.a", "-llua5.4", "-lm", "-ldl",
                   "-lpthread" }

  it("in C with libmprun.so", function()
    compiles_and_runs("gcc", shared, ".c")
  end)

  it("in C with libmprun.a", function()
    compiles_and_runs("gcc", static, ".c")
  end)

  it("in C++ with libmprun.so", function()
    compiles_and_runs("g++", shared, ".cc")
  end)
end)
