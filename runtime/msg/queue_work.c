/* queue_work: items of a JoinableQueue that an actor has in work, and waiting
 * until all are finished; see queue.h.
 *
 * The truth is in the cells (LEASED|aid): the sweep gives back what a dead one
 * had by that alone. me->works only tells which item is the oldest. Its queues
 * are handles, for one may be destroyed while something of it is in work.
 *
 * Crash: killed before DONE, the item goes back; after it, it is finished, and
 * who steals the head latch counts it.
 *
 * SPDX-License-Identifier: MIT */
#include "queue_body.h"

#include <stdlib.h>
#include <string.h>

#include "../base/crash.h"

/* ---- the list ---------------------------------------------------------------- */

static mp_work *work_of(const mp_self *me, const mp_queue *q)
{
	for (uint32_t i = 0; i < me->nworks; i++)
		if (me->works[i].queue == q->self)
			return &me->works[i];
	return NULL;
}

uint32_t mp_queue_in_work(const mp_self *me, const mp_queue *q)
{
	const mp_work *w = work_of(me, q);
	return w ? w->n : 0;
}

/* Of queues that are gone nothing is left to be finished. */
static void forget_gone(mp_self *me)
{
	for (uint32_t i = me->nworks; i-- > 0;) {
		mp_work *w = &me->works[i];
		if (mp_queue_body(me->shm, w->queue))
			continue;
		me->held -= w->n;
		free(w->items);
		*w = me->works[--me->nworks];
	}
}

static mp_work *new_work(mp_self *me, const mp_queue *q)
{
	mp_work *all;
	forget_gone(me);
	all = realloc(me->works, (me->nworks + 1) * sizeof *all);
	if (!all)
		return NULL;
	me->works = all;
	all[me->nworks] = (mp_work){ .queue = q->self };
	return &all[me->nworks++];
}

bool mp_work_room(mp_self *me, const mp_queue *q, uint32_t n)
{
	mp_work *w = work_of(me, q);
	uint32_t cap;
	mp_lease *items;
	if (!w && !(w = new_work(me, q)))
		return false;
	if (w->first + w->n + n <= w->cap)
		return true;
	if (w->first && w->n)
		memmove(w->items, w->items + w->first, w->n * sizeof *items);
	w->first = 0;
	if ((w->n + n) * 2 <= w->cap)  /* else it would be moved too often */
		return true;
	cap = (w->n + n) * 4;
	items = realloc(w->items, cap * sizeof *items);
	if (!items)
		return w->n + n <= w->cap;
	w->items = items;
	w->cap = cap;
	return true;
}

void mp_work_add(mp_self *me, const mp_queue *q, const mp_lease *l)
{
	mp_work *w = work_of(me, q);
	w->items[w->first + w->n++] = *l;
	me->held++;
}

void mp_works_free(mp_self *me)
{
	for (uint32_t i = 0; i < me->nworks; i++)
		free(me->works[i].items);
	free(me->works);
	me->works = NULL;
	me->nworks = 0;
}

/* ---- finishing --------------------------------------------------------------- */

void mp_queue_told_done(mp_self *me, mp_queue *q)
{
	uint32_t closed = atomic_load(&q->closed);
	mp_ec_fence();
	/* The producers' line is read only if somebody waits. */
	if (atomic_load_explicit(&q->joiners, memory_order_relaxed) & 1 && mp_queue_finished(q))
		mp_ec_notify(&q->joiners, INT_MAX);
	if (closed && mp_queue_final(q, closed))
		mp_queue_published(me, q, INT_MAX);
}

int mp_queue_task_done(mp_self *me, mp_queue *q)
{
	mp_work *w = work_of(me, q);
	mp_lease l;
	if (!w || !w->n)
		return -EPERM;
	l = w->items[w->first];
	mp_queue_lock_head(me, q);
	if (l.block)
		mp_take(me, l.block);
	MP_CRASHPOINT("done.before");
	mp_cell_done(mp_at(me->shm, l.cell));
	MP_CRASHPOINT("done.done");
	mp_queue_count_done(q, mp_at(me->shm, l.seg));
	mp_queue_retire(me, q);
	mp_unlatch(me, &q->head_latch);
	w->first++;
	if (--w->n == 0)
		w->first = 0;
	me->held--;
	mp_queue_told_done(me, q);
	if (l.block)
		mp_free(me, l.block);
	return MP_OK;
}

/* ---- joining ----------------------------------------------------------------- */

static bool finished(void *arg)
{
	return mp_queue_finished(arg);
}

int mp_queue_join(mp_self *me, mp_queue *q, int64_t deadline)
{
	mp_wait as = { MP_W_QJOIN, q->self, &q->head_latch, false };
	if (deadline == MP_FOREVER && mp_queue_in_work(me, q))
		return -EDEADLK;
	for (;;) {
		mp_queue_stat st;
		int rc;
		mp_queue_stats(me, q, &st);
		if (!st.waiting && !st.leased)
			return MP_OK;
		if (deadline == 0)
			return MP_TIMEOUT;
		rc = mp_ec_wait(me, &q->joiners, finished, q, deadline, &as);
		if (rc == MP_ABANDONED) {  /* it died with its counts half done */
			mp_queue_lock_head(me, q);
			mp_unlatch(me, &q->head_latch);
		} else if (rc != MP_OK) {
			return rc;
		}
	}
}
