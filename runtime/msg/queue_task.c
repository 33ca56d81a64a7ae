/* queue_task: what a pool needs of its queue of tasks; see queue.h.
 *
 * The id that withdraw looks for is the message's first word, so that a task
 * is found without being decoded.
 *
 * Crash: a label is one store into a cell of mine. A withdrawn message is
 * gone with the store of DONE, as one that was taken; those behind it stay.
 *
 * SPDX-License-Identifier: MIT */
#include "queue_body.h"

#include <string.h>

#include "../base/crash.h"

void mp_queue_mark(mp_self *me, uint16_t label)
{
	const mp_leases *s = &me->leases;
	for (uint32_t i = 0; i < s->ntxn; i++) {
		const mp_lease *l = &s->at[s->txn[i] - 1];
		if (!l->kept)
			((mp_cell *)mp_at(me->shm, l->cell))->label = label;
	}
	MP_CRASHPOINT("mark.marked");
}

static bool begins_with(mp_self *me, const mp_cell *c, uint64_t id, bool *lists)
{
	uint64_t block = mp_cell_block(c), is;
	const unsigned char *data = block ? mp_at(me->shm, block) : (const void *)c->data;
	const mp_handle *h;
	uint32_t n, skip = mp_message_handles(data, c->len, c->flags, &h, &n);
	if (c->len - skip < sizeof is)
		return false;
	memcpy(&is, data + skip, sizeof is);
	*lists = *lists || (is == id && n);
	return is == id;
}

/* head latched: READY -> DONE, for nobody. */
static void drop(mp_self *me, mp_queue *q, mp_seg *seg, mp_cell *c)
{
	uint64_t block = mp_cell_block(c);
	if (block)
		mp_take(me, block);
	MP_CRASHPOINT("withdraw.before");
	mp_cell_done(c);
	MP_CRASHPOINT("withdraw.done");
	mp_queue_count_taken(q);
	mp_queue_count_done(q, seg);
	if (block)
		mp_free(me, block);
}

/* head latched: from the first message on. */
static uint32_t drop_all_of(mp_self *me, mp_queue *q, uint64_t id, uint32_t most, bool *lists)
{
	mp_seg *seg;
	mp_cell *c = mp_queue_first(me, q, &seg);
	uint32_t n = 0;
	while (c) {
		for (; c < seg->cells + MP_CELLS; c++) {
			unsigned st = mp_cell_state(c);
			if (st == MP_CELL_EMPTY)
				return n;
			if (st != MP_CELL_READY || !begins_with(me, c, id, lists))
				continue;
			drop(me, q, seg, c);
			if (++n == most)
				return n;
		}
		uint64_t next = atomic_load_explicit(&seg->next, memory_order_acquire);
		seg = next ? mp_seg_at(me, next) : NULL;
		c = seg ? seg->cells : NULL;
	}
	return n;
}

uint32_t mp_queue_withdraw(mp_self *me, mp_queue *q, uint64_t id, uint32_t most)
{
	bool lists = false;
	uint32_t n;
	mp_seg *seg;
	mp_queue_lock_head(me, q);
	n = drop_all_of(me, q, id, most, &lists);
	if (n) {
		mp_queue_first(me, q, &seg);  /* the head leaves what is gone behind */
		mp_queue_retire(me, q);
	}
	mp_unlatch(me, &q->head_latch);
	if (!n)
		return 0;
	mp_queue_roomier(me, q, n);
	mp_queue_told_done(me, q);
	if (lists)
		mp_obj_loosened(me);
	return n;
}
