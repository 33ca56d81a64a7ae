/* stretch: elements of a list that travel as a list of their own, without
 * being copied into one before. A userdata; its user value is the list.
 *
 * The list's metatable is passed over: who makes a stretch of a list that has
 * an __index makes a copy instead.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_CODEC_STRETCH_H
#define MP_CODEC_STRETCH_H

#include <lua.h>

typedef struct mp_stretch {
	lua_Integer first, n;
	lua_Integer at;  /* the element that the first will be, with mp_decode_into; 0: any */
} mp_stretch;

/* Pushes a stretch: n elements from list[first] on. It is of the list as it
 * will be when it is sent. */
void mp_stretch_push(lua_State *L, int list, mp_stretch which);

/* The stretch at idx, or NULL: it is something else. Makes no Lua object. */
const mp_stretch *mp_stretch_test(lua_State *L, int idx);

#endif
