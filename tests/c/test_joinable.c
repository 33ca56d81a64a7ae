/* JoinableQueue: what is in work, finished, given back; joining; and consumers
 * killed at random under load: each item is finished, the join returns.
 *
 * SPDX-License-Identifier: MIT */
#include "harness.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

static mp_usage before;
static mp_handle h;
static mp_queue *q;

static void fresh(mp_self *me, uint64_t cap)
{
	CHECK_EQ(mp_queue_create(me, cap, MP_Q_JOINABLE, &h), 0);
	CHECK_EQ(mp_obj_type(me->shm, h), MP_T_JOINABLE_QUEUE);
	q = mp_queue_body(me->shm, h);
}

static void audit(mp_self *me)
{
	mp_obj_drop(me, h);
	h_audit(me, &before);
}

/* Takes one: its number, and how often it was given out. */
static uint64_t get1(mp_self *me, uint8_t *tries)
{
	mp_in in;
	uint32_t n;
	uint64_t id;
	if (mp_queue_get(me, q, &in, 1, 0, &n) != MP_OK)
		return 0;
	id = h_read(&in);
	CHECK(in.leased);
	if (tries)
		*tries = in.tries;
	mp_in_done(me, &in);
	return id;
}

static void counts(mp_self *me, uint64_t waiting, uint64_t leased)
{
	mp_queue_stat st;
	mp_queue_stats(me, q, &st);
	CHECK_EQ(st.waiting, waiting);
	CHECK_EQ(st.leased, leased);
}

static void oldest_first(mp_self *me)
{
	h_now("oldest first");
	fresh(me, 3);
	for (uint64_t id = 1; id <= 3; id++)
		h_put(me, q, id, id == 2 ? 5000 : 16);
	CHECK_EQ(mp_queue_task_done(me, q), -EPERM);
	CHECK_EQ(mp_queue_join(me, q, 0), MP_TIMEOUT);
	for (uint64_t id = 1; id <= 3; id++)
		CHECK_EQ(get1(me, NULL), id);
	counts(me, 0, 3);
	CHECK_EQ(me->held, 3);
	for (uint64_t id = 4; id <= 6; id++)  /* those in work take no room */
		h_put(me, q, id, 16);
	counts(me, 3, 3);
	CHECK_EQ(mp_queue_join(me, q, MP_FOREVER), -EDEADLK);
	CHECK_EQ(mp_queue_join(me, q, mp_deadline(.01)), MP_TIMEOUT);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(mp_queue_task_done(me, q), 0);
	CHECK_EQ(mp_queue_task_done(me, q), -EPERM);
	CHECK_EQ(mp_queue_join(me, q, 0), MP_TIMEOUT);
	while (get1(me, NULL))
		CHECK_EQ(mp_queue_task_done(me, q), 0);
	CHECK_EQ(mp_queue_join(me, q, MP_FOREVER), 0);
	CHECK_EQ(me->held, 0);
	audit(me);
}

static void many_in_work(mp_self *me)
{
	uint64_t next = 1, done = 0;
	h_now("many in work");
	fresh(me, 0);
	for (uint64_t id = 1; id <= 2000; id++)
		h_put(me, q, id, id % 100 ? 16 : 300);
	while (done < 2000) {  /* two taken, one finished; then the rest */
		uint64_t id = get1(me, NULL);
		CHECK_EQ(id, next <= 2000 ? next++ : 0);
		if (get1(me, NULL))
			next++;
		CHECK_EQ(mp_queue_task_done(me, q), 0);
		done++;
		CHECK_EQ(mp_queue_in_work(me, q), next - 1 - done);
	}
	CHECK_EQ(mp_queue_join(me, q, 0), 0);
	audit(me);
}

/* Another actor of this process, which ends with two of three in work. */
static void given_back(mp_self *me)
{
	mp_self other;
	uint8_t tries;
	h_now("given back");
	fresh(me, 0);
	for (uint64_t id = 1; id <= 100; id++)
		h_put(me, q, id, 60);
	CHECK_EQ(get1(me, &tries), 1);
	CHECK_EQ(tries, 1);
	h_thread_self(me, &other);
	CHECK_EQ(get1(&other, NULL), 2);
	CHECK_EQ(get1(&other, NULL), 3);
	CHECK_EQ(get1(&other, NULL), 4);
	CHECK_EQ(get1(me, NULL), 5);
	CHECK_EQ(mp_queue_task_done(&other, q), 0);
	mp_works_free(&other);
	h_bury(me, other.aid);
	counts(me, 97, 2);
	CHECK_EQ(get1(me, &tries), 3);
	CHECK_EQ(tries, 2);
	CHECK_EQ(get1(me, &tries), 4);
	CHECK_EQ(get1(me, &tries), 6);
	CHECK_EQ(tries, 1);
	while (get1(me, NULL))
		;
	for (uint32_t n = mp_queue_in_work(me, q); n > 0; n--)
		CHECK_EQ(mp_queue_task_done(me, q), 0);
	CHECK_EQ(mp_queue_join(me, q, 0), 0);
	audit(me);
}

