/* queue_get: taking messages, for good or on lease; see queue.h.
 *
 * SPDX-License-Identifier: MIT */
#include "queue_body.h"

#include <stdlib.h>
#include <string.h>

#include "../base/crash.h"

#define MANY 128  /* leases for which room is made without a look */

void mp_queue_count_done(mp_queue *q, mp_seg *seg)
{
	if (++seg->ndone == MP_CELLS)
		q->full = 1;
	atomic_store_explicit(&q->ndone, atomic_load_explicit(&q->ndone, memory_order_relaxed) + 1,
	                      memory_order_relaxed);
}

void mp_queue_count_taken(mp_queue *q)
{
	atomic_store_explicit(&q->taken, atomic_load_explicit(&q->taken, memory_order_relaxed) + 1,
	                      memory_order_relaxed);
}

void mp_queue_repair_head(mp_self *me, mp_queue *q)
{
	uint64_t off = atomic_load(&q->first), head = 0, head_seg = 0;
	uint64_t taken = mp_seg_at(me, off)->base, ndone = taken;
	bool end = false;
	while (!end) {
		mp_seg *seg = mp_seg_at(me, off);
		uint64_t next = atomic_load_explicit(&seg->next, memory_order_acquire);
		uint32_t i, here = 0;
		for (i = 0; i < MP_CELLS; i++) {
			unsigned st = mp_cell_state(&seg->cells[i]);
			if (!head_seg && (st == MP_CELL_READY || st == MP_CELL_EMPTY)) {
				head_seg = off;
				head = seg->base + i;
			}
			if (st == MP_CELL_EMPTY)
				break;
			taken += st != MP_CELL_READY;
			here += st == MP_CELL_DONE;
		}
		seg->ndone = here;
		ndone += here;
		end = i < MP_CELLS || !next;
		if (end && !head_seg) {
			head_seg = off;
			head = seg->base + MP_CELLS;
		}
		if (!end) {  /* those between that are all done are gone already */
			uint64_t gap = mp_seg_at(me, next)->base - seg->base - MP_CELLS;
			taken += gap;
			ndone += gap;
		}
		off = next;
	}
	q->full = 1;  /* one may be: look */
	atomic_store(&q->taken, taken);
	atomic_store(&q->ndone, ndone);
	atomic_store(&q->head_seg, head_seg);
	atomic_store(&q->head, head);
	MP_CRASHPOINT("head.repaired");
}

static uint64_t head_moves(mp_queue *q)
{
	uint64_t head = atomic_load_explicit(&q->head, memory_order_relaxed) + 1;
	atomic_store_explicit(&q->head, head, memory_order_release);
	return head;
}

mp_cell *mp_queue_first(mp_self *me, mp_queue *q, mp_seg **seg)
{
	for (;;) {
		uint64_t i, next;
		unsigned st;
		*seg = mp_seg_at(me, atomic_load_explicit(&q->head_seg, memory_order_relaxed));
		i = atomic_load_explicit(&q->head, memory_order_relaxed) - (*seg)->base;
		if (i == MP_CELLS) {
			next = atomic_load_explicit(&(*seg)->next, memory_order_acquire);
			if (!next)
				return NULL;
			atomic_store_explicit(&q->head, mp_seg_at(me, next)->base, memory_order_release);
			atomic_store_explicit(&q->head_seg, next, memory_order_release);
			continue;
		}
		st = mp_cell_state(&(*seg)->cells[i]);
		if (st == MP_CELL_READY)
			return &(*seg)->cells[i];
		if (st == MP_CELL_EMPTY)
			return NULL;
		head_moves(q);  /* others': behind it something came back */
	}
}

void mp_queue_lock_head(mp_self *me, mp_queue *q)
{
	if (mp_latch_hold(me, &q->head_latch) == MP_ABANDONED) {
		mp_queue_repair_head(me, q);
		mp_queue_retire(me, q);
		mp_ec_notify(&q->putters, INT_MAX);
		mp_ec_notify(&q->joiners, INT_MAX);
	}
}

/* Whoever fills a flow's link is woken when little waits in it: woken for each
 * place it would fill that and sleep again, a switch for every item. What waits
 * there is taken, and so done, so that time comes. */
static bool worth_waking(const mp_queue *q)
{
	uint32_t kind = q->flags & (MP_Q_COUNT_LEASED | MP_Q_TASKS | MP_Q_RESULTS);
	if (kind != MP_Q_COUNT_LEASED)
		return true;
	return (atomic_load_explicit(&q->tail, memory_order_relaxed)
	        - atomic_load_explicit(&q->taken, memory_order_relaxed)) * 4 <= q->capacity;
}

void mp_queue_roomier(mp_self *me, mp_queue *q, uint32_t n)
{
	(void)me;
	if (q->capacity && worth_waking(q))
		mp_ec_notify(&q->putters, (int)n);
}

