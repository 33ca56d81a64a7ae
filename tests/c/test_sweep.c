/* Sweeps: what a dead actor held goes back, once, whoever sweeps, and however
 * many do; nothing of the living is touched.
 *
 * SPDX-License-Identifier: MIT */
#include "harness.h"

#include <signal.h>
#include <sys/wait.h>

static mp_usage before;

static pid_t dies(mp_self *me, mp_aid *aid, void (*holding)(mp_self *))
{
	pid_t pid = h_fork(me, aid);
	if (pid == 0) {
		holding(me);
		raise(SIGKILL);
	}
	CHECK(waitpid(pid, NULL, 0) == pid);
	return pid;
}

static mp_handle hlock, hq;

static void holds_everything(mp_self *me)
{
	mp_in ins[3];
	mp_handle h;
	uint32_t n;
	int rc;
	CHECK_EQ(mp_lock_acquire(me, mp_obj_body(me->shm, hlock, MP_T_LOCK), 0), 0);
	CHECK_EQ(mp_queue_lease(me, mp_queue_body(me->shm, hq), ins, 3, 0, &n), 0);
	CHECK_EQ(n, 3);
	for (int i = 0; i < 50; i++)
		CHECK(mp_alloc(me, 100u + 997u * (unsigned)i, 0, &rc) != 0);
	for (int i = 0; i < 10; i++) {
		CHECK_EQ(mp_event_create(me, &h), 0);
		mp_queue *q = h_queue(me, 0, &h);
		h_put(me, q, 5, 1000);
	}
	mp_latch_hold(me, &me->shm->h->large);
	mp_slot_reserve(me->shm, me->aid, MP_KIND_PROCESS);
}

static void setup(mp_self *me)
{
	CHECK_EQ(mp_lock_create(me, &hlock), 0);
	mp_queue *q = h_queue(me, 0, &hq);
	for (uint64_t i = 1; i <= 5; i++)
		h_put(me, q, i, 100 * i);
}

static void all_is_back(mp_self *me)
{
	mp_lock *l = mp_obj_body(me->shm, hlock, MP_T_LOCK);
	CHECK_EQ(mp_lock_acquire(me, l, 0), MP_ABANDONED);
	CHECK_EQ(mp_lock_release(me, l), 0);
	for (uint64_t i = 1; i <= 5; i++)
		CHECK_EQ(h_get(me, mp_queue_body(me->shm, hq)), i);
	mp_obj_drop(me, hlock);
	mp_obj_drop(me, hq);
	h_audit(me, &before);
}

static void twice(mp_self *me)
{
	mp_aid aid;
	h_now("swept twice");
	setup(me);
	dies(me, &aid, holds_everything);
	CHECK(!mp_sweep(me, aid));   /* not known to be dead: not swept */
	CHECK_EQ(mp_slot_phase(me->shm, aid), MP_SLOT_LIVE);
	CHECK(mp_probe(me->shm, aid));
	CHECK(!mp_slot_kill(me->shm, aid));
	CHECK(mp_sweep(me, aid));
	CHECK(!mp_sweep(me, aid));
	CHECK(mp_gone(me->shm, aid));
	/* The slot is another's now: the old name does nothing to it. */
	mp_self other;
	h_thread_self(me, &other);
	CHECK(!mp_slot_kill(me->shm, aid));
	CHECK(!mp_sweep(me, aid));
	CHECK_EQ(mp_slot_phase(me->shm, other.aid), MP_SLOT_LIVE);
	h_bury(me, other.aid);
	all_is_back(me);
}

/* Many dead, many sweepers at the same time. */
static void crowd(mp_self *me)
{
	enum { DEAD = 6, SWEEPERS = 3 };
	mp_aid aid[DEAD], by[SWEEPERS];
	pid_t pid[SWEEPERS];
	int rounds = h_prove() ? 500 : 20;
	h_now("a crowd");
	for (int r = 0; r < rounds; r++) {
		setup(me);
		dies(me, &aid[0], holds_everything);
		for (int i = 1; i < DEAD; i++)
			if (h_fork(me, &aid[i]) == 0) {
				int rc;
				for (int k = 0; k < 20; k++)
					CHECK(mp_alloc(me, 500, 0, &rc) != 0);
				raise(SIGKILL);
			}
		for (int i = 1; i < DEAD; i++)
			CHECK(wait(NULL) > 0);
		for (int i = 0; i < SWEEPERS; i++)
			if ((pid[i] = h_fork(me, &by[i])) == 0) {
				mp_sweep_all(me);
				h_exit(0);
			}
		mp_sweep_all(me);
		for (int i = 0; i < SWEEPERS; i++)
			CHECK_EQ(h_join(me, pid[i], by[i]), 0);
		all_is_back(me);
	}
}

