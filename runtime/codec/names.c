/* names: the map from values to names, and the way back.
 *
 * SPDX-License-Identifier: MIT */
#include "names.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "wire.h"

enum {
	MAX_FIELDS = 3,       /* keys after the module's */
	MAX_GLOBAL_TABLE = 512 /* a global table with more entries is data */
};

enum { UNNAMED, NAMED };  /* mp_entry.n */

/* What a table's fields are worth: */
typedef enum origin {
	MODULE,       /* a module's: all of them */
	LIBRARY,      /* of Lua's own: C functions and userdata (io.stdout) */
	PACKAGE,      /* of Lua's `package`: these, and the tables in it */
	GLOBALS,      /* the globals: C functions */
	GLOBALS_LAST, /* the globals again: tables that are nothing else */
	GLOBAL_TABLE  /* of those: C functions */
} origin;

/* The libraries every state has come first: their names are the safest. The
 * first and the last of them are special (enter_modules). */
static const char *const libraries[] = {
	"_G", "string", "table", "math", "io", "os", "coroutine", "utf8", "debug", "package"
};
enum { NLIBRARIES = sizeof libraries / sizeof *libraries };

/* A table whose fields are still to be named; Lua keeps the tables, as
 * elements of a list in the same order. */
typedef struct todo {
	uint64_t key;     /* in the map */
	uint32_t node;    /* its own name */
	origin from;
} todo;

/* The breadth-first walk, so that the shortest name wins. It lies in a Lua
 * userdata, which frees it whatever happens. */
typedef struct walk {
	mp_codec *c;
	todo *list;
	size_t cap;
	lua_Integer n, done;
	int tables;       /* stack index of the list of tables */
	int keys;         /* stack index of the list of the nodes' keys */
} walk;

/* A node for the string key below the top; parent 0 is package.loaded. */
static uint32_t put_node(lua_State *L, walk *w, uint32_t parent)
{
	mp_names *m = &w->c->names;
	if (m->nnodes + 1 >= m->capnodes)
		m->nodes = mp_grow(L, m->nodes, &m->capnodes, m->nnodes + 2, sizeof *m->nodes);
	uint8_t depth = parent ? m->nodes[parent].depth + 1 : 1;
	m->nodes[++m->nnodes] = (mp_node){ parent, depth };
	lua_pushvalue(L, -2);
	lua_rawseti(L, w->keys, (lua_Integer)m->nnodes);
	return (uint32_t)m->nnodes;
}

/* Puts the table on top on the list. */
static void put_todo(lua_State *L, walk *w, todo t)
{
	if ((size_t)w->n >= w->cap)
		w->list = mp_grow(L, w->list, &w->cap, (size_t)w->n + 1, sizeof *w->list);
	w->list[w->n] = t;
	lua_pushvalue(L, -1);
	lua_rawseti(L, w->tables, ++w->n);
}

/* Enters the value on top, with the string key below it, as a field of the
 * parent. Its name may turn out later to be none; a table is put on the list. */
static void enter(lua_State *L, walk *w, uint32_t parent, int named, origin from)
{
	int fresh;
	uint64_t id = (uint64_t)(uintptr_t)lua_topointer(L, -1);
	mp_entry *slot = mp_map_add(L, &w->c->names.map, id, MP_OBJECT, &fresh);
	if (!fresh)
		return;
	slot->n = named ? NAMED : UNNAMED;
	slot->off = put_node(L, w, parent);
	if (lua_istable(L, -1))
		put_todo(L, w, (todo){ id, (uint32_t)slot->off, from });
}

static int has_metatable(lua_State *L, int idx)
{
	if (!lua_getmetatable(L, idx))
		return 0;
	lua_pop(L, 1);
	return 1;
}

static void enter_table(lua_State *L, walk *w, const todo *t)
{
	if (t->from == MODULE)
		enter(L, w, t->node, has_metatable(L, -1), MODULE);
	else if (t->from == PACKAGE)
		enter(L, w, t->node, 1, LIBRARY);
	else if (t->from == GLOBALS_LAST)
		enter(L, w, t->node, 0, GLOBAL_TABLE);
}

/* Names the field whose key and value are on top of the stack. Returns
 * whether it shows that its table is more than data. */
