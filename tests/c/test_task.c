/* What pools need of a queue: labels that outlive who set them, and messages
 * withdrawn by their id.
 *
 * SPDX-License-Identifier: MIT */
#include "harness.h"

#include <pthread.h>

enum { KEEP = 1, GO = 2, MANY = 300 };

static mp_usage before;

static void put(mp_self *me, mp_queue *q, uint64_t id, uint16_t serial, size_t len, mp_handle h)
{
	mp_out out;
	uint32_t n;
	if (h)
		h_make_with(me, id, len, h, &out);
	else
		h_make(me, id, len, &out);
	out.label = serial;
	CHECK_EQ(mp_queue_put(me, q, &out, 1, MP_FOREVER, &n), 0);
}

/* Gets one: its id, 0 if there is none. */
static uint64_t get(mp_self *me, mp_queue *q, uint16_t *serial)
{
	mp_in in;
	uint64_t id;
	uint32_t n;
	if (mp_queue_get(me, q, &in, 1, 0, &n) != MP_OK)
		return 0;
	memcpy(&id, in.data, sizeof id);
	*serial = in.label;
	mp_in_done(me, &in);
	return id;
}

static void counts(mp_self *me, mp_queue *q, uint64_t waiting, uint64_t leased)
{
	mp_queue_stat st;
	mp_queue_stats(me, q, &st);
	CHECK_EQ(st.waiting, waiting);
	CHECK_EQ(st.leased, leased);
}

/* ---- withdrawing ------------------------------------------------------------ */

/* Every third stays; all sizes, over several segments, after skip others. */
static void among_others(mp_self *me, uint32_t skip)
{
	static const size_t sizes[] = { 8, 16, 48, 49, 1000, 70000 };
	mp_handle h;
	mp_queue *q = h_queue(me, 0, &h);
	uint16_t serial;
	h_now("among others, after %u", skip);
	for (uint32_t i = 0; i < skip; i++) {
		put(me, q, KEEP, 1, 8, 0);
		CHECK_EQ(get(me, q, &serial), KEEP);
	}
	for (uint16_t i = 0; i < MANY; i++)
		put(me, q, i % 3 ? GO : KEEP, i, sizes[i % 50 ? i % 5 : 5], 0);
	CHECK_EQ(mp_queue_withdraw(me, q, 3, UINT32_MAX), 0);
	CHECK_EQ(mp_queue_withdraw(me, q, GO, 2), 2);
	CHECK_EQ(mp_queue_withdraw(me, q, GO, UINT32_MAX), MANY / 3 * 2 - 2);
	CHECK_EQ(mp_queue_withdraw(me, q, GO, UINT32_MAX), 0);
	counts(me, q, MANY / 3, 0);
	for (uint16_t i = 0; i < MANY; i += 3) {
		CHECK_EQ(get(me, q, &serial), KEEP);
		CHECK_EQ(serial, i);
	}
	CHECK_EQ(get(me, q, &serial), 0);
	mp_obj_drop(me, h);
	h_audit(me, &before);
}

/* Nothing is left: nobody may think that a get would not wait, and the
 * segments are given back. */
static void all(mp_self *me)
{
	mp_handle h;
	mp_queue *q = h_queue(me, 0, &h);
	mp_usage empty, after;
	h_now("all");
	h_settle(me, &empty);
	for (uint16_t i = 0; i < MANY; i++)
		put(me, q, GO, i, 100, 0);
	CHECK(mp_queue_ready(q, me->shm));
	CHECK_EQ(mp_queue_withdraw(me, q, GO, UINT32_MAX), MANY);
	CHECK(!mp_queue_ready(q, me->shm));
	counts(me, q, 0, 0);
	h_settle(me, &after);
	CHECK_EQ(after.nblocks, empty.nblocks);
	put(me, q, KEEP, 1, 8, 0);
	CHECK(mp_queue_ready(q, me->shm));
	CHECK_EQ(h_get(me, q), KEEP);
	mp_obj_drop(me, h);
	h_audit(me, &before);
}

