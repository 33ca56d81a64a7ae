/* barrier: a number of parties meet, then all go on.
 *
 * Layout: a latch, the state, and a seat for each slot: empty, or the number
 * of an arrival and what became of it (WAITING, PASSED, BROKEN). The count of
 * those who have arrived is a hint. The action, if there is one, is a stored
 * message that means nothing here.
 * Invariant: who waits looks at its own seat alone, so what happens to the
 * next passes does not concern it. The state is OPEN; ACTION by an actor, the
 * last to arrive; BROKEN; or one of three decisions: PASSING, BREAKING,
 * RESETTING.
 * Crash: an arrival is one store to a seat, a decision one store to the state,
 * both under the latch. What follows from a decision (each WAITING seat, then
 * the state after it) whoever steals the latch does again. An actor that dies
 * with its seat WAITING, also while it runs the action, breaks the barrier:
 * by its sweep, or by the one who steals the latch from it.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_BARRIER_H
#define MP_BARRIER_H

#include "../shm/eventcount.h"
#include "../shm/stored.h"

#define MP_BARRIER_MAX 0xffffffu  /* parties */

/* More outcomes than status.h has. */
enum { MP_BROKEN = 64,   /* the barrier is broken */
       MP_LAST };        /* everybody is there; run the action, then finish */

typedef struct mp_barrier {
	mp_word latch;
	mp_word state;             /* kind | aid of who runs the action */
	mp_ec ec;
	mp_word arrived;           /* seats WAITING, a hint */
	uint32_t parties;
	uint32_t has_action;
	double timeout;            /* of waits that have none; below 0: none */
	_Atomic uint64_t action;   /* stored */
	mp_handle self;
	uint64_t pad[10];
	mp_word seat[];
} mp_barrier;

/* parties: 1 to MP_BARRIER_MAX. The action is to be stored before others learn
 * of the barrier. */
int mp_barrier_create(mp_self *me, uint32_t parties, bool has_action, double timeout, mp_handle *h);

/* A wait is: arrive; after MP_LAST the action and finish; then await.
 * arrive: 0, MP_LAST, MP_BROKEN; MP_INTERRUPTED (not arrived: again);
 * -EDEADLK: this actor is waiting already. It sleeps only while the action of
 * another pass runs. */
int mp_barrier_arrive(mp_self *me, mp_barrier *b, int64_t deadline);
void mp_barrier_finish(mp_self *me, mp_barrier *b);
/* 0 and *seat: 1 to parties, in order of arrival; MP_BROKEN, also when the
 * deadline has passed, which breaks it; MP_INTERRUPTED (again). */
int mp_barrier_await(mp_self *me, mp_barrier *b, int64_t deadline, uint32_t *seat);
/* Instead of finish or await: goes away. Breaks it, unless it had passed. */
void mp_barrier_leave(mp_self *me, mp_barrier *b);

/* Those who wait get MP_BROKEN; then it is broken, or as new. */
void mp_barrier_abort(mp_self *me, mp_barrier *b);
void mp_barrier_reset(mp_self *me, mp_barrier *b);
/* How many wait; *broken, if given. Exact. */
uint32_t mp_barrier_look(mp_self *me, mp_barrier *b, bool *broken);

extern const mp_type_ops mp_barrier_ops;

#endif
