/* command: see command.h.
 *
 * SPDX-License-Identifier: MIT */
#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../base/clock.h"
#include "../base/crash.h"
#include "../base/pid.h"
#include "../shm/sleep.h"
#include "stdio.h"

#define OUTPUT_MOST (1u << 20)     /* of output that nobody has taken */
#define SAID_MOST   (64u << 10)    /* of stderr that is held back */
#define SAID_TURN   (256u << 10)   /* of stderr read in one go */
#define STEP        (64u << 10)    /* what a pipe holds */
#define SLICE       (5 * MP_MS)    /* where there are no pidfds */
#define ARG_PAGES   32             /* the longest argument that Linux takes */

extern char **environ;

static void shut(mp_command *c, int *fd)
{
	if (*fd < 0)
		return;
	mp_fds_lock(&c->rt->shm);
	close(*fd);
	*fd = -1;
	mp_fds_unlock(&c->rt->shm);
}

/* ---- starting ------------------------------------------------------------------- */

typedef struct birth {
	const char *text;
	int ends[3];               /* its stdin, stdout, stderr */
	pid_t parent;
	_Atomic uint64_t *group;   /* in the slot */
	volatile int err;          /* why it could not be executed */
} birth;

/* What is ignored stays so in a program that is executed. nohup is meant to. */
static void default_signals(void)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL }, now;
	sigset_t none;
	for (int sig = 1; sig <= SIGRTMAX; sig++)
		if (sigaction(sig, NULL, &now) == 0 && now.sa_handler != SIG_DFL &&
		    !(sig == SIGHUP && now.sa_handler == SIG_IGN))
			sigaction(sig, &dfl, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* The child of a vfork: it has our memory, and we do nothing meanwhile. Nothing
 * here takes a lock, and no handler of ours may run. */
static _Noreturn void be_born(birth *b)
{
	char *argv[] = { "sh", "-c", "--", (char *)(uintptr_t)b->text, NULL };
	setsid();
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != b->parent)  /* it died before that */
		_exit(127);
	atomic_store(b->group, mp_group_note(getpid()));
	for (int i = 0; i < 3; i++)
		dup2(b->ends[i], i);
	default_signals();
	execve("/bin/sh", argv, environ);
	b->err = errno;
	_exit(127);
}

/* Not fork: the heap may be large, and it would all be marked for copying. Where a
 * sanitizer makes it one, the child may not have noted its group yet. */
static pid_t spawn(birth *b)
{
	uint64_t none = 0;
	pid_t pid = vfork();
	if (pid == 0)
		be_born(b);  // NOLINT(clang-analyzer-unix.Vfork)
	if (pid > 0)
		atomic_compare_exchange_strong(b->group, &none, mp_group_note(pid));
	return pid;
}

/* Above the standard streams: the child's are put there. -1 or a descriptor. */
static int lift(int fd)
{
	int high;
	if (fd < 0 || fd > 2)
		return fd;
	high = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	close(fd);
	return high;
}

static bool open_pipe(int *mine, int *its, bool mine_writes)
{
	int fds[2];
	if (pipe2(fds, O_CLOEXEC))
		return false;
	*mine = lift(fds[mine_writes]);
	*its = lift(fds[!mine_writes]);
	return *mine >= 0 && *its >= 0 && fcntl(*mine, F_SETFL, O_NONBLOCK) == 0;
}

static bool open_pipes(mp_command *c, birth *b)
{
	if (c->how & MP_COMMAND_INPUT) {
		if (!open_pipe(&c->in, &b->ends[0], true))
			return false;
	} else if ((b->ends[0] = lift(open("/dev/null", O_RDONLY | O_CLOEXEC))) < 0) {
		return false;
	}
	return open_pipe(&c->out, &b->ends[1], false) && open_pipe(&c->err, &b->ends[2], false);
}

static void close_all(mp_command *c)
{
	int *fds[] = { &c->in, &c->out, &c->err, &c->pidfd };
	for (int i = 0; i < 4; i++)
		shut(c, fds[i]);
	c->left = 0;
}

