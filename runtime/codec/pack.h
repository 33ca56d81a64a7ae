/* pack: the codec by itself, for Lua.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_CODEC_PACK_H
#define MP_CODEC_PACK_H

#include <lua.h>

#include "codec.h"

/* mp.pack(v, ...) -> string. Handles are refused: packed, they would keep
 * nothing alive. */
int mp_pack(lua_State *L);

/* Pushes a message as a string, and may spoil it: m was encoded last. */
void mp_pack_push(lua_State *L, mp_encoded *m);

/* mp.unpack(s, [opts]) -> v, ...; nil, reason if s is not what mp.pack gives,
 * or holds functions or names of modules without opts.functions. Only bytes
 * that one trusts may hold functions. */
int mp_unpack(lua_State *L);

#endif
