/* Killed at every change of a pipe's operations: create, send, receive, refuse,
 * the end of an end in whoever ends it. Messages arrive whole or not at all,
 * the end of the pipe always does, nothing leaks.
 *
 * SPDX-License-Identifier: MIT */
#include "killer.h"

enum { OP = 1001, USED = 5001, PRE = 3, BIG = 3000 };

static mp_handle a, b, box;

static int get(mp_self *me, mp_queue *q, uint64_t *id)
{
	mp_in in;
	uint32_t n;
	int rc = mp_queue_get(me, q, &in, 1, 0, &n);
	if (rc == MP_OK) {
		*id = h_read(&in);
		mp_in_done(me, &in);
	}
	return rc;
}

static int put(mp_self *me, mp_queue *q, uint64_t id, size_t len)
{
	mp_out out;
	uint32_t n;
	h_make(me, id, len, &out);
	int rc = mp_queue_put(me, q, &out, 1, 0, &n);
	if (rc != MP_OK)
		mp_out_drop(me, &out);
	return rc;
}

/* What is left of the PRE messages, in order, then the end of the pipe. */
static void drained(mp_self *me, mp_handle end, bool all)
{
	uint64_t id, last = all ? 0 : (uint64_t)-1;
	int rc;
	while ((rc = get(me, h_in(me, end), &id)) == MP_OK) {
		CHECK(id >= 1 && id <= PRE);
		CHECK(last == (uint64_t)-1 || id == last + 1);
		last = id;
	}
	CHECK_EQ(rc, MP_CLOSED);
	CHECK_EQ(put(me, h_out(me, end), 9, 100), MP_CLOSED);
	if (all)
		CHECK_EQ(last, PRE);
}

static void pipe_setup(mp_self *me)
{
	CHECK_EQ(mp_pipe_create(me, true, &a, &b), 0);
}

static void drop_both(mp_self *me)
{
	mp_obj_drop(me, a);
	mp_obj_drop(me, b);
	h_collect(me);
}

/* ---- create, use, drop --------------------------------------------------------- */

static void create_op(mp_self *me, kl_ctl *ctl)
{
	mp_handle x, y;
	(void)ctl;
	CHECK_EQ(mp_pipe_create(me, true, &x, &y), 0);
	CHECK(mp_pipe_own_copy(me->shm, x, me->aid));
	CHECK_EQ(put(me, h_out(me, x), 1, BIG), 0);
	CHECK_EQ(put(me, h_out(me, y), 2, 16), 0);
	mp_obj_drop(me, x);
	CHECK(!mp_pipe_own_copy(me->shm, y, me->aid));
	mp_obj_drop(me, y);
}

static void create_use(mp_self *me, kl_ctl *ctl)
{
	mp_handle x, y;
	uint64_t id = 0;
	(void)ctl;
	CHECK_EQ(mp_pipe_create(me, false, &x, &y), 0);
	CHECK(mp_pipe_out(h_end(me, x)) == NULL && mp_pipe_in(h_end(me, y)) == NULL);
	CHECK_EQ(put(me, h_out(me, y), 7, 16), 0);
	mp_obj_drop(me, y);
	CHECK_EQ(get(me, h_in(me, x), &id), 0);
	CHECK_EQ(id, 7);
	CHECK_EQ(get(me, h_in(me, x), &id), MP_CLOSED);
	mp_obj_drop(me, x);
	mp_obj_collect(me);
}

static void create_check(mp_self *me, const kl_fate *f)
{
	(void)f;
	h_collect(me);
}

/* ---- send, receive ------------------------------------------------------------- */

static void send_op(mp_self *me, kl_ctl *ctl)
{
	for (uint64_t i = 0; i < 2; i++) {
		CHECK_EQ(put(me, h_out(me, a), OP + i, i ? BIG : 16), 0);
		ctl->reported = i + 1;
	}
}

