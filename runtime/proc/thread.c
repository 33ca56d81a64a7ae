/* thread: see thread.h.
 *
 * SPDX-License-Identifier: MIT */
#include "thread.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../base/clock.h"
#include "../base/crash.h"
#include "../msg/queue.h"
#include "../shm/bell.h"
#include "command.h"
#include "start.h"
#include "stdio.h"

#define AGAIN (20 * MP_MS)  /* so often one that is asked to end is signalled */

/* The view of the calling thread, if it was started here; for the handler. */
static _Thread_local mp_runtime *mine;

bool mp_thread_current(void) { return mine != NULL; }

/* ---- asking one to end ------------------------------------------------------ */

static uint32_t ask_word(mp_aid aid, int sig)
{
	return mp_aid_gen(aid) << 16 | (uint32_t)sig;
}

int mp_thread_asked(const mp_runtime *rt)
{
	uint32_t v = rt->thread ? atomic_load(&rt->self.slot->asked) : 0;
	return v >> 16 == mp_aid_gen(rt->self.aid) ? (int)(v & 0xffff) : 0;
}

/* Only for one that was asked: a read of the script's goes on else. */
static void on_poke(int sig)
{
	int saved = errno;
	(void)sig;
	if (mine && mine->poked && mp_thread_asked(mine))
		mine->poked(mine->ud);
	errno = saved;
}

/* Without SA_RESTART: what the thread reads from a terminal ends as well. A
 * signal that somebody else uses is left alone. */
static int choose_signal(void)
{
	struct sigaction sa = { .sa_handler = on_poke }, now;
	for (int sig = SIGRTMAX; sig >= SIGRTMIN; sig--) {
		if (sigaction(sig, NULL, &now) || now.sa_flags & SA_SIGINFO ||
		    (now.sa_handler != SIG_DFL && now.sa_handler != on_poke))
			continue;
		sigfillset(&sa.sa_mask);
		return sigaction(sig, &sa, NULL) ? 0 : sig;
	}
	return 0;
}

/* It is that thread's until its slot is another's: a word for an older one
 * does not count. */
static void ask(mp_shm *s, mp_aid aid, int sig)
{
	if (!mp_gone(s, aid))
		atomic_store(&mp_slot_of(s, aid)->asked, ask_word(aid, sig));
}

int mp_thread_ask(mp_runtime *rt, mp_process *p, int sig)
{
	pid_t pid = (pid_t)atomic_load(&p->pid), tid;
	mp_aid aid = atomic_load(&p->aid);
	if (atomic_load(&p->state) != MP_P_STARTED || mp_gone(&rt->shm, aid))
		return -ESRCH;
	ask(&rt->shm, aid, sig);
	tid = (pid_t)atomic_load(&p->tid);  /* 0: it looks before it begins */
	if (tid && !mp_gone(&rt->shm, aid))
		syscall(SYS_tgkill, pid, tid, (int)atomic_load(&p->poke));
	return 0;
}

/* ---- the list ---------------------------------------------------------------- */

/* Which thread of the list, without its memory: that goes with the lock. */
typedef struct known {
	mp_handle h;
	mp_aid aid;
} known;

static bool is_mine(const mp_runtime *rt, const mp_thread *t)
{
	return t->starter == rt->self.aid || (!t->starter && !rt->thread);
}

static bool find(mp_runtime *rt, bool daemon, known *k)
{
	mp_thread *t;
	mp_fds_lock(&rt->shm);
	for (t = rt->threads->list; t; t = t->next)
		if (t != rt->thread && is_mine(rt, t) && t->daemon == daemon)
			break;
	if (t)
		*k = (known){ t->h, t->aid };
	mp_fds_unlock(&rt->shm);
	return t != NULL;
}

/* Takes it off the list: the one with that aid, or any that is over (0). */
static mp_thread *unlist(mp_runtime *rt, mp_aid aid)
{
	mp_thread **at, *t;
	mp_fds_lock(&rt->shm);
	for (at = &rt->threads->list; (t = *at) != NULL; at = &t->next)
		if (aid ? t->aid == aid : atomic_load(&t->over) != 0)
			break;
	if (t)
		*at = t->next;
	mp_fds_unlock(&rt->shm);
	return t;
}

/* It is over, or a few instructions from it. */
static void bury(mp_thread *t)
{
	if (!t)
		return;
	pthread_join(t->id, NULL);
	free(t);
}

