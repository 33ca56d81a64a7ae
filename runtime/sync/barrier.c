/* barrier: see barrier.h.
 *
 * SPDX-License-Identifier: MIT */
#include "barrier.h"

#include <errno.h>

#include "../base/crash.h"

/* Kinds of state, in the bits above an aid. */
#define KIND      (~MP_AID_MASK)
#define OPEN      0x00000000u
#define ACTION    0x10000000u
#define BROKEN    0x20000000u
#define PASSING   0x30000000u
#define BREAKING  0x40000000u
#define RESETTING 0x50000000u

/* Seats: what became of it, above the number of the arrival. */
#define FATE       0xff000000u
#define WAITING    0x01000000u
#define PASSED     0x02000000u
#define FRUSTRATED 0x03000000u

_Static_assert(sizeof(mp_barrier) == 128, "the head is two lines");

struct settings {
	uint32_t parties;
	bool has_action;
	double timeout;
	const mp_handle *self;
};

static int init(mp_self *me, void *body, void *arg)
{
	const struct settings *set = arg;
	mp_barrier *b = body;
	(void)me;
	b->parties = set->parties;
	b->has_action = set->has_action;
	b->timeout = set->timeout;
	b->self = *set->self;
	return MP_OK;
}

int mp_barrier_create(mp_self *me, uint32_t parties, bool has_action, double timeout, mp_handle *h)
{
	struct settings set = { parties, has_action, timeout, h };
	uint64_t size = sizeof(mp_barrier) + me->shm->h->nslots * sizeof(mp_word);
	/* Whole double lines: never the size that the sweep takes for a
	 * queue's segment. */
	return mp_obj_create(me, MP_T_BARRIER, (size + 127) & ~UINT64_C(127), init, &set, h);
}

/* ---- under the latch -------------------------------------------------------------- */

static uint32_t state_of(const mp_barrier *b) { return atomic_load(&b->state); }
static mp_word *seat_of(mp_barrier *b, mp_aid a) { return &b->seat[mp_aid_slot(a)]; }
static bool waiting(const mp_word *seat) { return (atomic_load(seat) & FATE) == WAITING; }

/* What follows from the state, if that is a decision. */
static void conclude(const mp_shm *shm, mp_barrier *b)
{
	uint32_t state = state_of(b), high = atomic_load(&shm->h->slots_high);
	uint32_t fate = state == PASSING ? PASSED : FRUSTRATED;
	for (uint32_t i = 0; i < high; i++)
		if (waiting(&b->seat[i]))
			atomic_store(&b->seat[i], fate | (atomic_load(&b->seat[i]) & ~FATE));
	MP_CRASHPOINT("barrier.seats");
	atomic_store(&b->arrived, 0);
	atomic_store(&b->state, state == BREAKING ? BROKEN : OPEN);
}

static void decide(mp_self *me, mp_barrier *b, uint32_t decision)
{
	MP_CRASHPOINT("barrier.deciding");
	atomic_store(&b->state, decision);
	MP_CRASHPOINT("barrier.decided");
	conclude(me->shm, b);
}

/* The latch's last owner died: it may have left a decision half done, or have
 * been one of those who wait. */
static void repair(mp_self *me, mp_barrier *b)
{
	const mp_shm *shm = me->shm;
	uint32_t kind = state_of(b) & KIND, high = atomic_load(&shm->h->slots_high), n = 0;
	bool dead = false;
	if (kind == PASSING || kind == BREAKING || kind == RESETTING)
		conclude(shm, b);
	for (uint32_t i = 0; i < high; i++)
		if (waiting(&b->seat[i])) {
			n++;
			dead = dead || mp_gone(shm, mp_slot_aid(shm, i));
		}
	atomic_store(&b->arrived, n);
	if (dead)
		decide(me, b, BREAKING);
	mp_ec_notify(&b->ec, INT_MAX);
}

static void lock(mp_self *me, mp_barrier *b)
{
	if (mp_latch_hold(me, &b->latch) == MP_ABANDONED)
		repair(me, b);
}

static void unlock(mp_self *me, mp_barrier *b, bool decided)
{
	mp_unlatch(me, &b->latch);
	if (decided)
		mp_ec_notify(&b->ec, INT_MAX);
}

/* Takes a seat; *passed: it was the last, and there is no action. */
static int sit(mp_self *me, mp_barrier *b, bool *passed)
{
	uint32_t n = atomic_load(&b->arrived) + 1;
	me->held++;  /* to be swept, should it end here */
	MP_CRASHPOINT("barrier.arriving");
	atomic_store(seat_of(b, me->aid), WAITING | n);
	MP_CRASHPOINT("barrier.arrived");
	atomic_store(&b->arrived, n);
	if (n < b->parties)
		return MP_OK;
	if (b->has_action) {
		atomic_store(&b->state, ACTION | me->aid);
		return MP_LAST;
	}
	decide(me, b, PASSING);
	*passed = true;
	return MP_OK;
}

/* ---- waiting ------------------------------------------------------------------------ */

static bool admitted(void *arg)
{
	return (state_of(arg) & KIND) != ACTION;
}

