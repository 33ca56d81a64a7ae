/* join: waiting for processes, reaping, signals, and the end of children.
 *
 * Whoever reaps a child notes its status in the object first: it asks with
 * WNOWAIT, buries, then reaps. A creator waits on the child's pidfd, so that
 * start and join need no turn of the keeper; everybody else sleeps on the
 * object's event count.
 *
 * SPDX-License-Identifier: MIT */
#include "thread.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../base/clock.h"
#include "../base/pid.h"
#include "../shm/bell.h"
#include "../shm/sleep.h"

static mp_child *find_child(mp_runtime *rt, mp_handle h)
{
	for (uint32_t i = 0; i < rt->nchildren; i++)
		if (rt->children[i].h == h)
			return &rt->children[i];
	return NULL;
}

static bool ended(void *arg)
{
	return atomic_load(&((mp_process *)arg)->state) == MP_P_ENDED;
}

/* Or its start has failed, and it is a new one again. */
static bool runs_no_more(void *arg)
{
	return atomic_load(&((mp_process *)arg)->state) != MP_P_STARTED;
}

/* ---- reaping --------------------------------------------------------------- */

static void forget_child(mp_runtime *rt, mp_child *c)
{
	mp_fds_lock(&rt->shm);
	if (c->fd >= 0)
		close(c->fd);
	*c = rt->children[--rt->nchildren];
	mp_fds_unlock(&rt->shm);
}

/* Reaps the child if it has ended; c is no more then. */
static bool reap(mp_runtime *rt, mp_child *c)
{
	siginfo_t si = { .si_pid = 0 };
	int status = -1, rc;
	do
		rc = waitid(P_PID, (id_t)c->pid, &si, WEXITED | WNOHANG | WNOWAIT);
	while (rc && errno == EINTR);
	if (rc == 0 && si.si_pid == 0)
		return false;
	/* Somebody else reaped it, or SIGCHLD is ignored: the kernel may tell. */
	status = rc == 0 ? mp_wait_status(&si) : mp_pidfd_status(c->fd);
	mp_process_bury(&rt->self, c->aid, c->h, status);
	if (rc == 0)
		waitid(P_PID, (id_t)c->pid, &si, WEXITED | WNOHANG);
	forget_child(rt, c);
	return true;
}

/* The keeper tells a subreaper of orphans that ended: pid and start time, for
 * they are nobody's natural children here and must not be mistaken. */
static void reap_orphans(mp_runtime *rt)
{
	uint64_t who[2];
	while (read(rt->orphans[0], who, sizeof who) == (ssize_t)sizeof who)
		if (mp_zombie_status((pid_t)who[0], who[1]) >= 0)
			waitpid((pid_t)who[0], NULL, WNOHANG);
}

void mp_runtime_reap(mp_runtime *rt)
{
	mp_threads_adopt(rt);
	for (uint32_t i = rt->nchildren; i-- > 0;) {
		mp_process *p = mp_process_body(&rt->shm, rt->children[i].h);
		if (!p || ended(p))
			reap(rt, &rt->children[i]);
	}
	if (rt->orphans[0] >= 0)
		reap_orphans(rt);
}

/* ---- waiting ---------------------------------------------------------------- */

static int wait_for_fd(mp_self *me, mp_process *p, int fd, int64_t deadline)
{
	const mp_wait as = { .what = MP_W_JOIN, .object = p->self };
	mp_sleeper sl = { .me = me, .as = &as, .deadline = deadline };
	struct pollfd pfd = { fd, POLLIN, 0 };
	int rc = deadline == 0 ? MP_TIMEOUT : MP_EMPTY;
	if (mp_pidfd_ended(fd))
		return MP_OK;
	while (rc == MP_EMPTY)
		rc = mp_sleep_in_poll(&sl, &pfd, 1);
	mp_sleep_end(&sl);
	return rc;
}

/* A child of mine: by its pidfd, or where there are none by the slices in
 * which waitid is asked. */
