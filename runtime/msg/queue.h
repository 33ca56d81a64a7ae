/* queue: first in, first out, any number of producers and consumers.
 *
 * Layout: a chain of segments of 64 one-line cells; two latches, tail and
 * head. A cell's state goes EMPTY -> READY -> LEASED(aid) -> DONE (or READY
 * -> DONE at once); a cell is used once in its segment's life, so a stale
 * reader is never fooled. A message of up to 48 bytes lies in its cell, a
 * larger one in a block of its own that the cell refers to. A segment leaves
 * the chain when all its cells are DONE, also one behind another that is kept
 * by an item in work; bases tell what is missing between two.
 *
 * Invariant: the states are the truth. tail, head, taken and ndone are hints
 * kept exact by whoever holds the latch, and recomputed by whoever steals it.
 * Crash: a producer killed before READY never sent; after it, the message is
 * there. A consumer killed before DONE never took (a plain get), or its lease
 * goes back to READY (the sweep). Nobody touches a cell again after DONE.
 *
 * Several queues at once (mp_queue_commit): outputs stay EMPTY until the
 * actor's slot says commit; a stealer of a tail with txn set finishes or
 * drops what lies there, as slot[txn].commit says. Checked exhaustively; the
 * order of the stores in queue_commit.c is the argument.
 *
 * A lease is LEASED_TXN while it is in its holder's transaction, and LEASED
 * while it is kept out of it (mp_queue_keep).
 *
 * A plain get is at most once (a consumer that dies takes its item along); a
 * leased item is handed on exactly once. An item of a joinable queue is leased
 * by get and DONE by task_done: at least once, and finished exactly once.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_QUEUE_H
#define MP_QUEUE_H

#include "../base/part.h"
#include "../shm/eventcount.h"
#include "../shm/object.h"
#include "cell.h"

/* A message as its sender gives it. With handles, the message's bytes begin
 * with the list: u32 count, u32 0, then count handles. */
typedef struct mp_msg {
	const mp_part *parts;
	size_t nparts;
	size_t len;                /* of all parts, bytes */
	const mp_handle *handles;
	uint32_t nhandles;
	mp_part first;             /* these bytes before the parts (not in len); may be none */
	uint16_t label;            /* for the floors above; carried along */
} mp_msg;

/* A message made ready to be put: private until then. */
typedef struct mp_out {
	uint64_t block;            /* mine, or 0: inline */
	uint32_t len;
	uint16_t label;
	uint8_t flags;
	bool lists;                /* it lists handles */
	unsigned char data[MP_INLINE];
} mp_out;

/* A message taken. data points at the bytes after the handle list; release
 * it by mp_in_done once it was decoded. */
typedef struct mp_in {
	const unsigned char *data;
	uint32_t len;
	uint16_t label;
	uint8_t tries;             /* deliveries, this one included; 255: or more */
	uint8_t flags;
	bool leased;               /* block and handles stay the queue's */
	uint64_t lease;            /* of mp_queue_lease: its number ... */
	uint64_t seq;              /* ... and the item's in the queue, from 1 on */
	uint32_t nhandles;
	const mp_handle *handles;
	uint64_t block;            /* mine, to be freed; 0: none */
	_Alignas(8) unsigned char copy[MP_INLINE];
} mp_in;

enum { MP_Q_COUNT_LEASED = 1,  /* capacity counts items in work */
       MP_Q_DRAIN_ALL = 2,     /* closed to readers only when nothing is leased to others */
       MP_Q_JOINABLE = 4,      /* get leases until task_done; implies DRAIN_ALL */
       MP_Q_SIMPLE = 8,        /* by another name */
       MP_Q_PIPE = 16,         /* one direction of a pipe: waits are RECV and SEND */
       MP_Q_TASKS = 32,        /* a pool's tasks, its results: for reports */
       MP_Q_RESULTS = 64 };

typedef struct mp_queue mp_queue;

int mp_queue_create(mp_self *me, uint64_t capacity, uint32_t flags, mp_handle *h);  /* capacity 0: unlimited */
/* A queue of any kind, or NULL. */
mp_queue *mp_queue_body(const mp_shm *s, mp_handle h);
/* The objects in whose name one takes and puts, each the queue itself unless
 * said otherwise (0: leave it): waits are recorded for them, and whoever
 * watches them is rung. Before others know the queue. */
void mp_queue_serve(mp_queue *q, mp_handle taker, mp_handle putter);

/* Copies a message into a private form. 0, MP_NOMEM, MP_TOOBIG. */
int mp_out_make(mp_self *me, const mp_msg *m, mp_out *out);
void mp_out_drop(mp_self *me, mp_out *out);

/* Puts up to n messages in order, as many at a time as there is room for.
 * *nput tells how many; those are no longer the caller's. 0 (all), MP_FULL
 * (deadline 0), MP_TIMEOUT, MP_CLOSED, MP_NOMEM, MP_INTERRUPTED, MP_TOOBIG,
 * -ENOMEM (mp_memory_wait). */
int mp_queue_put(mp_self *me, mp_queue *q, mp_out *outs, uint32_t n,
                 int64_t deadline, uint32_t *nput);

