/* exit: the orderly end, by whichever door.
 *
 * A script ends by its last line, an error, os.exit, lua_close or exit(3); all
 * lead to mp_state_end, which does its work once. In a process that we started
 * the end is _exit: its creator's C and Lua frames, finalizers and atexit
 * handlers lie below it and are not its own.
 *
 * lua_close finalizes the newest objects first, and closers must run while
 * queues still work: once there are closers, the guard whose finalizer begins
 * the end is made anew after each object of ours.
 *
 * SPDX-License-Identifier: MIT */
#include "bind.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../proc/process.h"
#include "../proc/stdio.h"
#include "../proc/thread.h"

static const char closer_key, guard_key, guard_meta_key;

/* Owners whose runtime is open, for exit(3). */
static mp_state *open_states;

/* mprun's: processes waited for each other until they were ended. */
static bool deadlocked;

/* mprun's: the signal that came during the end, 0: none did. */
static int ended_by;

/* ---- the end ---------------------------------------------------------------------- */

void mp_exit_closers(lua_State *L)
{
	if (lua_rawgetp(L, LUA_REGISTRYINDEX, &closer_key) != LUA_TFUNCTION ||
	    lua_pcall(L, 0, 0, 0) != LUA_OK)
		lua_pop(L, 1);
}

static int interrupt_protected(lua_State *L)
{
	mp_interrupt(L, mp_state_of(L));
	return 0;
}

/* Joins the children. A signal's handler runs meanwhile; Ctrl-C, a handler
 * that raises, or a deadlock ends the waiting: what is left is then ended by
 * force. */
static void await_children(lua_State *L, mp_state *st)
{
	st->rt->ending = true;
	while (!st->interrupted && !st->forced &&
	       mp_process_end_children(st->rt) == MP_INTERRUPTED) {
		lua_pushcfunction(L, interrupt_protected);
		if (lua_pcall(L, 0, 0, 0) != LUA_OK) {
			lua_pop(L, 1);
			break;
		}
	}
	/* The children may have met the signal first, and ended before us. */
	lua_pushcfunction(L, interrupt_protected);
	if (lua_pcall(L, 0, 0, 0) != LUA_OK)
		lua_pop(L, 1);
	deadlocked = deadlocked || (st->standalone && st->forced);
}

static void unlist(mp_state *st)
{
	mp_state **p = &open_states;
	while (*p && *p != st)
		p = &(*p)->next;
	if (*p)
		*p = st->next;
}

static void close_runtime(mp_state *st)
{
	mp_runtime *rt = st->rt;
	unlist(st);
	st->ended = true;
	if (!rt)
		return;
	mp_runtime_close(rt, MP_GRACE);
	st->me = NULL;
	st->rt = NULL;
	if (!rt->shm.base)  /* else a thread is left, and uses it */
		free(rt);
}

void mp_state_end(lua_State *L)
{
	mp_state *st = mp_state_of(L);
	if (st->ending || st->child || (st->rt && !mp_runtime_mine(st->rt)))
		return;
	bool before = st->interrupted;
	st->ending = true;
	luaL_checkstack(L, 4, "mp");
	mp_exit_closers(L);
	mp_stdio_flush();
	if (st->rt)
		await_children(L, st);
	if (st->standalone && st->interrupted && !before)
		ended_by = st->signal;
	close_runtime(st);
}

_Noreturn void mp_state_exit(lua_State *L, mp_state *st, int status)
{
	mp_runtime *rt = st->rt;
	if (!st->ending) {
		st->ending = true;
		luaL_checkstack(L, 4, "mp");
		mp_exit_closers(L);
		await_children(L, st);
	}
	rt->unclean = st->busy > 0;
	mp_process_exit(rt, status);
}

/* exit(3) without lua_close: no Lua any more, it may be in the middle of
 * something. */
static void at_exit(void)
{
	/* By a C function in a thread of ours: the rest is the keeper's. */
	while (open_states && !mp_thread_current()) {
		mp_state *st = open_states;
		open_states = st->next;
		if (!st->rt || !mp_runtime_mine(st->rt))
			continue;
		st->rt->interrupted = NULL;
		st->rt->before_sleep = NULL;
		st->rt->ending = st->ending = true;
		atomic_store(&st->me->slot->wait.line, 0);
		if (!st->interrupted && !st->forced &&
		    mp_process_end_children(st->rt) == MP_INTERRUPTED) {
			deadlocked = deadlocked || st->standalone;
			mp_deadlock_print(st);
		}
		mp_runtime_close(st->rt, MP_GRACE);
	}
	if (!deadlocked && !ended_by)
		return;
	/* Met after the script's own status was chosen. */
	fflush(NULL);
	mp_stdio_flush();
	if (deadlocked)
		_exit(MP_EXIT_DEADLOCK);
	fputs(ended_by == SIGINT ? "mprun: interrupted\n" : "mprun: terminated\n", stderr);
	_exit(128 + ended_by);
}

