/* start: fork, what parent and child do after it, and a child's orderly end.
 *
 * Order and crash argument: the slot is reserved and the
 * child's holder bits are set before the fork, so there are too many bits at
 * worst. A creator that dies before the child has entered revokes it by its
 * sweep. The creator writes the child's pid as long as the slot is RESERVED,
 * under the recovery lock, so that the slot cannot be another's by then; from
 * then on the keeper sees the child's death even if it never enters.
 *
 * SPDX-License-Identifier: MIT */
#include "start.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../base/crash.h"
#include "../base/pid.h"
#include "../msg/queue.h"
#include "command.h"
#include "stdio.h"
#include "thread.h"

#define REVOKED 127  /* exit status of a child that never came to life */

static void nothing(int sig) { (void)sig; }

/* The owner decides for all about the terminal's SIGINT. A handler that does
 * nothing, not SIG_IGN: commands that the child executes get the default. */
static void child_signals(const mp_runtime *rt)
{
	struct sigaction sa = { .sa_handler = SIG_DFL };
	uint64_t ours = atomic_load(&rt->threads->signals);
	for (int sig = 1; sig < 64; sig++)
		if (ours >> (sig - 1) & 1 && sig != SIGTERM && sig != SIGINT)
			sigaction(sig, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	sa.sa_handler = nothing;
	sa.sa_flags = SA_RESTART;
	sigaction(SIGINT, &sa, NULL);
}

/* A second belt for a keeper killed together with the owner. It is tied to
 * the creating thread: only where that is the owner's first. */
static void follow_owner(pid_t owner)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != owner)
		_exit(REVOKED);
}

static void child_enters(mp_runtime *rt, mp_process *p, mp_aid aid, bool follow)
{
	pid_t creator = rt->pid;
	mp_shm *s = &rt->shm;
	child_signals(rt);
	mp_runtime_become(rt);
	if (follow)
		follow_owner(creator);
	if (!mp_slot_enter(s, aid, &rt->self))
		_exit(REVOKED);
	MP_CRASHPOINT("start.entered");
	/* Whoever sets closing looks for LIVE slots afterwards; it sees this
	 * one, or this one sees closing. */
	if (atomic_load(&s->h->closing))
		_exit(REVOKED);
	atomic_store(&p->starttime, atomic_load(&rt->self.slot->starttime));
	atomic_store(&p->pid, (uint32_t)rt->pid);
	rt->process = p->self;
	mp_runtime_hooks(rt);
}

/* The child has not entered yet: it has a pid that the keeper can watch. Its
 * start time is looked up here as well, while the child is still on its way:
 * the same that it would find itself. */
static void tell_pid(mp_runtime *rt, mp_aid aid, pid_t pid)
{
	mp_shm *s = &rt->shm;
	uint64_t born;
	if (mp_slot_phase(s, aid) != MP_SLOT_RESERVED)
		return;
	born = mp_starttime(pid);
	mp_latch_hold(&rt->self, &s->h->recovery);
	if (mp_slot_phase(s, aid) == MP_SLOT_RESERVED) {
		atomic_store(&mp_slot_of(s, aid)->starttime, born);
		atomic_store(&mp_slot_of(s, aid)->pid, (uint32_t)pid);
	}
	mp_unlatch(&rt->self, &s->h->recovery);
}

static void parent_goes_on(mp_runtime *rt, mp_process *p, mp_aid aid, pid_t pid)
{
	uint32_t none = 0;
	atomic_compare_exchange_strong(&p->pid, &none, (uint32_t)pid);
	tell_pid(rt, aid, pid);
	rt->children[rt->nchildren++] = (mp_child){ p->self, aid, pid, -1, atomic_load(&p->daemon) };
	mp_runtime_poke(rt);
}

static int room_for_child(mp_runtime *rt)
{
	uint32_t cap = rt->children_cap * 2 + 8;
	mp_child *c = rt->children;
	if (rt->nchildren < rt->children_cap)
		return 0;
	mp_fds_lock(&rt->shm);
	c = realloc(c, cap * sizeof *c);
	if (c) {
		rt->children = c;
		rt->children_cap = cap;
	}
	mp_fds_unlock(&rt->shm);
	return c ? 0 : -ENOMEM;
}

int mp_start_refuse(mp_process *p, int rc, const char **why, const char *text)
{
	atomic_store(&p->starter, 0);
	*why = text;
	return rc;
}

int mp_start_claim(mp_runtime *rt, mp_process *p, const char **why)
{
	uint32_t nobody = 0;
	*why = "it was started before";
	if (!p || atomic_load(&p->state) != MP_P_NEW ||
	    !atomic_compare_exchange_strong(&p->starter, &nobody, rt->self.aid))
		return -EALREADY;
	MP_CRASHPOINT("start.begun");
	if (atomic_load(&rt->shm.h->closing))
		return mp_start_refuse(p, -ESHUTDOWN, why, "the runtime is ending");
	return 0;
}

