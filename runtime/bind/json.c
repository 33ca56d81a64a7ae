/* json: core.json_write and core.json_read, for the stages of flows; on the
 * table mp.core. What becomes what: codec/json.h.
 *
 *   core.json_write(v)                 -> text | nil, why not
 *   core.json_read(text, [from], [to]) -> value | nil, what is wrong, where in text
 *
 * A text that is `null` gives nil alone.
 *
 * SPDX-License-Identifier: MIT */
#include "../codec/json.h"

#include "bind.h"

static const char scratch_type[] = "mp json";

static int scratch_gc(lua_State *L)
{
	mp_json_free(lua_touserdata(L, 1));
	return 0;
}

/* The upvalue of both. */
static mp_json *scratch(lua_State *L)
{
	return lua_touserdata(L, lua_upvalueindex(1));
}

static int json_write(lua_State *L)
{
	luaL_checkany(L, 1);
	if (mp_json_write(L, scratch(L), 1))
		return 1;
	luaL_pushfail(L);
	lua_insert(L, -2);
	return 2;
}

static int json_read(lua_State *L)
{
	size_t len, at;
	const char *text = luaL_checklstring(L, 1, &len);
	lua_Integer from = luaL_optinteger(L, 2, 1), to = luaL_optinteger(L, 3, (lua_Integer)len);
	luaL_argcheck(L, from >= 1, 2, "must be from 1 on");
	luaL_argcheck(L, to <= (lua_Integer)len && to >= from - 1, 3, "must lie in the text");
	if (mp_json_read(L, scratch(L), text + from - 1, (size_t)(to - from + 1), &at))
		return 1;
	luaL_pushfail(L);
	lua_insert(L, -2);
	lua_pushinteger(L, from + (lua_Integer)at);
	return 3;
}

void mp_open_json(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "json_write", json_write }, { "json_read", json_read }, { NULL, NULL }
	};
	lua_getfield(L, -1, "core");
	mp_json *j = lua_newuserdatauv(L, sizeof *j, 0);
	*j = (mp_json){ 0 };
	luaL_newmetatable(L, scratch_type);
	lua_pushcfunction(L, scratch_gc);
	lua_setfield(L, -2, "__gc");
	lua_setmetatable(L, -2);
	luaL_setfuncs(L, functions, 1);
	lua_pop(L, 1);
}
