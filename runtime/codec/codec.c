/* codec: the life of a codec and of its scratch memory.
 *
 * SPDX-License-Identifier: MIT */
#include "codec.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "state.h"
#include "still.h"

static const char codec_key = 0;  /* its address is the registry key */

void *mp_grow(lua_State *L, void *p, size_t *cap, size_t need, size_t size)
{
	size_t n = *cap ? *cap : 16;
	while (n < need && n <= SIZE_MAX / 2 / size)
		n *= 2;
	p = n < need ? NULL : realloc(p, n * size);
	if (!p)
		luaL_error(L, "not enough memory");
	*cap = n;
	return p;
}

void mp_call_quietly(lua_State *L, lua_CFunction f, int nresults)
{
	lua_pushcfunction(L, f);
	lua_insert(L, -2);
	bool still = mp_gc_still(L);
	int rc = lua_pcall(L, 1, nresults, 0);
	if (still)
		mp_gc_goes_on(L);
	if (rc != LUA_OK)
		lua_error(L);
}

static int codec_gc(lua_State *L)
{
	mp_codec *c = lua_touserdata(L, 1);
	free(c->buf);
	free(c->parts);
	free(c->frames);
	free(c->handles);
	free(c->names.nodes);
	mp_map_free(&c->seen);
	mp_map_free(&c->names.map);
	for (int i = 0; i < MP_CODE_SLOTS; i++)
		free(c->codes[i].code);
	for (int i = 0; i < MP_CODE_SLOTS; i++)
		free(c->sent[i].code);
	mp_codec old = *c;
	*c = (mp_codec){ .hooks = old.hooks, .senders = old.senders, .loaded = old.loaded };
	c->names.keys = old.names.keys;
	return 0;
}

int mp_codec_stays(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	luaL_checkstring(L, 2);
	luaL_checkstring(L, 3);
	lua_settop(L, 3);
	lua_createtable(L, 3, 0);
	for (int i = 1; i <= 3; i++) {  /* the last keeps the metatable: its address is the key */
		lua_pushvalue(L, i < 3 ? i + 1 : 1);
		lua_rawseti(L, 4, i);
	}
	lua_rawsetp(L, LUA_REGISTRYINDEX, lua_topointer(L, 1));
	return 0;
}

/* A registry reference to a new list; weak: it does not keep its elements. */
static int new_list(lua_State *L, int n, int weak)
{
	lua_createtable(L, n, 0);
	if (weak) {
		lua_createtable(L, 0, 1);
		lua_pushliteral(L, "v");
		lua_setfield(L, -2, "__mode");
		lua_setmetatable(L, -2);
	}
	return luaL_ref(L, LUA_REGISTRYINDEX);
}

void mp_codec_wake(lua_State *L, mp_codec *c)
{
	c->buf = mp_grow(L, c->buf, &c->cap, MP_SCRATCH_MIN, 1);
	c->parts = mp_grow(L, c->parts, &c->capparts, 16, sizeof *c->parts);
	c->frames = mp_grow(L, c->frames, &c->capframes, 64, sizeof *c->frames);
	mp_map_init(L, &c->seen, 8);
	if (!c->names.map.slots)
		mp_map_init(L, &c->names.map, 4);
}

mp_codec *mp_codec_of(lua_State *L, const mp_codec_hooks *hooks)
{
	luaL_checkstack(L, 6, "codec");
	lua_rawgetp(L, LUA_REGISTRYINDEX, &codec_key);
	mp_codec *c = lua_touserdata(L, -1);
	if (!c) {
		lua_pop(L, 1);
		c = lua_newuserdatauv(L, sizeof *c, 0);
		memset(c, 0, sizeof *c);
		lua_createtable(L, 0, 1);
		lua_pushcfunction(L, codec_gc);
		lua_setfield(L, -2, "__gc");
		lua_setmetatable(L, -2);
		c->senders = new_list(L, MP_CODE_SLOTS, 1);
		c->loaded = new_list(L, 0, 0);
		c->names.keys = new_list(L, 0, 0);
		mp_codec_wake(L, c);
		lua_pushvalue(L, -1);
		lua_rawsetp(L, LUA_REGISTRYINDEX, &codec_key);
	}
	lua_pop(L, 1);
	if (hooks)
		c->hooks = hooks;
	return c;
}
