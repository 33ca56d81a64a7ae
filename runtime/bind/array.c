/* array: mp.Array. Indices count from 1.
 *
 * SPDX-License-Identifier: MIT */
#include <float.h>
#include <limits.h>
#include <math.h>
#include <string.h>

#include "../state/array.h"
#include "args.h"
#include "guard.h"

/* ---- elements -------------------------------------------------------------- */

static int push(lua_State *L, const mp_array *a, uint64_t i)
{
	mp_element e = mp_array_get(a, i);
	if (mp_kind_float(a->kind))
		lua_pushnumber(L, e.f);
	else
		lua_pushinteger(L, e.i);
	return 1;
}

static _Noreturn void bad_element(lua_State *L, int idx, enum mp_kind kind,
                                  const char *call, lua_Integer at)
{
	const mp_kind_info *k = &mp_kinds[kind];
	const char *place = at ? lua_pushfstring(L, "element %I: ", (LUAI_UACINT)at) : "";
	if (lua_type(L, idx) != LUA_TNUMBER)
		mp_misuse(L, call, "%sexpected a number, got %s", place,
		          luaL_typename(L, idx));
	lua_Number x = lua_tonumber(L, idx);
	const char *got = luaL_tolstring(L, idx, NULL);
	if (mp_kind_float(kind))
		mp_misuse(L, call, "%s%s is out of the range of \"%s\" (-3.4e38..3.4e38)",
		          place, got, k->name);
	if (!(floor(x) == x))
		mp_misuse(L, call, "%s%s is not a whole number, and \"%s\" holds no other",
		          place, got, k->name);
	mp_misuse(L, call, "%s%s is out of the range of \"%s\" (%I..%I)", place, got,
	          k->name, (LUAI_UACINT)k->min, (LUAI_UACINT)k->max);
}

/* The value at idx as an element; at: its place in a list, 0: it is alone. */
static mp_element check(lua_State *L, int idx, enum mp_kind kind,
                        const char *call, lua_Integer at)
{
	const mp_kind_info *k = &mp_kinds[kind];
	mp_element e = { 0 };
	int ok = lua_type(L, idx) == LUA_TNUMBER;
	if (ok && mp_kind_float(kind)) {
		e.f = lua_tonumber(L, idx);
		ok = kind == MP_F64 || !isfinite(e.f) || fabs(e.f) <= FLT_MAX;
	} else if (ok) {
		e.i = lua_tointegerx(L, idx, &ok);
		ok = ok && e.i >= k->min && e.i <= k->max;
	}
	if (!ok)
		bad_element(L, idx, kind, call, at);
	return e;
}

/* ---- single elements --------------------------------------------------------- */

static _Noreturn void outside(lua_State *L, const mp_array *a, const char *call)
{
	const char *i = luaL_tolstring(L, 2, NULL);
	lua_Number x = lua_tonumber(L, 2);
	if (!(floor(x) == x))
		mp_misuse(L, call, "index %s is not a whole number", i);
	mp_misuse(L, call, "index %s is out of range 1..%I", i, (LUAI_UACINT)a->n);
}

/* Is it a C function, such as what ipairs goes on by, that looks for the
 * element after the last? For it that is the end; in a script it is a mistake. */
static bool asked_by_c(lua_State *L)
{
	lua_Debug ar;
	return lua_getstack(L, 1, &ar) && lua_getinfo(L, "S", &ar) && *ar.what == 'C';
}

/* a[i]; else a method. */
static int array_index(lua_State *L)
{
	int is;
	if (lua_type(L, 2) != LUA_TNUMBER) {
		lua_settop(L, 2);
		lua_rawget(L, lua_upvalueindex(2));
		return 1;
	}
	const mp_array *a = mp_ref_self(L, "Array")->body;
	lua_Unsigned i = (lua_Unsigned)lua_tointegerx(L, 2, &is) - 1;
	if (is && i < a->n)
		return push(L, a, i);
	if (!is || i != a->n || !asked_by_c(L))
		outside(L, a, "Array");
	lua_pushnil(L);
	return 1;
}

