/* Leases by number: kept out of commits and claimed again, given back, alone
 * when they were delivered before; many of them.
 *
 * SPDX-License-Identifier: MIT */
#include <errno.h>

#include "harness.h"

enum { MANY = 3000 };

static mp_usage before;

static mp_queue *a_link(mp_self *me, mp_handle *h)
{
	CHECK_EQ(mp_queue_create(me, 0, MP_Q_COUNT_LEASED | MP_Q_DRAIN_ALL, h), 0);
	return mp_queue_body(me->shm, *h);
}

static uint32_t in_work(mp_self *me, mp_queue *q)
{
	mp_queue_stat st;
	mp_queue_stats(me, q, &st);
	return (uint32_t)st.leased;
}

static void commit(mp_self *me)
{
	CHECK_EQ(mp_queue_commit(me, NULL, 0, 0), 0);
}

/* Takes the next one for good; how often it was delivered. */
static unsigned next_is(mp_self *me, mp_queue *q, uint64_t id)
{
	mp_in in;
	uint32_t n;
	CHECK_EQ(mp_queue_get(me, q, &in, 1, 0, &n), 0);
	CHECK_EQ(h_read(&in), id);
	mp_in_done(me, &in);
	return in.tries;
}

static void commits_pass_over(mp_self *me)
{
	mp_handle h, hb;
	mp_queue *q = a_link(me, &h), *b = a_link(me, &hb);
	mp_in ins[10], in;
	mp_out out;
	mp_batch batch = { b, &out, 1 };
	uint32_t n;
	h_now("commits pass over what is kept");
	for (uint64_t i = 1; i <= 12; i++)
		h_put(me, q, i, i % 2 ? 16 : 100);
	CHECK_EQ(mp_queue_lease(me, q, ins, 10, 0, &n), 0);
	uint64_t lease = ins[0].lease;
	for (uint32_t i = 0; i < 10; i++)
		CHECK(ins[i].lease == lease + i && ins[i].seq == i + 1 && h_read(&ins[i]) == i + 1);
	CHECK_EQ(mp_queue_keep(me, lease + 2, 3), 0);
	h_make(me, 100, 100, &out);
	CHECK_EQ(mp_queue_commit(me, &batch, 1, 0), 0);
	CHECK_EQ(in_work(me, q), 3);
	CHECK_EQ(h_get(me, b), 100);
	CHECK(mp_queue_leased(me, lease + 3, &in) && h_read(&in) == 4 && in.seq == 4);
	CHECK(!mp_queue_leased(me, lease, &in));
	/* Kept again and again, and leased meanwhile. */
	for (int i = 0; i < 300; i++) {
		CHECK_EQ(mp_queue_claim(me, lease + 3, 1), 0);
		CHECK_EQ(mp_queue_keep(me, lease + 3, 1), 0);
	}
	CHECK_EQ(mp_queue_lease(me, q, &in, 1, 0, &n), 0);
	CHECK(h_read(&in) == 11 && in.lease == lease + 10);
	CHECK_EQ(mp_queue_claim(me, lease + 3, 1), 0);
	commit(me);
	CHECK_EQ(in_work(me, q), 2);
	mp_queue_release(me);
	CHECK_EQ(next_is(me, q, 3), 1);
	CHECK_EQ(next_is(me, q, 5), 1);
	CHECK_EQ(next_is(me, q, 12), 1);
	mp_obj_drop(me, h);
	mp_obj_drop(me, hb);
	h_audit(me, &before);
}

static void misuse(mp_self *me)
{
	mp_handle h;
	mp_queue *q = a_link(me, &h);
	mp_in ins[4];
	uint32_t n;
	h_now("misuse");
	CHECK_EQ(mp_queue_keep(me, 1, 1), -ENOENT);
	for (uint64_t i = 1; i <= 4; i++)
		h_put(me, q, i, 16);
	CHECK_EQ(mp_queue_lease(me, q, ins, 4, 0, &n), 0);
	uint64_t lease = ins[0].lease;
	CHECK_EQ(mp_queue_keep(me, lease, 0), 0);
	CHECK_EQ(mp_queue_keep(me, lease, 5), -ENOENT);
	CHECK_EQ(mp_queue_keep(me, lease - 1, 2), -ENOENT);
	CHECK_EQ(mp_queue_keep(me, lease, UINT32_MAX), -ENOENT);
	CHECK_EQ(mp_queue_claim(me, lease, 1), -EALREADY);
	CHECK_EQ(mp_queue_keep(me, lease + 2, 1), 0);
	CHECK_EQ(mp_queue_keep(me, lease, 4), -EALREADY);
	CHECK_EQ(mp_queue_claim(me, lease, 3), -EALREADY);
	commit(me);  /* nothing of that was half done */
	CHECK_EQ(in_work(me, q), 1);
	CHECK_EQ(mp_queue_keep(me, lease, 1), -ENOENT);
	CHECK_EQ(mp_queue_claim(me, lease + 2, 1), 0);
	commit(me);
	CHECK_EQ(mp_queue_claim(me, lease + 2, 1), -ENOENT);
	CHECK_EQ(in_work(me, q), 0);
	mp_obj_drop(me, h);
	h_audit(me, &before);
}

