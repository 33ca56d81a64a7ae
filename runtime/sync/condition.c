/* condition: see condition.h for the argument.
 *
 * SPDX-License-Identifier: MIT */
#include "condition.h"

#include "../base/crash.h"
#include "../shm/eventcount.h"
#include "../shm/sleep.h"

#define ASLEEP  1u
#define GRANTED 1u   /* no ticket is 0 */
#define TURNS   600  /* of spinning, as for an event count */

static mp_word *word_of(mp_self *me, mp_condition *c)
{
	return &c->waiter[mp_aid_slot(me->aid)];
}

/* Slots ever used; the others have never waited. */
static uint32_t nwords(const mp_shm *s)
{
	uint32_t high = atomic_load(&s->h->slots_high);
	return high < s->h->nslots ? high : s->h->nslots;
}

struct making {
	mp_handle lock, *self;
};

static int init(mp_self *me, void *body, void *arg)
{
	mp_condition *c = body;
	struct making *m = arg;
	c->self = c->own.lock.self = *m->self;
	c->lock = m->lock;
	if (m->lock) {
		bool recursive;
		atomic_store(&c->thefts, atomic_load(&mp_condition_lock(me->shm, c, &recursive)->thefts));
		mp_obj_sending(me, m->lock);
	}
	return MP_OK;
}

int mp_condition_create(mp_self *me, mp_handle lock, mp_handle *h)
{
	struct making m = { lock, h };
	uint64_t size = sizeof(mp_condition) + sizeof(mp_word) * (uint64_t)me->shm->h->nslots;
	return mp_obj_create(me, MP_T_CONDITION, size, init, &m, h);
}

/* ---- the lock ------------------------------------------------------------------ */

mp_lock *mp_condition_lock(const mp_shm *s, const mp_condition *c, bool *recursive)
{
	*recursive = !c->lock || mp_obj_type(s, c->lock) == MP_T_RLOCK;
	return c->lock ? mp_obj_body(s, c->lock, MP_T_NONE) : (mp_lock *)&c->own.lock;
}

static bool mine(mp_self *me, mp_condition *c)
{
	bool recursive;
	mp_lock *l = mp_condition_lock(me->shm, c, &recursive);
	return mp_latch_mine(me, &l->latch);
}

static bool grant(mp_word *w, uint32_t v)
{
	if (v <= GRANTED || !atomic_compare_exchange_strong(w, &v, GRANTED))
		return false;
	MP_CRASHPOINT("condition.granted");
	if (v & ASLEEP)
		mp_futex_wake(w, 1);
	return true;
}

static void grant_all(const mp_shm *s, mp_condition *c)
{
	for (uint32_t i = 1, n = nwords(s); i < n; i++) {
		uint32_t v = atomic_load(&c->waiter[i]);
		while (v > GRANTED && !grant(&c->waiter[i], v))
			v = atomic_load(&c->waiter[i]);
	}
}

int mp_condition_acquire(mp_self *me, mp_condition *c, int64_t deadline)
{
	bool recursive;
	mp_lock *l = mp_condition_lock(me->shm, c, &recursive);
	int rc = recursive ? mp_rlock_acquire(me, (mp_rlock *)l, deadline)
	                   : mp_lock_acquire(me, l, deadline);
	if (rc == MP_ABANDONED)
		grant_all(me->shm, c);
	return rc;
}

int mp_condition_release(mp_self *me, mp_condition *c)
{
	bool recursive;
	mp_lock *l = mp_condition_lock(me->shm, c, &recursive);
	return recursive ? mp_rlock_release(me, (mp_rlock *)l) : mp_lock_release(me, l);
}

/* ---- notifying ------------------------------------------------------------------- */

uint32_t mp_condition_waiting(const mp_shm *s, mp_condition *c)
{
	uint32_t k = 0;
	for (uint32_t i = 1, n = nwords(s); i < n; i++)
		k += atomic_load_explicit(&c->waiter[i], memory_order_relaxed) > GRANTED;
	return k;
}

/* The word with the oldest ticket, NULL if nobody waits; *v is what it was. */
static mp_word *oldest(const mp_shm *s, mp_condition *c, uint32_t *v)
{
	uint32_t last = atomic_load(&c->tickets), age = 0;
	mp_word *found = NULL;
	for (uint32_t i = 1, n = nwords(s); i < n; i++) {
		uint32_t w = atomic_load_explicit(&c->waiter[i], memory_order_relaxed);
		if (w <= GRANTED || (found && last - (w & ~ASLEEP) <= age))
			continue;
		age = last - (w & ~ASLEEP);
		found = &c->waiter[i];
		*v = w;
	}
	return found;
}

int mp_condition_notify(mp_self *me, mp_condition *c, uint32_t n)
{
	uint32_t v = 0;
	mp_word *w;
	if (!mine(me, c))
		return -EPERM;
	while (n && (w = oldest(me->shm, c, &v)) != NULL)
		n -= grant(w, v);  /* false: it fell asleep just now, or died */
	return MP_OK;
}

/* ---- waiting ----------------------------------------------------------------------- */

