/* process: the object; see process.h. Starting is in start.c, waiting and
 * ending in join.c.
 *
 * SPDX-License-Identifier: MIT */
#include "thread.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "../base/crash.h"
#include "../base/pid.h"

struct maker {
	const char *name;
	bool daemon, thread;
	mp_aid parent;
	mp_handle creator;         /* process or thread: it counts the names */
	mp_handle process;
};

mp_process *mp_process_body(const mp_shm *s, mp_handle h)
{
	return mp_obj_body(s, h, MP_T_PROCESS);
}

mp_process *mp_process_hold(mp_self *me, mp_handle h, bool *held)
{
	*held = mp_obj_held(me->shm, h, me->aid);
	if (!*held && mp_obj_hold(me, h) != MP_OK)
		return NULL;
	return mp_process_body(me->shm, h);
}

void mp_process_unhold(mp_self *me, mp_handle h, bool held)
{
	if (!held)
		mp_obj_drop(me, h);
}

mp_handle mp_process_of(const mp_self *me)
{
	mp_handle h = atomic_load(&me->slot->process);
	const mp_process *p = mp_process_body(me->shm, h);
	return p && atomic_load(&p->thread) ? p->creator : h;
}

/* A long path of counters keeps its beginning: it is only a name. */
static void number(mp_process *p, mp_process *creator, bool thread)
{
	unsigned n;
	if (!creator)
		return;
	n = atomic_fetch_add(thread ? &creator->threads : &creator->children, 1) + 1;
	snprintf(p->identity, sizeof p->identity, "%.50s%s%u",
	         creator->identity, creator->identity[0] ? ":" : "", n);
}

void mp_process_rename(mp_process *p, const char *name)
{
	snprintf(p->name, sizeof p->name, "%s", name);
}

static int init(mp_self *me, void *body, void *arg)
{
	mp_process *p = body;
	const struct maker *m = arg;
	number(p, mp_process_body(me->shm, m->creator), m->thread);
	if (m->name)
		mp_process_rename(p, m->name);
	else
		snprintf(p->name, sizeof p->name, "%s-%s", m->thread ? "Thread" : "Process",
		         p->identity);
	p->daemon = m->daemon;
	p->thread = m->thread;
	p->parent = m->parent;
	p->creator = m->process;
	return 0;
}

static int create(mp_self *me, struct maker *m, mp_handle *h)
{
	int rc = mp_obj_create(me, MP_T_PROCESS, sizeof(mp_process), init, m, h);
	if (rc == 0)
		mp_process_body(me->shm, *h)->self = *h;
	return rc;
}

int mp_process_create(mp_self *me, const char *name, bool daemon, mp_handle *h)
{
	mp_handle own = mp_process_of(me);
	struct maker m = { name, daemon, false, me->aid, own, own };
	return create(me, &m, h);
}

int mp_thread_create(mp_self *me, const char *name, bool daemon, mp_handle *h)
{
	struct maker m = { name, daemon, true, me->aid, atomic_load(&me->slot->process),
	                   mp_process_of(me) };
	return create(me, &m, h);
}

bool mp_process_code(const mp_process *p, int *code)
{
	uint32_t st = atomic_load(&p->status);
	if (atomic_load(&p->state) != MP_P_ENDED || !(st & MP_STATUS_KNOWN))
		return false;
	*code = st & 0x7f ? -(int)(st & 0x7f) : (int)(st >> 8 & 0xff);
	return true;
}

/* ---- its end --------------------------------------------------------------- */

/* A thread ends as it says itself. Else its process's end, which is known
 * instead, has killed it. */
static int status_of_thread(const mp_process *p, int status)
{
	if (atomic_load(&p->leaving))
		return -1;
	return status < 0 || status & 0x7f ? status : SIGKILL;
}

void mp_process_ended(mp_self *me, mp_process *p, int status)
{
	if (atomic_load(&p->thread))
		status = status_of_thread(p, status);
	uint32_t known = status < 0 ? 0 : MP_STATUS_KNOWN | ((uint32_t)status & 0xffff);
	uint32_t none = 0, lost = MP_STATUS_LOST;
	/* What it said itself before it exited is the truth as well. */
	if (!known)
		known = atomic_load(&p->leaving);
	if (!known)
		known = MP_STATUS_LOST;
	if (!atomic_compare_exchange_strong(&p->status, &none, known))
		atomic_compare_exchange_strong(&p->status, &lost, known);
	MP_CRASHPOINT("process.status");
	if (atomic_exchange(&p->state, MP_P_ENDED) != MP_P_ENDED || (atomic_load(&p->ec) & 1)) {
		mp_ec_notify(&p->ec, INT_MAX);
		mp_obj_ring(me, p->self);
	}
}

/* What the threads of a dead process held is given back before anybody is
 * told of its end. */
