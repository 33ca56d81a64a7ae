/* Objects: handles go stale, holders keep, forks inherit, messages keep.
 *
 * SPDX-License-Identifier: MIT */
#include "harness.h"

#include <sys/eventfd.h>

static mp_usage before;

static mp_handle event(mp_self *me)
{
	mp_handle h;
	CHECK_EQ(mp_event_create(me, &h), 0);
	return h;
}

static void generations(mp_self *me)
{
	mp_handle old = event(me), h;
	h_now("generations");
	mp_obj_drop(me, old);
	h = event(me);
	CHECK_EQ((uint32_t)h, (uint32_t)old);  /* the entry again ... */
	CHECK(h != old);                       /* ... but another handle */
	CHECK(mp_obj_body(me->shm, old, MP_T_EVENT) == NULL);
	CHECK_EQ(mp_obj_hold(me, old), MP_EOF);
	CHECK(mp_obj_body(me->shm, h, MP_T_EVENT) != NULL);
	CHECK(mp_obj_body(me->shm, h, MP_T_LOCK) == NULL);
	mp_obj_drop(me, old);
	CHECK(mp_obj_held(me->shm, h, me->aid));
	CHECK_EQ(mp_obj_hold(me, h), 0);  /* a bit, not a count */
	mp_obj_drop(me, h);
	CHECK(mp_obj_body(me->shm, h, MP_T_NONE) == NULL);
	CHECK_EQ(mp_obj_hold(me, 0), MP_EOF);
	CHECK_EQ(mp_obj_hold(me, UINT64_C(0xffffffff)), MP_EOF);
	h_audit(me, &before);
}

static void holders(mp_self *me)
{
	mp_self other;
	mp_handle h = event(me);
	h_now("holders");
	h_thread_self(me, &other);  /* inherits */
	CHECK(mp_obj_held(me->shm, h, other.aid));
	mp_obj_drop(me, h);
	CHECK(mp_obj_body(me->shm, h, MP_T_EVENT) != NULL);
	CHECK_EQ(mp_obj_hold(me, h), 0);
	mp_obj_drop(&other, h);
	CHECK(mp_obj_body(me->shm, h, MP_T_EVENT) != NULL);
	mp_obj_drop(me, h);
	CHECK(mp_obj_body(me->shm, h, MP_T_EVENT) == NULL);
	h = event(&other);
	h_bury(me, other.aid);  /* the only holder dies */
	CHECK(mp_obj_body(me->shm, h, MP_T_EVENT) == NULL);
	h_audit(me, &before);
}

static void send(mp_self *me, mp_queue *q, mp_handle h)
{
	mp_out out;
	uint32_t n;
	h_make_with(me, 9, 100, h, &out);
	CHECK_EQ(mp_queue_put(me, q, &out, 1, 0, &n), 0);
}

static mp_handle receive(mp_self *me, mp_queue *q)
{
	mp_in in;
	uint32_t n;
	CHECK_EQ(mp_queue_get(me, q, &in, 1, 0, &n), 0);
	CHECK_EQ(h_read(&in), 9);
	CHECK_EQ(in.nhandles, 1);
	mp_handle h = in.handles[0];
	mp_in_done(me, &in);
	CHECK(mp_obj_held(me->shm, h, me->aid));
	return h;
}

static void messages(mp_self *me)
{
	mp_handle hq, h = event(me);
	mp_queue *q = h_queue(me, 0, &hq);
	h_now("messages");
	send(me, q, h);
	mp_obj_drop(me, h);
	mp_obj_collect(me);
	CHECK(mp_obj_body(me->shm, h, MP_T_EVENT) != NULL);
	CHECK_EQ(receive(me, q), h);
	mp_obj_drop(me, h);
	mp_obj_collect(me);
	CHECK(mp_obj_body(me->shm, h, MP_T_EVENT) == NULL);
	/* Dropped with the message, with the queue. */
	for (int how = 0; how < 2; how++) {
		h = event(me);
		send(me, q, h);
		mp_obj_drop(me, h);
		if (how == 0)
			mp_queue_close(me, q, true);
		mp_obj_drop(me, hq);
		mp_obj_collect(me);
		CHECK(mp_obj_body(me->shm, h, MP_T_EVENT) == NULL);
		q = h_queue(me, 0, &hq);
	}
	mp_obj_drop(me, hq);
	h_audit(me, &before);
}

