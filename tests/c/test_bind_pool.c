/* test_bind_pool: pools of threads, made by several Lua states of one process
 * at once, do all that pools do. For TSan above all.
 *
 * SPDX-License-Identifier: MIT */
#include "harness.h"

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

int luaopen_mp(lua_State *L);

/* What results become: maps, iterators, futures, callbacks, errors. */
static const char work[] =
"local mp = require 'mp'\n"
"local function square(i) return i * i end\n"
"local function use(pool)\n"
"  local list, calls = {}, 0\n"
"  for i = 1, 40 do list[i] = i end\n"
"  for _, chunk in ipairs { 1, 7, 40 } do\n"
"    local got = pool:map(square, list, chunk)\n"
"    for i = 1, 40 do assert(got[i] == i * i) end\n"
"  end\n"
"  assert(pool:map(square, list)[40] == 1600)\n"
"  local n = 0\n"
"  for v in pool:imap(square, list, { buffer = 6 }) do n = n + 1 assert(v == n * n) end\n"
"  for v in pool:imap_unordered(square, list, 3) do n = n + 1 if n > 60 then break end end\n"
"  local futures = {}\n"
"  for i = 1, 20 do futures[i] = pool:submit(function() return i, ('x'):rep(i * 1000) end) end\n"
"  futures[21] = pool:submit(error, 'mine')\n"
"  futures[21]:add_done_callback(function() calls = calls + 1 end)\n"
"  for f in mp.as_completed(futures, 100) do f:exception() end\n"
"  for i = 1, 20 do assert(#select(2, futures[i]:result()) == i * 1000) end\n"
"  assert(not pcall(futures[21].result, futures[21]) and calls == 1)\n"
"  assert(pool:stats().failed == 1)\n"
"end\n"
"for _ = 1, tonumber(arg[1]) do\n"
"  local makers = {}\n"
"  for i = 1, 3 do\n"
"    makers[i] = mp.Thread { target = function()\n"
"      local pool <close> = mp.Pool { 2, kind = 'thread', initializer = square, initargs = { 3 } }\n"
"      use(pool)\n"
"      return 'fine'\n"
"    end }:start()\n"
"  end\n"
"  local pool = mp.ThreadPoolExecutor(3)\n"
"  assert(pool:submit(square, 4):result() == 16)\n"
"  for i = 1, 3 do assert(makers[i]:result() == 'fine') end\n"
"  pool:shutdown(false)\n"
"end\n";

/* What ends workers: times, force, worn out, os.exit, terminate, resize. (TSan
 * delivers a signal at the next call of the C library's, hence mp.time.) */
static const char ends[] =
"local mp = require 'mp'\n"
"local never = mp.Event()\n"
"local function loop() while true do mp.time() end end\n"
"for round = 1, tonumber(arg[1]) do\n"
"  local pool = mp.Pool { 2, kind = 'thread' }\n"
"  local a, b = pool:submit_with({ timeout = 0.02 }, loop),\n"
"               pool:submit_with({ timeout = 0.02 }, never.wait, never)\n"
"  assert(a:exception(100).name == 'TaskTimeout' and b:exception(100).name == 'TaskTimeout')\n"
"  local begun = mp.Queue()\n"
"  local c = pool:submit(function() begun:put(1) loop() end)\n"
"  local d = pool:map_async(function(i) begun:put(i) never:wait() end, { 1, 2, 3 }, 1)\n"
"  begun:get()\n"
"  begun:get()\n"
"  assert(c:cancel(true) and d:cancel(true))\n"
"  local e = pool:submit(os.exit, 7):exception(100)\n"
"  assert(e.name == 'WorkerLost' and e.exitcode == 7)\n"
"  pool:resize(4)\n"
"  assert(pool:apply(math.abs, { -3 }) == 3)\n"
"  for _ = 1, 4 do pool:submit(round % 2 == 0 and loop or never.wait, never) end\n"
"  pool:terminate()\n"
"  assert(pool:join(100))\n"
"  local worn <close> = mp.Pool { 3, kind = 'thread', maxtasksperchild = 1,\n"
"                                 on_exit = function() return 1 end }\n"
"  local got = worn:map(math.abs, { -1, -2, -3, -4, -5, -6, -7, -8 }, 1)\n"
"  for i = 1, 8 do assert(got[i] == i) end\n"
"end\n";

static void run(const char *name, const char *script, const char *rounds)
{
	lua_State *L = luaL_newstate();
	h_now("%s", name);
	luaL_openlibs(L);
	luaL_requiref(L, "mp", luaopen_mp, 0);
	lua_createtable(L, 1, 0);
	lua_pushstring(L, rounds);
	lua_rawseti(L, -2, 1);
	lua_setglobal(L, "arg");
	if (luaL_dostring(L, script))
		fprintf(stderr, "%s\n", lua_tostring(L, -1));
	CHECK(lua_isnone(L, -1) || lua_type(L, -1) != LUA_TSTRING);
	lua_close(L);
}

int main(void)
{
	const char *rounds = h_prove() ? "100" : "6";
	h_deadline(100, 900);
	run("pools of threads", work, rounds);
	run("ends of their workers", ends, rounds);
	return H_PASS;
}
