/* queue_commit: the transaction over several queues.
 *
 * What it keeps: a worker's finished inputs and all their outputs become
 * visible in one store, slot.commit = 1.
 *
 * Order, which is the crash argument:
 *  - all outputs' tails are latched, in address order; per queue tend, then
 *    txn = me, then the cells, which stay EMPTY;
 *  - commit = 1;
 *  - per queue: cells READY in order, then the tail's words, then txn = 0,
 *    then the latch is freed;
 *  - inputs DONE, under their head latches; those that are kept are none, and
 *    their cells say so (queue_lease.c);
 *  - commit = 0.
 * Killed before the commit: cells are EMPTY and will be filled again, blocks
 * are in the corpse's name, inputs go back. Killed after it: a queue that is
 * not finished is still latched in the corpse's name with txn and tend, so
 * nobody appends behind, and the stealer finishes it; inputs are finished by
 * the sweep. commit keeps its value from the death until the sweep has seen
 * every queue, so inputs and outputs always agree.
 * Capacity is a high-water mark: a queue that has room takes any number.
 *
 * SPDX-License-Identifier: MIT */
#include "queue_body.h"

#include "../base/crash.h"

/* ---- inputs ----------------------------------------------------------------- */

/* The inputs of one queue, from *i on, under one latch. */
static void finish_queue(mp_self *me, uint32_t *i)
{
	const mp_leases *s = &me->leases;
	uint64_t at = s->at[s->txn[*i] - 1].queue;
	mp_queue *q = mp_at(me->shm, at);
	uint32_t n = 0;
	mp_queue_lock_head(me, q);
	for (; *i < s->ntxn; ++*i) {
		const mp_lease *l = &s->at[s->txn[*i] - 1];
		if (l->kept)
			continue;
		if (l->queue != at)
			break;
		if (l->block)
			mp_take(me, l->block);
		mp_cell_done(mp_at(me->shm, l->cell));
		MP_CRASHPOINT("commit.input");
		mp_queue_count_done(q, mp_at(me->shm, l->seg));
		n++;
	}
	mp_queue_retire(me, q);
	mp_unlatch(me, &q->head_latch);
	mp_queue_roomier(me, q, n);
	mp_queue_told_done(me, q);
}

static void finish_inputs(mp_self *me)
{
	mp_leases *s = &me->leases;
	for (uint32_t i = 0; i < s->ntxn;) {
		if (s->at[s->txn[i] - 1].kept)
			i++;
		else
			finish_queue(me, &i);
	}
	for (uint32_t i = 0; i < s->ntxn; i++) {
		mp_lease *l = &s->at[s->txn[i] - 1];
		l->listed = false;
		if (l->kept)
			continue;
		if (l->block)
			mp_free(me, l->block);
		mp_lease_forget(me, s->txn[i]);
	}
	s->ntxn = 0;
}

/* ---- outputs ---------------------------------------------------------------- */

static void unlock(mp_self *me, mp_batch *b, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		atomic_store(&b[i].queue->txn, 0);
		mp_unlatch(me, &b[i].queue->tail_latch);
	}
}

/* Latches every output. MP_CLOSED, MP_FULL: none is latched, *which is it. */
static int lock_all(mp_self *me, mp_batch *b, uint32_t n, uint32_t *which)
{
	for (uint32_t i = 0; i < n; i++) {
		mp_queue *q = b[i].queue;
		mp_queue_lock_tail(me, q);
		*which = i;
		if (atomic_load(&q->closed) || !mp_queue_has_room(q)) {
			int rc = atomic_load(&q->closed) ? MP_CLOSED : MP_FULL;
			unlock(me, b, i + 1);
			return rc;
		}
	}
	return MP_OK;
}

/* Writes the cells of one output; they stay EMPTY. */
static int stage(mp_self *me, const mp_batch *b)
{
	mp_queue *q = b->queue;
	mp_seg *seg = mp_seg_at(me, atomic_load(&q->tail_seg));
	uint64_t seq = atomic_load(&q->tail);
	atomic_store_explicit(&q->tend, seq + b->n, memory_order_relaxed);
	atomic_store_explicit(&q->txn, me->aid, memory_order_release);
	for (uint32_t i = 0; i < b->n; i++, seq++) {
		if (seq - seg->base == MP_CELLS && !(seg = mp_seg_next(me, seg)))
			return MP_NOMEM;
		mp_cell_fill(me, q, &seg->cells[seq - seg->base], &b->outs[i]);
	}
	return MP_OK;
}

/* After the commit: makes one output visible and frees its tail. */
static void publish(mp_self *me, const mp_batch *b)
{
	mp_queue *q = b->queue;
	mp_seg *seg = mp_seg_at(me, atomic_load(&q->tail_seg));
	uint64_t seq = atomic_load(&q->tail);
	for (uint32_t i = 0; i < b->n; i++, seq++) {
		if (seq - seg->base == MP_CELLS)
			seg = mp_seg_at(me, atomic_load(&seg->next));
		atomic_store_explicit(&seg->cells[seq - seg->base].state,
		                      mp_cell_word(MP_CELL_READY, 0), memory_order_release);
		MP_CRASHPOINT("commit.ready");
		if (b->outs[i].block)
			mp_settle(me, b->outs[i].block);
	}
	atomic_store_explicit(&q->tail, seq, memory_order_relaxed);
	atomic_store_explicit(&q->tail_seg, mp_off(me->shm, seg), memory_order_release);
	atomic_store(&q->txn, 0);
	mp_unlatch(me, &q->tail_latch);
	mp_queue_published(me, q, b->n);
}

/* In address order, so that committers never wait in a circle; empty ones go. */
static uint32_t sort(mp_batch *b, uint32_t n)
{
	uint32_t kept = 0;
	for (uint32_t i = 0; i < n; i++) {
		mp_batch one = b[i];
		uint32_t k = kept;
		if (one.n == 0)
			continue;
		for (; k > 0 && b[k - 1].queue > one.queue; k--)
			b[k] = b[k - 1];
		b[k] = one;
		kept++;
	}
	return kept;
}

static int stage_all(mp_self *me, mp_batch *b, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		int rc = stage(me, &b[i]);
		if (rc) {
			unlock(me, b, n);
			return rc;
		}
		MP_CRASHPOINT("commit.staged");
	}
	return MP_OK;
}

int mp_queue_commit(mp_self *me, mp_batch *b, uint32_t n, int64_t deadline)
{
	uint32_t which = 0;
	int rc;
	n = sort(b, n);
	for (uint32_t i = 1; i < n; i++)
		if (b[i].queue == b[i - 1].queue)
			return -EINVAL;
	while ((rc = lock_all(me, b, n, &which)) != MP_OK ||
	       (rc = stage_all(me, b, n)) != MP_OK) {
		if (rc == MP_CLOSED || deadline == 0)
			return rc;
		rc = rc == MP_FULL ? mp_queue_wait_room(me, b[which].queue, deadline, MP_W_COMMIT)
		                   : mp_memory_wait(me, deadline);
		if (rc != MP_OK)
			return rc;
	}
	MP_CRASHPOINT("commit.before");
	atomic_store(&me->slot->commit, 1);
	MP_CRASHPOINT("commit.after");
	for (uint32_t i = 0; i < n; i++)
		publish(me, &b[i]);
	MP_CRASHPOINT("commit.published");
	finish_inputs(me);
	MP_CRASHPOINT("commit.finished");
	atomic_store(&me->slot->commit, 0);
	return MP_OK;
}
