/* buffer: mp.Buffer. Offsets count bytes from 0.
 *
 * SPDX-License-Identifier: MIT */
#include <string.h>

#include "../state/buffer.h"
#include "bind.h"
#include "args.h"

/* Short strings are interned by their content, which must not change between
 * two looks at it: up to here they are copied aside. */
#define ASIDE 256

/* An argument that is a number of bytes, or def where it is absent. */
static uint64_t arg_bytes(lua_State *L, int arg, const char *call,
                          const char *what, uint64_t def)
{
	if (lua_isnoneornil(L, arg))
		return def;
	return mp_arg_size(L, arg, call, what);
}

static void need_room(lua_State *L, const mp_buffer *b, uint64_t offset,
                      uint64_t n, const char *call)
{
	if (offset > b->len || n > b->len - offset)
		mp_misuse(L, call, "%I bytes at offset %I go past the end: it has %I",
		          (LUAI_UACINT)n, (LUAI_UACINT)offset, (LUAI_UACINT)b->len);
}

/* read([offset = 0], [n = the rest]) -> string */
static int buffer_read(lua_State *L)
{
	static const char call[] = "Buffer:read";
	const mp_buffer *b = mp_ref_self(L, call)->body;
	uint64_t offset = arg_bytes(L, 2, call, "the offset", 0);
	uint64_t rest = offset < b->len ? b->len - offset : 0;
	uint64_t n = arg_bytes(L, 3, call, "the number of bytes", rest);
	char aside[ASIDE];
	need_room(L, b, offset, n, call);
	const void *from = b->data + offset;
	if (n <= ASIDE)
		from = memcpy(aside, from, (size_t)n);
	lua_pushlstring(L, from, (size_t)n);
	return 1;
}

/* write(offset, string) */
static int buffer_write(lua_State *L)
{
	static const char call[] = "Buffer:write";
	mp_buffer *b = mp_ref_self(L, call)->body;
	uint64_t offset = mp_arg_size(L, 2, call, "the offset");
	size_t n;
	if (lua_type(L, 3) != LUA_TSTRING)
		mp_misuse(L, call, "expected a string, got %s", luaL_typename(L, 3));
	const char *s = lua_tolstring(L, 3, &n);
	need_room(L, b, offset, n, call);
	memcpy(b->data + offset, s, n);
	return 0;
}

/* fill(byte, [offset = 0], [n = the rest]) */
static int buffer_fill(lua_State *L)
{
	static const char call[] = "Buffer:fill";
	mp_buffer *b = mp_ref_self(L, call)->body;
	uint64_t byte = mp_arg_size(L, 2, call, "the byte");
	uint64_t offset = arg_bytes(L, 3, call, "the offset", 0);
	uint64_t rest = offset < b->len ? b->len - offset : 0;
	uint64_t n = arg_bytes(L, 4, call, "the number of bytes", rest);
	if (byte > 255)
		mp_misuse(L, call, "the byte must be 0 to 255, got %I",
		          (LUAI_UACINT)byte);
	need_room(L, b, offset, n, call);
	memset(b->data + offset, (int)byte, (size_t)n);
	return 0;
}

static int buffer_len(lua_State *L)
{
	const mp_buffer *b = mp_ref_self(L, "Buffer")->body;
	lua_pushinteger(L, (lua_Integer)b->len);
	return 1;
}

static int buffer_tostring(lua_State *L)
{
	mp_ref *r = mp_ref_test(L, 1, MP_T_BUFFER);
	if (r && r->h)
		lua_pushfstring(L, "Buffer (%I bytes)",
		                (LUAI_UACINT)((mp_buffer *)r->body)->len);
	else
		lua_pushliteral(L, "Buffer (closed here)");
	return 1;
}

static const luaL_Reg methods[] = {
	{ "read", buffer_read },
	{ "write", buffer_write },
	{ "fill", buffer_fill },
	{ "__len", buffer_len },
	{ "__tostring", buffer_tostring },
	{ NULL, NULL }
};

static int new_buffer(lua_State *L)
{
	static const char call[] = "mp.Buffer";
	size_t n = 0;
	const char *s = NULL;
	mp_handle h;
	bool tried = false;
	int rc;
	if (lua_type(L, 1) == LUA_TSTRING)
		s = lua_tolstring(L, 1, &n);
	uint64_t len = s ? n : mp_arg_size(L, 1, call, "the size");
	mp_state *st = mp_state_of(L);
	mp_self *me = mp_state_self(L, st, call);
	do
		rc = mp_buffer_create(me, len, &h);
	while (mp_make_room(L, rc, &tried));
	if (rc != MP_OK)
		return mp_no_room(L, me, rc, len, 1, call);
	mp_ref_push(L, st, h, true);
	if (s)
		memcpy(mp_buffer_data(me->shm, h, &len), s, n);
	return 1;
}

void mp_open_buffer(lua_State *L)
{
	mp_type_define(L, MP_T_BUFFER, "Buffer", methods);
	lua_pushcfunction(L, new_buffer);
	lua_setfield(L, -2, "Buffer");
}
