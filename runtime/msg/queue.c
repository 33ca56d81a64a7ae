/* queue: creating, closing, looking; see queue.h for the argument.
 *
 * SPDX-License-Identifier: MIT */
#include "queue_body.h"

#include <stdlib.h>
#include <string.h>

#include "../base/crash.h"

struct settings {
	uint64_t capacity;
	uint32_t flags;
	const mp_handle *self;
};

static int init(mp_self *me, void *body, void *arg)
{
	const struct settings *st = arg;
	mp_queue *q = body;
	int rc;
	uint64_t seg = mp_alloc(me, sizeof(mp_seg), mp_off(me->shm, &q->first), &rc);
	if (!seg)
		return rc;
	memset(mp_seg_at(me, seg), 0, sizeof(mp_seg));
	q->capacity = st->capacity;
	q->flags = st->flags;
	q->self = q->taker = q->putter = *st->self;
	atomic_store(&q->tail_seg, seg);
	atomic_store(&q->head_seg, seg);
	atomic_store(&q->first, seg);
	return MP_OK;
}

uint32_t mp_queue_flags(const mp_queue *q) { return q->flags; }

static enum mp_type type_of(uint32_t flags)
{
	return flags & MP_Q_JOINABLE ? MP_T_JOINABLE_QUEUE
	     : flags & MP_Q_SIMPLE ? MP_T_SIMPLE_QUEUE : MP_T_QUEUE;
}

int mp_queue_create(mp_self *me, uint64_t capacity, uint32_t flags, mp_handle *h)
{
	struct settings st = { capacity, flags, h };
	int rc;
	if (flags & MP_Q_JOINABLE)
		st.flags |= MP_Q_DRAIN_ALL;
	rc = mp_obj_create(me, type_of(flags), sizeof(mp_queue), init, &st, h);
	/* Not before: killed until then, the sweep must find its own segment. */
	if (rc == MP_OK)
		mp_settle(me, atomic_load(&mp_queue_body(me->shm, *h)->first));
	return rc;
}

mp_queue *mp_queue_body(const mp_shm *s, mp_handle h)
{
	enum mp_type t = mp_obj_type(s, h);
	return t == MP_T_QUEUE || t == MP_T_JOINABLE_QUEUE || t == MP_T_SIMPLE_QUEUE
	       ? mp_obj_body(s, h, t) : NULL;
}

void mp_queue_serve(mp_queue *q, mp_handle taker, mp_handle putter)
{
	if (taker)
		q->taker = taker;
	if (putter)
		q->putter = putter;
}

/* ---- segments --------------------------------------------------------------- */

mp_seg *mp_seg_next(mp_self *me, mp_seg *seg)
{
	uint64_t next = atomic_load_explicit(&seg->next, memory_order_acquire);
	mp_seg *new;
	int rc;
	if (next)
		return mp_seg_at(me, next);
	next = mp_alloc(me, sizeof(mp_seg), mp_off(me->shm, &seg->next), &rc);
	if (!next)
		return NULL;
	new = mp_seg_at(me, next);
	memset(new, 0, sizeof *new);
	new->base = seg->base + MP_CELLS;
	atomic_store_explicit(&seg->next, next, memory_order_release);
	mp_settle(me, next);
	return new;
}

/* head latched: takes the segment that link refers to out of the chain. */
static void unlink_seg(mp_self *me, _Atomic uint64_t *link)
{
	uint64_t off = atomic_load_explicit(link, memory_order_relaxed);
	uint64_t next = atomic_load_explicit(&mp_seg_at(me, off)->next, memory_order_acquire);
	mp_take(me, off);
	/* next is the queue's, even if whoever linked it was killed
	 * before it said so: its home is no proof in between. */
	mp_take(me, next);
	mp_settle(me, next);
	mp_set_home(me, next, mp_off(me->shm, link));
	MP_CRASHPOINT("retire.before");
	atomic_store_explicit(link, next, memory_order_release);
	MP_CRASHPOINT("retire.after");
	mp_free(me, off);
}

