/* sweep: cleaning up after an actor that ended.
 *
 * Order, each step idempotent: what the dead had committed is finished; what
 * it held goes back; its claims and blocks; its handles; everybody is woken;
 * the slot is freed last. One sweep at a time (recovery), and only of a slot
 * that is DEAD in that generation, so a late sweeper does nothing.
 * Crash: a sweeper that is killed leaves the slot DEAD; the next one does it
 * all again. Its own latches name it, and are stolen.
 *
 * SPDX-License-Identifier: MIT */
#include "object.h"

#include "../base/crash.h"
#include "eventcount.h"

enum pass { REPAIR, RELEASE, WAKE };

static void all_objects(mp_self *me, mp_aid dead, enum pass pass)
{
	mp_shm *s = me->shm;
	uint32_t high = atomic_load(&s->h->objs_high);
	for (uint32_t i = 1; i < high; i++) {
		uint64_t w = atomic_load(&s->objs[i].word);
		const mp_type_ops *ops = s->types[(w >> 8) & 0xff];
		void *body = mp_at(s, atomic_load(&s->objs[i].body));
		if ((w & 0xff) != MP_OBJ_LIVE || !ops || body == s->base)
			continue;
		if (pass == REPAIR && ops->repair)
			ops->repair(me, body, dead);
		else if (pass == RELEASE && ops->release)
			ops->release(me, body, dead);
		else if (pass == WAKE && ops->wake)
			ops->wake(me, body);
	}
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
			if (phase == MP_SLOT_RESERVED && mp_slot_kill(s, aid)) {
				mp_obj_forget(me, aid);
				mp_slot_free(s, aid);
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
	all_objects(me, dead, REPAIR);
	MP_CRASHPOINT("sweep.repaired");
	all_objects(me, dead, RELEASE);
	MP_CRASHPOINT("sweep.released");
	mp_obj_sweep(me, dead);
	mp_blocks_sweep(me, dead);
	MP_CRASHPOINT("sweep.blocks");
	atomic_store(&mp_slot_of(me->shm, dead)->commit, 0);
	all_objects(me, dead, WAKE);
	mp_ec_notify(&me->shm->h->memory, INT_MAX);
}

bool mp_sweep(mp_self *me, mp_aid dead)
{
	mp_shm *s = me->shm;
	bool done = false;
	if (mp_slot_phase(s, dead) != MP_SLOT_DEAD)
		return false;
	mp_latch_hold(me, &s->h->recovery);
	if (mp_slot_phase(s, dead) == MP_SLOT_DEAD) {
		free_latch(&s->h->large, dead);
		free_latch(&s->h->stdio, dead);
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
