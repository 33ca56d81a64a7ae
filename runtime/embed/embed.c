/* embed: the functions of mprun.h, on a Lua state.
 *
 * What a run consists of, and which options there are, is decided in Lua, in
 * lua/mp/main.lua. Here Lua is only ever entered through a protected call.
 *
 * The state's own stack holds what a runtime keeps: see the enum.
 *
 * SPDX-License-Identifier: MIT */
#include "mprun.h"

#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

int luaopen_mp(lua_State *L);

/* There where lpeg is linked in, NULL elsewhere: `require` then searches. */
#pragma weak luaopen_lpeg
int luaopen_lpeg(lua_State *L);

enum { MAIN = 1, SCRIPT, NSLOTS = SCRIPT };

struct mp_rt {
	lua_State *L;
	mp_alloc *alloc;
	void *ud;
	char *msg;
	size_t msgsize;
	int status;
};

static _Thread_local char open_msg[256];

static void *default_alloc(void *ud, void *ptr, size_t osize, size_t nsize)
{
	(void)ud;
	(void)osize;
	if (nsize == 0) {
		free(ptr);
		return NULL;
	}
	return realloc(ptr, nsize);
}

/* --- messages ---------------------------------------------------------------- */

static void set_msg(mp_rt *rt, const char *text)
{
	size_t need = strlen(text) + 1;
	if (need > rt->msgsize) {
		char *p = rt->alloc(rt->ud, rt->msg, rt->msgsize, need);
		if (!p)
			return;  /* keeps the old buffer; "" is better than a wrong text */
		rt->msg = p;
		rt->msgsize = need;
	}
	memcpy(rt->msg, text, need);
}

static void clear_msg(mp_rt *rt)
{
	if (rt->msgsize)
		rt->msg[0] = '\0';
}

static int fail_text(mp_rt *rt, int rc, const char *text)
{
	clear_msg(rt);
	set_msg(rt, text);
	return rc;
}

/* What lua_pcall left on top, as the message. */
static int fail_lua(mp_rt *rt, int lua_rc, int rc)
{
	const char *text = lua_type(rt->L, -1) == LUA_TSTRING
	                   ? lua_tostring(rt->L, -1) : NULL;
	clear_msg(rt);
	set_msg(rt, text ? text : "an error that is not a string");
	lua_settop(rt->L, NSLOTS);
	return lua_rc == LUA_ERRMEM ? -ENOMEM : rc;
}

const char *mp_errmsg(mp_rt *rt)
{
	if (!rt)
		return open_msg;
	return rt->msg ? rt->msg : "";
}

/* --- opening and closing ----------------------------------------------------- */

static int push_options(lua_State *L)
{
	lua_pushvalue(L, lua_upvalueindex(1));
	return 1;
}

static void set_in(lua_State *L, const char *table, const char *key)
{
	luaL_getsubtable(L, LUA_REGISTRYINDEX, table);
	lua_insert(L, -2);
	lua_setfield(L, -2, key);
	lua_pop(L, 1);
}

/* Called protected, with the configuration; returns the module mp.main. What is
 * in package.preload survives a test runner that resets package.loaded. */
static int open_state(lua_State *L)
{
	const mp_config *cfg = lua_touserdata(L, 1);

	luaL_checkversion(L);
	luaL_openlibs(L);

	lua_newtable(L);
	if (cfg->memory) {
		lua_pushinteger(L, (lua_Integer)cfg->memory);
		lua_setfield(L, -2, "memory");
	}
	if (cfg->processes) {
		lua_pushinteger(L, (lua_Integer)cfg->processes);
		lua_setfield(L, -2, "processes");
	}
	lua_pushvalue(L, -1);
	set_in(L, LUA_LOADED_TABLE, "mp.options");

	if (luaopen_lpeg) {
		lua_pushcfunction(L, luaopen_lpeg);
		set_in(L, LUA_PRELOAD_TABLE, "lpeg");
	}
	luaL_requiref(L, "mp", luaopen_mp, 0);
	lua_pop(L, 1);
	lua_pushcfunction(L, luaopen_mp);
	set_in(L, LUA_PRELOAD_TABLE, "mp");
	lua_pushcclosure(L, push_options, 1);
	set_in(L, LUA_PRELOAD_TABLE, "mp.options");

	lua_newtable(L);
	lua_setglobal(L, "arg");
	lua_getglobal(L, "require");
	lua_pushliteral(L, "mp.main");
	lua_call(L, 1, 1);
	return 1;
}

