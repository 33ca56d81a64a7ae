/* factory: the layout of a dump, and replacing a part of one.
 *
 * SPDX-License-Identifier: MIT */
#include "factory.h"

#include <lauxlib.h>
#include <string.h>

#include "code.h"

enum {
	HEADER = 4 + 1 + 1 + 6 + 3 + 8 + 8,  /* up to the number of upvalues */
	MAX_NESTING = 200,                   /* of functions: LUAI_MAXCCALLS */
	UPVALUE_SIZE = 3                     /* in stack, index, kind */
};

/* Types of constants: Lua's tags with their variants. */
enum { K_NIL = 0, K_FALSE = 1, K_TRUE = 0x11, K_INT = 3, K_FLOAT = 0x13, K_STR = 4, K_LONG = 0x14 };

typedef struct reader {
	const uint8_t *p, *end;
	int bad;
} reader;

static void skip(reader *r, uint64_t n)
{
	if (n > (size_t)(r->end - r->p)) {
		r->bad = 1;
		n = (size_t)(r->end - r->p);
	}
	r->p += n;
}

/* Seven bits per byte, high first; the last byte has its top bit set. */
static uint64_t size_at(reader *r)
{
	uint64_t x = 0;
	while (r->p < r->end && x < UINT64_C(1) << 50) {
		uint8_t b = *r->p++;
		x = x << 7 | (b & 0x7F);
		if (b & 0x80)
			return x;
	}
	r->bad = 1;
	return 0;
}

static void skip_string(reader *r)
{
	uint64_t n = size_at(r);  /* length + 1; 0 is no string */
	skip(r, n ? n - 1 : 0);
}

static void skip_constants(reader *r)
{
	for (uint64_t n = size_at(r); n > 0 && !r->bad; n--) {
		uint8_t type = r->p < r->end ? *r->p : 0xFF;
		skip(r, 1);
		if (type == K_STR || type == K_LONG)
			skip_string(r);
		else if (type == K_INT || type == K_FLOAT)
			skip(r, 8);
		else if (type != K_NIL && type != K_FALSE && type != K_TRUE)
			r->bad = 1;
	}
}

static void skip_debug(reader *r)
{
	skip(r, size_at(r));
	for (uint64_t n = size_at(r); n > 0 && !r->bad; n--) {
		size_at(r);
		size_at(r);
	}
	for (uint64_t n = size_at(r); n > 0 && !r->bad; n--) {
		skip_string(r);
		size_at(r);
		size_at(r);
	}
	for (uint64_t n = size_at(r); n > 0 && !r->bad; n--)
		skip_string(r);
}

/* What comes in a function before its upvalues. */
static void skip_head(reader *r)
{
	skip_string(r);
	size_at(r);
	size_at(r);
	skip(r, 3);
	skip(r, 4 * size_at(r));
	skip_constants(r);
}

/* Skips one function. The depth is bounded, as it is in Lua itself. */
static void skip_function(reader *r, int depth)
{
	if (depth > MAX_NESTING) {
		r->bad = 1;
		return;
	}
	skip_head(r);
	skip(r, UPVALUE_SIZE * size_at(r));
	for (uint64_t n = size_at(r); n > 0 && !r->bad; n--)
		skip_function(r, depth + 1);
	skip_debug(r);
}

/* Pushes the dump of the function around an inner one with nup upvalues. */
static void push_mould(lua_State *L, int nup)
{
	luaL_Buffer b;
	luaL_buffinit(L, &b);
	luaL_addstring(&b, "local a1");
	for (int i = 2; i <= nup; i++) {
		lua_pushfstring(L, ",a%d", i);
		luaL_addvalue(&b);
	}
	luaL_addstring(&b, " return function() return a1");
	for (int i = 2; i <= nup; i++) {
		lua_pushfstring(L, ",a%d", i);
		luaL_addvalue(&b);
	}
	luaL_addstring(&b, " end");
	luaL_pushresult(&b);
}

/* Copies the dump, with upvalue i found in the i-th local of the function
 * around it; pushes the function that this makes of the mould. */
static int pour(lua_State *L, const uint8_t *mould, size_t mouldlen, const uint8_t *dump,
                size_t len, int nup, size_t *upvalues)
{
	reader r = { dump, dump + len, 0 };
	skip(&r, HEADER + 1);
	skip_head(&r);
	int same = size_at(&r) == (uint64_t)nup;
	*upvalues = (size_t)(r.p - dump);
	r.p = dump + (len > HEADER ? HEADER + 1 : len);
	skip_function(&r, 0);
	reader m = { mould, mould + mouldlen, 0 };
	skip(&m, HEADER + 1);
	skip_head(&m);
	skip(&m, UPVALUE_SIZE * size_at(&m));
	int one = size_at(&m) == 1;
	const uint8_t *inner = m.p;
	skip_function(&m, 1);
	if (r.bad || m.bad || !same || !one || r.p != r.end || memcmp(mould, dump, HEADER) != 0)
		return 0;

	luaL_Buffer b;
	luaL_buffinit(L, &b);
	luaL_addlstring(&b, (const char *)mould, (size_t)(inner - mould));
	luaL_addlstring(&b, (const char *)dump + HEADER + 1, *upvalues - HEADER - 1);
	for (int i = 0; i < nup; i++) {
		const char upvalue[UPVALUE_SIZE] = { 1, (char)i, 0 };
		luaL_addlstring(&b, upvalue, sizeof upvalue);
	}
	size_t rest = *upvalues + UPVALUE_SIZE * (size_t)nup;
	luaL_addlstring(&b, (const char *)dump + rest, len - rest);
	luaL_addlstring(&b, (const char *)m.p, (size_t)(m.end - m.p));
	luaL_pushresult(&b);
	size_t n;
	const char *poured = lua_tolstring(L, -1, &n);
	return luaL_loadbufferx(L, poured, n, "=(message)", "b") == LUA_OK;
}

/* Does what the factory on top makes dump as the original, but for the
 * descriptions of its upvalues? */
static int is_faithful(lua_State *L, const uint8_t *dump, size_t len, size_t upvalues, int nup)
{
	size_t n, rest = upvalues + UPVALUE_SIZE * (size_t)nup;
	lua_pushvalue(L, -1);
	if (lua_pcall(L, 0, 1, 0) != LUA_OK || !lua_isfunction(L, -1) || lua_iscfunction(L, -1))
		return 0;
	const uint8_t *again = mp_code_push_dump(L, 0, &n);
	return n == len && memcmp(again, dump, upvalues) == 0
	       && memcmp(again + rest, dump + rest, len - rest) == 0;
}

int mp_factory_load(lua_State *L, const uint8_t *dump, size_t len, int nup)
{
	size_t mouldlen, sourcelen, upvalues;
	int top = lua_gettop(L);
	luaL_checkstack(L, 16, "codec");
	push_mould(L, nup);
	const char *source = lua_tolstring(L, -1, &sourcelen);
	if (luaL_loadbufferx(L, source, sourcelen, "=(factory)", "t") != LUA_OK)
		goto fail;
	const uint8_t *mould = mp_code_push_dump(L, 1, &mouldlen);
	if (!pour(L, mould, mouldlen, dump, len, nup, &upvalues))
		goto fail;
	int factory = lua_gettop(L);
	if (!is_faithful(L, dump, len, upvalues, nup))
		goto fail;
	lua_settop(L, factory);
	lua_replace(L, top + 1);
	lua_settop(L, top + 1);
	return 1;
fail:
	lua_settop(L, top);
	return 0;
}
