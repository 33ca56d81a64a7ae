/* latch: a lock that is one owner word; every other lock is made of it.
 *
 * Layout: one u32: 0 free, else the owner's aid, with MP_WAIT if somebody may
 * sleep on it; MP_ORPHAN alone: free, its last owner died holding it.
 * Invariant: the word names the owner from the CAS that takes it to the
 * exchange that frees it.
 * Crash: killed holding it, the word names the corpse; the next locker
 * steals it (MP_ABANDONED: repair what it protects, then go on), or the sweep
 * releases it. Killed between the exchange and the wake, or as the woken
 * sleeper: the sweep wakes every lock word, else the sleeper's slice ends.
 * Not recursive; fair only as futexes are.
 * Source: the owner-word futex lock of the robust-futex ABI, with the owner
 * found dead by its slot instead of by the kernel's list.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_LATCH_H
#define MP_LATCH_H

#include "shm.h"

/* What a wait is recorded as. */
typedef struct mp_wait {
	uint32_t what;       /* MP_W_* */
	uint64_t object;     /* handle or 0 */
	mp_word *probe;      /* a lock word whose owner is probed each slice, or NULL */
	bool quiet;          /* internal: no hooks, cannot be interrupted */
} mp_wait;

int mp_latch_slow(mp_self *me, mp_word *w, int64_t deadline, const mp_wait *as);

/* 0, MP_ABANDONED (acquired; the last owner died), MP_TIMEOUT, MP_INTERRUPTED. */
static inline int mp_latch(mp_self *me, mp_word *w, int64_t deadline, const mp_wait *as)
{
	uint32_t free = 0;
	if (atomic_compare_exchange_strong_explicit(w, &free, me->aid,
	        memory_order_acquire, memory_order_relaxed))
		return MP_OK;
	return mp_latch_slow(me, w, deadline, as);
}

/* Internal locks: wait as long as it takes. 0 or MP_ABANDONED. */
static inline int mp_latch_hold(mp_self *me, mp_word *w)
{
	return mp_latch(me, w, MP_FOREVER, NULL);
}

static inline void mp_unlatch(mp_self *me, mp_word *w)
{
	(void)me;
	if (atomic_exchange_explicit(w, 0, memory_order_seq_cst) & MP_WAIT)
		mp_futex_wake(w, 1);
}

static inline bool mp_latch_mine(const mp_self *me, mp_word *w)
{
	return (atomic_load_explicit(w, memory_order_relaxed) & MP_AID_MASK) == me->aid;
}

/* Sweep's part for a lock of the script's: free it if the dead held it, and
 * remember that it was abandoned. */
void mp_latch_orphan(mp_word *w, mp_aid dead);

#endif