/* What was in the transaction of one that died was delivered, what it kept was
 * not; the first go alone from then on, the others together. */
static void deaths(mp_self *me)
{
	mp_handle h;
	mp_queue *q = a_link(me, &h);
	mp_self other;
	mp_in ins[8];
	uint32_t n;
	h_now("deaths");
	for (uint64_t i = 1; i <= 8; i++)
		h_put(me, q, i, 100);
	h_thread_self(me, &other);
	CHECK_EQ(mp_queue_lease(&other, q, ins, 6, 0, &n), 0);
	CHECK_EQ(mp_queue_keep(&other, ins[1].lease, 4), 0);
	CHECK_EQ(mp_queue_claim(&other, ins[3].lease, 1), 0);
	h_bury(me, other.aid);
	mp_leases_free(&other);
	static const uint8_t alone[9] = { 0, 2, 0, 0, 2, 0, 2, 0, 0 };
	for (uint64_t id = 1; id <= 8; id += n) {
		CHECK_EQ(mp_queue_lease(me, q, ins, 8, 0, &n), 0);
		CHECK_EQ(ins[0].seq, id);
		CHECK_EQ(ins[0].tries, alone[id] ? 2 : 1);
		CHECK_EQ(n, id == 2 || id == 7 ? 2 : 1);
		for (uint32_t i = 0; i < n; i++)
			CHECK_EQ(h_read(&ins[i]), id + i);
	}
	commit(me);
	mp_obj_drop(me, h);
	h_audit(me, &before);
}

/* A closed queue has ended for whoever has the last of it himself. */
static void closing(mp_self *me)
{
	mp_handle h;
	mp_queue *q = a_link(me, &h);
	mp_self other;
	mp_in in;
	uint32_t n;
	h_now("closing");
	h_thread_self(me, &other);
	h_put(me, q, 1, 100);
	CHECK_EQ(mp_queue_lease(&other, q, &in, 1, 0, &n), 0);
	CHECK_EQ(mp_queue_keep(&other, in.lease, 1), 0);
	mp_queue_close(me, q, false);
	CHECK_EQ(mp_queue_lease(me, q, &in, 1, 0, &n), MP_EMPTY);
	CHECK(!mp_queue_ops.ready(me, q));
	CHECK(mp_queue_ops.ready(&other, q));
	CHECK_EQ(mp_queue_lease(&other, q, &in, 1, MP_FOREVER, &n), MP_CLOSED);
	CHECK_EQ(mp_queue_claim(&other, 1, 1), 0);
	commit(&other);
	CHECK_EQ(mp_queue_lease(me, q, &in, 1, MP_FOREVER, &n), MP_CLOSED);
	mp_leases_free(&other);
	h_bury(me, other.aid);
	mp_obj_drop(me, h);
	h_audit(me, &before);
}

/* Three kept for each that is finished at once; then all, in any order. */
static void many(mp_self *me)
{
	static uint64_t kept[MANY];
	mp_handle h[2];
	mp_queue *q[2] = { a_link(me, &h[0]), a_link(me, &h[1]) };
	mp_in ins[7];
	uint32_t n, nkept = 0;
	h_now("many");
	for (uint64_t i = 1; i <= MANY; i++)
		h_put(me, q[i % 2], i, 16);
	for (uint32_t i = 0; mp_queue_lease(me, q[i % 2], ins, 7, 0, &n) == MP_OK; i++) {
		for (uint32_t k = 0; k < n; k++)
			if (h_random() % 4) {
				CHECK_EQ(mp_queue_keep(me, ins[k].lease, 1), 0);
				kept[nkept++] = ins[k].lease;
			}
		commit(me);
		CHECK_EQ(in_work(me, q[0]) + in_work(me, q[1]), nkept);
	}
	while (nkept) {
		uint32_t at = (uint32_t)(h_random() % nkept);
		CHECK_EQ(mp_queue_claim(me, kept[at], 1), 0);
		kept[at] = kept[--nkept];
		if (nkept % 5)
			continue;
		commit(me);
		CHECK_EQ(in_work(me, q[0]) + in_work(me, q[1]), nkept);
	}
	CHECK_EQ(mp_queue_lease(me, q[0], ins, 1, 0, &n), MP_EMPTY);
	mp_obj_drop(me, h[0]);
	mp_obj_drop(me, h[1]);
	h_audit(me, &before);
}

int main(void)
{
	mp_shm shm;
	mp_self me;
	h_deadline(30, 60);
	h_seed(0);
	h_open(&shm, &me, 4 << 20, 8);
	h_ballast(&me);
	h_settle(&me, &before);
	commits_pass_over(&me);
	misuse(&me);
	deaths(&me);
	closing(&me);
	many(&me);
	mp_leases_free(&me);
	return h_done("kept and claimed, dead holders, closed queues, %d at once", MANY);
}
