/* guard: get_lock() of what has one.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_BIND_GUARD_H
#define MP_BIND_GUARD_H

#include "../state/guard.h"
#include "bind.h"

/* The method, for the object at index 1. Its userdata keeps that of the lock. */
int mp_guard_push(lua_State *L, mp_ref *r, mp_guard *g, const char *call);

#endif
