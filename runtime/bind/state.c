/* state: the mp_state of a lua_State, references to objects, arguments.
 *
 * The registry holds, under addresses of this file: the state; the metatables
 * by type, and the types by metatable; the references by handle, weakly; the
 * running coroutine, so that a signal handler never meets a freed one.
 *
 * SPDX-License-Identifier: MIT */
#include "bind.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "../base/clock.h"
#include "../proc/stdio.h"
#include "../proc/thread.h"
#include "../shm/bell.h"
#include "message.h"

static const char state_key, types_key, methods_key, refs_key, running_key;

/* ---- failures ------------------------------------------------------------------ */

/* Pushes the place of who called, as luaL_where does. Where one of our modules
 * did, for the script, it is the script's. */
static void where(lua_State *L)
{
	lua_Debug ar;
	for (int level = 1; lua_getstack(L, level, &ar) && lua_getinfo(L, "Sl", &ar); level++) {
		bool ours = strncmp(ar.source, "=mp/", 4) == 0;
		if (level == 1 && !ours)
			break;
		if (ours || ar.currentline <= 0)
			continue;
		luaL_where(L, level);
		return;
	}
	luaL_where(L, 1);
}

_Noreturn void mp_misuse(lua_State *L, const char *call, const char *fmt, ...)
{
	va_list args;
	where(L);
	lua_pushfstring(L, "%s: ", call);
	va_start(args, fmt);
	lua_pushvfstring(L, fmt, args);
	va_end(args);
	lua_concat(L, 3);
	lua_error(L);
	abort();  /* not reached; lua_error is not declared so */
}

int mp_fail(lua_State *L, int rc, const char *call)
{
	static const char *const reasons[] = {
		[MP_TIMEOUT] = "timeout", [MP_EMPTY] = "empty", [MP_FULL] = "full",
		[MP_EOF] = "eof", [MP_CLOSED] = "closed", [MP_ABANDONED] = "abandoned",
		[MP_INTERRUPTED] = "interrupted",
	};
	if (rc == -ENOMEM)
		mp_misuse(L, call, "the shared memory is full and every process waits for "
		          "somebody to free some; set a larger limit (mp.configure{memory=}, "
		          "mprun --memory, MPRUN_MEMORY), or bound the queues");
	if (rc == MP_NOMEM || rc == MP_TOOBIG)
		mp_misuse(L, call, "the shared memory is full; set a larger limit "
		          "(mp.configure{memory=}, mprun --memory, MPRUN_MEMORY)");
	if (rc == -ENFILE)
		mp_misuse(L, call, "too many shared objects");
	if (rc == -ETOOMANYREFS)
		mp_misuse(L, call, "too many descriptors are under way; let some be received, "
		          "or raise the limits (ulimit -n, net.core.wmem_max)");
	if (rc == -ESTALE)
		mp_misuse(L, call, "its descriptor was taken over already; a connection or a "
		          "pipe has one receiver, make an mp.fd for each");
	if (rc == -EMFILE)
		mp_misuse(L, call, "no descriptor is left in this process (ulimit -n)");
	if (rc < 0)
		mp_misuse(L, call, "%s", strerror(-rc));
	lua_pushnil(L);
	lua_pushstring(L, rc < (int)(sizeof reasons / sizeof *reasons) && reasons[rc]
	                  ? reasons[rc] : "failed");
	return 2;
}

/* ---- arguments ------------------------------------------------------------------- */

int64_t mp_arg_timeout(lua_State *L, int arg, const char *call)
{
	lua_Number s;
	if (lua_isnoneornil(L, arg))
		return MP_FOREVER;
	if (lua_type(L, arg) != LUA_TNUMBER)
		mp_misuse(L, call, "the timeout must be a number of seconds, got %s",
		          luaL_typename(L, arg));
	s = lua_tonumber(L, arg);
	if (isnan(s))
		mp_misuse(L, call, "the timeout must not be negative, nor NaN");
	if (s < 0)
		mp_misuse(L, call, "the timeout must not be negative, got %f", (LUAI_UACNUMBER)s);
	return mp_deadline(s);
}

int64_t mp_arg_deadline(lua_State *L, int arg, const char *call, bool *nowait)
{
	*nowait = false;
	if (lua_type(L, arg) == LUA_TNUMBER)
		return mp_arg_timeout(L, arg, call);
	if (!lua_isnoneornil(L, arg) && !lua_isboolean(L, arg))
		mp_misuse(L, call, "expected [block,] [timeout], got %s", luaL_typename(L, arg));
	if (lua_isboolean(L, arg) && !lua_toboolean(L, arg)) {
		mp_arg_timeout(L, arg + 1, call);  /* checked, then ignored */
		*nowait = true;
		return 0;
	}
	return mp_arg_timeout(L, arg + 1, call);
}