void mp_threads_reap(mp_runtime *rt)
{
	mp_thread *t;
	while ((t = unlist(rt, 0)) != NULL)
		bury(t);
}

bool mp_threads_any(mp_runtime *rt)
{
	bool any = rt->thread != NULL;
	mp_fds_lock(&rt->shm);
	for (mp_thread *t = rt->threads->list; t && !any; t = t->next)
		any = !atomic_load(&t->over);
	mp_fds_unlock(&rt->shm);
	return any;
}

/* ---- in the thread ------------------------------------------------------------- */

void mp_thread_status(mp_runtime *rt, int status)
{
	rt->thread->status = status;
}

/* Who has a lock still leaves that to a sweep, as one that was killed. */
static void leave(mp_thread *t)
{
	mp_runtime *rt = &t->rt;
	mp_self *me = &rt->self;
	mp_shm *s = &rt->shm;
	mp_process *p;
	bool held;
	mp_commands_kill(rt);
	mp_queue_desert(me);
	mp_obj_leave(me);
	mp_stdio_flush();  /* may take its time */
	mp_fds_lock(s);
	mp_stdio_close(t->stream);
	t->stream = NULL;
	mp_runtime_close_fds(rt);
	mp_fds_unlock(s);
	mp_stdio_actor(NULL);
	p = mp_process_hold(me, t->h, &held);
	if (p)
		atomic_store(&p->leaving, MP_STATUS_KNOWN | ((uint32_t)t->status & 0xffff));
	atomic_fetch_sub(&s->h->awake, 1);
	atomic_store(&me->slot->asleep, 1);
	MP_CRASHPOINT("thread.leaving");
	if (rt->unclean || me->held) {
		mp_slot_kill(s, me->aid);
		mp_wake_keeper(s);
	} else {
		if (p)
			mp_process_ended(me, p, t->status);
		mp_obj_forget(me, me->aid);
		MP_CRASHPOINT("thread.forgotten");
		mp_slot_leave(s, me->aid);
	}
	mp_leases_free(me);
	mp_works_free(me);
	free(rt->children);
	free(rt->sentinels);
}

/* The last touch: who sees it over may free it, when the system has joined it. */
static void *thread_main(void *arg)
{
	mp_thread *t = arg;
	struct mp_threads *all = t->rt.threads;
	mp_process *p = mp_process_body(&t->rt.shm, t->h);
	sigset_t poke;
	mine = &t->rt;
	mp_runtime_hooks(&t->rt);
	atomic_store(&p->tid, (uint32_t)syscall(SYS_gettid));
	sigemptyset(&poke);
	sigaddset(&poke, all->poke);
	pthread_sigmask(SIG_UNBLOCK, &poke, NULL);
	t->run(&t->rt, t->arg);
	pthread_sigmask(SIG_BLOCK, &poke, NULL);
	mine = NULL;
	leave(t);
	atomic_store(&t->over, 1);
	atomic_fetch_add(&all->ends, 1);
	mp_futex_wake(&all->ends, INT_MAX);
	return NULL;
}

FILE *mp_thread_stdout(mp_runtime *rt)
{
	FILE *f = NULL;
	mp_fds_lock(&rt->shm);
	rt->thread->stream = mp_stdio_open(&f);
	mp_fds_unlock(&rt->shm);
	return f;
}

/* ---- starting -------------------------------------------------------------------- */

/* Its view: the same mapping, and nothing of its creator's. */
static mp_thread *new_thread(mp_runtime *rt, mp_process *p)
{
	mp_thread *t = calloc(1, sizeof *t);
	if (!t)
		return NULL;
	t->rt.shm = rt->shm;
	t->rt.pid = rt->pid;
	t->rt.forks = rt->forks;
	t->rt.process = rt->process;
	t->rt.threads = rt->threads;
	t->rt.thread = t;
	t->rt.orphans[0] = t->rt.orphans[1] = -1;
	t->h = p->self;
	t->daemon = atomic_load(&p->daemon);
	t->starter = rt->self.aid;
	return t;
}

/* The new thread holds its own object and its process's; what it is given, the
 * messages list. The slot is entered for it: from now on its death is seen as
 * the process's. */
