/* runtime: see runtime.h.
 *
 * SPDX-License-Identifier: MIT */
#include "runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../base/clock.h"
#include "../base/pid.h"
#include "../shm/bell.h"
#include "../shm/fdstore.h"
#include "../sync/barrier.h"
#include "../sync/condition.h"
#include "../sync/event.h"
#include "../sync/lock.h"
#include "../sync/rlock.h"
#include "../sync/semaphore.h"
#include "../state/array.h"
#include "../state/buffer.h"
#include "../state/dict.h"
#include "../state/list.h"
#include "../state/value.h"
#include "../msg/fd.h"
#include "../msg/pipe.h"
#include "../msg/queue.h"
#include "command.h"
#include "deadlock.h"
#include "keeper.h"
#include "process.h"
#include "stdio.h"
#include "thread.h"

static const mp_type_ops *const types[MP_TYPES] = {
	[MP_T_PROCESS] = &mp_process_ops,
	[MP_T_LOCK] = &mp_lock_ops,
	[MP_T_RLOCK] = &mp_rlock_ops,
	[MP_T_SEMAPHORE] = &mp_semaphore_ops,
	[MP_T_CONDITION] = &mp_condition_ops,
	[MP_T_EVENT] = &mp_event_ops,
	[MP_T_BARRIER] = &mp_barrier_ops,
	[MP_T_VALUE] = &mp_value_ops,
	[MP_T_ARRAY] = &mp_array_ops,
	[MP_T_BUFFER] = &mp_buffer_ops,
	[MP_T_DICT] = &mp_dict_ops,
	[MP_T_LIST] = &mp_list_ops,
	[MP_T_QUEUE] = &mp_queue_ops,
	[MP_T_JOINABLE_QUEUE] = &mp_joinable_queue_ops,
	[MP_T_SIMPLE_QUEUE] = &mp_simple_queue_ops,
	[MP_T_PIPE] = &mp_pipe_ops,
	[MP_T_FD] = &mp_fd_ops,
};

/* ---- forks behind our back --------------------------------------------------- */

/* The one global of the core: how many forks lie between this process and the
 * one that loaded it. A fork by foreign code has no slot. */
uint32_t mp_forks;

static void forked(void) { mp_forks++; }
static void watch_forks(void) { pthread_atfork(NULL, NULL, forked); }

/* ---- hooks of the core --------------------------------------------------------- */

static void before_sleep(mp_self *me, void *ud)
{
	mp_runtime *rt = ud;
	(void)me;
	mp_stdio_flush();
	if (rt->before_sleep)
		rt->before_sleep(rt->ud);
}

static int interrupted(mp_self *me, void *ud)
{
	mp_runtime *rt = ud;
	(void)me;
	if (rt->owner && mp_runtime_mine(rt) && mp_deadlock_found(rt))
		return 1;
	return rt->interrupted ? rt->interrupted(rt->ud) : 0;
}

/* Nobody keeps any more, and nobody will start another keeper. */
static void owner_is_gone(mp_runtime *rt)
{
	mp_keeper_kill_all(&rt->self);
	_exit(128 + SIGKILL);
}

/* Once in a long wait, that it may be in vain. */
static void tell_keeper(mp_runtime *rt)
{
	mp_slot *sl = rt->self.slot;
	int64_t since = atomic_load(&sl->wait.since);
	if (since == rt->waiting || !mp_deadlock_waits(sl, mp_now()))
		return;
	rt->waiting = since;
	atomic_store(&rt->shm.h->waiter, 1);
	mp_runtime_poke(rt);
}

/* What a sleeping process does every slice: the owner keeps the keeper, the
 * others do its work while there is none. */
static void slice(mp_self *me, void *ud)
{
	mp_runtime *rt = ud;
	mp_header *h = me->shm->h;
	uint32_t keeper = atomic_load(&h->keeper);
	if (!mp_runtime_mine(rt))
		return;
	if (rt->owner) {
		mp_runtime_keep(rt);
		mp_runtime_reap(rt);
	} else if (!keeper || mp_probe(me->shm, keeper)) {
		if (mp_probe(me->shm, atomic_load(&h->owner)))
			owner_is_gone(rt);
		mp_process_look(me);
	}
	tell_keeper(rt);
}

