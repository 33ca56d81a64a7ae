/* Queues: order, capacity, batches, closing, leases, commits, memory; several
 * producers and consumers, by threads (also for TSan) and by processes.
 *
 * SPDX-License-Identifier: MIT */
#include "harness.h"

#include <pthread.h>
#include <sys/wait.h>

static mp_usage before;

static int put1(mp_self *me, mp_queue *q, uint64_t id, int64_t deadline)
{
	mp_out out;
	uint32_t n;
	h_make(me, id, 16, &out);
	int rc = mp_queue_put(me, q, &out, 1, deadline, &n);
	CHECK_EQ(n, rc == 0);
	return rc;
}

static void order(mp_self *me)
{
	static const size_t sizes[] = { 8, 48, 49, 100, 5000, 40000, 200000 };
	mp_handle h;
	mp_queue *q = h_queue(me, 0, &h);
	uint64_t next = 1;
	h_now("order");
	for (uint64_t id = 1; id <= 300; id++) {
		h_put(me, q, id, sizes[id % 7 < 5 ? id % 7 : id % 7 * (id % 50 == 0)]);
		if (id % 3 == 0)
			CHECK_EQ(h_get(me, q), next++);
	}
	for (uint64_t got; (got = h_get(me, q)) != 0;)
		CHECK_EQ(got, next++);
	CHECK_EQ(next, 301);
	mp_obj_drop(me, h);
	h_audit(me, &before);
}

static void empty_message(mp_self *me)
{
	mp_handle h;
	mp_queue *q = h_queue(me, 0, &h);
	mp_msg m = { .label = 77 };
	mp_out out;
	mp_in in;
	uint32_t n;
	h_now("empty message");
	CHECK_EQ(mp_out_make(me, &m, &out), 0);
	CHECK_EQ(mp_queue_put(me, q, &out, 1, 0, &n), 0);
	CHECK_EQ(mp_queue_get(me, q, &in, 1, 0, &n), 0);
	CHECK(in.len == 0 && in.label == 77 && in.nhandles == 0 && in.tries == 1);
	mp_in_done(me, &in);
	mp_obj_drop(me, h);
	h_audit(me, &before);
}

static void capacity(mp_self *me)
{
	mp_handle h;
	mp_queue *q = h_queue(me, 3, &h);
	mp_out outs[5];
	mp_in ins[8];
	uint32_t n;
	mp_queue_stat st;
	h_now("capacity");
	for (uint64_t i = 0; i < 5; i++)
		h_make(me, 1 + i, 100, &outs[i]);
	CHECK_EQ(mp_queue_put(me, q, outs, 5, 0, &n), MP_FULL);
	CHECK_EQ(n, 3);
	mp_queue_stats(me, q, &st);
	CHECK(st.waiting == 3 && st.leased == 0 && st.put == 3 && st.capacity == 3);
	CHECK_EQ(mp_queue_put(me, q, outs + 3, 2, mp_deadline(.01), &n), MP_TIMEOUT);
	CHECK_EQ(n, 0);
	CHECK_EQ(h_get(me, q), 1);
	CHECK_EQ(mp_queue_put(me, q, outs + 3, 2, 0, &n), MP_FULL);
	CHECK_EQ(n, 1);
	mp_out_drop(me, &outs[4]);
	CHECK_EQ(mp_queue_get(me, q, ins, 8, 0, &n), 0);
	CHECK_EQ(n, 3);
	for (uint32_t i = 0; i < n; i++) {
		CHECK_EQ(h_read(&ins[i]), 2 + i);
		mp_in_done(me, &ins[i]);
	}
	CHECK_EQ(mp_queue_get(me, q, ins, 8, 0, &n), MP_EMPTY);
	CHECK_EQ(mp_queue_get(me, q, ins, 8, mp_deadline(.01), &n), MP_TIMEOUT);
	mp_obj_drop(me, h);
	h_audit(me, &before);
}

static void closing(mp_self *me)
{
	mp_in in;
	uint32_t n;
	unsigned char *data;
	size_t len;
	h_now("closing");
	for (int drop = 0; drop < 2; drop++) {
		mp_handle h;
		mp_queue *q = h_queue(me, 0, &h);
		CHECK_EQ(mp_queue_peek(me, q, &data, &len), MP_EMPTY);
		for (uint64_t i = 1; i <= 200; i++)
			h_put(me, q, i, 30 + i);
		CHECK_EQ(mp_queue_peek(me, q, &data, &len), 0);
		CHECK(len == 31 && data[0] == 1);
		free(data);
		CHECK(!mp_queue_closed(q));
		mp_queue_close(me, q, drop);
		CHECK(mp_queue_closed(q));
		CHECK_EQ(put1(me, q, 9, 0), MP_CLOSED);
		for (uint64_t i = 1; !drop && i <= 200; i++)
			CHECK_EQ(h_get(me, q), i);
		CHECK_EQ(mp_queue_get(me, q, &in, 1, MP_FOREVER, &n), MP_CLOSED);
		CHECK_EQ(mp_queue_peek(me, q, &data, &len), MP_CLOSED);
		CHECK(mp_queue_ready(q, me->shm));
		mp_queue_close(me, q, drop);
		mp_obj_drop(me, h);
		h_audit(me, &before);
	}
}

