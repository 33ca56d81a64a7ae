/* list: mp.List. What compares values (sort, index, ...) is in lua/mp/list.lua.
 *
 * SPDX-License-Identifier: MIT */
#include <errno.h>

#include "../state/list.h"
#include "kept.h"

/* ---- indices and values ----------------------------------------------------------- */

/* An integer, or a float that is one. false: another value. */
static bool index_at(lua_State *L, int idx, lua_Integer *i)
{
	int isint = 0;
	if (lua_type(L, idx) == LUA_TNUMBER)
		*i = lua_tointegerx(L, idx, &isint);
	return isint;
}

static lua_Integer need_index(lua_State *L, int idx, const char *call)
{
	lua_Integer i = 0;
	if (!index_at(L, idx, &i))
		mp_misuse(L, call, "the index must be an integer, got %s",
		          luaL_tolstring(L, idx, NULL));
	return i;
}

static void need_value(lua_State *L, int idx, const char *call)
{
	if (lua_isnone(L, idx))
		mp_misuse(L, call, "no value given");
	if (lua_isnil(L, idx))
		mp_misuse(L, call, "a list cannot hold nil (use false, or take an item out "
		          "by pop or remove)");
}

_Noreturn static void out_of_range(lua_State *L, lua_Integer i, uint64_t n, const char *call)
{
	mp_misuse(L, call, "index %I is out of range: the list has %I items (one "
	          "more than that appends)", (LUAI_UACINT)i, (LUAI_UACINT)n);
}

typedef int change_fn(mp_self *, mp_store *, uint64_t, const mp_given *, uint64_t *);

/* Sets, or inserts, the value at idx as item i. */
static void change(lua_State *L, mp_ref *r, change_fn *fn, lua_Integer i, int idx,
                   const char *call)
{
	mp_given v;
	uint64_t count;
	int rc;
	need_value(L, idx, call);
	do {
		mp_kept_encode(L, r->st, idx, call, &v);
		rc = fn(r->st->me, r->body, (uint64_t)i - 1, &v, &count);
		if (rc == MP_EMPTY)
			out_of_range(L, i, count, call);
		rc = mp_kept_outcome(L, r, rc, call);
	} while (rc == MP_FULL);
}

/* ---- one item ----------------------------------------------------------------------- */

static int list_index(lua_State *L)
{
	static const char call[] = "List";
	lua_Integer i = 0;
	mp_reading rd;
	mp_ref *r;
	int rc;
	if (mp_kept_method(L, 2))
		return 1;
	r = mp_ref_self(L, call);
	if (!index_at(L, 2, &i))
		return 0;
	mp_reading_init(&rd);
	while ((rc = mp_list_get(r->st->me, r->body, (uint64_t)i - 1, &rd.copy)) == MP_FULL) {
		lua_settop(L, 2);
		mp_reading_grow(L, &rd);
	}
	if (rc != MP_OK)
		return 0;
	mp_reading_push(L, r->st, &rd, call);
	return 1;
}

static int list_append(lua_State *L)
{
	static const char call[] = "List:append";
	mp_ref *r = mp_ref_self(L, call);
	mp_given v;
	uint64_t record;
	int rc = MP_OK;
	need_value(L, 2, call);
	do {
		mp_kept_encode(L, r->st, 2, call, &v);
		record = mp_list_prepare(r->st->me, r->body, &v, &rc);
		if (record && (rc = mp_list_extend(r->st->me, r->body, &record, 1)) != MP_OK)
			mp_free(r->st->me, record);
		rc = mp_kept_outcome(L, r, rc, call);
	} while (rc == MP_FULL);
	return 0;
}

static int list_insert(lua_State *L)
{
	static const char call[] = "List:insert";
	mp_ref *r;
	if (lua_gettop(L) == 2)
		return list_append(L);
	r = mp_ref_self(L, call);
	change(L, r, mp_list_insert, need_index(L, 2, call), 3, call);
	return 0;
}

