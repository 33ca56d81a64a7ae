/* slot: who takes part in the runtime.
 *
 * Layout: mp_slot. The state word is phase | generation << 16.
 * Invariant: FREE -> RESERVED -> LIVE -> DEAD -> FREE (next generation); every
 * step is one CAS on that word, which fails for a stale generation. parent
 * claims a free slot before anything else is written to it.
 * Crash: a creator killed at any point leaves its aid in parent; the sweep
 * frees a slot that never came to life. DEAD stays until one sweep is done.
 *
 * SPDX-License-Identifier: MIT */
#include "shm.h"

#include <string.h>

#include "../base/crash.h"
#include "../base/pid.h"

#define NO_PARENT MP_AID_MASK  /* of the first actors */

mp_aid mp_slot_aid(const mp_shm *s, uint32_t slot)
{
	return mp_aid_make(slot, atomic_load(&s->slots[slot].state) >> 16);
}

uint32_t mp_slot_phase(const mp_shm *s, mp_aid aid)
{
	uint32_t w = atomic_load_explicit(&mp_slot_of(s, aid)->state, memory_order_acquire);
	return w >> 16 == mp_aid_gen(aid) ? w & 0xffff : MP_SLOT_FREE;
}

static uint64_t pid_word(uint32_t gen, uint32_t pid)
{
	return (uint64_t)gen << 32 | pid;
}

/* Both words of the pid at once; little-endian, as all that we run on. */
static _Atomic uint64_t *pid_pair(mp_slot *sl)
{
	return (_Atomic uint64_t *)(void *)&sl->pid;
}
_Static_assert(offsetof(mp_slot, pid) % 8 == 0 &&
               offsetof(mp_slot, pid_gen) == offsetof(mp_slot, pid) + 4,
               "pid and its generation are one word");

bool mp_slot_set_pid(mp_shm *s, mp_aid aid, uint32_t pid)
{
	uint32_t gen = mp_aid_gen(aid);
	uint64_t is = pid_word(gen, 0);
	return atomic_compare_exchange_strong(pid_pair(mp_slot_of(s, aid)), &is, pid_word(gen, pid)) ||
	       is == pid_word(gen, pid);
}

static void reset(mp_slot *sl, uint32_t gen, uint32_t kind)
{
	atomic_store(pid_pair(sl), pid_word(gen, 0));
	atomic_store(&sl->kind, kind);
	atomic_store(&sl->starttime, 0);
	atomic_store(&sl->process, 0);
	atomic_store(&sl->doorbell, 0);
	atomic_store(&sl->asleep, 0);
	atomic_store(&sl->clean, 0);
	atomic_store(&sl->daemon, 0);
	atomic_store(&sl->bell, 0);
	atomic_store(&sl->handlers, 0);
	atomic_store(&sl->asked, 0);
	atomic_store(&sl->signalled, 0);
	atomic_store(&sl->commit, 0);
	atomic_store(&sl->serves, 0);
	for (int i = 0; i < MP_GROUPS; i++)
		atomic_store(&sl->groups[i], 0);
	atomic_store(&sl->wait.what, MP_W_NONE);
	sl->name[0] = 0;
}

mp_aid mp_slot_reserve(mp_shm *s, mp_aid parent, uint32_t kind)
{
	uint32_t claim = parent ? parent : NO_PARENT;
	for (uint32_t i = 1; i < s->h->nslots; i++) {
		mp_slot *sl = &s->slots[i];
		uint32_t nobody = 0, high = atomic_load(&s->h->slots_high), w;
		if (i >= high) {
			if (mp_shm_commit(s, mp_off(s, sl), sizeof *sl))
				return 0;
			while (high <= i && !atomic_compare_exchange_weak(&s->h->slots_high, &high, i + 1))
				;
		}
		if (atomic_load_explicit(&sl->parent, memory_order_relaxed) != 0 ||
		    !atomic_compare_exchange_strong(&sl->parent, &nobody, claim))
			continue;
		MP_CRASHPOINT("slot.claiming");
		w = atomic_load(&sl->state);
		if ((w & 0xffff) != MP_SLOT_FREE) {  /* its sweep is not quite done */
			atomic_compare_exchange_strong(&sl->parent, &claim, 0);
			claim = parent ? parent : NO_PARENT;
			continue;
		}
		/* A sweep that was done again may have cleared it just now: it
		 * never does once the slot is free. */
		if (atomic_load(&sl->parent) != claim)
			continue;
		MP_CRASHPOINT("slot.claimed");
		reset(sl, w >> 16, kind);
		atomic_store(&sl->state, mp_slot_word(w >> 16, MP_SLOT_RESERVED));
		MP_CRASHPOINT("slot.reserved");
		return mp_aid_make(i, w >> 16);
	}
	return 0;
}