/* What others have leased stays, also when it comes back. */
static void leased(mp_self *me)
{
	mp_handle h;
	mp_queue *q = h_queue(me, 0, &h);
	mp_self other;
	mp_in ins[70];
	uint32_t n;
	uint16_t serial;
	h_now("leased");
	h_thread_self(me, &other);
	for (uint16_t i = 0; i < 200; i++)
		put(me, q, GO, i, i % 2 ? 8 : 100, 0);
	CHECK_EQ(mp_queue_lease(me, q, ins, 5, 0, &n), 0);
	CHECK_EQ(mp_queue_lease(&other, q, ins, 70, 0, &n), 0);
	mp_queue_release(me);  /* those of the other lie behind the head */
	CHECK_EQ(mp_queue_withdraw(me, q, GO, UINT32_MAX), 130);
	counts(me, q, 0, 70);
	mp_queue_release(&other);
	counts(me, q, 70, 0);
	for (uint16_t i = 5; i < 40; i++) {
		CHECK_EQ(get(me, q, &serial), GO);
		CHECK_EQ(serial, i);
	}
	CHECK_EQ(mp_queue_withdraw(me, q, GO, UINT32_MAX), 35);
	counts(me, q, 0, 0);
	mp_leases_free(&other);
	h_bury(me, other.aid);
	mp_obj_drop(me, h);
	h_audit(me, &before);
}

/* An id behind a list of handles; an object that only they list goes with them. */
static void handles(mp_self *me)
{
	mp_handle h, listed;
	mp_queue *q = h_queue(me, 0, &h);
	uint16_t serial;
	h_now("handles");
	h_queue(me, 0, &listed);
	put(me, q, GO, 1, 8, listed);
	put(me, q, KEEP, 2, 8, 0);
	put(me, q, GO, 3, 200, listed);
	mp_obj_drop(me, listed);
	h_collect(me);
	CHECK(mp_queue_body(me->shm, listed) != NULL);
	/* As if it were the id: the list's own first word. */
	CHECK_EQ(mp_queue_withdraw(me, q, 1, UINT32_MAX), 1);
	CHECK_EQ(atomic_load(&me->shm->h->gc), 0);
	CHECK_EQ(mp_queue_withdraw(me, q, GO, UINT32_MAX), 2);
	CHECK_EQ(atomic_load(&me->shm->h->gc), 1);  /* a collection is asked for */
	h_collect(me);
	CHECK(mp_queue_body(me->shm, listed) == NULL);
	CHECK_EQ(get(me, q, &serial), 0);
	mp_obj_drop(me, h);
	h_audit(me, &before);
}

static void shorter_than_an_id(mp_self *me)
{
	mp_handle h;
	mp_queue *q = h_queue(me, 0, &h);
	mp_msg m = { .label = 7 };
	mp_out out;
	uint32_t n;
	h_now("shorter than an id");
	CHECK_EQ(mp_out_make(me, &m, &out), 0);
	CHECK_EQ(mp_queue_put(me, q, &out, 1, 0, &n), 0);
	CHECK_EQ(mp_queue_withdraw(me, q, 0, UINT32_MAX), 0);
	counts(me, q, 1, 0);
	mp_obj_drop(me, h);
	h_audit(me, &before);
}

/* The first part lies between the list and the others. */
static void first_part(mp_self *me)
{
	static const char text[] = "the rest of it, longer than what fits into a cell";
	mp_handle h;
	mp_queue *q = h_queue(me, 0, &h);
	uint64_t id = 77;
	h_now("first part");
	for (int listing = 0; listing < 2; listing++) {
		mp_part part = { text, sizeof text };
		mp_msg m = { .parts = &part, .nparts = 1, .len = sizeof text,
		             .first = { &id, sizeof id }, .handles = &h, .nhandles = listing };
		mp_out out;
		mp_in in;
		uint32_t n;
		CHECK_EQ(mp_out_make(me, &m, &out), 0);
		CHECK_EQ(mp_queue_put(me, q, &out, 1, 0, &n), 0);
		CHECK_EQ(mp_queue_get(me, q, &in, 1, 0, &n), 0);
		CHECK_EQ(in.len, sizeof id + sizeof text);
		CHECK(memcmp(in.data, &id, sizeof id) == 0);
		CHECK(memcmp(in.data + sizeof id, text, sizeof text) == 0);
		mp_in_done(me, &in);
	}
	mp_obj_drop(me, h);
	h_audit(me, &before);
}

/* ---- who waits -----------------------------------------------------------------
 * A slice's end would find what a wake-up was forgotten for: each is tried until
 * there was none. */

struct waiter {
	mp_self self;
	mp_queue *q;
	uint32_t what;
	int rc;
	bool slept_on;
	pthread_t thread;
};

