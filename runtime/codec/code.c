/* code: dumping and loading, and what is remembered of both.
 *
 * SPDX-License-Identifier: MIT */
#include "code.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "factory.h"

enum { MAX_FACTORY_UPVALUES = 60 };

static uint64_t hash_of(const uint8_t *s, size_t len)
{
	uint64_t h = len * UINT64_C(0x9E3779B97F4A7C15);
	for (; len >= 8; s += 8, len -= 8) {
		uint64_t x;
		memcpy(&x, s, 8);
		h = (h ^ x) * UINT64_C(0xFF51AFD7ED558CCD);
		h ^= h >> 32;
	}
	for (; len > 0; s++, len--)
		h = (h ^ *s) * UINT64_C(0x100000001B3);
	return h ^ h >> 29;
}

typedef struct dumped {
	luaL_Buffer b;
	int begun;
} dumped;

static int write_dump(lua_State *L, const void *p, size_t len, void *ud)
{
	dumped *d = ud;
	if (!d->begun) {  /* only now: lua_dump wants the function on top at first */
		d->begun = 1;
		luaL_buffinit(L, &d->b);
	}
	luaL_addlstring(&d->b, p, len);
	return 0;
}

const uint8_t *mp_code_push_dump(lua_State *L, int strip, size_t *len)
{
	dumped d = { .begun = 0 };
	if (lua_dump(L, write_dump, &d, strip) != 0)
		luaL_error(L, "cannot dump a function");
	luaL_pushresult(&d.b);
	return (const uint8_t *)lua_tolstring(L, -1, len);
}

typedef struct writer {
	mp_sent_code *s;
	size_t len;
} writer;

/* Appends to a slot's memory; no Lua objects (see state.h). */
static int write_code(lua_State *L, const void *p, size_t len, void *ud)
{
	writer *w = ud;
	size_t need = w->len + len;
	if (need > w->s->cap)
		w->s->code = mp_grow(L, w->s->code, &w->s->cap, need, 1);
	memcpy(w->s->code + w->len, p, len);
	w->len = need;
	return 0;
}

static void dump_into(lua_State *L, mp_sent_code *s)
{
	const uint64_t none = 0;
	writer w = { .s = s };
	s->function = NULL;
	write_code(L, &none, MP_CODE_HASH, &w);
	if (lua_dump(L, write_code, &w, 0) != 0)
		luaL_error(L, "cannot dump a function");
	uint64_t h = hash_of(s->code + MP_CODE_HASH, w.len - MP_CODE_HASH);
	memcpy(s->code, &h, sizeof h);
	s->len = w.len;
}

const uint8_t *mp_code_of(lua_State *L, mp_codec *c, size_t *len)
{
	const void *f = lua_topointer(L, -1);
	size_t i = ((uintptr_t)f >> 4) * 31 % MP_CODE_SLOTS;
	mp_sent_code *s = &c->sent[i];
	lua_rawgeti(L, LUA_REGISTRYINDEX, c->senders);
	lua_rawgeti(L, -1, (lua_Integer)i + 1);
	int known = s->function == f && lua_rawequal(L, -1, -3);
	lua_pop(L, 1);
	if (!known) {
		lua_pushvalue(L, -2);
		dump_into(L, s);
		lua_rawseti(L, -2, (lua_Integer)i + 1);
		s->function = f;
	}
	lua_pop(L, 1);
	*len = s->len;
	return s->code;
}

/* Pushes the function itself; 0 if it is no code of a function with nup upvalues. */
static int load_plain(lua_State *L, const uint8_t *code, size_t len, int nup)
{
	const char *bytes = (const char *)code + MP_CODE_HASH;
	if (luaL_loadbufferx(L, bytes, len - MP_CODE_HASH, "=(message)", "b") != LUA_OK) {
		lua_pop(L, 1);
		return 0;
	}
	if ((nup > 0 && !lua_getupvalue(L, -1, nup)) || lua_getupvalue(L, -1, nup + 1)) {
		lua_pop(L, 1);
		return 0;
	}
	if (nup > 0)
		lua_pop(L, 1);
	return 1;
}

/* Keeps the function on top (or nil). */
static void remember(lua_State *L, mp_codec *c, mp_code_slot *s, int is_factory)
{
	s->is_factory = is_factory;
	lua_rawgeti(L, LUA_REGISTRYINDEX, c->loaded);
	lua_pushvalue(L, -2);
	lua_rawseti(L, -2, s - c->codes + 1);
	lua_pop(L, 1);
}

/* Gives the slot to this code, which it forgets if there is no memory. What
 * the old code gave goes first: loading the new one may raise. */
static void claim(lua_State *L, mp_codec *c, mp_code_slot *s, uint64_t hash, const uint8_t *code,
                  size_t len, int nup)
{
	lua_pushnil(L);
	remember(L, c, s, 0);
	lua_pop(L, 1);
	uint8_t *copy = realloc(s->code, len);
	if (!copy) {
		s->len = 0;
		return;
	}
	memcpy(copy, code, len);
	*s = (mp_code_slot){ hash, copy, len, nup, 0 };
}

/* Does the function on top still have the globals in all its upvalues? */
static int is_untouched(lua_State *L, int nup)
{
	lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
	int same = 1;
	for (int i = 1; i <= nup && same; i++) {
		same = lua_getupvalue(L, -2, i) != NULL && lua_rawequal(L, -1, -2);
		lua_pop(L, 1);
	}
	lua_pop(L, 1);
	return same;
}

/* Pushes a function from what is remembered; 0 if there is nothing fit. */
static int from_memory(lua_State *L, mp_codec *c, const mp_code_slot *s, int nup, int global)
{
	lua_rawgeti(L, LUA_REGISTRYINDEX, c->loaded);
	lua_rawgeti(L, -1, s - c->codes + 1);
	lua_replace(L, -2);
	if (lua_isfunction(L, -1)) {
		if (s->is_factory) {
			lua_call(L, 0, 1);
			return 1;
		}
		if (global && is_untouched(L, nup))
			return 1;
	}
	lua_pop(L, 1);
	return 0;
}

static int load_and_remember(lua_State *L, mp_codec *c, const uint8_t *code, size_t len, int nup,
                             int global, mp_code_slot *s, int again)
{
	if (again && !global && nup <= MAX_FACTORY_UPVALUES
	    && mp_factory_load(L, code + MP_CODE_HASH, len - MP_CODE_HASH, nup)) {
		remember(L, c, s, 1);
		lua_call(L, 0, 1);
		return 1;
	}
	if (!load_plain(L, code, len, nup))
		return 0;
	if (global)
		remember(L, c, s, 0);
	return 1;
}

int mp_code_load(lua_State *L, mp_codec *c, const uint8_t *code, size_t len, int nup, int global)
{
	uint64_t hash;
	luaL_checkstack(L, 6, "codec");
	if (len <= MP_CODE_HASH)
		return 0;
	if (len > MP_CODE_MAX)
		return load_plain(L, code, len, nup);
	memcpy(&hash, code, sizeof hash);
	mp_code_slot *s = &c->codes[hash % MP_CODE_SLOTS];
	int again = s->hash == hash && s->len == len && s->nup == nup
	            && memcmp(s->code, code, len) == 0;
	if (again && from_memory(L, c, s, nup, global))
		return 1;
	if (!again)
		claim(L, c, s, hash, code, len, nup);
	return load_and_remember(L, c, code, len, nup, global, s, again);
}
