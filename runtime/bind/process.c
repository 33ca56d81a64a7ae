/* process: what mp.Process is made of; its Lua part is lua/mp/process.lua,
 * which gives these functions their classes, fields and defaults.
 *
 * A Process is the userdata of its handle; fields that the script sets on it
 * and the target lie in its user value, here only.
 *
 *   core.new([name], [daemon]) -> p
 *   core.start(p, body) -> true | nil, reason; in the child body(p) runs and
 *                          gives the exit status
 *   core.fields(p) -> the table of its own fields
 *   core.get(p, key), core.set(p, key, value)
 *   core.store(key, …)     "result", "error" or "unsent" (a text instead of a
 *                          result) of this process; waits for memory, false:
 *                          nobody is left who could free any
 *   core.fetch(p, key) -> true, values… | false, why there are none; nothing if
 *                          nothing was stored
 *   core.current(), core.parent() -> p
 *   core.adopt(p)          p is what core.parent() gives
 *   core.methods           join, is_alive, terminate, kill, close
 *   core.thread_methods    the same, of Thread
 *
 * SPDX-License-Identifier: MIT */
#include "../proc/thread.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <string.h>
#include <sys/random.h>

#include "../base/clock.h"
#include "../codec/still.h"
#include "../proc/stdio.h"
#include "message.h"

#define STACK 200  /* slots that a target has before it allocates */
#define CALLS 12   /* and how deep it may call */

static const char current_key, parent_key, main_key, spare_key;

/* Of a method: is argument 1 a thread? If it is nothing that can tell, the
 * method's class does. */
static bool is_thread(lua_State *L)
{
	mp_ref *r = mp_ref_test(L, 1, MP_T_PROCESS);
	if (r && r->h && r->st->me)
		return atomic_load(&((mp_process *)r->body)->thread) != 0;
	return lua_toboolean(L, lua_upvalueindex(1)) != 0;
}
#define NAME_OF(L, method) (is_thread(L) ? "Thread" method : "Process" method)

static mp_ref *check(lua_State *L, const char *call)
{
	mp_ref *r = mp_ref_test(L, 1, MP_T_PROCESS);
	const char *kind = NAME_OF(L, "");
	if (r && r->h && r->st->me) {
		mp_state_self(L, r->st, call);
		return r;
	}
	if (r)
		mp_misuse(L, call, "this %s is closed here", kind);
	mp_misuse(L, call, "expected a %s, got %s (call it with a colon)", kind, luaL_typename(L, 1));
}

/* ---- making and starting -------------------------------------------------------- */

static int core_new(lua_State *L)
{
	static const char call[] = "mp.Process";
	const char *name = luaL_optstring(L, 1, NULL);
	mp_state *st = mp_state_of(L);
	mp_self *me = mp_state_self(L, st, call);
	mp_process *own = mp_process_body(me->shm, st->rt->process);
	bool daemon = lua_isnoneornil(L, 2) ? own && atomic_load(&own->daemon) : lua_toboolean(L, 2);
	mp_handle h;
	bool tried = false;
	int rc;
	do
		rc = mp_process_create(me, name, daemon, &h);
	while (mp_make_room(L, rc, &tried));
	if (rc)
		return mp_fail(L, rc, call);
	mp_ref_push(L, st, h, true);
	return 1;
}

/* The child's frames: nothing of its creator's lies below. (body, p) */
static int child_main(lua_State *L)
{
	mp_state *st = mp_state_of(L);
	lua_rawgetp(L, LUA_REGISTRYINDEX, &current_key);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &parent_key);
	lua_pushvalue(L, 2);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &current_key);
	lua_pushthread(L);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &main_key);
	lua_pushnil(L);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &spare_key);
	lua_call(L, 1, 1);
	mp_state_exit(L, st, (int)lua_tointeger(L, -1));
}

static _Noreturn void run_child(lua_State *C, mp_state *st)
{
	const char *text;
	mp_signals_child(st);
	mp_thread_forked(C, st);
	st->L = st->running = C;
	st->resumed = NULL;
	st->child = true;
	st->ending = st->ended = st->fell = st->forced = false;
	st->busy = 0;
	mp_gc_begins_anew(C);  /* its heap is its creator's until it is touched */
	lua_pcall(C, 2, 0, 0);
	/* Only for want of memory: body catches what the target raises. */
	text = lua_tostring(C, -1);
	mp_stdio_error(text ? text : "error", strlen(text ? text : "error"));
	mp_stdio_error("\n", 1);
	mp_state_exit(C, st, 1);
}

/* Calls itself so deep: Lua keeps the records of calls that are over. */
static int deepen(lua_State *L)
{
	lua_Integer n = lua_tointeger(L, 1);
	if (n > 0) {
		lua_pushcfunction(L, deepen);
		lua_pushinteger(L, n - 1);
		lua_call(L, 1, 0);
	}
	return 0;
}

