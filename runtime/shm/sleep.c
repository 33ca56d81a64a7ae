/* sleep: see sleep.h.
 *
 * Crash: a sleeper killed here leaves its record and the count of awake
 * actors wrong; both are hints, and the sweep resets them.
 *
 * SPDX-License-Identifier: MIT */
#include "sleep.h"

#include <poll.h>

#include "eventcount.h"

int mp_spin_turns(const mp_self *me, int wanted)
{
	if (me->spin >= 0)
		return me->spin;
	return atomic_load_explicit(&me->shm->h->awake, memory_order_relaxed) <=
	       (int32_t)me->shm->h->ncpu ? wanted : 0;
}

static void begin(mp_sleeper *sl)
{
	mp_wait_record *r = &sl->me->slot->wait;
	if (sl->begun)
		return;
	sl->begun = true;
	if (!sl->as->quiet && sl->me->before_sleep)
		sl->me->before_sleep(sl->me, sl->me->ud);
	/* A latch's, in a hook of the wait that is on record. */
	if (atomic_load_explicit(&r->what, memory_order_relaxed) != MP_W_NONE)
		return;
	sl->recorded = true;
	atomic_store_explicit(&r->object, sl->as->object, memory_order_relaxed);
	atomic_store_explicit(&r->since, mp_now(), memory_order_relaxed);
	atomic_store_explicit(&r->deadline, sl->deadline, memory_order_relaxed);
	atomic_store_explicit(&r->what, sl->as->what, memory_order_release);
}

void mp_sleep_end(mp_sleeper *sl)
{
	if (sl->recorded)
		atomic_store_explicit(&sl->me->slot->wait.what, MP_W_NONE, memory_order_release);
	sl->begun = sl->recorded = false;
}

/* What a waiter does when a slice ends: it finds deaths by itself. True: the
 * holder of the latch that it should probe is dead. */
static bool look_around(mp_sleeper *sl)
{
	mp_self *me = sl->me;
	bool dead = false;
	if (sl->as->probe) {
		uint32_t owner = atomic_load(sl->as->probe) & MP_AID_MASK;
		dead = owner && owner != me->aid && mp_probe(me->shm, owner);
	}
	if (!sl->as->quiet && me->slice)
		me->slice(me, me->ud);
	return dead;
}

static void falls_asleep(mp_self *me)
{
	atomic_store_explicit(&me->slot->asleep, 1, memory_order_relaxed);
	atomic_fetch_sub_explicit(&me->shm->h->awake, 1, memory_order_relaxed);
}

static void wakes(mp_self *me)
{
	atomic_fetch_add_explicit(&me->shm->h->awake, 1, memory_order_relaxed);
	atomic_store_explicit(&me->slot->asleep, 0, memory_order_relaxed);
}

int mp_sleep_on(mp_sleeper *sl, mp_word *w, uint32_t seen, int64_t slice)
{
	mp_self *me = sl->me;
	int64_t now, until;
	int rc;
	begin(sl);
	now = mp_now();
	if (now >= sl->deadline)
		return MP_TIMEOUT;
	until = sl->deadline - now < slice ? sl->deadline : now + slice;
	falls_asleep(me);
	rc = mp_futex_wait(w, seen, until);
	wakes(me);
	if (rc == 0)
		return MP_OK;
	if (rc == -ETIMEDOUT && look_around(sl))
		return MP_ABANDONED;
	if (!sl->as->quiet && me->interrupted && me->interrupted(me, me->ud))
		return MP_INTERRUPTED;
	return rc == -ETIMEDOUT && mp_now() >= sl->deadline ? MP_TIMEOUT : MP_OK;
}

int mp_sleep_in_poll(mp_sleeper *sl, struct pollfd *p, unsigned n)
{
	mp_self *me = sl->me;
	int64_t now, ns;
	int r, err;
	begin(sl);
	now = mp_now();
	if (now >= sl->deadline)
		return poll(p, n, 0) > 0 ? MP_OK : MP_TIMEOUT;
	ns = sl->deadline - now < MP_SLICE ? sl->deadline - now : MP_SLICE;
	falls_asleep(me);
	r = ppoll(p, n, &(struct timespec){ 0, ns }, NULL);
	err = errno;
	wakes(me);
	if (r > 0)
		return MP_OK;
	if (r == 0)
		look_around(sl);
	if (me->interrupted && me->interrupted(me, me->ud))
		return MP_INTERRUPTED;
	return r < 0 && err != EINTR ? -err : MP_EMPTY;
}
