/* thread: threads of a process as actors: they start, end, are asked to end
 * and are buried with their process, which is killed at every named point of
 * that; nobody hangs, nothing is left, nothing stays locked.
 *
 * SPDX-License-Identifier: MIT */
#include "harness.h"

#include <signal.h>
#include <sys/wait.h>

#include "base/crash.h"
#include "proc/thread.h"

#define N 3

static mp_runtime rt;
static mp_usage before;
static mp_handle threads[N], locks[N];

/* ---- killing at a point ------------------------------------------------------- */

static const char *point;   /* in the process that dies there */

static void hook(const char *name)
{
	if (point && strcmp(name, point) == 0)
		kill(getpid(), SIGKILL);
}

/* ---- helpers -------------------------------------------------------------------- */

static void open_rt(void)
{
	mp_runtime_config cfg = { .memory = 8 << 20 };
	const char *why = NULL;
	CHECK_EQ(mp_runtime_open(&rt, &cfg, &why), 0);
	while (mp_slot_phase(&rt.shm, rt.keeper_aid) != MP_SLOT_LIVE)
		usleep(100);
	h_settle(&rt.self, &before);
	for (int i = 0; i < N; i++) {
		CHECK_EQ(mp_thread_create(&rt.self, NULL, false, &threads[i]), 0);
		CHECK_EQ(mp_lock_create(&rt.self, &locks[i]), 0);
	}
}

static mp_process *object(int i) { return mp_process_body(&rt.shm, threads[i]); }

static void nothing_left(void)
{
	mp_usage u;
	for (int i = 0; i < N; i++) {
		mp_obj_drop(&rt.self, threads[i]);
		mp_obj_drop(&rt.self, locks[i]);
	}
	for (int i = 0; i < 300; i++) {
		mp_usage_of(&rt.shm, &u);
		if (u.actors == before.actors && u.objects == before.objects)
			break;
		usleep(10000);
	}
	h_audit(&rt.self, &before);
}

static void start(int i, void (*run)(mp_runtime *view, void *arg))
{
	const char *why = "";
	CHECK_EQ(mp_thread_start(&rt, threads[i], run, &locks[i], &why), 0);
}

static int end_of(int i)
{
	int code = 4711;
	CHECK_EQ(mp_process_join(&rt, &rt.self, object(i), mp_deadline(20)), 0);
	mp_process_code(object(i), &code);
	mp_threads_reap(&rt);
	return code;
}

/* Takes its lock; ends with it, or until it is asked to end. */
static mp_lock *take(mp_runtime *view, void *arg)
{
	mp_lock *l;
	CHECK_EQ(mp_obj_hold(&view->self, *(mp_handle *)arg), 0);
	l = mp_obj_body(&view->shm, *(mp_handle *)arg, MP_T_LOCK);
	CHECK_EQ(mp_lock_acquire(&view->self, l, mp_deadline(20)), 0);
	return l;
}

static void ends_in_order(mp_runtime *view, void *arg)
{
	mp_lock *l = take(view, arg);
	CHECK_EQ(mp_lock_release(&view->self, l), 0);
	mp_thread_status(view, 7 << 8);
}

static void ends_with_lock(mp_runtime *view, void *arg)
{
	take(view, arg);
	mp_thread_status(view, 7 << 8);
}

static void until_asked(mp_runtime *view, void *arg)
{
	take(view, arg);
	while (!mp_thread_asked(view))
		usleep(1000000);  /* the signal ends it */
	mp_thread_status(view, mp_thread_asked(view));
}

/* ---- trials ------------------------------------------------------------------------ */

static int state_of_lock(int i)
{
	mp_lock *l = mp_obj_body(&rt.shm, locks[i], MP_T_LOCK);
	int rc = mp_lock_acquire(&rt.self, l, 0);
	if (rc == MP_OK || rc == MP_ABANDONED)
		CHECK_EQ(mp_lock_release(&rt.self, l), 0);
	return rc;
}

