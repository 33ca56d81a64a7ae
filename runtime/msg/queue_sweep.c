/* queue_sweep: what the sweep does with a queue, and its end.
 *
 * SPDX-License-Identifier: MIT */
#include "queue_body.h"

#include <string.h>

#include "../base/crash.h"

static bool held_by(mp_word *latch, mp_aid a)
{
	return (atomic_load(latch) & MP_AID_MASK) == a;
}

void mp_queue_op_repair(mp_self *me, void *body, mp_aid dead)
{
	mp_queue *q = body;
	if (!held_by(&q->tail_latch, dead) && atomic_load(&q->txn) != dead)
		return;
	mp_queue_lock_tail(me, q);
	mp_unlatch(me, &q->tail_latch);
}

/* What the sweep does to leases. */
struct ending {
	mp_aid dead;
	bool committed;   /* its transaction */
	bool dropped;     /* the queue was closed with what comes back */
};

/* A cell of the dead: finished or dropped, else back. */
static bool give_back(mp_self *me, mp_cell *c, const struct ending *e)
{
	uint32_t st = atomic_load(&c->state);
	uint64_t block = mp_cell_block(c);
	bool txn = st == mp_cell_word(MP_CELL_LEASED_TXN, e->dead);
	bool work = st == mp_cell_word(MP_CELL_LEASED, e->dead);
	if ((txn && e->committed) || (work && e->dropped)) {
		if (block)
			mp_take(me, block);
		mp_cell_done(c);
		if (block)
			mp_free(me, block);
		return true;
	}
	if (!txn && !work)
		return false;
	atomic_store_explicit(&c->state, mp_cell_word(MP_CELL_READY, 0), memory_order_release);
	MP_CRASHPOINT("sweep.returned");
	return true;
}

/* A look without the latch. The counts are right only while nobody has it: a
 * lease may not be counted yet when its taker was killed, and whoever stole
 * the latch from it may still be counting. ndone first: both may grow between
 * the two loads. */
static bool nothing_leased(mp_queue *q)
{
	uint64_t ndone;
	if (atomic_load(&q->head_latch) & MP_AID_MASK)
		return false;
	ndone = atomic_load(&q->ndone);
	return atomic_load(&q->taken) == ndone;
}

void mp_queue_op_release(mp_self *me, void *body, mp_aid dead)
{
	mp_queue *q = body;
	struct ending e = { dead, atomic_load(&mp_slot_of(me->shm, dead)->commit), false };
	bool changed = false;
	if (nothing_leased(q))
		return;
	mp_queue_lock_head(me, q);
	e.dropped = atomic_load(&q->closed) == MP_Q_DROPPED;
	for (uint64_t off = atomic_load(&q->first); off;) {
		mp_seg *seg = mp_seg_at(me, off);
		for (uint32_t i = 0; i < MP_CELLS; i++)
			changed |= give_back(me, &seg->cells[i], &e);
		off = atomic_load_explicit(&seg->next, memory_order_acquire);
	}
	if (changed) {
		mp_queue_repair_head(me, q);
		mp_queue_retire(me, q);
	}
	mp_unlatch(me, &q->head_latch);
	if (changed)
		mp_queue_published(me, q, INT_MAX);
}

void mp_queue_op_wake(mp_self *me, void *body)
{
	mp_queue *q = body;
	if (atomic_load(&q->tail_latch) & MP_WAIT)
		mp_futex_wake(&q->tail_latch, INT_MAX);
	if (atomic_load(&q->head_latch) & MP_WAIT)
		mp_futex_wake(&q->head_latch, INT_MAX);
	mp_ec_notify(&q->putters, INT_MAX);
	mp_ec_notify(&q->joiners, INT_MAX);
	mp_queue_published(me, q, INT_MAX);
}

/* Nobody holds it any more: no latch is needed. */
void mp_queue_op_destroy(mp_self *me, void *body)
{
	mp_queue *q = body;
	uint64_t off, next;
	while ((off = atomic_load(&q->first)) != 0) {
		mp_seg *seg = mp_seg_at(me, off);
		for (uint32_t i = 0; i < MP_CELLS; i++) {
			mp_cell *c = &seg->cells[i];
			unsigned st = mp_cell_state(c);
			uint64_t block = mp_cell_block(c);
			if (st == MP_CELL_EMPTY || st == MP_CELL_DONE)
				continue;
			if (block)
				mp_take(me, block);
			mp_cell_done(c);
			if (block)
				mp_free(me, block);
		}
		next = atomic_load(&seg->next);
		mp_take(me, off);
		if (next) {
			mp_take(me, next);
			mp_settle(me, next);
			mp_set_home(me, next, mp_off(me->shm, &q->first));
		}
		atomic_store(&q->first, next);
		mp_free(me, off);
	}
	if (atomic_load(&q->lists))
		mp_obj_loosened(me);
}

void mp_queue_op_contents(mp_self *me, void *body, void (*mark)(void *ud, mp_handle h), void *ud)
{
	mp_queue *q = body;
	if (!atomic_load(&q->lists))
		return;
	mp_queue_lock_head(me, q);  /* nothing is freed meanwhile */
	for (uint64_t off = atomic_load(&q->first); off;) {
		mp_seg *seg = mp_seg_at(me, off);
		for (uint32_t i = 0; i < MP_CELLS; i++) {
			mp_cell *c = &seg->cells[i];
			unsigned st = mp_cell_state(c);
			const mp_handle *h;
			uint32_t n;
			if (st == MP_CELL_EMPTY || st == MP_CELL_DONE)
				continue;
			mp_message_handles(mp_cell_block(c) ? mp_at(me->shm, mp_cell_block(c)) : (void *)c->data,
			                   c->len, c->flags, &h, &n);
			for (uint32_t k = 0; k < n; k++) {
				mp_handle one;
				memcpy(&one, &h[k], sizeof one);
				mark(ud, one);
			}
		}
		off = atomic_load_explicit(&seg->next, memory_order_acquire);
	}
	mp_unlatch(me, &q->head_latch);
}
