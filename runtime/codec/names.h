/* names: what travels as a name instead of as a copy.
 *
 * What package.loaded holds, and what can be reached from there by up to three
 * string keys: functions, userdata, and tables that have a metatable or hold
 * functions (modules, classes). A table of mere data, also one that is a whole
 * module, travels by value, as it does elsewhere.
 *
 * Lua's own libraries and the globals are what every receiver has anyway and
 * what scripts add to: of them only C functions and userdata go by name. What
 * a script defined there goes by value: the receiver's may be older.
 *
 * The map from address to name is a guess that is checked at every use: the
 * name is looked up and must give that very value. It is built anew when
 * something not found might be found then: package.loaded has changed, or a
 * C function, which has no other way to travel, is missing.
 *
 * On the wire a name is: u8 n; n times varint length, bytes.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_CODEC_NAMES_H
#define MP_CODEC_NAMES_H

#include "state.h"

/* If the value on top has a name: pushes its n keys, the module's first, and
 * returns n. Otherwise 0. Allocates nothing in Lua: see state.h. */
int mp_name_of(lua_State *L, mp_codec *c);

/* Has package.loaded changed since the map was built? */
int mp_names_stale(lua_State *L, mp_codec *c);
void mp_names_build(lua_State *L, mp_codec *c);

/* Pushes what a name stands for here: 1. Its module is required
 * if need be. If there is nothing of that name: 0 and a string that says so.
 * A name that is malformed: -1, nothing pushed. *next is set past the name. */
int mp_name_resolve(lua_State *L, const uint8_t *p, const uint8_t *end, const uint8_t **next);

#endif
