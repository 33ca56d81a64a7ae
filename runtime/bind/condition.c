/* condition: mp.Condition.
 *
 * SPDX-License-Identifier: MIT */
#include "../sync/condition.h"
#include "hold.h"
#include "message.h"
#include "owner.h"

static mp_lock *lock_of(const mp_ref *r, bool *recursive)
{
	return mp_condition_lock(&r->st->rt->shm, r->body, recursive);
}

static const mp_owned owned = { MP_T_CONDITION, "Condition", lock_of };

static bool mine(const mp_ref *r)
{
	bool recursive;
	return mp_lock_owner(lock_of(r, &recursive)) == r->st->me->aid;
}

/* ---- the lock -------------------------------------------------------------------- */

static int acquire(lua_State *L, mp_ref *r, int64_t deadline, const char *call)
{
	int rc;
	while ((rc = mp_condition_acquire(r->st->me, r->body, deadline))
	       == MP_INTERRUPTED)
		mp_message_interrupt(L, r, call);
	if (rc < 0)
		mp_misuse(L, call, "this process holds the lock already and "
		          "would wait for itself for ever; release it before");
	return rc;
}

static void let_go(mp_ref *r)
{
	if (mine(r))
		mp_condition_release(r->st->me, r->body);
}

static const mp_lockable lockable = { acquire, let_go };

static int condition_acquire(lua_State *L)
{
	return mp_hold_acquire(L, &lockable, "Condition:acquire");
}

static int condition_hold(lua_State *L)
{
	return mp_hold_scope(L, &lockable, "Condition:hold");
}

static int condition_with(lua_State *L)
{
	return mp_hold_with(L, &lockable, "Condition:with");
}

static int condition_release(lua_State *L)
{
	static const char call[] = "Condition:release";
	mp_ref *r = mp_ref_self(L, call);
	if (mp_condition_release(r->st->me, r->body) != MP_OK)
		mp_owner_refuse(L, &owned, r, call);
	return 0;
}

static int condition_locked(lua_State *L)
{
	return mp_owner_locked(L, &owned, "Condition:locked");
}

static int condition_index(lua_State *L)
{
	return mp_owner_index(L, &owned);
}

static int condition_tostring(lua_State *L)
{
	mp_ref *r = mp_ref_test(L, 1, MP_T_CONDITION);
	mp_owner_tostring(L, &owned);
	if (!r || !r->h || !r->st->me)
		return 1;
	size_t len;
	const char *held = lua_tolstring(L, -1, &len);
	lua_pushlstring(L, held, len - 1);
	lua_pushfstring(L, "%s; %d waiting)", lua_tostring(L, -1),
	                (int)mp_condition_waiting(&r->st->rt->shm, r->body));
	return 1;
}

/* ---- waiting ----------------------------------------------------------------------- */

static _Noreturn void not_held(lua_State *L, const char *call)
{
	mp_misuse(L, call, "this process does not hold the condition's lock; "
	          "call it between acquire and release, or inside with or hold");
}

typedef struct waiting {
	mp_ref *r;
	const char *call;
	bool failed;               /* a handler raised; its error lies on the stack */
} waiting;

static int interrupt_protected(lua_State *L)
{
	waiting *w = lua_touserdata(L, 1);
	mp_message_interrupt(L, w->r, w->call);
	return 0;
}

/* Runs signal handlers. False: one raised, and the wait must end. Only the
 * first error counts: the lock comes back before it goes on. */
static bool interrupted(lua_State *L, waiting *w)
{
	lua_pushcfunction(L, interrupt_protected);
	lua_pushlightuserdata(L, w);
	if (lua_pcall(L, 1, 0, 0) == LUA_OK)
		return true;
	if (w->failed)
		lua_pop(L, 1);
	w->failed = true;
	return false;
}

/* 0, MP_ABANDONED or MP_TIMEOUT, the lock held again in any case; also when
 * it raises what a signal handler raised. */
static int wait_until(lua_State *L, mp_ref *r, int64_t deadline, const char *call)
{
	waiting w = { r, call, false };
	mp_self *me = r->st->me;
	mp_condition *c = r->body;
	mp_cond_wait step;
	luaL_checkstack(L, 8, call);
	if (mp_condition_begin(me, c, &step) != MP_OK)
		not_held(L, call);
	int slept, back = MP_OK;
	while ((slept = mp_condition_sleep(me, c, &step, deadline)) == MP_INTERRUPTED
	       && interrupted(L, &w))
		;
	/* Closed by a handler: it may be gone already, and its lock. */
	while (r->h && (back = mp_condition_back(me, c, &step)) == MP_INTERRUPTED)
		interrupted(L, &w);
	/* One that would raise as soon as this returns is to raise here, where
	 * a notification is not lost by it. */
	if (r->h && r->st->signals)
		interrupted(L, &w);
	if (!r->h)
		lua_error(L);
	bool notified = mp_condition_end(me, c);
	if (w.failed) {
		if (notified)  /* it is another's then */
			mp_condition_notify(me, c, 1);
		lua_error(L);
	}
	if (back == MP_ABANDONED)
		return back;
	return slept == MP_TIMEOUT && !notified ? MP_TIMEOUT : MP_OK;
}

