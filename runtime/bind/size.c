/* size: see size.h.
 *
 * SPDX-License-Identifier: MIT */
#include "size.h"

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

int mp_no_room(lua_State *L, const mp_self *me, int rc, uint64_t bytes,
               const char *call)
{
	uint64_t all = (uint64_t)me->shm->h->nchunks << MP_CHUNK_SHIFT;
	if (rc == MP_TOOBIG)
		mp_misuse(L, call, "%I bytes can never fit into this runtime's memory "
		          "of %I MiB; set a larger limit (mp.configure{memory=}, "
		          "mprun --memory, MPRUN_MEMORY)", (LUAI_UACINT)bytes,
		          (LUAI_UACINT)(all >> 20));
	return mp_fail(L, rc, call);
}