static void note_slice(mp_self *me, void *ud)
{
	(void)me;
	((struct waiter *)ud)->slept_on = true;
}

static void *wait_for_it(void *arg)
{
	struct waiter *w = arg;
	mp_out out;
	mp_in in;
	uint32_t n;
	switch (w->what) {
	case MP_W_PUT:
		h_make(&w->self, KEEP, 8, &out);
		w->rc = mp_queue_put(&w->self, w->q, &out, 1, MP_FOREVER, &n);
		break;
	case MP_W_QJOIN:
		w->rc = mp_queue_join(&w->self, w->q, MP_FOREVER);
		break;
	default:
		w->rc = mp_queue_get(&w->self, w->q, &in, 1, MP_FOREVER, &n);
	}
	return NULL;
}

/* Started, and asleep in that wait. */
static void start(mp_self *me, struct waiter *w, mp_queue *q, uint32_t what)
{
	*w = (struct waiter){ .q = q, .what = what };
	h_thread_self(me, &w->self);
	w->self.spin = 0;
	w->self.slice = note_slice;
	w->self.ud = w;
	CHECK_EQ(pthread_create(&w->thread, NULL, wait_for_it, w), 0);
	while (atomic_load(&w->self.slot->wait.what) != what || !atomic_load(&w->self.slot->asleep))
		usleep(200);
}

static int finish(mp_self *me, struct waiter *w)
{
	pthread_join(w->thread, NULL);
	h_bury(me, w->self.aid);
	return w->rc;
}

static bool room_was_made(mp_self *me)
{
	mp_handle h;
	struct waiter w;
	mp_queue *q = h_queue(me, 2, &h);
	put(me, q, KEEP, 1, 8, 0);
	put(me, q, GO, 2, 8, 0);
	start(me, &w, q, MP_W_PUT);
	CHECK_EQ(mp_queue_withdraw(me, q, GO, UINT32_MAX), 1);
	CHECK_EQ(finish(me, &w), MP_OK);
	counts(me, q, 2, 0);
	mp_obj_drop(me, h);
	return !w.slept_on;
}

static bool all_is_finished(mp_self *me)
{
	mp_handle h;
	struct waiter w;
	CHECK_EQ(mp_queue_create(me, 0, MP_Q_JOINABLE, &h), 0);
	mp_queue *q = mp_queue_body(me->shm, h);
	put(me, q, GO, 1, 8, 0);
	start(me, &w, q, MP_W_QJOIN);
	CHECK_EQ(mp_queue_withdraw(me, q, GO, UINT32_MAX), 1);
	CHECK_EQ(finish(me, &w), MP_OK);
	mp_obj_drop(me, h);
	return !w.slept_on;
}

/* A closed queue's reader waits for what another has leased; that comes back,
 * and is withdrawn or, which is no use here, the reader's. */
static bool nothing_can_come(mp_self *me)
{
	mp_handle h;
	struct waiter w;
	mp_self other;
	mp_in in;
	uint32_t n;
	CHECK_EQ(mp_queue_create(me, 0, MP_Q_COUNT_LEASED | MP_Q_DRAIN_ALL, &h), 0);
	mp_queue *q = mp_queue_body(me->shm, h);
	h_thread_self(me, &other);
	put(me, q, GO, 1, 8, 0);
	CHECK_EQ(mp_queue_lease(&other, q, &in, 1, 0, &n), 0);
	mp_queue_close(me, q, false);
	start(me, &w, q, MP_W_GET);
	mp_queue_release(&other);
	n = mp_queue_withdraw(me, q, GO, UINT32_MAX);
	CHECK_EQ(finish(me, &w), n ? MP_CLOSED : MP_OK);
	mp_leases_free(&other);
	h_bury(me, other.aid);
	mp_obj_drop(me, h);
	return n && !w.slept_on;
}

static void waiters(mp_self *me)
{
	static bool (*const cases[])(mp_self *) = { room_was_made, all_is_finished, nothing_can_come };
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		h_now("who waits, %zu", i);
		while (!cases[i](me))
			;
		h_audit(me, &before);
	}
}

/* ---- labels ----------------------------------------------------------------------- */

