/* Random kills under load, with exact accounts.
 *
 * Lanes: producers put numbered items into A and P; workers lease from A and
 * commit to B and C, in parts, keeping the rest; movers lease from B and
 * commit to D; takers get from T. The parent, who is never killed, drains P, C
 * and D. Everybody else is killed at random and replaced. What was said and
 * done is noted in memory outside the arena:
 *  - an item whose put returned arrives exactly once, on every lane behind;
 *  - one whose put was interrupted arrives at most once, and where a worker
 *    split it, on both branches or on none;
 *  - a killed taker takes at most what it had in hand along;
 *  - in the end no block, object, slot or latch is left.
 *
 * SPDX-License-Identifier: MIT */
#include "harness.h"

#include <errno.h>
#include <signal.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum { ITEMS = 1 << 22, ACTORS = 9, TAKEN_AT_ONCE = 4 };
enum role { PRODUCER, WORKER, MOVER, TAKER, SWEEPER, ROLES };

/* Outside the arena. */
static struct ledger {
	_Atomic uint64_t next;        /* number of the next item */
	_Atomic uint32_t stop;        /* producers end */
	_Atomic uint32_t drained;     /* the others end */
	_Atomic uint64_t counter, mirror, abandoned, locked;
	_Atomic unsigned char said[ITEMS];   /* 1: a put began, 2: it returned */
	_Atomic unsigned char split[ITEMS];  /* lane: 0 A, 1 P, 2 T */
	_Atomic unsigned char at_b[ITEMS], at_c[ITEMS], at_d[ITEMS];
	_Atomic unsigned char at_p[ITEMS], at_t[ITEMS];
} *led;

static mp_handle ha, hb, hc, hd, hp, ht, hlock;
static mp_queue *qa, *qb, *qc, *qd, *qp, *qt;

static size_t some_size(void)
{
	uint64_t r = h_random();
	switch (r % 16) {
	case 0: return 3000 + (r >> 8) % 3000;
	case 1: return (r >> 8) % 64 ? 200 : 70000;
	case 2: case 3: case 4: return 49 + (r >> 8) % 400;
	default: return 8 + (r >> 8) % 41;
	}
}

/* ---- the actors -------------------------------------------------------------- */

static void produce(mp_self *me)
{
	while (!atomic_load(&led->stop)) {
		mp_out outs[8];
		uint64_t ids[8];
		uint32_t n = 1 + (uint32_t)(h_random() % 8), lane = h_random() % 3, done;
		mp_queue *q = lane == 0 ? qa : lane == 1 ? qp : qt;
		uint64_t from = atomic_fetch_add(&led->next, n);
		if (from + n >= ITEMS)
			break;
		for (uint32_t i = 0; i < n; i++) {
			ids[i] = from + i;
			atomic_store(&led->split[ids[i]], lane);
			if (lane == 1 && h_random() % 64 == 0) {
				mp_handle h;
				CHECK_EQ(mp_event_create(me, &h), 0);
				h_make_with(me, ids[i], 16, h, &outs[i]);
				mp_obj_drop(me, h);  /* too early: may be stale, no worse */
			} else {
				h_make(me, ids[i], some_size(), &outs[i]);
			}
			atomic_store(&led->said[ids[i]], 1);
		}
		CHECK_EQ(mp_queue_put(me, q, outs, n, mp_deadline(60), &done), 0);
		for (uint32_t i = 0; i < n; i++)
			atomic_store(&led->said[ids[i]], 2);
	}
}

