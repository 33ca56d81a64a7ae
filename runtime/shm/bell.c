/* bell: see bell.h.
 *
 * SPDX-License-Identifier: MIT */
#include "bell.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "../base/crash.h"

/* ---- sockets --------------------------------------------------------------- */

typedef struct address {
	struct sockaddr_un un;
	socklen_t len;
} address;

/* h: 0 for the bell of an actor's waits. */
static address address_of(const mp_shm *s, mp_aid who, mp_handle h)
{
	static const char name[6] = "\0mprun";
	address a = { .un = { .sun_family = AF_UNIX } };
	char *to = a.un.sun_path;
	memcpy(to, name, sizeof name);
	to += sizeof name;
	memcpy(to, &s->h->id, sizeof s->h->id);
	to += sizeof s->h->id;
	memcpy(to, &who, sizeof who);
	to += sizeof who;
	memcpy(to, &h, sizeof h);
	to += sizeof h;
	a.len = (socklen_t)(to - (char *)&a.un);
	return a;
}

static int open_socket(void)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	return fd < 0 ? -errno : fd;
}

static int open_bound(const mp_shm *s, mp_aid who, mp_handle h)
{
	address a = address_of(s, who, h);
	int fd = open_socket();
	if (fd >= 0 && bind(fd, (struct sockaddr *)&a.un, a.len)) {
		int rc = -errno;
		close(fd);
		return rc;
	}
	return fd;
}

/* Refused: it is gone. Full: it is readable. */
static void send_to(int fd, const mp_shm *s, mp_aid who, mp_handle h)
{
	address a = address_of(s, who, h);
	while (sendto(fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL,
	              (struct sockaddr *)&a.un, a.len) < 0 && errno == EINTR)
		;
}

static void drain(int fd)
{
	char c;
	while (recv(fd, &c, 1, MSG_DONTWAIT) >= 0)
		;
}

/* A socket for each time: what lies in a receiver that does not read counts
 * against its sender's buffer, so one for all could be filled by the idle. */
void mp_bell_ring(mp_shm *s, mp_aid who, mp_handle h, uint32_t kinds)
{
	mp_slot *sl = mp_slot_of(s, who);
	int fd;
	if (kinds & MP_BELL_WAIT)
		kinds &= atomic_fetch_and(&sl->bell, ~(uint32_t)MP_BELL_WAIT) | ~(uint32_t)MP_BELL_WAIT;
	if (!kinds)
		return;
	MP_CRASHPOINT("bell.ring");
	fd = open_socket();
	if (fd < 0)
		return;  /* none left in this process: slices have to do */
	if (kinds & MP_BELL_WAIT)
		send_to(fd, s, who, 0);
	if (kinds & MP_BELL_OBJECT)
		send_to(fd, s, who, h);
	close(fd);
}

/* ---- the bell of an actor's waits --------------------------------------------- */

int mp_bell_own(mp_self *me)
{
	if (me->bell >= 0)
		return me->bell;
	mp_fds_lock(me->shm);
	me->bell = open_bound(me->shm, me->aid, 0);
	mp_fds_unlock(me->shm);
	return me->bell;
}

void mp_bell_arm(mp_self *me)
{
	atomic_fetch_or(&me->slot->bell, MP_BELL_WAIT);
}

void mp_bell_disarm(mp_self *me)
{
	atomic_fetch_and(&me->slot->bell, ~(uint32_t)MP_BELL_WAIT);
	drain(me->bell);
}

/* ---- bells of single objects ---------------------------------------------------- */

static mp_bell *find(const mp_self *me, mp_handle h)
{
	for (uint32_t i = 0; i < me->nbells; i++)
		if (me->bells[i].h == h)
			return &me->bells[i];
	return NULL;
}

bool mp_bell_has(const mp_self *me, mp_handle h)
{
	return find(me, h) != NULL;
}

void mp_bell_settle_slow(mp_self *me, mp_handle h)
{
	mp_bell *b = find(me, h);
	if (!b)
		return;
	drain(b->fd);
	mp_obj_watch(me, h);
	if (mp_obj_ready(me, h))
		mp_bell_ring(me->shm, me->aid, h, MP_BELL_OBJECT);
}

static int add_locked(mp_self *me, mp_handle h)
{
	int fd;
	if (me->nbells == me->bells_cap) {
		uint32_t cap = me->bells_cap * 2 + 4;
		mp_bell *b = realloc(me->bells, cap * sizeof *b);
		if (!b)
			return -ENOMEM;
		me->bells = b;
		me->bells_cap = cap;
	}
	fd = open_bound(me->shm, me->aid, h);
	if (fd >= 0)
		me->bells[me->nbells++] = (mp_bell){ h, fd };
	return fd;
}

static int add(mp_self *me, mp_handle h)
{
	int fd;
	mp_fds_lock(me->shm);
	fd = add_locked(me, h);
	mp_fds_unlock(me->shm);
	return fd;
}

int mp_bell_open(mp_self *me, mp_handle h)
{
	mp_bell *b = find(me, h);
	int fd;
	if (b)
		return b->fd;
	if (!mp_obj_waitable(me->shm, h))
		return -ENOTSUP;
	fd = add(me, h);
	if (fd < 0)
		return fd;
	atomic_fetch_or(&me->slot->bell, MP_BELL_OBJECT);
	mp_bell_settle_slow(me, h);
	return fd;
}

void mp_bell_close(mp_self *me, mp_handle h)
{
	mp_bell *b = find(me, h);
	if (!b)
		return;
	mp_fds_lock(me->shm);
	close(b->fd);
	*b = me->bells[--me->nbells];
	mp_fds_unlock(me->shm);
	mp_obj_unwatch(me, h);
	if (!me->nbells)
		atomic_fetch_and(&me->slot->bell, ~(uint32_t)MP_BELL_OBJECT);
}

void mp_bells_close(mp_self *me)
{
	for (uint32_t i = 0; i < me->nbells; i++)
		close(me->bells[i].fd);
	free(me->bells);
	me->bells = NULL;
	me->nbells = me->bells_cap = 0;
	if (me->bell >= 0)
		close(me->bell);
	me->bell = -1;
}