static bool enter(mp_runtime *rt, mp_thread *t, mp_process *p)
{
	mp_shm *s = &rt->shm;
	uint64_t born = atomic_load(&rt->self.slot->starttime);
	mp_obj_hold_for(s, t->h, t->aid);
	mp_obj_hold_for(s, rt->process, t->aid);
	atomic_store(&mp_slot_of(s, t->aid)->starttime, born);
	if (!mp_slot_enter(s, t->aid, &t->rt.self))
		return false;
	MP_CRASHPOINT("thread.entered");
	t->rt.self.shm = &t->rt.shm;
	atomic_store(&p->starttime, born);
	atomic_store(&p->pid, (uint32_t)rt->pid);
	atomic_store(&p->poke, (uint32_t)rt->threads->poke);
	return true;
}

/* All signals are blocked in it from its first instruction on. */
static int create(mp_runtime *rt, mp_thread *t)
{
	sigset_t all, before;
	int rc;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	mp_fds_lock(&rt->shm);
	if (!rt->thread)
		rt->threads->mask = before;
	rc = pthread_create(&t->id, NULL, thread_main, t);
	if (rc == 0) {
		t->next = rt->threads->list;
		rt->threads->list = t;
	}
	mp_fds_unlock(&rt->shm);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -rc;
}

static bool has_signal(mp_runtime *rt)
{
	mp_fds_lock(&rt->shm);
	if (!rt->threads->poke)
		rt->threads->poke = choose_signal();
	mp_fds_unlock(&rt->shm);
	return rt->threads->poke != 0;
}

/* Nobody sees the slot any more but as one of an actor that holds nothing. */
static void undo(mp_runtime *rt, mp_process *p, mp_aid aid)
{
	mp_shm *s = &rt->shm;
	if (mp_slot_phase(s, aid) == MP_SLOT_LIVE) {
		atomic_fetch_sub(&s->h->awake, 1);
		mp_obj_forget(&rt->self, aid);
		mp_slot_leave(s, aid);
	}
	atomic_store(&p->pid, 0);
	mp_start_undo(rt, p, aid);
}

int mp_thread_start(mp_runtime *rt, mp_handle h, void (*run)(mp_runtime *rt, void *arg),
                    void *arg, const char **why)
{
	mp_process *p = mp_process_body(&rt->shm, h);
	mp_thread *t;
	int rc = mp_start_claim(rt, p, why);
	if (rc)
		return rc;
	mp_threads_reap(rt);
	if (!has_signal(rt))
		return mp_start_refuse(p, -EBUSY, why, "no real-time signal is left for threads");
	t = new_thread(rt, p);
	if (!t)
		return mp_start_refuse(p, -ENOMEM, why, "not enough memory");
	t->run = run;
	t->arg = arg;
	t->aid = mp_start_prepare(rt, p, MP_KIND_THREAD, why);
	if (!t->aid) {
		free(t);
		return -EAGAIN;
	}
	*why = "the runtime is ending";
	rc = enter(rt, t, p) && !atomic_load(&rt->shm.h->closing) ? 0 : -ESHUTDOWN;
	if (rc == 0) {
		*why = "cannot start a thread: not enough memory, or too many (RLIMIT_NPROC, "
		       "ulimit -u, or the cgroup's pids.max)";
		rc = create(rt, t);
	}
	if (rc) {
		undo(rt, p, t->aid);
		free(t);
	}
	return rc;
}

/* ---- ending them ------------------------------------------------------------------- */

static int join(mp_runtime *rt, known k, int64_t deadline)
{
	bool held;
	mp_process *p = mp_process_hold(&rt->self, k.h, &held);
	int rc = MP_OK;
	if (p) {
		rc = mp_process_join(rt, &rt->self, p, deadline);
		mp_process_unhold(&rt->self, k.h, held);
	}
	if (rc == MP_OK)
		bury(unlist(rt, k.aid));
	return rc;
}

int mp_threads_join(mp_runtime *rt)
{
	known k;
	int rc = MP_OK;
	while (rc == MP_OK && find(rt, false, &k))
		rc = join(rt, k, MP_FOREVER);
	return rc;
}

/* Asks those for which which() holds; signals them, once more if need be. */
static void ask_all(mp_runtime *rt, bool (*which)(const mp_runtime *rt, const mp_thread *t))
{
	mp_fds_lock(&rt->shm);
	for (mp_thread *t = rt->threads->list; t; t = t->next) {
		if (t == rt->thread || !which(rt, t) || atomic_load(&t->over))
			continue;
		ask(&rt->shm, t->aid, SIGTERM);
		pthread_kill(t->id, rt->threads->poke);
	}
	mp_fds_unlock(&rt->shm);
}

