/* keeper: see keeper.h.
 *
 * Layout: one record per slot, in memory of its own. A poke makes it look at
 * the slots a moment later, and a process is watched when the second look
 * finds it still there: one which lives shorter than that, and is joined by
 * its creator, costs next to nothing, and a burst of starts one look.
 *
 * SPDX-License-Identifier: MIT */
#include "keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../base/clock.h"
#include "../base/crash.h"
#include "deadlock.h"
#include "process.h"
#include "../base/pid.h"

#define LOOK_AFTER (1 * MP_MS)    /* from a poke to the look at the slots */
#define TRIM_AFTER (200 * MP_MS)
#define TRIM_MOST  (5 * MP_SEC)
#define KEEP       64u            /* chunks that may stay warm: 4 MiB */
#define POLL_EVERY (50 * MP_MS)   /* where there are no pidfds */
#define POKED      0u             /* epoll's name for the eventfd; slot 0 is nobody */

/* TSan sees nothing of the keeper, which is a process: two threads that have the
 * same memory one after the other would race, if it was freed by the keeper
 * between. There, who needs memory collects. */
#if defined(__SANITIZE_THREAD__)
#define COLLECTS 0
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define COLLECTS 0
#endif
#endif
#ifndef COLLECTS
#define COLLECTS 1
#endif

typedef struct record {
	mp_aid aid;                /* 0: not watched */
	mp_aid seen;               /* at the last look, running */
	pid_t pid;
	uint64_t born;
	mp_handle process;
	int fd;                    /* pidfd, -1: none to be had */
	int64_t kill_at;           /* SIGTERM was sent, SIGKILL is due; 0: no */
} record;

typedef struct keeper {
	mp_shm *s;
	mp_self *me;
	record *rec;
	int ep;
	int orphans;               /* where to tell a subreaper of orphans, -1 */
	bool polling;              /* somebody has no pidfd */
	bool begun;                /* the first look is over */
	int64_t look_at, trim_at, trim_step, kill_at;  /* 0: not due */
	int64_t dead_at;
	mp_deadlock *dead;         /* the last look for one */
	uint64_t suspect;          /* its mark, 0: there was none */
	uint64_t chunks;           /* a hash of their words at the last look */
} keeper;

/* ---- killing all ---------------------------------------------------------------- */

static bool runs(mp_shm *s, uint32_t i, const mp_self *me, mp_aid *aid)
{
	uint32_t phase;
	*aid = mp_slot_aid(s, i);
	phase = mp_slot_phase(s, *aid);
	return *aid != me->aid && (phase == MP_SLOT_LIVE ||
	       (phase == MP_SLOT_RESERVED && atomic_load(&s->slots[i].pid)));
}

/* A pidfd, unless it were the last descriptor: a look at /proc needs one. */
static int open_but_one(pid_t pid)
{
	int fd = mp_pidfd_open(pid);
	int spare = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (spare >= 0) {
		close(spare);
	} else if (fd >= 0) {
		close(fd);
		fd = -EMFILE;
	}
	return fd;
}

/* Has its pid become another's? Where /proc cannot be read, none has. */
static bool another(pid_t pid, uint64_t born)
{
	uint64_t now = born ? mp_starttime(pid) : 0;
	return now && now != born;
}

static void kill_one(mp_shm *s, mp_aid aid)
{
	mp_slot *sl = mp_slot_of(s, aid);
	pid_t pid = (pid_t)atomic_load(&sl->pid);
	int fd = open_but_one(pid);
	if (pid > 1 && pid != getpid() && !another(pid, atomic_load(&sl->starttime)))
		mp_pid_signal(pid, fd, SIGKILL);
	if (fd >= 0)
		close(fd);
}

void mp_keeper_kill_all(mp_self *me)
{
	mp_shm *s = me->shm;
	bool left = true;
	struct timespec ts = { 0, 0 };
	atomic_store(&s->h->closing, 1);
	while (left) {
		left = false;
		for (uint32_t i = 1; i < atomic_load(&s->h->slots_high); i++) {
			mp_aid aid;
			if (!runs(s, i, me, &aid) || mp_probe(s, aid))
				continue;
			kill_one(s, aid);
			left = true;
		}
		ts.tv_nsec = ts.tv_nsec < 20 * MP_MS ? ts.tv_nsec + MP_MS : ts.tv_nsec;
		if (left)
			nanosleep(&ts, NULL);
	}
	mp_slots_kill_groups(s);
}

/* ---- watching ---------------------------------------------------------------------- */

static void unwatch(record *r)
{
	if (r->aid && r->fd >= 0)
		close(r->fd);  /* leaves the epoll set by that */
	*r = (record){ .fd = -1, .seen = r->seen };
}

