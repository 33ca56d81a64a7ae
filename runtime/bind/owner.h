/* owner: what Lock, RLock and Condition tell about who holds them.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_OWNER_H
#define MP_OWNER_H

#include "../sync/rlock.h"
#include "bind.h"

typedef struct mp_owned {
	enum mp_type type;
	const char *name;
	/* The lock of an object; recursive: it begins an RLock. */
	mp_lock *(*lock)(const mp_ref *r, bool *recursive);
} mp_owned;

/* The slot of the live holder, or NULL. */
const mp_slot *mp_owner(const mp_owned *o, const mp_ref *r);
/* The method locked() -> boolean. */
int mp_owner_locked(lua_State *L, const mp_owned *o, const char *call);
/* __index: methods first; then owner and owner_name. */
int mp_owner_index(lua_State *L, const mp_owned *o);
/* __tostring: "Lock (held by main, pid 7)"; of an RLock with its depth. */
int mp_owner_tostring(lua_State *L, const mp_owned *o);
/* Raises what release has to say when it is refused. */
_Noreturn void mp_owner_refuse(lua_State *L, const mp_owned *o, const mp_ref *r, const char *call);

#endif
