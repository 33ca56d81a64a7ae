/* event: a flag that processes set, clear and wait for.
 *
 * Layout: the flag and an event count. Invariant: the flag is the truth.
 * Crash: set is one store and a wake; killed between them, the sweep wakes.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_EVENT_H
#define MP_EVENT_H

#include "../shm/eventcount.h"
#include "../shm/object.h"

typedef struct mp_event {
	mp_word set;
	mp_ec ec;
	mp_handle self;
} mp_event;

int mp_event_create(mp_self *me, mp_handle *h);
void mp_event_set(mp_self *me, mp_event *e);
void mp_event_clear(mp_event *e);
bool mp_event_is_set(mp_event *e);
/* 0, MP_TIMEOUT, MP_INTERRUPTED. */
int mp_event_wait(mp_self *me, mp_event *e, int64_t deadline);

extern const mp_type_ops mp_event_ops;

#endif
