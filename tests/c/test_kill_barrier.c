/* Barriers, killed at every change: each party that waits is told the same,
 * nobody waits for the dead, and the barrier can be used again.
 *
 * SPDX-License-Identifier: MIT */
#include "killer.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

static mp_handle h;
static mp_self other;

static mp_barrier *bar(mp_self *me)
{
	return mp_obj_body(me->shm, h, MP_T_BARRIER);
}

/* A barrier at which another party waits already. */
static void setup(mp_self *me, uint32_t parties, bool action)
{
	CHECK_EQ(mp_barrier_create(me, parties, action, -1, &h), 0);
	h_thread_self(me, &other);
	if (parties > 1)
		CHECK_EQ(mp_barrier_arrive(&other, bar(me), 0), 0);
}

static void two_setup(mp_self *me) { setup(me, 2, false); }
static void action_setup(mp_self *me) { setup(me, 2, true); }
static void three_setup(mp_self *me) { setup(me, 3, false); }

static void look(mp_self *me, kl_ctl *ctl)
{
	bool broken;
	(void)ctl;
	CHECK(mp_barrier_look(me, bar(me), &broken) <= 3);
}

static int wait_for(mp_self *me, uint32_t *seat)
{
	return mp_barrier_await(me, bar(me), 0, seat);
}

/* What a barrier of two looks like to the one that waits. */
enum { STILL, OVER, BROKE, AGAIN };  /* waits; passed; broken; sent away by a reset */

static int outcome(mp_self *me)
{
	bool broken;
	uint32_t seat, n = mp_barrier_look(me, bar(me), &broken);
	int rc;
	if (n) {
		CHECK(!broken);
		CHECK_EQ(n, 1);
		return STILL;
	}
	rc = wait_for(&other, &seat);
	CHECK_EQ(seat, 1);
	if (rc == 0)
		CHECK(!broken);
	return rc == 0 ? OVER : broken ? BROKE : AGAIN;
}

/* A pass of all, whatever was before; then everything goes. */
static void pass_and_drop(mp_self *me, int was)
{
	mp_barrier *b = bar(me);
	uint32_t seat;
	bool broken;
	mp_self third;
	if (was == BROKE) {
		CHECK_EQ(mp_barrier_arrive(me, b, 0), MP_BROKEN);
		mp_barrier_reset(me, b);
	}
	if (was != STILL)
		CHECK_EQ(mp_barrier_arrive(&other, b, 0), 0);
	h_thread_self(me, &third);
	if (b->parties == 3)
		CHECK_EQ(mp_barrier_arrive(&third, b, 0), 0);
	int rc = mp_barrier_arrive(me, b, 0);
	CHECK_EQ(rc, b->has_action ? MP_LAST : 0);
	CHECK_EQ(mp_barrier_arrive(me, b, 0), -EDEADLK);
	if (rc)
		mp_barrier_finish(me, b);
	CHECK_EQ(wait_for(&other, &seat), 0);
	CHECK_EQ(seat, 1);
	CHECK_EQ(wait_for(me, &seat), 0);
	CHECK_EQ(seat, b->parties);
	if (b->parties == 3)
		CHECK_EQ(wait_for(&third, &seat), 0);
	CHECK_EQ(mp_barrier_look(me, b, &broken), 0);
	CHECK(!broken);
	CHECK_EQ(me->held + other.held + third.held, 0);
	h_bury(me, third.aid);
	h_bury(me, other.aid);
	mp_obj_drop(me, h);
}

/* ---- arriving as the last ------------------------------------------------------ */

static void last_op(mp_self *me, kl_ctl *ctl)
{
	uint32_t seat;
	CHECK_EQ(mp_barrier_arrive(me, bar(me), 0), 0);
	ctl->reported = 1;
	CHECK_EQ(wait_for(me, &seat), 0);
	CHECK_EQ(seat, 2);
}

static void last_check(mp_self *me, const kl_fate *f)
{
	int was = outcome(me);
	CHECK(was != AGAIN);
	if (f->done || kl_ctl_get(0)->reported)
		CHECK_EQ(was, OVER);
	pass_and_drop(me, was);
}

static void action_op(mp_self *me, kl_ctl *ctl)
{
	uint32_t seat;
	CHECK_EQ(mp_barrier_arrive(me, bar(me), 0), MP_LAST);
	ctl->reported = 1;
	mp_barrier_finish(me, bar(me));
	ctl->reported = 2;
	CHECK_EQ(wait_for(me, &seat), 0);
	CHECK_EQ(seat, 2);
}