/* What the child will need in C and in the registry is made here: what it
 * allocates itself costs it a copy of a page of its heap, mostly. */
static void prepare(lua_State *L, lua_State *C)
{
	lua_pushcfunction(C, deepen);
	lua_pushinteger(C, CALLS);
	if (lua_pcall(C, 1, 0, 0) != LUA_OK)
		lua_settop(C, 0);  /* no memory: the child will see to it */
	if (lua_rawgetp(L, LUA_REGISTRYINDEX, &parent_key) == LUA_TNIL) {
		lua_pushboolean(L, 0);
		lua_rawsetp(L, LUA_REGISTRYINDEX, &parent_key);
		lua_pushboolean(L, 0);
		lua_rawsetp(L, LUA_REGISTRYINDEX, &main_key);
	}
	lua_pop(L, 1);
}

/* The thread for the next child, used by no start that succeeded here. Its
 * stack has grown already: in the child that would make malloc tidy up, and
 * the kernel copy, a good part of the heap. */
static lua_State *spare_thread(lua_State *L)
{
	lua_State *C;
	if (lua_rawgetp(L, LUA_REGISTRYINDEX, &spare_key) == LUA_TTHREAD) {
		C = lua_tothread(L, -1);
		lua_pop(L, 1);
		return C;
	}
	lua_pop(L, 1);
	C = lua_newthread(L);
	luaL_checkstack(C, STACK, "mp");
	lua_rawsetp(L, LUA_REGISTRYINDEX, &spare_key);
	return C;
}

static int core_start(lua_State *L)
{
	mp_ref *r = check(L, "Process:start");
	mp_state *st = r->st;
	mp_process *own = mp_process_body(st->me->shm, st->rt->process);
	const char *why;
	lua_State *C;
	pid_t pid;
	int rc;
	luaL_checktype(L, 2, LUA_TFUNCTION);
	if (own && atomic_load(&own->daemon)) {
		lua_pushnil(L);
		lua_pushliteral(L, "a daemonic process may not have children");
		return 2;
	}
	/* All that may fail for want of memory is done before the fork. */
	C = spare_thread(L);
	prepare(L, C);
	lua_pushcfunction(L, child_main);
	lua_pushvalue(L, 2);
	lua_pushvalue(L, 1);
	lua_xmove(L, C, 3);
	mp_ref_push(L, st, st->rt->process, false);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &current_key);
	rc = mp_process_fork(st->rt, r->h, &pid, &why);
	if (rc == 1)
		run_child(C, st);
	lua_settop(C, 0);
	if (rc < 0) {
		lua_pushnil(L);
		lua_pushstring(L, why);
		return 2;
	}
	lua_pushboolean(L, 1);
	return 1;
}

/* ---- fields -------------------------------------------------------------------------- */

/* core.fields(p): works on a closed one too. */
static int core_fields(lua_State *L)
{
	if (!mp_ref_test(L, 1, MP_T_PROCESS))
		return luaL_argerror(L, 1, "Process expected");
	if (lua_getiuservalue(L, 1, 1) == LUA_TTABLE)
		return 1;
	lua_newtable(L);
	lua_pushvalue(L, -1);
	lua_setiuservalue(L, 1, 1);
	return 1;
}

static void push_code(lua_State *L, mp_ref *r)
{
	int code;
	mp_process_alive(r->st->rt, r->body);
	if (mp_process_code(r->body, &code))
		lua_pushinteger(L, code);
	else
		lua_pushnil(L);
}

static int push_sentinel(lua_State *L, mp_ref *r)
{
	mp_process *p = r->body;
	int fd;
	fd = mp_process_sentinel(r->st->rt, p);
	if (fd < 0)
		return mp_fail(L, fd, NAME_OF(L, ".sentinel"));
	lua_pushinteger(L, fd);
	return 1;
}

enum key { NAME, PID, PPID, DAEMON, EXITCODE, SENTINEL, AUTHKEY, STATE, THREAD };
static const char *const keys[] = { "name", "pid", "ppid", "daemon", "exitcode", "sentinel",
                                    "authkey", "state", "thread", NULL };

static int core_get(lua_State *L)
{
	static const char *const states[] = { "new", "started", "ended" };
	mp_ref *r = check(L, NAME_OF(L, ""));
	mp_process *p = r->body;
	uint32_t n;
	switch (luaL_checkoption(L, 2, NULL, keys)) {
	case NAME:
		lua_pushstring(L, p->name);
		break;
	case PID:
	case PPID:
		n = atomic_load(strcmp(lua_tostring(L, 2), "pid") ? &p->ppid : &p->pid);
		if (n)
			lua_pushinteger(L, n);
		else
			lua_pushnil(L);
		break;
	case DAEMON:
		lua_pushboolean(L, (int)atomic_load(&p->daemon));
		break;
	case EXITCODE:
		push_code(L, r);
		break;
	case SENTINEL:
		return push_sentinel(L, r);
	case AUTHKEY:
		lua_pushlstring(L, (const char *)r->st->me->shm->h->authkey, 32);
		break;
	case THREAD:
		lua_pushboolean(L, (int)atomic_load(&p->thread));
		break;
	default:
		lua_pushstring(L, states[atomic_load(&p->state)]);
	}
	return 1;
}

