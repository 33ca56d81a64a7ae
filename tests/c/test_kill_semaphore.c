/* Semaphores, killed at every change: no unit is lost, none comes back twice,
 * and a release happens whole or not at all.
 *
 * SPDX-License-Identifier: MIT */
#include "killer.h"

#include <errno.h>
#include <sys/wait.h>

static mp_handle h;
static mp_self others[2];

static mp_semaphore *sem(mp_self *me)
{
	return mp_obj_body(me->shm, h, MP_T_SEMAPHORE);
}

static uint32_t value(mp_self *me) { return mp_semaphore_value(me, sem(me)); }

static void take(mp_self *me, uint32_t n)
{
	while (n--)
		CHECK_EQ(mp_semaphore_acquire(me, sem(me), mp_deadline(5)), 0);
}

static void give(mp_self *me, uint32_t n)
{
	CHECK_EQ(mp_semaphore_release(me, sem(me), n), 0);
}

/* The value is what can really be had. */
static void count_and_drop(mp_self *me, uint32_t expected)
{
	uint32_t n = 0;
	CHECK_EQ(value(me), expected);
	while (mp_semaphore_acquire(me, sem(me), 0) == 0)
		n++;
	CHECK_EQ(n, expected);
	mp_obj_drop(me, h);
}

static void use(mp_self *me, kl_ctl *ctl)
{
	(void)ctl;
	take(me, 1);
	give(me, 1);
}

/* Does not wait: there may be nothing. */
static void try(mp_self *me, kl_ctl *ctl)
{
	(void)ctl;
	if (mp_semaphore_acquire(me, sem(me), 0) == 0)
		give(me, 1);
}

/* ---- a unit of one's own ------------------------------------------------------ */

/* Two may die with one before a survivor wants one. */
static void three_setup(mp_self *me)
{
	CHECK_EQ(mp_semaphore_create(me, 3, true, &h), 0);
}

static void pair_op(mp_self *me, kl_ctl *ctl)
{
	(void)ctl;
	take(me, 1);
	give(me, 1);
}

static void hold_op(mp_self *me, kl_ctl *ctl)
{
	(void)ctl;
	take(me, 1);
}

/* Killed holding it, before it, after it: all are there. */
static void all_back(mp_self *me, const kl_fate *f)
{
	(void)f;
	CHECK_EQ(mp_semaphore_release(me, sem(me), 1), -EOVERFLOW);
	count_and_drop(me, 3);
}

static void leave_op(mp_self *me, kl_ctl *ctl)
{
	take(me, 1);
	ctl->reported = 1;
	mp_obj_leave(me);
}

static void leave_check(mp_self *me, const kl_fate *f)
{
	uint32_t v = value(me);
	if (f->done)
		CHECK_EQ(v, 2);
	if (!kl_ctl_get(0)->reported)
		CHECK_EQ(v, 3);
	CHECK(v == 2 || v == 3);
	count_and_drop(me, v);
}

/* ---- signals ---------------------------------------------------------------------- */

static void signal_setup(mp_self *me)
{
	CHECK_EQ(mp_semaphore_create(me, 0, false, &h), 0);
}

static void signal_op(mp_self *me, kl_ctl *ctl)
{
	(void)ctl;
	give(me, 3);
}

static void signal_check(mp_self *me, const kl_fate *f)
{
	uint32_t v = value(me);
	CHECK(v == 3 || (v == 0 && !f->done));
	count_and_drop(me, v);
}

static void drained_op(mp_self *me, kl_ctl *ctl)
{
	(void)ctl;
	CHECK_EQ(mp_semaphore_acquire(me, sem(me), mp_deadline(.002)), MP_TIMEOUT);
}

static void drained_check(mp_self *me, const kl_fate *f)
{
	(void)f;
	count_and_drop(me, 0);
}

/* ---- releases for others ------------------------------------------------------------- */

