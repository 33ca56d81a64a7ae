/* path: where a refused value was found, and what it is.
 *
 * SPDX-License-Identifier: MIT */
#include "path.h"

#include <ctype.h>
#include <lauxlib.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
	PATH_ROOM = 2000,
	PATH_ENDS = 8,   /* of a long path the first and the last so many steps */
	KEY_ROOM = 60
};

typedef struct text {
	char s[PATH_ROOM];
	size_t n;
} text;

static void put(text *t, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	int n = vsnprintf(t->s + t->n, sizeof t->s - t->n, format, args);
	va_end(args);
	if (n > 0)
		t->n += (size_t)n;
	if (t->n >= sizeof t->s)
		t->n = sizeof t->s - 1;
}

static int is_name(const char *s, size_t len)
{
	if (len == 0 || isdigit((unsigned char)*s))
		return 0;
	for (; len > 0; s++, len--) {
		if (!isalnum((unsigned char)*s) && *s != '_')
			return 0;
	}
	return 1;
}

static void put_string_key(lua_State *L, text *t, int idx)
{
	size_t len;
	const char *s = lua_tolstring(L, idx, &len);
	int shown = (int)(len < KEY_ROOM ? len : KEY_ROOM);
	if (is_name(s, len))
		put(t, ".%.*s%s", shown, s, len > KEY_ROOM ? "..." : "");
	else
		put(t, "[\"%.*s%s\"]", shown, s, len > KEY_ROOM ? "..." : "");
}

static void put_key(lua_State *L, text *t, int idx)
{
	switch (lua_type(L, idx)) {
	case LUA_TSTRING:
		put_string_key(L, t, idx);
		break;
	case LUA_TNUMBER:
		if (lua_isinteger(L, idx))
			put(t, "[%lld]", (long long)lua_tointeger(L, idx));
		else
			put(t, "[%.14g]", lua_tonumber(L, idx));
		break;
	case LUA_TBOOLEAN:
		put(t, "[%s]", lua_toboolean(L, idx) ? "true" : "false");
		break;
	default:
		put(t, "[%s]", luaL_typename(L, idx));
	}
}

/* A step in words, apart from what is before it. */
#define IN_WORDS(t) ((t)->n > 0 ? ", " : "")

static void put_upvalue(lua_State *L, text *t, const mp_frame *f)
{
	lua_Debug ar;
	lua_pushvalue(L, f->base);
	const char *name = lua_getupvalue(L, -1, (int)f->i);
	if (name)
		lua_pop(L, 1);
	lua_getinfo(L, ">S", &ar);
	put(t, "%supvalue '%.*s' of function <%s:%d>", IN_WORDS(t), KEY_ROOM, name ? name : "?",
	    ar.short_src, ar.linedefined);
}

static void put_step(lua_State *L, text *t, const mp_frame *f)
{
	if (f->step == MP_UPVALUES)
		put_upvalue(L, t, f);
	else if (f->step == MP_META)
		put(t, "%smetatable", IN_WORDS(t));
	else if (f->step == MP_VALUE)  /* the key goes first, and the value lies above it */
		put(t, "%sa key of type %s", IN_WORDS(t), luaL_typename(L, f->base + 1));
	else
		put_key(L, t, f->base + 1);
}

static void put_path(lua_State *L, text *t, const mp_codec *c, const mp_place *at)
{
	if (at->nargs > 1)
		put(t, "argument %d", at->arg);
	for (size_t i = 0; i < at->nframes; i++) {
		if (at->nframes > 2 * PATH_ENDS && i == PATH_ENDS) {
			put(t, " ... (%d more) ... ", (int)(at->nframes - 2 * PATH_ENDS));
			i = at->nframes - PATH_ENDS;
		}
		put_step(L, t, &c->frames[i]);
	}
}

_Noreturn void mp_refuse(lua_State *L, const mp_codec *c, const mp_place *at, const char *what,
                         const char *hint)
{
	text t = { .n = 0 };
	luaL_checkstack(L, 10, "codec");
	put_path(L, &t, c, at);
	if (t.n > 0)
		lua_pushfstring(L, "%s: cannot send %s (at %s)%s", at->call, what, t.s, hint);
	else
		lua_pushfstring(L, "%s: cannot send %s%s", at->call, what, hint);
	luaL_where(L, 1);
	lua_insert(L, -2);
	lua_concat(L, 2);
	lua_error(L);
	for (;;)
		;  /* lua_error does not return, but is not declared so */
}

/* Does the metatable on top offer one of the methods that give a descriptor? */
static int has_descriptor(lua_State *L)
{
	lua_pushliteral(L, "__index");
	lua_rawget(L, -2);
	int found = 0;
	if (lua_istable(L, -1)) {
		lua_pushliteral(L, "getfd");
		lua_rawget(L, -2);
		lua_pushliteral(L, "fileno");
		lua_rawget(L, -3);
		found = !lua_isnil(L, -1) || !lua_isnil(L, -2);
		lua_pop(L, 2);
	}
	lua_pop(L, 1);
	return found;
}

static _Noreturn void refuse_userdata(lua_State *L, const mp_codec *c, const mp_place *at)
{
	char what[100] = "a userdata";
	const char *hint = "";
	luaL_checkstack(L, 10, "codec");
	if (luaL_testudata(L, -1, LUA_FILEHANDLE))
		mp_refuse(L, c, at, "a file", "; send its name, and open it there");
	if (lua_getmetatable(L, -1)) {
		lua_pushliteral(L, "__name");
		lua_rawget(L, -2);
		if (lua_type(L, -1) == LUA_TSTRING)
			snprintf(what, sizeof what, "a userdata of type '%.60s'", lua_tostring(L, -1));
		lua_pop(L, 1);
		if (has_descriptor(L))
			hint = "; make it in the process that uses it";
		lua_pop(L, 1);
	}
	mp_refuse(L, c, at, what, hint);
}

_Noreturn void mp_refuse_value(lua_State *L, const mp_codec *c, const mp_place *at)
{
	switch (lua_type(L, -1)) {
	case LUA_TTHREAD:
		mp_refuse(L, c, at, "a coroutine", "; send the function that it runs");
	case LUA_TLIGHTUSERDATA:
		mp_refuse(L, c, at, "a light userdata", "");
	case LUA_TFUNCTION:
		mp_refuse(L, c, at, "a C function that no module names",
		          "; call it from a Lua function");
	default:
		refuse_userdata(L, c, at);
	}
}
