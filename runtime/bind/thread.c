/* thread: what mp.Thread is made of beyond a Process; its Lua part is
 * lua/mp/thread.lua.
 *
 * A thread has a Lua state of its own. What it begins with is encoded by its
 * creator and kept by its object until it decodes it: first what it needs to
 * find modules, then what it is to run. C functions of package.preload go by
 * their addresses.
 *
 * The thread ends by an error that a hook raises again at every instruction
 * of Lua until no Lua runs any more, so no pcall stops it; C functions, the
 * ones that release locks among them, are not disturbed. It is an error for
 * want of memory: only that calls no message handler, which would run without
 * hooks. A coroutine is resumed by a function of ours, for a signal's handler
 * must know which one runs.
 *
 *   core.new_thread([name], [daemon]) -> p
 *   core.start_thread(p, setup, task) -> true | nil, reason
 *   core.given(1 | 2) -> setup, or task, once: in the thread
 *   core.current_thread([p]) -> p    sets it, in the thread
 *   core.enter_thread(f)             f() runs in a new state, gives its status
 *   core.can_travel(v) -> boolean
 *
 * SPDX-License-Identifier: MIT */
#include "../proc/thread.h"

#include <errno.h>
#include <lualib.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../proc/stdio.h"
#include "message.h"

int luaopen_mp(lua_State *L);

static const char thread_key, entry_key;
static const char call_start[] = "Thread:start";

typedef struct preload {
	char *name;
	lua_CFunction f;
} preload;

/* What goes from one state to the other by its address. */
typedef struct start {
	bool standalone, hosted;
	unsigned n;
	preload list[];
} start;

/* ---- ending ------------------------------------------------------------------- */

#define NEVER ((size_t)1 << 60)  /* so much is not there */

static void *allocate(void *ud, void *p, size_t old, size_t size)
{
	(void)ud;
	(void)old;
	if (size == 0) {
		free(p);
		return NULL;
	}
	return size < NEVER ? realloc(p, size) : NULL;
}

static void quit_hook(lua_State *L, lua_Debug *ar)
{
	(void)ar;
	mp_thread_check(L, mp_state_of(L));
}

static void set_hook(lua_State *L)
{
	lua_sethook(L, quit_hook, LUA_MASKCOUNT, 1);
}

/* In a signal handler. */
static void poked(void *ud)
{
	mp_state *st = ud;
	set_hook(st->L);
	if (st->running != st->L)
		set_hook(st->running);
}

void mp_thread_check(lua_State *L, mp_state *st)
{
	if (!st->thread || !(st->leaving || mp_thread_asked(st->rt)))
		return;
	set_hook(st->L);
	set_hook(L);
	lua_newuserdatauv(L, NEVER, 0);
}

_Noreturn void mp_thread_exit(lua_State *L, mp_state *st, int status)
{
	st->leaving = true;
	st->status = (status & 0xff) << 8;
	mp_thread_check(L, st);
	abort();  /* not reached */
}

/* ---- libraries that differ in a thread --------------------------------------------- */

/* (upvalue: coroutine.resume, or a function that coroutine.wrap made; co) */
static int resume(lua_State *L, lua_State *co)
{
	mp_state *st = mp_state_of(L);
	int n = lua_gettop(L), status;
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_insert(L, 1);
	if (co)
		mp_state_runs(co, st);
	status = lua_pcall(L, n, LUA_MULTRET, 0);
	mp_state_runs(L, st);
	mp_thread_check(L, st);
	return status == LUA_OK ? lua_gettop(L) : lua_error(L);
}

static int co_resume(lua_State *L)
{
	return resume(L, lua_tothread(L, 1));
}

static int wrapped(lua_State *L)
{
	return resume(L, lua_tothread(L, lua_upvalueindex(2)));
}

static int co_wrap(lua_State *L)
{
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_insert(L, 1);
	lua_call(L, lua_gettop(L) - 1, 1);
	if (!lua_getupvalue(L, -1, 1))  /* the coroutine */
		lua_pushnil(L);
	lua_pushcclosure(L, wrapped, 2);
	return 1;
}