static int wait_for_child(mp_runtime *rt, mp_self *me, mp_process *p, mp_child *c, int64_t deadline)
{
	const mp_wait as = { .what = MP_W_JOIN, .object = p->self };
	int rc;
	mp_fds_lock(&rt->shm);
	if (c->fd < 0)
		c->fd = mp_pidfd_open(c->pid);
	mp_fds_unlock(&rt->shm);
	if (c->fd >= 0) {
		rc = wait_for_fd(me, p, c->fd, deadline);
	} else {
		int64_t slice = mp_now() + MP_SLICE / 2;
		rc = mp_ec_wait(me, &p->ec, ended, p, deadline < slice ? deadline : slice, &as);
		if (rc == MP_TIMEOUT && slice < deadline)
			rc = MP_OK;
	}
	c = find_child(rt, p->self);  /* a hook may have reaped it */
	if (rc == MP_OK && c)
		reap(rt, c);
	return rc;
}

int mp_process_join(mp_runtime *rt, mp_self *me, mp_process *p, int64_t deadline)
{
	const mp_wait as = { .what = MP_W_JOIN, .object = p->self };
	mp_child *c;
	int rc = MP_OK;
	if (atomic_load(&p->state) == MP_P_NEW)
		return -EINVAL;
	while (rc == MP_OK && (!ended(p) || find_child(rt, p->self))) {
		c = find_child(rt, p->self);
		if (c && reap(rt, c))
			continue;
		rc = c ? wait_for_child(rt, me, p, c, deadline)
		       : mp_ec_wait(me, &p->ec, runs_no_more, p, deadline, &as);
		if (rc == MP_OK && atomic_load(&p->state) == MP_P_NEW)
			return -ECANCELED;
	}
	if (rc == MP_OK)
		mp_sweep(me, atomic_load(&p->aid));  /* if the burial is not done yet */
	return rc;
}

bool mp_process_alive(mp_runtime *rt, mp_process *p)
{
	mp_aid aid = atomic_load(&p->aid);
	mp_child *c = find_child(rt, p->self);
	pid_t pid = (pid_t)atomic_load(&p->pid);
	if (atomic_load(&p->state) != MP_P_STARTED)
		return false;
	if (p->self == rt->process || aid == rt->self.aid)
		return true;
	if (c)
		return !reap(rt, c);
	if (!mp_probe(&rt->shm, aid))
		return true;
	mp_process_bury(&rt->self, aid, p->self, mp_zombie_status(pid, atomic_load(&p->starttime)));
	return false;
}

/* ---- signals, sentinels ------------------------------------------------------- */

/* Its pid appears a moment after its state says STARTED. */
static pid_t pid_of(mp_process *p)
{
	for (int i = 0; i < 1000 && atomic_load(&p->pid) == 0 && !ended(p); i++)
		usleep(100);
	return (pid_t)atomic_load(&p->pid);
}

/* A pidfd of exactly this process, or -errno. */
static int open_exactly(mp_process *p)
{
	pid_t pid = pid_of(p);
	int fd = pid > 0 ? mp_pidfd_open(pid) : -ESRCH;
	uint64_t born = atomic_load(&p->starttime);
	uint64_t now = fd >= 0 && born ? mp_starttime(pid) : 0;
	if (now && now != born) {  /* 0: no descriptor left to find out */
		close(fd);
		return -ESRCH;
	}
	return fd;
}

/* It may act on it: for a while it is not taken for stuck. */
static void note_signal(mp_runtime *rt, mp_process *p)
{
	mp_aid aid = atomic_load(&p->aid);
	if (!mp_gone(&rt->shm, aid))
		atomic_store(&mp_slot_of(&rt->shm, aid)->signalled, mp_now());
}

int mp_process_signal(mp_runtime *rt, mp_process *p, int sig)
{
	int fd, rc;
	if (atomic_load(&p->state) != MP_P_STARTED)
		return -ESRCH;
	note_signal(rt, p);
	if (atomic_load(&p->thread))
		return mp_thread_ask(rt, p, sig);
	if (find_child(rt, p->self) || p->self == rt->process)
		return mp_pid_signal(pid_of(p), -1, sig);
	fd = open_exactly(p);
	if (fd == -ESRCH)
		return fd;
	rc = mp_pid_signal(pid_of(p), fd, sig);
	if (fd >= 0)
		close(fd);
	return rc;
}

/* Of one that has ended: something that is always readable. */
static int open_ended(void)
{
	int fds[2];
	if (pipe2(fds, O_CLOEXEC))
		return -errno;
	close(fds[1]);
	return fds[0];
}

