/* module: the modules mp and mp.core, the embedded Lua modules, and the
 * functions of mp that belong to no object.
 *
 * The Lua parts are in the program as bytes; a searcher before the one for
 * files finds them. What was loaded once is kept in the registry and given
 * again, so that a test runner that empties package.loaded gets the same.
 *
 * SPDX-License-Identifier: MIT */
#include "bind.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../base/clock.h"
#include "../codec/pack.h"
#include "../proc/cpus.h"
#include "../proc/process.h"
#include "../proc/stdio.h"
#include "bytecode.h"

static const char module_key, loaded_key;

int luaopen_mp(lua_State *L);
int luaopen_mp_core(lua_State *L);

/* ---- embedded modules ------------------------------------------------------------- */

static const mp_embedded *find(const char *name)
{
	for (const mp_embedded *m = mp_embedded_modules; m->name; m++)
		if (strcmp(m->name, name) == 0)
			return m;
	return NULL;
}

/* The loader: (name, chunk) -> module, the same one each time. */
static int load_embedded(lua_State *L)
{
	const mp_embedded *m = find(luaL_checkstring(L, 1));
	lua_settop(L, 1);
	lua_rawgetp(L, LUA_REGISTRYINDEX, &loaded_key);
	if (lua_getfield(L, 2, m->name) != LUA_TNIL)
		return 1;
	if (mp_embedded_load(L, m) != LUA_OK)
		return lua_error(L);
	lua_pushvalue(L, 1);
	lua_pushstring(L, m->chunk);
	lua_call(L, 2, 1);
	if (lua_isnil(L, -1))
		lua_pushboolean(L, 1);
	lua_pushvalue(L, -1);
	lua_setfield(L, 2, m->name);
	return 1;
}

void mp_module_push(lua_State *L, const char *name)
{
	lua_pushcfunction(L, load_embedded);
	lua_pushstring(L, name);
	lua_call(L, 1, 1);
}

static int search(lua_State *L)
{
	const char *name = luaL_checkstring(L, 1);
	const mp_embedded *m = find(name);
	if (!m) {
		lua_pushfstring(L, "no module '%s' in mprun", name);
		return 1;
	}
	lua_pushcfunction(L, load_embedded);
	lua_pushstring(L, m->chunk);
	return 2;
}

/* After package.preload, before files: a copied mprun runs alone. */
static void add_searcher(lua_State *L)
{
	if (lua_getglobal(L, "package") != LUA_TTABLE ||
	    lua_getfield(L, -1, "searchers") != LUA_TTABLE)
		luaL_error(L, "mp: package.searchers is missing");
	for (lua_Integer i = (lua_Integer)lua_rawlen(L, -1); i >= 2; i--) {
		lua_rawgeti(L, -1, i);
		lua_rawseti(L, -2, i + 1);
	}
	lua_pushcfunction(L, search);
	lua_rawseti(L, -2, 2);
	lua_pop(L, 1);
	lua_getfield(L, -1, "preload");
	lua_pushcfunction(L, luaopen_mp_core);
	lua_setfield(L, -2, "mp.core");
	lua_pop(L, 2);
}

static void require(lua_State *L, const char *name)
{
	lua_getglobal(L, "require");
	lua_pushstring(L, name);
	lua_call(L, 1, 1);
}

/* ---- functions ----------------------------------------------------------------------- */

static bool never(void *arg)
{
	(void)arg;
	return false;
}

static int sleep_plain(int64_t deadline)
{
	struct timespec ts = { deadline / MP_SEC, deadline % MP_SEC };
	return clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR
	       ? MP_INTERRUPTED : MP_TIMEOUT;
}

static int sleep_once(mp_state *st, int64_t deadline)
{
	static const mp_wait as = { .what = MP_W_SLEEP };
	mp_ec word = 0;  /* nobody else's: only time, a signal and slices end it */
	if (!st->me || !mp_runtime_mine(st->rt))
		return sleep_plain(deadline);
	return mp_ec_wait(st->me, &word, never, NULL, deadline, &as);
}

static int mp_sleep(lua_State *L)
{
	static const char call[] = "mp.sleep";
	mp_state *st = mp_state_of(L);
	int64_t deadline;
	if (lua_type(L, 1) != LUA_TNUMBER)
		mp_misuse(L, call, "expected a number of seconds, got %s",
		          luaL_typename(L, 1));
	deadline = mp_arg_timeout(L, 1, call);
	if (st->me)
		mp_state_self(L, st, call);
	mp_stdio_flush();
	while (deadline && sleep_once(st, deadline) != MP_TIMEOUT)
		mp_interrupt(L, st);
	return 0;
}

static int mp_time(lua_State *L)
{
	lua_pushnumber(L, (lua_Number)mp_now() / 1e9);
	return 1;
}

static int mp_getpid(lua_State *L)
{
	lua_pushinteger(L, getpid());
	return 1;
}

static int mp_getppid(lua_State *L)
{
	mp_state *st = mp_state_of(L);
	mp_process *p = st->child ? mp_process_body(&st->rt->shm, st->rt->process) : NULL;
	lua_pushinteger(L, p ? (lua_Integer)atomic_load(&p->ppid) : getppid());
	return 1;
}

static int mp_cpu_count(lua_State *L)
{
	lua_pushinteger(L, mp_cpus());
	return 1;
}