/* Where consumers and producers stand; a producer reads next of its segment,
 * and of those behind it while it publishes. Acquire, for what one read in a
 * segment must come before that is recycled. */
static uint64_t settled_below(mp_self *me, const mp_queue *q)
{
	uint64_t head = mp_seg_at(me, atomic_load_explicit(&q->head_seg, memory_order_relaxed))->base;
	uint64_t tail = mp_seg_at(me, atomic_load_explicit(&q->tail_seg, memory_order_acquire))->base;
	return head < tail ? head : tail;
}

/* One item in work for long keeps its own segment, not all that follow. */
void mp_queue_retire(mp_self *me, mp_queue *q)
{
	_Atomic uint64_t *link = &q->first;
	uint64_t below;
	if (!q->full)
		return;
	below = settled_below(me, q);
	for (;;) {
		mp_seg *seg = mp_seg_at(me, atomic_load_explicit(link, memory_order_relaxed));
		if (seg->base >= below) {
			q->full = seg->ndone == MP_CELLS;  /* then once more, later */
			return;
		}
		if (seg->ndone == MP_CELLS)
			unlink_seg(me, link);
		else
			link = &seg->next;
	}
}

/* ---- closing ---------------------------------------------------------------- */

static void drop_all(mp_self *me, mp_queue *q)
{
	uint32_t n = 0;
	mp_queue_lock_head(me, q);
	for (uint64_t off = atomic_load(&q->first); off;) {
		mp_seg *seg = mp_seg_at(me, off);
		for (uint32_t i = 0; i < MP_CELLS; i++) {
			mp_cell *c = &seg->cells[i];
			uint64_t block = mp_cell_block(c);
			if (mp_cell_state(c) != MP_CELL_READY)
				continue;
			if (block)
				mp_take(me, block);
			mp_cell_done(c);
			if (block)
				mp_free(me, block);
			n++;
		}
		off = atomic_load_explicit(&seg->next, memory_order_acquire);
	}
	mp_queue_repair_head(me, q);
	mp_queue_retire(me, q);
	mp_unlatch(me, &q->head_latch);
	mp_queue_told_done(me, q);
	if (n && atomic_load(&q->lists))
		mp_obj_loosened(me);
}

void mp_queue_close(mp_self *me, mp_queue *q, bool drop)
{
	mp_queue_lock_tail(me, q);
	if (drop && q->flags & MP_Q_JOINABLE)
		atomic_store(&q->closed, MP_Q_DROPPED);
	else if (!atomic_load(&q->closed))
		atomic_store(&q->closed, MP_Q_CLOSED);
	mp_unlatch(me, &q->tail_latch);
	if (drop)
		drop_all(me, q);
	if (mp_ec_notify(&q->putters, INT_MAX))
		mp_obj_ring(me, q->putter);
	mp_queue_published(me, q, INT_MAX);
}

bool mp_queue_closed(const mp_queue *q)
{
	return atomic_load(&q->closed) != 0;
}

/* ---- looking ---------------------------------------------------------------- */

/* Without the latch: the segment may be recycled while it is read. What is
 * read is then stale or torn, which is noticed (base) or harmless: true only
 * means a look with the latch, and a false that is wrong ends with a slice.
 * That race is meant, so ThreadSanitizer is told to look away. */
#if defined(__SANITIZE_THREAD__)
__attribute__((no_sanitize("thread")))
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
__attribute__((no_sanitize("thread")))
#endif
#endif
bool mp_queue_ready(const mp_queue *q, const mp_shm *s)
{
	const mp_seg *seg = mp_at(s, atomic_load_explicit(&q->head_seg, memory_order_acquire));
	uint64_t i = atomic_load_explicit(&q->head, memory_order_acquire) - seg->base;
	const mp_cell *c = i < MP_CELLS ? &seg->cells[i] : NULL;
	uint64_t next;
	uint32_t closed;
	if (i == MP_CELLS) {
		next = atomic_load_explicit(&seg->next, memory_order_acquire);
		if (next > s->size - sizeof(mp_seg))
			return true;  /* it is no segment any more */
		c = next ? ((const mp_seg *)mp_at(s, next))->cells : NULL;
	}
	if (i > MP_CELLS ||
	    (c && atomic_load_explicit(&c->state, memory_order_acquire) >> MP_CELL_SHIFT != MP_CELL_EMPTY))
		return true;
	closed = atomic_load_explicit(&q->closed, memory_order_acquire);
	return closed && mp_queue_final(q, closed);
}

