/* code: the bytecode of functions, made and loaded as seldom as possible.
 *
 * Dumping a function and loading it again take microseconds, and a pool sends
 * the same few functions over and over. So the sender remembers the
 * code of the functions it sent last, and the receiver, by content, what the
 * codes that came in last gave:
 *   - a function without upvalues, or with none but the globals, is used
 *     again itself (Lua's manual leaves open whether such closures are equal);
 *   - any other becomes a factory: a function that returns a new closure of
 *     it at each call (see factory.h).
 *
 * A code is a hash of 8 bytes, then what lua_dump gives.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_CODEC_CODE_H
#define MP_CODEC_CODE_H

#include "state.h"

enum { MP_CODE_HASH = 8 };

/* The code of the Lua function on top; valid until the next call. */
const uint8_t *mp_code_of(lua_State *L, mp_codec *c, size_t *len);

/* Pushes what lua_dump gives for the Lua function on top. */
const uint8_t *mp_code_push_dump(lua_State *L, int strip, size_t *len);

/* Pushes a function with this code, which has nup upvalues; global: its
 * caller will set every upvalue to the globals. 1, or 0 and nothing pushed if
 * it is no code. */
int mp_code_load(lua_State *L, mp_codec *c, const uint8_t *code, size_t len, int nup, int global);

#endif
