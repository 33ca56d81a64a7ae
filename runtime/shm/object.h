/* object: the table of shared objects, their handles and holders.
 *
 * Layout: an entry (mp_obj) and, in a table beside it, two bitmaps over the
 * slots: holders (who has a handle) and watchers (whose doorbell to ring).
 * A handle is index | generation << 32.
 *
 * Invariant: an object lives while a live slot's holder bit is set or an
 * undelivered message lists it. A holder sets its bit before it uses the
 * object; a parent sets its child's before the fork; a receiver sets its own
 * before it finishes the message. So there are too many bits at worst, never
 * too few.
 * Crash: claim names who creates or destroys the entry; the entry's word is
 * the one commit. Killed before it, the sweep frees the body; after it, only
 * claim is cleared. Destroying begins with a question (DYING) that one CAS
 * answers: LIVE by whoever takes hold of the object meanwhile, CONDEMNED by
 * who asked. From CONDEMNED on it is idempotent, and done again by the sweep.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_OBJECT_H
#define MP_OBJECT_H

#include "shm.h"

typedef uint64_t mp_handle;

enum mp_type { MP_T_NONE, MP_T_PROCESS, MP_T_LOCK, MP_T_RLOCK, MP_T_SEMAPHORE,
               MP_T_EVENT, MP_T_CONDITION, MP_T_BARRIER, MP_T_VALUE, MP_T_ARRAY,
               MP_T_BUFFER, MP_T_QUEUE, MP_T_PIPE, MP_T_DICT, MP_T_LIST,
               MP_T_FD, MP_T_JOINABLE_QUEUE, MP_T_SIMPLE_QUEUE };

/* States of an entry's word, in its low byte. */
enum { MP_OBJ_FREE, MP_OBJ_LIVE, MP_OBJ_DYING, MP_OBJ_CONDEMNED };
static inline bool mp_obj_alive(const mp_obj *o)
{
	uint64_t st = atomic_load(&o->word) & 0xff;
	return st != MP_OBJ_FREE;
}

typedef struct mp_type_ops {
	const char *name;
	/* Sweep, in three passes over all objects; NULL: nothing to do. */
	void (*repair)(mp_self *me, void *body, mp_aid dead);   /* 1: finish what the dead committed */
	void (*release)(mp_self *me, void *body, mp_aid dead);  /* 2: give back what it held */
	void (*wake)(mp_self *me, void *body);                  /* 3: wake every sleeper */
	/* An actor's orderly end: me keeps for good what it counts as taken. */
	void (*leave)(mp_self *me, void *body);
	/* No holder is left: free the blocks the body refers to. Idempotent. */
	void (*destroy)(mp_self *me, void *body);
	/* The event count on which one waits until the object is ready. */
	mp_word *(*readiness)(void *body);
	/* Is it? As that event count's waiters see it: no latch, no system call,
	 * wrong only in the direction of true. */
	bool (*ready)(mp_self *me, void *body);
	/* Actor who waits for this object without a deadline, as what says
	 * (MP_W_*). false: it may go on, what it waits for is there. true: it
	 * cannot, and *on is the one actor that could change that (the owner of
	 * a lock, a joined process), 0: anybody who has the object. Reads only;
	 * no latch. NULL: such a wait is never taken for a deadlock. */
	bool (*stuck)(const mp_shm *s, void *body, mp_aid who, uint32_t what, mp_aid *on);
	/* Calls mark for every handle listed by what the object contains. */
	void (*contents)(mp_self *me, void *body, void (*mark)(void *ud, mp_handle h), void *ud);
} mp_type_ops;

/* Creates an object with a zeroed body of that size, held by me. The body is
 * prepared by init (may be NULL) before anybody can see it; init returns 0 or
 * a status that is passed on. 0, MP_NOMEM, MP_TOOBIG, -ENFILE (table full). */
int mp_obj_create(mp_self *me, enum mp_type type, uint64_t size,
                  int (*init)(mp_self *me, void *body, void *arg), void *arg,
                  mp_handle *h);
/* The body, or NULL if the handle is stale or of another type (MP_T_NONE: any). */
void *mp_obj_body(const mp_shm *s, mp_handle h, enum mp_type type);
enum mp_type mp_obj_type(const mp_shm *s, mp_handle h);
/* Sets my holder bit. 0, or MP_EOF: the object is gone. */
int mp_obj_hold(mp_self *me, mp_handle h);
/* Clears my bit; the last one destroys the object. */
void mp_obj_drop(mp_self *me, mp_handle h);
bool mp_obj_held(const mp_shm *s, mp_handle h, mp_aid who);
/* Sets the bit of an actor that has not entered yet, for what I hold. */
void mp_obj_hold_for(mp_shm *s, mp_handle h, mp_aid who);
/* Everything that parent holds, child holds as well: before the fork. */
void mp_obj_inherit(mp_shm *s, mp_aid parent, mp_aid child);
/* Clears all bits of an actor that ended; objects left alone are destroyed. */
void mp_obj_forget(mp_self *me, mp_aid who);
/* What I have taken from what counts is mine for good: the first step of an
 * orderly end, if me->counts. */
void mp_obj_leave(mp_self *me);
/* Calls f for every living object, which cannot end meanwhile. */
void mp_obj_visit(mp_self *me, void (*f)(mp_self *me, const mp_type_ops *ops, void *body, void *ud), void *ud);
/* To be called before a message that lists h is published. */
void mp_obj_sending(mp_self *me, mp_handle h);
/* Clears my bit of h, which another object that I hold lists among its
 * contents (mp_obj_sending was called before it did): h lives on by that. */
void mp_obj_entrust(mp_self *me, mp_handle h);
/* The one actor that holds it, 0: several, nobody, or a message may list it. */
mp_aid mp_obj_holder(const mp_shm *s, mp_handle h);
/* To be called when what listed handles was given up: some of them may be
 * garbage now. */
void mp_obj_loosened(mp_self *me);
/* Destroys objects that only messages could have kept and none does. */
void mp_obj_collect(mp_self *me);
/* Sweep's part: entries that the dead was creating or destroying. */
void mp_obj_sweep(mp_self *me, mp_aid dead);

/* Doorbells: an actor that waits on several objects registers with each (and
 * arms it: to be repeated before each check), checks them all, then sleeps on
 * its slot's doorbell. */
void mp_obj_watch(mp_self *me, mp_handle h);
void mp_obj_unwatch(mp_self *me, mp_handle h);
/* Rings everyone who watches the object with this body (slow path of notify). */
void mp_obj_ring(mp_self *me, mp_handle h);
/* Everyone who watches anything: after a death in the middle of a notify. */
void mp_obj_ring_all(mp_self *me);
/* Can it ever be ready? Is it (its type's op)? */
bool mp_obj_waitable(const mp_shm *s, mp_handle h);
bool mp_obj_ready(mp_self *me, mp_handle h);

/* Is something watched by who, and none of it ready? false also where a type
 * cannot tell. A scan of all objects. */
bool mp_obj_none_ready(mp_self *me, mp_aid who);

/* Calls the type's stuck for actor who, who waits for h as what says; false
 * where it has none, or h is gone. Holds the object meanwhile. */
bool mp_obj_stuck(mp_self *me, mp_handle h, mp_aid who, uint32_t what, mp_aid *on);
const char *mp_obj_type_name(const mp_shm *s, mp_handle h);  /* "object": gone */

#endif
