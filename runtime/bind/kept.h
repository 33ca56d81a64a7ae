/* kept: Lua values <-> what shared state keeps; for Dict, List and Value.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_KEPT_H
#define MP_KEPT_H

#include "../state/store.h"
#include "message.h"

/* Encodes the value at idx. Borrowed, as mp_encoded is. Raises what cannot
 * travel. */
void mp_kept_encode(lua_State *L, mp_state *st, int idx, const char *call, mp_given *v);

/* What came back from the core: 0 or an outcome that the caller knows. Waits
 * for memory, running signal handlers: MP_FULL, then it is to be tried again,
 * encoded anew. Raises what is an error. */
int mp_kept_outcome(lua_State *L, mp_ref *r, int rc, const char *call);

/* Memory to read into: this much is on the C stack, more is pushed. */
typedef struct mp_reading {
	mp_copy copy;
	uint64_t local[64];
} mp_reading;
static inline void mp_reading_init(mp_reading *rd)
{
	rd->copy.data = rd->local;
	rd->copy.room = sizeof rd->local;
}
/* Makes room for copy.need: pushes a value that owns it. */
void mp_reading_grow(lua_State *L, mp_reading *rd);
/* Pushes the value that was read. */
void mp_reading_push(lua_State *L, mp_state *st, const mp_reading *rd, const char *call);

/* Takes a picture of the store (mp_store_show) and pushes two values that
 * own its memory and its objects. */
void mp_kept_show(lua_State *L, mp_ref *r, uint64_t first, uint64_t n, int what, mp_reading *rd);
/* Pushes the value of one that is shown. */
void mp_shown_push(lua_State *L, mp_state *st, const mp_shown *x, const char *call);

/* Allows "methods first": pushes method t[key], t the table of methods of the
 * running closure, or nothing. true: pushed. */
bool mp_kept_method(lua_State *L, int key);

#endif