void mp_queue_stats(mp_self *me, mp_queue *q, mp_queue_stat *st)
{
	mp_queue_lock_tail(me, q);
	mp_queue_lock_head(me, q);
	st->put = atomic_load(&q->tail);
	st->waiting = st->put - atomic_load(&q->taken);
	st->leased = atomic_load(&q->taken) - atomic_load(&q->ndone);
	st->capacity = q->capacity;
	st->full = !mp_queue_has_room(q);
	mp_unlatch(me, &q->head_latch);
	mp_unlatch(me, &q->tail_latch);
}

int mp_queue_peek(mp_self *me, mp_queue *q, unsigned char **data, size_t *len)
{
	int rc = MP_EMPTY;
	mp_queue_lock_head(me, q);
	for (uint64_t off = atomic_load(&q->head_seg); off && rc == MP_EMPTY;) {
		mp_seg *seg = mp_seg_at(me, off);
		for (uint32_t i = 0; i < MP_CELLS && rc == MP_EMPTY; i++) {
			mp_cell *c = &seg->cells[i];
			const mp_handle *h;
			const unsigned char *from;
			uint32_t n, skip;
			if (mp_cell_state(c) != MP_CELL_READY)
				continue;
			from = mp_cell_block(c) ? mp_at(me->shm, mp_cell_block(c)) : (void *)c->data;
			skip = mp_message_handles(from, c->len, c->flags, &h, &n);
			*len = c->len - skip;
			*data = malloc(*len ? *len : 1);
			rc = *data ? MP_OK : -ENOMEM;
			if (*data)
				memcpy(*data, from + skip, *len);
		}
		off = atomic_load_explicit(&seg->next, memory_order_acquire);
	}
	if (rc == MP_EMPTY && mp_queue_closed(q) && mp_queue_final(q, atomic_load(&q->closed)))
		rc = MP_CLOSED;
	mp_unlatch(me, &q->head_latch);
	return rc;
}

static mp_word *readiness(void *body)
{
	return &((mp_queue *)body)->getters;
}

/* At a closed queue nobody waits for what it has itself. */
static bool ready(mp_self *me, void *body)
{
	const mp_queue *q = body;
	return mp_queue_ready(q, me->shm) || (mp_queue_closed(q) && mp_queue_leased_here(me, q));
}

static bool stuck(const mp_shm *s, void *body, mp_aid who, uint32_t what, mp_aid *on)
{
	mp_queue *q = body;
	(void)who;
	*on = 0;
	switch (what) {
	case MP_W_GET:
		return !mp_queue_ready(q, s);
	case MP_W_PUT:
	case MP_W_COMMIT:
		return !atomic_load(&q->closed) && !mp_queue_has_room(q);
	case MP_W_QJOIN:
		return !mp_queue_finished(q);
	default:
		return false;
	}
}

#define QUEUE_OPS(NAME) { \
	.name = NAME, \
	.repair = mp_queue_op_repair, \
	.release = mp_queue_op_release, \
	.wake = mp_queue_op_wake, \
	.destroy = mp_queue_op_destroy, \
	.readiness = readiness, \
	.ready = ready, \
	.stuck = stuck, \
	.contents = mp_queue_op_contents, \
}

const mp_type_ops mp_queue_ops = QUEUE_OPS("Queue");
const mp_type_ops mp_joinable_queue_ops = QUEUE_OPS("JoinableQueue");
const mp_type_ops mp_simple_queue_ops = QUEUE_OPS("SimpleQueue");