/* core.set(p, "name" | "daemon", value): checked by the caller. */
static int core_set(lua_State *L)
{
	mp_ref *r = check(L, NAME_OF(L, ""));
	mp_process *p = r->body;
	if (luaL_checkoption(L, 2, NULL, keys) == NAME)
		mp_process_rename(p, luaL_checkstring(L, 3));
	else
		atomic_store(&p->daemon, (uint32_t)lua_toboolean(L, 3));
	return 0;
}

/* ---- result and error ------------------------------------------------------------------ */

enum { SENT, UNSENT };  /* kinds: the values; a text, why they cannot travel */

static _Atomic uint64_t *where(lua_State *L, int arg, mp_process *p)
{
	return strcmp(luaL_checkstring(L, arg), "error") ? &p->result : &p->error;
}

static int core_store(lua_State *L)
{
	mp_state *st = mp_state_of(L);
	const char *call = st->thread ? "Thread:result" : "Process:result";
	mp_self *me = mp_state_self(L, st, call);
	/* Its own object: a thread's is the thread's. */
	mp_process *p = mp_process_body(me->shm, atomic_load(&me->slot->process));
	uint32_t kind = strcmp(luaL_checkstring(L, 1), "unsent") ? SENT : UNSENT;
	int n = lua_gettop(L) - 1, rc = MP_OK;
	mp_encoded e;
	if (!p)
		return 0;
	do {
		if (rc == MP_INTERRUPTED)
			mp_interrupt(L, st);
		mp_encode(L, st->codec, 2, n, call, &e);
		rc = mp_stored_put(me, where(L, 1, p), kind, e.parts, e.nparts,
		                   e.len, e.handles, e.nhandles);
	} while (rc == MP_NOMEM && ((rc = mp_memory_wait(me, MP_FOREVER)) == MP_OK ||
	                            rc == MP_INTERRUPTED));
	if (rc != MP_OK)
		atomic_store(&p->unkept, 1);
	lua_pushboolean(L, rc == MP_OK);
	return 1;
}

static int core_fetch(lua_State *L)
{
	const char *call = NAME_OF(L, ":result");
	mp_ref *r = check(L, call);
	mp_process *p = r->body;
	const mp_stored *s = mp_stored_get(r->st->me->shm, where(L, 2, p));
	mp_in in = { .tries = 1 };
	if (!s && atomic_load(&p->unkept)) {
		lua_pushboolean(L, 0);
		lua_pushfstring(L, "%s: the shared memory was full, so what it returned "
		                "is lost; set a larger limit (mp.configure{memory=}, "
		                "mprun --memory, MPRUN_MEMORY)", call);
		return 2;
	}
	if (!s)
		return 0;
	in.handles = s->handles;
	in.nhandles = s->nhandles;
	in.data = mp_stored_bytes(s);
	in.len = (uint32_t)s->len;
	lua_pushboolean(L, s->kind == SENT);
	return mp_message_read(L, r->st, &in, false, call) + 1;
}

/* ---- methods ------------------------------------------------------------------------------ */

/* A timeout in the past does not wait, as in multiprocessing. */
static int64_t join_deadline(lua_State *L, const char *call)
{
	if (lua_type(L, 2) == LUA_TNUMBER && lua_tonumber(L, 2) < 0)
		return 0;
	return mp_arg_timeout(L, 2, call);
}

static int process_join(lua_State *L)
{
	const char *call = NAME_OF(L, ":join");
	mp_ref *r = check(L, call);
	int64_t deadline = join_deadline(L, call);
	int rc;
	if (r->h == r->st->rt->process || r->h == atomic_load(&r->st->me->slot->process))
		mp_misuse(L, call, "a %s cannot join itself", is_thread(L) ? "thread" : "process");
	while ((rc = mp_process_join(r->st->rt, r->st->me, r->body, deadline)) == MP_INTERRUPTED) {
		mp_interrupt(L, r->st);
		r = check(L, call);  /* a handler may have closed it */
	}
	if (rc == -EINVAL)
		mp_misuse(L, call, "it has not been started");
	if (rc == -ECANCELED) {
		lua_pushnil(L);
		lua_pushliteral(L, "not started");
		return 2;
	}
	if (rc)
		return mp_fail(L, rc, call);
	mp_threads_reap(r->st->rt);
	lua_pushboolean(L, 1);
	return 1;
}

