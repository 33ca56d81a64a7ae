/* pipe: two ends; what is sent into one is received from the other.
 *
 * Layout: an end is an object of its own; each direction is a queue, which
 * both ends list among their contents. Nobody holds these queues: they live
 * by the ends (object.h, contents) and go by a collection.
 *
 * Invariant: a message is in its queue, whole, or nowhere (queue.h). An end
 * lives while somebody holds it or a message lists it; when it goes, it closes
 * its queues: the other end's reader drains what is left and then meets the
 * end of the pipe, its sender learns that nobody will read.
 * Crash: closing is done again by the sweep if its actor dies in it, and finds
 * queues that are gone as well (handles have generations). An end that was
 * closed for reading (deaf, the commit) has its queue closed by the sweep.
 * Creating: the queues are announced (mp_obj_sending) before an end lists
 * them; whatever of it a dead creator leaves, nobody holds.
 *
 * recv is at most once: who dies in it takes its message along.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_PIPE_H
#define MP_PIPE_H

#include "queue.h"

/* Messages that wait in one direction; then a sender waits. */
#define MP_PIPE_CAPACITY 1024u

/* The label of a pipe's message: what it carries. */
enum { MP_PIPE_VALUE, MP_PIPE_BYTES, MP_PIPE_FD };

typedef struct mp_pipe {
	mp_handle self;
	_Atomic uint64_t peer;        /* the other end; keeps nothing alive */
	mp_handle in, out;            /* queues; 0: not this direction */
	int64_t in_at, out_at;        /* their bodies, counted from this one */
	mp_word deaf;                 /* 1: closed for reading */
} mp_pipe;

/* Two ends held by me. Not duplex: a only receives, b only sends. 0,
 * MP_NOMEM, -ENFILE. */
int mp_pipe_create(mp_self *me, bool duplex, mp_handle *a, mp_handle *b);
mp_pipe *mp_pipe_body(const mp_shm *s, mp_handle h);

/* The queues of an end that I hold; NULL: it has not that direction. */
mp_queue *mp_pipe_in(mp_pipe *p);
mp_queue *mp_pipe_out(mp_pipe *p);

/* Nobody receives from this end any more; what is in it is dropped, and the
 * other end's senders are told. */
void mp_pipe_deafen(mp_self *me, mp_pipe *p);

/* Does who hold the other end as well? Then its wait for the end of the pipe
 * is one for itself. */
bool mp_pipe_own_copy(const mp_shm *s, mp_handle end, mp_aid who);

extern const mp_type_ops mp_pipe_ops;

#endif