static void life(void)
{
	open_rt();
	start(0, ends_in_order);
	start(1, ends_with_lock);
	start(2, until_asked);
	CHECK_EQ(end_of(0), 7);
	CHECK_EQ(state_of_lock(0), MP_OK);
	CHECK_EQ(end_of(1), 7);
	CHECK_EQ(state_of_lock(1), MP_ABANDONED);
	while (state_of_lock(2) != MP_TIMEOUT)
		usleep(1000);
	CHECK_EQ(mp_process_signal(&rt, object(2), SIGTERM), 0);
	CHECK_EQ(end_of(2), -SIGTERM);
	CHECK_EQ(state_of_lock(2), MP_ABANDONED);
	CHECK(!mp_threads_any(&rt));
	nothing_left();
}

/* Closed with threads that still run: they are asked, and waited for. */
static void closing(void)
{
	open_rt();
	for (int i = 0; i < N; i++)
		start(i, until_asked);
}

/* A process with threads is killed at the point; the others find all of it
 * as if nobody had ever been there, the moment the process is joined. */
static void killed_at(const char *at, void (*run)(mp_runtime *view, void *arg))
{
	mp_handle h;
	mp_process *p;
	const char *why;
	pid_t pid;
	int rc, code = 0;
	open_rt();
	CHECK_EQ(mp_process_create(&rt.self, NULL, false, &h), 0);
	rc = mp_process_fork(&rt, h, &pid, &why);
	if (rc == 1) {
		start(0, until_asked);
		point = at;
		start(1, run);
		start(2, run);
		for (;;)
			pause();
	}
	CHECK_EQ(rc, 0);
	p = mp_process_body(&rt.shm, h);
	CHECK_EQ(mp_process_join(&rt, &rt.self, p, mp_deadline(20)), 0);
	CHECK(mp_process_code(p, &code));
	CHECK_EQ(code, -SIGKILL);
	for (int i = 0; i < N; i++) {
		CHECK(state_of_lock(i) != MP_TIMEOUT);
		if (atomic_load(&object(i)->state) == MP_P_NEW)
			continue;  /* it was not started */
		code = end_of(i);
		CHECK(code == 7 || code == -SIGKILL || code == 4711);
	}
	mp_obj_drop(&rt.self, h);
	nothing_left();
}

static void at_claimed(void) { killed_at("slot.claimed", ends_in_order); }
static void at_reserved(void) { killed_at("slot.reserved", ends_in_order); }
static void at_begun(void) { killed_at("start.begun", ends_in_order); }
static void at_prepared(void) { killed_at("start.prepared", ends_in_order); }
static void at_entering(void) { killed_at("slot.entering", ends_in_order); }
static void at_entered(void) { killed_at("thread.entered", ends_in_order); }
static void at_leaving(void) { killed_at("thread.leaving", ends_in_order); }
static void at_leaving_locked(void) { killed_at("thread.leaving", ends_with_lock); }
static void at_status(void) { killed_at("process.status", ends_in_order); }
static void at_forgotten(void) { killed_at("thread.forgotten", ends_in_order); }

static void trial(const char *what, void (*f)(void))
{
	int status;
	pid_t pid = fork();
	h_now("%s", what);
	if (pid == 0) {
		h_deadline(30, 120);
		f();
		mp_runtime_close(&rt, 5);
		CHECK(!rt.shm.base);  /* no thread was left behind */
		_exit(0);
	}
	waitpid(pid, &status, 0);
	if (WIFSIGNALED(status) || WEXITSTATUS(status))
		h_fail(__FILE__, __LINE__, what, 1, WEXITSTATUS(status), WTERMSIG(status));
}

int main(void)
{
	mp_crash_hook = hook;
	h_deadline(100, 300);
	trial("life", life);
	trial("closing", closing);
	trial("killed: slot.claimed", at_claimed);
	trial("killed: slot.reserved", at_reserved);
	trial("killed: start.begun", at_begun);
	trial("killed: start.prepared", at_prepared);
	trial("killed: slot.entering", at_entering);
	trial("killed: thread.entered", at_entered);
	trial("killed: thread.leaving", at_leaving);
	trial("killed: thread.leaving with a lock", at_leaving_locked);
	trial("killed: process.status", at_status);
	trial("killed: thread.forgotten", at_forgotten);
	return H_PASS;
}