static int process_is_alive(lua_State *L)
{
	mp_ref *r = check(L, NAME_OF(L, ":is_alive"));
	lua_pushboolean(L, mp_process_alive(r->st->rt, r->body));
	return 1;
}

static int send(lua_State *L, int sig, const char *call)
{
	mp_ref *r = check(L, call);
	mp_process *p = r->body;
	int rc;
	if (atomic_load(&p->state) == MP_P_NEW)
		mp_misuse(L, call, "it has not been started");
	rc = mp_process_signal(r->st->rt, p, sig);
	if (rc && rc != -ESRCH)
		return mp_fail(L, rc, call);
	mp_thread_check(L, r->st);  /* it may have been this one */
	return 0;
}

static int process_terminate(lua_State *L) { return send(L, SIGTERM, NAME_OF(L, ":terminate")); }
static int process_kill(lua_State *L) { return send(L, SIGKILL, NAME_OF(L, ":kill")); }

static int process_close(lua_State *L)
{
	const char *call = NAME_OF(L, ":close");
	mp_ref *r = mp_ref_test(L, 1, MP_T_PROCESS);
	mp_handle h;
	if (r && (!r->h || !r->st->me))
		return 0;
	r = check(L, call);
	h = r->h;
	if (mp_process_alive(r->st->rt, r->body))
		mp_misuse(L, call, "it still runs; join or terminate it first");
	mp_process_forget(r->st->rt, h);
	mp_ref_close(L, r);
	lua_pushnil(L);
	lua_setiuservalue(L, 1, 1);
	return 0;
}

/* Sentinels go with the reference. */
static int process_gc(lua_State *L)
{
	mp_ref *r = lua_touserdata(L, 1);
	if (!r->h)
		return 0;
	if (r->st->me && mp_runtime_mine(r->st->rt))
		mp_process_forget(r->st->rt, r->h);
	mp_ref_close(L, r);
	return 0;
}

/* ---- who am I --------------------------------------------------------------------------------- */

static int core_current(lua_State *L)
{
	mp_state *st = mp_state_of(L);
	if (lua_rawgetp(L, LUA_REGISTRYINDEX, &current_key) != LUA_TNIL)
		return 1;
	mp_state_self(L, st, "mp.current_process");
	mp_ref_push(L, st, st->rt->process, false);
	lua_pushvalue(L, -1);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &current_key);
	return 1;
}

static int core_parent(lua_State *L)
{
	if (lua_rawgetp(L, LUA_REGISTRYINDEX, &parent_key) == LUA_TBOOLEAN)
		lua_pushnil(L);  /* false: only its place, see prepare */
	return 1;
}

static int core_adopt(lua_State *L)
{
	lua_settop(L, 1);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &parent_key);
	return 0;
}

/* core.stderr(text): one write. */
static int core_stderr(lua_State *L)
{
	size_t len;
	const char *text = luaL_checklstring(L, 1, &len);
	mp_stdio_flush();
	mp_stdio_error(text, len);
	return 0;
}

/* core.entropy() -> two integers */
static int core_entropy(lua_State *L)
{
	lua_Integer n[2];
	if (getrandom(n, sizeof n, GRND_NONBLOCK) != (ssize_t)sizeof n) {
		n[0] = (lua_Integer)mp_now();
		n[1] = (lua_Integer)getpid();
	}
	lua_pushinteger(L, n[0]);
	lua_pushinteger(L, n[1]);
	return 2;
}

void mp_open_process(lua_State *L)
{
	static const luaL_Reg events[] = { { "__gc", process_gc }, { NULL, NULL } };
	static const luaL_Reg methods[] = {
		{ "join", process_join }, { "is_alive", process_is_alive },
		{ "terminate", process_terminate }, { "kill", process_kill },
		{ "close", process_close }, { NULL, NULL }
	};
	static const luaL_Reg functions[] = {
		{ "new", core_new }, { "start", core_start }, { "fields", core_fields },
		{ "get", core_get }, { "set", core_set }, { "store", core_store },
		{ "fetch", core_fetch }, { "current", core_current },
		{ "parent", core_parent }, { "adopt", core_adopt }, { "stderr", core_stderr },
		{ "entropy", core_entropy }, { NULL, NULL }
	};
	mp_type_define(L, MP_T_PROCESS, "Process", events);
	lua_getfield(L, -1, "core");
	luaL_setfuncs(L, functions, 0);
	for (int thread = 0; thread < 2; thread++) {
		luaL_newlibtable(L, methods);
		lua_pushboolean(L, thread);
		luaL_setfuncs(L, methods, 1);
		lua_setfield(L, -2, thread ? "thread_methods" : "methods");
	}
	mp_type_push(L, MP_T_PROCESS);
	lua_setfield(L, -2, "process_meta");
	lua_pop(L, 1);
}