/* Takes 1 to max messages, waiting only for the first. 0, MP_EMPTY (deadline
 * 0), MP_TIMEOUT, MP_CLOSED (and drained), MP_INTERRUPTED; from a joinable
 * queue, whose items stay mine (me->works) until task_done, also MP_NOMEM. */
int mp_queue_get(mp_self *me, mp_queue *q, mp_in *ins, uint32_t max,
                 int64_t deadline, uint32_t *ngot);
void mp_in_done(mp_self *me, mp_in *in);

/* Takes the next message if accept says so of it: in tells everything (its
 * bytes lie in shared memory), a latch is held. Otherwise the message stays
 * the first one and the result is MP_REFUSED; of *in only label and len are
 * to be used then. Else as mp_queue_get. */
typedef bool mp_accept(void *ud, const mp_in *in);
int mp_queue_get_if(mp_self *me, mp_queue *q, mp_in *in, mp_accept *accept, void *ud,
                    int64_t deadline);

/* Of a joinable queue: ends the oldest item that I have in work. 0, or -EPERM:
 * there is none. What is in work when I end, in whatever way, the sweep gives
 * back to the head of the queue. */
int mp_queue_task_done(mp_self *me, mp_queue *q);
/* Items of q that I have in work. */
uint32_t mp_queue_in_work(const mp_self *me, const mp_queue *q);
/* Waits until every item put is finished. 0, MP_TIMEOUT, MP_INTERRUPTED, or
 * -EDEADLK: no deadline, and I have unfinished ones myself. */
int mp_queue_join(mp_self *me, mp_queue *q, int64_t deadline);
/* Frees the lists of what I have in work, or leased; the items stay so. */
void mp_works_free(mp_self *me);
void mp_leases_free(mp_self *me);

/* As get, but the items stay mine (me->leases) until mp_queue_commit ends
 * or mp_queue_release gives them back; ins point into shared memory. An item
 * that was delivered before comes alone: one that kills its holders is found
 * by that. Several follow each other in the queue (seq), and their leases are
 * the last that I have been given (me->leases.last). ins: NULL if
 * mp_queue_leased is to tell of them. */
int mp_queue_lease(mp_self *me, mp_queue *q, mp_in *ins, uint32_t max,
                   int64_t deadline, uint32_t *ngot);
/* The item of a lease. false: I have no such lease. */
bool mp_queue_leased(mp_self *me, uint64_t lease, mp_in *in);
/* Takes n leases, from that number on, out of the transaction: commits do not
 * finish them before they are claimed again. They stay mine, and go back when I
 * end. Being kept is no delivery (tries), being claimed again is one. 0;
 * otherwise nothing happened: -ENOENT: not all are mine, -EALREADY: not all are
 * to be kept, or claimed. */
int mp_queue_keep(mp_self *me, uint64_t lease, uint32_t n);
int mp_queue_claim(mp_self *me, uint64_t lease, uint32_t n);
/* Sets the label of what I have leased, and do not keep: whoever leases it next, should I die
 * or give it back, sees it. */
void mp_queue_mark(mp_self *me, uint16_t label);
/* Gives everything leased, and kept, back to the head of its queue: unharmed, so that
 * this was no delivery (tries). */
void mp_queue_release(mp_self *me);
/* The same of one that ends with its work undone, as if it were killed: it was
 * a delivery. */
void mp_queue_desert(mp_self *me);

/* Takes out every message that still waits and whose bytes, those after the
 * handle list, begin with id, but no more than most: it looks no further. What
 * others have leased stays theirs. How many. */
uint32_t mp_queue_withdraw(mp_self *me, mp_queue *q, uint64_t id, uint32_t most);

/* One output of a commit. */
typedef struct mp_batch {
	mp_queue *queue;
	mp_out *outs;
	uint32_t n;
} mp_batch;

/* Everything leased and not kept is finished and every output is put, in one store. Waits
 * while an output is full (one that has room takes any number). The same
 * queue may stand once only (-EINVAL). 0; otherwise nothing happened:
 * MP_TIMEOUT, MP_FULL (deadline 0), MP_CLOSED, MP_NOMEM, MP_INTERRUPTED. */
int mp_queue_commit(mp_self *me, mp_batch *batches, uint32_t n, int64_t deadline);

/* Copies the next message without taking it. Its bytes are the caller's to
 * free() (*data), handle list stripped. */
int mp_queue_peek(mp_self *me, mp_queue *q, unsigned char **data, size_t *len);
/* drop: with what is inside, and, of a joinable queue, what comes back. */
/* What it was made with, MP_Q_*. */
uint32_t mp_queue_flags(const mp_queue *q);
void mp_queue_close(mp_self *me, mp_queue *q, bool drop);
bool mp_queue_closed(const mp_queue *q);

typedef struct mp_queue_stat {
	uint64_t waiting;          /* not yet taken */
	uint64_t leased;           /* taken and not yet finished */
	uint64_t put;              /* ever */
	uint64_t capacity;         /* 0: unlimited */
	bool full;
} mp_queue_stat;
void mp_queue_stats(mp_self *me, mp_queue *q, mp_queue_stat *st);
/* Looks as if a get would not wait: an item is there, or it is closed. */
bool mp_queue_ready(const mp_queue *q, const mp_shm *s);

extern const mp_type_ops mp_queue_ops, mp_joinable_queue_ops, mp_simple_queue_ops;

#endif