/* Closed to a reader only when nothing can come back to it. */
static void closing(mp_self *me)
{
	mp_self other;
	mp_in in;
	uint32_t n;
	h_now("closing");
	fresh(me, 0);
	h_put(me, q, 1, 16);
	h_put(me, q, 2, 16);
	h_thread_self(me, &other);
	CHECK_EQ(get1(&other, NULL), 1);
	mp_queue_close(me, q, false);
	CHECK_EQ(get1(me, NULL), 2);
	/* Who has items in work does not wait for itself. */
	CHECK_EQ(mp_queue_get(me, q, &in, 1, MP_FOREVER, &n), MP_CLOSED);
	CHECK_EQ(mp_queue_task_done(me, q), 0);
	CHECK_EQ(mp_queue_get(me, q, &in, 1, 0, &n), MP_EMPTY);
	CHECK_EQ(mp_queue_get(me, q, &in, 1, mp_deadline(.01), &n), MP_TIMEOUT);
	CHECK(!mp_queue_ready(q, me->shm));
	CHECK_EQ(mp_queue_task_done(&other, q), 0);
	CHECK(mp_queue_ready(q, me->shm));
	CHECK_EQ(mp_queue_get(me, q, &in, 1, MP_FOREVER, &n), MP_CLOSED);
	mp_works_free(&other);
	h_bury(me, other.aid);
	audit(me);

	h_now("closing with what is inside");
	fresh(me, 0);
	for (uint64_t id = 1; id <= 3; id++)
		h_put(me, q, id, 500);
	h_thread_self(me, &other);
	CHECK_EQ(get1(&other, NULL), 1);
	mp_queue_close(me, q, true);
	mp_queue_close(me, q, false);
	CHECK_EQ(mp_queue_get(me, q, &in, 1, MP_FOREVER, &n), MP_CLOSED);
	CHECK_EQ(mp_queue_join(me, q, 0), MP_TIMEOUT);
	mp_works_free(&other);
	h_bury(me, other.aid);  /* its item is dropped as well */
	CHECK_EQ(mp_queue_join(me, q, 0), 0);
	CHECK_EQ(mp_queue_get(me, q, &in, 1, MP_FOREVER, &n), MP_CLOSED);
	audit(me);
}

/* A queue that is destroyed while something of it is in work, and another in
 * the same place. */
static void destroyed(mp_self *me)
{
	mp_queue *old;
	h_now("destroyed");
	fresh(me, 0);
	old = q;
	h_put(me, q, 1, 500);
	h_put(me, q, 2, 16);
	CHECK_EQ(get1(me, NULL), 1);
	mp_obj_drop(me, h);
	for (int i = 0; i < 20; i++) {
		fresh(me, 0);
		CHECK_EQ(mp_queue_task_done(me, q), -EPERM);
		h_put(me, q, 3, 16);
		CHECK_EQ(get1(me, NULL), 3);
		CHECK_EQ(mp_queue_in_work(me, q), 1);
		CHECK_EQ(me->held, 1);
		mp_obj_drop(me, h);
		if (q == old)
			break;
	}
	fresh(me, 0);
	h_put(me, q, 4, 16);
	CHECK_EQ(get1(me, NULL), 4);
	CHECK_EQ(mp_queue_task_done(me, q), 0);
	CHECK_EQ(me->held, 0);
	audit(me);
}

