/* command: shell commands with pipes to them: whatever is written and read, no
 * deadlock; however anybody ends, nobody of their groups, no zombie and no
 * descriptor is left.
 *
 * SPDX-License-Identifier: MIT */
#include "harness.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/crash.h"
#include "base/pid.h"
#include "proc/command.h"
#include "proc/thread.h"

#define TREE "(sleep 1000 | sleep 1000) & echo ready; sleep 1000 | sleep 1000"

static mp_runtime rt;
static mp_usage before;

/* ---- killing at a point ------------------------------------------------------- */

static struct shared {
	_Atomic int armed;       /* the next one who comes there dies */
	_Atomic int hits;
	_Atomic int group;       /* of a command that somebody started */
	char point[64];
} *crash;

static void hook(const char *name)
{
	int one = 1;
	if (strcmp(name, crash->point) == 0 && atomic_compare_exchange_strong(&crash->armed, &one, 0)) {
		atomic_fetch_add(&crash->hits, 1);
		kill(getpid(), SIGKILL);
	}
}

static void arm(const char *point)
{
	snprintf(crash->point, sizeof crash->point, "%s", point);
	crash->hits = 0;
	crash->armed = 1;
}

/* ---- helpers -------------------------------------------------------------------- */

static void open_as(bool standalone)
{
	mp_runtime_config cfg = { .memory = 8 << 20, .standalone = standalone };
	const char *why = NULL;
	CHECK_EQ(mp_runtime_open(&rt, &cfg, &why), 0);
	while (mp_slot_phase(&rt.shm, rt.keeper_aid) != MP_SLOT_LIVE)
		usleep(100);
	h_settle(&rt.self, &before);
}

static void open_rt(void) { open_as(false); }

static void start(mp_runtime *view, mp_command *c, const char *text, unsigned how)
{
	CHECK_EQ(mp_command_start(view, c, text, how), 0);
}

/* Gives it n bytes; its whole output in *all, which is to be freed. */
static size_t talk(mp_command *c, const char *bytes, size_t n, char **all)
{
	size_t len = 0;
	int rc = MP_FULL;
	*all = NULL;
	if (n)
		mp_command_feed(c, bytes, n);
	while (rc != MP_EOF) {
		rc = rc == MP_FULL ? mp_command_exchange(c) : mp_command_finish(c);
		CHECK(rc == MP_OK || rc == MP_FULL || rc == MP_CLOSED || rc == MP_EOF);
		CHECK(c->output.len < 4 << 20);
		*all = realloc(*all, len + c->output.len + 1);
		if (c->output.len)
			memcpy(*all + len, c->output.data, c->output.len);
		len += c->output.len;
		(*all)[len] = 0;
		c->output.len = 0;
	}
	CHECK_EQ(c->pid, 0);
	return len;
}

static int status_of(const char *text)
{
	mp_command c;
	char *all;
	start(&rt, &c, text, 0);
	talk(&c, NULL, 0, &all);
	free(all);
	mp_command_free(&c);
	return c.status;
}