/* Two numbers under a lock: they may differ only after a death. */
static void count(mp_self *me)
{
	mp_lock *l = mp_obj_body(me->shm, hlock, MP_T_LOCK);
	int rc = mp_lock_acquire(me, l, mp_deadline(60));
	CHECK(rc == 0 || rc == MP_ABANDONED);
	uint64_t a = atomic_load(&led->counter), b = atomic_load(&led->mirror);
	if (rc == MP_ABANDONED)
		atomic_fetch_add(&led->abandoned, 1);
	else
		CHECK_EQ(a, b);
	atomic_store(&led->counter, a + 1);
	if (h_random() % 8 == 0)
		usleep(200);
	atomic_store(&led->mirror, a + 1);
	atomic_fetch_add(&led->locked, 1);
	CHECK_EQ(mp_lock_release(me, l), 0);
}

/* Commits the first n; those behind are kept meanwhile. */
static void hand_on(mp_self *me, uint64_t lease, uint32_t n, uint32_t behind, mp_out *b, mp_out *c)
{
	mp_batch out[2] = { { qc, c, n }, { qb, b, n } };
	CHECK_EQ(mp_queue_keep(me, lease + n, behind), 0);
	CHECK_EQ(mp_queue_commit(me, out, 2, mp_deadline(60)), 0);
	CHECK_EQ(mp_queue_claim(me, lease + n, behind), 0);
}

static void work(mp_self *me)
{
	static const uint32_t batches[] = { 1, 2, 8, 32 };
	while (!atomic_load(&led->drained)) {
		mp_in ins[32];
		mp_out b[32], c[32];
		uint32_t n = 0, want = batches[h_random() % 4];
		int rc = mp_queue_lease(me, qa, ins, want, mp_deadline(.05), &n);
		if (rc == MP_TIMEOUT)
			continue;
		CHECK_EQ(rc, 0);
		for (uint32_t i = 0; i < n; i++) {
			uint64_t id = h_read(&ins[i]);
			h_make(me, id, some_size(), &b[i]);
			h_make(me, id, some_size(), &c[i]);
		}
		if (h_random() % 32 == 0) {
			for (uint32_t i = 0; i < n; i++) {
				mp_out_drop(me, &b[i]);
				mp_out_drop(me, &c[i]);
			}
			mp_queue_release(me);
			continue;
		}
		for (uint32_t from = 0, part; from < n; from += part) {
			part = 1 + (uint32_t)(h_random() % (n - from));
			hand_on(me, ins[from].lease, part, n - from - part, b + from, c + from);
		}
		if (h_random() % 4 == 0)
			count(me);
	}
}

static void move(mp_self *me)
{
	while (!atomic_load(&led->drained)) {
		mp_in ins[8];
		mp_out d[8];
		uint32_t n = 0;
		int rc = mp_queue_lease(me, qb, ins, 1 + h_random() % 8, mp_deadline(.05), &n);
		if (rc == MP_TIMEOUT)
			continue;
		CHECK_EQ(rc, 0);
		for (uint32_t i = 0; i < n; i++)
			h_make(me, h_read(&ins[i]), some_size(), &d[i]);
		mp_batch out = { qd, d, n };
		CHECK_EQ(mp_queue_commit(me, &out, 1, mp_deadline(60)), 0);
	}
}

static void take(mp_self *me)
{
	while (!atomic_load(&led->drained)) {
		mp_in ins[TAKEN_AT_ONCE];
		uint32_t n = 0;
		int rc = mp_queue_get(me, qt, ins, TAKEN_AT_ONCE, mp_deadline(.05), &n);
		if (rc == MP_TIMEOUT)
			continue;
		CHECK_EQ(rc, 0);
		for (uint32_t i = 0; i < n; i++) {
			atomic_fetch_add(&led->at_t[h_read(&ins[i])], 1);
			mp_in_done(me, &ins[i]);
		}
	}
}

static void sweep(mp_self *me)
{
	while (!atomic_load(&led->drained)) {
		mp_sweep_all(me);
		mp_obj_collect(me);
		mp_trim(me, (uint32_t)(h_random() % 3));
		usleep(500 + h_random() % 2000);
	}
}

static void (*const roles[ROLES])(mp_self *) = { produce, work, move, take, sweep };