/* A program that is executed has its creator's mask: not one of a thread. */
static int io_popen(lua_State *L)
{
	mp_state *st = mp_state_of(L);
	int n = lua_gettop(L), status;
	sigset_t before;
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_insert(L, 1);
	if (st->thread)
		pthread_sigmask(SIG_SETMASK, &st->rt->threads->mask, &before);
	status = lua_pcall(L, n, LUA_MULTRET, 0);
	if (st->thread)
		pthread_sigmask(SIG_SETMASK, &before, NULL);
	return status == LUA_OK ? lua_gettop(L) : lua_error(L);
}

/* system(3) would have the whole process ignore Ctrl-C meanwhile. */
static int run_command(const char *command, const sigset_t *mask)
{
	char *args[] = { "sh", "-c", (char *)(uintptr_t)command, NULL };
	posix_spawnattr_t attr;
	pid_t pid;
	int status = -1, rc;
	if (posix_spawnattr_init(&attr))
		return -1;
	posix_spawnattr_setsigmask(&attr, mask);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	rc = posix_spawn(&pid, "/bin/sh", NULL, &attr, args, environ);
	posix_spawnattr_destroy(&attr);
	errno = rc;
	if (rc)
		return -1;
	while ((rc = waitpid(pid, &status, 0)) < 0 && errno == EINTR)
		;
	return rc < 0 ? -1 : status;
}

static int os_execute(lua_State *L)
{
	mp_state *st = mp_state_of(L);
	if (st->thread && lua_type(L, 1) == LUA_TSTRING) {
		mp_stdio_flush();
		return luaL_execresult(L, run_command(lua_tostring(L, 1), &st->rt->threads->mask));
	}
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_insert(L, 1);
	lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
	return lua_gettop(L);
}

/* print on the thread's stream, which is io.stdout. */
static int print(lua_State *L)
{
	luaL_Stream *s = lua_touserdata(L, lua_upvalueindex(1));
	int n = lua_gettop(L);
	for (int i = 1; i <= n; i++) {
		size_t len;
		const char *text = luaL_tolstring(L, i, &len);
		if (i > 1)
			fputc('\t', s->f);
		fwrite(text, 1, len, s->f);
		lua_pop(L, 1);
	}
	fputc('\n', s->f);
	fflush(s->f);
	return 0;
}

/* Replaces t.name by f, which has what was there as its upvalue. */
static void replace(lua_State *L, const char *t, const char *name, lua_CFunction f)
{
	if (lua_getglobal(L, t) == LUA_TTABLE && lua_getfield(L, -1, name) == LUA_TFUNCTION) {
		lua_pushcclosure(L, f, 1);
		lua_setfield(L, -2, name);
	}
	lua_settop(L, 1);
}

static void own_stdout(lua_State *L, mp_runtime *rt)
{
	lua_getglobal(L, "io");
	lua_getfield(L, -1, "stdout");
	luaL_Stream *s = luaL_checkudata(L, -1, LUA_FILEHANDLE);
	FILE *f = mp_thread_stdout(rt);
	if (f) {
		s->f = f;
		lua_pushcclosure(L, print, 1);
		lua_setglobal(L, "print");
	}
	lua_settop(L, 1);
}

static void change_libraries(lua_State *L, mp_runtime *rt)
{
	own_stdout(L, rt);
	replace(L, "coroutine", "resume", co_resume);
	replace(L, "coroutine", "wrap", co_wrap);
	replace(L, "os", "execute", os_execute);
	replace(L, "io", "popen", io_popen);
}

/* ---- in the thread ------------------------------------------------------------------- */

static void enter(lua_State *L, mp_runtime *rt, const start *s)
{
	mp_state *st = mp_state_of(L);
	st->standalone = s->standalone;
	st->hosted = s->hosted;
	st->child = st->thread = true;
	st->rt = rt;
	st->me = &rt->self;
	mp_state_hooks(st);
	rt->poked = poked;
}

/* (start, runtime) -> status */
static int thread_main(lua_State *L)
{
	const start *s = lua_touserdata(L, 1);
	mp_runtime *rt = lua_touserdata(L, 2);
	luaL_checkversion(L);
	luaL_openlibs(L);
	lua_settop(L, 1);
	luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
	for (unsigned i = 0; i < s->n; i++) {
		lua_pushcfunction(L, s->list[i].f);
		lua_setfield(L, -2, s->list[i].name);
	}
	luaL_requiref(L, "mp", luaopen_mp, 0);
	lua_settop(L, 1);
	enter(L, rt, s);
	change_libraries(L, rt);
	mp_thread_check(L, mp_state_of(L));
	lua_rawgetp(L, LUA_REGISTRYINDEX, &entry_key);
	lua_call(L, 0, 1);
	return 1;
}