/* All that was told to be sent is there, in order, once. */
static void send_check(mp_self *me, const kl_fate *f)
{
	uint64_t id, n = 0;
	(void)f;
	while (get(me, h_in(me, b), &id) == MP_OK)
		CHECK_EQ(id, OP + n++);
	CHECK(n >= kl_ctl_get(0)->reported && n <= 2);
	drop_both(me);
}

static void recv_setup(mp_self *me)
{
	pipe_setup(me);
	for (uint64_t i = 1; i <= PRE; i++)
		CHECK_EQ(put(me, h_out(me, a), i, i == 2 ? BIG : 16), 0);
}

static bool even(void *ud, const mp_in *in)
{
	(void)ud;
	return in->label % 2 == 0;
}

/* The first is refused, and stays; then it is taken, the second accepted. */
static void recv_op(mp_self *me, kl_ctl *ctl)
{
	mp_queue *q = h_in(me, b);
	uint64_t id;
	mp_in in;
	CHECK_EQ(mp_queue_get_if(me, q, &in, even, NULL, 0), MP_REFUSED);
	CHECK_EQ(in.label, 1);
	CHECK_EQ(in.len, 16);
	CHECK_EQ(get(me, q, &id), 0);
	CHECK_EQ(id, 1);
	ctl->reported = 1;
	CHECK_EQ(mp_queue_get_if(me, q, &in, even, NULL, 0), 0);
	CHECK_EQ(h_read(&in), 2);
	mp_in_done(me, &in);
	ctl->reported = 2;
}

/* At most the one it had in hand is gone. */
static void recv_check(mp_self *me, const kl_fate *f)
{
	uint64_t id, next = kl_ctl_get(0)->reported + 1, n = 0;
	(void)f;
	while (get(me, h_in(me, b), &id) == MP_OK) {
		CHECK(id == next || (n == 0 && id == next + 1));
		next = id + 1;
		n++;
	}
	CHECK_EQ(next, PRE + 1);
	drop_both(me);
}

/* ---- the end of an end ----------------------------------------------------------- */

/* The creator lets go of b; the child, which inherited it, is the last one. */
static void last_op(mp_self *me, kl_ctl *ctl)
{
	(void)ctl;
	mp_obj_drop(me, a);
	kl_drop_last(me, b);
}

static void last_setup(mp_self *me)
{
	pipe_setup(me);
	for (uint64_t i = 1; i <= PRE; i++)
		CHECK_EQ(put(me, h_out(me, b), i, i == 2 ? BIG : 16), 0);
	CHECK_EQ(put(me, h_out(me, a), 8, BIG), 0);  /* nobody will read it */
}

/* Others may read it meanwhile. */
static void last_use(mp_self *me, kl_ctl *ctl)
{
	uint64_t id;
	(void)ctl;
	int rc = get(me, h_in(me, a), &id);
	CHECK(rc == MP_OK || rc == MP_CLOSED);
	mp_obj_drop(me, b);  /* a second user inherited it */
}

static void last_check(mp_self *me, const kl_fate *f)
{
	mp_obj_drop(me, b);
	drained(me, a, !f->used && !f->second_used);
	drop_both(me);
}

/* ---- ends in messages -------------------------------------------------------------- */

static void box_setup(mp_self *me)
{
	mp_out out;
	uint32_t n;
	kl_ctl_get(1)->reported = 0;
	last_setup(me);
	h_queue(me, 0, &box);
	h_make_with(me, 44, 16, b, &out);
	CHECK_EQ(mp_queue_put(me, mp_queue_body(me->shm, box), &out, 1, 0, &n), 0);
	mp_obj_drop(me, b);
}

/* Receives the end that is in the box; 0: somebody has. */
static mp_handle unbox(mp_self *me)
{
	mp_in in;
	uint32_t n = 0;
	int rc = mp_queue_get(me, mp_queue_body(me->shm, box), &in, 1, 0, &n);
	if (rc != MP_OK)
		return 0;
	CHECK_EQ(h_read(&in), 44);
	mp_handle h = in.handles[0];
	CHECK(mp_obj_held(me->shm, h, me->aid));
	mp_in_done(me, &in);
	return h;
}