void mp_runtime_hooks(mp_runtime *rt)
{
	rt->self.before_sleep = before_sleep;
	rt->self.interrupted = interrupted;
	rt->self.slice = slice;
	rt->self.ud = rt;
	mp_stdio_actor(&rt->self);
}

/* ---- the keeper ------------------------------------------------------------------ */

static bool keeper_lives(mp_runtime *rt)
{
	siginfo_t si = { .si_pid = 0 };
	if (rt->keeper <= 0)
		return false;
	if (waitid(P_PID, (id_t)rt->keeper, &si, WEXITED | WNOHANG) == 0 && si.si_pid == 0)
		return true;
	rt->keeper = 0;
	mp_process_bury(&rt->self, rt->keeper_aid, 0, -1);
	return false;
}

int mp_runtime_keep(mp_runtime *rt)
{
	sigset_t all, before;
	mp_shm *s = &rt->shm;
	mp_aid aid;
	pid_t pid;
	int rc;
	if (!rt->owner || keeper_lives(rt))
		return 0;
	aid = mp_slot_reserve(s, rt->self.aid, MP_KIND_KEEPER);
	if (!aid)
		return -EAGAIN;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	pid = fork();
	rc = pid < 0 ? -errno : 0;
	if (pid == 0)
		mp_keeper_run(rt, aid);
	sigprocmask(SIG_SETMASK, &before, NULL);
	if (rc) {
		mp_slot_cancel(s, aid);
		return rc;
	}
	rt->keeper = pid;
	rt->keeper_aid = aid;
	atomic_store(&s->h->keeper, aid);
	return 0;
}

static void stop_keeper(mp_runtime *rt)
{
	if (rt->keeper <= 0)
		return;
	kill(rt->keeper, SIGKILL);  /* crash-safe by construction */
	while (waitpid(rt->keeper, NULL, 0) < 0 && errno == EINTR)
		;
	rt->keeper = 0;
}

void mp_runtime_poke(mp_runtime *rt)
{
	mp_wake_keeper(&rt->shm);
}

/* ---- opening ------------------------------------------------------------------------ */

static int enter_owner(mp_runtime *rt)
{
	mp_shm *s = &rt->shm;
	mp_aid aid = mp_slot_reserve(s, 0, MP_KIND_PROCESS);
	mp_process *p;
	mp_handle h;
	int rc;
	if (!aid || !mp_slot_enter(s, aid, &rt->self))
		return -ENOMEM;
	atomic_store(&s->h->owner, aid);
	rc = mp_process_create(&rt->self, "main", false, &h);
	if (rc)
		return rc < 0 ? rc : -ENOMEM;
	p = mp_process_body(s, h);
	atomic_store(&p->state, MP_P_STARTED);
	atomic_store(&p->pid, (uint32_t)rt->pid);
	atomic_store(&p->aid, aid);
	atomic_store(&p->parent, 0);
	atomic_store(&p->ppid, (uint32_t)getppid());
	atomic_store(&p->starttime, atomic_load(&rt->self.slot->starttime));
	atomic_store(&rt->self.slot->process, h);
	strcpy(rt->self.slot->name, "main");
	rt->process = h;
	mp_runtime_hooks(rt);
	return 0;
}

static int open_fds(mp_runtime *rt)
{
	int rc;
	rt->shm.keeper_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (rt->shm.keeper_fd < 0)
		return -errno;
	rc = mp_fdstore_open(&rt->shm);
	if (rc)
		return rc;
	if (!rt->standalone)
		return 0;
	if (pipe2(rt->orphans, O_CLOEXEC | O_NONBLOCK))
		return -errno;
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	return 0;
}

static void close_pair(int fds[2])
{
	for (int i = 0; i < 2; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
		fds[i] = -1;
	}
}

static int share(mp_runtime *rt)
{
	rt->threads = calloc(1, sizeof *rt->threads);
	if (!rt->threads)
		return -ENOMEM;
	pthread_mutex_init(&rt->threads->lock, NULL);
	rt->threads->first = rt;
	return 0;
}

