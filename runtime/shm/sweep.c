/* sweep: cleaning up after an actor that ended.
 *
 * Order, each step idempotent: the commands that it ran are killed; what the
 * dead had committed is finished; what it held goes back; its claims and blocks;
 * its handles; everybody is woken; the slot is freed last. One sweep at a time
 * (recovery), and only of a slot that is DEAD in that generation, so a late
 * sweeper does nothing.
 * Crash: a sweeper that is killed leaves the slot DEAD; the next one does it
 * all again. Its own latches name it, and are stolen.
 *
 * SPDX-License-Identifier: MIT */
#include "object.h"

#include "../base/crash.h"
#include "eventcount.h"

static void repair(mp_self *me, const mp_type_ops *ops, void *body, void *dead)
{
	if (ops->repair)
		ops->repair(me, body, *(mp_aid *)dead);
}

static void release(mp_self *me, const mp_type_ops *ops, void *body, void *dead)
{
	if (ops->release)
		ops->release(me, body, *(mp_aid *)dead);
}

static void wake(mp_self *me, const mp_type_ops *ops, void *body, void *dead)
{
	(void)dead;
	if (ops->wake)
		ops->wake(me, body);
}

static void free_latch(mp_word *w, mp_aid dead)
{
	uint32_t v = atomic_load(w);
	while ((v & MP_AID_MASK) == dead)
		if (atomic_compare_exchange_weak(w, &v, 0)) {
			mp_futex_wake(w, 1);
			return;
		}
}

/* Slots that the dead reserved and that never came to life; awake is counted
 * anew on the way. */
static void sweep_slots(mp_self *me, mp_aid dead)
{
	mp_shm *s = me->shm;
	uint32_t high = atomic_load(&s->h->slots_high);
	int32_t awake = 0;
	for (uint32_t i = 1; i < high; i++) {
		mp_slot *sl = &s->slots[i];
		mp_aid aid = mp_slot_aid(s, i);
		uint32_t phase = mp_slot_phase(s, aid), by = dead;
		if (atomic_load(&sl->parent) == dead && aid != dead) {
			/* DEAD: who revoked it, or gave it up, was killed. */
			if ((phase == MP_SLOT_RESERVED || phase == MP_SLOT_DEAD) &&
			    mp_slot_set_pid(s, aid, MP_NOBODY)) {
				mp_slot_kill(s, aid);
				mp_obj_forget(me, aid);
				mp_slot_cancel(s, aid);
			} else if (phase == MP_SLOT_FREE) {
				atomic_compare_exchange_strong(&sl->parent, &by, 0);
			}
		}
		if (phase == MP_SLOT_LIVE && !atomic_load(&sl->asleep) &&
		    atomic_load(&sl->kind) != MP_KIND_KEEPER)
			awake++;
		if (atomic_load_explicit(&sl->doorbell, memory_order_relaxed) & 1)
			mp_ec_notify(&sl->doorbell, INT_MAX);
	}
	atomic_store(&s->h->awake, awake);
}

static void sweep_dirty(mp_self *me, mp_aid dead)
{
	mp_obj_visit(me, repair, &dead);
	MP_CRASHPOINT("sweep.repaired");
	mp_obj_visit(me, release, &dead);
	MP_CRASHPOINT("sweep.released");
	mp_obj_sweep(me, dead);
	mp_blocks_sweep(me, dead);
	MP_CRASHPOINT("sweep.blocks");
	atomic_store(&mp_slot_of(me->shm, dead)->commit, 0);
	mp_obj_visit(me, wake, &dead);
	mp_obj_ring_all(me);
	mp_ec_notify(&me->shm->h->memory, INT_MAX);
	mp_obj_loosened(me);  /* it may have died in a collection */
}

bool mp_sweep(mp_self *me, mp_aid dead)
{
	mp_shm *s = me->shm;
	bool done = false;
	if (mp_slot_phase(s, dead) != MP_SLOT_DEAD)
		return false;
	mp_latch_hold(me, &s->h->recovery);
	if (mp_slot_phase(s, dead) == MP_SLOT_DEAD) {
		mp_slot_kill_groups(mp_slot_of(s, dead));
		free_latch(&s->h->large, dead);
		free_latch(&s->h->stdio, dead);
		mp_latch_orphan(&s->h->store, dead);
		if (!atomic_load(&mp_slot_of(s, dead)->clean))
			sweep_dirty(me, dead);
		mp_obj_forget(me, dead);
		sweep_slots(me, dead);
		MP_CRASHPOINT("sweep.slots");
		mp_slot_free(s, dead);
		done = true;
	}
	mp_unlatch(me, &s->h->recovery);
	return done;
}

void mp_sweep_all(mp_self *me)
{
	mp_shm *s = me->shm;
	uint32_t high = atomic_load(&s->h->slots_high);
	for (uint32_t i = 1; i < high; i++) {
		mp_aid aid = mp_slot_aid(s, i);
		uint32_t phase = mp_slot_phase(s, aid);
		if (aid != me->aid && phase != MP_SLOT_FREE && mp_probe(s, aid))
			mp_sweep(me, aid);
	}
}
