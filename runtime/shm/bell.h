/* bell: sockets that tell who sleeps in poll that an object may be ready.
 *
 * A bell is a datagram socket bound to an abstract address made of the
 * runtime's id, the actor's and, for the bell of a single object, its handle;
 * so whoever notifies (mp_obj_ring) finds it by what it knows. An actor has one
 * for its own mixed waits, and one for each object whose fileno it gave out.
 *
 * Layout: slot->bell says which kinds there are. MP_BELL_WAIT is set before the
 * objects are watched and checked, and cleared by who rings: one byte is
 * enough.
 * Invariant: the bell of an object is readable, or the actor watches the
 * object and it was not ready after that.
 * Crash: the sockets are their process's, gone with it; to ring one that is
 * gone is refused by the kernel. A ringer killed before it has sent: a wait
 * ends its slice, and the sweep rings everybody who watches.
 * Everything is async-signal-safe but opening and closing.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_BELL_H
#define MP_BELL_H

#include "object.h"

/* A bell of a single object. */
typedef struct mp_bell {
	mp_handle h;
	int fd;
} mp_bell;

/* A descriptor that is readable while the object, which I hold, is ready, as
 * its type's op says; at times also when it is not any more: then take what
 * there is without waiting. The same one each time, CLOEXEC, mine until it is
 * closed; a forked child has to ask for its own. -ENOTSUP: such an object is
 * never ready; -EMFILE and its like. */
int mp_bell_open(mp_self *me, mp_handle h);
/* To be called after what may have made the object unready, or found it so.
 * Nothing if it has no bell. */
void mp_bell_settle_slow(mp_self *me, mp_handle h);
static inline void mp_bell_settle(mp_self *me, mp_handle h)
{
	if (me->nbells)
		mp_bell_settle_slow(me, h);
}
void mp_bell_close(mp_self *me, mp_handle h);
bool mp_bell_has(const mp_self *me, mp_handle h);
/* All of them, that for waits too: at the end, and in a forked child, whose
 * me is a copy of its creator's. */
void mp_bells_close(mp_self *me);

/* The bell for my own waits: its descriptor, made at the first call; -errno. */
int mp_bell_own(mp_self *me);
/* From now on it rings; before the objects are watched and checked. */
void mp_bell_arm(mp_self *me);
/* It rings no more, and what it rang is forgotten. */
void mp_bell_disarm(mp_self *me);

/* Rings the bells of who: kinds (MP_BELL_*) as its slot says. */
void mp_bell_ring(mp_shm *s, mp_aid who, mp_handle h, uint32_t kinds);

#endif
