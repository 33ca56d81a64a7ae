/* buffer: see buffer.h.
 *
 * SPDX-License-Identifier: MIT */
#include "buffer.h"

static int init(mp_self *me, void *body, void *arg)
{
	(void)me;
	((mp_buffer *)body)->len = *(const uint64_t *)arg;
	return MP_OK;
}

int mp_buffer_create(mp_self *me, uint64_t len, mp_handle *h)
{
	if (len > me->shm->size)
		return MP_TOOBIG;
	return mp_obj_create(me, MP_T_BUFFER, sizeof(mp_buffer) + len, init, &len, h);
}

void *mp_buffer_data(const mp_shm *s, mp_handle h, uint64_t *len)
{
	mp_buffer *b = mp_obj_body(s, h, MP_T_BUFFER);
	if (!b)
		return NULL;
	*len = b->len;
	return b->data;
}

const mp_type_ops mp_buffer_ops = { .name = "Buffer" };
