/* buffer: raw bytes that processes share.
 *
 * Layout: the length, which never changes, then the bytes, in one block: a
 * buffer of any size is one object, and its handle is all that travels.
 * Invariant: none; the bytes are the script's. Two that write to the same
 * place at once leave a mixture, a reader may see half of a write.
 * Crash: killed in the middle of a write, what was copied so far is there.
 * Nothing is to be repaired.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_BUFFER_H
#define MP_BUFFER_H

#include "../shm/object.h"

typedef struct mp_buffer {
	uint64_t len;
	_Alignas(64) unsigned char data[];
} mp_buffer;

/* len zero bytes. 0, MP_NOMEM, MP_TOOBIG, -ENFILE. */
int mp_buffer_create(mp_self *me, uint64_t len, mp_handle *h);
/* Its bytes, which stay where they are as long as the caller holds it, and
 * how many; NULL if the handle is no buffer's. */
void *mp_buffer_data(const mp_shm *s, mp_handle h, uint64_t *len);

extern const mp_type_ops mp_buffer_ops;

#endif
