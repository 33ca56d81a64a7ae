/* deadlock: what one look finds, among actors whose waits are made up: every
 * shape of a deadlock, and everything that makes it none.
 *
 * SPDX-License-Identifier: MIT */
#include "harness.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

#include "proc/deadlock.h"
#include "proc/process.h"

static const mp_type_ops *const types[MP_TYPES] = {
	[MP_T_PROCESS] = &mp_process_ops,
	[MP_T_LOCK] = &mp_lock_ops,
	[MP_T_EVENT] = &mp_event_ops,
	[MP_T_QUEUE] = &mp_queue_ops,
};

#define ACTORS 4

static mp_shm shm;
static mp_self me, keeper, a[ACTORS];  /* me: the owner, which works */
static mp_handle lock[ACTORS], event, queue;
static mp_deadlock *d;
static mp_usage before;

static void record(const mp_self *who, uint32_t what, mp_handle object)
{
	mp_wait_record *r = &who->slot->wait;
	r->object = object;
	r->since = mp_now() - 2 * MP_SEC;
	r->deadline = MP_FOREVER;
	r->what = what;
	who->slot->asleep = 1;
}

static void works(const mp_self *who)
{
	who->slot->wait.what = MP_W_NONE;
	who->slot->asleep = 0;
}

static bool look(void) { return mp_deadlock_look(&keeper, d); }

static mp_lock *lock_of(int i) { return mp_obj_body(&shm, lock[i], MP_T_LOCK); }

/* The first n hold a lock each and wait for the next one's. */
static void circle(int n)
{
	for (int i = 0; i < n; i++) {
		lock_of(i)->latch = a[i].aid | MP_WAIT;
		record(&a[i], MP_W_LOCK, lock[(i + 1) % n]);
	}
}

static void all_work(void)
{
	works(&me);
	for (int i = 0; i < ACTORS; i++) {
		works(&a[i]);
		lock_of(i)->latch = 0;
	}
}

/* ---- circles -------------------------------------------------------------------- */

static void circles(void)
{
	for (int n = 2; n <= ACTORS; n++) {
		uint64_t mark;
		h_now("a circle of %d", n);
		circle(n);
		CHECK(look());
		CHECK(!d->all);
		CHECK_EQ(d->n, n);
		for (int i = 0; i < n; i++) {
			CHECK_EQ(d->who[i].aid, a[i].aid);
			CHECK_EQ(d->who[i].on, a[(i + 1) % n].aid);
		}
		mark = d->mark;
		CHECK(look());
		CHECK_EQ(d->mark, mark);
		a[0].slot->wait.since--;
		CHECK(look());
		CHECK(d->mark != mark);
		all_work();
		CHECK(!look());
	}
}

static void with_tail(void)
{
	h_now("one who waits for a circle is no part of it");
	circle(2);
	record(&a[2], MP_W_LOCK, lock[0]);
	record(&a[3], MP_W_GET, queue);
	CHECK(look());
	CHECK_EQ(d->n, 2);
	h_now("nor are they, where the way ends");
	works(&a[1]);
	CHECK(!look());
	all_work();
}

static void two_circles(void)
{
	h_now("two circles");
	circle(4);
	record(&a[0], MP_W_LOCK, lock[1]);
	record(&a[1], MP_W_LOCK, lock[0]);
	record(&a[2], MP_W_LOCK, lock[3]);
	record(&a[3], MP_W_LOCK, lock[2]);
	CHECK(look());
	CHECK_EQ(d->n, 4);
	all_work();
}

static void joins(void)
{
	mp_handle h[2];
	mp_process *p[2];
	h_now("a circle of joins");
	for (int i = 0; i < 2; i++) {
		CHECK_EQ(mp_process_create(&me, NULL, false, &h[i]), 0);
		p[i] = mp_process_body(&shm, h[i]);
		p[i]->state = MP_P_STARTED;
		p[i]->aid = a[i].aid;
	}
	record(&a[0], MP_W_JOIN, h[1]);
	record(&a[1], MP_W_JOIN, h[0]);
	CHECK(look());
	CHECK_EQ(d->n, 2);
	CHECK_EQ(d->who[0].on, a[1].aid);
	h_now("a join and a lock");
	lock_of(0)->latch = a[0].aid;
	record(&a[1], MP_W_LOCK, lock[0]);
	CHECK(look());
	CHECK_EQ(d->n, 2);
	h_now("the joined one has ended");
	p[1]->state = MP_P_ENDED;
	CHECK(!look());
	p[1]->state = MP_P_STARTED;
	h_now("the joined one is starting");
	p[1]->aid = mp_slot_reserve(&shm, me.aid, MP_KIND_PROCESS);
	CHECK(!look());
	mp_slot_cancel(&shm, p[1]->aid);
	all_work();
	mp_obj_drop(&me, h[0]);
	mp_obj_drop(&me, h[1]);
}

