/* kept: see kept.h.
 *
 * SPDX-License-Identifier: MIT */
#include "kept.h"

void mp_kept_encode(lua_State *L, mp_state *st, int idx, const char *call, mp_given *v)
{
	mp_encoded e;
	mp_encode(L, st->codec, idx, 1, call, &e);
	*v = (mp_given){ e.parts, e.nparts, e.len, e.handles, e.nhandles };
}

int mp_kept_outcome(lua_State *L, mp_ref *r, int rc, const char *call)
{
	if (rc == MP_NOMEM) {
		rc = mp_message_room(L, r, MP_FOREVER, call);
		if (rc == MP_OK)
			return MP_FULL;
		mp_fail(L, rc, call);
	}
	if (rc == MP_TOOBIG)
		mp_message_toobig(L, r->st, call);
	return rc;
}

void mp_reading_grow(lua_State *L, mp_reading *rd)
{
	rd->copy.room = rd->copy.need + rd->copy.need / 8;
	rd->copy.data = lua_newuserdatauv(L, rd->copy.room, 0);
}

void mp_reading_push(lua_State *L, mp_state *st, const mp_reading *rd, const char *call)
{
	const mp_copy *c = &rd->copy;
	mp_in in = { .data = (const unsigned char *)c->data + c->nhandles * sizeof(mp_handle),
	             .len = c->len, .nhandles = c->nhandles, .handles = c->data };
	mp_message_read(L, st, &in, true, call);
}

void mp_kept_show(lua_State *L, mp_ref *r, uint64_t first, uint64_t n, int what, mp_reading *rd)
{
	int top = lua_gettop(L);
	mp_reading_init(rd);
	while (mp_store_show(r->st->me, r->body, first, n, what, &rd->copy) == MP_FULL) {
		lua_settop(L, top);
		mp_reading_grow(L, rd);
	}
	mp_in in = { .nhandles = rd->copy.nhandles, .handles = rd->copy.data };
	if (in.nhandles)
		mp_message_hold(L, &in, true);
	lua_settop(L, top + 2);
}

void mp_shown_push(lua_State *L, mp_state *st, const mp_shown *x, const char *call)
{
	mp_decode(L, st->codec, mp_shown_bytes(x), x->len, 0, call);
}

bool mp_kept_method(lua_State *L, int key)
{
	lua_pushvalue(L, key);
	if (lua_rawget(L, lua_upvalueindex(2)) != LUA_TNIL)
		return true;
	lua_pop(L, 1);
	return false;
}