void mp_config_init(mp_config *cfg, size_t size)
{
	memset(cfg, 0, size);
	cfg->size = size;
}

/* A host built with another version has a shorter or a longer struct. What is
 * longer must not ask for anything. */
static int read_config(mp_config *to, const mp_config *from)
{
	mp_config_init(to, sizeof *to);
	if (!from)
		return 0;
	if (from->size < sizeof from->size)
		return -EINVAL;
	for (size_t i = sizeof *to; i < from->size; i++)
		if (((const char *)from)[i])
			return -E2BIG;
	memcpy(to, from, from->size < sizeof *to ? from->size : sizeof *to);
	to->size = sizeof *to;
	return 0;
}

static int fail_open(int rc, const char *text)
{
	snprintf(open_msg, sizeof open_msg, "%s", text);
	return rc;
}

int mp_open(mp_rt **out, const mp_config *given)
{
	mp_config cfg;
	mp_rt *rt;
	lua_State *L;
	int rc = read_config(&cfg, given);

	*out = NULL;
	if (rc)
		return fail_open(rc, rc == -EINVAL
			? "mp_open: the configuration is not from mp_config_init"
			: "mp_open: the configuration has unknown settings");
	if (!cfg.alloc)
		cfg.alloc = default_alloc;

	rt = cfg.alloc(cfg.alloc_ud, NULL, 0, sizeof *rt);
	if (!rt)
		return fail_open(-ENOMEM, "mp_open: not enough memory");
	*rt = (mp_rt){ .alloc = cfg.alloc, .ud = cfg.alloc_ud };
	L = rt->L = lua_newstate(cfg.alloc, cfg.alloc_ud);
	if (!L) {
		mp_close(rt);
		return fail_open(-ENOMEM, "mp_open: not enough memory");
	}
	lua_pushcfunction(L, open_state);
	lua_pushlightuserdata(L, &cfg);
	rc = lua_pcall(L, 1, 1, 0);
	if (rc) {
		rc = fail_lua(rt, rc, -EIO);
		fail_open(rc, mp_errmsg(rt));
		mp_close(rt);
		return rc;
	}
	lua_settop(L, NSLOTS);
	*out = rt;
	return 0;
}

void mp_close(mp_rt *rt)
{
	if (!rt)
		return;
	if (rt->L)
		lua_close(rt->L);
	if (rt->msg)
		rt->alloc(rt->ud, rt->msg, rt->msgsize, 0);
	rt->alloc(rt->ud, rt, sizeof *rt, 0);
}

/* --- loading ----------------------------------------------------------------- */

static int loaded(mp_rt *rt, int lua_rc, int io_rc)
{
	if (lua_rc == LUA_ERRFILE)
		return fail_lua(rt, lua_rc, io_rc);
	if (lua_rc)
		return fail_lua(rt, lua_rc, MP_ESYNTAX);
	lua_replace(rt->L, SCRIPT);
	return 0;
}

/* luaL_loadfilex may raise for want of memory: called protected. Returns the
 * chunk or the message, and the result. */
static int load_file(lua_State *L)
{
	int rc = luaL_loadfilex(L, lua_touserdata(L, 1), NULL);
	lua_pushinteger(L, rc);
	return 2;
}

static int cannot_open(mp_rt *rt, const char *path, int err)
{
	char text[PATH_MAX + 128];
	snprintf(text, sizeof text, "cannot open %.*s: %s", PATH_MAX, path,
	         strerror(err));
	return fail_text(rt, -err, text);
}