/* Pushes item i (0: the last), which is removed. 0 or a reason. */
static int take(lua_State *L, mp_ref *r, lua_Integer i, const uint64_t *expect, const char *call)
{
	uint64_t at = i ? (uint64_t)i - 1 : MP_LIST_LAST;
	mp_reading rd;
	int rc, top = lua_gettop(L);
	mp_reading_init(&rd);
	do {
		rc = mp_list_pop(r->st->me, r->body, at, expect, &rd.copy);
		if (rc == MP_FULL) {
			lua_settop(L, top);
			mp_reading_grow(L, &rd);
		} else if (rc > MP_OK && rc != MP_EMPTY) {
			rc = mp_kept_outcome(L, r, rc, call);
		}
	} while (rc == MP_FULL);
	if (rc == MP_OK)
		mp_reading_push(L, r->st, &rd, call);
	return rc;
}

/* l[#l] = nil takes the last item away, as from a table. */
static int list_newindex(lua_State *L)
{
	static const char call[] = "List";
	mp_ref *r = mp_ref_self(L, call);
	lua_Integer i = need_index(L, 2, call);
	if (lua_isnil(L, 3) && i > 0 && (uint64_t)i == mp_store_count(r->st->me, r->body))
		take(L, r, i, NULL, call);
	else
		change(L, r, mp_list_set, i, 3, call);
	return 0;
}

static int list_pop(lua_State *L)
{
	static const char call[] = "List:pop";
	mp_ref *r = mp_ref_self(L, call);
	lua_Integer i = 0;
	if (!lua_isnoneornil(L, 2)) {
		i = need_index(L, 2, call);
		if (i < 1)
			out_of_range(L, i, mp_store_count(r->st->me, r->body), call);
	}
	if (take(L, r, i, NULL, call) == MP_OK)
		return 1;
	if (i > 1)
		out_of_range(L, i, mp_store_count(r->st->me, r->body), call);
	lua_pushnil(L);  /* it is empty */
	return 1;
}

/* ---- many items ------------------------------------------------------------------------ */

/* Pushes a table of items first..last, as they are at one moment. */
static uint64_t push_items(lua_State *L, mp_ref *r, uint64_t first, uint64_t n, const char *call)
{
	mp_reading rd;
	const mp_shown *x;
	int top = lua_gettop(L);
	mp_kept_show(L, r, first, n, MP_SHOW_VALUES, &rd);
	lua_createtable(L, (int)rd.copy.len, 0);
	x = mp_shown_first(&rd.copy);
	for (uint32_t i = 0; i < rd.copy.len; i++, x = mp_shown_next(x)) {
		mp_shown_push(L, r->st, x, call);
		lua_rawseti(L, -2, i + 1);
	}
	lua_replace(L, top + 1);
	lua_settop(L, top + 1);
	return rd.copy.version;
}

static int list_totable(lua_State *L)
{
	static const char call[] = "List:totable";
	push_items(L, mp_ref_self(L, call), 0, UINT64_MAX, call);
	return 1;
}

static int list_copy(lua_State *L)
{
	static const char call[] = "List:copy";
	push_items(L, mp_ref_self(L, call), 0, UINT64_MAX, call);
	return 1;
}

/* slice(i, [j = #l]): a negative one counts from the end, as string.sub has it */
static int list_slice(lua_State *L)
{
	static const char call[] = "List:slice";
	mp_ref *r = mp_ref_self(L, call);
	lua_Integer n = (lua_Integer)mp_store_count(r->st->me, r->body);
	lua_Integer i = need_index(L, 2, call), j = n;
	if (!lua_isnoneornil(L, 3))
		j = need_index(L, 3, call);
	i = i < 0 ? n + i + 1 : i;
	j = j < 0 ? n + j + 1 : j;
	i = i < 1 ? 1 : i;
	if (j < i)
		lua_newtable(L);
	else
		push_items(L, r, (uint64_t)i - 1, (uint64_t)(j - i) + 1, call);
	return 1;
}

/* A table or a List at idx: pushes a table. */
static bool push_source(lua_State *L, int idx, const char *call)
{
	mp_ref *other = mp_ref_test(L, idx, MP_T_LIST);
	if (other && !other->h)
		mp_misuse(L, call, "the other List is closed here");
	if (other)
		push_items(L, other, 0, UINT64_MAX, call);
	else if (lua_istable(L, idx))
		lua_pushvalue(L, idx);
	else
		return false;
	return true;
}

typedef struct extending {
	mp_ref *r;
	const char *call;
	uint64_t *records;
	lua_Integer n, done;       /* items; records made */
	int rc;
} extending;