/* The fds lock is held, and all signals are blocked. */
static int start_locked(mp_command *c, birth *b)
{
	int rc = 0;
	if (!open_pipes(c, b) || (c->pid = spawn(b)) < 0)
		rc = -errno;
	for (int i = 0; i < 3; i++)
		if (b->ends[i] >= 0)
			close(b->ends[i]);
	if (!rc && b->err) {
		rc = -b->err;
		waitpid(c->pid, NULL, 0);
	}
	if (rc) {
		atomic_store(b->group, 0);
		c->pid = 0;
		return rc;
	}
	c->next = c->rt->commands;
	c->rt->commands = c;
	return 0;
}

static _Atomic uint64_t *free_place(mp_runtime *rt)
{
	for (int i = 0; i < MP_GROUPS; i++)
		if (!atomic_load(&rt->self.slot->groups[i]))
			return &rt->self.slot->groups[i];
	return NULL;
}

/* In a process that we started, not in a host: what a command leaves running
 * becomes ours to reap, and how a child ended is kept for us. */
static void own_children(const mp_runtime *rt)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL }, now;
	if (rt->owner)
		return;
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	sigaction(SIGCHLD, NULL, &now);
	if (now.sa_handler == SIG_IGN || now.sa_flags & SA_NOCLDWAIT)
		sigaction(SIGCHLD, &dfl, NULL);
}

int mp_command_start(mp_runtime *rt, mp_command *c, const char *text, unsigned how)
{
	birth b = { .text = text, .ends = { -1, -1, -1 }, .parent = getpid(),
	            .group = free_place(rt) };
	sigset_t all, before;
	int rc;
	memset(c, 0, sizeof *c);
	c->rt = rt;
	c->how = how;
	c->in = c->out = c->err = c->pidfd = -1;
	if (strlen(text) >= (size_t)(ARG_PAGES * sysconf(_SC_PAGESIZE)))
		return -E2BIG;
	if (!b.group)
		return -EBUSY;
	own_children(rt);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	mp_fds_lock(&rt->shm);
	rc = start_locked(c, &b);
	mp_fds_unlock(&rt->shm);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc)
		close_all(c);
	MP_CRASHPOINT("command.started");
	return rc;
}

/* ---- moving --------------------------------------------------------------------- */

/* A write to a pipe that nobody reads is no reason to die: the signal that it
 * raises is taken back. */
static ssize_t write_quietly(int fd, const char *p, size_t n)
{
	static const struct timespec now;
	sigset_t pipe, before, pending;
	ssize_t written;
	int err;
	sigemptyset(&pipe);
	sigaddset(&pipe, SIGPIPE);
	sigpending(&pending);
	pthread_sigmask(SIG_BLOCK, &pipe, &before);
	written = write(fd, p, n);
	err = errno;
	if (written < 0 && err == EPIPE && !sigismember(&pending, SIGPIPE))
		while (sigtimedwait(&pipe, NULL, &now) < 0 && errno == EINTR)
			;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	errno = err;
	return written;
}

static void takes_no_more(mp_command *c)
{
	c->left = 0;
	shut(c, &c->in);
}

static void write_some(mp_command *c)
{
	while (c->left && c->in >= 0) {
		ssize_t n = write_quietly(c->in, c->input, c->left);
		if (n >= 0) {
			c->input += n;
			c->left -= (size_t)n;
		} else if (errno == EAGAIN) {
			return;
		} else if (errno != EINTR) {
			takes_no_more(c);
		}
	}
}

static bool has_room(mp_text *t, size_t n)
{
	size_t cap = t->cap ? t->cap : STEP;
	char *p;
	while (cap - t->len < n)
		cap *= 2;
	if (cap == t->cap)
		return true;
	p = realloc(t->data, cap);
	if (!p)
		return false;
	t->data = p;
	t->cap = cap;
	return true;
}

