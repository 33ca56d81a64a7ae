/* status: what core calls return.
 *
 * 0 is success, a positive value an outcome that a correct program may meet,
 * a negative value -errno: the world failed or the caller did.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_STATUS_H
#define MP_STATUS_H

enum {
	MP_OK = 0,
	MP_TIMEOUT,      /* the deadline passed */
	MP_EMPTY,        /* nothing there, and the caller would not wait */
	MP_FULL,         /* no room, and the caller would not wait */
	MP_EOF,          /* nobody holds the other end any more */
	MP_CLOSED,       /* closed (for a reader: and drained) */
	MP_ABANDONED,    /* acquired; the last holder died holding it */
	MP_INTERRUPTED,  /* the actor's interrupt hook asked the wait to end */
	MP_NOMEM,        /* the arena is full at the moment */
	MP_TOOBIG,       /* can never fit into this arena */
	MP_REFUSED       /* the next message is not of the kind asked for */
};

#endif
