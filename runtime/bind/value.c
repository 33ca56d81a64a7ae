/* value: mp.Value.
 *
 * SPDX-License-Identifier: MIT */
#include <string.h>

#include "../state/value.h"
#include "guard.h"
#include "kept.h"

static const char *const kinds[MP_V_KINDS] = { "i64", "f64", "bool", "any" };

/* ---- typed ------------------------------------------------------------------- */

/* The value at idx as the bits of a typed one. */
static uint64_t check(lua_State *L, int idx, enum mp_value_kind kind,
                      const char *call)
{
	int is;
	if (kind == MP_V_BOOL) {
		if (!lua_isboolean(L, idx))
			mp_misuse(L, call, "\"bool\" takes a boolean, got %s",
			          luaL_typename(L, idx));
		return (uint64_t)lua_toboolean(L, idx);
	}
	if (lua_type(L, idx) != LUA_TNUMBER)
		mp_misuse(L, call, "\"%s\" takes a number, got %s", kinds[kind],
		          luaL_typename(L, idx));
	if (kind == MP_V_F64) {
		uint64_t bits;
		lua_Number x = lua_tonumber(L, idx);
		memcpy(&bits, &x, sizeof bits);
		return bits;
	}
	lua_Integer i = lua_tointegerx(L, idx, &is);
	if (!is)
		mp_misuse(L, call, "\"i64\" takes whole numbers of 64 bits, got %s",
		          luaL_tolstring(L, idx, NULL));
	return (uint64_t)i;
}

static double as_float(uint64_t bits)
{
	double x;
	memcpy(&x, &bits, sizeof x);
	return x;
}

static int push_typed(lua_State *L, enum mp_value_kind kind, uint64_t bits)
{
	if (kind == MP_V_I64)
		lua_pushinteger(L, (lua_Integer)bits);
	else if (kind == MP_V_F64)
		lua_pushnumber(L, as_float(bits));
	else
		lua_pushboolean(L, bits != 0);
	return 1;
}

/* ---- any --------------------------------------------------------------------- */

/* Pushes a copy of the value, and under it what owns the memory that was read
 * into; *version is its. */
static int push_any(lua_State *L, mp_ref *r, const char *call, uint64_t *version)
{
	mp_reading rd;  /* large: no initialiser */
	int rc;
	mp_reading_init(&rd);
	while ((rc = mp_value_get(r->st->me, r->body, &rd.copy)) == MP_FULL)
		mp_reading_grow(L, &rd);
	*version = rd.copy.version;
	if (rc == MP_EMPTY)
		lua_pushnil(L);
	else
		mp_reading_push(L, r->st, &rd, call);
	return 1;
}

/* Waits for memory as a put does. 0, -EAGAIN: its version is another. */
static int set_any(lua_State *L, mp_ref *r, int idx, const char *call,
                   const uint64_t *expect)
{
	int rc;
	do {
		mp_given given;
		bool nil = lua_isnil(L, idx);
		if (!nil)
			mp_kept_encode(L, r->st, idx, call, &given);
		rc = mp_value_set(r->st->me, r->body, nil ? NULL : &given, expect);
		rc = mp_kept_outcome(L, r, rc, call);
	} while (rc == MP_FULL);
	return rc;
}

/* While it equals, as == says, what is expected: what comes in between counts,
 * and is looked at anew. Nothing else equals a table or function that was
 * sent: what comes out is a copy. */
static bool cas_any(lua_State *L, mp_ref *r, const char *call)
{
	int t = lua_type(L, 2), top = lua_gettop(L);
	if (t == LUA_TTABLE || t == LUA_TFUNCTION)
		mp_misuse(L, call, "a %s never equals the copy of it that is kept here; "
		          "hold get_lock(), then read and write", luaL_typename(L, 2));
	for (;;) {
		uint64_t version;
		push_any(L, r, call, &version);
		bool same = lua_rawequal(L, -1, 2);
		if (!same || set_any(L, r, 3, call, &version) == MP_OK)
			return same;
		lua_settop(L, top);
	}
}

/* ---- value, get, set ------------------------------------------------------------ */

static int push_value(lua_State *L, mp_ref *r, const char *call)
{
	const mp_value *v = r->body;
	uint64_t version;
	if (v->kind != MP_V_ANY)
		return push_typed(L, v->kind, mp_value_load(v));
	return push_any(L, r, call, &version);
}

static void set_value(lua_State *L, mp_ref *r, int idx, const char *call)
{
	mp_value *v = r->body;
	if (v->kind != MP_V_ANY)
		mp_value_store(v, check(L, idx, v->kind, call));
	else
		set_any(L, r, idx, call, NULL);
}

static bool is_value(lua_State *L, int idx)
{
	return lua_type(L, idx) == LUA_TSTRING && strcmp(lua_tostring(L, idx), "value") == 0;
}

static int value_index(lua_State *L)
{
	if (is_value(L, 2))
		return push_value(L, mp_ref_self(L, "Value.value"), "Value.value");
	lua_settop(L, 2);
	lua_rawget(L, lua_upvalueindex(2));
	return 1;
}