/* ---- the state --------------------------------------------------------------------- */

/* What a size such as 512M means in bytes; 0: nothing that can be read. */
static uint64_t size_of(const char *text)
{
	char *end;
	double n = strtod(text, &end);
	switch (*end) {
	case 'T': n *= 1024; /* fall through */
	case 'G': n *= 1024; /* fall through */
	case 'M': n *= 1024; /* fall through */
	case 'K': n *= 1024; /* fall through */
	default: break;
	}
	return n >= 1 && n < 4e18 ? (uint64_t)n : 0;
}

static int state_gc(lua_State *L)
{
	mp_state *st = lua_touserdata(L, 1);
	if (!st->thread)
		mp_signals_restore(st);
	return 0;
}

static mp_state *new_state(lua_State *L)
{
	mp_state *st = lua_newuserdatauv(L, sizeof *st, 0);
	memset(st, 0, sizeof *st);
	lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
	st->L = st->running = lua_tothread(L, -1);
	lua_pop(L, 1);
	lua_createtable(L, 0, 1);
	lua_pushcfunction(L, state_gc);
	lua_setfield(L, -2, "__gc");
	lua_setmetatable(L, -2);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &state_key);
	lua_newtable(L);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &types_key);
	lua_newtable(L);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &methods_key);
	lua_newtable(L);
	lua_createtable(L, 0, 1);
	lua_pushliteral(L, "v");
	lua_setfield(L, -2, "__mode");
	lua_setmetatable(L, -2);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &refs_key);
	st->codec = mp_codec_of(L, &mp_message_hooks);
	return st;
}

mp_state *mp_state_of(lua_State *L)
{
	mp_state *st;
	lua_rawgetp(L, LUA_REGISTRYINDEX, &state_key);
	st = lua_touserdata(L, -1);
	lua_pop(L, 1);
	return st ? st : new_state(L);
}

void mp_state_runs(lua_State *L, mp_state *st)
{
	lua_pushthread(L);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &running_key);
	st->running = L;
}

/* About to sleep: where in the script, for reports. Levels that are C or
 * have no line are skipped; our own modules count where nothing else is. */
static void note_place(void *ud)
{
	mp_state *st = ud;
	mp_wait_record *r = &st->me->slot->wait;
	lua_Debug ar;
	if (!st->ending)
		st->fell = false;
	atomic_store_explicit(&r->line, 0, memory_order_relaxed);
	for (int level = 0; level < 16 && lua_getstack(st->running, level, &ar); level++) {
		if (!lua_getinfo(st->running, "Sl", &ar) || ar.currentline <= 0)
			continue;
		bool ours = strncmp(ar.source, "=mp/", 4) == 0;
		if (ours && atomic_load_explicit(&r->line, memory_order_relaxed))
			continue;
		size_t n = strlen(ar.short_src), fit = sizeof r->source - 1;
		atomic_store_explicit(&r->line, (uint32_t)ar.currentline, memory_order_relaxed);
		memcpy(r->source, ar.short_src + (n > fit ? n - fit : 0), (n > fit ? fit : n) + 1);
		if (!ours)
			return;
	}
}

/* Is there more to do for who waits than to wait? */
static int asked(void *ud)
{
	const mp_state *st = ud;
	return st->signals || mp_thread_asked(st->rt) ||
	       (st->watched && mp_gone(&st->rt->shm, st->watched)) ||
	       (st->leave && atomic_load_explicit(st->leave, memory_order_relaxed) > 0);
}

void mp_state_hooks(mp_state *st)
{
	st->rt->before_sleep = note_place;
	st->rt->interrupted = asked;
	st->rt->ud = st;
}

static void open_runtime(lua_State *L, mp_state *st, const char *call)
{
	const char *why = "", *memory = getenv("MPRUN_MEMORY");
	mp_runtime_config cfg = st->cfg;
	mp_runtime *rt;
	int rc;
	if (st->ended)
		mp_misuse(L, call, "the runtime has ended");
	rt = calloc(1, sizeof *rt);
	if (!rt)
		mp_misuse(L, call, "not enough memory");
	if (!cfg.memory && memory)
		cfg.memory = size_of(memory);
	cfg.standalone = st->standalone;
	rc = mp_runtime_open(rt, &cfg, &why);
	if (rc) {
		free(rt);
		mp_misuse(L, call, "cannot start the runtime: %s: %s", why, strerror(rc < 0 ? -rc : ENOMEM));
	}
	atomic_store(&rt->threads->signals, mp_signals_mask(st));
	st->rt = rt;
	mp_state_hooks(st);
	st->me = &rt->self;
	mp_signals_note(st);
	if (!st->standalone)
		mp_stdio_plain();
	mp_exit_opened(st);
}

