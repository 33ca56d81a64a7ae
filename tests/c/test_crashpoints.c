/* Killed at each named crash point that an operation or its sweep meets; then
 * a survivor uses the structures.
 *
 * The names are learnt by a first run in which nobody is killed, so a new
 * MP_CRASHPOINT needs no line here.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_CRASHPOINTS
#define MP_CRASHPOINTS
#endif
#include "base/crash.h"
#include "harness.h"

#include <signal.h>
#include <sys/wait.h>

enum { NAMES = 128, TIMES = 3 };

static struct names {
	_Atomic uint32_t n;
	char name[NAMES][32];
	_Atomic uint32_t met[NAMES];
} *names;

static const char *victim_name;
static uint32_t victim_time;
static uint32_t kills;

static void record(const char *name)
{
	uint32_t i, n = names->n;
	for (i = 0; i < n && strcmp(names->name[i], name); i++)
		;
	CHECK(i < NAMES);
	if (i == n) {
		snprintf(names->name[i], sizeof names->name[i], "%s", name);
		names->n = n + 1;
	}
	atomic_fetch_add(&names->met[i], 1);
}

static void strike(const char *name)
{
	if (strcmp(name, victim_name) == 0 && victim_time-- == 0)
		raise(SIGKILL);
}

static mp_handle ha, hb, hc, hl;

static void setup(mp_self *me)
{
	mp_queue *a = h_queue(me, 0, &ha);
	h_queue(me, 0, &hb);
	h_queue(me, 0, &hc);
	CHECK_EQ(mp_lock_create(me, &hl), 0);
	for (uint64_t i = 1; i <= 66; i++)
		h_put(me, a, i, i % 2 ? 16 : 100);
}

/* A bit of everything. */
static void busy(mp_self *me)
{
	mp_queue *a = mp_queue_body(me->shm, ha), *b = mp_queue_body(me->shm, hb),
	         *c = mp_queue_body(me->shm, hc);
	mp_in ins[66];
	mp_out ob[66], oc[66];
	mp_handle h;
	uint32_t n;
	int rc;
	CHECK_EQ(mp_lock_acquire(me, mp_obj_body(me->shm, hl, MP_T_LOCK), MP_FOREVER), 0);
	uint64_t big = mp_alloc(me, 150000, 0, &rc);
	CHECK(big != 0);
	mp_free(me, big);
	mp_trim(me, 0);
	CHECK_EQ(mp_event_create(me, &h), 0);
	mp_obj_drop(me, h);
	mp_slot_cancel(me->shm, mp_slot_reserve(me->shm, me->aid, MP_KIND_PROCESS));
	CHECK_EQ(mp_queue_lease(me, a, ins, 66, 0, &n), 0);
	for (uint32_t i = 0; i < n; i++) {
		uint64_t id = h_read(&ins[i]);
		h_make(me, id, 100, &ob[i]);
		h_make(me, id, 16, &oc[i]);
	}
	mp_batch out[2] = { { b, ob, n }, { c, oc, n } };
	CHECK_EQ(mp_queue_commit(me, out, 2, MP_FOREVER), 0);
	h_put(me, b, 500, 100);
	mp_queue *d = h_queue(me, 0, &h);
	h_put(me, d, 501, 100);
	h_get(me, d);
	mp_queue_close(me, d, true);
	mp_obj_drop(me, h);
}

