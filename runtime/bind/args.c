/* args: see args.h.
 *
 * SPDX-License-Identifier: MIT */
#include "args.h"

#include <limits.h>

const char *mp_arg_text(lua_State *L, int arg)
{
	return lua_isnone(L, arg) ? "no value" : luaL_tolstring(L, arg, NULL);
}

uint64_t mp_arg_size(lua_State *L, int arg, const char *call, const char *what)
{
	int is;
	lua_Integer n = lua_tointegerx(L, arg, &is);
	if (lua_type(L, arg) != LUA_TNUMBER)
		mp_misuse(L, call, "%s must be a number, got %s", what,
		          luaL_typename(L, arg));
	if (!is || n < 0)
		mp_misuse(L, call, "%s must be a whole number, 0 or more, got %s",
		          what, luaL_tolstring(L, arg, NULL));
	return (uint64_t)n;
}

lua_Integer mp_arg_max(lua_State *L, int arg, const char *call)
{
	int isint = 0;
	lua_Integer max = 0;
	if (lua_type(L, arg) == LUA_TNUMBER)
		max = lua_tointegerx(L, arg, &isint);
	if (!isint || max < 1)
		mp_misuse(L, call, "max must be a positive integer, got %s",
		          mp_arg_text(L, arg));
	return max;
}

lua_Integer mp_arg_list(lua_State *L, int idx, const char *call)
{
	lua_Integer n = (lua_Integer)lua_rawlen(L, idx);
	lua_pushliteral(L, "n");
	if (lua_rawget(L, idx) != LUA_TNIL) {
		int isint;
		n = lua_tointegerx(L, -1, &isint);
		if (!isint || n < 0 || n > INT_MAX)
			mp_misuse(L, call, "the list's n must be a count, got %s",
			          luaL_tolstring(L, -1, NULL));
	}
	lua_pop(L, 1);
	return n;
}

int mp_no_room(lua_State *L, const mp_self *me, int rc, uint64_t n,
               uint32_t size, const char *call)
{
	uint64_t all = (uint64_t)me->shm->h->nchunks << MP_CHUNK_SHIFT;
	if (rc == MP_TOOBIG)
		mp_misuse(L, call, "%I %s can never fit into this runtime's memory "
		          "of %I MiB; set a larger limit (mp.configure{memory=}, "
		          "mprun --memory, MPRUN_MEMORY)", (LUAI_UACINT)n,
		          size == 1 ? "bytes" : "elements", (LUAI_UACINT)(all >> 20));
	return mp_fail(L, rc, call);
}