/* Of five units others hold two, one and (the survivor) one. */
static void held_setup(mp_self *me)
{
	CHECK_EQ(mp_semaphore_create(me, 5, false, &h), 0);
	for (int i = 0; i < 2; i++) {
		h_thread_self(me, &others[i]);
		take(&others[i], i ? 1 : 2);
	}
	take(me, 1);
}

/* Its own unit, and three for others. */
static void for_others_op(mp_self *me, kl_ctl *ctl)
{
	take(me, 1);
	ctl->reported = 1;
	give(me, 4);
}

static void bury_others(mp_self *me)
{
	for (int i = 0; i < 2; i++)
		h_bury(me, others[i].aid);
}

static void for_others_check(mp_self *me, const kl_fate *f)
{
	uint32_t v = value(me);
	CHECK(v == 4 || (v == 1 && !f->done));
	if (!kl_ctl_get(0)->reported)
		CHECK_EQ(v, 1);
	bury_others(me);
	/* The survivor's may be among those given back: it is one of five. */
	v = value(me);
	CHECK(v == 4 || v == 5);
	mp_semaphore_ops.release(me, sem(me), me->aid);
	count_and_drop(me, 5);
}

static void for_one_op(mp_self *me, kl_ctl *ctl)
{
	(void)ctl;
	give(me, 1);
}

static void for_one_check(mp_self *me, const kl_fate *f)
{
	uint32_t v = value(me);
	CHECK(v == 2 || (v == 1 && !f->done));
	bury_others(me);
	mp_semaphore_ops.release(me, sem(me), me->aid);
	count_and_drop(me, 5);
}

/* One unit was used up for good, two are held: the first is made good. */
static void spent_setup(mp_self *me)
{
	CHECK_EQ(mp_semaphore_create(me, 3, true, &h), 0);
	h_thread_self(me, &others[0]);
	h_thread_self(me, &others[1]);
	take(&others[0], 1);
	mp_obj_leave(&others[0]);
	take(&others[1], 2);
}

static void spent_op(mp_self *me, kl_ctl *ctl)
{
	(void)ctl;
	give(me, 2);
}

static void spent_check(mp_self *me, const kl_fate *f)
{
	uint32_t v = value(me);
	CHECK(v == 2 || (v == 0 && !f->done));
	bury_others(me);
	count_and_drop(me, v ? 3 : 2);
}

static const kl_scene scenes[] = {
	{ "acquire and release", three_setup, pair_op, use, all_back, false },
	{ "hold", three_setup, hold_op, use, all_back, false },
	{ "hold and leave", three_setup, leave_op, use, leave_check, false },
	{ "signal", signal_setup, signal_op, try, signal_check, false },
	{ "wait in vain", signal_setup, drained_op, NULL, drained_check, false },
	{ "release for one", held_setup, for_one_op, try, for_one_check, false },
	{ "release for many", held_setup, for_others_op, try, for_others_check, false },
	{ "make good", spent_setup, spent_op, try, spent_check, false },
};

/* A waiter is woken by the death of who held the unit; the next one by that of
 * the first, which ends with the unit in hand. */
static void deaths_wake(mp_self *me)
{
	mp_aid aid[2];
	pid_t pid[2];
	h_now("a waiter behind the dead");
	CHECK_EQ(mp_semaphore_create(me, 1, false, &h), 0);
	h_thread_self(me, &others[0]);
	take(&others[0], 1);
	for (int i = 0; i < 2; i++)
		if ((pid[i] = h_fork(me, &aid[i])) == 0) {
			CHECK_EQ(mp_semaphore_acquire(me, sem(me), MP_FOREVER), 0);
			h_exit(0);
		}
	usleep(20000);
	h_bury(me, others[0].aid);
	for (int i = 0; i < 2; i++) {
		int status;
		pid_t ended = waitpid(-1, &status, 0);
		CHECK_EQ(status, 0);
		h_bury(me, aid[ended == pid[1]]);
	}
	count_and_drop(me, 1);
}

int main(void)
{
	return kl_main(&(kl_plan){ KL_SCENES(scenes), .seconds = .5, .more = deaths_wake });
}
