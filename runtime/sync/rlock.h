/* rlock: the script's RLock, a lock that its holder may take again.
 *
 * Layout: a lock, then the depth.
 * Invariant: the lock's word says who holds it; depth counts how often, and
 * only the holder touches it, so others see a hint.
 * Crash: who takes the lock anew stores a depth of 1 whatever is there, so
 * what the dead left needs no repair.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_RLOCK_H
#define MP_RLOCK_H

#include "lock.h"

typedef struct mp_rlock {
	mp_lock lock;
	mp_word depth;
} mp_rlock;

int mp_rlock_create(mp_self *me, mp_handle *h);
/* 0, MP_ABANDONED (acquired), MP_TIMEOUT, MP_INTERRUPTED, -EOVERFLOW (mine
 * four thousand million times already). */
int mp_rlock_acquire(mp_self *me, mp_rlock *l, int64_t deadline);
/* Ends one level. 0, or -EPERM: it is not mine. */
int mp_rlock_release(mp_self *me, mp_rlock *l);
/* The aid of its holder, which may be dead and not swept yet; 0: free. */
static inline mp_aid mp_rlock_owner(const mp_rlock *l) { return mp_lock_owner(&l->lock); }
/* Exact for the holder, for others a hint. */
uint32_t mp_rlock_depth(const mp_rlock *l);

/* For a wait in between: ends all levels, returns how many (0: it is not
 * mine); then, acquired again, takes the depth back. */
uint32_t mp_rlock_leave(mp_self *me, mp_rlock *l);
void mp_rlock_restore(mp_rlock *l, uint32_t depth);

extern const mp_type_ops mp_rlock_ops;

#endif