static bool my_daemon(const mp_runtime *rt, const mp_thread *t)
{
	return t->daemon && is_mine(rt, t);
}

/* One that is not over by then is left behind: nobody's, but the process's. */
static void leave_behind(mp_runtime *rt, mp_aid aid)
{
	mp_fds_lock(&rt->shm);
	for (mp_thread *t = rt->threads->list; t; t = t->next)
		if (t->aid == aid)
			t->starter = MP_AID_MASK;
	mp_fds_unlock(&rt->shm);
}

void mp_threads_end_daemons(mp_runtime *rt)
{
	int64_t until = mp_deadline(MP_GRACE);
	known k;
	while (find(rt, true, &k)) {
		ask_all(rt, my_daemon);
		if (join(rt, k, mp_now() + AGAIN) != MP_OK && mp_now() >= until)
			leave_behind(rt, k.aid);
	}
}

static bool every(const mp_runtime *rt, const mp_thread *t)
{
	(void)rt;
	(void)t;
	return true;
}

bool mp_threads_stop(mp_runtime *rt, double grace)
{
	struct mp_threads *all = rt->threads;
	int64_t until = mp_deadline(grace);
	for (;;) {
		uint32_t seen = atomic_load(&all->ends);
		mp_threads_reap(rt);
		if (!mp_threads_any(rt))
			return true;
		if (mp_now() >= until)
			return false;
		ask_all(rt, every);
		mp_futex_wait(&all->ends, seen, mp_now() + AGAIN);
	}
}

/* ---- what a thread leaves to the process ---------------------------------------------- */

static void adopt_slot(mp_runtime *rt, mp_aid aid, mp_aid to)
{
	uint32_t from = rt->self.aid;
	atomic_compare_exchange_strong(&mp_slot_of(&rt->shm, aid)->parent, &from, to);
}

static void hand_over_children(mp_runtime *rt)
{
	struct mp_threads *all = rt->threads;
	uint32_t n = all->norphans + rt->nchildren;
	mp_child *more = n ? realloc(all->orphans, n * sizeof *more) : NULL;
	if (!more)
		return;  /* they stay zombies until the process ends */
	all->orphans = more;
	for (uint32_t i = 0; i < rt->nchildren; i++) {
		adopt_slot(rt, rt->children[i].aid, all->first->self.aid);
		more[all->norphans++] = rt->children[i];
	}
	rt->nchildren = 0;
}

void mp_threads_hand_over(mp_runtime *rt)
{
	struct mp_threads *all = rt->threads;
	mp_fds_lock(&rt->shm);
	hand_over_children(rt);
	for (mp_thread *t = all->list; t; t = t->next)
		if (t->starter == rt->self.aid && !t->daemon) {
			adopt_slot(rt, t->aid, all->first->self.aid);
			t->starter = 0;
		}
	mp_fds_unlock(&rt->shm);
}

void mp_threads_adopt(mp_runtime *rt)
{
	struct mp_threads *all = rt->threads;
	mp_child *c;
	if (rt->thread || !all->norphans)
		return;
	mp_fds_lock(&rt->shm);
	c = realloc(rt->children, (rt->nchildren + all->norphans) * sizeof *c);
	if (c) {
		memcpy(c + rt->nchildren, all->orphans, all->norphans * sizeof *c);
		rt->children = c;
		rt->nchildren += all->norphans;
		rt->children_cap = rt->nchildren;
		all->norphans = 0;
	}
	mp_fds_unlock(&rt->shm);
}

/* ---- after a fork ------------------------------------------------------------------------ */


/* Called with the lock held, which the fork kept. */
void mp_threads_forked(mp_runtime *rt)
{
	struct mp_threads *all = rt->threads;
	if (all->first != rt) {
		mp_runtime_close_fds(all->first);
		mp_stdio_purge(NULL);
	}
	for (mp_thread *t = all->list; t; t = t->next) {
		if (t == rt->thread || atomic_load(&t->over))
			continue;
		mp_runtime_close_fds(&t->rt);
		if (t->stream)
			mp_stdio_purge(t->stream);
	}
	for (uint32_t i = 0; i < all->norphans; i++)
		if (all->orphans[i].fd >= 0)
			close(all->orphans[i].fd);
	all->norphans = 0;
	all->list = NULL;
	all->first = rt;
	all->signals = 0;
	rt->thread = NULL;
	mine = NULL;
}