/* The lowest descriptor that is free, and how many are open. */
static int descriptors(void)
{
	int n = 0;
	for (int fd = 0; fd < 1000; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* Those of the group that still run: zombies have ended. */
static int members(int group)
{
	DIR *d = opendir("/proc");
	struct dirent *e;
	int n = 0;
	CHECK(d != NULL);
	while ((e = readdir(d)) != NULL) {
		char path[PATH_MAX], state = 'X';
		int its = 0;
		FILE *f;
		snprintf(path, sizeof path, "/proc/%s/stat", e->d_name);
		f = isdigit((unsigned char)*e->d_name) ? fopen(path, "r") : NULL;
		if (!f)
			continue;
		if (fscanf(f, "%*d (%*[^)]) %c %*d %d", &state, &its) == 2 && its == group)
			n += state != 'Z' && state != 'X';
		fclose(f);
	}
	closedir(d);
	return n;
}

static bool runs(int pid)
{
	char path[PATH_MAX], state = 'X';
	FILE *f;
	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	f = fopen(path, "r");
	if (!f)
		return false;
	CHECK_EQ(fscanf(f, "%*d (%*[^)]) %c", &state), 1);
	fclose(f);
	return state != 'Z' && state != 'X';
}

static void group_gone(int group)
{
	CHECK(group > 1);
	for (int i = 0; i < 1000 && members(group); i++)
		usleep(10000);
	CHECK_EQ(members(group), 0);
}

/* Nobody but the keeper is a child of ours, dead or alive. */
static void no_children(void)
{
	siginfo_t si = { .si_pid = 0 };
	CHECK_EQ(waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT), 0);
	CHECK_EQ(si.si_pid, 0);
}

/* ---- input and output ------------------------------------------------------------- */

static void big(void)
{
	size_t n = 10 << 20;
	char *bytes = malloc(n), *all;
	mp_command c;
	open_rt();
	for (size_t i = 0; i < n; i++)
		bytes[i] = (char)h_random();
	start(&rt, &c, "cat", MP_COMMAND_INPUT);
	CHECK_EQ(talk(&c, bytes, n, &all), n);
	CHECK(memcmp(bytes, all, n) == 0);
	CHECK_EQ(c.status, 0);
	mp_command_free(&c);
	free(all);
	/* Three of each byte, and as many to stderr, while it is written. */
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC), err = dup(2);
	dup2(null, 2);
	start(&rt, &c, "tee /dev/stderr | sed 's/./&&&/g'", MP_COMMAND_INPUT | MP_COMMAND_HOLD);
	memset(bytes, 'x', n / 10);
	size_t got = talk(&c, bytes, n / 10, &all);
	dup2(err, 2);
	CHECK_EQ(got, n / 10 * 3);
	CHECK_EQ(c.status, 0);
	CHECK_EQ(c.ntail, MP_COMMAND_TAIL);
	mp_command_free(&c);
	free(all);
	free(bytes);
}

/* It reads nothing and ends, or closes its stdin: no signal, no wait. */
static void unread(void)
{
	size_t n = 1 << 20;
	char *bytes = calloc(1, n), *all;
	mp_command c;
	sigset_t pending;
	open_rt();
	signal(SIGPIPE, SIG_DFL);
	start(&rt, &c, "echo out; exit 3", MP_COMMAND_INPUT);
	CHECK_EQ(talk(&c, bytes, n, &all), 4);
	CHECK_EQ(c.status, 3 << 8);
	free(all);
	mp_command_free(&c);
	start(&rt, &c, "exec <&-; sleep 1000", MP_COMMAND_INPUT);
	mp_command_feed(&c, bytes, n);
	CHECK_EQ(mp_command_exchange(&c), MP_CLOSED);
	CHECK_EQ(c.left, 0);
	CHECK(!mp_command_ended(&c));
	mp_command_feed(&c, bytes, n);
	CHECK_EQ(mp_command_exchange(&c), MP_CLOSED);
	mp_command_kill(&c);
	CHECK_EQ(c.status, -1);
	mp_command_free(&c);
	sigpending(&pending);
	CHECK(!sigismember(&pending, SIGPIPE));
	free(bytes);
}

/* Another's SIGPIPE that waits is not ours to take. */
static void pending_signal(void)
{
	sigset_t pipe, pending;
	mp_command c;
	char *all;
	open_rt();
	sigemptyset(&pipe);
	sigaddset(&pipe, SIGPIPE);
	sigprocmask(SIG_BLOCK, &pipe, NULL);
	raise(SIGPIPE);
	start(&rt, &c, "exec <&-; read x <&2", MP_COMMAND_INPUT);
	usleep(20000);
	talk(&c, "x", 1, &all);
	free(all);
	mp_command_free(&c);
	sigpending(&pending);
	CHECK(sigismember(&pending, SIGPIPE));
}

static void said(void)
{
	mp_command c;
	char *all, text[16];
	int fds[2];
	open_rt();
	CHECK_EQ(pipe(fds), 0);
	dup2(fds[1], 2);
	start(&rt, &c, "echo held >&2; echo out", MP_COMMAND_HOLD);
	CHECK_EQ(talk(&c, NULL, 0, &all), 4);
	CHECK_EQ(read(fds[0], text, sizeof text), 5);
	CHECK(memcmp(text, "held\n", 5) == 0);
	mp_command_free(&c);
	free(all);
	start(&rt, &c, "echo bad >&2; exit 1", MP_COMMAND_HOLD);
	talk(&c, NULL, 0, &all);
	CHECK(c.ntail == 4 && memcmp(c.tail, "bad\n", 4) == 0);
	mp_command_free(&c);
	free(all);
	/* As it comes; the last line gets its end. */
	start(&rt, &c, "echo at once >&2; read x; printf end >&2; exit 1", MP_COMMAND_INPUT);
	while (c.ntail < 8)
		CHECK_EQ(mp_command_exchange(&c), MP_OK);
	CHECK_EQ(read(fds[0], text, sizeof text), 8);
	CHECK(memcmp(text, "at once\n", 8) == 0);
	talk(&c, "\n", 1, &all);
	CHECK_EQ(read(fds[0], text, sizeof text), 4);
	CHECK(memcmp(text, "end\n", 4) == 0);
	mp_command_free(&c);
	free(all);
}

