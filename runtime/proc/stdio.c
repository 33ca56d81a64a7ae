/* stdio: see stdio.h.
 *
 * A write of up to PIPE_BUF bytes to a pipe is atomic, a longer one is not:
 * writes to pipes and sockets are serialised by a latch in the arena. Files
 * and terminals serialise by themselves.
 *
 * mprun's stdout keeps the unfinished line at the end of a full buffer (tail)
 * and writes it with the rest; an explicit flush, which C's stdio shows as a
 * write of less than the buffer, writes everything.
 * A thread has such a stream of its own: what several write to one buffer piece
 * by piece would be torn.
 * A bar stands in the terminal's last lines until somebody writes, with the cursor
 * in its first: from there on everything is cleared. While there is one, writes to
 * a terminal take the latch, too.
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

struct mp_stream {
	FILE *file;              /* NULL: not installed */
	char *buffer;
	char *tail;
	size_t len, cap;
};

/* C's stdout; its buffer is never freed, the stream outlives us. */
static mp_stream out;

/* A thread's own stream, NULL: it uses C's stdout; and who writes here. */
static _Thread_local mp_stream *own;
static _Thread_local mp_self *actor;

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

/* Of the header's word `bar`. */
enum {
	SHOWN = 1,   /* there is one now */
	STANDS = 2,  /* it is what the lines show */
	CUT = 4,     /* somebody's unfinished line is, which it must not go over */
};

static bool beside_bar(int fd)
{
	return actor && atomic_load(&actor->shm->h->bar) && isatty(fd);
}

/* Both latched. */
static void clear_bar(mp_word *bar, int fd)
{
	static const char clear[] = "\r\033[J";
	if (atomic_load(bar) & STANDS) {
		write_all(fd, clear, sizeof clear - 1);
		atomic_store(bar, SHOWN);
	}
}

static void note_end(mp_word *bar, const char *p, size_t n)
{
	if (n && atomic_load(bar))
		atomic_store(bar, p[n - 1] == '\n' ? SHOWN : SHOWN | CUT);
}

static int write_whole(int fd, const char *p, size_t n)
{
	bool beside = beside_bar(fd);
	mp_self *me = actor && (beside || stream_like(fd)) ? actor : NULL;
	int rc;
	if (me)
		mp_latch_hold(me, &me->shm->h->stdio);
	if (beside)
		clear_bar(&me->shm->h->bar, fd);
	rc = write_all(fd, p, n);
	if (beside)
		note_end(&me->shm->h->bar, p, n);
	if (me)
		mp_unlatch(me, &me->shm->h->stdio);
	return rc;
}

void mp_stdio_error(const char *text, size_t len)
{
	fflush(stderr);
	write_whole(STDERR_FILENO, text, len);
}

void mp_stdio_bar(const char *text, size_t len, bool over)
{
	fflush(stderr);
	if (!actor || !isatty(STDERR_FILENO)) {
		write_whole(STDERR_FILENO, text, len);
		return;
	}
	mp_self *me = actor;
	mp_latch_hold(me, &me->shm->h->stdio);
	if (atomic_load(&me->shm->h->bar) & CUT)
		write_all(STDERR_FILENO, "\n", 1);
	write_all(STDERR_FILENO, text, len);
	atomic_store(&me->shm->h->bar, over ? 0 : SHOWN | STANDS);
	mp_unlatch(me, &me->shm->h->stdio);
}

/* ---- streams of whole lines --------------------------------------------------- */

/* Nobody reads our output any more: end as programs do then, quietly, even if
 * a library ignores SIGPIPE. */
