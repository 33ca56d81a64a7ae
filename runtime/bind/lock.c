/* lock: mp.Lock, and what lets a scope or a function hold it.
 *
 * SPDX-License-Identifier: MIT */
#include <string.h>

#include "../sync/lock.h"
#include "message.h"

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

static int lock_acquire(lua_State *L)
{
	static const char call[] = "Lock:acquire";
	mp_ref *r = mp_ref_self(L, call);
	int64_t deadline = MP_FOREVER;
	bool nowait;
	if (lua_gettop(L) > 1)
		deadline = mp_arg_deadline(L, 2, call, &nowait);
	int rc = acquire(L, r, deadline, call);
	if (rc != MP_OK && rc != MP_ABANDONED)
		return mp_fail(L, rc, call);
	lua_pushboolean(L, 1);
	if (rc == MP_OK)
		return 1;
	lua_pushliteral(L, "abandoned");
	return 2;
}

static int lock_release(lua_State *L)
{
	static const char call[] = "Lock:release";
	mp_ref *r = mp_ref_self(L, call);
	if (mp_lock_release(r->st->me, r->body) != MP_OK)
		mp_misuse(L, call, "this lock is not locked");
	return 0;
}

/* The slot of its live holder, or NULL. */
static const mp_slot *holder(const mp_ref *r)
{
	const mp_shm *s = r->st->me->shm;
	mp_aid owner = mp_lock_owner(r->body);
	return owner && !mp_gone(s, owner) ? mp_slot_of(s, owner) : NULL;
}

static int lock_locked(lua_State *L)
{
	lua_pushboolean(L, holder(mp_ref_self(L, "Lock:locked")) != NULL);
	return 1;
}

/* ---- hold and with ------------------------------------------------------------
 * A hold is a value to be closed; the lock is its user value. */

static int hold_close(lua_State *L)
{
	bool *held = lua_touserdata(L, 1);
	if (!held || !*held)
		return 0;
	*held = false;
	lua_getiuservalue(L, 1, 1);
	mp_ref *r = lua_touserdata(L, -1);
	/* Released by hand, maybe somebody else's by now: leave it. */
	if (r->h && mp_lock_owner(r->body) == r->st->me->aid)
		mp_lock_release(r->st->me, r->body);
	return 0;
}

static const char hold_type[] = "mp.hold";

/* Pushes a hold of the lock at index 1 that does not hold yet. */
static bool *push_hold(lua_State *L)
{
	bool *held = lua_newuserdatauv(L, sizeof *held, 1);
	*held = false;
	lua_pushvalue(L, 1);
	lua_setiuservalue(L, -2, 1);
	if (luaL_newmetatable(L, hold_type)) {
		lua_pushcfunction(L, hold_close);
		lua_setfield(L, -2, "__close");
	}
	lua_setmetatable(L, -2);
	return held;
}

static int lock_hold(lua_State *L)
{
	static const char call[] = "Lock:hold";
	mp_ref *r = mp_ref_self(L, call);
	int64_t deadline = mp_arg_timeout(L, 2, call);
	bool *held = push_hold(L);
	int rc = acquire(L, r, deadline, call);
	if (rc != MP_OK && rc != MP_ABANDONED)
		return mp_fail(L, rc, call);
	*held = true;
	if (rc == MP_OK)
		return 1;
	lua_pushliteral(L, "abandoned");
	return 2;
}

static int with_done(lua_State *L, int status, lua_KContext ctx)
{
	(void)status;
	return lua_gettop(L) - (int)ctx;
}

/* with(f, …): the hold is closed when this returns or f raises, and since no
 * protected call lies between, an error keeps its traceback. */
static int lock_with(lua_State *L)
{
	static const char call[] = "Lock:with";
	mp_ref *r = mp_ref_self(L, call);
	if (lua_type(L, 2) != LUA_TFUNCTION && !luaL_getmetafield(L, 2, "__call"))
		mp_misuse(L, call, "expected a function, got %s",
		          luaL_typename(L, 2));
	if (lua_type(L, 2) != LUA_TFUNCTION)
		lua_pop(L, 1);
	int nargs = lua_gettop(L) - 2;
	bool *held = push_hold(L);
	lua_insert(L, 2);  /* lock, hold, f, … */
	lua_toclose(L, 2);
	acquire(L, r, MP_FOREVER, call);
	*held = true;
	lua_callk(L, nargs, LUA_MULTRET, 2, with_done);
	return with_done(L, LUA_OK, 2);
}

/* ---- fields -------------------------------------------------------------------- */

/* Methods first; then owner and owner_name. */
static int lock_index(lua_State *L)
{
	lua_pushvalue(L, 2);
	if (lua_rawget(L, lua_upvalueindex(2)) != LUA_TNIL)
		return 1;
	mp_ref *r = mp_ref_self(L, "Lock");
	const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
	const mp_slot *s = holder(r);
	if (s && strcmp(key, "owner") == 0)
		lua_pushinteger(L, s->pid);
	else if (s && strcmp(key, "owner_name") == 0)
		lua_pushstring(L, s->name);
	else
		lua_pushnil(L);
	return 1;
}

static int lock_tostring(lua_State *L)
{
	mp_ref *r = mp_ref_test(L, 1, MP_T_LOCK);
	const mp_slot *s = r && r->h ? holder(r) : NULL;
	if (s)
		lua_pushfstring(L, "Lock (held by %s, pid %d)", s->name, (int)s->pid);
	else
		lua_pushstring(L, r && r->h ? "Lock (free)" : "Lock (closed here)");
	return 1;
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
	int rc = mp_lock_create(mp_state_self(L, st, call), &h);
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