/* ---- all ------------------------------------------------------------------------ */

static void all_wait(void)
{
	record(&me, MP_W_EVENT, event);
	record(&a[0], MP_W_EVENT, event);
	record(&a[1], MP_W_GET, queue);
	record(&a[2], MP_W_LOCK, lock[0]);
	lock_of(0)->latch = a[3].aid;
	record(&a[3], MP_W_EVENT, event);
}

/* Everybody waits, but for what spoil does to a[0]. */
#define SPOILED(text, spoil, mend) \
	do { \
		all_wait(); \
		h_now("all wait: %s", text); \
		CHECK(look()); \
		spoil; \
		CHECK(!look()); \
		mend; \
	} while (0)

static void all(void)
{
	mp_slot *sl = a[0].slot;
	mp_queue *q = mp_queue_body(&shm, queue);
	mp_event *e = mp_obj_body(&shm, event, MP_T_EVENT);
	mp_aid other;
	uint32_t state = sl->state;
	all_wait();
	h_now("all wait");
	CHECK(look());
	CHECK(d->all);
	CHECK_EQ(d->n, ACTORS + 1);
	CHECK_EQ(d->who[3].on, a[3].aid);
	SPOILED("one works", works(&a[0]), );
	SPOILED("one has a deadline", sl->wait.deadline = mp_now() + MP_SEC, );
	SPOILED("one sleeps", sl->wait.what = MP_W_SLEEP, );
	SPOILED("one waits for memory", sl->wait.what = MP_W_MEMORY, );
	SPOILED("one waits for a descriptor", sl->wait.what = MP_W_OUTSIDE, );
	SPOILED("one waits for a latch", record(&a[0], MP_W_LOCK, 0), );
	SPOILED("one began just now", sl->wait.since = mp_now() - MP_SEC / 2, );
	SPOILED("one is on its way out", sl->asleep = 0, );
	SPOILED("one has handlers", sl->handlers = 1, sl->handlers = 0);
	SPOILED("one was signalled", sl->signalled = mp_now(), sl->signalled = mp_now() - 6 * MP_SEC);
	SPOILED("one is dead", sl->state = mp_slot_word(state >> 16, MP_SLOT_DEAD), sl->state = state);
	SPOILED("one is starting", other = mp_slot_reserve(&shm, me.aid, MP_KIND_PROCESS),
	        mp_slot_cancel(&shm, other));
	SPOILED("the event is set", mp_event_set(&me, e), mp_event_clear(e));
	SPOILED("the queue has an item", h_put(&me, q, 1, 20), h_get(&me, q));
	SPOILED("the lock is free", lock_of(0)->latch = 0, );
	SPOILED("the lock is its waiter's", lock_of(0)->latch = a[2].aid, );
	SPOILED("the lock's owner died", lock_of(0)->latch = MP_ORPHAN, );
	SPOILED("the object is gone", sl->wait.object = event + (UINT64_C(1) << 32), );
	SPOILED("the kind is another object's", record(&a[0], MP_W_EVENT, queue), );
	SPOILED("the kind is unknown", sl->wait.what = 77, );
	SPOILED("the queue is closed", mp_queue_close(&me, q, false), );
	h_now("the caller of the hook of its wait");
	all_wait();
	record(&a[1], MP_W_EVENT, event);
	me.slot->asleep = 0;
	CHECK(!look());
	CHECK(mp_deadlock_look(&me, d));
	all_work();
}

static void full(void)
{
	mp_handle h;
	mp_queue *q = h_queue(&me, 2, &h);
	h_now("a full queue");
	h_put(&me, q, 1, 20);
	h_put(&me, q, 2, 20);
	all_wait();
	record(&a[1], MP_W_PUT, h);
	CHECK(look());
	record(&a[1], MP_W_COMMIT, h);
	CHECK(look());
	h_get(&me, q);
	CHECK(!look());
	h_put(&me, q, 3, 20);
	CHECK(look());
	mp_queue_close(&me, q, false);
	CHECK(!look());
	all_work();
	mp_obj_drop(&me, h);
}