static void report(const char *text)
{
	mp_stdio_flush();
	mp_stdio_error(text, strlen(text));
	mp_stdio_error("\n", 1);
}

/* How what ran on L has ended; what it raised lies on top. */
static int status_of(lua_State *L, mp_runtime *rt, const mp_state *st, int rc)
{
	if (rc == LUA_OK)
		return ((int)lua_tointeger(L, -1) & 0xff) << 8;
	if (st->leaving)
		return st->status;
	if (mp_thread_asked(rt))
		return mp_thread_asked(rt);
	/* Only for want of memory: the body catches what the target raises. */
	report(lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "error");
	return 1 << 8;
}

/* Closers, then its children: unless it is asked to end, before or in that. */
static void end_in_order(lua_State *L, mp_runtime *rt)
{
	if (!mp_thread_asked(rt))
		mp_exit_closers(L);
	if (mp_thread_asked(rt) || mp_process_end_children(rt) == MP_INTERRUPTED)
		mp_process_abandon(rt);
}

static int run_state(lua_State *L, mp_runtime *rt, start *s)
{
	mp_state *st;
	int status, rc;
	lua_pushcfunction(L, thread_main);
	lua_pushlightuserdata(L, s);
	lua_pushlightuserdata(L, rt);
	rc = lua_pcall(L, 2, 1, 0);
	st = rt->ud;  /* NULL: it did not come so far */
	lua_sethook(L, NULL, 0, 0);
	status = st ? status_of(L, rt, st, rc) : 1 << 8;
	if (st) {
		st->leaving = false;
		st->running = L;
		lua_settop(L, 0);
		end_in_order(L, rt);
		if (mp_thread_asked(rt) && rc == LUA_OK)
			status = mp_thread_asked(rt);
	} else {
		report(lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "error");
	}
	rt->poked = NULL;
	lua_sethook(L, NULL, 0, 0);
	lua_close(L);
	rt->before_sleep = NULL;
	rt->interrupted = NULL;
	return status;
}

static void free_start(start *s)
{
	for (unsigned i = 0; i < s->n; i++)
		free(s->list[i].name);
	free(s);
}

static void run_thread(mp_runtime *rt, void *arg)
{
	lua_State *L = lua_newstate(allocate, NULL);
	if (L) {
		mp_thread_status(rt, run_state(L, rt, arg));
	} else {
		report("not enough memory for a thread");
		mp_thread_status(rt, 1 << 8);
	}
	free_start(arg);
}

/* ---- starting -------------------------------------------------------------------------- */

/* A C function without upvalues is the same in any state. */
static bool plain_function(lua_State *L)
{
	if (!lua_iscfunction(L, -1) || lua_type(L, -2) != LUA_TSTRING)
		return false;
	if (!lua_getupvalue(L, -1, 1))
		return true;
	lua_pop(L, 1);
	return false;
}

static start *new_start(lua_State *L, const mp_state *st)
{
	unsigned n = 0;
	luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
	for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1))
		n += plain_function(L);
	start *s = calloc(1, sizeof *s + n * sizeof *s->list);
	if (s) {
		s->standalone = st->standalone;
		s->hosted = st->hosted;
		for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
			if (!plain_function(L))
				continue;
			char *name = strdup(lua_tostring(L, -2));
			if (name)
				s->list[s->n++] = (preload){ name, lua_tocfunction(L, -1) };
		}
	}
	lua_pop(L, 1);
	return s;
}

static void forget_given(mp_self *me, mp_process *p)
{
	mp_stored_free(me, &p->given[0]);
	mp_stored_free(me, &p->given[1]);
}

/* Keeps the value at idx as given[k]. */
static int give(lua_State *L, mp_state *st, mp_process *p, int idx, int k)
{
	mp_encoded e;
	bool tried = false;
	int rc;
	do {
		mp_encode(L, st->codec, idx, 1, call_start, &e);
		rc = mp_stored_put(st->me, &p->given[k], 0, e.parts, e.nparts, e.len,
		                   e.handles, e.nhandles);
	} while (mp_make_room(L, rc, &tried));
	return rc;
}

