/* args: arguments that several bindings take, and the refusal of what does
 * not fit.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_ARGS_H
#define MP_ARGS_H

#include "bind.h"

/* A whole number that is not negative; what names it in errors. */
uint64_t mp_arg_size(lua_State *L, int arg, const char *call, const char *what);
/* An argument as an error shows it, on the stack. */
const char *mp_arg_text(lua_State *L, int arg);
/* How many to take at most: a positive integer. */
lua_Integer mp_arg_max(lua_State *L, int arg, const char *call);
/* How long a list is: its field n, which is an int as table.pack's, or its
 * border. */
lua_Integer mp_arg_list(lua_State *L, int idx, const char *call);
/* mp_fail for an object of n elements of that size; what can never fit is
 * told so. */
int mp_no_room(lua_State *L, const mp_self *me, int rc, uint64_t n,
               uint32_t size, const char *call);

#endif
