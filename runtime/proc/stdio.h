/* stdio: lines that processes write to the same stream are not torn.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_PROC_STDIO_H
#define MP_PROC_STDIO_H

#include <stdbool.h>
#include <stddef.h>

#include "../shm/shm.h"

/* mprun: stdout becomes a stream that writes whole lines. Where the C library
 * does not allow that (musl), it does what mp_stdio_plain does. */
void mp_stdio_install(void);
/* In somebody else's program: line buffers. */
void mp_stdio_plain(void);
/* Flushes what this process has written. Cheap if there is nothing. */
void mp_stdio_flush(void);
/* Who takes the lock for long writes; NULL: nobody, they go unlocked. */
void mp_stdio_actor(mp_self *me);
/* One write to stderr, whole. */
void mp_stdio_error(const char *text, size_t len);

#endif