static uint64_t bytes_option(lua_State *L, const char *call, const char *key)
{
	lua_Number n = 0;
	lua_getfield(L, 1, key);
	if (!lua_isnil(L, -1)) {
		n = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : 0;
		if (!(n >= 1 && n < 9e18))
			mp_misuse(L, call, "%s must be a positive number, got %s", key,
			          luaL_tolstring(L, -1, NULL));
	}
	lua_pop(L, 1);
	return (uint64_t)n;
}

static void check_options(lua_State *L, const char *call)
{
	static const char *const known[] = { "memory", "processes", "start" };
	if (!lua_istable(L, 1))
		mp_misuse(L, call, "expected a table such as {memory = 2^30}, got %s",
		          luaL_typename(L, 1));
	lua_pushnil(L);
	while (lua_next(L, 1)) {
		bool ok = false;
		lua_pop(L, 1);
		for (int i = 0; i < 3; i++)
			ok = ok || (lua_type(L, -1) == LUA_TSTRING && strcmp(lua_tostring(L, -1), known[i]) == 0);
		if (!ok)
			mp_misuse(L, call, "unknown option '%s'", luaL_tolstring(L, -1, NULL));
	}
}

static int mp_configure(lua_State *L)
{
	static const char call[] = "mp.configure";
	mp_state *st = mp_state_of(L);
	uint64_t memory, processes;
	check_options(L, call);
	memory = bytes_option(L, call, "memory");
	processes = bytes_option(L, call, "processes");
	if (lua_getfield(L, 1, "start") != LUA_TNIL &&
	    (lua_type(L, -1) != LUA_TSTRING || strcmp(lua_tostring(L, -1), "fork") != 0))
		mp_misuse(L, call, "start must be \"fork\", got %s", luaL_tolstring(L, -1, NULL));
	if (processes >= MP_MAX_SLOTS - 2)
		mp_misuse(L, call, "processes must be less than %d", (int)MP_MAX_SLOTS - 2);
	if (st->me && (memory || processes))
		mp_misuse(L, call, "to be called before the first object is made");
	if (memory)
		st->cfg.memory = memory;
	if (processes)  /* the owner and the keeper need a place as well */
		st->cfg.processes = (uint32_t)processes + 2;
	return 0;
}

static const luaL_Reg functions[] = {
	{ "sleep", mp_sleep },
	{ "time", mp_time },
	{ "getpid", mp_getpid },
	{ "getppid", mp_getppid },
	{ "cpu_count", mp_cpu_count },
	{ "configure", mp_configure },
	{ "pack", mp_pack },
	{ "unpack", mp_unpack },
	{ NULL, NULL }
};

/* ---- the modules ------------------------------------------------------------------------- */

/* The Lua parts add to the module, which they find as mp.core's field `mp`. */
static void load_parts(lua_State *L)
{
	static const char *const parts[] = {
		"mp.process", "mp.thread", "mp.timer", "mp.list", "mp.namespace", "mp.manager",
		"mp.lazy",
	};
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
		require(L, parts[i]);
		lua_pop(L, 1);
	}
	if (find("mp")) {
		lua_pushcfunction(L, load_embedded);
		lua_pushliteral(L, "mp");
		lua_call(L, 1, 0);
	}
}

static void make_module(lua_State *L)
{
	lua_newtable(L);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &loaded_key);
	luaL_newlib(L, functions);
	lua_newtable(L);
	lua_pushvalue(L, -2);
	lua_setfield(L, -2, "mp");
	lua_pushcfunction(L, mp_codec_stays);
	lua_setfield(L, -2, "stays");
	mp_type_methods(L);  /* so that q.put has a name, by which it travels */
	lua_setfield(L, -2, "types");
	lua_setfield(L, -2, "core");
	lua_pushstring(L, mp_bind_version());
	lua_setfield(L, -2, "version");
	mp_state_of(L);
	add_searcher(L);
	mp_open_process(L);
	mp_open_thread(L);
	mp_open_signal(L);
	mp_open_exit(L);
	mp_open_queue(L);
	mp_open_pipe(L);
	mp_open_lock(L);
	mp_open_rlock(L);
	mp_open_condition(L);
	mp_open_event(L);
	mp_open_value(L);
	mp_open_array(L);
	mp_open_buffer(L);
	mp_open_semaphore(L);
	mp_open_barrier(L);
	mp_open_fd(L);
	mp_open_dict(L);
	mp_open_list(L);
	mp_open_link(L);
	mp_open_text(L);
	mp_open_tally(L);
	mp_open_lease(L);
	mp_open_wait(L);
	mp_open_task(L);
	mp_open_work(L);
	mp_open_chunk(L);
	mp_open_command(L);
	mp_open_terminal(L);
	mp_open_file(L);
	mp_open_json(L);
	mp_open_crash(L);
	lua_pushvalue(L, -1);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &module_key);
	load_parts(L);
}

MP_API int luaopen_mp(lua_State *L)
{
	luaL_checkversion(L);
	if (lua_rawgetp(L, LUA_REGISTRYINDEX, &module_key) == LUA_TNIL) {
		lua_pop(L, 1);
		make_module(L);
	}
	return 1;
}

MP_API int luaopen_mp_core(lua_State *L)
{
	luaopen_mp(L);
	lua_getfield(L, -1, "core");
	return 1;
}