/* head latched: the message of a cell, where it lies. */
static void describe(mp_self *me, const mp_cell *c, mp_in *in, bool copy)
{
	uint64_t block = mp_cell_block(c);
	uint32_t skip;
	in->label = c->label;
	in->tries = c->tries;
	in->flags = c->flags;
	in->block = block;
	in->leased = false;
	if (block) {
		in->data = mp_at(me->shm, block);
	} else if (copy) {
		memcpy(in->copy, c->data, MP_INLINE);
		in->data = in->copy;
	} else {
		in->data = c->data;
	}
	skip = mp_message_handles(in->data, c->len, c->flags, &in->handles, &in->nhandles);
	in->data += skip;
	in->len = c->len - skip;
}

/* head latched: READY -> DONE. Handles are held before the message goes. */
static void consume(mp_self *me, mp_queue *q, mp_seg *seg, mp_cell *c, mp_in *in)
{
	if (c->tries < UINT8_MAX)
		c->tries++;
	describe(me, c, in, true);
	for (uint32_t i = 0; i < in->nhandles; i++) {
		mp_handle h;
		memcpy(&h, &in->handles[i], sizeof h);
		mp_obj_hold(me, h);
	}
	if (in->block)
		mp_take(me, in->block);
	MP_CRASHPOINT("get.copied");
	mp_cell_done(c);
	MP_CRASHPOINT("get.done");
	mp_queue_count_taken(q);
	mp_queue_count_done(q, seg);
}

/* head latched: READY -> LEASED|me, of that kind. */
static mp_lease lend(mp_self *me, mp_queue *q, mp_seg *seg, mp_cell *c, unsigned kind)
{
	if (c->tries < UINT8_MAX)
		c->tries++;
	MP_CRASHPOINT("lease.counted");
	atomic_store_explicit(&c->state, mp_cell_word(kind, me->aid), memory_order_release);
	MP_CRASHPOINT("lease.leased");
	mp_queue_count_taken(q);
	return (mp_lease){
		.queue = mp_off(me->shm, q), .cell = mp_off(me->shm, c),
		.seg = mp_off(me->shm, seg), .block = mp_cell_block(c),
	};
}

/* Until the commit; it is described later, without the latch. */
static void borrow(mp_self *me, mp_queue *q, mp_seg *seg, mp_cell *c, mp_in *in)
{
	(void)in;
	mp_lease_add(me, lend(me, q, seg, c, MP_CELL_LEASED_TXN));
}

/* Until task_done. */
static void keep(mp_self *me, mp_queue *q, mp_seg *seg, mp_cell *c, mp_in *in)
{
	mp_lease l = lend(me, q, seg, c, MP_CELL_LEASED);
	mp_work_add(me, q, &l);
	describe(me, c, in, true);
	in->leased = true;
}

/* Nothing is there, and nothing can come any more; nobody waits for what it
 * has in work itself. */
static bool drained(const mp_self *me, const mp_queue *q, uint32_t closed)
{
	return closed && (mp_queue_final(q, closed) || mp_queue_leased_here(me, q));
}

typedef void take_fn(mp_self *, mp_queue *, mp_seg *, mp_cell *, mp_in *);

/* How to take, and what. */
struct taking {
	take_fn *take;
	mp_accept *accept;           /* NULL: everything */
	void *ud;
	bool alone;                  /* what was delivered before; the others in a row */
};

/* head latched: false: it is to be left where it is. */
static bool acceptable(mp_self *me, const struct taking *t, const mp_cell *c, mp_in *in)
{
	if (!t->accept)
		return true;
	describe(me, c, in, false);
	return t->accept(t->ud, in);
}

/* head latched: may the message at the head, c, be leased with the one before? */
static bool goes_along(const mp_queue *q, const mp_cell *c, uint64_t next)
{
	return !c->tries && atomic_load_explicit(&q->head, memory_order_relaxed) == next;
}

/* What is there, up to max. 0, MP_EMPTY, MP_CLOSED, MP_REFUSED. */
static int take_some(mp_self *me, mp_queue *q, mp_in *ins, uint32_t max, uint32_t *n,
                     const struct taking *t)
{
	/* Before the look: what was put before it closed is seen by the look. */
	uint32_t closed = atomic_load_explicit(&q->closed, memory_order_acquire);
	bool refused = false;
	uint64_t next = 0;
	mp_cell *c;
	mp_seg *seg;
	int rc;
	*n = 0;
	mp_queue_lock_head(me, q);
	while (*n < max && (c = mp_queue_first(me, q, &seg)) != NULL) {
		if (*n && t->alone && !goes_along(q, c, next))
			break;
		if ((refused = !acceptable(me, t, c, ins)))
			break;
		if (t->alone && c->tries)
			max = 1;
		t->take(me, q, seg, c, ins ? &ins[*n] : NULL);
		++*n;
		next = head_moves(q);
	}
	if (*n)
		mp_queue_retire(me, q);
	rc = *n ? MP_OK : refused ? MP_REFUSED : drained(me, q, closed) ? MP_CLOSED : MP_EMPTY;
	mp_unlatch(me, &q->head_latch);
	if (*n)
		mp_queue_roomier(me, q, *n);
	return rc;
}

