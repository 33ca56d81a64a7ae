/* latch: the slow path; see latch.h for the argument.
 *
 * SPDX-License-Identifier: MIT */
#include "latch.h"

#include "eventcount.h"
#include "sleep.h"

#define TURNS 400  /* of spinning: about as long as a wake-up takes */
#define CROWD 200  /* where more actors run than there are processors */
#define APART 16   /* turns between two looks at most: a look takes the line away
                    * from the owner, who holds it for a few turns only */

/* Takes it if it is free or its owner is known dead. -1: neither. */
static int seize(mp_self *me, mp_word *w, uint32_t v)
{
	uint32_t owner = v & MP_AID_MASK;
	int rc = owner || v & MP_ORPHAN ? MP_ABANDONED : MP_OK;
	if (owner && !mp_gone(me->shm, owner))
		return -1;
	/* WAIT stays set: there may be sleepers that we cannot count. */
	return atomic_compare_exchange_strong(w, &v, me->aid | MP_WAIT) ? rc : -1;
}

static int turns(const mp_self *me)
{
	int n = mp_spin_turns(me, TURNS);
	return n || me->spin >= 0 || me->shm->h->ncpu == 1 ? n : CROWD;
}

static bool spin(mp_self *me, mp_word *w)
{
	int left = turns(me);
	for (int apart = 1; left > 0; apart = apart < APART ? apart * 2 : apart) {
		uint32_t v = atomic_load_explicit(w, memory_order_relaxed);
		if (v == 0 && atomic_compare_exchange_weak_explicit(w, &v, me->aid,
		        memory_order_acquire, memory_order_relaxed))
			return true;
		for (int i = 0; i < apart; i++)
			mp_pause();
		left -= apart;
	}
	return false;
}

int mp_latch_slow(mp_self *me, mp_word *w, int64_t deadline, const mp_wait *as)
{
	static const mp_wait internal = { MP_W_LOCK, 0, NULL, true };
	mp_wait rec = as ? *as : internal;
	mp_sleeper sl = { .me = me, .as = &rec, .deadline = deadline };
	int rc, over = deadline == 0 ? MP_TIMEOUT : MP_OK;
	rec.probe = w;
	if (!over && spin(me, w))
		return MP_OK;
	for (;;) {
		uint32_t v = atomic_load(w);
		rc = seize(me, w, v);
		if (rc >= 0)
			break;
		if (v != atomic_load(w))
			continue;
		if ((rc = over) != MP_OK)
			break;
		if (!(v & MP_WAIT) && !atomic_compare_exchange_strong(w, &v, v | MP_WAIT))
			continue;
		over = mp_sleep_on(&sl, w, v | MP_WAIT, MP_SLICE / 2);
		if (over == MP_ABANDONED)  /* the next look seizes it */
			over = MP_OK;
	}
	mp_sleep_end(&sl);
	return rc;
}

void mp_latch_orphan(mp_word *w, mp_aid dead)
{
	uint32_t v = atomic_load(w);
	while ((v & MP_AID_MASK) == dead)
		if (atomic_compare_exchange_weak(w, &v, MP_ORPHAN)) {
			mp_futex_wake(w, 1);
			return;
		}
}
