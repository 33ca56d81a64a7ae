/* eventcount: see eventcount.h for the argument.
 *
 * SPDX-License-Identifier: MIT */
#include "eventcount.h"

#include "sleep.h"

#define TURNS 600  /* of spinning: a futex wake-up costs 20 to 50 us */
#define VAIN  4    /* so many spins in vain, and it is tried now and then only: */
#define TRY   16   /* one wait in so many */
#define WORST 32

int mp_ec_notify_slow(mp_ec *ec, int n)
{
	uint32_t v = atomic_load(ec), next;
	int woken;
	do {
		if (!(v & 1))
			return 0;
		next = v + 2;
	} while (!atomic_compare_exchange_weak(ec, &v, next));
	woken = mp_futex_wake(ec, n);
	/* Everybody is awake: clear the bit, and move the sequence with it, or
	 * one that prepares just now would be missed. */
	if (woken < n && atomic_compare_exchange_strong(ec, &next, (next + 2) & ~1u))
		mp_futex_wake(ec, INT_MAX);
	return woken;
}

/* Where strangers keep the processors busy, who spins only keeps whoever is
 * waited for from running: spins while that has helped of late. */
bool mp_ec_spin(mp_self *me, uint32_t looks, bool (*ready)(void *arg), void *arg)
{
	int i = mp_spin_turns(me, TURNS) / (int)looks;
	if (i == 0 || (me->spin < 0 && me->vain >= VAIN && ++me->waited % TRY))
		return false;
	for (; i > 0; i--) {
		mp_pause();
		if (ready(arg)) {
			me->vain /= 2;
			return true;
		}
	}
	me->vain += me->vain < WORST;
	return false;
}

int mp_ec_wait(mp_self *me, mp_ec *ec, bool (*ready)(void *arg), void *arg,
               int64_t deadline, const mp_wait *as)
{
	mp_sleeper sl = { .me = me, .as = as, .deadline = deadline };
	int rc = MP_OK;
	if (ready(arg))
		return MP_OK;
	if (deadline == 0)
		return MP_TIMEOUT;
	if (mp_ec_spin(me, 1, ready, arg))
		return MP_OK;
	while (rc == MP_OK) {
		uint32_t seen = mp_ec_prepare(ec);
		if (ready(arg))
			break;
		/* Woken for nothing that it waits for: by a sweep, perhaps. */
		if (sl.begun && !as->quiet && me->interrupted && me->interrupted(me, me->ud)) {
			rc = MP_INTERRUPTED;
			break;
		}
		rc = mp_sleep_on(&sl, ec, seen, MP_SLICE);
	}
	mp_sleep_end(&sl);
	if (rc == MP_TIMEOUT && ready(arg))
		rc = MP_OK;
	return rc;
}

int mp_ec_sleep(mp_self *me, mp_ec *ec, uint32_t seen, int64_t deadline, const mp_wait *as)
{
	mp_sleeper sl = { .me = me, .as = as, .deadline = deadline };
	int rc = mp_sleep_on(&sl, ec, seen, MP_SLICE);
	mp_sleep_end(&sl);
	return rc;
}