/* One item that is in work for long does not keep the memory of all behind. */
static void long_in_work(mp_self *me)
{
	mp_self other;
	mp_usage u;
	uint8_t tries;
	h_now("long in work");
	fresh(me, 0);
	h_put(me, q, 1, 16);
	h_put(me, q, 2, 16);
	h_thread_self(me, &other);
	CHECK_EQ(get1(&other, NULL), 1);
	for (uint64_t id = 3; id < 20000; id++) {
		h_put(me, q, id, 16);
		CHECK_EQ(get1(me, NULL), id - 1);
		CHECK_EQ(mp_queue_task_done(me, q), 0);
	}
	counts(me, 1, 1);
	mp_usage_of(me->shm, &u);
	CHECK(u.nblocks < before.nblocks + 8);
	mp_works_free(&other);
	h_bury(me, other.aid);
	counts(me, 2, 0);
	CHECK_EQ(get1(me, &tries), 1);
	CHECK_EQ(tries, 2);
	CHECK_EQ(get1(me, &tries), 19999);
	CHECK_EQ(tries, 1);
	for (uint64_t id = 20000; id < 20200; id++)
		h_put(me, q, id, 16);
	CHECK_EQ(mp_queue_task_done(me, q), 0);
	CHECK_EQ(mp_queue_task_done(me, q), 0);
	for (uint64_t id = 20000; id < 20200; id++) {
		CHECK_EQ(get1(me, NULL), id);
		CHECK_EQ(mp_queue_task_done(me, q), 0);
	}
	CHECK_EQ(mp_queue_join(me, q, 0), 0);
	audit(me);
}

/* ---- joiners ------------------------------------------------------------------- */

static void join_waits(mp_self *me)
{
	mp_aid aid, second;
	pid_t joiner, consumer;
	int st;
	h_now("a joiner waits, a consumer dies");
	fresh(me, 0);
	h_put(me, q, 1, 100);
	if ((joiner = h_fork(me, &aid)) == 0)
		h_exit(mp_queue_join(me, q, mp_deadline(30)) != MP_OK);
	if ((consumer = h_fork(me, &second)) == 0) {
		CHECK_EQ(mp_queue_in_work(me, q), 0);
		CHECK_EQ(get1(me, NULL), 1);
		raise(SIGKILL);
	}
	CHECK_EQ(h_join(me, consumer, second), 128 + SIGKILL);
	usleep(50000);
	CHECK_EQ(waitpid(joiner, &st, WNOHANG), 0);
	CHECK_EQ(get1(me, NULL), 1);
	CHECK_EQ(mp_queue_task_done(me, q), 0);
	CHECK_EQ(h_join(me, joiner, aid), 0);
	audit(me);
}

/* A consumer waits at a closed queue for what another has in work. */
static void last_comes_back(mp_self *me)
{
	mp_aid aid, second;
	pid_t holder, waiter;
	int ready[2];
	char c;
	h_now("the last item comes back to who waits");
	fresh(me, 0);
	CHECK_EQ(pipe(ready), 0);
	h_put(me, q, 1, 100);
	if ((holder = h_fork(me, &aid)) == 0) {
		CHECK_EQ(get1(me, NULL), 1);
		CHECK_EQ(write(ready[1], "x", 1), 1);
		for (;;)
			pause();
	}
	CHECK_EQ(read(ready[0], &c, 1), 1);
	mp_queue_close(me, q, false);
	if ((waiter = h_fork(me, &second)) == 0) {
		mp_in in;
		uint32_t n;
		CHECK_EQ(mp_queue_get(me, q, &in, 1, MP_FOREVER, &n), MP_OK);
		CHECK_EQ(in.tries, 2);
		mp_in_done(me, &in);
		CHECK_EQ(mp_queue_task_done(me, q), 0);
		h_exit(0);
	}
	usleep(20000);
	kill(holder, SIGKILL);
	CHECK_EQ(h_join(me, holder, aid), 128 + SIGKILL);
	CHECK_EQ(h_join(me, waiter, second), 0);
	CHECK_EQ(mp_queue_join(me, q, 0), 0);
	close(ready[0]);
	close(ready[1]);
	audit(me);
}

/* ---- load ------------------------------------------------------------------------ */

enum { ITEMS = 20000, CONSUMERS = 4 };
static _Atomic unsigned char *finished;  /* by item: times, up to 255 */
static _Atomic uint32_t *redelivered;
static useconds_t pace;  /* between get and task_done: where most are killed */

/* The note comes first: killed between the two, it is done again. */
static void consume(mp_self *me)
{
	mp_in ins[8];
	uint32_t n, turn = 0;
	int rc;
	while ((rc = mp_queue_get(me, q, ins, 1 + turn++ % 8, mp_deadline(30), &n)) == MP_OK) {
		for (uint32_t i = 0; i < n; i++) {
			uint64_t id = h_read(&ins[i]);
			if (ins[i].tries > 1)
				atomic_fetch_add(redelivered, 1);
			mp_in_done(me, &ins[i]);
			if (pace && i == n / 2)
				usleep(pace);
			atomic_fetch_add(&finished[id], 1);
			CHECK_EQ(mp_queue_task_done(me, q), 0);
		}
	}
	CHECK_EQ(rc, MP_CLOSED);
	CHECK_EQ(me->held, 0);
}

