/* owner: what Lock and RLock tell about who holds them. Their bodies begin
 * with a lock (sync/lock.h).
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_OWNER_H
#define MP_OWNER_H

#include "bind.h"

/* The slot of the live holder of a lock of this runtime, or NULL. */
const mp_slot *mp_owner(const mp_ref *r);
/* The method locked() -> boolean. */
int mp_owner_locked(lua_State *L, const char *call);
/* __index: methods first; then owner and owner_name; name is the type's. */
int mp_owner_index(lua_State *L, const char *name);
/* __tostring of a type; depth: how deep it is held, NULL: not told. */
int mp_owner_tostring(lua_State *L, enum mp_type type, const char *name,
                      uint32_t (*depth)(const mp_ref *r));

#endif
