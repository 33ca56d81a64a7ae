/* tally: counts values for flows, on the table mp.core; not for scripts.
 *
 *   core.tally([ways]) -> t     counts strings, numbers and booleans, in memory of
 *                               this process; equal ones are what Lua calls equal
 *   t:add(v, [n]) -> k | nil    n from 1 on; nil: it is none of these, or NaN
 *   t:words(text) -> n, k       each word of a text once; n: how many there were
 *                               k: how many different values have a count now
 *   t:size(), t:total(), t:bytes()    values that it knows; their counts together;
 *                               bytes that it needs for them, its ways' included
 *   t:read(list, [from], [max]) -> n, next   list[1..n] = v1, n1, v2, n2, …, in the
 *                               order in which they first came, from the value
 *                               `from` (1) on, `max` (256) of them at most; nil
 *                               when there are no more
 *   t:empty()                   all counts are 0; what it knows it knows
 *   t:clear()                   forgets all, keeps its memory
 *   t:pack([way]) -> bytes, total | nil    all counts, to be sent
 *   t:unpack(bytes) -> total    adds them
 *
 * Its ways are more tallies, from 1 on, which get what it has counted:
 *   t:pour(aim)                 moves all counts; aim(v) -> way, key is called once
 *                               for a value, until t:clear(). If it raises, nothing
 *                               was moved.
 *   t:into(way, key, [n])       counts there at once
 *
 * Without memory a call raises; then counts are missing, and all raise but
 * t:clear().
 *
 * SPDX-License-Identifier: MIT */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../base/clock.h"
#include "../text/route.h"
#include "../text/tally_pack.h"
#include "bind.h"

enum { MOST = 256, MOST_WAYS = 65536 };

static const char type[] = "mp.core.tally";

/* Upvalue 1 of all methods is the metatable: comparing it is half the cost of
 * luaL_checkudata, which looks it up by its name. */
static mp_route *self(lua_State *L)
{
	if (!lua_getmetatable(L, 1) || !lua_rawequal(L, -1, lua_upvalueindex(1)))
		luaL_typeerror(L, 1, type);
	lua_pop(L, 1);
	return lua_touserdata(L, 1);
}

static _Noreturn void no_memory(lua_State *L, const char *call)
{
	luaL_error(L, "%s: not enough memory", call);
	abort();  /* it does not return */
}

static mp_route *sound(lua_State *L, const char *call)
{
	mp_route *r = self(L);
	if (r->from.broken)
		no_memory(L, call);
	return r;
}

/* ---- values ------------------------------------------------------------------------ */

/* Its number in t; 0: no memory, -1: it is none that can be counted. */
static int64_t number_of(lua_State *L, int idx, mp_tally *t)
{
	switch (lua_type(L, idx)) {
	case LUA_TSTRING: {
		size_t len;
		const char *s = lua_tolstring(L, idx, &len);
		return len > MP_TALLY_LONGEST ? -1 : (int64_t)mp_tally_string(t, s, len);
	}
	case LUA_TNUMBER: {
		lua_Number x = lua_tonumber(L, idx);
		if (lua_isinteger(L, idx))
			return mp_tally_scalar(t, MP_TALLY_INTEGER, (uint64_t)lua_tointeger(L, idx));
		return x != x ? -1 : (int64_t)mp_tally_float(t, x);
	}
	case LUA_TBOOLEAN:
		return mp_tally_scalar(t, MP_TALLY_BOOLEAN, (uint64_t)lua_toboolean(L, idx));
	default:
		return -1;
	}
}

static void push(lua_State *L, const mp_tally *t, const mp_tally_entry *e)
{
	lua_Number x;
	switch (e->len) {
	case MP_TALLY_INTEGER:
		lua_pushinteger(L, (lua_Integer)e->head);
		break;
	case MP_TALLY_FLOAT:
		memcpy(&x, &e->head, sizeof x);
		lua_pushnumber(L, x);
		break;
	case MP_TALLY_BOOLEAN:
		lua_pushboolean(L, e->head != 0);
		break;
	default:
		lua_pushlstring(L, mp_tally_text(t, e), e->len);
	}
}