static int value_newindex(lua_State *L)
{
	if (!is_value(L, 2))
		mp_misuse(L, "Value", "there is no field %s to set, only value",
		          luaL_tolstring(L, 2, NULL));
	set_value(L, mp_ref_self(L, "Value.value"), 3, "Value.value");
	return 0;
}

static int value_get(lua_State *L)
{
	return push_value(L, mp_ref_self(L, "Value:get"), "Value:get");
}

static int value_set(lua_State *L)
{
	static const char call[] = "Value:set";
	mp_ref *r = mp_ref_self(L, call);
	if (lua_gettop(L) < 2)
		mp_misuse(L, call, "no value given (nil is one, if written)");
	set_value(L, r, 2, call);
	return 0;
}

/* ---- in one step ------------------------------------------------------------------ */

static int value_add(lua_State *L)
{
	static const char call[] = "Value:add";
	mp_value *v = mp_ref_self(L, call)->body;
	if (v->kind != MP_V_I64 && v->kind != MP_V_F64)
		mp_misuse(L, call, "\"%s\" cannot be added to; \"i64\" and \"f64\" can", kinds[v->kind]);
	uint64_t n = check(L, 2, v->kind, call);
	if (v->kind == MP_V_I64)
		lua_pushinteger(L, mp_value_add_int(v, (int64_t)n));
	else
		lua_pushnumber(L, mp_value_add_float(v, as_float(n)));
	return 1;
}

static int value_cas(lua_State *L)
{
	static const char call[] = "Value:cas";
	mp_ref *r = mp_ref_self(L, call);
	mp_value *v = r->body;
	bool done;
	if (lua_gettop(L) < 3)
		mp_misuse(L, call, "expected the old and the new value");
	if (v->kind == MP_V_ANY) {
		done = cas_any(L, r, call);
	} else {
		uint64_t old = check(L, 2, v->kind, call), new = check(L, 3, v->kind, call);
		done = v->kind == MP_V_F64 ? mp_value_cas_float(v, as_float(old), as_float(new))
		                           : mp_value_cas(v, old, new);
	}
	lua_pushboolean(L, done);
	return 1;
}

static int value_get_lock(lua_State *L)
{
	static const char call[] = "Value:get_lock";
	mp_ref *r = mp_ref_self(L, call);
	return mp_guard_push(L, r, &((mp_value *)r->body)->guard, call);
}

static int value_tostring(lua_State *L)
{
	mp_ref *r = mp_ref_test(L, 1, MP_T_VALUE);
	const mp_value *v = r && r->h ? r->body : NULL;
	if (!v) {
		lua_pushliteral(L, "Value (closed here)");
	} else if (v->kind == MP_V_ANY) {
		lua_pushliteral(L, "Value (any)");
	} else {
		push_typed(L, v->kind, mp_value_load(v));
		lua_pushfstring(L, "Value (%s: %s)", kinds[v->kind], luaL_tolstring(L, -1, NULL));
	}
	return 1;
}

static const luaL_Reg methods[] = {
	{ "get", value_get },
	{ "set", value_set },
	{ "add", value_add },
	{ "cas", value_cas },
	{ "get_lock", value_get_lock },
	{ "__index", value_index },
	{ "__newindex", value_newindex },
	{ "__tostring", value_tostring },
	{ NULL, NULL }
};

/* ---- making one ----------------------------------------------------------------- */

static enum mp_value_kind arg_kind(lua_State *L, const char *call)
{
	const char *name = lua_type(L, 1) == LUA_TSTRING ? lua_tostring(L, 1) : NULL;
	if (!name)
		mp_misuse(L, call, "the type must be a string such as \"i64\", got %s",
		          luaL_typename(L, 1));
	for (int k = 0; k < MP_V_KINDS; k++)
		if (strcmp(kinds[k], name) == 0)
			return (enum mp_value_kind)k;
	mp_misuse(L, call, "unknown type \"%s\" (there are i64, f64, bool, any)", name);
}

/* mp.Value(type, [init]) */
static int new_value(lua_State *L)
{
	static const char call[] = "mp.Value";
	enum mp_value_kind kind = arg_kind(L, call);
	mp_handle h;
	bool tried = false, init = !lua_isnoneornil(L, 2);
	int rc;
	if (init && kind != MP_V_ANY)
		check(L, 2, kind, call);
	mp_state *st = mp_state_of(L);
	mp_self *me = mp_state_self(L, st, call);
	do
		rc = mp_value_create(me, kind, &h);
	while (mp_make_room(L, rc, &tried));
	if (rc != MP_OK)
		return mp_fail(L, rc, call);
	mp_ref_push(L, st, h, true);
	if (init)
		set_value(L, lua_touserdata(L, -1), 2, call);
	return 1;
}

void mp_open_value(lua_State *L)
{
	mp_type_define(L, MP_T_VALUE, "Value", methods);
	lua_pushcfunction(L, new_value);
	lua_setfield(L, -2, "Value");
}
