/* Races of the living, each at its one bad moment: at a named point of what
 * one actor does, another one does something.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_CRASHPOINTS
#define MP_CRASHPOINTS
#endif
#include "base/crash.h"
#include "harness.h"
#include "msg/queue_body.h"

static mp_usage before;
static mp_self other, third;
static mp_handle h, hq;
static mp_queue *q;

/* ---- what happens when ------------------------------------------------------- */

static struct moment {
	const char *point;
	int skip;                /* so many times nothing happens there */
	void (*act)(void);
} plan[8];
static int at;

static void hook(const char *name)
{
	struct moment *m = &plan[at];
	if (!m->point || strcmp(m->point, name) != 0 || m->skip-- > 0)
		return;
	at++;
	mp_crash_hook = NULL;
	m->act();
	mp_crash_hook = hook;
}

static void begin(void)
{
	at = 0;
	mp_crash_hook = hook;
}

/* Everything of the plan has happened. */
static void end(void)
{
	mp_crash_hook = NULL;
	CHECK(plan[at].point == NULL);
	memset(plan, 0, sizeof plan);
}

static void open_with(mp_shm *s, mp_self *me, uint32_t processes)
{
	h_open(s, me, 8 << 20, processes);
	h_settle(me, &before);
}

/* ---- objects ------------------------------------------------------------------- */

static void send_and_drop(void)
{
	mp_out out;
	uint32_t n;
	h_make_with(&other, 9, 100, h, &out);
	CHECK_EQ(mp_queue_put(&other, q, &out, 1, 0, &n), 0);
	mp_obj_drop(&other, h);
}

/* Somebody drops it, and another one sends it away meanwhile. */
static void dropped_and_sent(mp_self *me)
{
	mp_in in;
	uint32_t n;
	h_now("dropped and sent");
	q = h_queue(me, 0, &hq);
	CHECK_EQ(mp_event_create(me, &h), 0);
	h_thread_self(me, &other);
	plan[0] = (struct moment){ "object.leaving", 0, send_and_drop };
	begin();
	mp_obj_drop(me, h);
	end();
	CHECK(mp_obj_body(me->shm, h, MP_T_EVENT) != NULL);
	mp_obj_collect(me);
	CHECK_EQ(mp_queue_get(me, q, &in, 1, 0, &n), 0);
	mp_in_done(me, &in);
	CHECK(mp_obj_held(me->shm, h, me->aid));
	mp_obj_drop(me, h);
	mp_obj_drop(me, hq);
	h_bury(me, other.aid);
	h_audit(me, &before);
}

static mp_handle theirs;

static void create_theirs(void) { CHECK_EQ(mp_event_create(&other, &theirs), 0); }
static void drop_theirs(void) { mp_obj_drop(&other, theirs); }

/* Somebody finds its entry free, a moment too late, and it is dropped while
 * that one still has the entry in its name. */
static void dropped_and_claimed(mp_self *me)
{
	h_now("dropped and claimed");
	h_thread_self(me, &other);
	plan[0] = (struct moment){ "object.free", 0, create_theirs };
	plan[1] = (struct moment){ "object.claiming", 0, drop_theirs };
	begin();
	CHECK_EQ(mp_event_create(me, &h), 0);
	end();
	CHECK(mp_obj_body(me->shm, theirs, MP_T_EVENT) == NULL);
	mp_obj_drop(me, h);
	h_bury(me, other.aid);
	h_audit(me, &before);
}

/* A fork: to has what from has, and from drops it. */
static void pass_on(mp_self *from, mp_self *to)
{
	mp_obj_inherit(from->shm, from->aid, to->aid);
	mp_obj_drop(from, h);
}
static void other_to_third(void) { pass_on(&other, &third); }
static void third_to_other(void) { pass_on(&third, &other); }

/* Two pass it to each other while somebody else looks for holders, always to
 * where that one has looked already. */
static void passed_on_and_on(mp_self *me)
{
	mp_self fill[64];
	h_now("passed on");
	h_thread_self(me, &third);
	for (int i = 0; i < 64; i++)
		h_thread_self(me, &fill[i]);
	h_thread_self(me, &other);
	CHECK(mp_aid_slot(third.aid) < 64 && mp_aid_slot(other.aid) >= 64);
	CHECK_EQ(mp_event_create(me, &h), 0);
	mp_obj_inherit(me->shm, me->aid, other.aid);
	plan[0] = (struct moment){ "object.word", 0, other_to_third };
	plan[1] = (struct moment){ "object.dying", 0, third_to_other };
	plan[2] = (struct moment){ "object.word", 0, other_to_third };
	begin();
	mp_obj_drop(me, h);
	end();
	CHECK(mp_obj_body(me->shm, h, MP_T_EVENT) != NULL);
	mp_obj_drop(&third, h);
	CHECK(mp_obj_body(me->shm, h, MP_T_EVENT) == NULL);
	for (int i = 0; i < 64; i++)
		h_bury(me, fill[i].aid);
	h_bury(me, other.aid);
	h_bury(me, third.aid);
	h_audit(me, &before);
}

