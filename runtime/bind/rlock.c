/* rlock: mp.RLock.
 *
 * SPDX-License-Identifier: MIT */
#include "hold.h"
#include "message.h"
#include "owner.h"

static int acquire(lua_State *L, mp_ref *r, int64_t deadline, const char *call)
{
	int rc;
	while ((rc = mp_rlock_acquire(r->st->me, r->body, deadline))
	       == MP_INTERRUPTED)
		mp_message_interrupt(L, r, call);
	if (rc < 0)
		mp_misuse(L, call, "this process holds the lock too often; "
		          "release it as often as it is acquired");
	return rc;
}

static void let_go(mp_ref *r)
{
	mp_rlock_release(r->st->me, r->body);  /* refused if it is not ours */
}

static const mp_lockable lockable = { acquire, let_go };

static mp_lock *lock_of(const mp_ref *r, bool *recursive)
{
	*recursive = true;
	return &((mp_rlock *)r->body)->lock;
}

static const mp_owned owned = { MP_T_RLOCK, "RLock", lock_of };

static int rlock_acquire(lua_State *L)
{
	return mp_hold_acquire(L, &lockable, "RLock:acquire");
}

static int rlock_hold(lua_State *L)
{
	return mp_hold_scope(L, &lockable, "RLock:hold");
}

static int rlock_with(lua_State *L)
{
	return mp_hold_with(L, &lockable, "RLock:with");
}

static int rlock_release(lua_State *L)
{
	static const char call[] = "RLock:release";
	mp_ref *r = mp_ref_self(L, call);
	if (mp_rlock_release(r->st->me, r->body) != MP_OK)
		mp_owner_refuse(L, &owned, r, call);
	return 0;
}

static int rlock_locked(lua_State *L)
{
	return mp_owner_locked(L, &owned, "RLock:locked");
}

static int rlock_index(lua_State *L)
{
	return mp_owner_index(L, &owned);
}

static int rlock_tostring(lua_State *L)
{
	return mp_owner_tostring(L, &owned);
}

static const luaL_Reg methods[] = {
	{ "acquire", rlock_acquire },
	{ "release", rlock_release },
	{ "locked", rlock_locked },
	{ "hold", rlock_hold },
	{ "with", rlock_with },
	{ "__index", rlock_index },
	{ "__tostring", rlock_tostring },
	{ NULL, NULL }
};

static int new_rlock(lua_State *L)
{
	static const char call[] = "mp.RLock";
	mp_handle h;
	mp_state *st = mp_state_of(L);
	int rc = mp_rlock_create(mp_state_self(L, st, call), &h);
	if (rc != MP_OK)
		return mp_fail(L, rc, call);
	mp_ref_push(L, st, h, true);
	return 1;
}

void mp_open_rlock(lua_State *L)
{
	mp_type_define(L, MP_T_RLOCK, "RLock", methods);
	lua_pushcfunction(L, new_rlock);
	lua_setfield(L, -2, "RLock");
}