static void statuses(void)
{
	open_rt();
	CHECK_EQ(status_of("exit 0"), 0);
	CHECK_EQ(status_of("exit 255"), 255 << 8);
	CHECK_EQ(status_of("no-such-command-here 2>/dev/null"), 127 << 8);
	CHECK_EQ(status_of("kill -KILL $$"), SIGKILL);
	CHECK_EQ(status_of("exec >&- 2>&-; sleep 0.05; exit 5"), 5 << 8);
	CHECK_EQ(status_of("-x 2>/dev/null"), 127 << 8);  /* no option of the shell's */
	CHECK_EQ(status_of("test -z \"$(cat)\""), 0);       /* /dev/null */
	signal(SIGCHLD, SIG_IGN);
	CHECK_EQ(status_of("exit 0"), -1);
}

/* ---- starting ------------------------------------------------------------------------ */

static void refused(void)
{
	size_t n = 4 << 20;
	char *text = malloc(n);
	mp_command c[MP_GROUPS + 1];
	int fds;
	open_rt();
	fds = descriptors();
	memset(text, ' ', n - 1);
	text[n - 1] = 0;
	CHECK_EQ(mp_command_start(&rt, &c[0], text, 0), -E2BIG);
	mp_command_free(&c[0]);
	free(text);
	for (int i = 0; i < MP_GROUPS; i++)
		start(&rt, &c[i], "sleep 1000", MP_COMMAND_INPUT);
	CHECK_EQ(mp_command_start(&rt, &c[MP_GROUPS], "true", 0), -EBUSY);
	for (int i = 0; i < MP_GROUPS; i++) {
		CHECK_EQ((pid_t)(uint32_t)atomic_load(&rt.self.slot->groups[i]), c[i].pid);
		mp_command_free(&c[i]);
		CHECK_EQ(atomic_load(&rt.self.slot->groups[i]), 0);
	}
	CHECK_EQ(descriptors(), fds);
	no_children();
}

/* No descriptor left: at each of those that a start needs. */
static void no_descriptors(void)
{
	mp_command c;
	struct rlimit few = { 64, 64 };
	int fd = 63, rc = -EMFILE;
	open_rt();
	CHECK_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
	while (fcntl(2, F_DUPFD_CLOEXEC, 3) >= 0)
		;
	while (rc) {
		CHECK(fd > 50);
		rc = mp_command_start(&rt, &c, "true", MP_COMMAND_INPUT);
		CHECK(rc == -EMFILE || rc == 0);
		CHECK_EQ(atomic_load(&rt.self.slot->groups[0]) != 0, rc == 0);
		if (rc)
			close(fd--);
	}
	mp_command_free(&c);
	no_children();
}

/* Where our standard streams are closed, its own are pipes all the same. */
static void closed_streams(void)
{
	mp_command c;
	char *all;
	open_rt();
	int err = fcntl(2, F_DUPFD_CLOEXEC, 10);
	for (int fd = 0; fd < 3; fd++)
		close(fd);
	start(&rt, &c, "cat; cat /dev/null >&2", MP_COMMAND_INPUT);
	bool high = c.in > 2 && c.out > 2 && c.err > 2;
	size_t n = talk(&c, "abc", 3, &all);
	dup2(err, 2);
	CHECK(high);
	CHECK_EQ(n, 3);
	CHECK_EQ(c.status, 0);
	mp_command_free(&c);
	free(all);
}

static void many(void)
{
	int fds, n = H_ASAN || H_TSAN ? 200 : 1000;
	open_rt();
	CHECK_EQ(status_of("true"), 0);
	fds = descriptors();
	for (int i = 0; i < n; i++) {
		mp_command c;
		char *all;
		start(&rt, &c, "echo $$; sleep 1000 >/dev/null 2>&1 &", MP_COMMAND_INPUT);
		int group = c.pid;
		CHECK(talk(&c, NULL, 0, &all) > 0);
		CHECK_EQ(atoi(all), group);
		free(all);
		mp_command_free(&c);
	}
	CHECK_EQ(descriptors(), fds);
	no_children();
}