/* A thread's slot is no daemon's: the keeper ends processes only. */
mp_aid mp_start_prepare(mp_runtime *rt, mp_process *p, uint32_t kind, const char **why)
{
	mp_shm *s = &rt->shm;
	mp_aid aid = mp_slot_reserve(s, rt->self.aid, kind);
	mp_slot *sl = mp_slot_of(s, aid);
	if (!aid) {
		mp_start_refuse(p, -EAGAIN, why, "as many processes as this runtime may have are "
		                "running (mp.configure{processes=}); a thread counts as one");
		return 0;
	}
	atomic_store(&sl->process, p->self);
	atomic_store(&sl->daemon, kind == MP_KIND_PROCESS && atomic_load(&p->daemon));
	memcpy(sl->name, p->name, sizeof sl->name - 1);
	sl->name[sizeof sl->name - 1] = 0;
	atomic_store(&p->parent, rt->self.aid);
	atomic_store(&p->ppid, (uint32_t)rt->pid);
	p->creator = rt->process;
	if (kind == MP_KIND_PROCESS)
		mp_obj_inherit(s, rt->self.aid, aid);
	atomic_store(&p->aid, aid);
	/* From here on it may be joined: a sweep finds what it needs. */
	atomic_store(&p->state, MP_P_STARTED);
	MP_CRASHPOINT("start.prepared");
	return aid;
}

void mp_start_undo(mp_runtime *rt, mp_process *p, mp_aid aid)
{
	atomic_store(&p->state, MP_P_NEW);
	mp_ec_notify(&p->ec, INT_MAX);
	mp_obj_forget(&rt->self, aid);
	mp_slot_cancel(&rt->shm, aid);
	atomic_store(&p->aid, 0);
	atomic_store(&p->starter, 0);
}

static const char *cannot_fork(int err)
{
	switch (err) {
	case EAGAIN:
		return "cannot fork: too many processes (RLIMIT_NPROC, ulimit -u, or the "
		       "cgroup's pids.max)";
	case ENOMEM:
		return "cannot fork: not enough memory";
	default:
		return "cannot fork";
	}
}

/* Other threads may be about to write: what they have buffered is theirs to
 * write, and files that they read from cannot be flushed by us. */
static void flush(bool alone)
{
	if (alone)
		fflush(NULL);
	mp_stdio_flush();
}

/* The child has the first thread's mask, whoever started it. */
static pid_t fork_child(mp_runtime *rt, mp_process *p, mp_aid aid)
{
	bool follow = rt->owner && syscall(SYS_gettid) == rt->pid;
	sigset_t all, before;
	pid_t child;
	int err;
	/* No handler of the creator's may run in the child. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	mp_fds_lock(&rt->shm);
	child = fork();
	err = errno;
	if (child == 0) {
		if (rt->thread)
			before = rt->threads->mask;
		child_enters(rt, p, aid, follow);
	}
	mp_fds_unlock(&rt->shm);
	if (child > 0)
		parent_goes_on(rt, p, aid, child);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	errno = err;
	return child;
}

int mp_process_fork(mp_runtime *rt, mp_handle h, pid_t *pid, const char **why)
{
	mp_process *p = mp_process_body(&rt->shm, h);
	bool alone = !mp_threads_any(rt);
	mp_aid aid;
	pid_t child;
	int rc = mp_start_claim(rt, p, why);
	if (rc)
		return rc;
	mp_runtime_keep(rt);
	mp_runtime_reap(rt);
	if (room_for_child(rt))
		return mp_start_refuse(p, -ENOMEM, why, "not enough memory");
	aid = mp_start_prepare(rt, p, MP_KIND_PROCESS, why);
	if (!aid)
		return -EAGAIN;
	flush(alone);
	child = fork_child(rt, p, aid);
	if (child == 0)
		return 1;
	if (child < 0) {
		rc = -errno;
		*why = cannot_fork(errno);
		mp_start_undo(rt, p, aid);
		return rc;
	}
	*pid = child;
	return 0;
}

_Noreturn void mp_process_exit(mp_runtime *rt, int status)
{
	mp_self *me = &rt->self;
	mp_process *p = mp_process_body(&rt->shm, rt->process);
	bool alone;
	rt->interrupted = NULL;
	mp_commands_kill(rt);
	mp_process_end_children(rt);
	if (rt->child_exit)
		rt->child_exit(rt->ud);
	mp_queue_desert(me);
	mp_obj_leave(me);
	alone = mp_threads_stop(rt, 0);  /* else daemons are cut off by _exit */
	flush(alone);
	mp_stdio_actor(NULL);  /* from here on this actor is leaving */
	atomic_fetch_sub(&rt->shm.h->awake, 1);
	atomic_store(&me->slot->asleep, 1);
	if (p && mp_obj_held(&rt->shm, rt->process, me->aid))
		atomic_store(&p->leaving, MP_STATUS_KNOWN | ((uint32_t)status & 0xff) << 8);
	mp_obj_forget(me, me->aid);
	MP_CRASHPOINT("exit.forgotten");
	if (!rt->unclean && !me->held)  /* else its sweep gives it back at once */
		atomic_store(&me->slot->clean, 1);
	_exit(status);
}