static void share_no_more(mp_runtime *rt)
{
	if (!rt->threads)
		return;
	pthread_mutex_destroy(&rt->threads->lock);
	free(rt->threads->orphans);
	free(rt->threads);
	rt->threads = NULL;
	rt->shm.fds = NULL;
}

static void close_all(mp_runtime *rt)
{
	if (rt->shm.keeper_fd >= 0)
		close(rt->shm.keeper_fd);
	rt->shm.keeper_fd = -1;
	mp_fdstore_close(&rt->shm);
	close_pair(rt->orphans);
	mp_leases_free(&rt->self);
	mp_works_free(&rt->self);
	mp_bells_close(&rt->self);
	mp_shm_unmap(&rt->shm);
	share_no_more(rt);
}

/* Where a standard stream is closed, its number must not become one of ours:
 * the script's output would go into shared memory. */
static void fill_streams(int held[3])
{
	for (int i = 0; i < 3; i++) {
		held[i] = -1;
		if (fcntl(i, F_GETFD) < 0)
			held[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
	}
}

static void unfill_streams(const int held[3])
{
	for (int i = 0; i < 3; i++)
		if (held[i] >= 0)
			close(held[i]);
}

/* The keeper opens one more and needs another to look at /proc. */
static int find_spare(int fd)
{
	int one = fcntl(fd, F_DUPFD_CLOEXEC, 3), two = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	int rc = two < 0 ? -errno : 0;
	if (one >= 0)
		close(one);
	if (two >= 0)
		close(two);
	return rc;
}

static int open_all(mp_runtime *rt, const mp_runtime_config *cfg, const char **why)
{
	mp_shm_config sc = { cfg->memory, cfg->processes, types };
	int rc = mp_shm_create(&rt->shm, &sc, why);
	if (rc)
		return rc;
	*why = "memory";
	rc = share(rt);
	if (rc) {
		mp_shm_unmap(&rt->shm);
		return rc;
	}
	rt->shm.fds = &rt->threads->lock;
	*why = "descriptors for the keeper (RLIMIT_NOFILE, ulimit -n)";
	rc = open_fds(rt);
	if (!rc)
		rc = find_spare(rt->shm.fd);
	if (!rc) {
		*why = "shared memory";
		rc = enter_owner(rt);
	}
	if (!rc) {
		*why = "fork of the keeper (RLIMIT_NPROC, ulimit -u)";
		rc = mp_runtime_keep(rt);
	}
	if (rc)
		close_all(rt);
	return rc;
}

int mp_runtime_open(mp_runtime *rt, const mp_runtime_config *cfg, const char **why)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	const char *reason = "shared memory";
	int held[3], rc;
	pthread_once(&once, watch_forks);
	memset(rt, 0, sizeof *rt);
	rt->self.bell = -1;
	rt->pid = getpid();
	rt->forks = mp_forks;
	rt->owner = true;
	rt->standalone = cfg->standalone;
	rt->orphans[0] = rt->orphans[1] = -1;
	fill_streams(held);
	rc = open_all(rt, cfg, &reason);
	unfill_streams(held);
	if (why)
		*why = reason;
	return rc;
}

/* ---- a child's copy ------------------------------------------------------------------- */

/* A child keeps their memory for its own: to free it would only make the
 * kernel copy what malloc writes to. */
static void empty_lists(mp_runtime *rt)
{
	for (uint32_t i = 0; i < rt->nchildren; i++)
		if (rt->children[i].fd >= 0)
			close(rt->children[i].fd);
	for (uint32_t i = 0; i < rt->nsentinels; i++)
		close(rt->sentinels[i].fd);
	rt->nchildren = rt->nsentinels = 0;
}

void mp_runtime_close_fds(mp_runtime *rt)
{
	empty_lists(rt);
	mp_bells_close(&rt->self);
	mp_commands_forget(rt);
	close_pair(rt->orphans);
}

static void drop_lists(mp_runtime *rt)
{
	empty_lists(rt);
	free(rt->children);
	free(rt->sentinels);
	rt->children = NULL;
	rt->sentinels = NULL;
	rt->children_cap = rt->sentinels_cap = 0;
}

