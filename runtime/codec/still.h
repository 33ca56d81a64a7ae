/* still: keeps Lua's collector from running for a while.
 *
 * By credit: LUA_GCSTOP would be the way, but LUA_GCRESTART forgets how far the
 * collector was from its next cycle and begins one. A program that sends many
 * messages collected all the time, and a forked process marked, and so copied,
 * its creator's whole heap.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_CODEC_STILL_H
#define MP_CODEC_STILL_H

#include <limits.h>
#include <lua.h>
#include <stdbool.h>

/* false: it does not run anyway. */
static inline bool mp_gc_still(lua_State *L)
{
	if (!lua_gc(L, LUA_GCISRUNNING))
		return false;
	lua_gc(L, LUA_GCSTEP, -INT_MAX);  /* KiB that may be allocated first */
	return true;
}
static inline void mp_gc_goes_on(lua_State *L)
{
	lua_gc(L, LUA_GCSTEP, INT_MAX);
}

/* It waits until as much again was allocated as there is now. */
static inline void mp_gc_begins_anew(lua_State *L)
{
	if (lua_gc(L, LUA_GCISRUNNING))
		lua_gc(L, LUA_GCSTEP, -lua_gc(L, LUA_GCCOUNT));
}

#endif