static void leases(mp_self *me)
{
	mp_handle h;
	mp_queue *q = h_queue(me, 0, &h);
	mp_in ins[100];
	mp_self other;
	uint32_t n;
	mp_queue_stat st;
	h_now("leases");
	for (uint64_t i = 1; i <= 150; i++)
		h_put(me, q, i, 20 + i);
	CHECK_EQ(mp_queue_lease(me, q, ins, 100, 0, &n), 0);
	CHECK_EQ(n, 100);
	mp_queue_stats(me, q, &st);
	CHECK(st.waiting == 50 && st.leased == 100);
	mp_queue_release(me);
	CHECK_EQ(mp_queue_lease(me, q, ins, 1, 0, &n), 0);
	CHECK(h_read(&ins[0]) == 1 && ins[0].tries == 1);
	/* Another dies with a lease in the middle; it comes back at once. */
	h_thread_self(me, &other);
	CHECK_EQ(mp_queue_lease(&other, q, ins + 1, 3, 0, &n), 0);
	CHECK_EQ(h_read(&ins[1]), 2);
	h_bury(me, other.aid);
	mp_leases_free(&other);
	CHECK_EQ(mp_queue_commit(me, NULL, 0, 0), 0);
	for (uint64_t i = 2; i <= 150; i++) {
		CHECK_EQ(mp_queue_get(me, q, ins, 1, 0, &n), 0);
		CHECK_EQ(h_read(&ins[0]), i);
		CHECK_EQ(ins[0].tries, i < 5 ? 2 : 1);
		mp_in_done(me, &ins[0]);
	}
	mp_obj_drop(me, h);
	h_audit(me, &before);
}

static void commits(mp_self *me)
{
	mp_handle ha, hb, hc;
	mp_queue *a = h_queue(me, 0, &ha), *b = h_queue(me, 2, &hb), *c = h_queue(me, 0, &hc);
	mp_in in;
	mp_out ob[70], oc[1];
	uint32_t n;
	h_now("commits");
	h_put(me, a, 1, 100);
	CHECK_EQ(mp_queue_lease(me, a, &in, 1, 0, &n), 0);
	for (uint64_t i = 0; i < 70; i++)
		h_make(me, 100 + i, 30 + i, &ob[i]);
	h_make(me, 200, 16, &oc[0]);
	mp_batch batch[2] = { { b, ob, 70 }, { c, oc, 1 } };
	CHECK_EQ(mp_queue_commit(me, batch, 2, 0), 0);  /* room for one: for any */
	CHECK_EQ(h_get(me, a), 0);
	CHECK_EQ(h_get(me, c), 200);
	/* Full: nothing happens, to nobody. */
	h_put(me, a, 2, 100);
	CHECK_EQ(mp_queue_lease(me, a, &in, 1, 0, &n), 0);
	h_make(me, 201, 16, &oc[0]);
	mp_out extra;
	h_make(me, 300, 100, &extra);
	batch[0] = (mp_batch){ b, &extra, 1 };
	batch[1] = (mp_batch){ c, oc, 1 };
	CHECK_EQ(mp_queue_commit(me, batch, 2, 0), MP_FULL);
	CHECK_EQ(mp_queue_commit(me, batch, 2, mp_deadline(.01)), MP_TIMEOUT);
	CHECK_EQ(h_get(me, c), 0);
	for (uint64_t i = 0; i < 70; i++)
		CHECK_EQ(h_get(me, b), 100 + i);
	CHECK_EQ(h_get(me, b), 0);
	CHECK_EQ(mp_queue_commit(me, batch, 2, 0), 0);
	CHECK_EQ(h_get(me, b), 300);
	CHECK_EQ(h_get(me, c), 201);
	/* Closed: the same. */
	h_put(me, a, 3, 100);
	CHECK_EQ(mp_queue_lease(me, a, &in, 1, 0, &n), 0);
	mp_queue_close(me, b, false);
	h_make(me, 202, 16, &oc[0]);
	h_make(me, 301, 100, &extra);
	batch[0] = (mp_batch){ c, oc, 1 };
	batch[1] = (mp_batch){ b, &extra, 1 };
	CHECK_EQ(mp_queue_commit(me, batch, 2, mp_deadline(1)), MP_CLOSED);
	mp_out_drop(me, &extra);
	mp_out_drop(me, &oc[0]);
	mp_queue_release(me);
	CHECK_EQ(h_get(me, c), 0);
	CHECK_EQ(h_get(me, a), 3);
	mp_obj_drop(me, ha);
	mp_obj_drop(me, hb);
	mp_obj_drop(me, hc);
	h_audit(me, &before);
}

