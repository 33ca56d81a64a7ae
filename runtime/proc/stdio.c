/* stdio: see stdio.h.
 *
 * A write of up to PIPE_BUF bytes to a pipe is atomic, a longer one is not:
 * writes to pipes and sockets are serialised by a latch in the arena. Files
 * and terminals serialise by themselves.
 *
 * mprun's stdout keeps the unfinished line at the end of a full buffer (tail)
 * and writes it with the rest; an explicit flush, which C's stdio shows as a
 * write of less than the buffer, writes everything.
 * Crash: a process killed in a long write leaves its line torn and the latch
 * in its name; the next one steals it.
 *
 * SPDX-License-Identifier: MIT */
#include "stdio.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include "../shm/latch.h"

#define BUFFER   65536u
#define LONGEST  (1u << 20)  /* a longer unfinished line is written as it comes */

static mp_self *actor;       /* the streams are the process's, and so is this */

static struct {
	FILE *file;              /* NULL: not installed */
	char *buffer;            /* of stdout; never freed, the stream outlives us */
	char *tail;
	size_t len, cap;
} out;

void mp_stdio_actor(mp_self *me) { actor = me; }

static bool stream_like(int fd)
{
	struct stat st;
	return fstat(fd, &st) == 0 && (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode));
}

static int write_all(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t k = write(fd, p, n);
		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return -errno;
		p += k;
		n -= (size_t)k;
	}
	return 0;
}

static int write_whole(int fd, const char *p, size_t n)
{
	mp_self *me = actor && stream_like(fd) ? actor : NULL;
	int rc;
	if (me)
		mp_latch_hold(me, &me->shm->h->stdio);
	rc = write_all(fd, p, n);
	if (me)
		mp_unlatch(me, &me->shm->h->stdio);
	return rc;
}

void mp_stdio_error(const char *text, size_t len)
{
	fflush(stderr);
	write_whole(STDERR_FILENO, text, len);
}

/* ---- mprun's stdout --------------------------------------------------------- */

#ifdef __GLIBC__

/* Nobody reads our output any more: end as programs do then, quietly, even if
 * a library ignores SIGPIPE. */
static void broken_pipe(void)
{
	sigset_t set;
	signal(SIGPIPE, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	raise(SIGPIPE);
}

static bool keep(const char *p, size_t n)
{
	if (!out.tail || out.len + n > out.cap) {
		char *more = realloc(out.tail, out.len + n + BUFFER);
		if (!more)
			return false;
		out.tail = more;
		out.cap = out.len + n + BUFFER;
	}
	memcpy(out.tail + out.len, p, n);
	out.len += n;
	return true;
}

/* What was kept and n bytes more, in one piece if there is memory for it. */
static int emit(const char *p, size_t n)
{
	size_t kept = out.len;
	int rc;
	if (kept == 0)
		return write_whole(STDOUT_FILENO, p, n);
	if (n == 0 || keep(p, n)) {
		kept = out.len;
		n = 0;
	}
	out.len = 0;
	rc = write_whole(STDOUT_FILENO, out.tail, kept);
	return rc == 0 && n ? write_whole(STDOUT_FILENO, p, n) : rc;
}

static ssize_t write_out(void *cookie, const char *p, size_t n)
{
	size_t whole = n;
	int rc = 0;
	(void)cookie;
	if (n >= BUFFER) {  /* it is full: the last line goes on */
		const char *end = memrchr(p, '\n', n);
		whole = end ? (size_t)(end - p) + 1 : 0;
	}
	if (out.len + n - whole > LONGEST)
		whole = n;
	if (whole)
		rc = emit(p, whole);
	if (rc == 0 && whole < n && !keep(p + whole, n - whole))
		rc = emit(p + whole, n - whole);
	if (rc == -EPIPE)
		broken_pipe();
	if (rc == 0)
		return (ssize_t)n;
	errno = -rc;
	return 0;
}

void mp_stdio_install(void)
{
	cookie_io_functions_t io = { .write = write_out };
	FILE *f;
	if (out.buffer || !(out.buffer = malloc(BUFFER)))
		return;
	fflush(stdout);
	f = fopencookie(NULL, "w", io);
	if (!f)
		return;
	setvbuf(f, out.buffer, isatty(STDOUT_FILENO) ? _IOLBF : _IOFBF, BUFFER);
	out.file = stdout = f;
	atexit(mp_stdio_flush);
	setvbuf(stderr, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_DFL);
}

static void emit_tail(void)
{
	if (out.len)
		emit(NULL, 0);
}

#else

void mp_stdio_install(void) { mp_stdio_plain(); }
static void emit_tail(void) { }

#endif

/* ---- any program's ------------------------------------------------------------ */

void mp_stdio_plain(void)
{
	if (out.buffer || !(out.buffer = malloc(BUFFER)))
		return;
	fflush(stdout);
	setvbuf(stdout, out.buffer, _IOLBF, BUFFER);
	setvbuf(stderr, NULL, _IOLBF, 0);
}

void mp_stdio_flush(void)
{
	if (__fpending(stdout) || out.len) {
		fflush(stdout);
		emit_tail();
	}
	if (__fpending(stderr))
		fflush(stderr);
}
