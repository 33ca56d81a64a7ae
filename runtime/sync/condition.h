/* condition: a lock, and waiting for what others do while they hold it.
 *
 * Layout: an RLock of its own, used unless a lock was given; the handle of
 * that; a counter of tickets; then a word per slot:
 *   0                 that actor does not wait here
 *   GRANTED           it was notified and does not hold the lock again yet
 *   ticket | ASLEEP   it waits; tickets are even, the oldest is served first
 * Invariant: a waiter writes its ticket before it frees the lock, and clears
 * its word when it holds the lock again. A notification is one CAS of one
 * word, by the lock's holder: so it reaches one who waits, and exactly one.
 * Each sleeps on its own word, so nobody is woken for another.
 * Crash: a waiter that is killed leaves its word, which the sweep clears. If
 * it was GRANTED, or the dead held the lock (a notifier may not have come to
 * notify, or not to the end of it), the sweep first grants all who wait: what
 * they wait for they check again. Done again, it does no more. Whoever takes
 * a dead one's lock by way of the condition grants them as well; by another
 * way it only counts that, and the sweep compares.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_CONDITION_H
#define MP_CONDITION_H

#include "rlock.h"

typedef struct mp_condition {
	mp_rlock own;
	mp_word tickets;               /* last given out; the lock's holder's */
	mp_word thefts;                /* of the given lock, at the last sweep */
	mp_handle self, lock;          /* lock: 0: own */
	_Alignas(64) mp_word waiter[]; /* by slot */
} mp_condition;

/* lock: the handle of a Lock or an RLock, 0: one of its own. */
int mp_condition_create(mp_self *me, mp_handle lock, mp_handle *h);
/* The lock, which ends no earlier than the condition, and whether it is an
 * RLock (it is then the first member of one). */
mp_lock *mp_condition_lock(const mp_shm *s, const mp_condition *c, bool *recursive);
/* The lock's own results; MP_ABANDONED also grants all who wait. */
int mp_condition_acquire(mp_self *me, mp_condition *c, int64_t deadline);
int mp_condition_release(mp_self *me, mp_condition *c);
/* How many wait and are not notified yet. */
uint32_t mp_condition_waiting(const mp_shm *s, mp_condition *c);

/* Notifies the n that have waited longest. 0, or -EPERM: the lock is not mine. */
int mp_condition_notify(mp_self *me, mp_condition *c, uint32_t n);

/* A wait, in steps, so that signal handlers can run in between; the lock is
 * not held from begin to back.
 * begin: 0, or -EPERM: the lock is not mine.
 * sleep: 0 (notified, or the lock's holder is dead), MP_TIMEOUT, MP_INTERRUPTED.
 * back: holds the lock as deep as before. 0, MP_ABANDONED (as well),
 *       MP_INTERRUPTED: to be called again.
 * end: true if it was notified, be it late. */
typedef struct mp_cond_wait {
	uint32_t ticket, depth;
} mp_cond_wait;
int mp_condition_begin(mp_self *me, mp_condition *c, mp_cond_wait *w);
int mp_condition_sleep(mp_self *me, mp_condition *c, const mp_cond_wait *w, int64_t deadline);
int mp_condition_back(mp_self *me, mp_condition *c, const mp_cond_wait *w);
bool mp_condition_end(mp_self *me, mp_condition *c);

extern const mp_type_ops mp_condition_ops;

#endif
