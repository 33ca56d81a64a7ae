/* stored: a message that an object keeps: values encoded by the floors above,
 * and the handles that they list.
 *
 * Layout: a block: this head, the handles, the bytes; one word of the object's
 * body refers to it. Invariant: what the word refers to is whole and never
 * changes. Crash: the block is its maker's until the word is stored; killed
 * before that it is freed by the sweep, after that it is the object's.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_STORED_H
#define MP_STORED_H

#include "../base/part.h"
#include "object.h"

typedef struct mp_stored {
	uint64_t len;              /* of the bytes */
	uint32_t nhandles;
	uint32_t kind;             /* for the floors above */
	mp_handle handles[];
} mp_stored;

/* Stores a message; *where is 0 before. 0, MP_NOMEM, MP_TOOBIG. */
int mp_stored_put(mp_self *me, _Atomic uint64_t *where, uint32_t kind,
                  const mp_part *parts, size_t nparts, size_t len,
                  const mp_handle *handles, uint32_t nhandles);
/* What is stored, or NULL; valid while the object lives. */
const mp_stored *mp_stored_get(const mp_shm *s, _Atomic uint64_t *where);
static inline const unsigned char *mp_stored_bytes(const mp_stored *s)
{
	return (const unsigned char *)(s->handles + s->nhandles);
}

/* For the object's destroy and contents. */
void mp_stored_free(mp_self *me, _Atomic uint64_t *where);
void mp_stored_mark(const mp_shm *s, _Atomic uint64_t *where,
                    void (*mark)(void *ud, mp_handle h), void *ud);

#endif