/* Unlimited, until the memory is full: then MP_NOMEM, and all comes back. */
static void memory(mp_self *me)
{
	mp_handle h;
	mp_queue *q = h_queue(me, 0, &h);
	uint64_t put = 0, got = 0, id;
	uint32_t n;
	h_now("memory");
	for (;;) {
		mp_out out;
		h_make(me, put + 1, 16, &out);
		int rc = mp_queue_put(me, q, &out, 1, 0, &n);
		if (rc) {
			CHECK_EQ(rc, MP_NOMEM);
			break;
		}
		put++;
	}
	CHECK(put > 10000);
	while ((id = h_get(me, q)) != 0)
		CHECK_EQ(id, ++got);
	CHECK_EQ(got, put);
	mp_obj_drop(me, h);
	h_audit(me, &before);
}

/* ---- several ------------------------------------------------------------------ */

enum { P = 2, C = 2, ITEMS = 60000 };

static mp_handle hmany;
static _Atomic unsigned char *at;

static void producer(mp_self *me, uint64_t k)
{
	mp_queue *q = mp_queue_body(me->shm, hmany);
	for (uint64_t i = 0; i < ITEMS;) {
		mp_out outs[5];
		uint32_t n, want = i + 5 < ITEMS ? 1 + i % 5 : 1;
		for (uint32_t j = 0; j < want; j++)
			h_make(me, 1 + k * ITEMS + i + j, (i + j) % 11 ? 24 : 200, &outs[j]);
		CHECK_EQ(mp_queue_put(me, q, outs, want, mp_deadline(60), &n), 0);
		i += want;
	}
}

static void consumer(mp_self *me)
{
	mp_queue *q = mp_queue_body(me->shm, hmany);
	uint64_t last[P] = { 0 };
	for (;;) {
		mp_in ins[7];
		uint32_t n;
		int rc = mp_queue_get(me, q, ins, 7, mp_deadline(60), &n);
		if (rc == MP_CLOSED)
			return;
		CHECK_EQ(rc, 0);
		for (uint32_t i = 0; i < n; i++) {
			uint64_t id = h_read(&ins[i]), who = (id - 1) / ITEMS;
			CHECK_EQ(atomic_fetch_add(&at[id], 1), 0);
			CHECK(who < P && id > last[who]);
			last[who] = id;
			mp_in_done(me, &ins[i]);
		}
	}
}

struct part { mp_self self; int k; };

static void *thread(void *arg)
{
	struct part *p = arg;
	if (p->k < P)
		producer(&p->self, (uint64_t)p->k);
	else
		consumer(&p->self);
	return NULL;
}

static void check_many(mp_self *me)
{
	for (uint64_t i = 1; i <= (uint64_t)P * ITEMS; i++)
		CHECK_EQ(at[i], 1);
	mp_obj_drop(me, hmany);
	h_audit(me, &before);
}

static void by_threads(mp_self *me, uint64_t cap)
{
	static struct part parts[P + C];
	pthread_t t[P + C];
	h_now("threads, capacity %d", (int)cap);
	at = h_shared(P * ITEMS + 64);
	mp_queue *q = h_queue(me, cap, &hmany);
	for (int i = 0; i < P + C; i++) {
		parts[i].k = i;
		h_thread_self(me, &parts[i].self);
	}
	for (int i = 0; i < P + C; i++)
		CHECK_EQ(pthread_create(&t[i], NULL, thread, &parts[i]), 0);
	for (int i = 0; i < P + C; i++) {
		if (i == P)
			mp_queue_close(me, q, false);
		pthread_join(t[i], NULL);
		h_bury(me, parts[i].self.aid);
	}
	check_many(me);
}

static void by_processes(mp_self *me, uint64_t cap)
{
	pid_t pid[P + C];
	mp_aid aid[P + C];
	h_now("processes, capacity %d", (int)cap);
	at = h_shared(P * ITEMS + 64);
	mp_queue *q = h_queue(me, cap, &hmany);
	for (int i = 0; i < P + C; i++)
		if ((pid[i] = h_fork(me, &aid[i])) == 0) {
			if (i < P)
				producer(me, (uint64_t)i);
			else
				consumer(me);
			h_exit(0);
		}
	for (int i = 0; i < P + C; i++) {
		if (i == P)
			mp_queue_close(me, q, false);
		CHECK_EQ(h_join(me, pid[i], aid[i]), 0);
	}
	check_many(me);
}

int main(void)
{
	mp_shm shm;
	mp_self me;
	h_deadline(60, 120);
	h_open(&shm, &me, 8 << 20, 16);
	h_settle(&me, &before);
	order(&me);
	empty_message(&me);
	capacity(&me);
	closing(&me);
	leases(&me);
	commits(&me);
	memory(&me);
	by_threads(&me, 0);
	by_threads(&me, 10);
	if (!H_TSAN) {
		by_processes(&me, 0);
		by_processes(&me, 100);
	}
	mp_leases_free(&me);
	return h_done("order, capacity, closing, leases, commits, memory; "
	              "%d items by %d producers and %d consumers", P * ITEMS, P, C);
}