/* The number in t of a value that must be one that can be counted. */
static uint32_t demand(lua_State *L, int idx, mp_tally *t, const char *call)
{
	int64_t id = number_of(L, idx, t);
	if (id < 0 && lua_type(L, idx) == LUA_TNUMBER)
		mp_misuse(L, call, "NaN cannot be counted");
	if (id < 0)
		mp_misuse(L, call, "a string, a number or a boolean expected, got %s",
		          luaL_typename(L, idx));
	return (uint32_t)id;
}

static lua_Integer times(lua_State *L, int arg, const char *call)
{
	lua_Integer n = luaL_optinteger(L, arg, 1);
	if (n < 1)
		mp_misuse(L, call, "n must be at least 1, got %I", (LUAI_UACINT)n);
	return n;
}

static mp_tally *way(lua_State *L, mp_route *r, int idx, const char *call)
{
	lua_Integer k = lua_tointeger(L, idx);
	if (k < 1 || (lua_Unsigned)k > r->nways)
		mp_misuse(L, call, "%I ways, and none is %s", (LUAI_UACINT)r->nways,
		          luaL_tolstring(L, idx, NULL));
	return &r->ways[k - 1];
}

/* ---- counting ---------------------------------------------------------------------- */

static int tally_add(lua_State *L)
{
	static const char call[] = "tally:add";
	mp_route *r = sound(L, call);
	lua_Integer n = times(L, 3, call);
	int64_t id = number_of(L, 2, &r->from);
	if (id >= 0 && !mp_tally_count(&r->from, (uint32_t)id, n))
		no_memory(L, call);
	if (id >= 0)
		lua_pushinteger(L, (lua_Integer)r->from.touches);
	else
		lua_pushnil(L);
	return 1;
}

static int tally_words(lua_State *L)
{
	static const char call[] = "tally:words";
	mp_route *r = sound(L, call);
	size_t len;
	const char *text = luaL_checklstring(L, 2, &len);
	int64_t before = r->from.total;
	if (!mp_tally_words(&r->from, text, len))
		no_memory(L, call);
	lua_pushinteger(L, r->from.total - before);
	lua_pushinteger(L, (lua_Integer)r->from.touches);
	return 2;
}

static int tally_empty(lua_State *L)
{
	mp_route_empty(sound(L, "tally:empty"));
	return 0;
}

static int tally_clear(lua_State *L)
{
	mp_route_clear(self(L));
	return 0;
}

/* ---- reading ----------------------------------------------------------------------- */

static int tally_size(lua_State *L)
{
	lua_pushinteger(L, (lua_Integer)self(L)->from.size);
	return 1;
}

static int tally_total(lua_State *L)
{
	lua_pushinteger(L, self(L)->from.total);
	return 1;
}

static int tally_bytes(lua_State *L)
{
	lua_pushinteger(L, (lua_Integer)mp_route_bytes(self(L)));
	return 1;
}

static int tally_read(lua_State *L)
{
	static const char call[] = "tally:read";
	const mp_tally *t = &sound(L, call)->from;
	lua_Integer from = luaL_optinteger(L, 3, 1), max = luaL_optinteger(L, 4, MOST), n = 0;
	luaL_checktype(L, 2, LUA_TTABLE);
	if (from < 1 || max < 1)
		mp_misuse(L, call, "from and max must be at least 1");
	size_t i = (size_t)from - 1;
	for (; i < t->size && n < max; i++) {
		const mp_tally_entry *e = &t->entries[i];
		if (!e->n)
			continue;
		push(L, t, e);
		lua_rawseti(L, 2, 2 * n + 1);
		lua_pushinteger(L, e->n);
		lua_rawseti(L, 2, 2 * ++n);
	}
	lua_pushinteger(L, 2 * n);
	if (i < t->size)
		lua_pushinteger(L, (lua_Integer)i + 1);
	else
		lua_pushnil(L);
	return 2;
}

/* ---- sending ----------------------------------------------------------------------- */

static int tally_pack(lua_State *L)
{
	static const char call[] = "tally:pack";
	mp_route *r = sound(L, call);
	const mp_tally *t = lua_isnoneornil(L, 2) ? &r->from : way(L, r, 2, call);
	size_t size = mp_tally_packed(t);
	luaL_Buffer b;
	if (!size) {
		lua_pushnil(L);
		return 1;
	}
	mp_tally_pack(t, luaL_buffinitsize(L, &b, size));
	luaL_pushresultsize(&b, size);
	lua_pushinteger(L, t->total);
	return 2;
}

