/* Killed while a descriptor is put into the store, looked up, taken, removed:
 * whoever survives gets it as long as its object is there, nothing is left
 * when it is not, and none is there twice.
 *
 * What the kernel keeps changes no word of the arena, so beside the stepping
 * (whose points are those at which the arena changed, unless MP_PROVE=1) there
 * are kills at the named points between two calls.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_CRASHPOINTS
#define MP_CRASHPOINTS
#endif
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/crash.h"
#include "killer.h"
#include "shm/fdstore.h"

enum { OTHERS = 3 };

/* Files that are told apart by their sizes. */
static int files[OTHERS + 1], pair[2];
static mp_handle h[OTHERS + 1], made;

static int open_here(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;
	CHECK(d != NULL);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static int make_file(int size)
{
	char name[] = "/tmp/kill_fd.XXXXXX";
	int fd = mkstemp(name);
	CHECK(fd >= 0);
	unlink(name);
	CHECK_EQ(ftruncate(fd, size), 0);
	return fd;
}

static void check_is(mp_self *me, mp_handle x, int size)
{
	struct stat st;
	int fd = mp_fd_dup(me, x);
	CHECK(fd > 2);
	CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	CHECK_EQ(fstat(fd, &st), 0);
	CHECK_EQ(st.st_size, size);
	close(fd);
}

/* ---- scenes ------------------------------------------------------------------ */

/* Files 0 and on; the socket's object comes after the first two. */
static void setup(mp_self *me)
{
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	for (int i = 0; i < OTHERS; i++)
		CHECK_EQ(mp_fd_create(me, files[i], &h[i]), 0);
	CHECK_EQ(mp_fd_create(me, pair[0], &made), 0);
	close(pair[0]);
}

static void nothing_set_up(mp_self *me)
{
	(void)me;
	made = 0;
}

static void create_op(mp_self *me, kl_ctl *ctl)
{
	mp_handle x;
	CHECK_EQ(mp_fd_create(me, files[1], &x), 0);
	ctl->reported = x;
	check_is(me, x, 1);
	mp_obj_drop(me, x);
}

static void dup_op(mp_self *me, kl_ctl *ctl)
{
	(void)ctl;
	check_is(me, h[2], 2);
	check_is(me, h[0], 0);
}

static void take_op(mp_self *me, kl_ctl *ctl)
{
	int fd = mp_fd_take(me, made);
	/* Another may have been faster. */
	CHECK(fd > 2 || fd == -ESTALE);
	ctl->reported = fd > 2;
	if (fd >= 0)
		close(fd);
}

/* Behind others, which go round when it is removed. */
static void drop_op(mp_self *me, kl_ctl *ctl)
{
	mp_handle x;
	(void)ctl;
	CHECK_EQ(mp_fd_create(me, files[1], &x), 0);
	mp_obj_drop(me, x);
}

/* The survivor's: everything else is there, and a new one can be made. */
static void use(mp_self *me, kl_ctl *ctl)
{
	mp_handle x;
	(void)ctl;
	for (int i = 0; i < OTHERS; i++)
		if (made)
			check_is(me, h[i], i);
	CHECK_EQ(mp_fd_create(me, files[2], &x), 0);
	check_is(me, x, 2);
	mp_obj_drop(me, x);
}

static void nothing_left(mp_self *me)
{
	mp_obj_collect(me);
	CHECK_EQ(mp_fdstore_count(me), 0);
}

static void create_check(mp_self *me, const kl_fate *f)
{
	(void)f;
	nothing_left(me);
}

/* Its other end sees the end of file when the store has let go of it. */
static bool other_end_sees_eof(void)
{
	char c;
	return recv(pair[1], &c, 1, MSG_DONTWAIT) == 0;
}

static void end_check(mp_self *me, bool taken)
{
	uint32_t n = mp_fdstore_count(me);
	int fd;
	CHECK(n == OTHERS || n == OTHERS + 1);
	fd = mp_fd_take(me, made);
	if (taken)
		CHECK_EQ(fd, -ESTALE);
	if (fd >= 0) {
		CHECK(!other_end_sees_eof());
		close(fd);
	}
	CHECK(other_end_sees_eof());
	close(pair[1]);
	CHECK_EQ(mp_fdstore_count(me), OTHERS);
	for (int i = 0; i < OTHERS; i++) {
		check_is(me, h[i], i);
		mp_obj_drop(me, h[i]);
	}
	mp_obj_drop(me, made);
	nothing_left(me);
}

static void take_check(mp_self *me, const kl_fate *f)
{
	end_check(me, f->done || kl_ctl_get(0)->reported);
}

static void dup_check(mp_self *me, const kl_fate *f)
{
	(void)f;
	end_check(me, false);
}

static const kl_scene scenes[] = {
	{ "create and drop", nothing_set_up, create_op, use, create_check, false },
	{ "dup", setup, dup_op, use, dup_check, false },
	{ "take", setup, take_op, use, take_check, false },
	{ "drop", setup, drop_op, use, dup_check, false },
};

/* ---- at the named points ------------------------------------------------------ */

static const char *victim;
static int countdown;

static void strike(const char *name)
{
	if (strcmp(name, victim) == 0 && countdown-- == 0)
		raise(SIGKILL);
}

/* Kills an actor at the n-th pass of a point of op. false: it passed less often. */
static bool kill_at(mp_self *me, const kl_scene *s, const char *point, int n)
{
	mp_aid aid;
	kl_fate fate = { .done = false };
	kl_ctl *ctl = kl_ctl_get(0), *mine = kl_ctl_get(7);
	int st, before = open_here();
	h_now("%s killed at %s, pass %d", s->name, point, n);
	ctl->reported = 0;
	s->setup(me);
	pid_t pid = h_fork(me, &aid);
	if (pid == 0) {
		victim = point;
		countdown = n;
		mp_crash_hook = strike;
		s->op(me, ctl);
		h_exit(0);
	}
	CHECK(waitpid(pid, &st, 0) == pid);
	fate.done = WIFEXITED(st);
	h_bury(me, aid);
	s->use(me, mine);
	s->check(me, &fate);
	CHECK_EQ(open_here(), before);
	return !fate.done;
}

static unsigned kill_at_points(mp_self *me)
{
	static const char *const points[] = {
		"store.put", "store.got", "store.copied", "store.removing", "object.emptied",
		"object.condemned", "object.live"
	};
	unsigned kills = 0;
	for (size_t i = 0; i < sizeof scenes / sizeof *scenes; i++)
		for (size_t k = 0; k < sizeof points / sizeof *points; k++)
			for (int n = 0; kill_at(me, &scenes[i], points[k], n); n++)
				kills++;
	return kills;
}

/* ---- limits -------------------------------------------------------------------- */

static void fill_up(mp_self *me)
{
	static mp_handle all[5000];
	int n = 0, rc, low;
	h_now("as many as there is room for");
	while ((rc = mp_fd_create(me, files[n % OTHERS], &all[n])) == 0)
		CHECK(++n < 5000);
	CHECK_EQ(rc, -ETOOMANYREFS);
	CHECK(n >= 400);
	/* One from the middle: those before it go round, also where it is full. */
	mp_obj_drop(me, all[n / 2]);
	CHECK_EQ(mp_fdstore_count(me), n - 1);
	for (int i = 0; i < n; i += 7)
		if (i != n / 2)
			check_is(me, all[i], i % OTHERS);
	CHECK_EQ(mp_fd_create(me, files[0], &all[n / 2]), 0);
	for (int i = 0; i < n; i++)
		mp_obj_drop(me, all[i]);
	CHECK_EQ(mp_fdstore_count(me), 0);
	CHECK_EQ(mp_fd_create(me, -1, &all[0]), -EBADF);
	CHECK_EQ(mp_fd_create(me, 9999, &all[0]), -EBADF);
	/* Never one of the standard streams. */
	CHECK_EQ(mp_fd_create(me, files[1], &all[0]), 0);
	low = dup(0);
	close(0);
	check_is(me, all[0], 1);
	if (low >= 0) {
		CHECK_EQ(dup2(low, 0), 0);
		close(low);
	}
	mp_obj_drop(me, all[0]);
}

int main(void)
{
	mp_shm shm;
	mp_self me;
	char text[160];
	unsigned kills;
	h_deadline(90, 7200);
	h_seed(0);
	h_open(&shm, &me, 2 << 20, 8);
	CHECK_EQ(mp_fdstore_open(&shm), 0);
	h_ballast(&me);
	for (int i = 0; i <= OTHERS; i++)
		files[i] = make_file(i);
	fill_up(&me);
	kills = kill_at_points(&me);
	CHECK(kills >= 15);
	if (!kl_works())
		return h_done("%u kills at points; no stepping here", kills);
	for (size_t i = 0; i < sizeof scenes / sizeof *scenes; i++)
		kl_play(&me, &scenes[i], 1);
	kl_summary(text, sizeof text);
	return h_done("%u kills at points, %s", kills, text);
}
