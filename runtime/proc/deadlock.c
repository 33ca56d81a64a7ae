/* deadlock: see deadlock.h for the argument.
 *
 * SPDX-License-Identifier: MIT */
#include "deadlock.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../base/clock.h"
#include "../base/pid.h"

size_t mp_deadlock_size(const mp_shm *s)
{
	return sizeof(mp_deadlock) + s->h->nslots * sizeof(mp_stuck);
}

/* ---- who waits ------------------------------------------------------------------ */

/* Kinds of waits that only an actor can end. */
static bool known(uint32_t what, mp_handle object)
{
	switch (what) {
	case MP_W_LOCK: case MP_W_GET: case MP_W_PUT: case MP_W_JOIN:
	case MP_W_EVENT: case MP_W_COMMIT: case MP_W_QJOIN:
	case MP_W_SEMAPHORE: case MP_W_CONDITION: case MP_W_BARRIER:
	case MP_W_RECV: case MP_W_SEND:
		return object != 0;  /* else it is an internal one */
	default:
		return what == MP_W_ANY;
	}
}

bool mp_deadlock_waits(mp_slot *sl, int64_t now)
{
	mp_wait_record *r = &sl->wait;
	return known(atomic_load_explicit(&r->what, memory_order_acquire), atomic_load(&r->object)) &&
	       atomic_load(&r->deadline) == MP_FOREVER &&
	       now - atomic_load(&r->since) >= MP_STUCK_AFTER &&
	       !atomic_load(&sl->handlers);
}

/* WORKS: if it comes to wait for long, it tells the keeper. SOON: that is no
 * more than a moment's state, of which nobody will tell. */
enum { WORKS, SOON, WAITS };

/* By its record alone: does it wait so that it may be stuck? */
static int state_of(const mp_self *me, mp_slot *sl, mp_aid aid, int64_t now, mp_stuck *st)
{
	int64_t signalled = atomic_load(&sl->signalled);
	mp_wait_record *r = &sl->wait;
	*st = (mp_stuck){ .aid = aid };
	st->since = atomic_load(&r->since);
	st->object = atomic_load(&r->object);
	st->what = atomic_load_explicit(&r->what, memory_order_acquire);
	if (mp_slot_phase(me->shm, aid) != MP_SLOT_LIVE)
		return SOON;
	if (!mp_deadlock_waits(sl, now))
		return WORKS;
	if ((signalled && now - signalled < MP_SIGNAL_LASTS) ||
	    (!atomic_load(&sl->asleep) && aid != me->aid))
		return SOON;
	return WAITS;
}

/* The record has not changed while the rest was read. */
static bool still(mp_slot *sl, const mp_stuck *st)
{
	return atomic_load(&sl->wait.what) == st->what &&
	       atomic_load(&sl->wait.since) == st->since &&
	       atomic_load(&sl->wait.object) == st->object;
}

/* Notes those who wait; false: somebody does not. */
static bool collect(mp_self *me, mp_deadlock *d)
{
	mp_shm *s = me->shm;
	uint32_t high = atomic_load(&s->h->slots_high);
	int64_t now = mp_now();
	bool all = true;
	d->n = 0;
	d->again = false;
	for (uint32_t i = 1; i < high; i++) {
		mp_slot *sl = &s->slots[i];
		mp_aid aid = mp_slot_aid(s, i);
		if (mp_slot_phase(s, aid) == MP_SLOT_FREE || atomic_load(&sl->kind) == MP_KIND_KEEPER)
			continue;
		switch (state_of(me, sl, aid, now, &d->who[d->n])) {
		case WAITS:
			d->n++;
			break;
		case SOON:
			d->again = true;
			/* fall through */
		default:
			all = false;
		}
	}
	return all;
}

/* Of these `on` is the one who could end it, whoever else works: a lock's
 * owner, a joined process, the only one that has a pipe's other end. */
static bool binds(uint32_t what)
{
	return what == MP_W_LOCK || what == MP_W_JOIN || what == MP_W_RECV || what == MP_W_SEND;
}

/* Asks the object. */
static bool stuck(mp_self *me, mp_stuck *st)
{
	bool is = st->what == MP_W_ANY
	          ? mp_obj_none_ready(me, st->aid)
	          : mp_obj_stuck(me, st->object, st->aid, st->what, &st->on);
	if (is && st->on && mp_slot_phase(me->shm, st->on) != MP_SLOT_LIVE)
		is = false;  /* it died: a sweep will tell the waiter */
	return is && still(mp_slot_of(me->shm, st->aid), st);
}

/* Keeps those who are stuck; what matters to a circle only, unless all. */
static bool ask(mp_self *me, mp_deadlock *d, bool all)
{
	uint32_t kept = 0;
	for (uint32_t i = 0; i < d->n; i++) {
		mp_stuck st = d->who[i];
		if (!all && !binds(st.what))
			continue;
		if (stuck(me, &st)) {
			d->who[kept++] = st;
		} else {
			d->again = true;
			all = false;
		}
	}
	d->n = kept;
	return all && kept > 0;
}

