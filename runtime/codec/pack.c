/* pack: mp.pack and mp.unpack.
 *
 * SPDX-License-Identifier: MIT */
#include "pack.h"

#include <lauxlib.h>
#include <string.h>

#include "codec.h"
#include "state.h"

/* (message) -> string */
static int join(lua_State *L)
{
	const mp_encoded *m = lua_touserdata(L, 1);
	luaL_Buffer b;
	char *p = luaL_buffinitsize(L, &b, m->len);
	for (size_t i = 0; i < m->nparts; i++) {
		memcpy(p, m->parts[i].data, m->parts[i].len);
		p += m->parts[i].len;
	}
	luaL_pushresultsize(&b, m->len);
	return 1;
}

void mp_pack_push(lua_State *L, mp_encoded *m)
{
	if (m->nparts == 1) {
		lua_pushlstring(L, m->parts[0].data, m->len);
	} else {  /* a finalizer that packs would overwrite what is not copied yet */
		lua_pushlightuserdata(L, m);
		mp_call_quietly(L, join, 1);
	}
}

int mp_pack(lua_State *L)
{
	mp_encoded m;
	int n = lua_gettop(L);
	mp_codec *c = mp_codec_of(L, NULL);
	mp_encode_plain(L, c, 1, n, "mp.pack", &m);
	mp_pack_push(L, &m);
	return 1;
}

static int flags_of(lua_State *L)
{
	int flags = MP_CODEC_NO_FUNCTIONS | MP_CODEC_NO_HANDLES;
	if (lua_isnoneornil(L, 2))
		return flags;
	if (!lua_istable(L, 2))
		luaL_error(L, "mp.unpack: expected a table such as {functions = true}, got %s",
		           luaL_typename(L, 2));
	lua_getfield(L, 2, "functions");
	if (lua_toboolean(L, -1))
		flags = MP_CODEC_NO_HANDLES;
	return flags;
}

int mp_unpack(lua_State *L)
{
	size_t len;
	const char *s = lua_tolstring(L, 1, &len);
	if (!s)
		return luaL_error(L, "mp.unpack: expected a string, got %s", luaL_typename(L, 1));
	int flags = flags_of(L);
	int n = mp_decode_try(L, mp_codec_of(L, NULL), s, len, flags);
	if (n >= 0)
		return n;
	luaL_pushfail(L);
	lua_insert(L, -2);
	return 2;
}