static void tell_orphan(keeper *k, const record *r)
{
	uint64_t who[2] = { (uint64_t)r->pid, r->born };
	if (k->orphans >= 0 && write(k->orphans, who, sizeof who) < 0)
		return;  /* full: it stays a zombie until the subreaper ends */
}

static void look_soon(keeper *k, int64_t at)
{
	if (!k->look_at || at < k->look_at)
		k->look_at = at;
}

static void deadlock_soon(keeper *k)
{
	if (!k->dead_at)
		k->dead_at = mp_now();
}

static _Noreturn void end_all(keeper *k)
{
	mp_keeper_kill_all(k->me);
	_exit(0);
}

static void death(keeper *k, uint32_t i)
{
	record r = k->rec[i];
	mp_aid creator = atomic_load(&k->s->slots[i].parent);
	int status = mp_zombie_status(r.pid, r.born);
	bool orphan = creator != MP_AID_MASK && mp_gone(k->s, creator);
	if (r.aid == atomic_load(&k->s->h->owner))
		end_all(k);
	if (status < 0)
		status = mp_pidfd_status(r.fd);
	MP_CRASHPOINT("keeper.death");
	mp_process_bury(k->me, r.aid, r.process, status);
	if (orphan)
		tell_orphan(k, &r);
	unwatch(&k->rec[i]);
	look_soon(k, mp_now());  /* for its children */
	deadlock_soon(k);        /* the others may have counted on it */
}

static void watch(keeper *k, uint32_t i, mp_aid aid)
{
	mp_slot *sl = &k->s->slots[i];
	record *r = &k->rec[i];
	struct epoll_event ev = { .events = EPOLLIN, .data.u32 = i };
	r->aid = aid;
	r->pid = (pid_t)atomic_load(&sl->pid);
	r->born = atomic_load(&sl->starttime);
	r->process = atomic_load(&sl->process);
	r->kill_at = 0;
	r->fd = open_but_one(r->pid);
	if (r->fd == -ESRCH || (r->fd >= 0 && another(r->pid, r->born))) {
		death(k, i);
	} else if (r->fd < 0 || epoll_ctl(k->ep, EPOLL_CTL_ADD, r->fd, &ev)) {
		if (r->fd >= 0)
			close(r->fd);
		r->fd = -1;
		k->polling = true;
	}
}

/* A keeper that has just begun watches all at once: they may be old. */
static void meet(keeper *k, uint32_t i, mp_aid aid)
{
	if (k->begun && k->rec[i].seen != aid) {
		k->rec[i].seen = aid;
		look_soon(k, mp_now() + LOOK_AFTER);
	} else {
		watch(k, i, aid);
	}
}

/* A daemon whose creator is gone ends: SIGTERM, and SIGKILL after the grace. */
static void end_daemon(keeper *k, uint32_t i)
{
	record *r = &k->rec[i];
	mp_slot *sl = &k->s->slots[i];
	mp_aid creator = atomic_load(&sl->parent);
	if (!r->aid || r->kill_at || !atomic_load(&sl->daemon) ||
	    creator == MP_AID_MASK || !mp_gone(k->s, creator))
		return;
	mp_pid_signal(r->pid, r->fd, SIGTERM);
	r->kill_at = mp_deadline(MP_GRACE);
	if (!k->kill_at || r->kill_at < k->kill_at)
		k->kill_at = r->kill_at;
}

static void look_at_slot(keeper *k, uint32_t i)
{
	mp_aid aid = mp_slot_aid(k->s, i);
	uint32_t phase = mp_slot_phase(k->s, aid);
	record *r = &k->rec[i];
	if (aid == k->me->aid)
		return;
	if (r->aid && r->aid != aid)
		unwatch(r);
	if (!r->aid && (phase == MP_SLOT_LIVE ||
	    (phase == MP_SLOT_RESERVED && atomic_load(&k->s->slots[i].pid))))
		meet(k, i, aid);
	else if (!r->aid && phase == MP_SLOT_DEAD)
		mp_process_bury(k->me, aid, atomic_load(&k->s->slots[i].process), -1);
	else if (r->aid && phase == MP_SLOT_DEAD)
		death(k, i);
	else if (r->aid && k->polling && r->fd < 0 && mp_probe(k->s, aid))
		death(k, i);
	if (r->aid && mp_slot_phase(k->s, aid) == MP_SLOT_LIVE)
		end_daemon(k, i);
}

static void look(keeper *k)
{
	k->look_at = 0;
	for (uint32_t i = 1; i < atomic_load(&k->s->h->slots_high); i++)
		look_at_slot(k, i);
	k->begun = true;
	if (mp_gone(k->s, atomic_load(&k->s->h->owner)))
		end_all(k);
	if (k->polling)
		look_soon(k, mp_now() + POLL_EVERY);
	if (COLLECTS && atomic_load(&k->s->h->gc)) {
		mp_obj_collect(k->me);
		if (atomic_load(&k->s->h->gc))
			look_soon(k, mp_now() + 20 * MP_MS);
	}
}