/* A queue in a message, and in that queue a handle: both live. Afterwards
 * both go; and so does a queue that lists itself. */
static void nested(mp_self *me)
{
	mp_handle ha, hb, h = event(me);
	mp_queue *a = h_queue(me, 0, &ha), *b = h_queue(me, 0, &hb);
	h_now("nested");
	send(me, b, h);
	send(me, a, hb);
	mp_obj_drop(me, h);
	mp_obj_drop(me, hb);
	mp_obj_collect(me);
	CHECK(mp_obj_body(me->shm, hb, MP_T_QUEUE) != NULL);
	CHECK(mp_obj_body(me->shm, h, MP_T_EVENT) != NULL);
	CHECK_EQ(receive(me, a), hb);
	CHECK_EQ(receive(me, mp_queue_body(me->shm, hb)), h);
	send(me, b, hb);
	mp_obj_drop(me, hb);
	mp_obj_drop(me, h);
	mp_obj_collect(me);
	mp_obj_collect(me);
	CHECK(mp_obj_body(me->shm, h, MP_T_EVENT) == NULL);
	CHECK(mp_obj_body(me->shm, hb, MP_T_QUEUE) == NULL);
	mp_obj_drop(me, ha);
	h_audit(me, &before);
}

static mp_handle queue_with(mp_self *me, mp_handle h)
{
	mp_handle hq;
	send(me, h_queue(me, 0, &hq), h);
	return hq;
}

static mp_handle barrier_with(mp_self *me, mp_handle h)
{
	mp_handle hb;
	CHECK_EQ(mp_barrier_create(me, 2, true, -1, &hb), 0);
	mp_barrier *b = mp_obj_body(me->shm, hb, MP_T_BARRIER);
	CHECK_EQ(mp_stored_put(me, &b->action, 0, NULL, 0, 0, &h, 1), 0);
	return hb;
}

static mp_handle dict_with(mp_self *me, mp_handle h)
{
	mp_handle hd;
	mp_key key = { "k", 1, 0 };
	mp_given v = { .handles = &h, .nhandles = 1 };
	CHECK_EQ(mp_dict_create(me, &hd), 0);
	CHECK_EQ(mp_dict_set(me, mp_obj_body(me->shm, hd, MP_T_DICT), &key, &v, NULL), 0);
	return hd;
}

/* What was listed by an object that goes is found without anybody's asking:
 * the keeper is told. */
static void told(mp_self *me)
{
	mp_handle (*with[])(mp_self *, mp_handle) = { queue_with, barrier_with, dict_with };
	h_now("told");
	me->shm->keeper_fd = eventfd(0, EFD_NONBLOCK);
	for (int i = 0; i < 3; i++) {
		uint64_t n;
		mp_handle h = event(me), by = with[i](me, h);
		mp_obj_drop(me, h);
		mp_obj_collect(me);
		CHECK(mp_obj_body(me->shm, h, MP_T_EVENT) != NULL);
		while (read(me->shm->keeper_fd, &n, sizeof n) == sizeof n)
			;
		mp_obj_drop(me, by);
		CHECK_EQ(atomic_load(&me->shm->h->gc), 1);
		CHECK_EQ(read(me->shm->keeper_fd, &n, sizeof n), sizeof n);
		mp_obj_collect(me);
		CHECK(mp_obj_body(me->shm, h, MP_T_EVENT) == NULL);
	}
	close(me->shm->keeper_fd);
	me->shm->keeper_fd = -1;
	h_audit(me, &before);
}

static void many(mp_self *me)
{
	enum { N = 5000 };
	static mp_handle hs[N];
	h_now("many");
	for (int turn = 0; turn < 2; turn++) {
		for (int i = 0; i < N; i++)
			hs[i] = event(me);
		for (int i = 0; i < N; i++)
			CHECK(mp_obj_body(me->shm, hs[i], MP_T_EVENT) != NULL);
		for (int i = 0; i < N; i++)
			mp_obj_drop(me, hs[turn ? N - 1 - i : i]);
	}
	h_audit(me, &before);
}

int main(void)
{
	mp_shm shm;
	mp_self me;
	h_deadline(30, 30);
	h_open(&shm, &me, 8 << 20, 8);
	h_settle(&me, &before);
	generations(&me);
	holders(&me);
	messages(&me);
	nested(&me);
	told(&me);
	many(&me);
	return h_done("generations, holders, messages, nesting, many");
}
