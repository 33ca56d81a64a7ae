/* lock: see lock.h.
 *
 * SPDX-License-Identifier: MIT */
#include "lock.h"

static int init(mp_self *me, void *body, void *arg)
{
	mp_lock *l = body;
	(void)me;
	l->self = *(mp_handle *)arg;
	return MP_OK;
}

int mp_lock_create(mp_self *me, mp_handle *h)
{
	return mp_obj_create(me, MP_T_LOCK, sizeof(mp_lock), init, h, h);
}

int mp_lock_acquire(mp_self *me, mp_lock *l, int64_t deadline)
{
	mp_wait as = { MP_W_LOCK, l->self, NULL, false };
	int rc;
	if (deadline == MP_FOREVER && mp_latch_mine(me, &l->latch))
		return -EDEADLK;
	rc = mp_latch(me, &l->latch, deadline, &as);
	me->held += rc == MP_OK || rc == MP_ABANDONED;
	if (rc == MP_ABANDONED)
		atomic_fetch_add(&l->thefts, 1);
	return rc;
}

int mp_lock_release(mp_self *me, mp_lock *l)
{
	if (!mp_lock_owner(l))
		return -EPERM;
	me->held -= mp_latch_mine(me, &l->latch);
	mp_unlatch(me, &l->latch);
	return MP_OK;
}

mp_aid mp_lock_owner(const mp_lock *l)
{
	return atomic_load_explicit(&l->latch, memory_order_relaxed) & MP_AID_MASK;
}

void mp_lock_forsake(mp_self *me, void *body, mp_aid dead)
{
	(void)me;
	mp_latch_orphan(&((mp_lock *)body)->latch, dead);
}

void mp_lock_wake(mp_self *me, void *body)
{
	mp_word *w = &((mp_lock *)body)->latch;
	(void)me;
	if (atomic_load(w) & MP_WAIT)
		mp_futex_wake(w, INT_MAX);
}

bool mp_lock_stuck(const mp_shm *s, void *body, mp_aid who, uint32_t what, mp_aid *on)
{
	*on = mp_lock_owner(body);
	return what == MP_W_LOCK && *on && *on != who && !mp_gone(s, *on);
}

const mp_type_ops mp_lock_ops = {
	.name = "Lock", .release = mp_lock_forsake, .wake = mp_lock_wake,
	.stuck = mp_lock_stuck
};
