/* process: start, end, join and the keeper, with somebody killed at every
 * named point of them; nothing hangs, nothing is left, statuses are right.
 *
 * SPDX-License-Identifier: MIT */
#include "harness.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/crash.h"
#include "proc/deadlock.h"
#include "proc/process.h"
#include "proc/stdio.h"

static mp_runtime rt;
static mp_usage before;

/* ---- killing at a point ------------------------------------------------------ */

static struct shared {
	_Atomic int armed;       /* the next one who comes there dies */
	_Atomic int only;        /* MP_KIND_* that it must be, 0: any */
	_Atomic int hits;
	char point[64];
} *crash;

static void hook(const char *name)
{
	int one = 1;
	if (strcmp(name, crash->point) != 0 ||
	    (crash->only && rt.self.slot && (int)atomic_load(&rt.self.slot->kind) != crash->only))
		return;
	if (atomic_compare_exchange_strong(&crash->armed, &one, 0)) {
		atomic_fetch_add(&crash->hits, 1);
		kill(getpid(), SIGKILL);
	}
}

static void arm(const char *point, int only)
{
	snprintf(crash->point, sizeof crash->point, "%s", point);
	crash->only = only;
	crash->hits = 0;
	crash->armed = 1;
}

/* ---- helpers -------------------------------------------------------------------- */

static void open_with(uint32_t processes)
{
	mp_runtime_config cfg = { .memory = 8 << 20, .processes = processes };
	const char *why = NULL;
	CHECK_EQ(mp_runtime_open(&rt, &cfg, &why), 0);
	while (mp_slot_phase(&rt.shm, rt.keeper_aid) != MP_SLOT_LIVE)
		usleep(100);  /* it enters as others do */
	h_settle(&rt.self, &before);
}

static mp_process *made(mp_handle *h)
{
	CHECK_EQ(mp_process_create(&rt.self, NULL, false, h), 0);
	return mp_process_body(&rt.shm, *h);
}

/* Starts a process: runs f there, which gives its exit status. */
static mp_process *start_as(bool daemon, mp_handle *h, int (*f)(void))
{
	const char *why;
	pid_t pid;
	mp_process *p = made(h);
	atomic_store(&p->daemon, daemon);
	int rc = mp_process_fork(&rt, *h, &pid, &why);
	if (rc == 1)
		mp_process_exit(&rt, f());
	CHECK_EQ(rc, 0);
	return p;
}

static mp_process *start(mp_handle *h, int (*f)(void))
{
	return start_as(false, h, f);
}

static int join(mp_process *p)
{
	int code = 4711;
	CHECK_EQ(mp_process_join(&rt, &rt.self, p, mp_deadline(10)), 0);
	mp_process_code(p, &code);
	return code;
}

static int seven(void) { return 7; }
static _Noreturn int idle(void) { for (;;) pause(); }

/* Everything as before, once whoever tidies up is done. */
static void nothing_left(void)
{
	mp_usage u;
	for (int i = 0; i < 300; i++) {
		mp_usage_of(&rt.shm, &u);
		if (u.actors == before.actors && u.objects == before.objects)
			break;
		usleep(10000);
	}
	h_audit(&rt.self, &before);
}

