/* pipe: see pipe.h for the argument.
 *
 * SPDX-License-Identifier: MIT */
#include "pipe.h"

#include "../base/crash.h"
#include "queue_body.h"

/* ---- creating --------------------------------------------------------------- */

struct making {
	const mp_handle *self;
	mp_handle in, out, peer;
};

/* Both keep their place for as long as the end lives. */
static int64_t distance(const mp_shm *s, mp_handle queue, const mp_pipe *p)
{
	return queue ? (int64_t)(mp_off(s, mp_queue_body(s, queue)) - mp_off(s, p)) : 0;
}

static int init(mp_self *me, void *body, void *arg)
{
	const struct making *m = arg;
	mp_pipe *p = body;
	p->self = *m->self;
	p->in = m->in;
	p->out = m->out;
	p->in_at = distance(me->shm, p->in, p);
	p->out_at = distance(me->shm, p->out, p);
	atomic_store(&p->peer, m->peer);
	if (p->in)
		mp_queue_serve(mp_pipe_in(p), p->self, 0);
	if (p->out)
		mp_queue_serve(mp_pipe_out(p), 0, p->self);
	return MP_OK;
}

static int make_queue(mp_self *me, mp_handle *h)
{
	int rc = mp_queue_create(me, MP_PIPE_CAPACITY, MP_Q_PIPE, h);
	if (rc == MP_OK)
		mp_obj_sending(me, *h);
	return rc;
}

static int make_end(mp_self *me, struct making *m, mp_handle *h)
{
	m->self = h;
	return mp_obj_create(me, MP_T_PIPE, sizeof(mp_pipe), init, m, h);
}

/* Both ends on the queues to and back (0: one way). */
static int make_ends(mp_self *me, mp_handle to, mp_handle back, mp_handle *a, mp_handle *b)
{
	struct making first = { .in = to, .out = back }, second = { .in = back, .out = to };
	int rc = make_end(me, &first, a);
	if (rc != MP_OK)
		return rc;
	second.peer = *a;
	MP_CRASHPOINT("pipe.half");
	rc = make_end(me, &second, b);
	if (rc != MP_OK)
		mp_obj_drop(me, *a);
	else
		atomic_store(&mp_pipe_body(me->shm, *a)->peer, *b);
	return rc;
}

int mp_pipe_create(mp_self *me, bool duplex, mp_handle *a, mp_handle *b)
{
	mp_handle to, back = 0;
	int rc = make_queue(me, &to);
	if (rc != MP_OK)
		return rc;
	if (duplex)
		rc = make_queue(me, &back);
	if (rc == MP_OK)
		rc = make_ends(me, to, back, a, b);
	if (rc != MP_OK) {
		mp_obj_drop(me, to);
		mp_obj_drop(me, back);
		return rc;
	}
	MP_CRASHPOINT("pipe.made");
	mp_obj_entrust(me, to);
	mp_obj_entrust(me, back);
	MP_CRASHPOINT("pipe.entrusted");
	return MP_OK;
}

/* ---- looking up --------------------------------------------------------------- */

mp_pipe *mp_pipe_body(const mp_shm *s, mp_handle h)
{
	return mp_obj_body(s, h, MP_T_PIPE);
}

mp_queue *mp_pipe_in(mp_pipe *p)
{
	return p->in ? (void *)((char *)p + p->in_at) : NULL;
}

mp_queue *mp_pipe_out(mp_pipe *p)
{
	return p->out ? (void *)((char *)p + p->out_at) : NULL;
}

bool mp_pipe_own_copy(const mp_shm *s, mp_handle end, mp_aid who)
{
	mp_pipe *p = mp_pipe_body(s, end);
	return p && mp_obj_held(s, atomic_load(&p->peer), who);
}

/* ---- the end of an end --------------------------------------------------------- */

/* It may be gone; if not, it must stay while it is closed. Dropping it asks
 * for a collection, which ends it if this end was the last that listed it. */
static void close_queue(mp_self *me, mp_handle h, bool drop)
{
	if (!h || mp_obj_hold(me, h) != MP_OK)
		return;
	MP_CRASHPOINT("pipe.closing");
	mp_queue_close(me, mp_queue_body(me->shm, h), drop);
	MP_CRASHPOINT("pipe.closed");
	mp_obj_drop(me, h);
}

static void destroy(mp_self *me, void *body)
{
	const mp_pipe *p = body;
	/* In this order: who has read to the end cannot send any more. */
	close_queue(me, p->in, true);
	close_queue(me, p->out, false);
}

void mp_pipe_deafen(mp_self *me, mp_pipe *p)
{
	atomic_store(&p->deaf, 1);
	MP_CRASHPOINT("pipe.deaf");
	mp_queue_close(me, mp_pipe_in(p), true);
}

static void release(mp_self *me, void *body, mp_aid dead)
{
	const mp_pipe *p = body;
	(void)dead;
	if (atomic_load(&p->deaf) && !mp_queue_closed(mp_pipe_in(body)))
		close_queue(me, p->in, true);
}

/* ---- waiting -------------------------------------------------------------------- */

/* An end that only sends has only the other one's end to be told of. */
static mp_word *readiness(void *body)
{
	mp_queue *in = mp_pipe_in(body), *out = mp_pipe_out(body);
	return in ? &in->getters : &out->putters;
}

static bool ready(mp_self *me, void *body)
{
	mp_queue *in = mp_pipe_in(body);
	return in ? mp_queue_ready(in, me->shm) : mp_queue_closed(mp_pipe_out(body));
}

/* Only who has the other end can end such a wait; if that is one actor, it
 * alone can, be it the one that waits. A collection that is due may find that
 * nobody has it. */
static bool stuck(const mp_shm *s, void *body, mp_aid who, uint32_t what, mp_aid *on)
{
	mp_pipe *p = body;
	mp_queue *q = what == MP_W_SEND ? mp_pipe_out(p) : mp_pipe_in(p);
	(void)who;
	if (!q || mp_queue_closed(q) ||
	    (what == MP_W_SEND ? mp_queue_has_room(q) : mp_queue_ready(q, s)) ||
	    atomic_load(&s->h->gc))
		return false;
	*on = mp_obj_holder(s, atomic_load(&p->peer));
	return true;
}

static void contents(mp_self *me, void *body, void (*mark)(void *ud, mp_handle h), void *ud)
{
	const mp_pipe *p = body;
	(void)me;
	if (p->in)
		mark(ud, p->in);
	if (p->out)
		mark(ud, p->out);
}

const mp_type_ops mp_pipe_ops = {
	.name = "Pipe",
	.release = release,
	.destroy = destroy,
	.readiness = readiness,
	.ready = ready,
	.stuck = stuck,
	.contents = contents,
};
