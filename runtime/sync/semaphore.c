/* semaphore: see semaphore.h.
 *
 * SPDX-License-Identifier: MIT */
#include "semaphore.h"

#include <errno.h>

#include "../base/crash.h"

#define GOAL (UINT64_C(1) << 63)

_Static_assert(sizeof(mp_semaphore) == 64, "the head is one line");

struct settings {
	uint32_t start;
	bool bounded;
	const mp_handle *self;
};

static int init(mp_self *me, void *body, void *arg)
{
	const struct settings *set = arg;
	mp_semaphore *s = body;
	s->value = s->start = set->start;
	s->bounded = set->bounded;
	s->nslots = me->shm->h->nslots;
	s->self = *set->self;
	return MP_OK;
}

int mp_semaphore_create(mp_self *me, uint32_t start, bool bounded, mp_handle *h)
{
	struct settings set = { start, bounded, h };
	uint64_t each = sizeof(uint64_t) + sizeof(uint32_t);
	uint64_t size = sizeof(mp_semaphore) + me->shm->h->nslots * each;
	return mp_obj_create(me, MP_T_SEMAPHORE, size, init, &set, h);
}

/* ---- counts ------------------------------------------------------------------ */

static uint32_t held_of(uint64_t c) { return (uint32_t)c; }
static uint64_t word(uint32_t spent, uint32_t held) { return (uint64_t)spent << 32 | held; }
static uint32_t spent_of(uint64_t c) { return (uint32_t)(c >> 32); }
static uint32_t min(uint32_t a, uint32_t b) { return a < b ? a : b; }

static uint64_t get(mp_semaphore *s, uint32_t slot)
{
	return atomic_load_explicit(&s->count[slot], memory_order_relaxed);
}

/* The commit of whatever changes a semaphore. */
static void set(mp_semaphore *s, uint32_t slot, uint64_t c)
{
	MP_CRASHPOINT("semaphore.before");
	atomic_store_explicit(&s->count[slot], c, memory_order_release);
	MP_CRASHPOINT("semaphore.after");
}

static uint32_t hint(const mp_word *w)
{
	return atomic_load_explicit(w, memory_order_relaxed);
}

static void set_hints(mp_semaphore *s, uint32_t value, uint32_t held)
{
	atomic_store_explicit(&s->value, value, memory_order_relaxed);
	atomic_store_explicit(&s->held, held, memory_order_relaxed);
}

/* The living occupant's own: not the truth of anything shared. */
static uint32_t *mine(mp_semaphore *s, uint32_t slot)
{
	return (uint32_t *)(void *)(s->count + s->nslots) + slot;
}

/* ---- under the latch ----------------------------------------------------------- */

static void discharge_others(const mp_shm *shm, mp_semaphore *s, uint32_t n)
{
	uint32_t high = atomic_load(&shm->h->slots_high);
	uint32_t i = hint(&s->holder);
	for (uint32_t tries = 0; n && tries < high; tries++, i = i + 1 < high ? i + 1 : 0) {
		uint64_t c = get(s, i);
		uint32_t k = min(n, held_of(c));
		if (!k)
			continue;
		set(s, i, word(spent_of(c), held_of(c) - k));
		n -= k;
		atomic_store_explicit(&s->holder, i, memory_order_relaxed);
	}
}

/* A release of n by the actor in slot: see the header. */
static void give(const mp_shm *shm, mp_semaphore *s, uint32_t slot, uint32_t n)
{
	uint64_t c = get(s, slot);
	uint32_t value = hint(&s->value), held = hint(&s->held);
	uint32_t own = min(n, held_of(c)), others = n - own;
	int64_t spent = (int64_t)s->start - value - held;
	if (spent > 0)
		others -= min(others, (uint32_t)spent);
	others = min(others, held - own);
	if (others && n > 1)
		atomic_store(&s->goal, GOAL | (uint64_t)slot << 32 | (value + n));
	if (n > others)
		set(s, slot, word(spent_of(c) - (n - own - others), held_of(c) - own));
	if (others)
		discharge_others(shm, s, others);
	set_hints(s, value + n, held - own - others);
	if (others && n > 1)
		atomic_store_explicit(&s->goal, 0, memory_order_release);
}