/* Leases one, marks it, and is killed; the next holder sees the label. */
static void mark_survives(mp_self *me, uint16_t label, bool released)
{
	mp_handle h;
	mp_queue *q = h_queue(me, 0, &h);
	mp_in in;
	mp_aid aid;
	uint32_t n;
	h_now("mark %u survives", label);
	put(me, q, GO, 0, 100, 0);
	put(me, q, KEEP, 9, 100, 0);
	pid_t pid = h_fork(me, &aid);
	if (pid == 0) {
		CHECK_EQ(mp_queue_lease(me, q, &in, 1, 0, &n), 0);
		CHECK(in.label == 0 && in.tries == 1);
		mp_queue_mark(me, label);
		if (released)
			mp_queue_desert(me);
		h_exit(0);
	}
	CHECK_EQ(h_join(me, pid, aid), 0);
	CHECK_EQ(mp_queue_lease(me, q, &in, 1, 0, &n), 0);
	CHECK(in.label == label && in.tries == 2);
	CHECK_EQ(mp_queue_commit(me, NULL, 0, 0), 0);
	CHECK_EQ(mp_queue_lease(me, q, &in, 1, 0, &n), 0);
	CHECK(in.label == 9 && in.tries == 1);
	CHECK_EQ(mp_queue_commit(me, NULL, 0, 0), 0);
	mp_obj_drop(me, h);
	h_audit(me, &before);
}

/* ---- several at once ---------------------------------------------------------------- */

enum { ROUNDS = 20000 };

static mp_queue *shared;
static _Atomic uint32_t taken[3], withdrawn;

static void *produces(void *arg)
{
	for (uint32_t i = 0; i < ROUNDS; i++)
		put(arg, shared, 1 + i % 2, 0, i % 5 ? 16 : 100, 0);
	mp_queue_close(arg, shared, false);
	return NULL;
}

static void *consumes(void *arg)
{
	mp_in in;
	uint64_t id;
	uint32_t n;
	while (mp_queue_lease(arg, shared, &in, 1, MP_FOREVER, &n) == MP_OK) {
		memcpy(&id, in.data, sizeof id);
		mp_queue_mark(arg, 1);
		atomic_fetch_add(&taken[id], 1);
		CHECK_EQ(mp_queue_keep(arg, in.lease, 1), 0);
		CHECK_EQ(mp_queue_commit(arg, NULL, 0, 0), 0);  /* of nothing */
		CHECK_EQ(mp_queue_claim(arg, in.lease, 1), 0);
		CHECK_EQ(mp_queue_commit(arg, NULL, 0, 0), 0);
	}
	return NULL;
}

static void *withdraws(void *arg)
{
	while (!mp_queue_closed(shared))
		atomic_fetch_add(&withdrawn, mp_queue_withdraw(arg, shared, GO, UINT32_MAX));
	return NULL;
}

static void together(mp_self *me)
{
	static void *(*const roles[])(void *) = { produces, consumes, consumes, withdraws };
	mp_handle h;
	mp_self selves[4];
	pthread_t threads[4];
	h_now("several at once");
	CHECK_EQ(mp_queue_create(me, 100, MP_Q_COUNT_LEASED | MP_Q_DRAIN_ALL, &h), 0);
	shared = mp_queue_body(me->shm, h);
	for (int i = 0; i < 4; i++) {
		h_thread_self(me, &selves[i]);
		CHECK_EQ(pthread_create(&threads[i], NULL, roles[i], &selves[i]), 0);
	}
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		mp_leases_free(&selves[i]);
		h_bury(me, selves[i].aid);
	}
	counts(me, shared, 0, 0);
	CHECK_EQ(taken[KEEP], ROUNDS / 2);
	CHECK_EQ(taken[GO] + withdrawn, ROUNDS / 2);
	mp_obj_drop(me, h);
	h_audit(me, &before);
}

int main(void)
{
	mp_shm shm;
	mp_self me;
	h_deadline(60, 120);
	h_open(&shm, &me, 16 << 20, 16);
	h_ballast(&me);
	h_settle(&me, &before);
	among_others(&me, 0);
	among_others(&me, 40);
	all(&me);
	leased(&me);
	handles(&me);
	shorter_than_an_id(&me);
	first_part(&me);
	waiters(&me);
	if (!H_TSAN) {
		mark_survives(&me, 1, false);
		mark_survives(&me, 65535, false);
		mark_survives(&me, 3, true);
	}
	together(&me);
	mp_leases_free(&me);
	return h_done("withdrawn in all places, %u of %u among others at work", withdrawn, ROUNDS / 2);
}
