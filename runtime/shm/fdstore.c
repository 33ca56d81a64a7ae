/* fdstore: see store.h.
 *
 * SPDX-License-Identifier: MIT */
#include "fdstore.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../base/crash.h"
#include "latch.h"

#define ROOM  (1 << 17)  /* bytes asked for: about 300 messages each way */
#define SPARE 4096       /* of them left for a copy that goes round */

/* One of the two ways through the pair of sockets. */
typedef struct lane {
	int in, out;
} lane;

static lane lane_of(const mp_shm *s, mp_handle h)
{
	return (lane){ s->store[h & 1], s->store[~h & 1] };
}

/* ---- messages -------------------------------------------------------------- */

typedef union rights {
	char room[CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
} rights;

static int send_one(int to, mp_handle h, int fd)
{
	rights r = { { 0 } };
	struct iovec io = { &h, sizeof h };
	struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1,
	                    .msg_control = r.room, .msg_controllen = sizeof r.room };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof fd);
	memcpy(CMSG_DATA(c), &fd, sizeof fd);
	return sendmsg(to, &m, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : MP_OK;
}

/* The handle of the message that comes next; its descriptor to *fd (-1: none
 * could be opened) unless that is NULL. false: no more. */
static bool receive(int from, int flags, mp_handle *h, int *fd)
{
	rights r;
	struct iovec io = { h, sizeof *h };
	struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1 };
	if (fd) {
		m.msg_control = r.room;
		m.msg_controllen = sizeof r.room;
		*fd = -1;
	}
	if (recvmsg(from, &m, flags | MSG_DONTWAIT | MSG_CMSG_CLOEXEC) != sizeof *h)
		return false;
	struct cmsghdr *c = fd ? CMSG_FIRSTHDR(&m) : NULL;
	if (c && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof *fd))
		memcpy(fd, CMSG_DATA(c), sizeof *fd);
	return true;
}

/* The next peek begins at this message. */
static void rewind_to(int from, uint32_t at)
{
	int off = (int)(at * sizeof(mp_handle));
	setsockopt(from, SOL_SOCKET, SO_PEEK_OFF, &off, sizeof off);
}

static bool peek(int from, mp_handle *h, int *fd)
{
	return receive(from, MSG_PEEK, h, fd);
}

static void consume(int from)
{
	mp_handle h;
	receive(from, 0, &h, NULL);
}

/* ---- latched --------------------------------------------------------------- */

static uint32_t count(lane l)
{
	mp_handle h;
	uint32_t n = 0;
	rewind_to(l.in, 0);
	while (peek(l.in, &h, NULL))
		n++;
	return n;
}

/* Where the first message of h is; -1: nowhere. */
static int64_t position(lane l, mp_handle h)
{
	mp_handle is;
	rewind_to(l.in, 0);
	for (uint32_t at = 0; peek(l.in, &is, NULL); at++)
		if (is == h)
			return at;
	return -1;
}

/* The last holder was killed, maybe between the copy of the first message to
 * the end and its removal: then the two are the same. */
static void repair(lane l)
{
	mp_handle first = 0, last = 0;
	uint32_t n = count(l);
	rewind_to(l.in, 0);
	if (n < 2 || !peek(l.in, &first, NULL))
		return;
	rewind_to(l.in, n - 1);
	if (peek(l.in, &last, NULL) && first == last)
		consume(l.in);
}

static void lock(mp_self *me)
{
	mp_shm *s = me->shm;
	if (mp_latch_hold(me, &s->h->store) != MP_ABANDONED)
		return;
	repair(lane_of(s, 0));
	repair(lane_of(s, 1));
}

static void unlock(mp_self *me)
{
	mp_unlatch(me, &me->shm->h->store);
}

/* The first message goes to the end; one of an object that is gone (there was
 * no descriptor left to remove it) goes for good. */
static int go_round(const mp_shm *s, lane l)
{
	mp_handle h;
	int fd, rc;
	rewind_to(l.in, 0);
	if (!peek(l.in, &h, &fd))
		return -ESTALE;
	if (mp_obj_type(s, h) == MP_T_FD) {
		rc = fd < 0 ? -EMFILE : send_one(l.out, h, fd);
		MP_CRASHPOINT("store.copied");
	} else {
		rc = MP_OK;
	}
	if (fd >= 0)
		close(fd);
	if (rc == MP_OK)
		consume(l.in);
	return rc;
}

static void remove_one(const mp_shm *s, lane l, mp_handle h)
{
	int64_t at = position(l, h);
	for (; at > 0; at--)
		if (go_round(s, l))
			return;
	MP_CRASHPOINT("store.removing");
	if (at == 0)
		consume(l.in);
}

static int find(lane l, mp_handle h)
{
	mp_handle is;
	int fd;
	int64_t at = position(l, h);
	if (at < 0)
		return -ESTALE;
	rewind_to(l.in, (uint32_t)at);
	return peek(l.in, &is, &fd) && fd >= 0 ? fd : -EMFILE;
}

/* Is there room for another, with enough left for copies? */
static bool has_room(int out)
{
	int used = 0, size = 0;
	socklen_t len = sizeof size;
	return ioctl(out, SIOCOUTQ, &used) == 0 &&
	       getsockopt(out, SOL_SOCKET, SO_SNDBUF, &size, &len) == 0 &&
	       used + SPARE <= size;
}

/* ---- the store ------------------------------------------------------------- */

int mp_fdstore_open(mp_shm *s)
{
	int size = ROOM;
	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, s->store))
		return -errno;
	for (int i = 0; i < 2; i++)
		setsockopt(s->store[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	return MP_OK;
}

void mp_fdstore_close(mp_shm *s)
{
	for (int i = 0; i < 2; i++) {
		if (s->store[i] >= 0)
			close(s->store[i]);
		s->store[i] = -1;
	}
}

int mp_fdstore_put(mp_self *me, mp_handle h, int fd)
{
	lane l = lane_of(me->shm, h);
	int rc;
	if (fcntl(fd, F_GETFD) < 0)
		return -EBADF;
	lock(me);
	rc = has_room(l.out) ? send_one(l.out, h, fd) : -ETOOMANYREFS;
	MP_CRASHPOINT("store.put");
	unlock(me);
	return rc == -EAGAIN || rc == -ENOBUFS ? -ETOOMANYREFS : rc;
}

/* Where a standard stream is closed, its number must not be given out: the
 * script's output would go there. */
static int above_streams(int fd)
{
	int other;
	if (fd < 0 || fd > 2)
		return fd;
	other = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	other = other < 0 ? -errno : other;
	close(fd);
	return other;
}

int mp_fdstore_get(mp_self *me, mp_handle h, bool take)
{
	lane l = lane_of(me->shm, h);
	int fd;
	lock(me);
	fd = above_streams(find(l, h));
	MP_CRASHPOINT("store.got");
	if (take && fd >= 0)
		remove_one(me->shm, l, h);
	unlock(me);
	return fd;
}

void mp_fdstore_remove(mp_self *me, mp_handle h)
{
	if (me->shm->store[0] < 0)
		return;
	lock(me);
	remove_one(me->shm, lane_of(me->shm, h), h);
	unlock(me);
}

uint32_t mp_fdstore_count(mp_self *me)
{
	mp_shm *s = me->shm;
	uint32_t n;
	lock(me);
	n = count(lane_of(s, 0)) + count(lane_of(s, 1));
	unlock(me);
	return n;
}