/* ---- collections ----------------------------------------------------------------- */

static mp_handle hb, hc;

static void send_by(mp_self *by, mp_handle to, mp_handle what)
{
	mp_out out;
	uint32_t n;
	h_make_with(by, 9, 100, what, &out);
	CHECK_EQ(mp_queue_put(by, mp_queue_body(by->shm, to), &out, 1, 0, &n), 0);
}

static void receive_by(mp_self *by, mp_handle from, mp_handle what)
{
	mp_in in;
	uint32_t n;
	CHECK_EQ(mp_queue_get(by, mp_queue_body(by->shm, from), &in, 1, 0, &n), 0);
	CHECK(in.nhandles == 1 && in.handles[0] == what);
	mp_in_done(by, &in);
}

static void send_theirs(void) { send_by(&other, hq, theirs); }
static void take_it(void) { receive_by(&other, hq, h); }
static void send_it_on(void)
{
	send_by(&other, hb, h);
	mp_obj_drop(&other, h);
}

/* What others send meanwhile keeps no garbage. */
static void sent_meanwhile(mp_self *me)
{
	h_now("sent meanwhile");
	h_queue(me, 0, &hq);
	h_thread_self(me, &other);
	create_theirs();
	CHECK_EQ(mp_event_create(me, &h), 0);
	send_by(me, hq, h);
	receive_by(me, hq, h);
	mp_obj_drop(me, h);
	plan[0] = (struct moment){ "collect.noted", 0, send_theirs };
	plan[1] = (struct moment){ "collect.searched", 0, send_theirs };
	begin();
	mp_obj_collect(me);
	end();
	CHECK(mp_obj_body(me->shm, h, MP_T_EVENT) == NULL);
	CHECK(mp_obj_body(me->shm, theirs, MP_T_EVENT) != NULL);
	mp_obj_drop(&other, theirs);
	h_bury(me, other.aid);
	mp_obj_drop(me, hq);
	h_audit(me, &before);
}

/* What is taken before its message was searched, and sent on to where was
 * searched before, lives; so does what it lists. */
static void sent_on_meanwhile(mp_self *me)
{
	h_now("sent on meanwhile");
	h_queue(me, 0, &hq);
	h_queue(me, 0, &hb);
	h_thread_self(me, &other);
	h_queue(me, 0, &h);
	CHECK_EQ(mp_event_create(me, &hc), 0);
	send_by(me, h, hc);
	mp_obj_drop(me, hc);
	send_by(me, hq, h);
	mp_obj_drop(me, h);
	plan[0] = (struct moment){ "collect.noted", 0, take_it };
	plan[1] = (struct moment){ "collect.searched", 0, send_it_on };
	begin();
	mp_obj_collect(me);
	end();
	CHECK(mp_obj_body(me->shm, h, MP_T_QUEUE) != NULL);
	CHECK(mp_obj_body(me->shm, hc, MP_T_EVENT) != NULL);
	receive_by(me, hb, h);
	receive_by(me, h, hc);
	mp_obj_drop(me, hc);
	mp_obj_drop(me, h);
	h_bury(me, other.aid);
	mp_obj_drop(me, hb);
	mp_obj_drop(me, hq);
	h_audit(me, &before);
}

/* ---- actors ---------------------------------------------------------------------- */

static mp_aid dead, second;

static void sweep_dead(void) { mp_sweep(&third, dead); }
static void reserve_second(void)
{
	second = mp_slot_reserve(third.shm, third.aid, MP_KIND_THREAD);
}

/* A sweeper was killed between the two stores that free a slot. Another one
 * does both again while somebody claims the slot; then a third one claims it. */