static int sentinel(mp_runtime *rt, mp_process *p)
{
	uint32_t cap = rt->sentinels_cap * 2 + 8;
	int fd;
	for (uint32_t i = 0; i < rt->nsentinels; i++)
		if (rt->sentinels[i].h == p->self)
			return rt->sentinels[i].fd;
	if (rt->nsentinels == rt->sentinels_cap) {
		mp_sentinel *s = realloc(rt->sentinels, cap * sizeof *s);
		if (!s)
			return -ENOMEM;
		rt->sentinels = s;
		rt->sentinels_cap = cap;
	}
	fd = open_exactly(p);
	if (fd == -ESRCH)
		fd = open_ended();
	if (fd >= 0)
		rt->sentinels[rt->nsentinels++] = (mp_sentinel){ p->self, fd };
	return fd;
}

/* A thread has no descriptor of the system's. */
int mp_process_sentinel(mp_runtime *rt, mp_process *p)
{
	int fd;
	if (atomic_load(&p->thread))
		return mp_bell_open(&rt->self, p->self);
	mp_fds_lock(&rt->shm);
	fd = sentinel(rt, p);
	mp_fds_unlock(&rt->shm);
	return fd;
}

void mp_process_forget(mp_runtime *rt, mp_handle h)
{
	mp_fds_lock(&rt->shm);
	for (uint32_t i = 0; i < rt->nsentinels; i++)
		if (rt->sentinels[i].h == h) {
			close(rt->sentinels[i].fd);
			rt->sentinels[i] = rt->sentinels[--rt->nsentinels];
			break;
		}
	mp_fds_unlock(&rt->shm);
}

/* ---- the end of children -------------------------------------------------------- */

static mp_child *next_child(mp_runtime *rt, bool daemon)
{
	for (uint32_t i = 0; i < rt->nchildren; i++)
		if (rt->children[i].daemon == daemon)
			return &rt->children[i];
	return NULL;
}

/* An object that nobody holds is gone once its process has ended; then there
 * is only the child to be reaped. */
static int join_child(mp_runtime *rt, mp_child *c, int64_t deadline)
{
	mp_handle h = c->h;
	bool held;
	mp_process *p = mp_process_hold(&rt->self, h, &held);
	int rc;
	if (p) {
		rc = mp_process_join(rt, &rt->self, p, deadline);
		mp_process_unhold(&rt->self, h, held);
		return rc;
	}
	while (!reap(rt, c)) {
		if (mp_now() >= deadline)
			return MP_TIMEOUT;
		usleep(1000);
	}
	return MP_OK;
}

static void signal_daemons(mp_runtime *rt, int sig)
{
	for (uint32_t i = 0; i < rt->nchildren; i++)
		if (rt->children[i].daemon)
			mp_pid_signal(rt->children[i].pid, -1, sig);
}

static void end_daemons(mp_runtime *rt)
{
	int64_t until = mp_deadline(MP_GRACE);
	mp_child *c;
	signal_daemons(rt, SIGTERM);
	mp_threads_end_daemons(rt);
	while ((c = next_child(rt, true)) != NULL)
		if (join_child(rt, c, until) != MP_OK) {
			signal_daemons(rt, SIGKILL);
			until = MP_FOREVER;
		}
}

/* A thread that ends by force hands its children over meanwhile: the last
 * look comes after the last thread. */
static int join_children(mp_runtime *rt)
{
	mp_child *c;
	int rc = MP_OK;
	while (rc == MP_OK && (c = next_child(rt, false)) != NULL)
		rc = join_child(rt, c, MP_FOREVER);
	if (rc == MP_OK)
		rc = mp_threads_join(rt);
	mp_threads_adopt(rt);
	return rc == MP_OK && next_child(rt, false) ? MP_EMPTY : rc;
}

int mp_process_end_children(mp_runtime *rt)
{
	int rc;
	do
		rc = join_children(rt);
	while (rc == MP_EMPTY);
	if (rc == MP_OK)
		end_daemons(rt);
	return rc;
}

void mp_process_abandon(mp_runtime *rt)
{
	rt->interrupted = NULL;
	end_daemons(rt);
	mp_threads_hand_over(rt);
}
