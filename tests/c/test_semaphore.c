/* Semaphores and barriers, driven by threads: who gets in, who waits, who is
 * told. Deaths: test_kill_semaphore, test_kill_barrier.
 *
 * SPDX-License-Identifier: MIT */
#include "harness.h"

#include <pthread.h>

enum { N = 4, UNITS = 2, TURNS = 5000, PASSES = 500 };

static mp_handle h, signals, meeting;
static _Atomic int inside;
static mp_self selves[N];

static mp_semaphore *sem(mp_self *me, mp_handle which)
{
	return mp_obj_body(me->shm, which, MP_T_SEMAPHORE);
}

static void by_threads(mp_self *me, void *(*f)(void *))
{
	pthread_t t[N];
	for (int i = 0; i < N; i++)
		h_thread_self(me, &selves[i]);
	for (int i = 0; i < N; i++)
		CHECK_EQ(pthread_create(&t[i], NULL, f, &selves[i]), 0);
	for (int i = 0; i < N; i++) {
		pthread_join(t[i], NULL);
		h_bury(me, selves[i].aid);
	}
}

/* ---- as many inside as there are units -------------------------------------------- */

static void *enter(void *arg)
{
	mp_self *me = arg;
	for (int i = 0; i < TURNS; i++) {
		CHECK_EQ(mp_semaphore_acquire(me, sem(me, h), mp_deadline(60)), 0);
		CHECK(atomic_fetch_add(&inside, 1) < UNITS);
		atomic_fetch_sub(&inside, 1);
		CHECK_EQ(mp_semaphore_release(me, sem(me, h), 1), 0);
	}
	CHECK_EQ(mp_semaphore_mine(me, sem(me, h)), 0);
	return NULL;
}

static void excludes(mp_self *me)
{
	h_now("units");
	CHECK_EQ(mp_semaphore_create(me, UNITS, true, &h), 0);
	by_threads(me, enter);
	CHECK_EQ(mp_semaphore_value(me, sem(me, h)), UNITS);
	mp_obj_drop(me, h);
}

/* ---- signals: two give what two take -------------------------------------------------- */

static void *give_or_take(void *arg)
{
	mp_self *me = arg;
	bool giver = (me - selves) % 2;
	for (int i = 0; i < TURNS; i++)
		if (!giver)
			CHECK_EQ(mp_semaphore_acquire(me, sem(me, signals), mp_deadline(60)), 0);
		else if (i % 5 == 0)
			CHECK_EQ(mp_semaphore_release(me, sem(me, signals), 5), 0);
	mp_obj_leave(me);
	return NULL;
}

static void signal_all(mp_self *me)
{
	h_now("signals");
	CHECK_EQ(mp_semaphore_create(me, 0, false, &signals), 0);
	by_threads(me, give_or_take);
	CHECK_EQ(mp_semaphore_value(me, sem(me, signals)), 0);
	mp_obj_drop(me, signals);
}

/* ---- a barrier ---------------------------------------------------------------------------- */

static _Atomic uint32_t arrived[PASSES], seats[PASSES], actions;

static void *meet(void *arg)
{
	mp_self *me = arg;
	mp_barrier *b = mp_obj_body(me->shm, meeting, MP_T_BARRIER);
	for (uint32_t i = 0; i < PASSES; i++) {
		uint32_t seat = 0;
		int rc;
		atomic_fetch_add(&arrived[i], 1);
		rc = mp_barrier_arrive(me, b, mp_deadline(60));
		CHECK(rc == 0 || rc == MP_LAST);
		if (rc == MP_LAST) {
			CHECK_EQ(atomic_fetch_add(&actions, 1), i);
			mp_barrier_finish(me, b);
		}
		CHECK_EQ(mp_barrier_await(me, b, mp_deadline(60), &seat), 0);
		CHECK_EQ(atomic_load(&arrived[i]), N);
		CHECK_EQ(atomic_load(&actions), b->has_action ? i + 1 : 0);
		atomic_fetch_or(&seats[i], 1u << seat);
		/* Nobody counts the next pass's action before all have looked. */
		rc = mp_barrier_arrive(me, b, mp_deadline(60));
		if (rc == MP_LAST)
			mp_barrier_finish(me, b);
		CHECK_EQ(mp_barrier_await(me, b, mp_deadline(60), &seat), 0);
	}
	return NULL;
}

static void meets(mp_self *me, bool action)
{
	bool broken;
	h_now("a barrier, action %d", action);
	memset(arrived, 0, sizeof arrived);
	memset(seats, 0, sizeof seats);
	atomic_store(&actions, 0);
	CHECK_EQ(mp_barrier_create(me, N, action, -1, &meeting), 0);
	by_threads(me, meet);
	for (int i = 0; i < PASSES; i++)
		CHECK_EQ(atomic_load(&seats[i]), (1u << (N + 1)) - 2);
	CHECK_EQ(mp_barrier_look(me, mp_obj_body(me->shm, meeting, MP_T_BARRIER), &broken), 0);
	CHECK(!broken);
	mp_obj_drop(me, meeting);
}

/* ---- what deadlock detection asks ------------------------------------------------------------ */

static void stuck(mp_self *me)
{
	mp_aid on = 1;
	uint32_t seat;
	h_now("stuck");
	CHECK_EQ(mp_semaphore_create(me, 1, false, &h), 0);
	mp_semaphore *s = sem(me, h);
	CHECK(!mp_semaphore_ops.stuck(me->shm, s, me->aid, MP_W_SEMAPHORE, &on));
	CHECK_EQ(mp_semaphore_acquire(me, s, 0), 0);
	CHECK(mp_semaphore_ops.stuck(me->shm, s, me->aid, MP_W_SEMAPHORE, &on));
	CHECK_EQ(on, 0);
	mp_obj_drop(me, h);
	CHECK_EQ(mp_barrier_create(me, 2, false, -1, &h), 0);
	mp_barrier *b = mp_obj_body(me->shm, h, MP_T_BARRIER);
	CHECK_EQ(mp_barrier_arrive(me, b, 0), 0);
	CHECK(mp_barrier_ops.stuck(me->shm, b, me->aid, MP_W_BARRIER, &on));
	CHECK_EQ(on, 0);
	mp_barrier_abort(me, b);
	CHECK(!mp_barrier_ops.stuck(me->shm, b, me->aid, MP_W_BARRIER, &on));
	CHECK_EQ(mp_barrier_await(me, b, 0, &seat), MP_BROKEN);
	mp_obj_drop(me, h);
}

int main(void)
{
	mp_shm shm;
	mp_self me;
	mp_usage before;
	h_deadline(60, 60);
	h_seed(0);
	h_open(&shm, &me, 2 << 20, 8);
	h_ballast(&me);
	h_settle(&me, &before);
	excludes(&me);
	signal_all(&me);
	meets(&me, false);
	meets(&me, true);
	stuck(&me);
	h_audit(&me, &before);
	return h_done("units, signals and passes by %d threads", N);
}
