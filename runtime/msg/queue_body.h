/* queue_body: the queue's words, for the files that implement it.
 *
 * One line each for what is constant, for producers, for consumers and for
 * the two event counts: they write at the same time.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_QUEUE_BODY_H
#define MP_QUEUE_BODY_H

#include "queue.h"

enum { MP_Q_OPEN, MP_Q_CLOSED, MP_Q_DROPPED };  /* closed with what comes back */

struct mp_queue {
	uint64_t capacity;           /* 0: unlimited */
	uint32_t flags;              /* MP_Q_* */
	mp_word closed;              /* MP_Q_OPEN, ...; set under the tail latch */
	mp_handle self;
	mp_word lists;               /* 1: a message listed handles, ever */
	mp_handle taker;             /* whose watchers are rung; see mp_queue_serve */
	mp_handle putter;

	_Alignas(64) mp_word tail_latch;
	mp_word txn;                 /* aid whose transaction writes here */
	_Atomic uint64_t tend;       /* where that transaction ends */
	_Atomic uint64_t tail_seg;   /* segment of the next cell to fill */
	_Atomic uint64_t tail;       /* its sequence number: hint */
	uint64_t limit;              /* no look at freed is needed below it */

	_Alignas(64) mp_word head_latch;
	_Atomic uint64_t head_seg;   /* segment of the next cell to take */
	_Atomic uint64_t head;       /* its sequence number: hint */
	_Atomic uint64_t first;      /* oldest segment (its home) */
	_Atomic uint64_t taken;      /* cells leased or done: hint */
	_Atomic uint64_t ndone;      /* cells done: hint */
	uint32_t full;               /* 1: a segment is all done (head latch) */

	_Alignas(64) mp_ec getters;
	_Alignas(64) mp_ec putters;
	mp_ec joiners;               /* wait until ndone is tail */
};
_Static_assert(sizeof(mp_queue) == 320, "five lines");

static inline uint32_t mp_cell_word(unsigned state, mp_aid aid)
{
	return (uint32_t)state << MP_CELL_SHIFT | aid;
}
static inline unsigned mp_cell_state(const mp_cell *c)
{
	return atomic_load_explicit(&c->state, memory_order_acquire) >> MP_CELL_SHIFT;
}
static inline void mp_cell_done(mp_cell *c)
{
	atomic_store_explicit(&c->state, mp_cell_word(MP_CELL_DONE, 0), memory_order_release);
}
static inline mp_seg *mp_seg_at(const mp_self *me, uint64_t off)
{
	return mp_at(me->shm, off);
}
static inline uint64_t mp_cell_block(const mp_cell *c)
{
	return (uint64_t)atomic_load_explicit(&c->ref, memory_order_relaxed) * MP_BLOCK_ALIGN;
}

/* What capacity is compared with: cells that no longer count. */
static inline uint64_t mp_queue_freed(const mp_queue *q)
{
	return atomic_load_explicit(q->flags & MP_Q_COUNT_LEASED ? &q->ndone : &q->taken,
	                            memory_order_relaxed);
}
static inline bool mp_queue_has_room(const mp_queue *q)
{
	return q->capacity == 0 ||
	       atomic_load_explicit(&q->tail, memory_order_relaxed) < mp_queue_freed(q) + q->capacity;
}

/* Can readers of an empty queue that was closed so get nothing any more? */
static inline bool mp_queue_final(const mp_queue *q, uint32_t closed)
{
	return !(q->flags & MP_Q_DRAIN_ALL) || closed == MP_Q_DROPPED ||
	       atomic_load(&q->taken) == atomic_load(&q->ndone);
}
/* Is everything that was put finished? A look: wrong only in the direction of
 * true, while a producer is about to count what it has published. */
static inline bool mp_queue_finished(const mp_queue *q)
{
	return atomic_load(&q->ndone) >= atomic_load(&q->tail);
}

/* Latch an end, repaired if its last holder died. */
void mp_queue_lock_tail(mp_self *me, mp_queue *q);
void mp_queue_lock_head(mp_self *me, mp_queue *q);

/* tail latched: writes out into a cell that is EMPTY, and leaves it so. */
void mp_cell_fill(mp_self *me, mp_queue *q, mp_cell *c, mp_out *out);
/* tail latched: the segment after seg, made if there is none; NULL: no memory. */
mp_seg *mp_seg_next(mp_self *me, mp_seg *seg);
void mp_queue_published(mp_self *me, mp_queue *q, uint32_t n);

/* head latched: the first message, *seg its segment; the head stands there
 * then. NULL: there is none. */
mp_cell *mp_queue_first(mp_self *me, mp_queue *q, mp_seg **seg);
/* head latched: one more cell was taken; one more cell of seg is done. */
void mp_queue_count_taken(mp_queue *q);
void mp_queue_count_done(mp_queue *q, mp_seg *seg);
/* head latched: frees segments that are all done. */
void mp_queue_retire(mp_self *me, mp_queue *q);
/* Wakes producers after room was made. */
void mp_queue_roomier(mp_self *me, mp_queue *q, uint32_t n);
/* head latched: indices and counts from the cells. */
void mp_queue_repair_head(mp_self *me, mp_queue *q);
/* head free again: wakes who waits for what was finished, or for the last
 * items that others had in work. */
void mp_queue_told_done(mp_self *me, mp_queue *q);
/* Room for n more leases in me->leases; false: no memory. */
bool mp_lease_room(mp_self *me, uint32_t n);
/* There is room: it gets the next number, and is in the transaction. */
void mp_lease_add(mp_self *me, mp_lease l);
/* Its place, 0: I have none of that number. */
uint32_t mp_lease_find(const mp_self *me, uint64_t number);
/* Takes what is at a place off the table, but not out of txn. */
void mp_lease_forget(mp_self *me, uint32_t place);
/* Have I leased any of q's, or have it in work? A look at all leases. */
bool mp_queue_leased_here(const mp_self *me, const mp_queue *q);
/* The same for items of q in me->works; there is room: one more. */
bool mp_work_room(mp_self *me, const mp_queue *q, uint32_t n);
void mp_work_add(mp_self *me, const mp_queue *q, const mp_lease *l);
/* Waits for room in q. */
int mp_queue_wait_room(mp_self *me, mp_queue *q, int64_t deadline, uint32_t what);

/* The sweep's passes (queue_sweep.c). */
void mp_queue_op_repair(mp_self *me, void *body, mp_aid dead);
void mp_queue_op_release(mp_self *me, void *body, mp_aid dead);
void mp_queue_op_wake(mp_self *me, void *body);
void mp_queue_op_destroy(mp_self *me, void *body);
void mp_queue_op_contents(mp_self *me, void *body, void (*mark)(void *ud, mp_handle h), void *ud);

/* Calls f for each handle that the bytes of a message list; returns the
 * length of the list in bytes. */
uint32_t mp_message_handles(const unsigned char *data, uint32_t len, uint8_t flags,
                            const mp_handle **h, uint32_t *n);

#endif