static int condition_wait(lua_State *L)
{
	static const char call[] = "Condition:wait";
	mp_ref *r = mp_ref_self(L, call);
	int64_t deadline = mp_arg_timeout(L, 2, call);
	int rc = wait_until(L, r, deadline, call);
	if (rc == MP_TIMEOUT)
		return mp_fail(L, rc, call);
	lua_pushboolean(L, 1);
	if (rc == MP_OK)
		return 1;
	lua_pushliteral(L, "abandoned");
	return 2;
}

/* ---- wait_for ------------------------------------------------------------------------
 * Stack: condition, predicate, deadline, nil or "abandoned". The predicate may
 * yield, so what is to be known afterwards lies there. */

static const char call_for[] = "Condition:wait_for";

/* The predicate was called; late: for the last time. */
static int for_called(lua_State *L, int status, lua_KContext late)
{
	mp_ref *r = lua_touserdata(L, 1);
	(void)status;
	while (!lua_toboolean(L, 5)) {
		if (late)
			return mp_fail(L, MP_TIMEOUT, call_for);
		if (!r->h || !r->st->me)
			mp_misuse(L, call_for, "the predicate closed this Condition");
		int rc = wait_until(L, r, lua_tointeger(L, 3), call_for);
		late = rc == MP_TIMEOUT;
		if (rc == MP_ABANDONED) {
			lua_pushliteral(L, "abandoned");
			lua_replace(L, 4);
		}
		lua_settop(L, 4);
		lua_pushvalue(L, 2);
		lua_callk(L, 0, 1, late, for_called);
	}
	if (lua_isnil(L, 4))
		return 1;
	lua_pushvalue(L, 4);
	return 2;
}

static int condition_wait_for(lua_State *L)
{
	mp_ref *r = mp_ref_self(L, call_for);
	if (lua_type(L, 2) != LUA_TFUNCTION && !luaL_getmetafield(L, 2, "__call"))
		mp_misuse(L, call_for, "expected a function, got %s",
		          luaL_typename(L, 2));
	int64_t deadline = mp_arg_timeout(L, 3, call_for);
	if (!mine(r))
		not_held(L, call_for);
	lua_settop(L, 2);
	lua_pushinteger(L, deadline);
	lua_pushnil(L);
	lua_pushvalue(L, 2);
	lua_callk(L, 0, 1, 0, for_called);
	return for_called(L, LUA_OK, 0);
}

/* ---- notifying ------------------------------------------------------------------------ */

static int notify(lua_State *L, mp_ref *r, uint32_t n, const char *call)
{
	if (mp_condition_notify(r->st->me, r->body, n) != MP_OK)
		not_held(L, call);
	return 0;
}

static int condition_notify(lua_State *L)
{
	static const char call[] = "Condition:notify";
	mp_ref *r = mp_ref_self(L, call);
	int isint = 1;
	lua_Integer n = lua_isnoneornil(L, 2) ? 1 : lua_tointegerx(L, 2, &isint);
	if (!isint || lua_type(L, 2) == LUA_TSTRING || n < 0)
		mp_misuse(L, call, "n must be a count, got %s",
		          luaL_tolstring(L, 2, NULL));
	return notify(L, r, n > UINT32_MAX ? UINT32_MAX : (uint32_t)n, call);
}

static int condition_notify_all(lua_State *L)
{
	static const char call[] = "Condition:notify_all";
	return notify(L, mp_ref_self(L, call), UINT32_MAX, call);
}

/* ---- the type --------------------------------------------------------------------------- */

static const luaL_Reg methods[] = {
	{ "acquire", condition_acquire },
	{ "release", condition_release },
	{ "locked", condition_locked },
	{ "hold", condition_hold },
	{ "with", condition_with },
	{ "wait", condition_wait },
	{ "wait_for", condition_wait_for },
	{ "notify", condition_notify },
	{ "notify_all", condition_notify_all },
	{ "__index", condition_index },
	{ "__tostring", condition_tostring },
	{ NULL, NULL }
};

static mp_handle given_lock(lua_State *L, const char *call)
{
	if (lua_isnoneornil(L, 1))
		return 0;
	mp_ref *r = mp_ref_test(L, 1, MP_T_LOCK);
	if (!r)
		r = mp_ref_test(L, 1, MP_T_RLOCK);
	if (!r)
		mp_misuse(L, call, "expected a Lock or an RLock, got %s",
		          luaL_tolstring(L, 1, NULL));
	if (!r->h)
		mp_misuse(L, call, "this lock is closed here");
	return r->h;
}

static int new_condition(lua_State *L)
{
	static const char call[] = "mp.Condition";
	mp_handle h;
	mp_state *st = mp_state_of(L);
	mp_self *me = mp_state_self(L, st, call);
	int rc = mp_condition_create(me, given_lock(L, call), &h);
	if (rc != MP_OK)
		return mp_fail(L, rc, call);
	mp_ref_push(L, st, h, true);
	return 1;
}

void mp_open_condition(lua_State *L)
{
	mp_type_define(L, MP_T_CONDITION, "Condition", methods);
	lua_pushcfunction(L, new_condition);
	lua_setfield(L, -2, "Condition");
}
