/* hold: see hold.h. A hold is a value to be closed; what it holds is its user
 * value.
 *
 * SPDX-License-Identifier: MIT */
#include "hold.h"

static const char hold_type[] = "mp.hold";

typedef struct hold {
	const mp_lockable *k;
	bool held;
} hold;

static int acquired(lua_State *L, int rc)
{
	if (rc == MP_OK)
		return 1;
	lua_pushliteral(L, "abandoned");
	return 2;
}

int mp_hold_acquire(lua_State *L, const mp_lockable *k, const char *call)
{
	mp_ref *r = mp_ref_self(L, call);
	int64_t deadline = MP_FOREVER;
	bool nowait;
	if (lua_gettop(L) > 1)
		deadline = mp_arg_deadline(L, 2, call, &nowait);
	int rc = k->acquire(L, r, deadline, call);
	if (rc != MP_OK && rc != MP_ABANDONED)
		return mp_fail(L, rc, call);
	lua_pushboolean(L, 1);
	return acquired(L, rc);
}

static int hold_close(lua_State *L)
{
	hold *h = lua_touserdata(L, 1);
	if (!h || !h->held)
		return 0;
	h->held = false;
	lua_getiuservalue(L, 1, 1);
	mp_ref *r = lua_touserdata(L, -1);
	if (r->h && r->st->me)
		h->k->release(r);
	return 0;
}

/* Pushes a hold of the object at index 1 that does not hold yet. */
static hold *push_hold(lua_State *L, const mp_lockable *k)
{
	hold *h = lua_newuserdatauv(L, sizeof *h, 1);
	*h = (hold){ k, false };
	lua_pushvalue(L, 1);
	lua_setiuservalue(L, -2, 1);
	if (luaL_newmetatable(L, hold_type)) {
		lua_pushcfunction(L, hold_close);
		lua_setfield(L, -2, "__close");
	}
	lua_setmetatable(L, -2);
	return h;
}

int mp_hold_scope(lua_State *L, const mp_lockable *k, const char *call)
{
	mp_ref *r = mp_ref_self(L, call);
	int64_t deadline = mp_arg_timeout(L, 2, call);
	hold *h = push_hold(L, k);
	int rc = k->acquire(L, r, deadline, call);
	if (rc != MP_OK && rc != MP_ABANDONED)
		return mp_fail(L, rc, call);
	h->held = true;
	return acquired(L, rc);
}

static int with_done(lua_State *L, int status, lua_KContext ctx)
{
	(void)status;
	return lua_gettop(L) - (int)ctx;
}

/* The hold is closed when this returns or f raises, and since no protected
 * call lies between, an error keeps its traceback. */
int mp_hold_with(lua_State *L, const mp_lockable *k, const char *call)
{
	mp_ref *r = mp_ref_self(L, call);
	if (lua_type(L, 2) != LUA_TFUNCTION && !luaL_getmetafield(L, 2, "__call"))
		mp_misuse(L, call, "expected a function, got %s",
		          luaL_typename(L, 2));
	if (lua_type(L, 2) != LUA_TFUNCTION)
		lua_pop(L, 1);
	int nargs = lua_gettop(L) - 2;
	hold *h = push_hold(L, k);
	lua_insert(L, 2);  /* object, hold, f, ... */
	lua_toclose(L, 2);
	k->acquire(L, r, MP_FOREVER, call);
	h->held = true;
	lua_callk(L, nargs, LUA_MULTRET, 2, with_done);
	return with_done(L, LUA_OK, 2);
}