/* Reads what is there, until the text is of that length. 0 or -ENOMEM. */
static int read_some(mp_command *c, int *fd, mp_text *t, size_t most)
{
	while (*fd >= 0 && t->len < most) {
		ssize_t n;
		if (!has_room(t, STEP))
			return -ENOMEM;
		n = read(*fd, t->data + t->len, STEP);
		if (n > 0)
			t->len += (size_t)n;
		else if (n == 0 || (errno != EAGAIN && errno != EINTR))
			shut(c, fd);
		if (n >= 0 && n < (ssize_t)STEP)
			return 0;
		if (n < 0 && errno == EAGAIN)
			return 0;
	}
	return 0;
}

static void keep_tail(mp_command *c, const char *p, size_t n)
{
	size_t old;
	if (n > sizeof c->tail) {
		p += n - sizeof c->tail;
		n = sizeof c->tail;
	}
	old = sizeof c->tail - n < c->ntail ? sizeof c->tail - n : c->ntail;
	memmove(c->tail, c->tail + c->ntail - old, old);
	memcpy(c->tail + old, p, n);
	c->ntail = old + n;
}

/* Passes on the first n bytes of what it said. */
static void pass_on(mp_command *c, size_t n)
{
	if (n)
		mp_stdio_error(c->said.data, n);
	c->said.len -= n;
	memmove(c->said.data, c->said.data + n, n ? c->said.len : 0);
}

/* Whole lines; a line that never ends, in pieces. */
static void pass_lines(mp_command *c)
{
	const char *end = memrchr(c->said.data, '\n', c->said.len);
	if (end)
		pass_on(c, (size_t)(end - c->said.data) + 1);
	else if (c->said.len > SAID_MOST)
		pass_on(c, c->said.len);
}

static int read_stderr(mp_command *c)
{
	size_t before = c->said.len;
	int rc = read_some(c, &c->err, &c->said, before + SAID_TURN);
	if (c->said.len == before)
		return rc;
	keep_tail(c, c->said.data + before, c->said.len - before);
	if (!(c->how & MP_COMMAND_HOLD) || c->said.len > SAID_MOST)
		pass_lines(c);
	return rc;
}

/* All that can be moved without waiting. */
static int turn(mp_command *c)
{
	int rc;
	write_some(c);
	rc = read_some(c, &c->out, &c->output, OUTPUT_MOST);
	return rc ? rc : read_stderr(c);
}

/* ---- waiting -------------------------------------------------------------------- */

/* Until something can be moved, or, if nothing can come, it has ended. */
static int await(mp_command *c)
{
	const mp_wait as = { .what = MP_W_OUTSIDE };
	mp_sleeper sl = { .me = &c->rt->self, .as = &as, .deadline = MP_FOREVER };
	struct pollfd p[3];
	unsigned n = 0;
	int rc = MP_EMPTY;
	if (c->left)
		p[n++] = (struct pollfd){ c->in, POLLOUT, 0 };
	if (c->out >= 0)
		p[n++] = (struct pollfd){ c->out, POLLIN, 0 };
	if (c->err >= 0)
		p[n++] = (struct pollfd){ c->err, POLLIN, 0 };
	if (!n) {
		if (c->pidfd < 0) {
			mp_fds_lock(&c->rt->shm);
			c->pidfd = mp_pidfd_open(c->pid);
			mp_fds_unlock(&c->rt->shm);
		}
		if (c->pidfd >= 0)
			p[n++] = (struct pollfd){ c->pidfd, POLLIN, 0 };
		else
			sl.deadline = mp_now() + SLICE;
	}
	while (rc == MP_EMPTY)
		rc = mp_sleep_in_poll(&sl, p, n);
	mp_sleep_end(&sl);
	return rc == MP_TIMEOUT ? MP_OK : rc;
}

void mp_command_feed(mp_command *c, const char *bytes, size_t n)
{
	c->input = bytes;
	c->left = c->in >= 0 ? n : 0;
}

static bool unread(int fd)
{
	struct pollfd p = { fd, 0, 0 };
	return poll(&p, 1, 0) > 0;
}

int mp_command_exchange(mp_command *c)
{
	int rc;
	while ((rc = turn(c)) == 0 && c->left) {
		if (c->output.len >= OUTPUT_MOST)
			return MP_FULL;
		rc = await(c);
		if (rc)
			return rc;
	}
	if (rc)
		return rc;
	if (c->in >= 0 && unread(c->in))
		takes_no_more(c);
	return c->in >= 0 ? MP_OK : MP_CLOSED;
}