struct watch {
	mp_self *me;
	mp_queue *q;
	enum { UNKNOWN, MINE, NONE } leases;  /* of q; they stay as they are while I wait */
};

static bool something(void *arg)
{
	struct watch *w = arg;
	if (mp_queue_ready(w->q, w->me->shm))
		return true;
	if (!atomic_load_explicit(&w->q->closed, memory_order_relaxed))
		return false;
	if (w->leases == UNKNOWN)
		w->leases = mp_queue_leased_here(w->me, w->q) ? MINE : NONE;
	return w->leases == MINE;
}

static int take(mp_self *me, mp_queue *q, mp_in *ins, uint32_t max,
                int64_t deadline, uint32_t *ngot, const struct taking *t)
{
	mp_wait as = { q->flags & MP_Q_PIPE ? MP_W_RECV : MP_W_GET, q->taker, &q->tail_latch, false };
	struct watch w = { me, q, UNKNOWN };
	for (;;) {
		int rc = take_some(me, q, ins, max, ngot, t);
		if (rc != MP_EMPTY || deadline == 0)
			return rc;
		rc = mp_ec_wait(me, &q->getters, something, &w, deadline, &as);
		if (rc == MP_ABANDONED) {
			/* A dead producer's committed group may lie there unseen. */
			mp_queue_lock_tail(me, q);
			mp_unlatch(me, &q->tail_latch);
		} else if (rc != MP_OK) {
			return rc;
		}
	}
}

int mp_queue_get(mp_self *me, mp_queue *q, mp_in *ins, uint32_t max,
                 int64_t deadline, uint32_t *ngot)
{
	static const struct taking all = { .take = consume }, working = { .take = keep };
	*ngot = 0;
	if (!(q->flags & MP_Q_JOINABLE))
		return take(me, q, ins, max, deadline, ngot, &all);
	if (!mp_work_room(me, q, max))
		return MP_NOMEM;
	return take(me, q, ins, max, deadline, ngot, &working);
}

int mp_queue_get_if(mp_self *me, mp_queue *q, mp_in *in, mp_accept *accept, void *ud,
                    int64_t deadline)
{
	struct taking some = { .take = consume, .accept = accept, .ud = ud };
	uint32_t n;
	int rc = take(me, q, in, 1, deadline, &n, &some);
	/* One that was woken for a message and leaves it wakes the next. */
	if (rc == MP_REFUSED)
		mp_queue_published(me, q, 1);
	return rc;
}

void mp_in_done(mp_self *me, mp_in *in)
{
	if (in->block && !in->leased)
		mp_free(me, in->block);
	in->block = 0;
}

/* For how many leases room is made: not for more than wait there. */
static uint32_t likely(const mp_queue *q, uint32_t max)
{
	uint64_t tail, head;
	if (max <= MANY)
		return max;
	tail = atomic_load_explicit(&q->tail, memory_order_relaxed);
	head = atomic_load_explicit(&q->head, memory_order_relaxed);
	if (tail < head + MANY)
		return MANY;
	return tail - head < max ? (uint32_t)(tail - head) : max;
}

int mp_queue_lease(mp_self *me, mp_queue *q, mp_in *ins, uint32_t max,
                   int64_t deadline, uint32_t *ngot)
{
	static const struct taking lend = { .take = borrow, .alone = true };
	int rc;
	*ngot = 0;
	max = likely(q, max);
	if (!mp_lease_room(me, max))
		return MP_NOMEM;
	rc = take(me, q, NULL, max, deadline, ngot, &lend);
	for (uint32_t i = 0; ins && i < *ngot; i++)
		mp_queue_leased(me, me->leases.last - *ngot + 1 + i, &ins[i]);
	return rc;
}

bool mp_queue_leased(mp_self *me, uint64_t lease, mp_in *in)
{
	uint32_t place = mp_lease_find(me, lease);
	const mp_lease *l;
	const mp_cell *c;
	const mp_seg *seg;
	if (!place)
		return false;
	l = &me->leases.at[place - 1];
	c = mp_at(me->shm, l->cell);
	seg = mp_seg_at(me, l->seg);
	describe(me, c, in, false);
	in->block = 0;  /* stays the cell's */
	in->lease = lease;
	in->seq = seg->base + (uint64_t)(c - seg->cells) + 1;
	return true;
}
