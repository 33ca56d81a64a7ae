/* dict: mp.Dict. Keys go to the core as they are, values by the codec.
 *
 * SPDX-License-Identifier: MIT */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "../state/dict.h"
#include "kept.h"

/* ---- keys ---------------------------------------------------------------------- */

enum { KEY_INTEGER = MP_KEY_HANDLE + 1, KEY_FLOAT, KEY_BOOLEAN, KEY_STRING };

typedef struct key {
	mp_key core;
	bool none;                 /* nil or NaN: nothing is ever there */
	union {
		lua_Integer integer;
		lua_Number number;
		mp_handle handle;
		uint8_t boolean;
	} as;
} key;

static void set_key(key *k, uint32_t kind, const void *data, size_t len)
{
	k->core = (mp_key){ data, (uint32_t)len, kind };
}

/* Floats that are integers are those integers, as in a table. */
static void number_key(lua_State *L, int idx, key *k)
{
	lua_Number x = lua_tonumber(L, idx);
	lua_Integer i = 0;
	if (lua_isinteger(L, idx) || (lua_numbertointeger(x, &i) && (lua_Number)i == x)) {
		k->as.integer = lua_isinteger(L, idx) ? lua_tointeger(L, idx) : i;
		set_key(k, KEY_INTEGER, &k->as.integer, sizeof k->as.integer);
	} else if (isnan(x)) {
		k->none = true;
	} else {
		k->as.number = x;
		set_key(k, KEY_FLOAT, &k->as.number, sizeof x);
	}
}

static void object_key(lua_State *L, int idx, const char *call, key *k)
{
	mp_ref *r = mp_ref_test(L, idx, MP_T_NONE);
	if (!r)
		mp_misuse(L, call, "a %s cannot be a key: what travels is a copy, and no "
		          "copy is the same; use a string or a number", luaL_typename(L, idx));
	if (!r->h)
		mp_misuse(L, call, "the key is an object that is closed here");
	k->as.handle = r->h;
	set_key(k, MP_KEY_HANDLE, &k->as.handle, sizeof k->as.handle);
}

/* The key at idx; k points into itself and into the string. */
static void read_key(lua_State *L, int idx, const char *call, key *k)
{
	size_t len;
	const char *s;
	k->none = false;
	switch (lua_type(L, idx)) {
	case LUA_TSTRING:
		s = lua_tolstring(L, idx, &len);
		if (len > UINT32_MAX)
			mp_misuse(L, call, "the key is longer than 4 GiB");
		set_key(k, KEY_STRING, s, len);
		break;
	case LUA_TNUMBER:
		number_key(L, idx, k);
		break;
	case LUA_TBOOLEAN:
		k->as.boolean = (uint8_t)lua_toboolean(L, idx);
		set_key(k, KEY_BOOLEAN, &k->as.boolean, 1);
		break;
	case LUA_TNIL:
	case LUA_TNONE:
		k->none = true;
		break;
	default:
		object_key(L, idx, call, k);
	}
}

/* One that something can be stored at. */
static void need_key(lua_State *L, int idx, const char *call, key *k)
{
	read_key(L, idx, call, k);
	if (k->none)
		mp_misuse(L, call, lua_isnoneornil(L, idx) ? "the key is nil" : "the key is NaN");
}

static void push_key(lua_State *L, mp_state *st, const mp_shown *x)
{
	const unsigned char *p = mp_shown_key(x);
	key k;
	if (x->kind != KEY_STRING)
		memcpy(&k.as, p, x->keylen);
	switch (x->kind) {
	case KEY_STRING: lua_pushlstring(L, (const char *)p, x->keylen); break;
	case KEY_INTEGER: lua_pushinteger(L, k.as.integer); break;
	case KEY_FLOAT: lua_pushnumber(L, k.as.number); break;
	case KEY_BOOLEAN: lua_pushboolean(L, k.as.boolean); break;
	default: mp_ref_push(L, st, k.as.handle, false);
	}
}

/* ---- one entry ------------------------------------------------------------------ */

/* Sets d[k] to the value at idx, or removes it for nil. As mp_dict_set. */
static int store(lua_State *L, mp_ref *r, const key *k, int idx, const uint64_t *expect,
                 const char *call)
{
	mp_given v;
	bool none = lua_isnil(L, idx);
	int rc;
	do {
		if (!none)
			mp_kept_encode(L, r->st, idx, call, &v);
		rc = mp_dict_set(r->st->me, r->body, &k->core, none ? NULL : &v, expect);
		if (rc > MP_OK && rc != MP_EMPTY)
			rc = mp_kept_outcome(L, r, rc, call);
	} while (rc == MP_FULL);
	return rc;
}

typedef int read_fn(mp_self *, mp_store *, const mp_key *, mp_copy *);