static void produce(mp_self *me)
{
	for (uint64_t id = 1; id <= ITEMS; id++)
		h_put(me, q, id, id % 10 ? 16 : 200);
}

static void check_all(mp_self *me)
{
	for (int id = 1; id <= ITEMS; id++)
		CHECK(atomic_load(&finished[id]) >= 1);
	counts(me, 0, 0);
	CHECK_EQ(mp_queue_join(me, q, MP_FOREVER), 0);
}

static void *thread(void *self)
{
	consume(self);
	mp_works_free(self);
	return NULL;
}

static void by_threads(mp_self *me)
{
	static mp_self selves[CONSUMERS];
	pthread_t t[CONSUMERS];
	h_now("threads");
	memset((void *)finished, 0, ITEMS + 1);
	fresh(me, 0);
	for (int i = 0; i < CONSUMERS; i++) {
		h_thread_self(me, &selves[i]);
		CHECK_EQ(pthread_create(&t[i], NULL, thread, &selves[i]), 0);
	}
	produce(me);
	CHECK_EQ(mp_queue_join(me, q, mp_deadline(60)), 0);
	mp_queue_close(me, q, false);
	for (int i = 0; i < CONSUMERS; i++) {
		pthread_join(t[i], NULL);
		h_bury(me, selves[i].aid);
	}
	for (int id = 1; id <= ITEMS; id++)
		CHECK_EQ(atomic_load(&finished[id]), 1);
	check_all(me);
	audit(me);
}

struct child {
	pid_t pid;
	mp_aid aid;
};

static void start(mp_self *me, struct child *c)
{
	uint64_t seed = h_random() | 1;
	c->pid = h_fork(me, &c->aid);
	if (c->pid == 0) {
		h_seed(seed);
		consume(me);
		h_exit(0);
	}
}

static uint32_t killed_at_random(mp_self *me)
{
	struct child c[CONSUMERS], joiner;
	uint32_t kills = 0;
	uint64_t left = ITEMS;
	h_now("killed at random");
	memset((void *)finished, 0, ITEMS + 1);
	fresh(me, 0);
	produce(me);
	pace = 200;
	if ((joiner.pid = h_fork(me, &joiner.aid)) == 0)
		h_exit(mp_queue_join(me, q, mp_deadline(60)) != MP_OK);
	for (int i = 0; i < CONSUMERS; i++)
		start(me, &c[i]);
	while (left > ITEMS / 20) {
		struct child *one = &c[h_random() % CONSUMERS];
		mp_queue_stat st;
		usleep((useconds_t)(h_random() % 2000));
		kill(one->pid, SIGKILL);
		CHECK_EQ(h_join(me, one->pid, one->aid), 128 + SIGKILL);
		kills++;
		start(me, one);
		mp_queue_stats(me, q, &st);
		left = st.waiting;
	}
	CHECK_EQ(h_join(me, joiner.pid, joiner.aid), 0);
	mp_queue_close(me, q, false);
	for (int i = 0; i < CONSUMERS; i++)
		CHECK_EQ(h_join(me, c[i].pid, c[i].aid), 0);
	check_all(me);
	audit(me);
	return kills;
}

int main(void)
{
	mp_shm shm;
	mp_self me;
	uint32_t kills = 0, rounds = h_prove() ? 30 : 1;
	h_deadline(90, 600);
	h_seed(0);
	h_open(&shm, &me, 16 << 20, 16);
	finished = h_shared(ITEMS + 64);
	redelivered = h_shared(64);
	h_settle(&me, &before);
	oldest_first(&me);
	many_in_work(&me);
	given_back(&me);
	closing(&me);
	destroyed(&me);
	long_in_work(&me);
	by_threads(&me);
	if (!H_TSAN) {
		join_waits(&me);
		last_comes_back(&me);
		while (rounds--)
			kills += killed_at_random(&me);
	}
	mp_works_free(&me);
	return h_done("in work, given back, closing, joining; %d items under %u kills, "
	              "%u redelivered, each finished", ITEMS, kills, *redelivered);
}