int mp_condition_begin(mp_self *me, mp_condition *c, mp_cond_wait *w)
{
	bool recursive;
	mp_lock *l = mp_condition_lock(me->shm, c, &recursive);
	if (!mp_latch_mine(me, &l->latch))
		return -EPERM;
	w->ticket = atomic_load(&c->tickets) + 2;
	w->ticket += w->ticket ? 0 : 2;
	atomic_store(&c->tickets, w->ticket);
	me->held++;  /* an end that leaves the ticket behind is to be swept */
	atomic_store(word_of(me, c), w->ticket);
	MP_CRASHPOINT("condition.waits");
	w->depth = recursive ? mp_rlock_leave(me, (mp_rlock *)l) : 1;
	if (!recursive)
		mp_lock_release(me, l);
	MP_CRASHPOINT("condition.released");
	return MP_OK;
}

static bool waits(mp_word *word, const mp_cond_wait *w)
{
	return (atomic_load(word) & ~ASLEEP) == w->ticket;
}

int mp_condition_sleep(mp_self *me, mp_condition *c, const mp_cond_wait *w, int64_t deadline)
{
	bool recursive;
	mp_lock *l = mp_condition_lock(me->shm, c, &recursive);
	mp_word *word = word_of(me, c);
	const mp_wait as = { MP_W_CONDITION, c->self, &l->latch, false };
	mp_sleeper sl = { .me = me, .as = &as, .deadline = deadline };
	int rc = MP_OK;
	for (int i = deadline ? mp_spin_turns(me, TURNS) : 0; i > 0 && waits(word, w); i--)
		mp_pause();
	while (rc == MP_OK && waits(word, w)) {
		uint32_t v = w->ticket;
		atomic_compare_exchange_strong(word, &v, w->ticket | ASLEEP);
		rc = mp_sleep_on(&sl, word, w->ticket | ASLEEP, MP_SLICE);
	}
	mp_sleep_end(&sl);
	return rc == MP_ABANDONED ? MP_OK : rc;
}

int mp_condition_back(mp_self *me, mp_condition *c, const mp_cond_wait *w)
{
	bool recursive;
	mp_lock *l = mp_condition_lock(me->shm, c, &recursive);
	int rc = mp_condition_acquire(me, c, MP_FOREVER);
	if (rc == -EDEADLK)  /* a signal handler took it and kept it */
		rc = MP_OK;
	if (recursive && (rc == MP_OK || rc == MP_ABANDONED))
		mp_rlock_restore((mp_rlock *)l, mp_rlock_depth((mp_rlock *)l) - 1 + w->depth);
	return rc;
}

bool mp_condition_end(mp_self *me, mp_condition *c)
{
	MP_CRASHPOINT("condition.back");
	me->held--;
	return atomic_exchange(word_of(me, c), 0) <= GRANTED;
}

/* ---- the type ------------------------------------------------------------------------ */

/* Did the dead hold the lock? One that others use as well may have been taken
 * over from it before the sweep. Who did that may not have counted it yet:
 * then the latch, which is read first, still says WAIT. */
static bool held_lock(mp_condition *c, mp_lock *l, mp_aid dead, uint32_t *thefts)
{
	uint32_t latch = atomic_load(&l->latch);
	*thefts = atomic_load(&l->thefts);
	return (latch & MP_AID_MASK) == dead ||
	       (c->lock && (latch & MP_WAIT || *thefts != atomic_load(&c->thefts)));
}

/* In the sweep's first pass, before the lock forgets the dead. */
static void repair(mp_self *me, void *body, mp_aid dead)
{
	mp_condition *c = body;
	mp_word *w = &c->waiter[mp_aid_slot(dead)];
	uint32_t v = atomic_load(w), thefts = 0;
	bool recursive;
	mp_lock *l = mp_condition_lock(me->shm, c, &recursive);
	while (v > GRANTED && !atomic_compare_exchange_strong(w, &v, 0))
		;
	if ((l && held_lock(c, l, dead, &thefts)) || v == GRANTED)
		grant_all(me->shm, c);
	MP_CRASHPOINT("condition.passed");
	atomic_store(&c->thefts, thefts);
	atomic_store(w, 0);
}

static void release(mp_self *me, void *body, mp_aid dead)
{
	mp_lock_forsake(me, &((mp_condition *)body)->own.lock, dead);
}

static void wake(mp_self *me, void *body)
{
	mp_condition *c = body;
	mp_lock_wake(me, &c->own.lock);
	for (uint32_t i = 1, n = nwords(me->shm); i < n; i++)
		if (atomic_load(&c->waiter[i]))
			mp_futex_wake(&c->waiter[i], 1);
}

/* The lock may be left to a collection now. */
static void destroy(mp_self *me, void *body)
{
	if (((mp_condition *)body)->lock)
		mp_obj_loosened(me);
}

static void contents(mp_self *me, void *body, void (*mark)(void *ud, mp_handle h), void *ud)
{
	mp_condition *c = body;
	(void)me;
	if (c->lock)
		mark(ud, c->lock);
}

static bool stuck(const mp_shm *s, void *body, mp_aid who, uint32_t what, mp_aid *on)
{
	mp_condition *c = body;
	if (what == MP_W_LOCK)
		return mp_lock_stuck(s, &c->own.lock, who, what, on);
	*on = 0;
	return what == MP_W_CONDITION && atomic_load(&c->waiter[mp_aid_slot(who)]) > GRANTED;
}

const mp_type_ops mp_condition_ops = {
	.name = "Condition", .repair = repair, .release = release, .wake = wake,
	.destroy = destroy, .stuck = stuck, .contents = contents
};