/* Pushes what is at k, or nothing; false: there is nothing. Its version is in
 * *version then as well. */
static bool fetch(lua_State *L, mp_ref *r, const key *k, read_fn *fn, uint64_t *version,
                  const char *call)
{
	mp_reading rd;
	int rc = MP_EMPTY, top = lua_gettop(L);
	*version = 0;
	mp_reading_init(&rd);
	if (k->none)
		return false;
	while ((rc = fn(r->st->me, r->body, &k->core, &rd.copy)) == MP_FULL) {
		lua_settop(L, top);
		mp_reading_grow(L, &rd);
	}
	if (rc == MP_OK) {
		*version = rd.copy.version;
		mp_reading_push(L, r->st, &rd, call);
		lua_insert(L, top + 1);
	}
	lua_settop(L, top + (rc == MP_OK));
	return rc == MP_OK;
}

/* (d, key, default) -> value or default */
static int read_or(lua_State *L, read_fn *fn, const char *call)
{
	mp_ref *r = mp_ref_self(L, call);
	uint64_t version;
	key k;
	read_key(L, 2, call, &k);
	lua_settop(L, 3);
	fetch(L, r, &k, fn, &version, call);
	return 1;
}

static int dict_get(lua_State *L)
{
	return read_or(L, mp_dict_get, "Dict:get");
}

static int dict_pop(lua_State *L)
{
	return read_or(L, mp_dict_pop, "Dict:pop");
}

static int dict_index(lua_State *L)
{
	static const char call[] = "Dict";
	uint64_t version;
	key k;
	mp_ref *r;
	if (mp_kept_method(L, 2))
		return 1;
	r = mp_ref_self(L, call);
	read_key(L, 2, call, &k);
	return fetch(L, r, &k, mp_dict_get, &version, call);
}

static int set(lua_State *L, const char *call)
{
	mp_ref *r = mp_ref_self(L, call);
	key k;
	need_key(L, 2, call, &k);
	if (lua_gettop(L) < 3)
		mp_misuse(L, call, "no value given (nil, which removes the key, is one if written)");
	store(L, r, &k, 3, NULL, call);
	return 0;
}

static int dict_set(lua_State *L)
{
	return set(L, "Dict:set");
}

static int dict_newindex(lua_State *L)
{
	return set(L, "Dict");
}

static int has(lua_State *L, const char *call)
{
	mp_ref *r = mp_ref_self(L, call);
	mp_copy none = { .data = NULL, .room = 0 };
	bool is = false;
	key k;
	read_key(L, 2, call, &k);
	/* With no room nothing is copied, unless there is nothing to copy. */
	if (!k.none)
		is = mp_dict_get(r->st->me, r->body, &k.core, &none) != MP_EMPTY;
	lua_pushboolean(L, is);
	return 1;
}

static int dict_has(lua_State *L)
{
	return has(L, "Dict:has");
}

static int dict_contains(lua_State *L)
{
	return has(L, "Dict:contains");
}

static int dict_setdefault(lua_State *L)
{
	static const char call[] = "Dict:setdefault";
	static const uint64_t absent = 0;
	mp_ref *r = mp_ref_self(L, call);
	uint64_t version;
	key k;
	need_key(L, 2, call, &k);
	for (;;) {
		lua_settop(L, 3);
		if (fetch(L, r, &k, mp_dict_get, &version, call) || lua_isnil(L, 3))
			return 1;
		/* Then it is read, which gives a copy as any later read does. */
		store(L, r, &k, 3, &absent, call);
	}
}

/* ---- update ------------------------------------------------------------------------ */

/* Stack: d, key, f, the version of what f was given, what f returned. */
enum { VERSION = 4 };

static const char update_call[] = "Dict:update";

/* Puts f and what is at the key now on the stack. */
static void prepare(lua_State *L, mp_ref *r, const key *k)
{
	uint64_t version;
	lua_settop(L, 3);
	lua_pushnil(L);
	lua_pushvalue(L, 3);
	if (!fetch(L, r, k, mp_dict_get, &version, update_call))
		lua_pushnil(L);
	lua_pushinteger(L, (lua_Integer)version);
	lua_replace(L, VERSION);
}

/* f has returned. true: what it returned is there, and on top. */
static bool finish(lua_State *L, mp_ref *r, const key *k)
{
	uint64_t version = (uint64_t)lua_tointeger(L, VERSION);
	if (lua_gettop(L) == VERSION)
		mp_misuse(L, update_call, "the function returned nothing; it must return the "
		          "new value, or nil to remove the key");
	lua_settop(L, VERSION + 1);
	return store(L, r, k, VERSION + 1, &version, update_call) != -EAGAIN;
}

static int updated(lua_State *L, int status, lua_KContext called);