/* The latch's last owner died: counts again, completes what it had begun. */
static void repair(const mp_shm *shm, mp_semaphore *s)
{
	uint32_t high = atomic_load(&shm->h->slots_high), value = s->start, held = 0;
	uint64_t goal = atomic_load(&s->goal);
	for (uint32_t i = 0; i < high; i++) {
		uint64_t c = get(s, i);
		value -= spent_of(c) + held_of(c);
		held += held_of(c);
	}
	set_hints(s, value, held);
	if (goal)
		give(shm, s, goal >> 32 & (MP_MAX_SLOTS - 1), (uint32_t)goal - value);
	atomic_store(&s->goal, 0);
	mp_ec_notify(&s->ec, INT_MAX);
}

static void lock(mp_self *me, mp_semaphore *s)
{
	if (mp_latch_hold(me, &s->latch) == MP_ABANDONED)
		repair(me->shm, s);
}

static bool take(mp_self *me, mp_semaphore *s)
{
	uint32_t slot = mp_aid_slot(me->aid), value;
	me->counts = true;
	lock(me, s);
	value = hint(&s->value);
	if (value) {
		set(s, slot, get(s, slot) + 1);
		set_hints(s, value - 1, hint(&s->held) + 1);
		++*mine(s, slot);
	}
	mp_unlatch(me, &s->latch);
	return value != 0;
}

/* ---- operations ------------------------------------------------------------------ */

static bool ready(void *arg)
{
	return atomic_load(&((mp_semaphore *)arg)->value) != 0;
}

int mp_semaphore_acquire(mp_self *me, mp_semaphore *s, int64_t deadline)
{
	const mp_wait as = { MP_W_SEMAPHORE, s->self, &s->latch, false };
	while (!take(me, s)) {
		int rc = deadline ? mp_ec_wait(me, &s->ec, ready, s, deadline, &as) : MP_TIMEOUT;
		if (rc == MP_TIMEOUT || rc == MP_INTERRUPTED)
			return rc;
	}
	return MP_OK;
}

int mp_semaphore_release(mp_self *me, mp_semaphore *s, uint32_t n)
{
	uint32_t slot = mp_aid_slot(me->aid);
	bool room;
	lock(me, s);
	room = n <= (s->bounded ? s->start : MP_SEMAPHORE_MAX) - hint(&s->value);
	if (room) {
		give(me->shm, s, slot, n);
		*mine(s, slot) -= min(n, *mine(s, slot));
	}
	mp_unlatch(me, &s->latch);
	if (!room)
		return -EOVERFLOW;
	mp_ec_notify(&s->ec, (int)n);
	return MP_OK;
}

uint32_t mp_semaphore_value(mp_self *me, mp_semaphore *s)
{
	uint32_t value;
	lock(me, s);
	value = hint(&s->value);
	mp_unlatch(me, &s->latch);
	return value;
}

uint32_t mp_semaphore_mine(const mp_self *me, mp_semaphore *s)
{
	return *mine(s, mp_aid_slot(me->aid));
}

/* ---- an actor's end ---------------------------------------------------------------- */

static void release(mp_self *me, void *body, mp_aid dead)
{
	mp_semaphore *s = body;
	uint32_t slot = mp_aid_slot(dead), n;
	uint64_t c;
	lock(me, s);
	c = get(s, slot);
	n = held_of(c);
	if (n) {
		set(s, slot, word(spent_of(c), 0));
		set_hints(s, hint(&s->value) + n, hint(&s->held) - n);
	}
	*mine(s, slot) = 0;
	mp_unlatch(me, &s->latch);
	if (n)
		mp_ec_notify(&s->ec, (int)n);
}

static void leave(mp_self *me, void *body)
{
	mp_semaphore *s = body;
	uint32_t slot = mp_aid_slot(me->aid), n;
	uint64_t c;
	lock(me, s);
	c = get(s, slot);
	n = held_of(c);
	if (n) {
		set(s, slot, word(spent_of(c) + n, 0));
		set_hints(s, hint(&s->value), hint(&s->held) - n);
	}
	*mine(s, slot) = 0;
	mp_unlatch(me, &s->latch);
}

static void wake(mp_self *me, void *body)
{
	(void)me;
	mp_ec_notify(&((mp_semaphore *)body)->ec, INT_MAX);
}

static bool stuck(const mp_shm *shm, void *body, mp_aid who, uint32_t what, mp_aid *on)
{
	(void)shm;
	(void)who;
	*on = 0;
	return what == MP_W_SEMAPHORE && !ready(body);
}

const mp_type_ops mp_semaphore_ops = {
	.name = "Semaphore",
	.release = release,
	.leave = leave,
	.wake = wake,
	.stuck = stuck,
};
