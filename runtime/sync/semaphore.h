/* semaphore: units that are acquired and released.
 *
 * Layout: a latch, the start value, and for each slot one word of two counts:
 * what the slot's actors have used up for good (spent; less than nothing for
 * those who only release) and what the one that has the slot now still holds.
 * The value is start - sum(spent + held), modulo 2^32; what is kept of it
 * beside is a hint.
 * Invariant: a unit is in the value, in one actor's held, or spent. Held units
 * come back when their actor dies, spent ones do not: so at an orderly end
 * held becomes spent, in one store that does not change the value.
 * Crash: an acquire, a release and a return are one store to one slot's word,
 * under the latch; whoever steals the latch counts again. A release that
 * concerns several slots is committed by the goal that it writes first, which
 * names the value to be reached; a stealer completes it.
 *
 * Who gives back what: a release ends what its own actor holds. Beyond that it
 * makes good what was spent, then what others hold: that unit is given back
 * for its holder, whose death does not return it again. With nothing of that
 * left the value just grows. Which of several holders it was for nobody can
 * know: the sum is right, and no unit comes back twice.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_SEMAPHORE_H
#define MP_SEMAPHORE_H

#include "../shm/eventcount.h"
#include "../shm/object.h"

#define MP_SEMAPHORE_MAX 0x7fffffffu  /* of start and value */

typedef struct mp_semaphore {
	mp_word latch;
	mp_ec ec;
	mp_word value;               /* a hint */
	mp_word held;                /* sum of what is held, a hint */
	mp_word holder;              /* a slot that held something, a hint */
	uint32_t start;
	uint32_t bounded;            /* 1: the value never exceeds start */
	uint32_t nslots;
	_Atomic uint64_t goal;       /* GOAL | slot << 32 | value: a release to be completed */
	mp_handle self;
	uint64_t pad[2];
	_Atomic uint64_t count[];    /* of each slot: spent << 32 | held; then `mine` */
} mp_semaphore;

int mp_semaphore_create(mp_self *me, uint32_t start, bool bounded, mp_handle *h);
/* 0, MP_TIMEOUT, MP_INTERRUPTED. */
int mp_semaphore_acquire(mp_self *me, mp_semaphore *s, int64_t deadline);
/* Adds n, from 1 to MP_SEMAPHORE_MAX. 0, or -EOVERFLOW: the value would exceed
 * the start (bounded) or MP_SEMAPHORE_MAX; then nothing has changed. */
int mp_semaphore_release(mp_self *me, mp_semaphore *s, uint32_t n);
/* Exact: waits for who changes it just now. */
uint32_t mp_semaphore_value(mp_self *me, mp_semaphore *s);
/* How many acquires this actor has not followed by a release of its own. */
uint32_t mp_semaphore_mine(const mp_self *me, mp_semaphore *s);

extern const mp_type_ops mp_semaphore_ops;

#endif