int mp_load_file(mp_rt *rt, const char *path)
{
	struct stat st;
	int rc;

	if (path) {
		if (stat(path, &st))
			return cannot_open(rt, path, errno);
		if (S_ISDIR(st.st_mode))  /* fopen would succeed */
			return cannot_open(rt, path, EISDIR);
		if (access(path, R_OK))
			return cannot_open(rt, path, errno);
	}
	lua_pushcfunction(rt->L, load_file);
	lua_pushlightuserdata(rt->L, (void *)(uintptr_t)path);
	rc = lua_pcall(rt->L, 1, 2, 0);
	if (rc)
		return fail_lua(rt, rc, -EIO);
	rc = (int)lua_tointeger(rt->L, -1);
	lua_pop(rt->L, 1);
	return loaded(rt, rc, -EIO);
}

int mp_load_string(mp_rt *rt, const char *src, size_t len, const char *name)
{
	int rc = luaL_loadbufferx(rt->L, src, len, name ? name : "=(string)", NULL);
	return loaded(rt, rc, MP_ESYNTAX);
}

/* --- settings ---------------------------------------------------------------- */

static int set_args(lua_State *L)
{
	int n = (int)lua_tointeger(L, 1);
	const char *const *argv = lua_touserdata(L, 2);

	lua_createtable(L, n, 1);
	for (int i = 0; i < n; i++) {
		lua_pushstring(L, argv[i]);
		lua_rawseti(L, -2, i);
	}
	lua_setglobal(L, "arg");
	return 0;
}

int mp_args(mp_rt *rt, int argc, const char *const *argv)
{
	int rc;

	lua_pushcfunction(rt->L, set_args);
	lua_pushinteger(rt->L, argc);
	lua_pushlightuserdata(rt->L, (void *)(uintptr_t)argv);
	rc = lua_pcall(rt->L, 2, 0, 0);
	return rc ? fail_lua(rt, rc, -EINVAL) : 0;
}

/* main.set(name, value): raises the reason of a refusal. */
static int set_option(lua_State *L)
{
	lua_getfield(L, 1, "set");
	lua_pushstring(L, lua_touserdata(L, 2));
	lua_pushstring(L, lua_touserdata(L, 3));
	lua_call(L, 2, 0);
	return 0;
}

int mp_set(mp_rt *rt, const char *name, const char *value)
{
	int rc;

	lua_pushcfunction(rt->L, set_option);
	lua_pushvalue(rt->L, MAIN);
	lua_pushlightuserdata(rt->L, (void *)(uintptr_t)name);
	lua_pushlightuserdata(rt->L, (void *)(uintptr_t)value);
	rc = lua_pcall(rt->L, 3, 0, 0);
	return rc ? fail_lua(rt, rc, -EINVAL) : 0;
}

/* --- running ----------------------------------------------------------------- */

/* main.run(script) -> exit status, message or nil */
static int run_script(lua_State *L)
{
	lua_getfield(L, 1, "run");
	lua_insert(L, 1);
	lua_remove(L, 2);
	lua_call(L, 1, 2);
	return 2;
}

int mp_run(mp_rt *rt)
{
	lua_State *L = rt->L;
	int rc;

	if (lua_isnil(L, SCRIPT))
		return fail_text(rt, -EINVAL, "mp_run: no script is loaded");
	clear_msg(rt);
	rt->status = 1;  /* should the call itself fail */
	lua_pushcfunction(L, run_script);
	lua_pushvalue(L, MAIN);
	lua_pushvalue(L, SCRIPT);
	lua_pushnil(L);
	lua_replace(L, SCRIPT);
	rc = lua_pcall(L, 2, 2, 0);
	if (rc)
		return fail_lua(rt, rc, MP_ESCRIPT);
	rt->status = (int)lua_tointeger(L, -2);
	if (lua_isstring(L, -1))
		set_msg(rt, lua_tostring(L, -1));
	lua_settop(L, NSLOTS);
	return rt->status ? MP_ESCRIPT : 0;
}

int mp_exit_status(const mp_rt *rt)
{
	return rt->status;
}
