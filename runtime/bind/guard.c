/* guard: see guard.h.
 *
 * SPDX-License-Identifier: MIT */
#include "guard.h"

int mp_guard_push(lua_State *L, mp_ref *r, mp_guard *g, const char *call)
{
	mp_handle h;
	bool made, tried = false;
	int rc;
	lua_getiuservalue(L, 1, 1);
	mp_ref *l = mp_ref_test(L, -1, MP_T_RLOCK);
	if (l && l->h)
		return 1;
	do
		rc = mp_guard_of(r->st->me, g, &h, &made);
	while (mp_make_room(L, rc, &tried));
	if (rc != MP_OK)
		return mp_fail(L, rc, call);
	mp_ref_push(L, r->st, h, made);
	lua_pushvalue(L, -1);
	lua_setiuservalue(L, 1, 1);
	return 1;
}
