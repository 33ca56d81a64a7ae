/* factory: from the code of a function, a function that makes closures of it.
 *
 * Lua can make a second closure of the same code only in a running function.
 * So the code is put in the place of the inner function of
 *     local a1, ..., aN; return function() return a1, ..., aN end
 * as this Lua itself has compiled and dumped it: nothing is assumed of the
 * instructions, only of the layout of a dump (the same in all of Lua 5.4);
 * and the result must dump as what it was made from, or there is no factory.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_CODEC_FACTORY_H
#define MP_CODEC_FACTORY_H

#include <lua.h>
#include <stddef.h>
#include <stdint.h>

/* Pushes the factory for a dump with nup upvalues; 0 if it cannot be done. */
int mp_factory_load(lua_State *L, const uint8_t *dump, size_t len, int nup);

#endif