/* ---- its end -------------------------------------------------------------------- */

static void unlist(mp_command *c)
{
	mp_command **p = &c->rt->commands;
	mp_fds_lock(&c->rt->shm);
	while (*p && *p != c)
		p = &(*p)->next;
	if (*p)
		*p = c->next;
	mp_fds_unlock(&c->rt->shm);
}

/* Those of the group that are our children: the shell, and as a subreaper's its
 * orphans. They were killed; who was not, being another user's, stays. */
static void reap(mp_command *c)
{
	static const struct timespec moment = { 0, 50000 };
	int64_t until = mp_now() + MP_SEC;
	pid_t pid;
	while ((pid = waitpid(-c->pid, NULL, WNOHANG)) >= 0 || errno == EINTR) {
		if (pid > 0)
			continue;
		if (mp_now() > until)
			return;
		nanosleep(&moment, NULL);
	}
}

/* Its group is killed, then the slot's word cleared, and only then its number
 * given back. */
static void leave(mp_command *c)
{
	_Atomic uint64_t *groups = c->rt->self.slot->groups;
	for (int i = 0; i < MP_GROUPS; i++) {
		if ((pid_t)(uint32_t)atomic_load(&groups[i]) != c->pid)
			continue;
		mp_group_kill(atomic_load(&groups[i]));
		MP_CRASHPOINT("command.killed");
		atomic_store(&groups[i], 0);
	}
	reap(c);
	close_all(c);
	unlist(c);
	c->pid = 0;
}

/* Notes how, if it has. */
static bool note_end(mp_command *c)
{
	siginfo_t si = { .si_pid = 0 };
	int rc;
	do
		rc = waitid(P_PID, (id_t)c->pid, &si, WEXITED | WNOHANG | WNOWAIT);
	while (rc && errno == EINTR);
	if (rc == 0 && si.si_pid == 0)
		return false;
	c->status = rc == 0 ? mp_wait_status(&si) : -1;
	return true;
}

bool mp_command_ended(mp_command *c)
{
	return !c->pid || note_end(c);
}

/* What is left of stderr: the last line may lack its end. */
static void pass_rest(mp_command *c)
{
	if (c->said.len && c->said.data[c->said.len - 1] != '\n' && has_room(&c->said, 1))
		c->said.data[c->said.len++] = '\n';
	pass_on(c, c->said.len);
}

int mp_command_finish(mp_command *c)
{
	int rc;
	while (c->pid) {
		bool over = c->out < 0 && c->err < 0 && !c->left && note_end(c);
		rc = turn(c);
		if (rc)
			return rc;
		if (!c->left)
			takes_no_more(c);
		if (c->output.len)
			return MP_OK;
		if (over) {
			if (!(c->how & MP_COMMAND_HOLD) || c->status == 0)
				pass_rest(c);
			leave(c);
		} else if ((rc = await(c)) != MP_OK) {
			return rc;
		}
	}
	return MP_EOF;
}

void mp_command_kill(mp_command *c)
{
	if (!c->pid || !mp_runtime_mine(c->rt))
		return;
	if (!(c->how & MP_COMMAND_HOLD) && read_stderr(c) == 0)
		pass_rest(c);
	leave(c);
	c->status = -1;
	c->output.len = c->said.len = 0;
}

void mp_command_free(mp_command *c)
{
	mp_command_kill(c);
	free(c->output.data);
	free(c->said.data);
	c->output = c->said = (mp_text){ 0 };
}

void mp_commands_kill(mp_runtime *rt)
{
	while (rt->commands)
		mp_command_kill(rt->commands);
}

void mp_commands_forget(mp_runtime *rt)
{
	for (mp_command *c = rt->commands; c; c = c->next) {
		int fds[] = { c->in, c->out, c->err, c->pidfd };
		for (int i = 0; i < 4; i++)
			if (fds[i] >= 0)
				close(fds[i]);
		c->in = c->out = c->err = c->pidfd = -1;
		c->pid = 0;
	}
	rt->commands = NULL;
}
