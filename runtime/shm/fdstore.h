/* fdstore: open files that lie between processes.
 *
 * Two sockets that every process of the runtime has, connected to each other:
 * what was sent into one and not yet received is the kernel's, whoever dies.
 * A message is a handle, with the descriptor as its control data. To look one
 * up is to walk over the messages by MSG_PEEK (SO_PEEK_OFF) and to peek at the
 * right one with room for the descriptor, which duplicates it.
 *
 * Layout: h->store, a latch: the sockets' peek offset is everybody's. Handles
 * with an even index lie in one socket, the others in the other one.
 * Invariant: an object's message is there from mp_store_put until it is taken
 * or removed, which is before its handle ends.
 * Crash: to remove one from the middle, those before it go round: a copy is
 * appended, then the first is consumed. Killed in between, the first and the
 * last are the same; whoever gets the latch next is told that it was abandoned,
 * and consumes the first. The peek offset is set anew before each use.
 * Blocking: never, but for the latch.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_FDSTORE_H
#define MP_FDSTORE_H

#include "object.h"

/* 0 or -errno. Before the first fork. */
int mp_fdstore_open(mp_shm *s);
void mp_fdstore_close(mp_shm *s);

/* Puts a duplicate of fd there for h, which is mine. 0, -EBADF,
 * -ETOOMANYREFS (no room, or RLIMIT_NOFILE of them are in sockets), -errno. */
int mp_fdstore_put(mp_self *me, mp_handle h, int fd);
/* A new descriptor (CLOEXEC, none of the standard streams') of what lies there
 * for h; take: and it lies there no more. -ESTALE: nothing does; -EMFILE. */
int mp_fdstore_get(mp_self *me, mp_handle h, bool take);
/* Removes what lies there for h, if anything. Idempotent. */
void mp_fdstore_remove(mp_self *me, mp_handle h);
/* How many messages lie there. */
uint32_t mp_fdstore_count(mp_self *me);

#endif