/* ---- a system that refuses ------------------------------------------------------------ */

static void refuse(uint32_t call, uint32_t err)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | err),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { 4, code };
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog))
		_exit(0);  /* no filters here: nothing to try */
}

static void no_pidfds(void)
{
	open_rt();
	refuse(SYS_pidfd_open, ENOSYS);
	CHECK_EQ(status_of("exec >&- 2>&-; sleep 0.05; exit 5"), 5 << 8);
}

static void not_started(int err)
{
	int fds = descriptors(), rc;
	mp_command c;
	rc = mp_command_start(&rt, &c, "true", MP_COMMAND_INPUT);
	CHECK_EQ(rc, -err);
	mp_command_free(&c);
	CHECK_EQ(atomic_load(&rt.self.slot->groups[0]), 0);
	CHECK_EQ(descriptors(), fds);
	no_children();
}

static void no_process(void)
{
	open_rt();
#ifdef SYS_vfork
	refuse(SYS_vfork, EAGAIN);
#endif
	refuse(SYS_clone, EAGAIN);
	not_started(EAGAIN);
}

/* Where vfork is a fork, only its status tells. */
static void no_shell(void)
{
	open_rt();
	refuse(SYS_execve, ENOENT);
	if (H_TSAN)
		CHECK_EQ(status_of("true"), 127 << 8);
	else
		not_started(ENOENT);
}

/* ---- a group's number ------------------------------------------------------------------ */

static pid_t leader(void)
{
	int fds[2];
	char c;
	CHECK_EQ(pipe(fds), 0);
	pid_t pid = fork();
	if (pid == 0) {
		setsid();
		CHECK_EQ(write(fds[1], "x", 1), 1);
		for (;;)
			pause();
	}
	CHECK_EQ(read(fds[0], &c, 1), 1);
	close(fds[0]);
	close(fds[1]);
	return pid;
}

static void numbers(void)
{
	pid_t pid = leader();
	uint64_t note = mp_group_note(pid), second = (uint64_t)sysconf(_SC_CLK_TCK) << 32;
	int status;
	mp_group_kill(0);                           /* nobody's */
	mp_group_kill(note & ~UINT64_C(0xffffffff));
	mp_group_kill((note & ~UINT64_C(0xffffffff)) | 1);
	mp_group_kill(note - second);               /* an earlier one's of that number */
	usleep(20000);
	CHECK_EQ(waitpid(pid, &status, WNOHANG), 0);
	mp_group_kill(note);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	mp_group_kill(note);                        /* there is none any more */
}

/* ---- ends ------------------------------------------------------------------------------ */

/* In a process: starts the tree and tells its group. */
static void grow(mp_command *c)
{
	start(&rt, c, TREE, MP_COMMAND_INPUT);
	CHECK_EQ(mp_command_finish(c), MP_OK);
	crash->group = c->pid;
}

static mp_process *process(mp_handle *h, void (*f)(void))
{
	const char *why;
	pid_t pid;
	CHECK_EQ(mp_process_create(&rt.self, NULL, false, h), 0);
	int rc = mp_process_fork(&rt, *h, &pid, &why);
	if (rc == 1) {
		f();
		mp_process_exit(&rt, 0);
	}
	CHECK_EQ(rc, 0);
	return mp_process_body(&rt.shm, *h);
}

static int join(mp_process *p)
{
	int code = 4711;
	CHECK_EQ(mp_process_join(&rt, &rt.self, p, mp_deadline(10)), 0);
	mp_process_code(p, &code);
	return code;
}

static mp_command tree;

static void leaves(void) { grow(&tree); }

static void kills(void)
{
	grow(&tree);
	mp_command_kill(&tree);
}

static void waits(void)
{
	grow(&tree);
	tree.output.len = 0;
	mp_command_finish(&tree);
}

static void idles(void)
{
	grow(&tree);
	for (;;)
		pause();
}

static void nothing_left(void)
{
	mp_usage u;
	for (int i = 0; i < 300; i++) {
		mp_usage_of(&rt.shm, &u);
		if (u.actors == before.actors && u.objects == before.objects)
			break;
		usleep(10000);
	}
	h_audit(&rt.self, &before);
}