static void check(mp_self *me)
{
	static uint64_t ids[256];
	uint32_t na, nb, nc;
	mp_lock *l = mp_obj_body(me->shm, hl, MP_T_LOCK);
	int rc = mp_lock_acquire(me, l, 0);
	CHECK(rc == 0 || rc == MP_ABANDONED);
	CHECK_EQ(mp_lock_release(me, l), 0);
	na = h_drain(me, mp_queue_body(me->shm, ha), ids, 256);
	for (uint32_t i = 0; i < na; i++)
		CHECK_EQ(ids[i], i + 1);
	nb = h_drain(me, mp_queue_body(me->shm, hb), ids, 256);
	if (nb > 0 && ids[nb - 1] == 500)
		nb--;
	for (uint32_t i = 0; i < nb; i++)
		CHECK_EQ(ids[i], i + 1);
	nc = h_drain(me, mp_queue_body(me->shm, hc), ids, 256);
	CHECK_EQ(nb, nc);
	CHECK_EQ(na + nb, 66);
	CHECK(na == 0 || nb == 0);
	mp_obj_drop(me, ha);
	mp_obj_drop(me, hb);
	mp_obj_drop(me, hc);
	mp_obj_drop(me, hl);
}

/* Runs f in an actor of its own, with a hook; its status. */
static mp_aid run(mp_self *me, void (*f)(mp_self *), void (*hook)(const char *), int *st)
{
	mp_aid aid;
	pid_t pid = h_fork(me, &aid);
	if (pid == 0) {
		mp_crash_hook = hook;
		f(me);
		mp_crash_hook = NULL;
		h_exit(0);
	}
	CHECK(waitpid(pid, st, 0) == pid);
	mp_slot_kill(me->shm, aid);
	return aid;
}

static mp_aid corpse;

static void sweep_it(mp_self *me) { mp_sweep(me, corpse); }

static void kill_at(mp_self *me, const mp_usage *before, bool sweeper)
{
	int st;
	setup(me);
	if (sweeper) {
		/* The first dies in mid-commit, so that there is much to do. */
		const char *name = victim_name;
		uint32_t time = victim_time;
		victim_name = "commit.after";
		victim_time = 0;
		corpse = run(me, busy, strike, &st);
		CHECK(WIFSIGNALED(st));
		victim_name = name;
		victim_time = time;
	}
	mp_aid dead = run(me, sweeper ? sweep_it : busy, strike, &st);
	kills += WIFSIGNALED(st);
	CHECK(WIFSIGNALED(st) ? WTERMSIG(st) == SIGKILL : st == 0);
	h_bury(me, dead);
	if (sweeper)
		h_bury(me, corpse);
	check(me);
	h_audit(me, before);
}

static uint32_t all_points(mp_self *me, const mp_usage *before, bool sweeper)
{
	int st;
	memset(names, 0, sizeof *names);
	h_now("learning");
	setup(me);
	if (sweeper) {
		victim_name = "commit.after";
		victim_time = 0;
		corpse = run(me, busy, strike, &st);
		CHECK(WIFSIGNALED(st));
	}
	mp_aid aid = run(me, sweeper ? sweep_it : busy, record, &st);
	CHECK_EQ(st, 0);
	h_bury(me, aid);
	check(me);
	h_audit(me, before);
	for (uint32_t i = 0; i < names->n; i++) {
		uint32_t met = names->met[i], times = met < TIMES || h_prove() ? met : TIMES;
		for (uint32_t t = 0; t < times; t++) {
			victim_name = names->name[i];
			/* The first, the last, and some between. */
			uint32_t time = times < 2 ? 0 : t * (met - 1) / (times - 1);
			victim_time = time;
			h_now("%s %s, time %u of %u", sweeper ? "sweeper at" : "at",
			      victim_name, time + 1, met);
			kill_at(me, before, sweeper);
		}
	}
	return names->n;
}

int main(void)
{
	mp_shm shm;
	mp_self me;
	mp_usage before;
	h_deadline(60, 600);
	if (H_TSAN)
		return H_SKIP;
	names = h_shared(sizeof *names);
	h_open(&shm, &me, 4 << 20, 16);
	h_settle(&me, &before);
	uint32_t n = all_points(&me, &before, false);
	if (n == 0)
		return H_SKIP;  /* built without crash points */
	uint32_t m = all_points(&me, &before, true);
	return h_done("%u points in operations, %u in a sweep, %u kills", n, m, kills);
}