static int array_newindex(lua_State *L)
{
	static const char call[] = "Array";
	mp_array *a = mp_ref_self(L, call)->body;
	int is;
	lua_Unsigned i = (lua_Unsigned)lua_tointegerx(L, 2, &is) - 1;
	if (lua_type(L, 2) != LUA_TNUMBER)
		mp_misuse(L, call, "expected an index, got %s", luaL_tolstring(L, 2, NULL));
	if (!is || i >= a->n)
		outside(L, a, call);
	mp_array_set(a, i, check(L, 3, a->kind, call, 0));
	return 0;
}

static int array_len(lua_State *L)
{
	const mp_array *a = mp_ref_self(L, "Array")->body;
	lua_pushinteger(L, (lua_Integer)a->n);
	return 1;
}

static int next_element(lua_State *L)
{
	const mp_array *a = mp_ref_self(L, "Array")->body;
	lua_Unsigned i = (lua_Unsigned)lua_tointeger(L, 2);
	if (i >= a->n)
		return 0;
	lua_pushinteger(L, (lua_Integer)i + 1);
	return push(L, a, i) + 1;
}

static int array_pairs(lua_State *L)
{
	mp_ref_self(L, "Array");
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_pushvalue(L, lua_upvalueindex(2));
	lua_pushcclosure(L, next_element, 2);
	lua_pushvalue(L, 1);
	lua_pushinteger(L, 0);
	return 3;
}

/* ---- many -------------------------------------------------------------------- */