/* Each trial is a process of its own, so that its runtime is its own. */
static void trial(const char *what, void (*f)(void))
{
	int status;
	pid_t pid = fork();
	h_now("%s", what);
	if (pid == 0) {
		h_deadline(30, 120);
		f();
		mp_runtime_close(&rt, 0.2);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	if (WIFSIGNALED(status) || WEXITSTATUS(status))
		h_fail(__FILE__, __LINE__, what, 1, WEXITSTATUS(status), WTERMSIG(status));
}

/* ---- ordinary life ------------------------------------------------------------------ */

static void life(void)
{
	mp_handle h;
	mp_process *p;
	open_with(0);
	p = made(&h);
	CHECK_EQ(mp_process_join(&rt, &rt.self, p, 0), -EINVAL);
	mp_obj_drop(&rt.self, h);
	p = start(&h, seven);
	CHECK_EQ(join(p), 7);
	CHECK(!mp_process_alive(&rt, p));
	mp_obj_drop(&rt.self, h);
	p = start(&h, idle);
	CHECK(mp_process_alive(&rt, p));
	CHECK_EQ(mp_process_join(&rt, &rt.self, p, mp_deadline(0.01)), MP_TIMEOUT);
	CHECK_EQ(mp_process_signal(&rt, p, SIGKILL), 0);
	CHECK_EQ(join(p), -SIGKILL);
	CHECK_EQ(mp_process_signal(&rt, p, SIGKILL), -ESRCH);
	mp_obj_drop(&rt.self, h);
	nothing_left();
}

static mp_process *victim;

static int join_other(void)
{
	return join(victim) == -SIGTERM ? 0 : 1;
}

/* Neither joiner is the creator, who does nothing about it. */
static void joined_by_others(void)
{
	mp_handle hv, h1, h2;
	mp_process *a, *b;
	open_with(0);
	victim = start(&hv, idle);
	a = start(&h1, join_other);
	b = start(&h2, join_other);
	usleep(20000);
	kill((pid_t)atomic_load(&victim->pid), SIGTERM);
	CHECK_EQ(join(a), 0);
	CHECK_EQ(join(b), 0);
	CHECK_EQ(join(victim), -SIGTERM);
	mp_obj_drop(&rt.self, hv);
	mp_obj_drop(&rt.self, h1);
	mp_obj_drop(&rt.self, h2);
	nothing_left();
}

static void too_many(void)
{
	mp_handle h, h2;
	const char *why = "";
	pid_t pid;
	mp_process *p;
	open_with(3);  /* me, the keeper, and one */
	p = start(&h, idle);
	made(&h2);
	CHECK_EQ(mp_process_fork(&rt, h2, &pid, &why), -EAGAIN);
	CHECK(strstr(why, "as many processes"));
	mp_process_signal(&rt, p, SIGKILL);
	CHECK_EQ(join(p), -SIGKILL);
	mp_obj_drop(&rt.self, h);
	mp_obj_drop(&rt.self, h2);
	CHECK_EQ(join(start(&h, seven)), 7);
	mp_obj_drop(&rt.self, h);
	nothing_left();
}

static void foreign_fork(void)
{
	int status;
	pid_t pid;
	open_with(0);
	CHECK(mp_runtime_mine(&rt));
	pid = fork();
	if (pid == 0) {
		bool mine = mp_runtime_mine(&rt);
		mp_runtime_close(&rt, 0);  /* unmaps, and ends nobody */
		_exit(mine);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	CHECK(mp_runtime_mine(&rt));
	CHECK(kill(rt.keeper, 0) == 0);
}

static int two(void) { return 2; }

static int outer(void)
{
	mp_handle h;
	start(&h, two);
	start_as(true, &h, idle);
	mp_obj_drop(&rt.self, h);  /* nobody but itself holds it */
	return 3;
}

static void nested(void)
{
	mp_handle h;
	open_with(0);
	CHECK_EQ(join(start(&h, outer)), 3);
	mp_obj_drop(&rt.self, h);
	nothing_left();
}

/* ---- somebody killed ------------------------------------------------------------------- */

/* A creator killed before its child exists: the child never comes to life,
 * and whoever joins it is not left waiting. */
static void creator_killed(const char *point)
{
	mp_handle h, inner;
	mp_process *p;
	const char *why;
	pid_t pid;
	int rc;
	open_with(0);
	p = made(&h);
	rc = mp_process_fork(&rt, h, &pid, &why);
	if (rc == 1) {
		arm(point, MP_KIND_PROCESS);
		start(&inner, idle);
		mp_process_exit(&rt, 9);
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(join(p), -SIGKILL);
	CHECK_EQ(crash->hits, 1);
	mp_obj_drop(&rt.self, h);
	nothing_left();
}

static void creator_at_claimed(void) { creator_killed("slot.claimed"); }
static void creator_at_reserved(void) { creator_killed("slot.reserved"); }
static void creator_at_prepared(void) { creator_killed("start.prepared"); }

/* The same for a process that somebody else made and will join: it was never
 * started, or never came to life. */
static void starter_killed(const char *point, bool begun)
{
	mp_handle h, hs;
	mp_process *p = (open_with(0), made(&h)), *starter = made(&hs);
	const char *why;
	pid_t pid;
	int rc = mp_process_fork(&rt, hs, &pid, &why);
	if (rc == 1) {
		arm(point, MP_KIND_PROCESS);
		mp_process_fork(&rt, h, &pid, &why);
		mp_process_exit(&rt, 9);
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(join(starter), -SIGKILL);
	CHECK_EQ(crash->hits, 1);
	if (begun) {
		CHECK_EQ(join(p), 4711);
	} else {
		CHECK_EQ(mp_process_join(&rt, &rt.self, p, mp_deadline(10)), -EINVAL);
		rc = mp_process_fork(&rt, h, &pid, &why);
		if (rc == 1)
			mp_process_exit(&rt, 7);
		CHECK_EQ(rc, 0);
		CHECK_EQ(join(p), 7);
	}
	mp_obj_drop(&rt.self, h);
	mp_obj_drop(&rt.self, hs);
	nothing_left();
}

static void starter_at_begun(void) { starter_killed("start.begun", false); }
static void starter_at_claimed(void) { starter_killed("slot.claimed", false); }
static void starter_at_reserved(void) { starter_killed("slot.reserved", false); }
static void starter_at_prepared(void) { starter_killed("start.prepared", true); }

/* A child killed at a point of its own start or end. */
static void child_killed(const char *point)
{
	mp_handle h;
	mp_process *p;
	open_with(0);
	arm(point, 0);
	p = start(&h, seven);
	CHECK_EQ(join(p), -SIGKILL);
	CHECK_EQ(crash->hits, 1);
	mp_obj_drop(&rt.self, h);
	nothing_left();
}

static void child_at_entering(void) { child_killed("slot.entering"); }
static void child_at_entered(void) { child_killed("start.entered"); }
static void child_at_exit(void) { child_killed("exit.forgotten"); }

/* The keeper killed in the middle of a burial: the next one goes on. The
 * creator of the dead does not look. */
static int leaves_it_to_the_keeper(void)
{
	mp_handle h;
	mp_process *p = start(&h, idle);
	usleep(50000);
	kill((pid_t)atomic_load(&p->pid), SIGKILL);
	idle();
}

static mp_process *grandchild(mp_process *parent)
{
	for (int i = 0; i < 1000; i++) {
		for (uint32_t k = 1; k < rt.shm.h->objs_high; k++) {
			mp_handle h = (mp_handle)k | atomic_load(&rt.shm.objs[k].word) >> 32 << 32;
			mp_process *p = mp_process_body(&rt.shm, h);
			if (p && parent->self && p->creator == parent->self)
				return mp_obj_hold(&rt.self, h) == 0 ? p : NULL;
		}
		usleep(1000);
	}
	return NULL;
}

static void keeper_killed(const char *point)
{
	mp_handle h;
	mp_process *p, *g;
	open_with(0);
	arm(point, MP_KIND_KEEPER);
	p = start(&h, leaves_it_to_the_keeper);
	g = grandchild(p);
	CHECK(g != NULL);
	for (int i = 0; i < 300 && !crash->hits; i++)
		usleep(10000);  /* a joiner would sweep by itself */
	CHECK_EQ(crash->hits, 1);
	CHECK_EQ(join(g), -SIGKILL);
	mp_runtime_keep(&rt);
	mp_process_signal(&rt, p, SIGKILL);
	CHECK_EQ(join(p), -SIGKILL);
	mp_obj_drop(&rt.self, g->self);
	mp_obj_drop(&rt.self, h);
	nothing_left();
}

#define KEEPER_AT(name, point) static void name(void) { keeper_killed(point); }
KEEPER_AT(keeper_at_death, "keeper.death")
KEEPER_AT(keeper_at_status, "process.status")
KEEPER_AT(keeper_at_bury, "process.bury")
KEEPER_AT(keeper_at_repaired, "sweep.repaired")
KEEPER_AT(keeper_at_released, "sweep.released")
KEEPER_AT(keeper_at_blocks, "sweep.blocks")
KEEPER_AT(keeper_at_slots, "sweep.slots")

/* The owner killed: nobody is left, whoever they are. */
static void owner_killed(void)
{
	pid_t *pids = h_shared(4 * sizeof *pids), owner = fork();
	if (owner == 0) {
		mp_handle h;
		open_with(0);
		pids[0] = rt.keeper;
		for (int i = 1; i < 4; i++) {
			mp_process *p = start(&h, idle);
			while (!(pids[i] = (pid_t)atomic_load(&p->pid)))
				usleep(100);
		}
		kill(getpid(), SIGKILL);
	}
	waitpid(owner, NULL, 0);
	for (int i = 0; i < 4; i++) {
		char state = 'R', path[64];
		for (int n = 0; n < 300 && state != 'X'; n++) {
			FILE *f;
			snprintf(path, sizeof path, "/proc/%d/stat", (int)pids[i]);
			f = fopen(path, "r");
			if (!f || fscanf(f, "%*d %*s %c", &state) != 1 || state == 'Z')
				state = 'X';
			if (f)
				fclose(f);
			usleep(10000);
		}
		CHECK_EQ(state, 'X');
	}
}

/* ---- a system that refuses ------------------------------------------------------------------ */

static void refuse(uint32_t call, uint32_t err)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | err),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { 4, code };
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog))
		_exit(0);  /* no filters here: nothing to try */
}

