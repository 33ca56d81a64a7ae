/* fd: an open file as an object, which travels like any other.
 *
 * Its descriptor lies in the store; no process need have it open, so the
 * sender may close its own at once, and die. What has another end (a
 * connection, a pipe) is opened by the first that takes it and lies there no
 * longer: its other end then sees an end-of-file when that one closes it. A
 * file or a listener may be taken any number of times.
 *
 * Layout: single: it is of the first kind. Invariant and crash: the store's;
 * the object is made before its descriptor is stored, and whoever destroys it
 * removes that first.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_FD_H
#define MP_FD_H

#include "../shm/object.h"

typedef struct mp_fd {
	mp_handle self;
	mp_word single;
	uint32_t pad;
} mp_fd;

/* An object with a duplicate of fd, held by me. 0, -EBADF, -ETOOMANYREFS
 * (too many under way), what mp_obj_create returns. */
int mp_fd_create(mp_self *me, int fd, mp_handle *h);
/* A new descriptor of it, CLOEXEC; or -ESTALE: it was taken, or the object is
 * gone; -EMFILE. */
int mp_fd_dup(mp_self *me, mp_handle h);
/* The same; if it is single, nobody gets another. */
int mp_fd_take(mp_self *me, mp_handle h);

extern const mp_type_ops mp_fd_ops;

#endif