static void need_at_exit(void)
{
	static bool registered;
	if (!registered)
		registered = atexit(at_exit) == 0;
}

void mp_exit_opened(mp_state *st)
{
	st->next = open_states;
	open_states = st;
	need_at_exit();
}

/* ---- the guard ------------------------------------------------------------------------ */

static int guard_gc(lua_State *L)
{
	lua_rawgetp(L, LUA_REGISTRYINDEX, &guard_key);
	if (lua_touserdata(L, -1) == lua_touserdata(L, 1))
		mp_state_end(L);
	return 0;
}

void mp_exit_guard(lua_State *L)
{
	lua_newuserdatauv(L, 1, 0);
	if (lua_rawgetp(L, LUA_REGISTRYINDEX, &guard_meta_key) == LUA_TNIL) {
		lua_pop(L, 1);
		lua_createtable(L, 0, 1);
		lua_pushcfunction(L, guard_gc);
		lua_setfield(L, -2, "__gc");
		lua_pushvalue(L, -1);
		lua_rawsetp(L, LUA_REGISTRYINDEX, &guard_meta_key);
	}
	lua_setmetatable(L, -2);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &guard_key);
}

/* core.guard(): closers exist. */
static int core_guard(lua_State *L)
{
	mp_state_of(L)->guarded = true;
	mp_exit_guard(L);
	return 0;
}

/* core.closer(f): f runs the script's closers. */
static int core_closer(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TFUNCTION);
	lua_settop(L, 1);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &closer_key);
	return 0;
}

/* ---- os.exit ------------------------------------------------------------------------------ */

int mp_exit_status_of(lua_State *L)
{
	if (lua_isboolean(L, 1))
		return lua_toboolean(L, 1) ? EXIT_SUCCESS : EXIT_FAILURE;
	return (int)luaL_optinteger(L, 1, EXIT_SUCCESS);
}

static int os_exit(lua_State *L)
{
	mp_state *st = mp_state_of(L);
	int status = mp_exit_status_of(L);
	bool mine = !st->rt || mp_runtime_mine(st->rt);
	if (st->thread)
		mp_thread_exit(L, st, status);
	if (st->child && st->rt && mine)
		mp_state_exit(L, st, status);
	if (mine)
		mp_state_end(L);
	if (mine && st->forced) {
		lua_settop(L, 2);
		lua_pushinteger(L, MP_EXIT_DEADLOCK);
		lua_replace(L, 1);
	}
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_insert(L, 1);
	lua_call(L, lua_gettop(L) - 1, 0);
	return 0;
}

static void replace_exit(lua_State *L)
{
	if (lua_getglobal(L, "os") != LUA_TTABLE) {
		lua_pop(L, 1);
		return;
	}
	lua_getfield(L, -1, "exit");
	lua_pushcclosure(L, os_exit, 1);
	lua_setfield(L, -2, "exit");
	lua_pop(L, 1);
}

static int core_standalone(lua_State *L)
{
	mp_standalone(L);
	return 0;
}

/* The stream that io.stdout holds was C's stdout when Lua opened. */
static void reopen_stdout(lua_State *L)
{
	FILE *old = stdout;
	mp_stdio_install();
	if (lua_getglobal(L, "io") == LUA_TTABLE) {
		lua_getfield(L, -1, "stdout");
		luaL_Stream *s = luaL_testudata(L, -1, LUA_FILEHANDLE);
		if (s && s->f == old)
			s->f = stdout;
		lua_pop(L, 1);
	}
	lua_pop(L, 1);
}

/* core.hosted(): a host runs the script. */
static int core_hosted(lua_State *L)
{
	mp_state_of(L)->hosted = true;
	return 0;
}

/* core.force(): the end does not join the processes, it ends them. */
static int core_force(lua_State *L)
{
	mp_state_of(L)->forced = true;
	return 0;
}

/* core.interrupted() -> did a signal or a deadlock end the script? */
static int core_interrupted(lua_State *L)
{
	const mp_state *st = mp_state_of(L);
	lua_pushboolean(L, st->interrupted || st->forced);
	return 1;
}

void mp_standalone(lua_State *L)
{
	mp_state *st = mp_state_of(L);
	if (st->standalone)
		return;
	st->standalone = true;
	reopen_stdout(L);
	mp_protect_install(L);
	mp_signals_install(st);
	need_at_exit();
}

void mp_open_exit(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "guard", core_guard },
		{ "closer", core_closer },
		{ "standalone", core_standalone },
		{ "hosted", core_hosted },
		{ "force", core_force },
		{ "interrupted", core_interrupted },
		{ NULL, NULL }
	};
	replace_exit(L);
	lua_getfield(L, -1, "core");
	luaL_setfuncs(L, functions, 0);
	lua_pop(L, 1);
	mp_exit_guard(L);
}