static void no_pidfds(void) { refuse(SYS_pidfd_open, EPERM); }

static void life_without(void) { no_pidfds(); life(); }
static void others_without(void) { no_pidfds(); joined_by_others(); }
static void owner_without(void) { no_pidfds(); owner_killed(); }

static int join_refused(void)
{
	while (atomic_load(&victim->state) == MP_P_NEW)
		usleep(100);
	return mp_process_join(&rt, &rt.self, victim, mp_deadline(20)) == -ECANCELED ? 0 : 1;
}

/* Before the fork: when somebody sleeps until the process has ended. */
static void refuse_when_joined(const char *point)
{
	if (strcmp(point, "start.prepared") != 0)
		return;
	while (!(atomic_load(&victim->ec) & 1))
		usleep(100);
	refuse(SYS_clone, EAGAIN);
}

static void fork_refused(void)
{
	mp_handle h, hj;
	const char *why = "";
	pid_t pid;
	mp_process *p;
	open_with(0);
	victim = made(&h);
	p = start(&hj, join_refused);
	mp_crash_hook = refuse_when_joined;
	CHECK_EQ(mp_process_fork(&rt, h, &pid, &why), -EAGAIN);
	CHECK(strstr(why, "too many processes"));
	CHECK_EQ(join(p), 0);
	CHECK_EQ(mp_process_join(&rt, &rt.self, victim, 0), -EINVAL);
	mp_obj_drop(&rt.self, h);
	mp_obj_drop(&rt.self, hj);
	nothing_left();
}