/* ---- the parent ---------------------------------------------------------------- */

struct actor {
	pid_t pid;
	mp_aid aid;
	enum role role;
};

static void start(mp_self *me, struct actor *a, enum role role)
{
	uint64_t seed = h_random();
	a->role = role;
	a->pid = h_fork(me, &a->aid);
	if (a->pid == 0) {
		h_now("actor of role %d", (int)role);
		h_seed(seed);
		roles[role](me);
		h_exit(0);
	}
}

static void drain(mp_self *me, mp_queue *q, _Atomic unsigned char *at, bool some)
{
	mp_in ins[16];
	uint32_t n;
	for (unsigned turn = 0; !some || turn < 64; turn++) {
		int rc = mp_queue_get(me, q, ins, 16, 0, &n);
		if (rc == MP_EMPTY)
			return;
		CHECK_EQ(rc, 0);
		for (uint32_t i = 0; i < n; i++) {
			uint64_t id = h_read(&ins[i]);
			CHECK(id < ITEMS);
			unsigned char was = atomic_fetch_add(&at[id], 1);
			CHECK_EQ(was, 0);  /* doubled */
			mp_handle h = ins[i].nhandles ? ins[i].handles[0] : 0;
			mp_in_done(me, &ins[i]);
			if (h && mp_obj_held(me->shm, h, me->aid))
				mp_obj_drop(me, h);
		}
	}
}

static void drain_all(mp_self *me, bool some)
{
	drain(me, qp, led->at_p, some);
	drain(me, qc, led->at_c, some);
	drain(me, qd, led->at_d, some);
}

/* Kills one; buries it itself or leaves it to who finds it. */
static void kill_one(mp_self *me, struct actor *a, unsigned long *killed)
{
	int st;
	kill(a->pid, SIGKILL);
	CHECK(waitpid(a->pid, &st, 0) == a->pid);
	if (!WIFSIGNALED(st) && st != 0) {
		fprintf(stderr, "an actor of role %d ended: %x\n", (int)a->role, st);
		CHECK(!"an actor ended by itself");
	}
	killed[a->role]++;
	switch (h_random() % 3) {
	case 0:
		mp_slot_kill(me->shm, a->aid);
		mp_sweep(me, a->aid);
		break;
	case 1:
		mp_slot_kill(me->shm, a->aid);
		break;
	default:
		break;
	}
}

static bool still(mp_self *me, mp_queue *q)
{
	mp_queue_stat st;
	mp_queue_stats(me, q, &st);
	return st.waiting || st.leased;
}

static void finish(mp_self *me, struct actor *actors)
{
	h_now("finishing");
	atomic_store(&led->stop, 1);
	/* Producers and workers may wait for room that only draining makes. */
	for (int quiet = 0; quiet < 3;) {
		drain_all(me, false);
		mp_sweep_all(me);
		quiet = still(me, qa) || still(me, qb) || still(me, qt) || still(me, qc) ||
		        still(me, qd) || still(me, qp) ? 0 : quiet + 1;
		for (int i = 0; i < ACTORS; i++) {
			int st;
			if (actors[i].pid && waitpid(actors[i].pid, &st, WNOHANG) == actors[i].pid) {
				CHECK_EQ(st, 0);
				CHECK(actors[i].role == PRODUCER);
				h_bury(me, actors[i].aid);
				actors[i].pid = 0;
			}
			if (actors[i].pid && actors[i].role == PRODUCER)
				quiet = 0;
		}
		usleep(2000);
	}
	atomic_store(&led->drained, 1);
	for (int i = 0; i < ACTORS; i++)
		if (actors[i].pid)
			CHECK_EQ(h_join(me, actors[i].pid, actors[i].aid), 0);
	mp_sweep_all(me);
	drain_all(me, false);
}