static void bury_threads(mp_self *me, mp_aid process, int status)
{
	mp_shm *s = me->shm;
	const mp_slot *of = mp_slot_of(s, process);
	uint32_t high = atomic_load(&s->h->slots_high);
	if (mp_slot_phase(s, process) == MP_SLOT_FREE || atomic_load(&of->kind) != MP_KIND_PROCESS)
		return;
	for (uint32_t i = 1; i < high; i++) {
		mp_slot *sl = &s->slots[i];
		mp_aid aid = mp_slot_aid(s, i);
		if (mp_slot_phase(s, aid) != MP_SLOT_FREE && atomic_load(&sl->kind) == MP_KIND_THREAD &&
		    atomic_load(&sl->pid) == atomic_load(&of->pid) &&
		    atomic_load(&sl->starttime) == atomic_load(&of->starttime))
			mp_process_bury(me, aid, atomic_load(&sl->process), status);
	}
}

void mp_process_bury(mp_self *me, mp_aid aid, mp_handle h, int status)
{
	bool held;
	mp_process *p = h ? mp_process_hold(me, h, &held) : NULL;
	mp_slot_kill(me->shm, aid);
	bury_threads(me, aid, status);
	if (p && atomic_load(&p->aid) == aid && atomic_load(&p->state) != MP_P_NEW)
		mp_process_ended(me, p, status);
	if (p)
		mp_process_unhold(me, h, held);
	MP_CRASHPOINT("process.bury");
	mp_sweep(me, aid);
}

void mp_process_look(mp_self *me)
{
	mp_shm *s = me->shm;
	uint32_t high = atomic_load(&s->h->slots_high);
	for (uint32_t i = 1; i < high; i++) {
		mp_slot *sl = &s->slots[i];
		mp_aid aid = mp_slot_aid(s, i);
		mp_handle h = atomic_load(&sl->process);
		pid_t pid = (pid_t)atomic_load(&sl->pid);
		uint64_t born = atomic_load(&sl->starttime);
		if (aid == me->aid || mp_slot_phase(s, aid) == MP_SLOT_FREE || !mp_probe(s, aid))
			continue;
		mp_process_bury(me, aid, h, pid ? mp_zombie_status(pid, born) : -1);
	}
}

/* ---- the object's part in a sweep ------------------------------------------- */

/* A creator died between reserve and the child's first step: that child will
 * not come to life, so its joiners must not wait for it. */
static void never_born(mp_self *me, mp_process *p, mp_aid child)
{
	mp_shm *s = me->shm;
	/* With a pid in it, it was forked: it enters, or is found dead. */
	if (mp_slot_phase(s, child) != MP_SLOT_RESERVED || !mp_slot_set_pid(s, child, MP_NOBODY))
		return;
	mp_process_ended(me, p, -1);
	mp_obj_forget(me, child);  /* may free p */
	mp_slot_kill(s, child);
	mp_slot_cancel(s, child);
}

static void release(mp_self *me, void *body, mp_aid dead)
{
	mp_process *p = body;
	uint32_t aid = atomic_load(&p->aid), starter = dead;
	if (atomic_load(&p->state) == MP_P_NEW)
		atomic_compare_exchange_strong(&p->starter, &starter, 0);
	if (atomic_load(&p->state) != MP_P_STARTED)
		return;
	if (aid == dead)
		mp_process_ended(me, p, mp_zombie_status((pid_t)atomic_load(&p->pid),
		                                         atomic_load(&p->starttime)));
	else if (atomic_load(&p->parent) == dead)
		never_born(me, p, aid);
}

static void wake(mp_self *me, void *body)
{
	mp_process *p = body;
	(void)me;
	mp_ec_notify(&p->ec, INT_MAX);
}

static void destroy(mp_self *me, void *body)
{
	mp_process *p = body;
	mp_stored_free(me, &p->result);
	mp_stored_free(me, &p->error);
	mp_stored_free(me, &p->given[0]);
	mp_stored_free(me, &p->given[1]);
}

static void contents(mp_self *me, void *body, void (*mark)(void *ud, mp_handle h), void *ud)
{
	mp_process *p = body;
	mp_stored_mark(me->shm, &p->result, mark, ud);
	mp_stored_mark(me->shm, &p->error, mark, ud);
	mp_stored_mark(me->shm, &p->given[0], mark, ud);
	mp_stored_mark(me->shm, &p->given[1], mark, ud);
}

static mp_word *readiness(void *body)
{
	return &((mp_process *)body)->ec;
}

static bool ready(mp_self *me, void *body)
{
	(void)me;
	return atomic_load(&((mp_process *)body)->state) == MP_P_ENDED;
}

/* A joiner: only the joined one can end that. One that is dead already, or
 * only starting, ends it soon. */
static bool stuck(const mp_shm *s, void *body, mp_aid waiter, uint32_t what, mp_aid *on)
{
	mp_process *p = body;
	(void)waiter;
	*on = atomic_load(&p->aid);
	return what == MP_W_JOIN && atomic_load(&p->state) == MP_P_STARTED &&
	       mp_slot_phase(s, *on) == MP_SLOT_LIVE;
}

const mp_type_ops mp_process_ops = {
	.name = "Process",
	.release = release,
	.wake = wake,
	.destroy = destroy,
	.readiness = readiness,
	.ready = ready,
	.stuck = stuck,
	.contents = contents,
};
