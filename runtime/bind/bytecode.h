/* bytecode: the embedded modules for threads, compiled once for all of them.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_BYTECODE_H
#define MP_BYTECODE_H

#include <lua.h>

#include "embedded.h"

/* Pushes the module's main function, or a message; a status of Lua's. */
int mp_embedded_load(lua_State *L, const mp_embedded *m);

#endif