static void ends(void (*f)(void), const char *point, int code)
{
	mp_handle h;
	open_rt();
	crash->group = 0;
	if (point)
		arm(point);
	mp_process *p = process(&h, f);
	if (code == -SIGKILL && !point) {
		while (!crash->group)
			usleep(1000);
		mp_process_signal(&rt, p, SIGKILL);
	}
	CHECK_EQ(join(p), code);
	if (point)
		CHECK_EQ(crash->hits, 1);
	group_gone(crash->group);
	mp_obj_drop(&rt.self, h);
	nothing_left();
}

/* In a process of ours orphans are ours, and so is what SIGCHLD tells. */
static void reaps(void)
{
	siginfo_t si;
	for (int i = 0; i < 30; i++)
		CHECK_EQ(status_of("sleep 1000 >/dev/null 2>&1 & exit 3"), 3 << 8);
	CHECK_EQ(waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT), -1);
	CHECK_EQ(errno, ECHILD);
	crash->hits = 1;
}

static void no_orphans(void)
{
	mp_handle h;
	open_as(true);  /* what a process leaves would come to the owner */
	CHECK_EQ(join(process(&h, reaps)), 0);
	no_children();
	mp_obj_drop(&rt.self, h);
}

static void nobody_waits(void)
{
	mp_handle h;
	open_rt();
	crash->hits = 0;
	signal(SIGCHLD, SIG_IGN);
	join(process(&h, reaps));  /* how it ended nobody may know */
	CHECK_EQ(crash->hits, 1);
	mp_obj_drop(&rt.self, h);
}

static void ends_in_order(void) { ends(leaves, NULL, 0); }
static void killed_in_a_wait(void) { ends(waits, NULL, -SIGKILL); }
static void killed_elsewhere(void) { ends(idles, NULL, -SIGKILL); }
static void killed_at_killed(void) { ends(kills, "command.killed", -SIGKILL); }

/* Just started: its group is known from the slot alone. */
static void killed_at_started(void)
{
	mp_handle h;
	open_rt();
	arm("command.started");
	mp_process *p = process(&h, leaves);
	uint32_t slot = mp_aid_slot(atomic_load(&p->aid));
	uint64_t note = 0;
	for (int i = 0; i < 10000 && !note && !crash->hits; i++) {
		note = atomic_load(&rt.shm.slots[slot].groups[0]);
		usleep(10);
	}
	CHECK_EQ(join(p), -SIGKILL);
	CHECK_EQ(crash->hits, 1);
	CHECK_EQ(atomic_load(&rt.shm.slots[slot].groups[0]), 0);
	if (note)
		group_gone((int)(uint32_t)note);
	mp_obj_drop(&rt.self, h);
	nothing_left();
}

/* Who sweeps is killed when the group is, and before that is noted. */
static void keeper_killed(void)
{
	mp_handle h;
	open_rt();
	crash->group = 0;
	mp_process *p = process(&h, idles);
	while (!crash->group)
		usleep(1000);
	arm("slot.group");
	kill((pid_t)atomic_load(&p->pid), SIGKILL);
	for (int i = 0; i < 1000 && !crash->hits; i++)
		usleep(10000);
	CHECK_EQ(crash->hits, 1);
	group_gone(crash->group);
	CHECK_EQ(join(p), -SIGKILL);
	mp_obj_drop(&rt.self, h);
	mp_runtime_keep(&rt);
	nothing_left();
}

/* With the keeper stopped, only the kernel ends the shell: PR_SET_PDEATHSIG. */
static void without_keeper(void)
{
	mp_handle h;
	open_rt();
	crash->group = 0;
	mp_process *p = process(&h, idles);
	while (!crash->group)
		usleep(1000);
	kill(rt.keeper, SIGSTOP);
	kill((pid_t)atomic_load(&p->pid), SIGKILL);
	for (int i = 0; i < 1000 && runs(crash->group); i++)
		usleep(10000);
	CHECK(!runs(crash->group));
	CHECK(members(crash->group) > 0);  /* those that it started sleep on */
	kill(rt.keeper, SIGCONT);
	group_gone(crash->group);
	CHECK_EQ(join(p), -SIGKILL);
	mp_obj_drop(&rt.self, h);
	nothing_left();
}