/* Elements from..from+n-1, counted from 0, as a list. */
static int push_list(lua_State *L, const mp_array *a, uint64_t from, uint64_t n)
{
	lua_createtable(L, n > INT_MAX ? INT_MAX : (int)n, 0);
	for (uint64_t i = 0; i < n; i++) {
		push(L, a, from + i);
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	return 1;
}

static int array_totable(lua_State *L)
{
	const mp_array *a = mp_ref_self(L, "Array:totable")->body;
	return push_list(L, a, 0, a->n);
}

/* A bound of slice, as string.sub takes it: negative from the end, cut to fit. */
static lua_Integer bound(lua_State *L, int arg, lua_Integer n, lua_Integer def)
{
	static const char call[] = "Array:slice";
	int is;
	if (lua_isnoneornil(L, arg))
		return def;
	lua_Integer i = lua_tointegerx(L, arg, &is);
	if (!is || lua_type(L, arg) != LUA_TNUMBER)
		mp_misuse(L, call, "expected a whole number, got %s",
		          luaL_tolstring(L, arg, NULL));
	if (i < 0)
		i = i < -n ? 0 : i + n + 1;
	return i;
}

/* slice([i = 1], [j = -1]) -> list */
static int array_slice(lua_State *L)
{
	const mp_array *a = mp_ref_self(L, "Array:slice")->body;
	lua_Integer n = (lua_Integer)a->n;
	lua_Integer i = bound(L, 2, n, 1), j = bound(L, 3, n, n);
	i = i < 1 ? 1 : i;
	j = j > n ? n : j;
	return push_list(L, a, (uint64_t)i - 1, i > j ? 0 : (uint64_t)(j - i) + 1);
}

static int array_fill(lua_State *L)
{
	static const char call[] = "Array:fill";
	mp_array *a = mp_ref_self(L, call)->body;
	mp_array_fill(a, check(L, 2, a->kind, call, 0));
	return 0;
}

/* All of a list is checked before any of it is stored. */
static void check_list(lua_State *L, int list, lua_Integer n, enum mp_kind kind,
                       const char *call)
{
	for (lua_Integer i = 1; i <= n; i++) {
		lua_rawgeti(L, list, i);
		check(L, lua_gettop(L), kind, call, i);
		lua_pop(L, 1);
	}
}

static void store_list(lua_State *L, int list, lua_Integer n, mp_array *a,
                       uint64_t at, const char *call)
{
	for (lua_Integer i = 1; i <= n; i++) {
		lua_rawgeti(L, list, i);
		mp_array_set(a, at++, check(L, lua_gettop(L), a->kind, call, i));
		lua_pop(L, 1);
	}
}

/* set(i, list): a[i], a[i + 1], ... */
static int array_set(lua_State *L)
{
	static const char call[] = "Array:set";
	mp_array *a = mp_ref_self(L, call)->body;
	int is;
	lua_Integer i = lua_tointegerx(L, 2, &is);
	if (lua_type(L, 2) != LUA_TNUMBER)
		mp_misuse(L, call, "expected an index, got %s", luaL_typename(L, 2));
	if (lua_type(L, 3) != LUA_TTABLE)
		mp_misuse(L, call, "expected a list, got %s", luaL_typename(L, 3));
	lua_Integer n = mp_arg_list(L, 3, call), room = (lua_Integer)a->n;
	if (!is || i < 1 || i - 1 > room)
		outside(L, a, call);
	if (n > room - (i - 1))
		mp_misuse(L, call, "%I elements from index %I on go past the end: "
		          "it has %I", (LUAI_UACINT)n, (LUAI_UACINT)i, (LUAI_UACINT)room);
	check_list(L, 3, n, a->kind, call);
	store_list(L, 3, n, a, (uint64_t)i - 1, call);
	return 0;
}

static int array_get_lock(lua_State *L)
{
	static const char call[] = "Array:get_lock";
	mp_ref *r = mp_ref_self(L, call);
	return mp_guard_push(L, r, &((mp_array *)r->body)->guard, call);
}

static int array_tostring(lua_State *L)
{
	mp_ref *r = mp_ref_test(L, 1, MP_T_ARRAY);
	const mp_array *a = r && r->h ? r->body : NULL;
	if (a)
		lua_pushfstring(L, "Array (%I of %s)", (LUAI_UACINT)a->n,
		                mp_kinds[a->kind].name);
	else
		lua_pushliteral(L, "Array (closed here)");
	return 1;
}

static const luaL_Reg methods[] = {
	{ "fill", array_fill },
	{ "set", array_set },
	{ "slice", array_slice },
	{ "totable", array_totable },
	{ "get_lock", array_get_lock },
	{ "__index", array_index },
	{ "__newindex", array_newindex },
	{ "__len", array_len },
	{ "__pairs", array_pairs },
	{ "__tostring", array_tostring },
	{ NULL, NULL }
};

/* ---- making one ----------------------------------------------------------------- */

static enum mp_kind arg_kind(lua_State *L, const char *call)
{
	const char *name = lua_type(L, 1) == LUA_TSTRING ? lua_tostring(L, 1) : NULL;
	luaL_Buffer b;
	if (!name)
		mp_misuse(L, call, "the type must be a string such as \"i32\", got %s",
		          luaL_typename(L, 1));
	for (int k = 0; k < MP_KINDS; k++)
		if (strcmp(mp_kinds[k].name, name) == 0)
			return (enum mp_kind)k;
	luaL_buffinit(L, &b);
	for (int k = 0; k < MP_KINDS; k++) {
		luaL_addstring(&b, k ? ", " : "");
		luaL_addstring(&b, mp_kinds[k].name);
	}
	luaL_pushresult(&b);
	mp_misuse(L, call, "unknown type \"%s\" (there are %s)", name,
	          lua_tostring(L, -1));
}

static int new_array(lua_State *L)
{
	static const char call[] = "mp.Array";
	enum mp_kind kind = arg_kind(L, call);
	bool list = lua_type(L, 2) == LUA_TTABLE, tried = false;
	mp_handle h;
	int rc;
	if (!list && lua_type(L, 2) != LUA_TNUMBER)
		mp_misuse(L, call, "expected a size or a list, got %s", luaL_typename(L, 2));
	uint64_t n = list ? (uint64_t)mp_arg_list(L, 2, call)
	                  : mp_arg_size(L, 2, call, "the size");
	if (list)
		check_list(L, 2, (lua_Integer)n, kind, call);
	mp_state *st = mp_state_of(L);
	mp_self *me = mp_state_self(L, st, call);
	do
		rc = mp_array_create(me, kind, n, &h);
	while (mp_make_room(L, rc, &tried));
	if (rc != MP_OK)
		return mp_no_room(L, me, rc, n, mp_kinds[kind].size, call);
	mp_ref_push(L, st, h, true);
	if (list)
		store_list(L, 2, (lua_Integer)n, mp_array_body(me->shm, h), 0, call);
	return 1;
}

void mp_open_array(lua_State *L)
{
	mp_type_define(L, MP_T_ARRAY, "Array", methods);
	lua_pushcfunction(L, new_array);
	lua_setfield(L, -2, "Array");
}
