/* lock: mp.Lock.
 *
 * SPDX-License-Identifier: MIT */
#include "hold.h"
#include "message.h"
#include "owner.h"

/* Waits, running signal handlers meanwhile. 0, MP_ABANDONED, MP_TIMEOUT. */
static int acquire(lua_State *L, mp_ref *r, int64_t deadline, const char *call)
{
	int rc;
	while ((rc = mp_lock_acquire(r->st->me, r->body, deadline))
	       == MP_INTERRUPTED)
		mp_message_interrupt(L, r, call);
	if (rc == -EDEADLK)
		mp_misuse(L, call, "this process holds the lock already and "
		          "would wait for itself for ever; release it before");
	return rc;
}

static void let_go(mp_ref *r)
{
	/* Released by hand, maybe somebody else's by now: leave it. */
	if (mp_lock_owner(r->body) == r->st->me->aid)
		mp_lock_release(r->st->me, r->body);
}

static const mp_lockable lockable = { acquire, let_go };

static mp_lock *lock_of(const mp_ref *r, bool *recursive)
{
	*recursive = false;
	return r->body;
}

static const mp_owned owned = { MP_T_LOCK, "Lock", lock_of };

static int lock_acquire(lua_State *L)
{
	return mp_hold_acquire(L, &lockable, "Lock:acquire");
}

static int lock_hold(lua_State *L)
{
	return mp_hold_scope(L, &lockable, "Lock:hold");
}

static int lock_with(lua_State *L)
{
	return mp_hold_with(L, &lockable, "Lock:with");
}

static int lock_release(lua_State *L)
{
	static const char call[] = "Lock:release";
	mp_ref *r = mp_ref_self(L, call);
	if (mp_lock_release(r->st->me, r->body) != MP_OK)
		mp_misuse(L, call, "this lock is not locked");
	return 0;
}

static int lock_locked(lua_State *L)
{
	return mp_owner_locked(L, &owned, "Lock:locked");
}

static int lock_index(lua_State *L)
{
	return mp_owner_index(L, &owned);
}

static int lock_tostring(lua_State *L)
{
	return mp_owner_tostring(L, &owned);
}

static const luaL_Reg methods[] = {
	{ "acquire", lock_acquire },
	{ "release", lock_release },
	{ "locked", lock_locked },
	{ "hold", lock_hold },
	{ "with", lock_with },
	{ "__index", lock_index },
	{ "__tostring", lock_tostring },
	{ NULL, NULL }
};

static int new_lock(lua_State *L)
{
	static const char call[] = "mp.Lock";
	mp_handle h;
	mp_state *st = mp_state_of(L);
	mp_self *me = mp_state_self(L, st, call);
	bool tried = false;
	int rc;
	do
		rc = mp_lock_create(me, &h);
	while (mp_make_room(L, rc, &tried));
	if (rc != MP_OK)
		return mp_fail(L, rc, call);
	mp_ref_push(L, st, h, true);
	return 1;
}

void mp_open_lock(lua_State *L)
{
	mp_type_define(L, MP_T_LOCK, "Lock", methods);
	lua_pushcfunction(L, new_lock);
	lua_setfield(L, -2, "Lock");
}