static _Noreturn void foreign(lua_State *L, const char *call)
{
	mp_misuse(L, call, "this process was forked by other means than mp.Process "
	          "and has no part in the runtime");
}

mp_self *mp_state_self(lua_State *L, mp_state *st, const char *call)
{
	if (!st->me)
		open_runtime(L, st, call);
	if (!mp_runtime_mine(st->rt))
		foreign(L, call);
	if (st->running != L)
		mp_state_runs(L, st);
	return st->me;
}

/* ---- references ----------------------------------------------------------------------- */

/* Clears the bit unless a newer userdata of the same handle relies on it:
 * the weak table loses a userdata before its finalizer runs. */
static void let_go(lua_State *L, mp_ref *r)
{
	mp_state *st = r->st;
	mp_handle h = r->h;
	bool newer;
	if (!h)
		return;
	r->h = 0;
	r->body = NULL;
	if (!st->me || !mp_runtime_mine(st->rt))
		return;
	lua_rawgetp(L, LUA_REGISTRYINDEX, &refs_key);
	lua_rawgeti(L, -1, (lua_Integer)h);
	newer = lua_touserdata(L, -1) != NULL && lua_touserdata(L, -1) != (void *)r;
	lua_pop(L, 1);
	if (!newer) {
		lua_pushnil(L);
		lua_rawseti(L, -2, (lua_Integer)h);
		if (st->me->nbells)
			mp_bell_close(st->me, h);
		mp_obj_drop(st->me, h);
	}
	lua_pop(L, 1);
}

void mp_ref_close(lua_State *L, mp_ref *r)
{
	let_go(L, r);
}

/* A handle is small in Lua's eyes, whatever it keeps in shared memory: its
 * collector does not hurry because of them. */
bool mp_make_room(lua_State *L, int rc, bool *tried)
{
	if ((rc != MP_NOMEM && rc != -ENFILE) || *tried)
		return false;
	*tried = true;
	lua_gc(L, LUA_GCCOLLECT);
	mp_obj_collect(mp_state_of(L)->me);  /* what messages have listed */
	return true;
}

static int ref_gc(lua_State *L)
{
	let_go(L, lua_touserdata(L, 1));
	return 0;
}

static int ref_close(lua_State *L)
{
	if (mp_ref_test(L, 1, MP_T_NONE))
		let_go(L, lua_touserdata(L, 1));
	return 0;
}

static int ref_tostring(lua_State *L)
{
	mp_ref *r = mp_ref_test(L, 1, MP_T_NONE);
	lua_getfield(L, lua_upvalueindex(1), "__name");
	if (r && !r->h)
		lua_pushfstring(L, "%s (closed here)", lua_tostring(L, -1));
	else
		lua_pushfstring(L, "%s (%p)", lua_tostring(L, -1), (void *)r);
	return 1;
}

/* For the types that have no field to set. */
static int ref_newindex(lua_State *L)
{
	const char *field = luaL_tolstring(L, 2, NULL);
	lua_getfield(L, lua_upvalueindex(1), "__name");
	mp_misuse(L, lua_tostring(L, -1), "field %s cannot be set; what is to be "
	          "shared goes into an mp.Value or mp.Dict", field);
}

/* Sets t[name] = f for those whose name begins with "__", or for the others.
 * The table of methods lies behind the metatable. */
static void set_functions(lua_State *L, int t, int meta, enum mp_type type,
                          const luaL_Reg *list, bool events)
{
	for (; list->name; list++) {
		if ((strncmp(list->name, "__", 2) == 0) != events)
			continue;
		lua_pushvalue(L, meta);
		lua_pushvalue(L, meta + 1);
		lua_pushinteger(L, type);
		lua_pushcclosure(L, list->func, 3);
		lua_setfield(L, t, list->name);
	}
}

