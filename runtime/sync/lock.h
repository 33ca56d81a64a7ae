/* lock: the script's Lock, a latch with a name.
 *
 * Layout: the latch, alone in its line with the owner's wait-free facts.
 * Invariant and crash: the latch's. A holder that dies leaves MP_ORPHAN in
 * the word; the next one to acquire gets it and is told MP_ABANDONED, once.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_LOCK_H
#define MP_LOCK_H

#include "../shm/latch.h"
#include "../shm/object.h"

typedef struct mp_lock {
	mp_word latch;
	mp_word thefts;      /* how often it was taken over from a dead one */
	mp_handle self;
} mp_lock;

int mp_lock_create(mp_self *me, mp_handle *h);
/* 0, MP_ABANDONED (acquired), MP_TIMEOUT, MP_INTERRUPTED, -EDEADLK (mine
 * already, and the deadline is MP_FOREVER: it could never end). */
int mp_lock_acquire(mp_self *me, mp_lock *l, int64_t deadline);
/* Anybody may release it, as in multiprocessing. 0, or -EPERM: not locked. */
int mp_lock_release(mp_self *me, mp_lock *l);
/* The aid of its holder, which may be dead and not swept yet; 0: free. */
mp_aid mp_lock_owner(const mp_lock *l);

/* Parts of mp_lock_ops, for objects whose body begins with a lock. */
void mp_lock_forsake(mp_self *me, void *body, mp_aid dead);
void mp_lock_wake(mp_self *me, void *body);
bool mp_lock_stuck(const mp_shm *s, void *body, mp_aid who, uint32_t what, mp_aid *on);

extern const mp_type_ops mp_lock_ops;

#endif
