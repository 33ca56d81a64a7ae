/* queue_put: making a message and putting it; see queue.h for the argument.
 *
 * SPDX-License-Identifier: MIT */
#include "queue_body.h"

#include <string.h>

#include "../base/crash.h"

/* Copies list and parts to where they will be read. */
static void gather(const mp_msg *m, unsigned char *to)
{
	if (m->nhandles) {
		uint32_t head[2] = { m->nhandles, 0 };
		memcpy(to, head, sizeof head);
		memcpy(to + sizeof head, m->handles, m->nhandles * sizeof *m->handles);
		to += sizeof head + m->nhandles * sizeof *m->handles;
	}
	if (m->first.len) {
		memcpy(to, m->first.data, m->first.len);
		to += m->first.len;
	}
	for (size_t i = 0; i < m->nparts; i++) {
		memcpy(to, m->parts[i].data, m->parts[i].len);
		to += m->parts[i].len;
	}
}

uint32_t mp_message_handles(const unsigned char *data, uint32_t len, uint8_t flags,
                            const mp_handle **h, uint32_t *n)
{
	uint32_t count;
	*h = NULL;
	*n = 0;
	if (!(flags & MP_CELL_LISTS) || len < 8)
		return 0;
	memcpy(&count, data, sizeof count);
	if (count > (len - 8) / sizeof(mp_handle))
		return 0;
	*h = (const mp_handle *)(const void *)(data + 8);
	*n = count;
	return 8 + count * (uint32_t)sizeof(mp_handle);
}

int mp_out_make(mp_self *me, const mp_msg *m, mp_out *out)
{
	size_t list = m->nhandles ? 8 + m->nhandles * sizeof *m->handles : 0;
	uint64_t total = (uint64_t)m->first.len + m->len + list;
	int rc;
	if (total > UINT32_MAX)
		return MP_TOOBIG;
	out->block = 0;
	out->len = (uint32_t)total;
	out->label = m->label;
	out->lists = m->nhandles > 0;
	out->flags = out->lists ? MP_CELL_LISTS : 0;
	if (total <= MP_INLINE) {
		gather(m, out->data);
		return MP_OK;
	}
	out->block = mp_alloc(me, total, 0, &rc);
	if (!out->block)
		return rc;
	gather(m, mp_at(me->shm, out->block));
	return MP_OK;
}

void mp_out_drop(mp_self *me, mp_out *out)
{
	if (out->block)
		mp_free(me, out->block);
	out->block = 0;
}

static void note_handles(mp_self *me, mp_queue *q, const mp_out *out)
{
	const mp_handle *h;
	uint32_t n;
	mp_message_handles(out->block ? mp_at(me->shm, out->block) : (void *)out->data,
	                   out->len, out->flags, &h, &n);
	atomic_store(&q->lists, 1);
	for (uint32_t i = 0; i < n; i++) {
		mp_handle one;
		memcpy(&one, &h[i], sizeof one);
		mp_obj_sending(me, one);
	}
}

void mp_cell_fill(mp_self *me, mp_queue *q, mp_cell *c, mp_out *out)
{
	c->len = out->len;
	c->flags = out->flags;
	c->tries = 0;
	c->label = out->label;
	if (out->block) {
		mp_set_home(me, out->block, mp_off(me->shm, &c->ref));
		atomic_store_explicit(&c->ref, (uint32_t)(out->block / MP_BLOCK_ALIGN), memory_order_relaxed);
	} else {
		atomic_store_explicit(&c->ref, 0, memory_order_relaxed);
		memcpy(c->data, out->data, MP_INLINE);
	}
	if (out->lists)
		note_handles(me, q, out);
}

void mp_queue_published(mp_self *me, mp_queue *q, uint32_t n)
{
	if (mp_ec_notify(&q->getters, n > INT_MAX ? INT_MAX : (int)n))
		mp_obj_ring(me, q->taker);
}

/* tail latched: finishes or drops what a dead transaction left, then finds
 * the first EMPTY cell. */