static void several(void)
{
	mp_event *e = mp_obj_body(&shm, event, MP_T_EVENT);
	h_now("one who watches several things");
	all_wait();
	record(&a[0], MP_W_ANY, 0);
	record(&a[1], MP_W_EVENT, event);
	CHECK(!look());  /* nothing is watched */
	mp_obj_watch(&a[0], event);
	CHECK(look());
	mp_obj_watch(&a[0], lock[1]);
	CHECK(look());   /* has no readiness: not watched */
	record(&me, MP_W_LOCK, lock[0]);
	record(&a[1], MP_W_LOCK, lock[0]);
	record(&a[3], MP_W_ANY, 0);
	mp_obj_watch(&a[3], event);
	CHECK(look());
	mp_event_set(&me, e);
	CHECK(!look());
	mp_event_clear(e);
	mp_obj_unwatch(&a[0], event);
	mp_obj_unwatch(&a[3], event);
	all_work();
}

/* ---- what the system says ------------------------------------------------------------ */

static void *idle(void *arg)
{
	(void)arg;
	pause();
	return NULL;
}

static void child(int with_thread, int to)
{
	pthread_t t;
	if (with_thread)
		pthread_create(&t, NULL, idle, NULL);
	if (write(to, "x", 1) != 1)
		h_exit(1);
	for (;;)
		pause();
}

static void sure(void)
{
	for (int with_thread = 0; with_thread < 2; with_thread++) {
		int fds[2];
		char c;
		mp_aid aid;
		mp_self self = me;
		CHECK_EQ(pipe(fds), 0);
		h_now("a process, threads of its own: %d", with_thread);
		pid_t pid = h_fork(&self, &aid);
		if (pid == 0)
			child(with_thread, fds[1]);
		CHECK_EQ(read(fds[0], &c, 1), 1);
		d->n = 1;
		d->who[0] = (mp_stuck){ .aid = aid };
		CHECK_EQ(mp_deadlock_sure(&shm, d), !with_thread);
		kill(pid, SIGKILL);
		CHECK_EQ(waitid(P_PID, (id_t)pid, NULL, WEXITED | WNOWAIT), 0);
		h_now("a dead process");
		CHECK(!mp_deadlock_sure(&shm, d));  /* nobody has noticed yet */
		waitpid(pid, NULL, 0);
		h_bury(&me, aid);
		close(fds[0]);
		close(fds[1]);
	}
}

static void text(void)
{
	char *t;
	h_now("the report");
	strcpy(a[0].slot->name, "first");
	strcpy(a[0].slot->wait.source, "x.lua");
	a[0].slot->wait.line = 7;
	circle(2);
	CHECK(look());
	t = mp_deadlock_text(&shm, d);
	CHECK(strncmp(t, "deadlock: 2 threads wait for each other\n", 40) == 0);
	CHECK(strstr(t, "\n  first ("));
	CHECK(strstr(t, "2.0 s"));
	CHECK(strstr(t, "x.lua:7\n"));
	CHECK(strstr(t, "its end\n"));
	CHECK(strstr(t, "\n  help: take locks in the same order"));
	free(t);
	a[0].slot->kind = MP_KIND_PROCESS;
	t = mp_deadlock_text(&shm, d);
	CHECK(strncmp(t, "deadlock: 2 processes and threads wait for each other\n", 54) == 0);
	free(t);
	a[0].slot->kind = MP_KIND_THREAD;
	all_work();
}

int main(void)
{
	mp_aid aid;
	h_deadline(20, 60);
	h_open(&shm, &me, 4 << 20, 32);
	shm.types = types;
	aid = mp_slot_reserve(&shm, 0, MP_KIND_KEEPER);
	CHECK(mp_slot_enter(&shm, aid, &keeper));
	for (int i = 0; i < ACTORS; i++) {
		h_thread_self(&me, &a[i]);
		CHECK_EQ(mp_lock_create(&me, &lock[i]), 0);
	}
	CHECK_EQ(mp_event_create(&me, &event), 0);
	h_queue(&me, 0, &queue);
	d = calloc(1, mp_deadlock_size(&shm));
	h_settle(&me, &before);
	CHECK(!look());
	circles();
	with_tail();
	two_circles();
	joins();
	full();
	several();
	text();
	if (!H_TSAN)  /* which has a thread of its own in every process */
		sure();
	h_audit(&me, &before);  /* nothing stays held by who looked */
	all();
	free(d);
	return h_done("circles, all, and what is none");
}
