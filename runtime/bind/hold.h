/* hold: what all that can be held has in common: acquire, hold and with.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_HOLD_H
#define MP_HOLD_H

#include "bind.h"

typedef struct mp_lockable {
	/* Waits, running signal handlers meanwhile (which may raise). 0,
	 * MP_ABANDONED (acquired as well), MP_TIMEOUT. */
	int (*acquire)(lua_State *L, mp_ref *r, int64_t deadline, const char *call);
	/* Ends one hold, if this actor still has it. Raises nothing. */
	void (*release)(mp_ref *r);
} mp_lockable;

/* The methods, with the object at index 1; call is named in errors.
 * acquire([block,] [timeout]) -> true [, "abandoned"] | nil, "timeout" */
int mp_hold_acquire(lua_State *L, const mp_lockable *k, const char *call);
/* hold([timeout]) -> a value to be closed [, "abandoned"] | nil, "timeout" */
int mp_hold_scope(lua_State *L, const mp_lockable *k, const char *call);
/* with(f, ...) -> what f(...) returned, run while it is held */
int mp_hold_with(lua_State *L, const mp_lockable *k, const char *call);

#endif
