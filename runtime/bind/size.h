/* size: arguments that are sizes or offsets, and what does not fit.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_SIZE_H
#define MP_SIZE_H

#include "bind.h"

/* A whole number that is not negative; what names it in errors. */
uint64_t mp_arg_size(lua_State *L, int arg, const char *call, const char *what);
/* mp_fail for an object of that many bytes; what can never fit is told so. */
int mp_no_room(lua_State *L, const mp_self *me, int rc, uint64_t bytes,
               const char *call);

#endif
