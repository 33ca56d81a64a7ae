/* protect: pcall, xpcall and coroutine.resume, wrap and close as a script of
 * mprun has them: Lua's, but the error by which Ctrl-C ends the script passes
 * through. A script that is full of pcall would go on otherwise.
 *
 * Lua calls the message handler of an xpcall where an error is raised, and what
 * it returns is the error from then on. A handler between would be seen in
 * every traceback, so the script's own lies where Lua looks for it: in its slot
 * of xpcall's frame. Only when the interrupt is raised is it replaced there.
 *
 * SPDX-License-Identifier: MIT */
#include "bind.h"

#include <stdlib.h>

enum {
	HANDLER = 2,           /* its index in xpcall's frame */
	MAX_LEVELS = 10000     /* to look for it: each costs as many steps as it is deep */
};

static int protected_call(lua_State *L);
static int handled_call(lua_State *L);

/* ---- passing it on ---------------------------------------------------------------- */

/* In place of the handler in upvalue 1, should another error follow. */
static int handle(lua_State *L)
{
	lua_settop(L, 1);
	if (mp_is_interrupt(L, 1))
		return 1;
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_insert(L, 1);
	lua_call(L, 1, 1);
	return 1;
}

/* The handler that Lua would call is that of the innermost protected call. The
 * running function is none: it waits, or is done with it. */
static void replace_handler(lua_State *L)
{
	lua_Debug ar;
	luaL_checkstack(L, 3, "mp");
	for (int level = 1; level < MAX_LEVELS && lua_getstack(L, level, &ar); level++) {
		lua_getinfo(L, "f", &ar);
		lua_CFunction f = lua_tocfunction(L, -1);
		lua_pop(L, 1);
		if (f == handled_call && lua_getlocal(L, &ar, HANDLER)) {
			lua_pushcclosure(L, handle, 1);
			lua_setlocal(L, &ar, HANDLER);
		}
		if (f == protected_call || f == handled_call)
			return;
	}
}

_Noreturn void mp_pass_interrupt(lua_State *L)
{
	replace_handler(L);
	lua_error(L);
	abort();  /* not reached; lua_error is not declared so */
}

/* ---- pcall, xpcall ------------------------------------------------------------------ */

/* skip: how many values at the bottom are not results. */
static int finish_call(lua_State *L, int status, lua_KContext skip)
{
	if (status == LUA_OK || status == LUA_YIELD)
		return lua_gettop(L) - (int)skip;
	if (mp_is_interrupt(L, -1))
		mp_pass_interrupt(L);
	lua_pushboolean(L, 0);
	lua_insert(L, -2);
	return 2;
}

static int protected_call(lua_State *L)
{
	luaL_checkany(L, 1);
	lua_pushboolean(L, 1);
	lua_insert(L, 1);
	int status = lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 0, 0, finish_call);
	return finish_call(L, status, 0);
}

static int handled_call(lua_State *L)
{
	int n = lua_gettop(L);
	luaL_checktype(L, HANDLER, LUA_TFUNCTION);
	lua_pushboolean(L, 1);
	lua_pushvalue(L, 1);
	lua_rotate(L, 3, 2);
	int status = lua_pcallk(L, n - 2, LUA_MULTRET, HANDLER, 2, finish_call);
	return finish_call(L, status, 2);
}

/* ---- coroutines ----------------------------------------------------------------------- */

enum { STATE = 1, COROUTINE };  /* upvalues */

static lua_State *check_coroutine(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTHREAD);
	return lua_tothread(L, 1);
}

/* Resumes with the n values on top: the results' count, or -1: the error is
 * on top. A signal is to find the one that runs, and those below are alive. */
static int resume(lua_State *L, lua_State *co, int n)
{
	mp_state *st = lua_touserdata(L, lua_upvalueindex(STATE));
	lua_State *outer = st->resumed;
	int results;
	if (!lua_checkstack(co, n)) {
		lua_pushliteral(L, "too many arguments to resume");
		return -1;
	}
	lua_xmove(L, co, n);
	st->resumed = co;
	int status = lua_resume(co, L, n, &results);
	st->resumed = outer;
	if (status != LUA_OK && status != LUA_YIELD) {
		lua_xmove(co, L, 1);
		return -1;
	}
	if (!lua_checkstack(L, results + 1)) {
		lua_pop(co, results);
		lua_pushliteral(L, "too many results to resume");
		return -1;
	}
	lua_xmove(co, L, results);
	return results;
}

/* Closes the variables of a coroutine that failed, whose error is on top: one
 * of those that is raised meanwhile takes its place. Returns the status. */
static int close_failed(lua_State *L, lua_State *co)
{
	int status = lua_status(co);
	if (status == LUA_OK || status == LUA_YIELD)
		return status;  /* it is not the coroutine that failed */
	int closed = lua_resetthread(co);
	if (closed == LUA_OK)
		return status;
	lua_xmove(co, L, 1);
	return closed;
}

static int co_resume(lua_State *L)
{
	lua_State *co = check_coroutine(L);
	int results = resume(L, co, lua_gettop(L) - 1);
	if (results < 0 && mp_is_interrupt(L, -1)) {
		close_failed(L, co);
		if (mp_is_interrupt(L, -1))
			mp_pass_interrupt(L);
	}
	lua_pushboolean(L, results >= 0);
	results = results < 0 ? 1 : results;
	lua_insert(L, -(results + 1));
	return results + 1;
}

static int resume_wrapped(lua_State *L)
{
	lua_State *co = lua_tothread(L, lua_upvalueindex(COROUTINE));
	int results = resume(L, co, lua_gettop(L));
	if (results >= 0)
		return results;
	int status = close_failed(L, co);
	if (mp_is_interrupt(L, -1))
		mp_pass_interrupt(L);
	if (status != LUA_ERRMEM && lua_type(L, -1) == LUA_TSTRING) {
		luaL_where(L, 1);
		lua_insert(L, -2);
		lua_concat(L, 2);
	}
	return lua_error(L);
}

static int co_wrap(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TFUNCTION);
	lua_pushvalue(L, lua_upvalueindex(STATE));
	lua_State *co = lua_newthread(L);
	lua_pushvalue(L, 1);
	lua_xmove(L, co, 1);
	lua_pushcclosure(L, resume_wrapped, 2);
	return 1;
}

static int co_close(lua_State *L)
{
	lua_State *co = check_coroutine(L);
	lua_Debug ar;
	if (lua_status(co) == LUA_OK && lua_getstack(co, 0, &ar))
		return luaL_error(L, "cannot close a %s coroutine", co == L ? "running" : "normal");
	bool closed = lua_resetthread(co) == LUA_OK;
	lua_pushboolean(L, closed);
	if (closed)
		return 1;
	lua_xmove(co, L, 1);
	if (mp_is_interrupt(L, -1))
		mp_pass_interrupt(L);
	return 2;
}

/* ---- installing ------------------------------------------------------------------------- */

void mp_protect_install(lua_State *L)
{
	static const luaL_Reg base[] = {
		{ "pcall", protected_call }, { "xpcall", handled_call }, { NULL, NULL }
	};
	static const luaL_Reg co[] = {
		{ "resume", co_resume }, { "wrap", co_wrap }, { "close", co_close },
		{ NULL, NULL }
	};
	lua_pushglobaltable(L);
	luaL_setfuncs(L, base, 0);
	if (lua_getfield(L, -1, "coroutine") == LUA_TTABLE) {
		lua_pushlightuserdata(L, mp_state_of(L));
		luaL_setfuncs(L, co, 1);
	}
	lua_pop(L, 2);
}