static uint64_t account(unsigned long takers_killed)
{
	uint64_t n = atomic_load(&led->next), arrived = 0, gone = 0;
	if (n > ITEMS)
		n = ITEMS;
	for (uint64_t i = 1; i < n; i++) {
		unsigned said = led->said[i], lane = led->split[i];
		h_now("item %lu of lane %u, said %u", (unsigned long)i, lane, said);
		unsigned c = led->at_c[i], d = led->at_d[i], p = led->at_p[i], t = led->at_t[i];
		CHECK(c <= 1 && d <= 1 && p <= 1 && t <= 1);
		CHECK_EQ(c, d);
		CHECK(lane == 0 || !c);
		CHECK(lane == 1 || !p);
		CHECK(lane == 2 || !t);
		CHECK(said || !(c + p + t));
		if (said == 2 && lane == 2)
			gone += !t;
		else if (said == 2)
			CHECK_EQ(c + p, 1);
		arrived += c + p + t;
	}
	h_now("accounts");
	CHECK(gone <= takers_killed * TAKEN_AT_ONCE);
	return arrived;
}

static unsigned long killed[ROLES], kills;
static uint64_t items, arrived, abandoned;

static void open_queues(mp_self *me)
{
	qa = h_queue(me, 300, &ha);
	qb = h_queue(me, 100, &hb);
	qc = h_queue(me, 500, &hc);
	qd = h_queue(me, 0, &hd);
	qp = h_queue(me, 200, &hp);
	qt = h_queue(me, 50, &ht);
	CHECK_EQ(mp_lock_create(me, &hlock), 0);
}

static void drop_queues(mp_self *me)
{
	mp_handle all[] = { ha, hb, hc, hd, hp, ht, hlock };
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		mp_obj_drop(me, all[i]);
}

/* Until end, or until all numbers are used. */
static void play(mp_self *me, int64_t end)
{
	static const enum role cast[ACTORS] = {
		PRODUCER, PRODUCER, PRODUCER, WORKER, WORKER, WORKER, MOVER, TAKER, SWEEPER
	};
	struct actor actors[ACTORS];
	unsigned long takers = killed[TAKER];
	int64_t next = mp_now();
	led = h_shared(sizeof *led);
	atomic_store(&led->next, 1);
	open_queues(me);
	for (int i = 0; i < ACTORS; i++)
		start(me, &actors[i], cast[i]);
	while (mp_now() < end && atomic_load(&led->next) < ITEMS - 4096) {
		h_now("running");
		drain_all(me, true);
		if (mp_now() < next) {
			sched_yield();
			continue;
		}
		next = mp_now() + (int64_t)(h_random() % 6000) * 1000;
		struct actor *a = &actors[h_random() % ACTORS];
		enum role role = a->role;
		kill_one(me, a, killed);
		if (++kills % 16 == 0)  /* else the slots run out */
			mp_sweep_all(me);
		start(me, a, role);
	}
	finish(me, actors);
	arrived += account(killed[TAKER] - takers);
	items += atomic_load(&led->next);
	abandoned += atomic_load(&led->abandoned);
	drop_queues(me);
	munmap(led, sizeof *led);
}

int main(void)
{
	const char *e = getenv("MP_PROVE_SECONDS");
	double seconds = h_prove() ? (e ? atof(e) : 240) : 4;
	int64_t end = mp_now() + (int64_t)(seconds * 1e9);
	mp_shm shm;
	mp_self me;
	mp_usage before;
	if (H_TSAN)
		return H_SKIP;
	h_deadline(60, (unsigned)seconds + 300);
	h_seed(0);
	h_open(&shm, &me, 16 << 20, 40);
	h_settle(&me, &before);
	while (mp_now() < end) {
		play(&me, end);
		h_audit(&me, &before);
	}
	return h_done("%lu kills under %lu items, %lu arrived, %lu locks abandoned; "
	              "nothing lost, doubled or leaked", kills, (unsigned long)items,
	              (unsigned long)arrived, (unsigned long)abandoned);
}