static void repair_tail(mp_self *me, mp_queue *q)
{
	mp_aid t = atomic_load(&q->txn);
	uint64_t tend = atomic_load(&q->tend), off = atomic_load(&q->tail_seg);
	bool finish = t && mp_slot_phase(me->shm, t) != MP_SLOT_FREE &&
	              atomic_load(&mp_slot_of(me->shm, t)->commit);
	mp_seg *seg = mp_seg_at(me, off);
	uint32_t i = 0;
	for (;;) {
		uint64_t next;
		for (i = 0; i < MP_CELLS; i++) {
			mp_cell *c = &seg->cells[i];
			if (mp_cell_state(c) != MP_CELL_EMPTY)
				continue;
			if (!finish || seg->base + i >= tend)
				break;
			atomic_store_explicit(&c->state, mp_cell_word(MP_CELL_READY, 0), memory_order_release);
		}
		next = atomic_load(&seg->next);
		if (i < MP_CELLS || !next)
			break;
		seg = mp_seg_at(me, next);
	}
	atomic_store_explicit(&q->tail_seg, mp_off(me->shm, seg), memory_order_release);
	atomic_store(&q->tail, seg->base + i);
	q->limit = 0;
	MP_CRASHPOINT("tail.repaired");
	atomic_store(&q->txn, 0);
	/* It was the dead one's to wake them. */
	mp_queue_published(me, q, INT_MAX);
}

void mp_queue_lock_tail(mp_self *me, mp_queue *q)
{
	if (mp_latch_hold(me, &q->tail_latch) == MP_ABANDONED)
		repair_tail(me, q);
}

static mp_cell *next_cell(mp_self *me, mp_queue *q)
{
	mp_seg *seg = mp_seg_at(me, atomic_load_explicit(&q->tail_seg, memory_order_relaxed));
	uint64_t i = atomic_load_explicit(&q->tail, memory_order_relaxed) - seg->base;
	if (i < MP_CELLS)
		return &seg->cells[i];
	seg = mp_seg_next(me, seg);
	if (!seg)
		return NULL;
	atomic_store_explicit(&q->tail_seg, mp_off(me->shm, seg), memory_order_release);
	return &seg->cells[0];
}

/* tail latched. limit is a stale "room up to there": the consumers' line is
 * read only where the queue looks full. */
static bool room(mp_queue *q, uint64_t tail)
{
	if (q->capacity == 0 || tail < q->limit)
		return true;
	q->limit = mp_queue_freed(q) + q->capacity;
	return tail < q->limit;
}

/* As many as there is room for, from *i on. */
static int put_some(mp_self *me, mp_queue *q, mp_out *outs, uint32_t n, uint32_t *i)
{
	uint32_t from = *i;
	int rc = MP_OK;
	mp_queue_lock_tail(me, q);
	if (atomic_load_explicit(&q->closed, memory_order_relaxed))
		rc = MP_CLOSED;
	while (rc == MP_OK && *i < n) {
		uint64_t tail = atomic_load_explicit(&q->tail, memory_order_relaxed);
		mp_out *out = &outs[*i];
		mp_cell *c;
		if (!room(q, tail)) {
			rc = MP_FULL;
			break;
		}
		if (!(c = next_cell(me, q))) {
			rc = MP_NOMEM;
			break;
		}
		mp_cell_fill(me, q, c, out);
		MP_CRASHPOINT("put.filled");
		atomic_store_explicit(&c->state, mp_cell_word(MP_CELL_READY, 0), memory_order_release);
		MP_CRASHPOINT("put.published");
		if (out->block)
			mp_settle(me, out->block);
		atomic_store_explicit(&q->tail, tail + 1, memory_order_relaxed);
		++*i;
	}
	mp_unlatch(me, &q->tail_latch);
	if (*i > from)
		mp_queue_published(me, q, *i - from);
	return rc;
}

static bool roomy(void *arg)
{
	const mp_queue *q = arg;
	return mp_queue_has_room(q) || atomic_load_explicit(&q->closed, memory_order_relaxed);
}

int mp_queue_wait_room(mp_self *me, mp_queue *q, int64_t deadline, uint32_t what)
{
	mp_wait as = { what, q->putter, &q->head_latch, false };
	int rc = mp_ec_wait(me, &q->putters, roomy, q, deadline, &as);
	if (rc == MP_ABANDONED) {  /* it died with its counts half done */
		mp_queue_lock_head(me, q);
		mp_unlatch(me, &q->head_latch);
		rc = MP_OK;
	}
	return rc;
}

int mp_queue_put(mp_self *me, mp_queue *q, mp_out *outs, uint32_t n,
                 int64_t deadline, uint32_t *nput)
{
	*nput = 0;
	for (;;) {
		int rc = put_some(me, q, outs, n, nput);
		if (rc == MP_OK || rc == MP_CLOSED || deadline == 0)
			return rc;
		rc = rc == MP_FULL ? mp_queue_wait_room(me, q, deadline, q->flags & MP_Q_PIPE ? MP_W_SEND : MP_W_PUT)
		                   : mp_memory_wait(me, deadline);
		if (rc != MP_OK)
			return rc;
	}
}