static bool step(mp_slot *sl, mp_aid aid, uint32_t from, uint32_t to)
{
	uint32_t w = mp_slot_word(mp_aid_gen(aid), from);
	return atomic_compare_exchange_strong(&sl->state, &w, mp_slot_word(mp_aid_gen(aid), to));
}

bool mp_slot_enter(mp_shm *s, mp_aid aid, mp_self *me)
{
	mp_slot *sl = mp_slot_of(s, aid);
	int pid = (int)getpid();
	/* With its pid in it, the slot is mine until I am dead. */
	if (!mp_slot_set_pid(s, aid, (uint32_t)pid))
		return false;
	if (!atomic_load(&sl->starttime))  /* else its creator was faster */
		atomic_store(&sl->starttime, mp_starttime(pid));
	MP_CRASHPOINT("slot.entering");
	if (!step(sl, aid, MP_SLOT_RESERVED, MP_SLOT_LIVE))
		return false;
	memset(me, 0, sizeof *me);
	me->shm = s;
	me->aid = aid;
	me->slot = sl;
	me->spin = -1;
	me->bell = -1;
	if (atomic_load(&sl->kind) != MP_KIND_KEEPER)
		atomic_fetch_add(&s->h->awake, 1);
	return true;
}

static void free_slot(mp_slot *sl, mp_aid aid)
{
	atomic_store(&sl->parent, 0);
	atomic_store(&sl->state, mp_slot_word(mp_aid_gen(aid) + 1, MP_SLOT_FREE));
}

/* The other way round: until the end it is its creator's, whose sweep finds
 * it if this is not completed. */
void mp_slot_cancel(mp_shm *s, mp_aid aid)
{
	mp_slot *sl = mp_slot_of(s, aid);
	uint32_t parent = atomic_load(&sl->parent);
	uint32_t w = mp_slot_word(mp_aid_gen(aid), MP_SLOT_DEAD);
	step(sl, aid, MP_SLOT_RESERVED, MP_SLOT_DEAD);
	if (atomic_compare_exchange_strong(&sl->state, &w,
	        mp_slot_word(mp_aid_gen(aid) + 1, MP_SLOT_FREE)))
		atomic_compare_exchange_strong(&sl->parent, &parent, 0);
}

bool mp_slot_kill(mp_shm *s, mp_aid aid)
{
	mp_slot *sl = mp_slot_of(s, aid);
	return step(sl, aid, MP_SLOT_LIVE, MP_SLOT_DEAD) ||
	       step(sl, aid, MP_SLOT_RESERVED, MP_SLOT_DEAD);
}

void mp_slot_free(mp_shm *s, mp_aid aid)
{
	free_slot(mp_slot_of(s, aid), aid);
}

/* Nobody sweeps what is never DEAD. Killed in between, it is found by its pid. */
void mp_slot_leave(mp_shm *s, mp_aid aid)
{
	mp_slot *sl = mp_slot_of(s, aid);
	atomic_store(&sl->parent, 0);
	atomic_store(&sl->state, mp_slot_word(mp_aid_gen(aid) + 1, MP_SLOT_FREE));
}

bool mp_gone(const mp_shm *s, mp_aid aid)
{
	uint32_t phase = mp_slot_phase(s, aid);
	return phase == MP_SLOT_FREE || phase == MP_SLOT_DEAD;
}

bool mp_probe(mp_shm *s, mp_aid aid)
{
	mp_slot *sl = mp_slot_of(s, aid);
	if (mp_gone(s, aid))
		return true;
	if (atomic_load(&sl->pid) == 0) {
		/* Not forked yet: it is as dead as its creator. */
		uint32_t parent = atomic_load(&sl->parent);
		if (parent == 0 || parent == NO_PARENT || !mp_probe(s, parent) ||
		    !mp_slot_set_pid(s, aid, MP_NOBODY))
			return false;
	} else if (!mp_pid_dead((pid_t)atomic_load(&sl->pid), atomic_load(&sl->starttime))) {
		return false;
	}
	mp_slot_kill(s, aid);
	return true;
}

/* The word last: killed in between, somebody does it again. */
void mp_slot_kill_groups(mp_slot *sl)
{
	for (int i = 0; i < MP_GROUPS; i++) {
		if (!atomic_load(&sl->groups[i]))
			continue;
		mp_group_kill(atomic_load(&sl->groups[i]));
		MP_CRASHPOINT("slot.group");
		atomic_store(&sl->groups[i], 0);
	}
}

void mp_slots_kill_groups(mp_shm *s)
{
	for (uint32_t i = 1; i < atomic_load(&s->h->slots_high); i++)
		mp_slot_kill_groups(&s->slots[i]);
}

void mp_wake_keeper(mp_shm *s)
{
	uint64_t one = 1;
	uint32_t idle = 1;
	atomic_compare_exchange_strong(&s->h->keeper_idle, &idle, 0);
	if (s->keeper_fd >= 0 && write(s->keeper_fd, &one, sizeof one) < 0)
		return;  /* full: the keeper is on its way */
}