void mp_type_define(lua_State *L, enum mp_type type, const char *name, const luaL_Reg *methods)
{
	static const luaL_Reg common[] = {
		{ "__gc", ref_gc }, { "__close", ref_close },
		{ "__tostring", ref_tostring }, { "__newindex", ref_newindex },
		{ NULL, NULL }
	};
	int top = lua_gettop(L), meta = top + 1, index = top + 2;
	mp_state_of(L);
	lua_newtable(L);
	lua_newtable(L);
	lua_pushstring(L, name);
	lua_setfield(L, meta, "__name");
	lua_pushvalue(L, index);
	lua_setfield(L, meta, "__index");
	set_functions(L, meta, meta, type, common, true);
	set_functions(L, meta, meta, type, methods, true);
	set_functions(L, index, meta, type, methods, false);
	lua_rawgetp(L, LUA_REGISTRYINDEX, &types_key);
	lua_pushvalue(L, meta);
	lua_rawseti(L, -2, type);
	lua_pushvalue(L, meta);
	lua_pushinteger(L, type);
	lua_rawset(L, -3);
	mp_type_methods(L);
	lua_pushvalue(L, index);
	lua_setfield(L, -2, name);
	lua_settop(L, top);
}

void mp_type_methods(lua_State *L)
{
	mp_state_of(L);
	lua_rawgetp(L, LUA_REGISTRYINDEX, &methods_key);
}

void mp_type_push(lua_State *L, enum mp_type type)
{
	lua_rawgetp(L, LUA_REGISTRYINDEX, &types_key);
	lua_rawgeti(L, -1, type);
	lua_remove(L, -2);
}

mp_ref *mp_ref_test(lua_State *L, int idx, enum mp_type type)
{
	mp_ref *r = lua_touserdata(L, idx);
	lua_Integer t;
	if (lua_type(L, idx) != LUA_TUSERDATA || !lua_getmetatable(L, idx))
		return NULL;
	lua_rawgetp(L, LUA_REGISTRYINDEX, &types_key);
	lua_insert(L, -2);
	lua_rawget(L, -2);
	t = lua_tointeger(L, -1);
	lua_pop(L, 2);
	return t && (type == MP_T_NONE || t == (lua_Integer)type) ? r : NULL;
}

mp_ref *mp_ref_self(lua_State *L, const char *call)
{
	mp_ref *r = lua_touserdata(L, 1);
	bool same = r && lua_getmetatable(L, 1);
	if (same) {
		same = lua_topointer(L, -1) == lua_topointer(L, lua_upvalueindex(1));
		lua_pop(L, 1);
	}
	if (!same) {
		const char *got = luaL_typename(L, 1);  /* before 1 is what is pushed */
		lua_getfield(L, lua_upvalueindex(1), "__name");
		mp_misuse(L, call, "expected a %s, got %s (call it with a colon)",
		          lua_tostring(L, -1), got);
	}
	if (!r->h || !r->st->me) {
		lua_getfield(L, lua_upvalueindex(1), "__name");
		mp_misuse(L, call, "this %s is closed here", lua_tostring(L, -1));
	}
	if (!mp_runtime_mine(r->st->rt))
		foreign(L, call);
	if (r->st->running != L)
		mp_state_runs(L, r->st);
	return r;
}

/* Pushes a new userdata and enters it in refs before its bit is set: from then
 * on the finalizer of an older one, which may run in any allocation, leaves
 * the bit alone. */
static void new_ref(lua_State *L, mp_state *st, mp_handle h, bool held, int refs)
{
	mp_ref *r = lua_newuserdatauv(L, sizeof *r, 1);
	enum mp_type type = mp_obj_type(&st->rt->shm, h);
	*r = (mp_ref){ .st = st };
	mp_type_push(L, type);
	if (type == MP_T_NONE || !lua_istable(L, -1))
		luaL_error(L, "an object that is gone");
	lua_setmetatable(L, -2);
	lua_pushvalue(L, -1);
	lua_rawseti(L, refs, (lua_Integer)h);
	if (!held && mp_obj_hold(st->me, h) != MP_OK) {
		lua_pushnil(L);
		lua_rawseti(L, refs, (lua_Integer)h);
		luaL_error(L, "an object that is gone");
	}
	r->h = h;
	r->body = mp_obj_body(&st->rt->shm, h, type);
	if (st->guarded)
		mp_exit_guard(L);
}

void mp_ref_push(lua_State *L, mp_state *st, mp_handle h, bool held)
{
	luaL_checkstack(L, 6, "mp");
	lua_rawgetp(L, LUA_REGISTRYINDEX, &refs_key);
	if (lua_rawgeti(L, -1, (lua_Integer)h) != LUA_TUSERDATA) {
		lua_pop(L, 1);
		new_ref(L, st, h, held, lua_gettop(L));
	}
	lua_remove(L, -2);
}