/* A clean end: nothing but handles is swept. */
static void clean(mp_self *me)
{
	mp_aid aid;
	mp_handle h;
	h_now("clean");
	CHECK_EQ(mp_event_create(me, &h), 0);
	pid_t pid = h_fork(me, &aid);
	if (pid == 0) {
		atomic_store(&me->slot->clean, 1);
		h_exit(0);
	}
	CHECK_EQ(h_join(me, pid, aid), 0);
	mp_obj_drop(me, h);
	h_audit(me, &before);
}

/* A creator dies between reserve and fork, or before its child entered. */
static void revoked(mp_self *me)
{
	mp_self parent, child;
	h_now("revoked");
	h_thread_self(me, &parent);
	mp_aid a = mp_slot_reserve(me->shm, parent.aid, MP_KIND_PROCESS);
	mp_obj_inherit(me->shm, parent.aid, a);
	h_bury(me, parent.aid);
	CHECK(mp_gone(me->shm, a));
	CHECK(!mp_slot_enter(me->shm, a, &child));
	/* The late child leaves no trace in a slot used again. */
	mp_aid b = mp_slot_reserve(me->shm, me->aid, MP_KIND_PROCESS);
	CHECK_EQ(mp_aid_slot(b) == mp_aid_slot(a) || mp_aid_slot(b) == mp_aid_slot(parent.aid), 1);
	CHECK(!mp_slot_enter(me->shm, a, &child));
	CHECK_EQ(atomic_load(&mp_slot_of(me->shm, b)->pid), 0);
	CHECK_EQ(mp_slot_phase(me->shm, b), MP_SLOT_RESERVED);
	mp_slot_cancel(me->shm, b);
	h_audit(me, &before);
}

/* A word anywhere in a large block keeps what it refers to, though its writer
 * died before it had said so; what no word refers to goes. */
static uint64_t big;

static void refers_from_afar(mp_self *me)
{
	int rc;
	for (uint64_t at = 8; at < 5 * MP_CHUNK; at += MP_CHUNK - 8) {
		_Atomic uint64_t *home = mp_at(me->shm, big + at);
		uint64_t kept = mp_alloc(me, 100, big + at, &rc);
		CHECK(kept && mp_alloc(me, 100, big + at, &rc));
		atomic_store(home, kept);
	}
}

static void afar(mp_self *me)
{
	mp_aid aid;
	mp_usage u;
	int rc;
	h_now("words in a large block");
	CHECK((big = mp_alloc(me, 5 * MP_CHUNK, 0, &rc)) != 0);
	memset(mp_at(me->shm, big), 0, 5 * MP_CHUNK);
	dies(me, &aid, refers_from_afar);
	h_bury(me, aid);
	mp_usage_of(me->shm, &u);
	CHECK_EQ(u.nblocks, before.nblocks + 1 + 6);
	for (uint64_t at = 8; at < 5 * MP_CHUNK; at += MP_CHUNK - 8) {
		uint64_t kept = atomic_load((_Atomic uint64_t *)mp_at(me->shm, big + at));
		mp_take(me, kept);
		mp_free(me, kept);
	}
	mp_free(me, big);
	h_audit(me, &before);
}

int main(void)
{
	mp_shm shm;
	mp_self me;
	if (H_TSAN)
		return H_SKIP;
	h_deadline(60, 600);
	h_open(&shm, &me, 8 << 20, 30);
	h_settle(&me, &before);
	twice(&me);
	crowd(&me);
	clean(&me);
	revoked(&me);
	afar(&me);
	return h_done("twice, by several at once, clean ends, revoked children, far words");
}
