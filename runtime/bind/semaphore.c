/* semaphore: mp.Semaphore and mp.BoundedSemaphore.
 *
 * SPDX-License-Identifier: MIT */
#include <string.h>

#include "../sync/semaphore.h"
#include "hold.h"
#include "message.h"

/* ---- arguments ------------------------------------------------------------------ */

/* An integer from min, absent: 1. what: "the start value", "the count". */
static uint32_t arg_count(lua_State *L, int arg, uint32_t min, const char *call, const char *what)
{
	int isint = 0;
	lua_Integer n = 1;
	if (lua_isnoneornil(L, arg))
		return 1;
	if (lua_type(L, arg) == LUA_TNUMBER)
		n = lua_tointegerx(L, arg, &isint);
	if (!isint || n < min)
		mp_misuse(L, call, lua_type(L, arg) == LUA_TSTRING
		          ? "%s must be an integer from %d, got \"%s\""
		          : "%s must be an integer from %d, got %s",
		          what, (int)min, luaL_tolstring(L, arg, NULL));
	if (n > MP_SEMAPHORE_MAX)
		mp_misuse(L, call, "%s must be at most %d, got %I", what,
		          (int)MP_SEMAPHORE_MAX, (LUAI_UACINT)n);
	return (uint32_t)n;
}

/* The name of a call on r, from that on a BoundedSemaphore. */
static const char *name_of(const mp_ref *r, const char *bounded)
{
	return ((mp_semaphore *)r->body)->bounded ? bounded : bounded + strlen("Bounded");
}

/* Argument 1 of the method so named on a BoundedSemaphore; *name, if given:
 * what it is called on this one. */
static mp_ref *self(lua_State *L, const char *bounded, const char **name)
{
	mp_ref *r = mp_ref_self(L, bounded + strlen("Bounded"));
	if (name)
		*name = name_of(r, bounded);
	return r;
}

/* ---- holding --------------------------------------------------------------------- */

static int acquire(lua_State *L, mp_ref *r, int64_t deadline, const char *call)
{
	int rc;
	while ((rc = mp_semaphore_acquire(r->st->me, r->body, deadline)) == MP_INTERRUPTED)
		mp_message_interrupt(L, r, call);
	return rc;
}

static void let_go(mp_ref *r)
{
	/* Released by hand: leave it. A bounded one that others have filled
	 * stays as it is. */
	if (mp_semaphore_mine(r->st->me, r->body))
		mp_semaphore_release(r->st->me, r->body, 1);
}

static const mp_lockable lockable = { acquire, let_go };

static int semaphore_acquire(lua_State *L)
{
	const char *name;
	mp_ref *r = self(L, "BoundedSemaphore:acquire", &name);
	if (lua_gettop(L) > 1 || mp_semaphore_acquire(r->st->me, r->body, 0) != MP_OK)
		return mp_hold_acquire(L, &lockable, name);
	lua_pushboolean(L, 1);
	return 1;
}

static int semaphore_hold(lua_State *L)
{
	const char *name;
	self(L, "BoundedSemaphore:hold", &name);
	return mp_hold_scope(L, &lockable, name);
}

static int semaphore_with(lua_State *L)
{
	const char *name;
	self(L, "BoundedSemaphore:with", &name);
	return mp_hold_with(L, &lockable, name);
}

static int semaphore_release(lua_State *L)
{
	const char *call;
	mp_ref *r = self(L, "BoundedSemaphore:release", &call);
	mp_semaphore *s = r->body;
	uint32_t n = arg_count(L, 2, 1, call, "the count");
	if (mp_semaphore_release(r->st->me, s, n) == MP_OK)
		return 0;
	if (s->bounded)
		mp_misuse(L, call, "%d more would exceed the start value, %d; release only "
		          "what was acquired", (int)n, (int)s->start);
	mp_misuse(L, call, "the value would exceed %d", (int)MP_SEMAPHORE_MAX);
}

static int semaphore_locked(lua_State *L)
{
	mp_ref *r = self(L, "BoundedSemaphore:locked", NULL);
	lua_pushboolean(L, mp_semaphore_value(r->st->me, r->body) == 0);
	return 1;
}

/* ---- fields ----------------------------------------------------------------------- */

/* Methods first; then value. */
static int semaphore_index(lua_State *L)
{
	lua_pushvalue(L, 2);
	if (lua_rawget(L, lua_upvalueindex(2)) != LUA_TNIL)
		return 1;
	mp_ref *r = mp_ref_self(L, "Semaphore");
	if (lua_type(L, 2) == LUA_TSTRING && strcmp(lua_tostring(L, 2), "value") == 0)
		lua_pushinteger(L, mp_semaphore_value(r->st->me, r->body));
	else
		lua_pushnil(L);
	return 1;
}

static int semaphore_tostring(lua_State *L)
{
	mp_ref *r = mp_ref_test(L, 1, MP_T_SEMAPHORE);
	if (!r || !r->h || !r->st->me) {
		lua_pushliteral(L, "Semaphore (closed here)");
		return 1;
	}
	mp_semaphore *s = r->body;
	int value = (int)mp_semaphore_value(r->st->me, s);
	if (s->bounded)
		lua_pushfstring(L, "BoundedSemaphore (%d of %d)", value, (int)s->start);
	else
		lua_pushfstring(L, "Semaphore (%d)", value);
	return 1;
}

static const luaL_Reg methods[] = {
	{ "acquire", semaphore_acquire },
	{ "release", semaphore_release },
	{ "locked", semaphore_locked },
	{ "hold", semaphore_hold },
	{ "with", semaphore_with },
	{ "__index", semaphore_index },
	{ "__tostring", semaphore_tostring },
	{ NULL, NULL }
};

static int create(lua_State *L, bool bounded, const char *call)
{
	mp_handle h;
	uint32_t start = arg_count(L, 1, 0, call, "the start value");
	bool tried = false;
	mp_state *st = mp_state_of(L);
	mp_self *me = mp_state_self(L, st, call);
	int rc;
	do
		rc = mp_semaphore_create(me, start, bounded, &h);
	while (mp_make_room(L, rc, &tried));
	if (rc != MP_OK)
		return mp_fail(L, rc, call);
	mp_ref_push(L, st, h, true);
	return 1;
}

static int new_semaphore(lua_State *L)
{
	return create(L, false, "mp.Semaphore");
}

static int new_bounded(lua_State *L)
{
	return create(L, true, "mp.BoundedSemaphore");
}

void mp_open_semaphore(lua_State *L)
{
	mp_type_define(L, MP_T_SEMAPHORE, "Semaphore", methods);
	lua_pushcfunction(L, new_semaphore);
	lua_setfield(L, -2, "Semaphore");
	lua_pushcfunction(L, new_bounded);
	lua_setfield(L, -2, "BoundedSemaphore");
}