/* ---- circles -------------------------------------------------------------------- */

/* They are in the order of their slots. */
static mp_stuck *find(mp_deadlock *d, mp_aid aid)
{
	uint32_t lo = 0, hi = d->n;
	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;
		if (mp_aid_slot(d->who[mid].aid) < mp_aid_slot(aid))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < d->n && d->who[lo].aid == aid ? &d->who[lo] : NULL;
}

static mp_stuck *next(mp_deadlock *d, const mp_stuck *st)
{
	return st->on && binds(st->what) ? find(d, st->on) : NULL;
}

/* Does the way from st lead back to it? Everybody has one way at most; it may
 * end in a circle without st: no longer than all of them. */
static bool in_circle(mp_deadlock *d, const mp_stuck *st)
{
	const mp_stuck *at = next(d, st);
	for (uint32_t i = 0; at && at != st && i < d->n; i++)
		at = next(d, at);
	return at == st;
}

/* Keeps the members of circles, if there are any. */
static bool keep_circles(mp_deadlock *d)
{
	uint32_t kept = 0, n = 0;
	for (uint32_t i = 0; i < d->n; i++)
		n += d->who[i].in_circle = in_circle(d, &d->who[i]);
	for (uint32_t i = 0; n && i < d->n; i++)
		if (d->who[i].in_circle)
			d->who[kept++] = d->who[i];
	if (n)
		d->n = kept;
	return n > 0;
}

/* ---- a look --------------------------------------------------------------------- */

static uint64_t mix(uint64_t hash, uint64_t v)
{
	return (hash ^ v) * UINT64_C(1099511628211);
}

bool mp_deadlock_look(mp_self *me, mp_deadlock *d)
{
	uint64_t hash = UINT64_C(14695981039346656037);
	bool all = ask(me, d, collect(me, d));
	d->all = !keep_circles(d);
	if (d->all && !all)
		return false;
	for (uint32_t i = 0; i < d->n; i++)
		hash = mix(mix(mix(hash, d->who[i].aid), (uint64_t)d->who[i].since), d->who[i].object);
	d->mark = hash ? hash : 1;
	return true;
}

/* Threads of a process: /proc/PID/task has a link for each, and two more.
 * Where that cannot be read there may be any number. */
static bool has_others(const mp_shm *s, uint32_t pid)
{
	char path[32] = "/proc/", digits[12], *p = digits + sizeof digits - 1;
	struct stat st;
	uint32_t known = 0, high = atomic_load(&s->h->slots_high);
	*p = 0;
	for (uint32_t v = pid; v > 0; v /= 10)
		*--p = (char)('0' + v % 10);
	strcat(strcat(path, p), "/task");
	for (uint32_t i = 1; i < high; i++)
		known += (atomic_load(&s->slots[i].state) & 0xffff) == MP_SLOT_LIVE &&
		         atomic_load(&s->slots[i].pid) == pid;
	return stat(path, &st) != 0 || st.st_nlink < 3 || st.st_nlink - 2 > known;
}

bool mp_deadlock_sure(const mp_shm *s, const mp_deadlock *d)
{
	for (uint32_t i = 0; i < d->n; i++) {
		mp_slot *sl = mp_slot_of(s, d->who[i].aid);
		uint32_t pid = atomic_load(&sl->pid);
		if (mp_slot_phase(s, d->who[i].aid) != MP_SLOT_LIVE ||
		    mp_pid_dead((pid_t)pid, atomic_load(&sl->starttime)) || has_others(s, pid))
			return false;
	}
	return true;
}

/* ---- the owner's part ------------------------------------------------------------ */

/* The same again only after a while: it was reported, and the script went on. */
static bool too_soon(const mp_runtime *rt, uint64_t mark)
{
	mp_wait_record *r = &rt->self.slot->wait;
	return mark == atomic_load(&rt->shm.h->told) && !rt->ending &&
	       (atomic_load(&r->what) == MP_W_NONE ||
	        mp_now() - atomic_load(&r->since) < MP_STUCK_AFTER);
}

bool mp_deadlock_found(mp_runtime *rt)
{
	uint64_t mark = atomic_load_explicit(&rt->shm.h->deadlock, memory_order_relaxed);
	mp_deadlock *d;
	if (rt->deadlock || !mark || !rt->owner || rt->closing || too_soon(rt, mark))
		return rt->deadlock != NULL;
	d = malloc(mp_deadlock_size(&rt->shm));
	if (d && mp_deadlock_look(&rt->self, d) && d->mark == mark &&
	    mp_deadlock_sure(&rt->shm, d)) {
		rt->deadlock = mp_deadlock_text(&rt->shm, d);
		if (rt->deadlock)
			atomic_store(&rt->shm.h->told, mark);
	}
	free(d);
	return rt->deadlock != NULL;
}

char *mp_deadlock_take(mp_runtime *rt)
{
	char *text = rt->deadlock;
	rt->deadlock = NULL;
	return text;
}
