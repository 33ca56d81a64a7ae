/* chunk: makes chunks of a map's items and runs a function over one; on the
 * table mp.core.
 *
 *   core.task_run(f, items, i, n, out, star, [budget]) -> j
 *       out[k] = f(items[k]) for k = i to n; with star, of an item that is a
 *       list, its elements are the arguments. The task's label is k while item k
 *       is in hand. j is n + 1, or the first item not begun when the budget
 *       (ns) was used up, or the results may be large. What f raises passes.
 *   core.task_label() -> the item that was in hand last
 *   core.task_slowest() -> k, n, ns: of what task_run has done since this was
 *       called last, items k to k + n - 1 were the slowest it knows of; more than
 *       one where items are so quick that the clock is looked at rarely
 *
 *   core.room(n) -> {n = n}, with room for n elements
 *   core.slice(list, first, n) -> {n = n, list[first], ...}, n of them
 *   core.part(list, first, n, [at]) -> the same, to be sent and for nothing else:
 *       as a rule no copy. It arrives as a list without n; with `at`, in the list
 *       that core.task_got has for it, from element `at` on
 *
 * SPDX-License-Identifier: MIT */
#include "../base/clock.h"
#include "../codec/stretch.h"
#include "../msg/queue.h"
#include "bind.h"

#define HASTE (50 * 1000)   /* ns: less than this between two looks at the clock: look less often */
#define LARGE 1024          /* KiB that Lua's memory may grow by */
#define MOST 65535          /* arguments, as in lua/mp/pool/check.lua */
#define ROOM (1 << 24)      /* elements, at most, before it is known that there are so many */
#define RARELY 64           /* items between two looks, at most */

typedef struct run {
	mp_state *st;
	lua_Integer at;
	lua_Integer slowest, slowest_n;
	int64_t slowest_ns;
} run;

enum { F = 1, ITEMS, FROM, TO, OUT, STAR, BUDGET };

/* Pushes the elements of the list on top in its place; how many. */
static int spread(lua_State *L)
{
	static const char call[] = "Pool:starmap";
	if (!lua_istable(L, -1))
		luaL_error(L, "%s: each item must be a list of arguments, got %s", call,
		           luaL_typename(L, -1));
	int list = lua_gettop(L);
	lua_Integer n = (lua_Integer)lua_rawlen(L, list);
	lua_pushliteral(L, "n");
	if (lua_rawget(L, list) == LUA_TNUMBER)
		n = lua_tointeger(L, -1);
	lua_pop(L, 1);
	if (n < 0 || n > MOST)
		luaL_error(L, "%s: %I arguments are too many", call, (LUAI_UACINT)n);
	luaL_checkstack(L, (int)n, call);
	for (lua_Integer i = 1; i <= n; i++)
		lua_rawgeti(L, list, i);
	lua_remove(L, list);
	return (int)n;
}

static void one(lua_State *L, run *r, lua_Integer i, bool star)
{
	r->at = i;
	mp_queue_mark(r->st->me, i < UINT16_MAX ? (uint16_t)i : UINT16_MAX);
	lua_pushvalue(L, F);
	lua_rawgeti(L, ITEMS, i);
	lua_call(L, star ? spread(L) : 1, 1);
	lua_rawseti(L, OUT, i);
}

/* The items before i, since the last look at the clock. */
static void note(run *r, lua_Integer i, int n, int64_t ns)
{
	if (ns <= r->slowest_ns)
		return;
	r->slowest = i - n;
	r->slowest_n = n;
	r->slowest_ns = ns;
}

static int core_task_run(lua_State *L)
{
	run *r = lua_touserdata(L, lua_upvalueindex(1));
	lua_Integer i = luaL_checkinteger(L, FROM), n = luaL_checkinteger(L, TO);
	bool star = lua_toboolean(L, STAR);
	int64_t last = mp_now();
	int64_t until = lua_isnoneornil(L, BUDGET) ? INT64_MAX
	                : last + (int64_t)luaL_checknumber(L, BUDGET);
	int every = 1, left = 1;
	luaL_checktype(L, ITEMS, LUA_TTABLE);
	luaL_checktype(L, OUT, LUA_TTABLE);
	lua_settop(L, BUDGET);
	int before = lua_gc(L, LUA_GCCOUNT);
	while (i <= n) {
		one(L, r, i++, star);
		bool large = until != INT64_MAX && lua_gc(L, LUA_GCCOUNT) - before > LARGE;
		if (--left && i <= n && !large)
			continue;
		int64_t now = mp_now();
		note(r, i, every - left, now - last);
		if (now >= until || large)
			break;
		every = now - last > HASTE ? 1 : every < RARELY ? every * 2 : RARELY;
		left = every;
		last = now;
	}
	lua_pushinteger(L, i);
	return 1;
}

static int core_task_label(lua_State *L)
{
	lua_pushinteger(L, ((run *)lua_touserdata(L, lua_upvalueindex(1)))->at);
	return 1;
}

static int core_task_slowest(lua_State *L)
{
	run *r = lua_touserdata(L, lua_upvalueindex(1));
	lua_pushinteger(L, r->slowest);
	lua_pushinteger(L, r->slowest_n);
	lua_pushinteger(L, r->slowest_ns);
	r->slowest = r->slowest_n = r->slowest_ns = 0;
	return 3;
}

/* A list that grows by its keys moves them again and again. */
static void room(lua_State *L, lua_Integer n)
{
	lua_createtable(L, n < 0 ? 0 : n < ROOM ? (int)n : ROOM, 1);
	lua_pushinteger(L, n);
	lua_setfield(L, -2, "n");
}

static int core_room(lua_State *L)
{
	room(L, luaL_checkinteger(L, 1));
	return 1;
}

static int core_slice(lua_State *L)
{
	lua_Integer first = luaL_checkinteger(L, 2), n = luaL_checkinteger(L, 3);
	luaL_checktype(L, 1, LUA_TTABLE);
	bool raw = !luaL_getmetafield(L, 1, "__index");
	room(L, n);
	for (lua_Integer i = 0; i < n; i++) {
		if (raw)
			lua_rawgeti(L, 1, first + i);
		else
			lua_geti(L, 1, first + i);
		lua_rawseti(L, -2, i + 1);
	}
	return 1;
}

static int core_part(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	if (luaL_getmetafield(L, 1, "__index")) {
		lua_pop(L, 1);
		return core_slice(L);
	}
	mp_stretch_push(L, 1, (mp_stretch){ luaL_checkinteger(L, 2), luaL_checkinteger(L, 3),
	                                    luaL_optinteger(L, 4, 0) });
	return 1;
}

void mp_open_chunk(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "task_run", core_task_run },
		{ "task_label", core_task_label },
		{ "task_slowest", core_task_slowest },
		{ "room", core_room },
		{ "slice", core_slice },
		{ "part", core_part },
		{ NULL, NULL }
	};
	lua_getfield(L, -1, "core");
	run *r = lua_newuserdatauv(L, sizeof *r, 0);
	*r = (run){ .st = mp_state_of(L) };
	luaL_setfuncs(L, functions, 1);
	lua_pop(L, 1);
}