static int tally_unpack(lua_State *L)
{
	static const char call[] = "tally:unpack";
	mp_tally *t = &sound(L, call)->from;
	size_t len;
	const char *bytes = luaL_checklstring(L, 2, &len);
	int64_t before = t->total;
	int rc = mp_tally_unpack(t, bytes, len);
	if (rc == MP_TALLY_NOMEM)
		no_memory(L, call);
	if (rc)
		mp_misuse(L, call, "no tally has packed that");
	lua_pushinteger(L, t->total - before);
	return 1;
}

/* ---- ways -------------------------------------------------------------------------- */

/* Calls aim at index 2 for a value. */
static void ask(lua_State *L, mp_route *r, uint32_t id, const char *call)
{
	lua_pushvalue(L, 2);
	push(L, &r->from, &r->from.entries[id - 1]);
	lua_call(L, 1, 2);
	mp_tally *to = way(L, r, -2, call);
	uint32_t key = demand(L, -1, to, call);
	lua_pop(L, 2);
	if (!key)
		mp_tally_break(&r->from);
	else
		mp_route_aim(r, id, (uint32_t)(to - r->ways), key);
}

static int tally_pour(lua_State *L)
{
	static const char call[] = "tally:pour";
	mp_route *r = sound(L, call);
	size_t at = 0;
	uint32_t id;
	luaL_checktype(L, 2, LUA_TFUNCTION);
	lua_settop(L, 2);
	while ((id = mp_route_unknown(r, &at)) != 0)
		ask(L, r, id, call);
	if (r->from.broken || !mp_route_pour(r))
		no_memory(L, call);
	return 0;
}

static int tally_into(lua_State *L)
{
	static const char call[] = "tally:into";
	mp_route *r = sound(L, call);
	mp_tally *to = way(L, r, 2, call);
	lua_Integer n = times(L, 4, call);
	if (!mp_tally_count(to, demand(L, 3, to, call), n)) {
		mp_tally_break(&r->from);
		no_memory(L, call);
	}
	return 0;
}

/* ---- the type ---------------------------------------------------------------------- */

static int tally_gc(lua_State *L)
{
	mp_route_free(self(L));
	return 0;
}

static int core_tally(lua_State *L)
{
	static const char call[] = "core.tally";
	lua_Integer ways = luaL_optinteger(L, 1, 0);
	if (ways < 0 || ways > MOST_WAYS)
		mp_misuse(L, call, "0 to %d ways, not %I", MOST_WAYS, (LUAI_UACINT)ways);
	mp_route *r = lua_newuserdatauv(L, sizeof *r, 0);
	*r = (mp_route){ .nways = 0 };
	luaL_setmetatable(L, type);
	if (!mp_route_init(r, (size_t)ways, (uint64_t)mp_now() ^ (uint64_t)(uintptr_t)r))
		no_memory(L, call);
	return 1;
}

void mp_open_tally(lua_State *L)
{
	static const luaL_Reg methods[] = {
		{ "add", tally_add }, { "words", tally_words }, { "empty", tally_empty },
		{ "clear", tally_clear }, { "size", tally_size }, { "total", tally_total },
		{ "bytes", tally_bytes }, { "read", tally_read }, { "pack", tally_pack },
		{ "unpack", tally_unpack }, { "pour", tally_pour },
		{ "into", tally_into }, { NULL, NULL }
	};
	luaL_newmetatable(L, type);
	lua_pushvalue(L, -1);
	lua_pushcclosure(L, tally_gc, 1);
	lua_setfield(L, -2, "__gc");
	luaL_newlibtable(L, methods);
	lua_pushvalue(L, -2);
	luaL_setfuncs(L, methods, 1);
	lua_setfield(L, -2, "__index");
	lua_pop(L, 1);
	lua_getfield(L, -1, "core");
	lua_pushcfunction(L, core_tally);
	lua_setfield(L, -2, "tally");
	lua_pop(L, 1);
}
