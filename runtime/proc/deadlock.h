/* deadlock: processes that wait for what only each other could do.
 *
 * Two shapes: (all) every live process waits without a deadline for something
 * of the runtime's; (circle) some wait for each other, by locks, joins, and
 * pipes whose other end one alone has, while others work on. A circle may be
 * one: who waits for the end of a pipe whose other end it has itself.
 *
 * Who is not stuck: whoever is not in a wait of ours (it runs Lua, a foreign
 * call, a program), has a deadline, sleeps, waits for a descriptor or for
 * memory as well, has handlers of signals (somebody may send one), was sent a
 * signal a moment ago, is starting, or dead and not swept yet; and who has
 * threads that the runtime does not know.
 *
 * Why one who is found is stuck. A wait's `since` is written anew by every
 * wait, in nanoseconds. Two looks, at least MP_LOOK_EVERY apart, that find the
 * same members with the same stamps prove that each of them was in that one
 * wait from the end of the first look to the beginning of the second, so that
 * there is a moment at which all were; and none has done anything since, for
 * the second look finds it asleep. asleep is 0 between the check that lets a
 * waiter go and the end of its record, so none is on its way out. And no
 * wake-up is in flight that matters: the second look asks each object whether
 * what is waited for is there (the type's `stuck`: an item lies in the queue,
 * the lock is free or the waiter's already), with nobody left to change the
 * answer. A wake-up that finds nothing goes back to sleep. In a circle others
 * do run, but each wait there is one that a single other member can end: a
 * lock's owner is in the lock's word, and waits; an end of a pipe that was
 * never listed by a message is whose bit is set. (A stranger may release
 * another's lock, or end a process: a script that relies on that is told, too.)
 * The world may still end a member: a last look asks the system whether each
 * lives, and has no foreign threads.
 *
 * It reads only, but for holding an object while it looks into it, and is
 * async-signal-safe: the keeper calls it.
 * Crash: the keeper writes one word, h->deadlock, the mark of what it has
 * seen, and may send the owner a signal that does nothing by itself. Both are
 * hints: the owner looks for itself, and ignores a mark that it does not find.
 * Killed before, between or after them, the next keeper looks anew.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_DEADLOCK_H
#define MP_DEADLOCK_H

#include "runtime.h"

#define MP_LOOK_EVERY  (250 * MP_MS)
#define MP_STUCK_AFTER (1 * MP_SEC)   /* shorter waits are not looked at */
#define MP_SIGNAL_LASTS (5 * MP_SEC)  /* so long one that was signalled may still act on it */

typedef struct mp_stuck {
	mp_aid aid;
	mp_aid on;                 /* who alone could end the wait; 0: anybody */
	uint32_t what;             /* MP_W_* */
	uint32_t in_circle;        /* while it looks */
	mp_handle object;
	int64_t since;
} mp_stuck;

typedef struct mp_deadlock {
	uint64_t mark;             /* of the members and their stamps, never 0 */
	bool all;                  /* nobody else works; else circles only */
	bool again;                /* if none was found: look again, the picture was not clear */
	uint32_t n;
	mp_stuck who[];
} mp_deadlock;

/* Has this one been in a wait for long that only an actor can end? Then, once
 * in a wait, it tells the keeper (h->waiter), which need not look before. */
bool mp_deadlock_waits(mp_slot *sl, int64_t now);

/* Bytes of an mp_deadlock that has room for everybody. */
size_t mp_deadlock_size(const mp_shm *s);
/* One look. me, if not the keeper, is taken as it is on record: it may call
 * this from a hook of its wait. true: *d is the deadlock it may be. */
bool mp_deadlock_look(mp_self *me, mp_deadlock *d);
/* Are its members alive, and without threads of their own? System calls. */
bool mp_deadlock_sure(const mp_shm *s, const mp_deadlock *d);

/* The report, without a program's name before it; malloc'd, NULL: no memory.
 * Not async-signal-safe. */
char *mp_deadlock_text(const mp_shm *s, const mp_deadlock *d);

/* The owner's part, in its waits' hooks and at safe points: is there one that
 * the keeper sees, and I see as well? Then rt->deadlock is its report, until
 * mp_deadlock_take. One that was taken before counts again when a new wait of
 * mine has lasted MP_STUCK_AFTER. */
bool mp_deadlock_found(mp_runtime *rt);
/* The report; the caller's to free(). */
char *mp_deadlock_take(mp_runtime *rt);

#endif
