/* crash: crash points for tests in Lua; only in builds that have any, see
 * base/crash.h.
 *
 *   mp.core.crash_at(n)   this process is killed at the n-th point from now;
 *                         0: at none
 *
 * SPDX-License-Identifier: MIT */
#include "../base/crash.h"
#include "bind.h"

#ifdef MP_CRASHPOINTS
#include <signal.h>

static lua_Integer left;

static void hook(const char *name)
{
	(void)name;
	if (left && --left == 0)
		raise(SIGKILL);
}

static int core_crash_at(lua_State *L)
{
	left = luaL_checkinteger(L, 1);
	mp_crash_hook = hook;
	return 0;
}
#endif

void mp_open_crash(lua_State *L)
{
#ifdef MP_CRASHPOINTS
	lua_getfield(L, -1, "core");
	lua_pushcfunction(L, core_crash_at);
	lua_setfield(L, -2, "crash_at");
	lua_pop(L, 1);
#else
	(void)L;
#endif
}