void mp_runtime_become(mp_runtime *rt)
{
	mp_threads_forked(rt);
	rt->pid = getpid();
	rt->forks = mp_forks;
	rt->owner = rt->standalone = rt->unclean = rt->ending = false;
	rt->deadlock = NULL;
	rt->keeper = 0;
	mp_runtime_close_fds(rt);
	mp_leases_free(&rt->self);  /* its creator's */
	mp_works_free(&rt->self);
}

/* ---- closing ------------------------------------------------------------------------------ */

/* The next process that still runs, other than me and the keeper. */
static mp_aid next_other(mp_runtime *rt, uint32_t *i)
{
	mp_shm *s = &rt->shm;
	uint32_t high = atomic_load(&s->h->slots_high);
	while (++*i < high) {
		mp_slot *sl = &s->slots[*i];
		mp_aid aid = mp_slot_aid(s, *i);
		uint32_t phase = mp_slot_phase(s, aid);
		if (aid != rt->self.aid && atomic_load(&sl->kind) == MP_KIND_PROCESS &&
		    (phase == MP_SLOT_LIVE || (phase == MP_SLOT_RESERVED && atomic_load(&sl->pid))))
			return aid;
	}
	return 0;
}

static void signal_others(mp_runtime *rt, int sig)
{
	uint32_t i = 0;
	mp_aid aid;
	while ((aid = next_other(rt, &i)) != 0) {
		mp_handle h = atomic_load(&mp_slot_of(&rt->shm, aid)->process);
		bool held;
		mp_process *p = mp_process_hold(&rt->self, h, &held);
		if (p && atomic_load(&p->aid) == aid)
			mp_process_signal(rt, p, sig);
		if (p)
			mp_process_unhold(&rt->self, h, held);
	}
}

/* Waits for one of the others. false: none is left, or the time is over. */
static bool await_other(mp_runtime *rt, int64_t deadline)
{
	uint32_t i = 0;
	mp_aid aid = next_other(rt, &i);
	mp_handle h = atomic_load(&mp_slot_of(&rt->shm, aid)->process);
	mp_process *p;
	bool held;
	if (!aid || mp_now() >= deadline)
		return false;
	p = mp_process_hold(&rt->self, h, &held);
	if (p && atomic_load(&p->aid) == aid && atomic_load(&p->state) == MP_P_STARTED)
		mp_process_join(rt, &rt->self, p, deadline);
	else if (mp_probe(&rt->shm, aid))
		mp_process_bury(&rt->self, aid, 0, -1);
	else
		usleep(1000);
	if (p)
		mp_process_unhold(&rt->self, h, held);
	return true;
}

static void end_others(mp_runtime *rt, double grace)
{
	uint32_t i = 0;
	int64_t until = mp_deadline(grace);
	atomic_store(&rt->shm.h->closing, 1);
	rt->interrupted = NULL;
	rt->closing = true;
	free(mp_deadlock_take(rt));
	signal_others(rt, SIGTERM);
	while (await_other(rt, until))
		;
	while (next_other(rt, &i)) {
		signal_others(rt, SIGKILL);
		await_other(rt, mp_deadline(0.1));
		i = 0;
	}
	while (rt->nchildren) {  /* whose object or slot is gone: reap it all the same */
		mp_runtime_reap(rt);
		if (rt->nchildren)
			usleep(200);
	}
}

void mp_runtime_close(mp_runtime *rt, double grace)
{
	bool stopped;
	if (!rt->shm.base)
		return;
	if (mp_runtime_mine(rt))
		mp_commands_kill(rt);
	stopped = !mp_runtime_mine(rt) || mp_threads_stop(rt, grace);
	if (rt->owner && mp_runtime_mine(rt)) {
		end_others(rt, grace);
		stop_keeper(rt);
		mp_slots_kill_groups(&rt->shm);  /* of who died, and was not swept any more */
		mp_runtime_reap(rt);
	}
	mp_stdio_actor(NULL);
	/* A thread that does not end goes on using what it shares with me. */
	if (!stopped)
		return;
	drop_lists(rt);
	close_all(rt);
}
