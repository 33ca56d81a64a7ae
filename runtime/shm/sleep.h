/* sleep: one sliced futex sleep, with everything that goes with it: the wait
 * record, the count of awake actors, the hooks, the probe of who is waited
 * for. Latches and event counts both sleep by it.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_SLEEP_H
#define MP_SLEEP_H

#include "latch.h"

typedef struct mp_sleeper {
	mp_self *me;
	const mp_wait *as;
	int64_t deadline;
	bool begun;          /* before_sleep was called */
	bool recorded;       /* the wait is on record */
} mp_sleeper;

/* Sleeps while *w == seen, at most a slice. 0: look again; MP_TIMEOUT: the
 * deadline has passed; MP_INTERRUPTED; MP_ABANDONED: the holder of as->probe
 * is dead. */
int mp_sleep_on(mp_sleeper *sl, mp_word *w, uint32_t seen, int64_t slice);
/* The same in poll(): until one of n descriptors is ready. 0: one is;
 * MP_EMPTY: look again; MP_TIMEOUT, MP_INTERRUPTED, -errno. */
struct pollfd;
int mp_sleep_in_poll(mp_sleeper *sl, struct pollfd *p, unsigned n);
/* Takes the wait off the record. */
void mp_sleep_end(mp_sleeper *sl);

/* How many turns to spin: 0 where more actors run than there are processors. */
int mp_spin_turns(const mp_self *me, int wanted);

#endif