static void kill_due(keeper *k)
{
	int64_t now = mp_now();
	k->kill_at = 0;
	for (uint32_t i = 1; i < atomic_load(&k->s->h->slots_high); i++) {
		record *r = &k->rec[i];
		if (!r->aid || !r->kill_at)
			continue;
		if (r->kill_at <= now)
			mp_pid_signal(r->pid, r->fd, SIGKILL);
		else if (!k->kill_at || r->kill_at < k->kill_at)
			k->kill_at = r->kill_at;
	}
}

/* ---- memory ------------------------------------------------------------------------- */

/* Chunks that are not holes, and whether any changed since the last time. */
static uint32_t chunks_used(keeper *k, bool *idle)
{
	uint64_t hash = UINT64_C(14695981039346656037);
	uint32_t n = 0, high = atomic_load(&k->s->h->chunks_high);
	for (uint32_t c = 0; c < high; c++) {
		uint64_t w = atomic_load_explicit(&k->s->chunks[c].word, memory_order_relaxed);
		hash = (hash ^ w) * UINT64_C(1099511628211);
		n += (w & 0xff) != 0;
	}
	*idle = hash == k->chunks;
	k->chunks = hash;
	return n;
}

/* While memory is in use it is looked at again, less and less often; when
 * little is left, only the next claim wakes the keeper. */
static void trim(keeper *k)
{
	bool idle;
	uint32_t used = chunks_used(k, &idle);
	k->trim_at = 0;
	if (used > KEEP && !idle) {
		k->trim_step = TRIM_AFTER;
	} else if (used > KEEP) {
		mp_trim(k->me, KEEP);
		used = chunks_used(k, &idle);
		k->trim_step = k->trim_step * 2 < TRIM_MOST ? k->trim_step * 2 : TRIM_MOST;
	}
	if (used > KEEP)
		k->trim_at = mp_now() + k->trim_step;
	else
		atomic_store(&k->s->h->keeper_idle, 1);
}

/* ---- deadlock --------------------------------------------------------------------------- */

/* Brings the owner to a safe point, if it is somewhere else than in a wait. */
static void nudge_owner(mp_shm *s)
{
	mp_slot *sl = mp_slot_of(s, atomic_load(&s->h->owner));
	pid_t pid = (pid_t)atomic_load(&sl->pid);
	int sig = (int)atomic_load(&s->h->nudge);
	int fd = sig ? open_but_one(pid) : -1;
	if (sig && fd != -ESRCH && !another(pid, atomic_load(&sl->starttime)))
		mp_pid_signal(pid, fd, sig);
	if (fd >= 0)
		close(fd);
}

/* Begun when somebody has waited for long, or a process has ended, and gone
 * on with while there is a suspicion: so an idle keeper sleeps.
 * Believed when the last look saw the same. The owner is told again until it
 * has reported it: what was said to it before may have been a moment early. */
static void look_for_deadlock(keeper *k)
{
	mp_header *h = k->s->h;
	bool found = !atomic_load(&h->closing) && mp_deadlock_look(k->me, k->dead);
	uint64_t mark = found ? k->dead->mark : 0;
	bool sure = mark && mark == k->suspect && mp_deadlock_sure(k->s, k->dead);
	k->dead_at = found || k->dead->again ? mp_now() + MP_LOOK_EVERY : 0;
	k->suspect = mark;
	if (sure || atomic_load(&h->deadlock))
		atomic_store(&h->deadlock, sure ? mark : 0);
	if (sure)
		MP_CRASHPOINT("keeper.believed");
	else if (mark)
		MP_CRASHPOINT("keeper.suspects");
	if (sure && atomic_load(&h->told) != mark)
		nudge_owner(k->s);
}

/* ---- the loop -------------------------------------------------------------------------- */

/* Events of the eventfd come once until it is armed again: a burst of pokes
 * is one wake-up. */
static void arm(keeper *k, int op)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLONESHOT, .data.u32 = POKED };
	epoll_ctl(k->ep, op, k->s->keeper_fd, &ev);
}

static void poked(keeper *k)
{
	uint64_t n;
	if (read(k->s->keeper_fd, &n, sizeof n) < 0)
		n = 0;  /* somebody else's read cannot be; nothing to drain */
	arm(k, EPOLL_CTL_MOD);
	look(k);
	if (atomic_exchange(&k->s->h->waiter, 0))
		deadlock_soon(k);
	k->trim_step = TRIM_AFTER;
	if (!k->trim_at)
		k->trim_at = mp_now() + TRIM_AFTER;
}

