/* Pipes: directions, what keeps them alive, their end, who waits in vain, who
 * is rung.
 *
 * SPDX-License-Identifier: MIT */
#include "harness.h"

static void directions(mp_self *me)
{
	mp_handle a, b;
	CHECK_EQ(mp_pipe_create(me, false, &a, &b), 0);
	CHECK(h_out(me, a) == NULL && h_in(me, b) == NULL);
	CHECK(h_in(me, a) == h_out(me, b));
	mp_obj_drop(me, a);
	mp_obj_drop(me, b);
	CHECK_EQ(mp_pipe_create(me, true, &a, &b), 0);
	CHECK(h_in(me, a) == h_out(me, b) && h_out(me, a) == h_in(me, b));
	h_put(me, h_out(me, a), 1, 16);
	h_put(me, h_out(me, b), 2, 5000);
	CHECK_EQ(h_get(me, h_in(me, a)), 2);
	CHECK_EQ(h_get(me, h_in(me, b)), 1);
	mp_obj_drop(me, a);
	mp_obj_drop(me, b);
	h_collect(me);
}

/* Nobody holds the queues: a collection leaves them to the ends. */
static void kept(mp_self *me)
{
	mp_handle a, b;
	mp_usage with, later;
	CHECK_EQ(mp_pipe_create(me, true, &a, &b), 0);
	CHECK(!mp_obj_held(me->shm, h_end(me, a)->in, me->aid));
	mp_usage_of(me->shm, &with);
	h_collect(me);
	mp_usage_of(me->shm, &later);
	CHECK_EQ(with.objects, later.objects);
	h_put(me, h_out(me, a), 1, 16);
	mp_obj_drop(me, a);
	h_collect(me);
	CHECK_EQ(h_get(me, h_in(me, b)), 1);
	CHECK(mp_queue_closed(h_in(me, b)) && mp_queue_closed(h_out(me, b)));
	mp_obj_drop(me, b);
	h_collect(me);
}

static bool is_stuck(mp_self *me, mp_handle h, uint32_t what, mp_aid *on)
{
	return mp_pipe_ops.stuck(me->shm, h_end(me, h), me->aid, what, on);
}

static void in_vain(mp_self *me)
{
	mp_handle a, b;
	mp_aid on, other;
	h_collect(me);
	CHECK_EQ(mp_pipe_create(me, true, &a, &b), 0);
	CHECK(is_stuck(me, a, MP_W_RECV, &on));
	CHECK_EQ(on, me->aid);  /* it would wait for itself */
	CHECK(mp_pipe_own_copy(me->shm, a, me->aid));
	other = mp_slot_reserve(me->shm, me->aid, MP_KIND_PROCESS);
	mp_obj_inherit(me->shm, me->aid, other);
	CHECK(is_stuck(me, a, MP_W_RECV, &on));
	CHECK_EQ(on, 0);  /* either could send */
	mp_obj_drop(me, b);
	CHECK(is_stuck(me, a, MP_W_RECV, &on));
	CHECK_EQ(on, other);
	CHECK(!mp_pipe_own_copy(me->shm, a, me->aid));
	CHECK(mp_pipe_own_copy(me->shm, a, other));
	CHECK(!is_stuck(me, a, MP_W_SEND, &on));
	for (uint32_t i = 0; i < MP_PIPE_CAPACITY; i++)
		h_put(me, h_out(me, a), 1, 8);
	CHECK(is_stuck(me, a, MP_W_SEND, &on));
	CHECK_EQ(on, other);
	mp_obj_forget(me, other);
	mp_slot_cancel(me->shm, other);
	CHECK(!is_stuck(me, a, MP_W_RECV, &on));  /* the end has come */
	CHECK(!is_stuck(me, a, MP_W_SEND, &on));
	mp_obj_drop(me, a);
	h_collect(me);
}

static bool rung(mp_self *me, mp_handle watched, uint32_t *seen)
{
	uint32_t now = atomic_load(&me->slot->doorbell);
	bool is = now != *seen;
	mp_obj_watch(me, watched);
	*seen = mp_ec_prepare(&me->slot->doorbell);
	return is;
}

static void rings(mp_self *me)
{
	mp_handle a, b, r, w;
	uint32_t seen = 0;
	CHECK_EQ(mp_pipe_create(me, true, &a, &b), 0);
	rung(me, a, &seen);
	h_put(me, h_out(me, a), 1, 16);  /* the other way */
	CHECK(!rung(me, a, &seen));
	CHECK(!mp_pipe_ops.ready(me, h_end(me, a)));
	h_put(me, h_out(me, b), 1, 16);
	CHECK(rung(me, a, &seen));
	CHECK(mp_pipe_ops.ready(me, h_end(me, a)));
	CHECK_EQ(h_get(me, h_in(me, a)), 1);
	CHECK(!mp_pipe_ops.ready(me, h_end(me, a)));
	mp_obj_drop(me, b);
	CHECK(rung(me, a, &seen));
	CHECK(mp_pipe_ops.ready(me, h_end(me, a)));
	mp_obj_drop(me, a);
	/* An end that only sends learns that nobody reads. */
	CHECK_EQ(mp_pipe_create(me, false, &r, &w), 0);
	rung(me, w, &seen);
	CHECK(!mp_pipe_ops.ready(me, h_end(me, w)));
	mp_obj_drop(me, r);
	CHECK(rung(me, w, &seen));
	CHECK(mp_pipe_ops.ready(me, h_end(me, w)));
	mp_obj_drop(me, w);
	h_collect(me);
}

int main(void)
{
	mp_shm shm;
	mp_self me;
	mp_usage before;
	h_deadline(30, 30);
	h_open(&shm, &me, 8 << 20, 8);
	h_ballast(&me);
	directions(&me);
	h_settle(&me, &before);
	kept(&me);
	in_vain(&me);
	rings(&me);
	h_audit(&me, &before);
	return h_done("directions, what keeps them, their end, waits in vain, rings");
}