/* As the keeper does it: when it is asked to. */
static void collect_asked(mp_self *me)
{
	while (atomic_load(&me->shm->h->gc))
		mp_obj_collect(me);
}

/* In a message it lives, and its pipe has no end yet. */
static void unbox_use(mp_self *me, kl_ctl *ctl)
{
	mp_handle h = unbox(me);
	if (h) {
		CHECK(!mp_queue_closed(h_out(me, h)));
		mp_obj_drop(me, h);
	}
	collect_asked(me);
	ctl->reported = 1;
}

/* Paused in its look into the end, while another receives and drops it, it
 * has to see to it that the end goes. */
static void unbox_op(mp_self *me, kl_ctl *ctl)
{
	mp_obj_collect(me);
	unbox_use(me, ctl);
	if (kl_ctl_get(1)->reported)
		CHECK(mp_pipe_body(me->shm, b) == NULL);
}

static void unbox_check(mp_self *me, const kl_fate *f)
{
	mp_handle h = unbox(me);
	(void)f;
	if (h)
		mp_obj_drop(me, h);
	collect_asked(me);
	drained(me, a, true);
	mp_obj_drop(me, box);
	drop_both(me);
}

/* Only a message lists the one end, and only that lists the queues: who takes
 * it in the middle of a collection finds all it needs. */
static void only_setup(mp_self *me)
{
	box_setup(me);
	mp_obj_drop(me, a);
}

static void only_op(mp_self *me, kl_ctl *ctl)
{
	(void)ctl;
	mp_obj_collect(me);
}

/* Takes it, and gives it to the test itself as well. */
static void only_use(mp_self *me, kl_ctl *ctl)
{
	mp_self creator = *me;
	creator.aid = atomic_load(&me->slot->parent);
	if (unbox(me) && creator.aid)
		CHECK_EQ(mp_obj_hold(&creator, b), 0);
	ctl->reported = 1;
}

static void only_check(mp_self *me, const kl_fate *f)
{
	uint64_t id = 0;
	(void)f;
	mp_obj_collect(me);
	unbox(me);
	if (mp_obj_held(me->shm, b, me->aid)) {
		CHECK_EQ(get(me, h_in(me, b), &id), 0);
		CHECK_EQ(id, 8);
		CHECK_EQ(get(me, h_in(me, b), &id), MP_CLOSED);
	}
	CHECK(id || (f->second && !f->second_done));
	mp_obj_drop(me, b);
	mp_obj_drop(me, box);
	h_collect(me);
}

/* ---- closed for reading ------------------------------------------------------------- */

static void deaf_op(mp_self *me, kl_ctl *ctl)
{
	mp_pipe_deafen(me, h_end(me, b));
	ctl->reported = 1;
}

static void deaf_use(mp_self *me, kl_ctl *ctl)
{
	(void)ctl;
	int rc = put(me, h_out(me, a), USED, 100);
	CHECK(rc == MP_OK || rc == MP_CLOSED);
}

/* Said to be so: then the sender learns it. */
static void deaf_check(mp_self *me, const kl_fate *f)
{
	int rc = put(me, h_out(me, a), USED, 100);
	bool is = atomic_load(&h_end(me, b)->deaf);
	CHECK(is || !f->done);
	CHECK_EQ(rc, is ? MP_CLOSED : MP_OK);
	drop_both(me);
}

static const kl_scene scenes[] = {
	{ "create and drop a pipe", kl_no_setup, create_op, create_use, create_check, false },
	{ "send", pipe_setup, send_op, NULL, send_check, false },
	{ "receive", recv_setup, recv_op, NULL, recv_check, false },
	{ "drop the last copy of an end", last_setup, last_op, last_use, last_check, false },
	{ "receive an end and drop it", box_setup, unbox_op, unbox_use, unbox_check, false },
	{ "collect while one is received", only_setup, only_op, only_use, only_check, false },
	{ "close for reading", recv_setup, deaf_op, deaf_use, deaf_check, false },
};

int main(void)
{
	return kl_main(&(kl_plan){ KL_SCENES(scenes), .seconds = 1 });
}
