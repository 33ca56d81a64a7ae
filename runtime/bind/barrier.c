/* barrier: mp.Barrier.
 *
 * The action is in the userdata's user value where the barrier was made, and
 * in forks of that; a barrier that came in a message takes it from shared
 * memory when it is first needed.
 *
 * SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "../base/clock.h"
#include "../sync/barrier.h"
#include "message.h"

static const char call_new[] = "mp.Barrier", call_wait[] = "Barrier:wait";

enum { SENT, UNSENT };  /* kinds of a stored action: it; a text, why it cannot travel */

/* ---- the action --------------------------------------------------------------------- */

/* (action or text, ref, kind) -> outcome; raises what cannot travel. */
static int store_action(lua_State *L)
{
	mp_ref *r = lua_touserdata(L, 2);
	mp_barrier *b = r->body;
	bool tried = false;
	mp_encoded e;
	int rc;
	do {
		mp_encode(L, r->st->codec, 1, 1, call_new, &e);
		rc = mp_stored_put(r->st->me, &b->action, (uint32_t)lua_tointeger(L, 3), e.parts,
		                   e.nparts, e.len, e.handles, e.nhandles);
	} while (mp_make_room(L, rc, &tried));
	lua_pushinteger(L, rc);
	return 1;
}

static int try_to_store(lua_State *L, int action, mp_ref *r, int kind)
{
	lua_pushcfunction(L, store_action);
	lua_pushvalue(L, action);
	lua_pushlightuserdata(L, r);
	lua_pushinteger(L, kind);
	return lua_pcall(L, 3, 1, 0);
}

/* Where it is kept for others. 0, MP_NOMEM, MP_TOOBIG. */
static int keep_action(lua_State *L, int action, mp_ref *r)
{
	if (try_to_store(L, action, r, SENT) != LUA_OK) {
		luaL_tolstring(L, -1, NULL);
		if (try_to_store(L, lua_gettop(L), r, UNSENT) != LUA_OK)
			lua_error(L);
	}
	return (int)lua_tointeger(L, -1);
}

/* Pushes the action of the barrier at index 1. */
static void push_action(lua_State *L, mp_ref *r)
{
	const mp_stored *s;
	mp_in in = { .tries = 1 };
	lua_getiuservalue(L, 1, 1);
	if (!lua_isnil(L, -1))
		return;
	s = mp_stored_get(r->st->me->shm, &((mp_barrier *)r->body)->action);
	in.handles = s->handles;
	in.nhandles = s->nhandles;
	in.data = mp_stored_bytes(s);
	in.len = (uint32_t)s->len;
	mp_message_read(L, r->st, &in, false, call_wait);
	if (s->kind == UNSENT)
		mp_misuse(L, call_wait, "the action runs only where the barrier was made: %s",
		          lua_tostring(L, -1));
	lua_pushvalue(L, -1);
	lua_setiuservalue(L, 1, 1);
}

/* ---- wait ----------------------------------------------------------------------------- */

/* Closed when wait ends in any way: who leaves by an error breaks it. */
typedef struct stay {
	mp_state *st;
	mp_handle h;
	bool in;
} stay;

static int stay_close(lua_State *L)
{
	stay *s = lua_touserdata(L, 1);
	bool held;
	if (!s || !s->in || !s->st->me)
		return 0;
	s->in = false;
	/* A signal handler may have closed the barrier here. */
	held = mp_obj_held(&s->st->rt->shm, s->h, s->st->me->aid);
	if (!held && mp_obj_hold(s->st->me, s->h) != MP_OK)
		return 0;
	mp_barrier_leave(s->st->me, mp_obj_body(&s->st->rt->shm, s->h, MP_T_BARRIER));
	if (!held)
		mp_obj_drop(s->st->me, s->h);
	return 0;
}

static stay *push_stay(lua_State *L, const mp_ref *r)
{
	stay *s = lua_newuserdatauv(L, sizeof *s, 0);
	*s = (stay){ r->st, r->h, false };
	if (luaL_newmetatable(L, "mp.barrier.stay")) {
		lua_pushcfunction(L, stay_close);
		lua_setfield(L, -2, "__close");
	}
	lua_setmetatable(L, -2);
	return s;
}

static void run_action(lua_State *L, mp_ref *r)
{
	push_action(L, r);
	lua_call(L, 0, 0);
	if (!r->h)
		mp_misuse(L, call_wait, "closed by its action");
	mp_barrier_finish(r->st->me, r->body);
}

static int64_t deadline_of(lua_State *L, const mp_ref *r)
{
	const mp_barrier *b = r->body;
	if (!lua_isnoneornil(L, 2))
		return mp_arg_timeout(L, 2, call_wait);
	return b->timeout < 0 ? MP_FOREVER : mp_deadline(b->timeout);
}