/* ---- how fast ------------------------------------------------------------------------------ */

static int nothing(void) { return 0; }

static void measure(double *bare, double *ours)
{
	enum { N = 200 };
	int64_t t = mp_now();
	mp_handle h;
	for (int i = 0; i < N; i++) {
		pid_t pid = fork();
		if (pid == 0)
			_exit(0);
		waitpid(pid, NULL, 0);
	}
	*bare = (double)(mp_now() - t) / N / 1e3;
	t = mp_now();
	for (int i = 0; i < N; i++) {
		CHECK_EQ(join(start(&h, nothing)), 0);
		mp_obj_drop(&rt.self, h);
	}
	*ours = (double)(mp_now() - t) / N / 1e3;
}

/* The next keeper finds the deadlock as well: the owner, alone, in a wait. */
static void deadlock_with_keeper_killed(const char *point)
{
	mp_handle h;
	char *text;
	open_with(0);
	CHECK_EQ(mp_event_create(&rt.self, &h), 0);
	arm(point, MP_KIND_KEEPER);
	CHECK_EQ(mp_event_wait(&rt.self, mp_obj_body(&rt.shm, h, MP_T_EVENT), MP_FOREVER),
	         MP_INTERRUPTED);
	CHECK_EQ(crash->hits, 1);
	text = mp_deadlock_take(&rt);
	CHECK(text && strstr(text, "deadlock: the only process waits"));
	CHECK(strstr(text, "Event #"));
	free(text);
	mp_obj_drop(&rt.self, h);
	nothing_left();
}

static void keeper_at_suspects(void) { deadlock_with_keeper_killed("keeper.suspects"); }
static void keeper_at_believed(void) { deadlock_with_keeper_killed("keeper.believed"); }

int main(void)
{
	double bare = 0, ours = 0;
	crash = h_shared(sizeof *crash);
	mp_crash_hook = hook;
	h_deadline(100, 300);
	trial("life", life);
	trial("joined by others", joined_by_others);
	trial("too many", too_many);
	trial("foreign fork", foreign_fork);
	trial("nested", nested);
	trial("creator killed: slot.claimed", creator_at_claimed);
	trial("creator killed: slot.reserved", creator_at_reserved);
	trial("creator killed: start.prepared", creator_at_prepared);
	trial("starter killed: start.begun", starter_at_begun);
	trial("starter killed: slot.claimed", starter_at_claimed);
	trial("starter killed: slot.reserved", starter_at_reserved);
	trial("starter killed: start.prepared", starter_at_prepared);
	trial("child killed: slot.entering", child_at_entering);
	trial("child killed: start.entered", child_at_entered);
	trial("child killed: exit.forgotten", child_at_exit);
	trial("keeper killed: keeper.death", keeper_at_death);
	trial("keeper killed: process.status", keeper_at_status);
	trial("keeper killed: process.bury", keeper_at_bury);
	trial("keeper killed: sweep.repaired", keeper_at_repaired);
	trial("keeper killed: sweep.released", keeper_at_released);
	trial("keeper killed: sweep.blocks", keeper_at_blocks);
	trial("keeper killed: sweep.slots", keeper_at_slots);
	trial("keeper killed: keeper.suspects", keeper_at_suspects);
	trial("keeper killed: keeper.believed", keeper_at_believed);
	trial("owner killed", owner_killed);
	trial("life without pidfds", life_without);
	trial("joined by others without pidfds", others_without);
	trial("owner killed without pidfds", owner_without);
	trial("fork refused, joined", fork_refused);
	mp_crash_hook = NULL;
	open_with(0);
	measure(&bare, &ours);
	mp_runtime_close(&rt, 0.2);
	return h_done("start and join: %.0f us, bare fork, exit, wait: %.0f us", ours, bare);
}