static int visit_field(lua_State *L, walk *w, const todo *t)
{
	int room = w->c->names.nodes[t->node].depth <= MAX_FIELDS;
	int type = lua_type(L, -1);
	if (type == LUA_TFUNCTION) {
		if (room && (t->from == MODULE || lua_iscfunction(L, -1)))
			enter(L, w, t->node, 1, t->from);
		return t->from == MODULE;
	}
	if (type == LUA_TTABLE && room)
		enter_table(L, w, t);
	if (type == LUA_TUSERDATA && room && t->from <= PACKAGE)
		enter(L, w, t->node, 1, t->from);
	return 0;
}

static void visit_table(lua_State *L, walk *w, todo t)
{
	int is_class = 0, entries = 0;
	lua_pushnil(L);
	while (lua_next(L, -2)) {
		if (t.from == GLOBAL_TABLE && ++entries > MAX_GLOBAL_TABLE) {
			lua_pop(L, 2);
			break;
		}
		if (lua_type(L, -2) == LUA_TSTRING)
			is_class |= visit_field(L, w, &t);
		lua_pop(L, 1);
	}
	if (is_class)
		mp_map_find(&w->c->names.map, t.key, MP_OBJECT)->n = NAMED;
}

static void visit_tables(lua_State *L, walk *w)
{
	for (; w->done < w->n; w->done++) {
		lua_rawgeti(L, w->tables, w->done + 1);
		visit_table(L, w, w->list[w->done]);
		lua_pop(L, 1);
	}
}

static int can_be_module(lua_State *L)
{
	int type = lua_type(L, -1);
	return type == LUA_TTABLE || type == LUA_TFUNCTION || type == LUA_TUSERDATA;
}

static void enter_modules(lua_State *L, walk *w)
{
	luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
	for (int i = 0; i < NLIBRARIES; i++) {
		lua_pushstring(L, libraries[i]);
		lua_pushvalue(L, -1);
		lua_rawget(L, -3);
		if (lua_istable(L, -1)) {
			enter(L, w, 0, 1, i == 0 ? GLOBALS : i == NLIBRARIES - 1 ? PACKAGE : LIBRARY);
		}
		lua_pop(L, 2);
	}
	for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
		if (lua_type(L, -2) == LUA_TSTRING && can_be_module(L))
			enter(L, w, 0, !lua_istable(L, -1) || has_metatable(L, -1), MODULE);
	}
	lua_pop(L, 1);
}

static int walk_gc(lua_State *L)
{
	walk *w = lua_touserdata(L, 1);
	free(w->list);
	w->list = NULL;
	return 0;
}

static int build(lua_State *L)
{
	mp_codec *c = lua_touserdata(L, 1);
	walk *w = lua_newuserdatauv(L, sizeof *w, 0);
	*w = (walk){ .c = c };
	lua_createtable(L, 0, 1);
	lua_pushcfunction(L, walk_gc);
	lua_setfield(L, -2, "__gc");
	lua_setmetatable(L, -2);
	lua_newtable(L);
	w->tables = lua_gettop(L);
	lua_newtable(L);
	w->keys = lua_gettop(L);
	mp_map_clear(&c->names.map);
	c->names.nnodes = 0;
	enter_modules(L, w);
	visit_tables(L, w);
	if (w->n > 0) {
		todo globals = w->list[0];
		globals.from = GLOBALS_LAST;
		lua_rawgeti(L, w->tables, 1);
		put_todo(L, w, globals);
		visit_tables(L, w);
	}
	lua_pushvalue(L, w->keys);
	lua_rawseti(L, LUA_REGISTRYINDEX, c->names.keys);
	return 0;
}

/* Depends on which values package.loaded holds, on no order; never 0. That a
 * value has got another key shows when its name is checked. */
static uint64_t fingerprint(lua_State *L)
{
	uint64_t sum = 1;
	luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
	for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
		uint64_t x = (uint64_t)(uintptr_t)lua_topointer(L, -1) * UINT64_C(0x9E3779B97F4A7C15);
		sum += x ^ x >> 32;
	}
	lua_pop(L, 1);
	return sum | UINT64_C(1) << 63;
}

int mp_names_stale(lua_State *L, mp_codec *c)
{
	luaL_checkstack(L, 4, "codec");
	return fingerprint(L) != c->names.fingerprint;
}

void mp_names_build(lua_State *L, mp_codec *c)
{
	luaL_checkstack(L, 4, "codec");
	c->names.fingerprint = 0;
	lua_pushlightuserdata(L, c);
	mp_call_quietly(L, build, 0);
	c->names.fingerprint = fingerprint(L);
}