static int barrier_wait(lua_State *L)
{
	mp_ref *r = mp_ref_self(L, call_wait);
	int64_t deadline = deadline_of(L, r);
	uint32_t seat = 0;
	stay *s;
	int rc;
	lua_settop(L, 1);
	s = push_stay(L, r);
	lua_toclose(L, 2);
	while ((rc = mp_barrier_arrive(r->st->me, r->body, deadline)) == MP_INTERRUPTED)
		mp_message_interrupt(L, r, call_wait);
	if (rc == -EDEADLK)
		mp_misuse(L, call_wait, "this process waits at it already");
	s->in = rc != MP_BROKEN;
	if (rc == MP_LAST)
		run_action(L, r);
	while (s->in && (rc = mp_barrier_await(r->st->me, r->body, deadline, &seat)) == MP_INTERRUPTED)
		mp_message_interrupt(L, r, call_wait);
	s->in = false;
	if (rc == MP_OK) {
		lua_pushinteger(L, seat);
		return 1;
	}
	lua_pushnil(L);
	lua_pushliteral(L, "broken");
	return 2;
}

/* ---- the rest --------------------------------------------------------------------------- */

static int barrier_reset(lua_State *L)
{
	mp_ref *r = mp_ref_self(L, "Barrier:reset");
	mp_barrier_reset(r->st->me, r->body);
	return 0;
}

static int barrier_abort(lua_State *L)
{
	mp_ref *r = mp_ref_self(L, "Barrier:abort");
	mp_barrier_abort(r->st->me, r->body);
	return 0;
}

/* Methods first; then parties, n_waiting and broken. */
static int barrier_index(lua_State *L)
{
	lua_pushvalue(L, 2);
	if (lua_rawget(L, lua_upvalueindex(2)) != LUA_TNIL)
		return 1;
	mp_ref *r = mp_ref_self(L, "Barrier");
	mp_barrier *b = r->body;
	const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
	bool broken;
	uint32_t n = mp_barrier_look(r->st->me, b, &broken);
	if (strcmp(key, "parties") == 0)
		lua_pushinteger(L, b->parties);
	else if (strcmp(key, "n_waiting") == 0)
		lua_pushinteger(L, n);
	else if (strcmp(key, "broken") == 0)
		lua_pushboolean(L, broken);
	else
		lua_pushnil(L);
	return 1;
}

static int barrier_tostring(lua_State *L)
{
	mp_ref *r = mp_ref_test(L, 1, MP_T_BARRIER);
	if (!r || !r->h || !r->st->me) {
		lua_pushliteral(L, "Barrier (closed here)");
		return 1;
	}
	mp_barrier *b = r->body;
	bool broken;
	uint32_t n = mp_barrier_look(r->st->me, b, &broken);
	if (broken)
		lua_pushliteral(L, "Barrier (broken)");
	else
		lua_pushfstring(L, "Barrier (%d of %d wait)", (int)n, (int)b->parties);
	return 1;
}

static const luaL_Reg methods[] = {
	{ "wait", barrier_wait },
	{ "reset", barrier_reset },
	{ "abort", barrier_abort },
	{ "__index", barrier_index },
	{ "__tostring", barrier_tostring },
	{ NULL, NULL }
};

static uint32_t arg_parties(lua_State *L)
{
	int isint = 0;
	lua_Integer n = 0;
	if (lua_type(L, 1) == LUA_TNUMBER)
		n = lua_tointegerx(L, 1, &isint);
	if (!isint || n < 1)
		mp_misuse(L, call_new, lua_type(L, 1) == LUA_TSTRING
		          ? "the number of parties must be an integer from 1, got \"%s\""
		          : "the number of parties must be an integer from 1, got %s",
		          luaL_tolstring(L, 1, NULL));
	if (n > (lua_Integer)MP_BARRIER_MAX)
		mp_misuse(L, call_new, "the number of parties must be at most %d, got %I",
		          (int)MP_BARRIER_MAX, (LUAI_UACINT)n);
	return (uint32_t)n;
}

static bool arg_action(lua_State *L)
{
	if (lua_isnoneornil(L, 2))
		return false;
	if (lua_type(L, 2) != LUA_TFUNCTION && luaL_getmetafield(L, 2, "__call") == LUA_TNIL)
		mp_misuse(L, call_new, "the action must be a function, got %s",
		          luaL_typename(L, 2));
	return true;
}

/* (parties, [action], [timeout]) */
static int new_barrier(lua_State *L)
{
	uint32_t parties;
	bool action, tried = false;
	double timeout = -1;
	mp_handle h;
	lua_settop(L, 3);
	parties = arg_parties(L);
	action = arg_action(L);
	mp_arg_timeout(L, 3, call_new);  /* checked */
	if (!lua_isnil(L, 3))
		timeout = lua_tonumber(L, 3);
	lua_settop(L, 3);
	mp_state *st = mp_state_of(L);
	mp_self *me = mp_state_self(L, st, call_new);
	int rc;
	do
		rc = mp_barrier_create(me, parties, action, timeout, &h);
	while (mp_make_room(L, rc, &tried));
	if (rc != MP_OK)
		return mp_fail(L, rc, call_new);
	mp_ref_push(L, st, h, true);
	if (!action)
		return 1;
	lua_pushvalue(L, 2);
	lua_setiuservalue(L, 4, 1);
	rc = keep_action(L, 2, lua_touserdata(L, 4));
	if (rc != MP_OK)
		return mp_fail(L, rc, call_new);
	lua_settop(L, 4);
	return 1;
}

void mp_open_barrier(lua_State *L)
{
	mp_type_define(L, MP_T_BARRIER, "Barrier", methods);
	lua_pushcfunction(L, new_barrier);
	lua_setfield(L, -2, "Barrier");
}