static int core_start_thread(lua_State *L)
{
	mp_ref *r = mp_ref_test(L, 1, MP_T_PROCESS);
	mp_state *st = r->st;
	mp_self *me = mp_state_self(L, st, call_start);
	mp_process *p = r->body;
	const char *why = "it was started before";
	start *s;
	int rc = -EALREADY;
	if (atomic_load(&p->state) == MP_P_NEW) {
		forget_given(me, p);  /* of an attempt that failed */
		rc = give(L, st, p, 2, 0);
		if (rc == MP_OK)
			rc = give(L, st, p, 3, 1);
		if (rc != MP_OK)
			return mp_fail(L, rc, call_start);
		s = new_start(L, st);
		why = "not enough memory";
		rc = s ? mp_thread_start(st->rt, r->h, run_thread, s, &why) : -ENOMEM;
		if (rc && s)
			free_start(s);
	}
	if (rc) {
		lua_pushnil(L);
		lua_pushstring(L, why);
		return 2;
	}
	lua_pushboolean(L, 1);
	return 1;
}

static int core_new_thread(lua_State *L)
{
	static const char call[] = "mp.Thread";
	const char *name = luaL_optstring(L, 1, NULL);
	mp_state *st = mp_state_of(L);
	mp_self *me = mp_state_self(L, st, call);
	bool tried = false;
	mp_handle h;
	int rc;
	do
		rc = mp_thread_create(me, name, lua_toboolean(L, 2), &h);
	while (mp_make_room(L, rc, &tried));
	if (rc)
		return mp_fail(L, rc, call);
	mp_ref_push(L, st, h, true);
	return 1;
}

/* ---- in the thread's Lua part ---------------------------------------------------------------- */

static int core_given(lua_State *L)
{
	mp_state *st = mp_state_of(L);
	int k = (int)luaL_checkinteger(L, 1) - 1, n;
	mp_process *p = mp_process_body(st->me->shm, st->rt->thread->h);
	const mp_stored *s = mp_stored_get(st->me->shm, &p->given[k]);
	mp_in in = { .tries = 1 };
	in.handles = s->handles;
	in.nhandles = s->nhandles;
	in.data = mp_stored_bytes(s);
	in.len = (uint32_t)s->len;
	n = mp_message_read(L, st, &in, false, call_start);
	mp_stored_free(st->me, &p->given[k]);
	return n;
}

/* core.can_travel(v) */
static int try_encode(lua_State *L)
{
	mp_encoded e;
	mp_encode(L, mp_state_of(L)->codec, 1, 1, call_start, &e);
	return 0;
}

static int core_can_travel(lua_State *L)
{
	lua_settop(L, 1);
	lua_pushcfunction(L, try_encode);
	lua_insert(L, 1);
	lua_pushboolean(L, lua_pcall(L, 1, 0, 0) == LUA_OK);
	return 1;
}

static int core_enter_thread(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TFUNCTION);
	lua_settop(L, 1);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &entry_key);
	return 0;
}

static int core_current_thread(lua_State *L)
{
	mp_state *st = mp_state_of(L);
	if (st->thread && lua_rawgetp(L, LUA_REGISTRYINDEX, &thread_key) == LUA_TNIL) {
		mp_ref_push(L, st, st->rt->thread->h, false);
		lua_pushvalue(L, -1);
		lua_rawsetp(L, LUA_REGISTRYINDEX, &thread_key);
	} else if (!st->thread) {
		lua_pushnil(L);
	}
	return 1;
}

void mp_thread_forked(lua_State *L, mp_state *st)
{
	st->thread = st->leaving = false;
	st->rt->poked = NULL;
	lua_pushnil(L);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &thread_key);
}

void mp_open_thread(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "new_thread", core_new_thread },
		{ "start_thread", core_start_thread },
		{ "given", core_given },
		{ "enter_thread", core_enter_thread },
		{ "can_travel", core_can_travel },
		{ "current_thread", core_current_thread },
		{ NULL, NULL }
	};
	lua_getfield(L, -1, "core");
	luaL_setfuncs(L, functions, 0);
	lua_pop(L, 1);
}