/* Nothing is appended before every item is known to be one that can travel. */
static void check_items(lua_State *L, mp_ref *r, int idx, lua_Integer n, const char *call)
{
	for (lua_Integer i = 1; i <= n; i++) {
		mp_given v;
		int t = lua_rawgeti(L, idx, i);
		const char *where = call;
		if (t != LUA_TBOOLEAN && t != LUA_TNUMBER && t != LUA_TSTRING) {
			where = lua_pushfstring(L, "%s: item %I", call, (LUAI_UACINT)i);
			need_value(L, -2, where);
			mp_kept_encode(L, r->st, -2, where, &v);
			lua_pop(L, 1);
		}
		lua_pop(L, 1);
	}
}

static int extend_protected(lua_State *L)
{
	extending *e = lua_touserdata(L, 2);
	mp_self *me = e->r->st->me;
	while (e->done < e->n) {
		mp_given v;
		lua_rawgeti(L, 1, e->done + 1);
		mp_kept_encode(L, e->r->st, 3, e->call, &v);
		e->records[e->done] = mp_list_prepare(me, e->r->body, &v, &e->rc);
		if (e->records[e->done])
			e->done++;
		else
			mp_kept_outcome(L, e->r, e->rc, e->call);
		lua_settop(L, 2);
	}
	while ((e->rc = mp_list_extend(me, e->r->body, e->records, (uint64_t)e->n)) != MP_OK)
		mp_kept_outcome(L, e->r, e->rc, e->call);
	e->done = 0;
	return 0;
}

/* Appends the n items of the table at idx, all at once. */
static void extend(lua_State *L, mp_ref *r, int idx, lua_Integer n, const char *call)
{
	extending e = { .r = r, .call = call, .n = n };
	int status;
	check_items(L, r, idx, n, call);
	e.records = lua_newuserdatauv(L, (size_t)(n ? n : 1) * sizeof *e.records, 0);
	lua_pushcfunction(L, extend_protected);
	lua_pushvalue(L, idx);
	lua_pushlightuserdata(L, &e);
	status = lua_pcall(L, 2, 0, 0);
	for (lua_Integer i = 0; i < e.done; i++)
		mp_free(r->st->me, e.records[i]);
	if (status != LUA_OK)
		lua_error(L);
	lua_pop(L, 1);
}

static lua_Integer length(lua_State *L, int idx, const char *call)
{
	lua_Integer n;
	int isint;
	if (lua_getfield(L, idx, "n") == LUA_TNIL) {
		lua_pop(L, 1);
		return luaL_len(L, idx);
	}
	n = lua_tointegerx(L, -1, &isint);
	if (!isint || n < 0)
		mp_misuse(L, call, "the list's n must be a count, got %s",
		          luaL_tolstring(L, -1, NULL));
	lua_pop(L, 1);
	return n;
}

static int list_extend(lua_State *L)
{
	static const char call[] = "List:extend";
	mp_ref *r = mp_ref_self(L, call);
	lua_settop(L, 2);
	if (!push_source(L, 2, call))
		mp_misuse(L, call, "expected a list, got %s", luaL_typename(L, 2));
	extend(L, r, 3, length(L, 3, call), call);
	return 0;
}

/* ---- the rest ----------------------------------------------------------------------------- */

static int list_clear(lua_State *L)
{
	mp_ref *r = mp_ref_self(L, "List:clear");
	mp_store_clear(r->st->me, r->body);
	return 0;
}

static int list_len(lua_State *L)
{
	mp_ref *r = mp_ref_self(L, "List");
	lua_pushinteger(L, (lua_Integer)mp_store_count(r->st->me, r->body));
	return 1;
}

/* (l, i) -> i + 1, item */
static int items_next(lua_State *L)
{
	lua_Integer i = luaL_checkinteger(L, 2) + 1;
	lua_settop(L, 1);
	lua_pushinteger(L, i);
	if (lua_geti(L, 1, i) == LUA_TNIL)
		return 0;
	return 2;
}

static int items(lua_State *L, const char *call)
{
	mp_ref_self(L, call);
	lua_pushcfunction(L, items_next);
	lua_pushvalue(L, 1);
	lua_pushinteger(L, 0);
	return 3;
}

static int list_items(lua_State *L)
{
	return items(L, "List:items");
}

static int list_pairs(lua_State *L)
{
	return items(L, "pairs(List)");
}

