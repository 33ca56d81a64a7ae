/* event: see event.h.
 *
 * SPDX-License-Identifier: MIT */
#include "event.h"

static int init(mp_self *me, void *body, void *arg)
{
	(void)me;
	((mp_event *)body)->self = *(mp_handle *)arg;
	return MP_OK;
}

int mp_event_create(mp_self *me, mp_handle *h)
{
	return mp_obj_create(me, MP_T_EVENT, sizeof(mp_event), init, h, h);
}

void mp_event_set(mp_self *me, mp_event *e)
{
	atomic_store(&e->set, 1);
	if (mp_ec_notify(&e->ec, INT_MAX))
		mp_obj_ring(me, e->self);
}

void mp_event_clear(mp_event *e)
{
	atomic_store(&e->set, 0);
}

bool mp_event_is_set(mp_event *e)
{
	return atomic_load(&e->set) != 0;
}

static bool is_set(void *arg)
{
	return mp_event_is_set(arg);
}

int mp_event_wait(mp_self *me, mp_event *e, int64_t deadline)
{
	mp_wait as = { MP_W_EVENT, e->self, NULL, false };
	return mp_ec_wait(me, &e->ec, is_set, e, deadline, &as);
}

static void wake(mp_self *me, void *body)
{
	(void)me;
	mp_ec_notify(&((mp_event *)body)->ec, INT_MAX);
}

static mp_word *readiness(void *body)
{
	return &((mp_event *)body)->ec;
}

static bool ready(mp_self *me, void *body)
{
	(void)me;
	return mp_event_is_set(body);
}

static bool stuck(const mp_shm *s, void *body, mp_aid who, uint32_t what, mp_aid *on)
{
	(void)s;
	(void)who;
	*on = 0;
	return what == MP_W_EVENT && !mp_event_is_set(body);
}

const mp_type_ops mp_event_ops = {
	.name = "Event", .wake = wake, .readiness = readiness, .ready = ready,
	.stuck = stuck
};