/* Until nobody set the key while f worked. */
static int update(lua_State *L, bool called)
{
	mp_ref *r = mp_ref_self(L, update_call);
	key k;
	need_key(L, 2, update_call, &k);
	while (!called || !finish(L, r, &k)) {
		prepare(L, r, &k);
		called = true;
		lua_callk(L, 1, LUA_MULTRET, called, updated);
		r = mp_ref_self(L, update_call);  /* f may have closed it */
	}
	return 1;
}

static int updated(lua_State *L, int status, lua_KContext called)
{
	(void)status;
	return update(L, called);
}

/* Sets every pair of the table at idx. */
static void merge(lua_State *L, mp_ref *r, int idx, const char *call)
{
	key k;
	lua_pushnil(L);
	while (lua_next(L, idx)) {
		need_key(L, -2, call, &k);
		store(L, r, &k, lua_gettop(L), NULL, call);
		lua_pop(L, 1);
	}
}

/* Before the first of them is set: can all of them be? */
static void check_pairs(lua_State *L, mp_ref *r, int idx, const char *call)
{
	key k;
	mp_given v;
	lua_pushnil(L);
	while (lua_next(L, idx)) {
		int t = lua_type(L, -1);
		need_key(L, -2, call, &k);
		if (t != LUA_TBOOLEAN && t != LUA_TNUMBER && t != LUA_TSTRING)
			mp_kept_encode(L, r->st, lua_gettop(L), call, &v);
		lua_pop(L, 1);
	}
}

/* Pushes the dict as a table. */
static void push_table(lua_State *L, mp_ref *r, const char *call)
{
	mp_reading rd;
	const mp_shown *x;
	int top = lua_gettop(L);
	mp_kept_show(L, r, 0, UINT64_MAX, MP_SHOW_KEYS | MP_SHOW_VALUES, &rd);
	lua_createtable(L, 0, (int)rd.copy.len);
	x = mp_shown_first(&rd.copy);
	for (uint32_t i = 0; i < rd.copy.len; i++, x = mp_shown_next(x)) {
		push_key(L, r->st, x);
		mp_shown_push(L, r->st, x, call);
		lua_rawset(L, -3);
	}
	lua_replace(L, top + 1);
	lua_settop(L, top + 1);
}

/* A table or a Dict at idx: pushes a table. */
static bool push_pairs(lua_State *L, int idx, const char *call)
{
	mp_ref *other = mp_ref_test(L, idx, MP_T_DICT);
	if (other && !other->h)
		mp_misuse(L, call, "the other Dict is closed here");
	if (other)
		push_table(L, other, call);
	else if (lua_istable(L, idx))
		lua_pushvalue(L, idx);
	else
		return false;
	return true;
}

static int dict_update(lua_State *L)
{
	mp_ref *r = mp_ref_self(L, update_call);
	if (lua_gettop(L) == 2 && push_pairs(L, 2, update_call)) {
		check_pairs(L, r, 3, update_call);
		merge(L, r, 3, update_call);
		return 0;
	}
	if (!lua_isfunction(L, 3) && !luaL_getmetafield(L, 3, "__call"))
		mp_misuse(L, update_call, "expected (key, function) or (table), got %s as "
		          "the function", luaL_typename(L, 3));
	return update(L, false);
}

/* ---- all entries -------------------------------------------------------------------- */

static int dict_totable(lua_State *L)
{
	static const char call[] = "Dict:totable";
	push_table(L, mp_ref_self(L, call), call);
	return 1;
}

static int dict_copy(lua_State *L)
{
	static const char call[] = "Dict:copy";
	push_table(L, mp_ref_self(L, call), call);
	return 1;
}

/* Pushes the list of all keys, or of all values. */
static void push_list(lua_State *L, mp_ref *r, int what, const char *call)
{
	mp_reading rd;
	const mp_shown *x;
	int top = lua_gettop(L);
	mp_kept_show(L, r, 0, UINT64_MAX, what, &rd);
	lua_createtable(L, (int)rd.copy.len, 1);
	x = mp_shown_first(&rd.copy);
	for (uint32_t i = 0; i < rd.copy.len; i++, x = mp_shown_next(x)) {
		if (what == MP_SHOW_KEYS)
			push_key(L, r->st, x);
		else
			mp_shown_push(L, r->st, x, call);
		lua_rawseti(L, -2, i + 1);
	}
	lua_pushinteger(L, rd.copy.len);
	lua_setfield(L, -2, "n");
	lua_replace(L, top + 1);
	lua_settop(L, top + 1);
}

static int dict_keys(lua_State *L)
{
	static const char call[] = "Dict:keys";
	push_list(L, mp_ref_self(L, call), MP_SHOW_KEYS, call);
	return 1;
}

static int dict_values(lua_State *L)
{
	static const char call[] = "Dict:values";
	push_list(L, mp_ref_self(L, call), MP_SHOW_VALUES, call);
	return 1;
}

