/* guard: the lock that goes with a piece of shared state, made when it is
 * first asked for.
 *
 * Layout: a word of the object's body: the handle of an RLock, 0: none yet.
 * Invariant: it is set once, by one CAS, and the same for everybody. The
 * object lists it, as a message lists its handles: the lock lives as long.
 * Crash: killed before the CAS, the lock is the dead one's alone and goes with
 * it; after it, it is the object's.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_GUARD_H
#define MP_GUARD_H

#include "../shm/object.h"

typedef _Atomic uint64_t mp_guard;

/* The lock of an object that the caller holds. made: by this call, and held by
 * me; else it is to be held while the object is. 0, MP_NOMEM, MP_TOOBIG,
 * -ENFILE. */
int mp_guard_of(mp_self *me, mp_guard *g, mp_handle *h, bool *made);

/* The object's part: in contents, and in destroy. */
static inline void mp_guard_mark(mp_guard *g, void (*mark)(void *ud, mp_handle h), void *ud)
{
	mp_handle h = atomic_load(g);
	if (h)
		mark(ud, h);
}
static inline void mp_guard_drop(mp_self *me, mp_guard *g)
{
	if (atomic_load(g))
		mp_obj_loosened(me);
}

#endif