static void action_check(mp_self *me, const kl_fate *f)
{
	int was = outcome(me);
	uint64_t reported = kl_ctl_get(0)->reported;
	CHECK(was != AGAIN);
	if (reported == 1)
		CHECK(was != STILL);
	if (f->done || reported == 2)
		CHECK_EQ(was, OVER);
	pass_and_drop(me, was);
}

/* ---- waiting, and going away ----------------------------------------------------- */

static void late_op(mp_self *me, kl_ctl *ctl)
{
	uint32_t seat;
	CHECK_EQ(mp_barrier_arrive(me, bar(me), 0), 0);
	ctl->reported = 1;
	CHECK_EQ(mp_barrier_await(me, bar(me), mp_deadline(.002), &seat), MP_BROKEN);
}

static void leave_op(mp_self *me, kl_ctl *ctl)
{
	CHECK_EQ(mp_barrier_arrive(me, bar(me), 0), 0);
	ctl->reported = 1;
	mp_barrier_leave(me, bar(me));
}

/* Its death is as good as its leaving: whoever arrived breaks it. */
static void broke_check(mp_self *me, const kl_fate *f)
{
	int was = outcome(me);
	CHECK(was == STILL || was == BROKE);
	if (f->done || kl_ctl_get(0)->reported)
		CHECK_EQ(was, BROKE);
	pass_and_drop(me, was);
}

/* ---- from outside ------------------------------------------------------------------- */

static void abort_op(mp_self *me, kl_ctl *ctl)
{
	(void)ctl;
	mp_barrier_abort(me, bar(me));
}

static void reset_op(mp_self *me, kl_ctl *ctl)
{
	(void)ctl;
	mp_barrier_reset(me, bar(me));
}

static void reset_check(mp_self *me, const kl_fate *f)
{
	int was = outcome(me);
	CHECK(was == AGAIN || (was == STILL && !f->done));
	pass_and_drop(me, was);
}

/* ---- its action as a block ------------------------------------------------------------ */

static void create_op(mp_self *me, kl_ctl *ctl)
{
	const mp_part part = { "function", 8 };
	mp_handle own, listed;
	mp_barrier *b;
	(void)ctl;
	CHECK_EQ(mp_event_create(me, &listed), 0);
	CHECK_EQ(mp_barrier_create(me, 2, true, -1, &own), 0);
	b = mp_obj_body(me->shm, own, MP_T_BARRIER);
	CHECK_EQ(mp_stored_put(me, &b->action, 0, &part, 1, part.len, &listed, 1), 0);
	mp_obj_drop(me, listed);
	CHECK_EQ(mp_stored_get(me->shm, &b->action)->len, 8);
	mp_obj_drop(me, own);
}

static const kl_scene scenes[] = {
	{ "arrive last", two_setup, last_op, look, last_check, false },
	{ "arrive last, with an action", action_setup, action_op, look, action_check, false },
	{ "wait too long", three_setup, late_op, look, broke_check, true },
	{ "leave", three_setup, leave_op, look, broke_check, false },
	{ "abort", two_setup, abort_op, look, broke_check, false },
	{ "reset", two_setup, reset_op, look, reset_check, false },
	{ "create with an action", kl_no_setup, create_op, NULL, kl_no_check, false },
};

/* Those who really sleep are told when one of them is killed. */
static void deaths_wake(mp_self *me)
{
	mp_aid aid[3];
	pid_t pid[3];
	int status;
	h_now("waiters of whom one is killed");
	CHECK_EQ(mp_barrier_create(me, 4, false, -1, &h), 0);
	for (int i = 0; i < 3; i++)
		if ((pid[i] = h_fork(me, &aid[i])) == 0) {
			uint32_t seat;
			CHECK_EQ(mp_barrier_arrive(me, bar(me), MP_FOREVER), 0);
			CHECK_EQ(mp_barrier_await(me, bar(me), MP_FOREVER, &seat), MP_BROKEN);
			h_exit(0);
		}
	while (mp_barrier_look(me, bar(me), NULL) < 3)
		usleep(1000);
	kill(pid[1], SIGKILL);
	CHECK(waitpid(pid[1], &status, 0) == pid[1]);
	h_bury(me, aid[1]);
	CHECK_EQ(h_join(me, pid[0], aid[0]), 0);
	CHECK_EQ(h_join(me, pid[2], aid[2]), 0);
	mp_obj_drop(me, h);
}

int main(void)
{
	return kl_main(&(kl_plan){ KL_SCENES(scenes), .seconds = .5, .more = deaths_wake });
}