static void broken_pipe(void)
{
	sigset_t set;
	signal(SIGPIPE, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	raise(SIGPIPE);
}

static bool keep(mp_stream *s, const char *p, size_t n)
{
	if (!s->tail || s->len + n > s->cap) {
		char *more = realloc(s->tail, s->len + n + BUFFER);
		if (!more)
			return false;
		s->tail = more;
		s->cap = s->len + n + BUFFER;
	}
	memcpy(s->tail + s->len, p, n);
	s->len += n;
	return true;
}

/* What was kept and n bytes more, in one piece if there is memory for it. */
static int emit(mp_stream *s, const char *p, size_t n)
{
	size_t kept = s->len;
	int rc;
	if (kept == 0)
		return write_whole(STDOUT_FILENO, p, n);
	if (n == 0 || keep(s, p, n)) {
		kept = s->len;
		n = 0;
	}
	s->len = 0;
	rc = write_whole(STDOUT_FILENO, s->tail, kept);
	return rc == 0 && n ? write_whole(STDOUT_FILENO, p, n) : rc;
}

static ssize_t write_out(void *cookie, const char *p, size_t n)
{
	mp_stream *s = cookie;
	size_t whole = n;
	int rc = 0;
	if (n >= BUFFER) {  /* it is full: the last line goes on */
		const char *end = memrchr(p, '\n', n);
		whole = end ? (size_t)(end - p) + 1 : 0;
	}
	if (s->len + n - whole > LONGEST)
		whole = n;
	if (whole)
		rc = emit(s, p, whole);
	if (rc == 0 && whole < n && !keep(s, p + whole, n - whole))
		rc = emit(s, p + whole, n - whole);
	if (rc == -EPIPE && out.file)
		broken_pipe();
	if (rc == 0)
		return (ssize_t)n;
	errno = -rc;
	return 0;
}

static FILE *open_stream(mp_stream *s)
{
	cookie_io_functions_t io = { .write = write_out };
	FILE *f;
	if (s->buffer || !(s->buffer = malloc(BUFFER)))
		return NULL;
	f = fopencookie(s, "w", io);
	if (f)
		setvbuf(f, s->buffer, isatty(STDOUT_FILENO) ? _IOLBF : _IOFBF, BUFFER);
	return f;
}

static void flush(mp_stream *s, FILE *f)
{
	flockfile(f);
	if (__fpending(f) || s->len) {
		fflush(f);
		if (s->len)
			emit(s, NULL, 0);
	}
	funlockfile(f);
}

/* ---- mprun's stdout --------------------------------------------------------- */

#ifdef __GLIBC__

void mp_stdio_install(void)
{
	fflush(stdout);
	FILE *f = open_stream(&out);
	if (!f)
		return;
	out.file = stdout = f;
	atexit(mp_stdio_flush);
	setvbuf(stderr, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_DFL);
}

#else

void mp_stdio_install(void) { mp_stdio_plain(); }

#endif

/* ---- a thread's ----------------------------------------------------------------- */

mp_stream *mp_stdio_open(FILE **file)
{
	mp_stream *s = calloc(1, sizeof *s);
	if (!s)
		return NULL;
	s->file = *file = open_stream(s);
	if (!s->file) {
		free(s->buffer);
		free(s);
		return NULL;
	}
	own = s;
	return s;
}

void mp_stdio_close(mp_stream *s)
{
	if (!s)
		return;
	own = NULL;
	flush(s, s->file);
	fclose(s->file);
	free(s->buffer);
	free(s->tail);
	free(s);
}

/* The tail may be in the middle of a change: it is given up as it is. */
void mp_stdio_purge(mp_stream *s)
{
	if (!s)
		s = &out;
	__fpurge(s->file ? s->file : stdout);
	s->tail = NULL;
	s->len = s->cap = 0;
}

int mp_stdio_number(FILE *f)
{
	return f == stdout || (own && f == own->file) ? STDOUT_FILENO : fileno(f);
}

#ifdef __GLIBC__
size_t mp_stdio_ahead(FILE *f) { return (size_t)(f->_IO_read_end - f->_IO_read_ptr); }
#else
size_t mp_stdio_ahead(FILE *f) { return __freadahead(f); }
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
	if (own)
		flush(own, own->file);
	flush(&out, stdout);
	if (__fpending(stderr))
		fflush(stderr);
}
