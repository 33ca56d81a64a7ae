/* stdio: lines that processes write to the same stream are not torn.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_PROC_STDIO_H
#define MP_PROC_STDIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "../shm/shm.h"

/* mprun: stdout becomes a stream that writes whole lines. Where the C library
 * does not allow that (musl), it does what mp_stdio_plain does. */
void mp_stdio_install(void);
/* In somebody else's program: line buffers. */
void mp_stdio_plain(void);
/* A thread's own stream for stdout, of whole lines; NULL: no memory. Closed by
 * that thread. */
typedef struct mp_stream mp_stream;
mp_stream *mp_stdio_open(FILE **file);
void mp_stdio_close(mp_stream *s);
/* In a forked child: what another thread has buffered is not ours to write.
 * NULL: in C's stdout. */
void mp_stdio_purge(mp_stream *s);
/* The descriptor behind a file of ours or anybody's. */
int mp_stdio_number(FILE *f);
/* Bytes that a file has read ahead of its reader: no poll tells of them. */
size_t mp_stdio_ahead(FILE *f);
/* Flushes what this thread, or a C function, has written. Cheap if there is
 * nothing. */
void mp_stdio_flush(void);
/* Who takes the lock for long writes of this thread; NULL: nobody, they go
 * unlocked. */
void mp_stdio_actor(mp_self *me);
/* One write to stderr, whole. */
void mp_stdio_error(const char *text, size_t len);
/* The same; on a terminal, what stands from the cursor's line on is a bar: whoever
 * of our processes writes there next clears that first, then it is gone. over: there
 * is no bar any more. */
void mp_stdio_bar(const char *text, size_t len, bool over);

#endif
