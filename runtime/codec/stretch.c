/* stretch: see stretch.h.
 *
 * SPDX-License-Identifier: MIT */
#include "stretch.h"

static const char key = 0;  /* its address is the registry key of the metatable */

void mp_stretch_push(lua_State *L, int list, mp_stretch which)
{
	list = lua_absindex(L, list);
	mp_stretch *s = lua_newuserdatauv(L, sizeof *s, 1);
	*s = which;
	lua_pushvalue(L, list);
	lua_setiuservalue(L, -2, 1);
	if (lua_rawgetp(L, LUA_REGISTRYINDEX, &key) == LUA_TNIL) {
		lua_pop(L, 1);
		lua_createtable(L, 0, 0);
		lua_pushvalue(L, -1);
		lua_rawsetp(L, LUA_REGISTRYINDEX, &key);
	}
	lua_setmetatable(L, -2);
}

const mp_stretch *mp_stretch_test(lua_State *L, int idx)
{
	const mp_stretch *s = lua_touserdata(L, idx);
	if (!s || !lua_getmetatable(L, idx))
		return NULL;
	lua_rawgetp(L, LUA_REGISTRYINDEX, &key);
	if (!lua_rawequal(L, -1, -2))
		s = NULL;
	lua_pop(L, 2);
	return s;
}