/* Replaces the table and key on top by the field; nil if it is no table. */
static void get_field(lua_State *L)
{
	if (lua_istable(L, -2)) {
		lua_rawget(L, -2);
	} else {
		lua_pop(L, 1);
		lua_pushnil(L);
	}
	lua_replace(L, -2);
}

/* Is what the n keys on top name the value below them? */
static int is_name_of(lua_State *L, int n)
{
	int keys = lua_gettop(L) - n;
	luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
	for (int i = 1; i <= n; i++) {
		lua_pushvalue(L, keys + i);
		get_field(L);
	}
	int same = lua_rawequal(L, -1, keys);
	lua_pop(L, 1);
	return same;
}

int mp_name_of(lua_State *L, mp_codec *c)
{
	mp_names *m = &c->names;
	uint64_t id = (uint64_t)(uintptr_t)lua_topointer(L, -1);
	const mp_entry *slot = mp_map_find(&m->map, id, MP_OBJECT);
	if (!slot || slot->n != NAMED)
		return 0;
	luaL_checkstack(L, 2 * MAX_FIELDS + 6, "codec");
	lua_rawgeti(L, LUA_REGISTRYINDEX, m->keys);
	int list = lua_gettop(L);
	uint32_t node = (uint32_t)slot->off;
	int n = m->nodes[node].depth;
	for (; node; node = m->nodes[node].parent) {
		lua_rawgeti(L, list, node);
		lua_insert(L, list + 1);
	}
	lua_remove(L, list);
	if (is_name_of(L, n))
		return n;
	lua_pop(L, n);
	m->fingerprint = 0;
	return 0;
}

/* Replaces the module name on top by the module: from package.loaded, or or
 * else from `require`. 0: by a string that says why not. */
static int find_module(lua_State *L)
{
	const char *name = lua_tostring(L, -1);
	if (strcmp(name, "_G") == 0) {
		lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
		lua_replace(L, -2);
		return 1;
	}
	luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
	lua_pushvalue(L, -2);
	lua_rawget(L, -2);
	lua_replace(L, -2);
	if (!lua_isnil(L, -1)) {
		lua_replace(L, -2);
		return 1;
	}
	lua_pop(L, 1);
	lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
	lua_pushliteral(L, "require");
	lua_rawget(L, -2);
	lua_replace(L, -2);
	lua_pushvalue(L, -2);
	if (lua_pcall(L, 1, 1, 0) != LUA_OK) {
		lua_pushfstring(L, "cannot load the module '%s' that the message names: %s",
		                name, luaL_tolstring(L, -1, NULL));
		lua_replace(L, -4);
		lua_pop(L, 2);
		return 0;
	}
	lua_replace(L, -2);
	return 1;
}

/* Pushes "a.b.c" for the n parts from p on, all of them checked before. */
static void push_dotted(lua_State *L, const uint8_t *p, const uint8_t *end, int n)
{
	luaL_Buffer b;
	luaL_buffinit(L, &b);
	for (int i = 0; i < n; i++) {
		uint64_t len = 0;
		p = w_read_varint(p, end, &len);
		if (i > 0)
			luaL_addchar(&b, '.');
		luaL_addlstring(&b, (const char *)p, (size_t)len);
		p += len;
	}
	luaL_pushresult(&b);
}

int mp_name_resolve(lua_State *L, const uint8_t *p, const uint8_t *end, const uint8_t **next)
{
	luaL_checkstack(L, 8, "codec");
	int top = lua_gettop(L);
	int n = p < end ? *p++ : 0;
	const uint8_t *parts = p;
	for (int i = 0; i < n; i++) {
		uint64_t len;
		p = w_read_varint(p, end, &len);
		if (!p || len > (size_t)(end - p))
			goto malformed;
		lua_pushlstring(L, (const char *)p, (size_t)len);
		p += len;
		if (i > 0)
			get_field(L);
		else if (!find_module(L))
			return 0;
	}
	if (n == 0)
		goto malformed;
	*next = p;
	if (!lua_isnil(L, -1))
		return 1;
	push_dotted(L, parts, end, n);
	lua_pushfstring(L, "the message names '%s', which does not exist here", lua_tostring(L, -1));
	lua_replace(L, top + 1);
	lua_settop(L, top + 1);
	return 0;
malformed:
	lua_settop(L, top);
	return -1;
}
