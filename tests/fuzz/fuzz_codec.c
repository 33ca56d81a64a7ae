/* fuzz_codec: arbitrary bytes into the decoder, and what it accepts once more
 * around: what was decoded can be encoded, and gives as many values again.
 *
 * Functions are refused all along: Lua itself does not withstand arbitrary
 * bytecode, so only the refusal can be tested. The first byte of an input
 * says whether handles are allowed, and whether there is a list for a stretch.
 *
 *   clang -std=c11 -g -O1 -fsanitize=fuzzer,address,undefined
 *     -Iruntime/codec -I/usr/include/lua5.4 tests/fuzz/fuzz_codec.c
 *     runtime/codec/<all>.c -llua5.4 -o fuzz_codec
 *   ./fuzz_codec -runs=1000000 CORPUS tests/fuzz/corpus_codec
 *
 * SPDX-License-Identifier: MIT */
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char handle_type[] = "fuzz.handle";

static int handle_of(lua_State *L, int idx, uint64_t *h, void *ud)
{
	(void)ud;
	const uint64_t *p = luaL_testudata(L, idx, handle_type);
	if (p)
		*h = *p;
	return p != NULL;
}

static void push_handle(lua_State *L, uint64_t h, void *ud)
{
	(void)ud;
	uint64_t *p = lua_newuserdatauv(L, sizeof *p, 0);
	*p = h;
	luaL_setmetatable(L, handle_type);
}

static const mp_codec_hooks hooks = { handle_of, push_handle, NULL };

typedef struct input {
	const uint8_t *data;
	size_t size;
	int flags;
	int into;
} input;

static void *flatten(const mp_encoded *m)
{
	char *all = malloc(m->len), *p = all;
	for (size_t i = 0; i < m->nparts; i++) {
		memcpy(p, m->parts[i].data, m->parts[i].len);
		p += m->parts[i].len;
	}
	return all;
}

/* Encodes the n values on the stack into a string on top of it. */
static void encode(lua_State *L, mp_codec *c, int n)
{
	mp_encoded m;
	mp_encode(L, c, 1, n, "fuzz", &m);
	char *flat = flatten(&m);
	lua_pushlstring(L, flat, m.len);
	free(flat);
}

/* values -> values: encoded, and decoded again */
static int again(lua_State *L)
{
	mp_codec *c = mp_codec_of(L, &hooks);
	int n = lua_gettop(L);
	size_t len;
	encode(L, c, n);
	const char *s = lua_tolstring(L, -1, &len);
	if (mp_decode(L, c, s, len, MP_CODEC_NO_FUNCTIONS, "fuzz") != n)
		abort();
	return n;
}

/* What could be decoded can be encoded. (Not into the same bytes: the order of
 * a table's pairs is free.) */
static int check(lua_State *L)
{
	const input in = *(const input *)lua_touserdata(L, 1);
	mp_codec *c = mp_codec_of(L, &hooks);
	lua_settop(L, 0);
	int n;
	if (in.into) {
		lua_createtable(L, 2, 0);
		n = mp_decode_into(L, c, in.data, in.size, in.flags, 1, "fuzz");
		lua_remove(L, 1);
	} else if ((n = mp_decode_try(L, c, in.data, in.size, in.flags)) < 0) {
		return 0;
	}
	lua_pushcfunction(L, again);
	lua_insert(L, 1);
	if (lua_pcall(L, n, LUA_MULTRET, 0) != LUA_OK)
		abort();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static lua_State *L;  /* one for all inputs: it must survive each of them */
	static unsigned runs;
	if (!L) {
		L = luaL_newstate();
		luaL_openlibs(L);
		luaL_newmetatable(L, handle_type);
		lua_pop(L, 1);
	}
	if (size == 0)
		return 0;
	input in = { data + 1, size - 1,
	             MP_CODEC_NO_FUNCTIONS | (data[0] & 1 ? MP_CODEC_NO_HANDLES : 0), data[0] & 2 };
	lua_pushcfunction(L, check);
	lua_pushlightuserdata(L, &in);
	if (lua_pcall(L, 1, 0, 0) != LUA_OK)
		lua_pop(L, 1);
	if (++runs % 1024 == 0)
		lua_gc(L, LUA_GCCOLLECT);
	return 0;
}