static void owner_ends(bool killed)
{
	pid_t owner = fork();
	crash->group = 0;
	if (owner == 0) {
		open_rt();
		grow(&tree);
		if (killed)
			kill(getpid(), SIGKILL);
		mp_runtime_close(&rt, 0.2);
		_exit(tree.pid);
	}
	int status;
	waitpid(owner, &status, 0);
	CHECK_EQ(status, killed ? SIGKILL : 0);
	group_gone(crash->group);
	_exit(0);
}

static void owner_killed(void) { owner_ends(true); }
static void owner_closes(void) { owner_ends(false); }

/* A process that is forked meanwhile has the pipes too, and closes them. */
static void forked(void)
{
	mp_command c;
	mp_handle h;
	char *all;
	open_rt();
	start(&rt, &c, "cat", MP_COMMAND_INPUT);
	const char *why;
	pid_t pid;
	CHECK_EQ(mp_process_create(&rt.self, NULL, false, &h), 0);
	if (mp_process_fork(&rt, h, &pid, &why) == 1) {
		CHECK(c.pid == 0 && c.in < 0 && c.out < 0 && c.err < 0);
		mp_command_free(&c);
		for (;;)
			pause();
	}
	CHECK_EQ(talk(&c, "x", 1, &all), 1);  /* its end of input comes */
	free(all);
	mp_command_free(&c);
	kill(pid, SIGKILL);
	CHECK_EQ(join(mp_process_body(&rt.shm, h)), -SIGKILL);
	mp_obj_drop(&rt.self, h);
	nothing_left();
}

/* ---- threads ------------------------------------------------------------------------------ */

#define THREADS 4

static void talks(mp_runtime *view, void *arg)
{
	char bytes[100000], *all;
	(void)arg;
	memset(bytes, 't', sizeof bytes);
	for (int i = 0; i < 20; i++) {
		mp_command c;
		start(view, &c, "cat", MP_COMMAND_INPUT);
		CHECK_EQ(talk(&c, bytes, sizeof bytes, &all), sizeof bytes);
		CHECK(memcmp(all, bytes, sizeof bytes) == 0);
		CHECK_EQ(c.status, 0);
		free(all);
		mp_command_free(&c);
	}
}

static void threads(void)
{
	mp_handle h[THREADS];
	const char *why;
	int fds;
	open_rt();
	CHECK_EQ(status_of("true"), 0);
	fds = descriptors();
	for (int i = 0; i < THREADS; i++) {
		CHECK_EQ(mp_thread_create(&rt.self, NULL, false, &h[i]), 0);
		CHECK_EQ(mp_thread_start(&rt, h[i], talks, NULL, &why), 0);
	}
	for (int i = 0; i < THREADS; i++) {
		CHECK_EQ(join(mp_process_body(&rt.shm, h[i])), 0);
		mp_threads_reap(&rt);
		mp_obj_drop(&rt.self, h[i]);
	}
	CHECK_EQ(descriptors(), fds);
	no_children();
	nothing_left();
}

static void trial(const char *what, void (*f)(void))
{
	int status;
	pid_t pid = fork();
	h_now("%s", what);
	if (pid == 0) {
		h_deadline(60, 120);
		f();
		mp_runtime_close(&rt, 0.2);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	if (WIFSIGNALED(status) || WEXITSTATUS(status))
		h_fail(__FILE__, __LINE__, what, 1, WEXITSTATUS(status), WTERMSIG(status));
}

int main(void)
{
	crash = h_shared(sizeof *crash);
	mp_crash_hook = hook;
	h_deadline(110, 300);
	trial("threads", threads);
	trial("numbers", numbers);
	trial("big", big);
	trial("unread", unread);
	trial("a signal that waits", pending_signal);
	trial("stderr", said);
	trial("statuses", statuses);
	trial("refused", refused);
	trial("no descriptors", no_descriptors);
	trial("closed streams", closed_streams);
	trial("no pidfds", no_pidfds);
	trial("no process", no_process);
	trial("no shell", no_shell);
	trial("no orphans", no_orphans);
	trial("SIGCHLD ignored", nobody_waits);
	trial("many", many);
	trial("its process ends in order", ends_in_order);
	trial("killed in a wait", killed_in_a_wait);
	trial("killed elsewhere", killed_elsewhere);
	trial("killed: command.started", killed_at_started);
	trial("killed: command.killed", killed_at_killed);
	trial("keeper killed: slot.group", keeper_killed);
	trial("keeper stopped", without_keeper);
	trial("owner killed", owner_killed);
	trial("owner closes", owner_closes);
	trial("forked", forked);
	return H_PASS;
}