/* Another pass is complete, and its action runs. */
static int await_admission(mp_self *me, mp_barrier *b, int64_t deadline)
{
	const mp_wait as = { MP_W_BARRIER, b->self, &b->latch, false };
	int rc = mp_ec_wait(me, &b->ec, admitted, b, deadline, &as);
	if (rc != MP_TIMEOUT)
		return rc;
	mp_barrier_abort(me, b);
	return MP_BROKEN;
}

int mp_barrier_arrive(mp_self *me, mp_barrier *b, int64_t deadline)
{
	for (;;) {
		bool passed = false;
		int rc = MP_EMPTY;
		uint32_t kind;
		lock(me, b);
		kind = state_of(b) & KIND;
		if (atomic_load(seat_of(b, me->aid)))
			rc = -EDEADLK;
		else if (kind == BROKEN)
			rc = MP_BROKEN;
		else if (kind == OPEN)
			rc = sit(me, b, &passed);
		unlock(me, b, passed);
		if (rc != MP_EMPTY)
			return rc;
		rc = await_admission(me, b, deadline);
		if (rc == MP_BROKEN || rc == MP_INTERRUPTED)
			return rc;
	}
}

void mp_barrier_finish(mp_self *me, mp_barrier *b)
{
	bool mine;
	lock(me, b);
	mine = state_of(b) == (ACTION | me->aid);
	if (mine)
		decide(me, b, PASSING);
	unlock(me, b, mine);
}

/* Leaves the seat, after breaking the barrier if it is still WAITING. */
static uint32_t stand_up(mp_self *me, mp_barrier *b)
{
	mp_word *seat = seat_of(b, me->aid);
	uint32_t was = atomic_load(seat);
	if ((was & FATE) == WAITING) {
		bool decided;
		lock(me, b);
		decided = waiting(seat);
		if (decided)
			decide(me, b, BREAKING);
		was = atomic_load(seat);
		unlock(me, b, decided);
	}
	atomic_store(seat, 0);
	me->held -= was != 0;
	return was;
}

static bool decided(void *seat)
{
	return !waiting(seat);
}

int mp_barrier_await(mp_self *me, mp_barrier *b, int64_t deadline, uint32_t *seat)
{
	const mp_wait as = { MP_W_BARRIER, b->self, &b->latch, false };
	mp_word *mine = seat_of(b, me->aid);
	uint32_t was;
	int rc;
	while ((rc = mp_ec_wait(me, &b->ec, decided, mine, deadline, &as)) == MP_ABANDONED) {
		lock(me, b);
		unlock(me, b, false);
	}
	if (rc == MP_INTERRUPTED)
		return rc;
	was = stand_up(me, b);
	*seat = was & ~FATE;
	return (was & FATE) == PASSED ? MP_OK : MP_BROKEN;
}

void mp_barrier_leave(mp_self *me, mp_barrier *b)
{
	stand_up(me, b);
}

/* ---- from outside --------------------------------------------------------------------- */

void mp_barrier_abort(mp_self *me, mp_barrier *b)
{
	lock(me, b);
	decide(me, b, BREAKING);
	unlock(me, b, true);
}

void mp_barrier_reset(mp_self *me, mp_barrier *b)
{
	lock(me, b);
	decide(me, b, RESETTING);
	unlock(me, b, true);
}

uint32_t mp_barrier_look(mp_self *me, mp_barrier *b, bool *broken)
{
	uint32_t n;
	lock(me, b);
	n = atomic_load(&b->arrived);
	if (broken)
		*broken = state_of(b) == BROKEN;
	unlock(me, b, false);
	return n;
}

/* ---- the object's part ------------------------------------------------------------------ */

static void release(mp_self *me, void *body, mp_aid dead)
{
	mp_barrier *b = body;
	mp_word *seat = seat_of(b, dead);
	bool broken;
	lock(me, b);
	broken = waiting(seat);
	if (broken)
		decide(me, b, BREAKING);
	atomic_store(seat, 0);
	unlock(me, b, broken);
}

static void wake(mp_self *me, void *body)
{
	(void)me;
	mp_ec_notify(&((mp_barrier *)body)->ec, INT_MAX);
}

static void destroy(mp_self *me, void *body)
{
	mp_stored_free(me, &((mp_barrier *)body)->action);
}

static void contents(mp_self *me, void *body, void (*mark)(void *ud, mp_handle h), void *ud)
{
	mp_stored_mark(me->shm, &((mp_barrier *)body)->action, mark, ud);
}

static bool stuck(const mp_shm *shm, void *body, mp_aid who, uint32_t what, mp_aid *on)
{
	mp_barrier *b = body;
	uint32_t seat = atomic_load(seat_of(b, who));
	(void)shm;
	*on = 0;
	if (what != MP_W_BARRIER)
		return false;
	return seat ? (seat & FATE) == WAITING : !admitted(b);
}

const mp_type_ops mp_barrier_ops = {
	.name = "Barrier",
	.release = release,
	.wake = wake,
	.destroy = destroy,
	.stuck = stuck,
	.contents = contents,
};