static int until_next(const keeper *k)
{
	int64_t next = MP_FOREVER, now;
	const int64_t due[] = { k->look_at, k->trim_at, k->kill_at, k->dead_at };
	for (int i = 0; i < 4; i++)
		if (due[i] && due[i] < next)
			next = due[i];
	if (next == MP_FOREVER)
		return -1;
	now = mp_now();
	return next <= now ? 0 : (int)((next - now + MP_MS - 1) / MP_MS);
}

static bool over(int64_t at) { return at && mp_now() >= at; }

static _Noreturn void keep(keeper *k)
{
	struct epoll_event ev[64];
	bool was_poked = true;  /* there may have been something before me */
	look_soon(k, mp_now());
	k->dead_at = mp_now();
	for (;;) {
		int n = epoll_wait(k->ep, ev, 64, until_next(k));
		for (int i = 0; i < n; i++) {
			uint32_t slot = ev[i].data.u32;
			if (slot == POKED) {
				was_poked = true;
				look_soon(k, mp_now() + LOOK_AFTER);
			} else if (k->rec[slot].aid && k->rec[slot].fd >= 0 &&
			           mp_pidfd_ended(k->rec[slot].fd)) {
				death(k, slot);
			}
		}
		if (over(k->look_at)) {
			if (was_poked)
				poked(k);
			else
				look(k);
			was_poked = false;
		}
		if (over(k->kill_at))
			kill_due(k);
		if (over(k->trim_at))
			trim(k);
		if (over(k->dead_at))
			look_for_deadlock(k);
	}
}

/* Closes all but those in keep, which is sorted and ends with -1. */
static void close_others(const int *keep)
{
	unsigned from = 0;
	struct rlimit rl = { 1024, 1024 };
	getrlimit(RLIMIT_NOFILE, &rl);
	for (;; keep++) {
		unsigned to = *keep < 0 ? ~0u : (unsigned)*keep - 1;
		if (*keep != (int)from &&
		    syscall(SYS_close_range, from, to, 0) != 0)  /* Linux < 5.9 */
			for (unsigned fd = from; fd <= to && fd < rl.rlim_cur && fd < 65536; fd++)
				close((int)fd);
		if (*keep < 0)
			return;
		from = (unsigned)*keep + 1;
	}
}

static void sort(int *v, int n)
{
	for (int i = 1; i < n; i++)
		for (int j = i; j > 0 && v[j - 1] > v[j]; j--) {
			int t = v[j];
			v[j] = v[j - 1];
			v[j - 1] = t;
		}
}

/* The standard streams are others' pipes; a number there stays taken. */
static void leave_world(mp_runtime *rt, int orphans)
{
	int fds[] = { rt->shm.fd, rt->shm.keeper_fd, rt->shm.store[0],
	              rt->shm.store[1], orphans, -1 };
	int n = orphans >= 0 ? 5 : 4, null;
	struct rlimit rl;
	fds[n] = -1;
	sort(fds, n);
	close_others(fds);
	null = open("/dev/null", O_RDWR);
	while (null >= 0 && null < 2)
		null = dup(null);
	if (null > 2)
		close(null);
	if (chdir("/") != 0 || setsid() < 0)
		return;  /* cannot be: / is there, and a fork leads no group */
	prctl(PR_SET_NAME, "mprun-keeper");
	if (getrlimit(RLIMIT_NOFILE, &rl) == 0) {
		rl.rlim_cur = rl.rlim_max;
		setrlimit(RLIMIT_NOFILE, &rl);
	}
}

_Noreturn void mp_keeper_run(mp_runtime *rt, mp_aid aid)
{
	mp_shm *s = &rt->shm;
	keeper k = { .s = s, .me = &rt->self, .orphans = rt->orphans[1],
	             .trim_step = TRIM_AFTER };
	size_t size = s->h->nslots * sizeof(record);  /* aligned for what follows */
	s->fds = NULL;  /* it may be held by a thread that is not here */
	if (!mp_slot_enter(s, aid, &rt->self))
		_exit(1);
	leave_world(rt, k.orphans);
	k.rec = mmap(NULL, size + mp_deadlock_size(s), PROT_READ | PROT_WRITE,
	             MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	k.ep = epoll_create1(EPOLL_CLOEXEC);
	if (k.rec == MAP_FAILED || k.ep < 0)
		_exit(1);
	k.dead = (mp_deadlock *)(void *)((char *)k.rec + size);
	for (uint32_t i = 0; i < s->h->nslots; i++)
		k.rec[i].fd = -1;
	arm(&k, EPOLL_CTL_ADD);
	keep(&k);
}