static void claimed_while_freed(mp_self *me)
{
	mp_aid first;
	h_now("claimed while freed");
	h_thread_self(me, &other);
	h_thread_self(me, &third);
	dead = other.aid;
	mp_slot_kill(me->shm, dead);
	atomic_store(&mp_slot_of(me->shm, dead)->parent, 0);
	plan[0] = (struct moment){ "slot.claiming", 0, sweep_dead };
	plan[1] = (struct moment){ "slot.claimed", 0, reserve_second };
	begin();
	first = mp_slot_reserve(me->shm, me->aid, MP_KIND_THREAD);
	end();
	CHECK(first && second && mp_aid_slot(first) != mp_aid_slot(second));
	mp_slot_cancel(me->shm, first);
	mp_slot_cancel(me->shm, second);
	h_bury(me, third.aid);
	h_audit(me, &before);
}

/* ---- conditions ------------------------------------------------------------------ */

static mp_condition *condition(mp_self *me, mp_handle lock, mp_handle *hc)
{
	CHECK_EQ(mp_condition_create(me, lock, hc), 0);
	return mp_obj_body(me->shm, *hc, MP_T_CONDITION);
}

/* The holder of a lock dies before it notifies. Who takes the lock from the
 * corpse knows nothing of the condition, and is gone before the sweep. */
static void stolen_by_a_stranger(mp_self *me)
{
	mp_handle ha, hb;
	mp_cond_wait w;
	h_now("stolen by a stranger");
	CHECK_EQ(mp_lock_create(me, &h), 0);
	mp_lock *l = mp_obj_body(me->shm, h, MP_T_LOCK);
	mp_condition *a = condition(me, h, &ha), *b = condition(me, h, &hb);
	for (int how = 0; how < 3; how++) {
		h_thread_self(me, &other);
		h_thread_self(me, &third);
		CHECK_EQ(mp_condition_acquire(me, a, 0), 0);
		CHECK_EQ(mp_condition_begin(me, a, &w), 0);
		CHECK_EQ(mp_condition_acquire(&other, a, 0), 0);
		mp_slot_kill(me->shm, other.aid);
		if (how == 0)
			CHECK_EQ(mp_lock_acquire(&third, l, 0), MP_ABANDONED);
		else
			CHECK_EQ(mp_condition_acquire(&third, b, 0), MP_ABANDONED);
		if (how < 2)
			CHECK_EQ(mp_lock_release(&third, l), 0);
		CHECK_EQ(mp_condition_waiting(me->shm, a), 1);
		mp_sweep(me, other.aid);
		CHECK_EQ(mp_condition_waiting(me->shm, a), 0);
		if (how == 2)
			CHECK_EQ(mp_lock_release(&third, l), 0);
		CHECK_EQ(mp_condition_back(me, a, &w), 0);
		CHECK(mp_condition_end(me, a));
		CHECK_EQ(mp_condition_release(me, a), 0);
		h_bury(me, third.aid);
	}
	mp_obj_drop(me, ha);
	mp_obj_drop(me, hb);
	mp_obj_drop(me, h);
	h_audit(me, &before);
}

/* ---- queues ---------------------------------------------------------------------- */

/* A look without the latch, at the end of a segment that is recycled in the
 * middle of it, and written by whoever has the block now. */
static void recycled_meanwhile(mp_self *me)
{
	h_now("recycled meanwhile");
	q = h_queue(me, 0, &hq);
	for (uint64_t i = 1; i <= MP_CELLS; i++)
		h_put(me, q, i, 16);
	for (uint64_t i = 1; i <= MP_CELLS; i++)
		CHECK_EQ(h_get(me, q), i);
	CHECK(!mp_queue_ready(q, me->shm));
	mp_seg *seg = mp_seg_at(me, atomic_load(&q->head_seg));
	CHECK_EQ(atomic_load(&q->head) - seg->base, MP_CELLS);
	CHECK_EQ(atomic_load(&seg->next), 0);
	const uint64_t text[] = { UINT64_C(0x2073736f72636120), me->shm->size, me->shm->size - 8 };
	for (int i = 0; i < 3; i++) {
		atomic_store(&seg->next, text[i]);
		CHECK(mp_queue_ready(q, me->shm));
	}
	atomic_store(&seg->next, 0);
	mp_obj_drop(me, hq);
	h_audit(me, &before);
}

int main(void)
{
	mp_shm shm;
	mp_self me;
	h_deadline(30, 30);
	open_with(&shm, &me, 128);
	dropped_and_sent(&me);
	dropped_and_claimed(&me);
	passed_on_and_on(&me);
	stolen_by_a_stranger(&me);
	recycled_meanwhile(&me);
	claimed_while_freed(&me);
	sent_meanwhile(&me);
	sent_on_meanwhile(&me);
	return h_done("races of the living");
}
