/* Locks: exclusion among processes and threads, deadlines, death of a holder.
 *
 * SPDX-License-Identifier: MIT */
#include "harness.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

enum { N = 4, TURNS = 20000 };

static mp_handle h;
static struct { _Atomic uint64_t a, b; } *sum;
static mp_self selves[N];

static mp_lock *lock_of(mp_self *me) { return mp_obj_body(me->shm, h, MP_T_LOCK); }

static void add(mp_self *me)
{
	mp_lock *l = lock_of(me);
	for (int i = 0; i < TURNS; i++) {
		CHECK_EQ(mp_lock_acquire(me, l, mp_deadline(30)), 0);
		uint64_t v = atomic_load_explicit(&sum->a, memory_order_relaxed);
		CHECK_EQ(v, atomic_load_explicit(&sum->b, memory_order_relaxed));
		atomic_store_explicit(&sum->a, v + 1, memory_order_relaxed);
		atomic_store_explicit(&sum->b, v + 1, memory_order_relaxed);
		CHECK_EQ(mp_lock_release(me, l), 0);
	}
}

static void *thread(void *arg)
{
	add(arg);
	return NULL;
}

static void by_threads(mp_self *me)
{
	pthread_t t[N];
	h_now("threads");
	for (int i = 0; i < N; i++)
		h_thread_self(me, &selves[i]);
	for (int i = 0; i < N; i++)
		CHECK_EQ(pthread_create(&t[i], NULL, thread, &selves[i]), 0);
	for (int i = 0; i < N; i++) {
		pthread_join(t[i], NULL);
		h_bury(me, selves[i].aid);
	}
}

static void by_processes(mp_self *me)
{
	pid_t pid[N];
	mp_aid aid[N];
	h_now("processes");
	for (int i = 0; i < N; i++)
		if ((pid[i] = h_fork(me, &aid[i])) == 0) {
			add(me);
			h_exit(0);
		}
	for (int i = 0; i < N; i++)
		CHECK_EQ(h_join(me, pid[i], aid[i]), 0);
}

static void rules(mp_self *me)
{
	mp_lock *l = lock_of(me);
	h_now("rules");
	CHECK_EQ(mp_lock_release(me, l), -EPERM);
	CHECK_EQ(mp_lock_acquire(me, l, 0), 0);
	CHECK_EQ(mp_lock_owner(l), me->aid);
	CHECK_EQ(mp_lock_acquire(me, l, MP_FOREVER), -EDEADLK);
	CHECK_EQ(mp_lock_acquire(me, l, 0), MP_TIMEOUT);
	int64_t t = mp_now();
	CHECK_EQ(mp_lock_acquire(me, l, mp_deadline(.02)), MP_TIMEOUT);
	CHECK(mp_now() - t >= 20 * MP_MS);
	CHECK_EQ(mp_lock_release(me, l), 0);
	CHECK_EQ(mp_lock_owner(l), 0);
}

/* How a holder's death is learnt: by a sweep, or by nobody but the waiter. */
static void holder_dies(mp_self *me, bool swept)
{
	mp_lock *l = lock_of(me);
	mp_aid aid;
	h_now("holder dies, %s", swept ? "swept" : "not swept");
	pid_t pid = h_fork(me, &aid);
	if (pid == 0) {
		CHECK_EQ(mp_lock_acquire(me, l, 0), 0);
		raise(SIGKILL);
	}
	CHECK(waitpid(pid, NULL, 0) == pid);
	if (swept)
		h_bury(me, aid);
	CHECK_EQ(mp_lock_acquire(me, l, mp_deadline(5)), MP_ABANDONED);
	CHECK_EQ(mp_lock_release(me, l), 0);
	CHECK_EQ(mp_lock_acquire(me, l, 0), 0);  /* told once */
	CHECK_EQ(mp_lock_release(me, l), 0);
	mp_sweep_all(me);
	CHECK_EQ(mp_slot_phase(me->shm, aid), MP_SLOT_FREE);
}

int main(void)
{
	mp_shm shm;
	mp_self me;
	mp_usage before;
	h_deadline(60, 60);
	h_open(&shm, &me, 1 << 20, 16);
	h_settle(&me, &before);
	sum = h_shared(sizeof *sum);
	CHECK_EQ(mp_lock_create(&me, &h), 0);
	rules(&me);
	by_threads(&me);
	CHECK_EQ(sum->a, N * TURNS);
	if (!H_TSAN) {
		by_processes(&me);
		CHECK_EQ(sum->a, 2 * N * TURNS);
		holder_dies(&me, true);
		holder_dies(&me, false);
	}
	mp_obj_drop(&me, h);
	h_audit(&me, &before);
	return h_done("%llu acquisitions; rules, deadlines, deaths",
	              (unsigned long long)sum->a);
}
