/* rlock: see rlock.h.
 *
 * SPDX-License-Identifier: MIT */
#include "rlock.h"

#include "../base/crash.h"

static int init(mp_self *me, void *body, void *arg)
{
	(void)me;
	((mp_rlock *)body)->lock.self = *(mp_handle *)arg;
	return MP_OK;
}

int mp_rlock_create(mp_self *me, mp_handle *h)
{
	return mp_obj_create(me, MP_T_RLOCK, sizeof(mp_rlock), init, h, h);
}

uint32_t mp_rlock_depth(const mp_rlock *l)
{
	return atomic_load_explicit(&l->depth, memory_order_relaxed);
}

void mp_rlock_restore(mp_rlock *l, uint32_t depth)
{
	atomic_store_explicit(&l->depth, depth, memory_order_relaxed);
}

int mp_rlock_acquire(mp_self *me, mp_rlock *l, int64_t deadline)
{
	int rc;
	if (mp_latch_mine(me, &l->lock.latch)) {
		uint32_t depth = mp_rlock_depth(l);
		if (depth == UINT32_MAX)
			return -EOVERFLOW;
		mp_rlock_restore(l, depth + 1);
		return MP_OK;
	}
	rc = mp_lock_acquire(me, &l->lock, deadline);
	MP_CRASHPOINT("rlock.taken");
	if (rc == MP_OK || rc == MP_ABANDONED)
		mp_rlock_restore(l, 1);
	return rc;
}

int mp_rlock_release(mp_self *me, mp_rlock *l)
{
	uint32_t depth = mp_rlock_depth(l);
	if (!mp_latch_mine(me, &l->lock.latch))
		return -EPERM;
	if (depth == 1)
		return mp_lock_release(me, &l->lock);
	mp_rlock_restore(l, depth - 1);
	return MP_OK;
}

uint32_t mp_rlock_leave(mp_self *me, mp_rlock *l)
{
	uint32_t depth = mp_rlock_depth(l);
	if (!mp_latch_mine(me, &l->lock.latch))
		return 0;
	mp_lock_release(me, &l->lock);
	return depth;
}

const mp_type_ops mp_rlock_ops = {
	.name = "RLock", .release = mp_lock_forsake, .wake = mp_lock_wake,
	.stuck = mp_lock_stuck
};