static int list_tostring(lua_State *L)
{
	mp_ref *r = mp_ref_test(L, 1, MP_T_LIST);
	if (!r || !r->h || !r->st->me)
		lua_pushstring(L, "List (closed here)");
	else
		lua_pushfstring(L, "List (%I items)",
		                (LUAI_UACINT)mp_store_count(r->st->me, r->body));
	return 1;
}

/* ---- for lua/mp/list.lua: upvalue 1 is the metatable, as of the methods -------------------- */

/* (l, call) -> items, version of the last change */
static int list_look(lua_State *L)
{
	const char *call = luaL_checkstring(L, 2);
	lua_pushinteger(L, (lua_Integer)push_items(L, mp_ref_self(L, call), 0, UINT64_MAX, call));
	return 2;
}

/* (l, version, i) -> true, item, if nothing was changed since */
static int list_take(lua_State *L)
{
	static const char call[] = "List:remove";
	mp_ref *r = mp_ref_self(L, call);
	uint64_t version = (uint64_t)luaL_checkinteger(L, 2);
	lua_pushboolean(L, 1);
	return take(L, r, luaL_checkinteger(L, 3), &version, call) == MP_OK ? 2 : 0;
}

/* (l, version, order, call) -> true, if nothing was changed since */
static int list_arrange(lua_State *L)
{
	const char *call = luaL_checkstring(L, 4);
	mp_ref *r = mp_ref_self(L, call);
	uint64_t version = (uint64_t)luaL_checkinteger(L, 2), n = lua_rawlen(L, 3);
	uint64_t *order = lua_newuserdatauv(L, (n + 1) * sizeof *order, 0);
	int rc;
	for (uint64_t i = 0; i < n; i++) {
		lua_rawgeti(L, 3, (lua_Integer)i + 1);
		order[i] = (uint64_t)lua_tointeger(L, -1) - 1;
		lua_pop(L, 1);
	}
	do
		rc = mp_list_arrange(r->st->me, r->body, version, order, n);
	while (rc > MP_OK && (rc = mp_kept_outcome(L, r, rc, call)) == MP_FULL);
	lua_pushboolean(L, rc == MP_OK);
	return 1;
}

static const luaL_Reg methods[] = {
	{ "append", list_append },
	{ "insert", list_insert },
	{ "pop", list_pop },
	{ "extend", list_extend },
	{ "items", list_items },
	{ "slice", list_slice },
	{ "clear", list_clear },
	{ "totable", list_totable },
	{ "copy", list_copy },
	{ "__index", list_index },
	{ "__newindex", list_newindex },
	{ "__len", list_len },
	{ "__pairs", list_pairs },
	{ "__tostring", list_tostring },
	{ NULL, NULL }
};

static const luaL_Reg internals[] = {
	{ "look", list_look }, { "take", list_take }, { "arrange", list_arrange }, { NULL, NULL }
};

static int new_list(lua_State *L)
{
	static const char call[] = "mp.List";
	mp_state *st = mp_state_of(L);
	mp_self *me = mp_state_self(L, st, call);
	mp_handle h;
	lua_Integer n = 0;
	int rc;
	lua_settop(L, 1);
	if (!lua_isnil(L, 1)) {
		if (!push_source(L, 1, call))
			mp_misuse(L, call, "expected a list, got %s", luaL_typename(L, 1));
		n = length(L, 2, call);
	}
	rc = mp_list_create(me, &h);
	if (rc != MP_OK)
		return mp_fail(L, rc, call);
	mp_ref_push(L, st, h, true);
	if (n)
		extend(L, lua_touserdata(L, 3), 2, n, call);
	return 1;
}

/* core.list: the table of methods, and the internals. */
static void push_core(lua_State *L)
{
	lua_newtable(L);
	mp_type_push(L, MP_T_LIST);
	lua_getfield(L, -1, "__index");
	lua_getupvalue(L, -1, 2);
	lua_setfield(L, -4, "methods");
	lua_pop(L, 1);
	luaL_setfuncs(L, internals, 1);
}

void mp_open_list(lua_State *L)
{
	mp_type_define(L, MP_T_LIST, "List", methods);
	lua_pushcfunction(L, new_list);
	lua_setfield(L, -2, "List");
	lua_getfield(L, -1, "core");
	push_core(L);
	lua_setfield(L, -2, "list");
	lua_pop(L, 1);
}
