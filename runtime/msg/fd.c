/* fd: see fd.h.
 *
 * SPDX-License-Identifier: MIT */
#include "fd.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "../shm/fdstore.h"

/* Does somebody at another end wait for its last descriptor to be closed? */
static bool has_other_end(int fd)
{
	struct stat st;
	int listens = 0;
	socklen_t len = sizeof listens;
	if (fstat(fd, &st))
		return false;
	if (S_ISSOCK(st.st_mode))
		getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len);
	return (S_ISSOCK(st.st_mode) && !listens) || S_ISFIFO(st.st_mode);
}

struct settings {
	const mp_handle *self;
	bool single;
};

static int init(mp_self *me, void *body, void *arg)
{
	const struct settings *st = arg;
	mp_fd *f = body;
	(void)me;
	f->self = *st->self;
	f->single = st->single;
	return MP_OK;
}

int mp_fd_create(mp_self *me, int fd, mp_handle *h)
{
	struct settings st = { h, has_other_end(fd) };
	int rc = mp_obj_create(me, MP_T_FD, sizeof(mp_fd), init, &st, h);
	if (rc)
		return rc;
	rc = mp_fdstore_put(me, *h, fd);
	if (rc)
		mp_obj_drop(me, *h);
	return rc;
}

int mp_fd_dup(mp_self *me, mp_handle h)
{
	return mp_fdstore_get(me, h, false);
}

int mp_fd_take(mp_self *me, mp_handle h)
{
	mp_fd *f = mp_obj_body(me->shm, h, MP_T_FD);
	return f ? mp_fdstore_get(me, h, atomic_load(&f->single)) : -ESTALE;
}

static void destroy(mp_self *me, void *body)
{
	mp_fdstore_remove(me, ((mp_fd *)body)->self);
}

const mp_type_ops mp_fd_ops = { .name = "FD", .destroy = destroy };