/* Upvalues: the metatable, the keys as they were, how many were tried, the
 * call's name. A key that is gone by now is passed over. */
static int items_next(lua_State *L)
{
	const char *call = lua_touserdata(L, lua_upvalueindex(4));
	mp_ref *r = mp_ref_self(L, call);
	lua_Integer i = lua_tointeger(L, lua_upvalueindex(3));
	uint64_t version;
	key k;
	lua_settop(L, 1);
	while (lua_rawgeti(L, lua_upvalueindex(2), ++i) != LUA_TNIL) {
		read_key(L, 2, call, &k);
		if (fetch(L, r, &k, mp_dict_get, &version, call)) {
			lua_pushinteger(L, i);
			lua_replace(L, lua_upvalueindex(3));
			return 2;
		}
		lua_settop(L, 1);
	}
	return 0;
}

static int items(lua_State *L, const char *call)
{
	mp_ref *r = mp_ref_self(L, call);
	lua_pushvalue(L, lua_upvalueindex(1));
	push_list(L, r, MP_SHOW_KEYS, call);
	lua_pushinteger(L, 0);
	lua_pushlightuserdata(L, (void *)(uintptr_t)call);
	lua_pushcclosure(L, items_next, 4);
	lua_pushvalue(L, 1);
	return 2;
}

static int dict_items(lua_State *L)
{
	return items(L, "Dict:items");
}

static int dict_pairs(lua_State *L)
{
	return items(L, "pairs(Dict)");
}

/* -> key, value of some entry, removed; nil if there is none */
static int dict_popitem(lua_State *L)
{
	static const char call[] = "Dict:popitem";
	mp_ref *r = mp_ref_self(L, call);
	mp_reading rd;
	uint64_t version;
	key k;
	for (;;) {
		lua_settop(L, 1);
		mp_kept_show(L, r, 0, 1, MP_SHOW_KEYS, &rd);
		if (!rd.copy.len)
			return 1;  /* a nil */
		push_key(L, r->st, mp_shown_first(&rd.copy));
		read_key(L, 4, call, &k);
		if (fetch(L, r, &k, mp_dict_pop, &version, call))
			return 2;
	}
}

static int dict_clear(lua_State *L)
{
	mp_ref *r = mp_ref_self(L, "Dict:clear");
	mp_store_clear(r->st->me, r->body);
	return 0;
}

static int dict_len(lua_State *L)
{
	mp_ref *r = mp_ref_self(L, "Dict");
	lua_pushinteger(L, (lua_Integer)mp_store_count(r->st->me, r->body));
	return 1;
}

static int dict_tostring(lua_State *L)
{
	mp_ref *r = mp_ref_test(L, 1, MP_T_DICT);
	if (!r || !r->h || !r->st->me)
		lua_pushstring(L, "Dict (closed here)");
	else
		lua_pushfstring(L, "Dict (%I entries)",
		                (LUAI_UACINT)mp_store_count(r->st->me, r->body));
	return 1;
}

static const luaL_Reg methods[] = {
	{ "get", dict_get },
	{ "set", dict_set },
	{ "has", dict_has },
	{ "contains", dict_contains },
	{ "pop", dict_pop },
	{ "popitem", dict_popitem },
	{ "setdefault", dict_setdefault },
	{ "update", dict_update },
	{ "keys", dict_keys },
	{ "values", dict_values },
	{ "items", dict_items },
	{ "clear", dict_clear },
	{ "totable", dict_totable },
	{ "copy", dict_copy },
	{ "__index", dict_index },
	{ "__newindex", dict_newindex },
	{ "__len", dict_len },
	{ "__pairs", dict_pairs },
	{ "__tostring", dict_tostring },
	{ NULL, NULL }
};

static int new_dict(lua_State *L)
{
	static const char call[] = "mp.Dict";
	mp_state *st = mp_state_of(L);
	mp_self *me = mp_state_self(L, st, call);
	mp_handle h;
	mp_ref *r;
	int rc;
	if (lua_isnoneornil(L, 1)) {
		lua_settop(L, 0);
		lua_newtable(L);
	} else if (!push_pairs(L, 1, call)) {
		mp_misuse(L, call, "expected a table, got %s", luaL_typename(L, 1));
	}
	rc = mp_dict_create(me, &h);
	if (rc != MP_OK)
		return mp_fail(L, rc, call);
	mp_ref_push(L, st, h, true);
	r = lua_touserdata(L, -1);
	merge(L, r, lua_gettop(L) - 1, call);
	return 1;
}

void mp_open_dict(lua_State *L)
{
	mp_type_define(L, MP_T_DICT, "Dict", methods);
	lua_pushcfunction(L, new_dict);
	lua_setfield(L, -2, "Dict");
}
