/* Killed at every change of the floors below the queue's messages: locks,
 * events, blocks, chunks, objects and their handles in messages, actors.
 *
 * SPDX-License-Identifier: MIT */
#include "killer.h"

static mp_handle h1, h2;
static uint32_t reserved_slot;

/* ---- locks ----------------------------------------------------------------- */

static mp_lock *lock_of(mp_self *me)
{
	return mp_obj_body(me->shm, h1, MP_T_LOCK);
}

static void lock_setup(mp_self *me)
{
	CHECK_EQ(mp_lock_create(me, &h1), 0);
}

static void lock_op(mp_self *me, kl_ctl *ctl)
{
	mp_lock *l = lock_of(me);
	int rc = mp_lock_acquire(me, l, mp_deadline(5));
	CHECK(rc == 0 || rc == MP_ABANDONED);
	ctl->reported = 1;
	ctl->reported = 2;
	CHECK_EQ(mp_lock_release(me, l), 0);
}

static void lock_use(mp_self *me, kl_ctl *ctl)
{
	mp_lock *l = lock_of(me);
	int rc = mp_lock_acquire(me, l, mp_deadline(5));
	CHECK(rc == 0 || rc == MP_ABANDONED);
	kl_note(ctl, (uint64_t)rc);
	CHECK_EQ(mp_lock_release(me, l), 0);
}

static void lock_check(mp_self *me, const kl_fate *f)
{
	mp_lock *l = lock_of(me);
	kl_ctl *op = kl_ctl_get(0), *second = kl_ctl_get(1), *mine = kl_ctl_get(7);
	uint64_t told = mine->note[0];
	if (f->second)
		told += second->n ? second->note[0] : 0;
	/* Told once, if it died holding it for certain; never if it did not. */
	if (!f->done && op->reported == 1 && !(f->second && !f->second_done))
		CHECK_EQ(told, MP_ABANDONED);
	if (f->done && !f->second)
		CHECK_EQ(told, 0);
	CHECK_EQ(mp_lock_acquire(me, l, 0), 0);
	CHECK_EQ(mp_lock_acquire(me, l, 0), MP_TIMEOUT);
	CHECK_EQ(mp_lock_release(me, l), 0);
	CHECK_EQ(mp_lock_release(me, l), -EPERM);
	mp_obj_drop(me, h1);
}

static void busy_setup(mp_self *me)
{
	lock_setup(me);
	CHECK_EQ(mp_lock_acquire(me, lock_of(me), 0), 0);
}

static void busy_op(mp_self *me, kl_ctl *ctl)
{
	(void)ctl;
	CHECK_EQ(mp_lock_acquire(me, lock_of(me), mp_deadline(.002)), MP_TIMEOUT);
}

static void busy_check(mp_self *me, const kl_fate *f)
{
	(void)f;
	CHECK_EQ(mp_lock_owner(lock_of(me)), me->aid);
	CHECK_EQ(mp_lock_release(me, lock_of(me)), 0);
	CHECK_EQ(mp_lock_acquire(me, lock_of(me), 0), 0);
	CHECK_EQ(mp_lock_release(me, lock_of(me)), 0);
	mp_obj_drop(me, h1);
}

/* ---- events ---------------------------------------------------------------- */

static mp_event *event_of(mp_self *me)
{
	return mp_obj_body(me->shm, h1, MP_T_EVENT);
}

static void event_setup(mp_self *me)
{
	CHECK_EQ(mp_event_create(me, &h1), 0);
}

static void event_op(mp_self *me, kl_ctl *ctl)
{
	mp_event_set(me, event_of(me));
	ctl->reported = 1;
	CHECK_EQ(mp_event_wait(me, event_of(me), 0), 0);
	mp_event_clear(event_of(me));
	CHECK_EQ(mp_event_wait(me, event_of(me), mp_deadline(.001)), MP_TIMEOUT);
	mp_event_set(me, event_of(me));
}

static void event_check(mp_self *me, const kl_fate *f)
{
	mp_event *e = event_of(me);
	if (f->done)
		CHECK(mp_event_is_set(e));
	mp_event_clear(e);
	CHECK_EQ(mp_event_wait(me, e, 0), MP_TIMEOUT);
	mp_event_set(me, e);
	CHECK_EQ(mp_event_wait(me, e, MP_FOREVER), 0);
	mp_obj_drop(me, h1);
}

/* ---- blocks ---------------------------------------------------------------- */

static uint64_t block_sizes[8];
static uint32_t nblocks, rounds;

static void blocks_op(mp_self *me, kl_ctl *ctl)
{
	uint64_t b[8];
	int rc;
	(void)ctl;
	for (uint32_t r = 0; r < rounds; r++) {
		for (uint32_t i = 0; i < nblocks; i++) {
			b[i] = mp_alloc(me, block_sizes[i], 0, &rc);
			CHECK(b[i] != 0);
			CHECK(mp_block_size(me->shm, b[i]) >= block_sizes[i]);
			memset(mp_at(me->shm, b[i]), (int)(i + me->aid),
			       block_sizes[i] < 64 ? block_sizes[i] : 64);
		}
		for (uint32_t i = 0; i < nblocks; i++) {
			unsigned char *p = mp_at(me->shm, b[i]);
			CHECK_EQ(p[0], (unsigned char)(i + me->aid));
			mp_free(me, b[i]);
		}
	}
}

static void blocks_use(mp_self *me, kl_ctl *ctl)
{
	static const uint64_t sizes[] = { 100, 3000, 40000, 150000, 100 };
	uint64_t b[5];
	int rc;
	(void)ctl;
	for (int i = 0; i < 5; i++) {
		b[i] = mp_alloc(me, sizes[i], 0, &rc);
		CHECK(b[i] != 0);
		memset(mp_at(me->shm, b[i]), (int)me->aid + i, 64);
	}
	mp_trim(me, 0);
	for (int i = 0; i < 5; i++) {
		unsigned char *p = mp_at(me->shm, b[i]);
		CHECK(p[0] == (unsigned char)(me->aid + i) && memcmp(p, p + 1, 63) == 0);
		mp_free(me, b[i]);
	}
}

/* All of the memory can still be had: no chunk was forgotten by a hint. */
static void blocks_check(mp_self *me, const kl_fate *f)
{
	static uint64_t b[512];
	uint32_t n = 0, want = 0;
	int rc = 0;
	(void)f;
	mp_trim(me, 0);
	for (uint32_t c = 0; c < me->shm->h->nchunks; c++)
		if (c >= me->shm->h->chunks_high || (me->shm->chunks[c].word & 0xff) <= 1)
			want += 2;  /* two of 32 KiB in each */
	while (n < 512 && (b[n] = mp_alloc(me, 32000, 0, &rc)) != 0)
		n++;
	CHECK_EQ(rc, MP_NOMEM);
	CHECK(n >= want);
	while (n > 0)
		mp_free(me, b[--n]);
}

static void trim_setup(mp_self *me)
{
	int rc;
	uint64_t b[3];
	for (int i = 0; i < 3; i++)
		CHECK((b[i] = mp_alloc(me, i == 2 ? 100000 : 100 + 10000u * (unsigned)i, 0, &rc)) != 0);
	for (int i = 0; i < 3; i++)
		mp_free(me, b[i]);
}

static void trim_op(mp_self *me, kl_ctl *ctl)
{
	(void)ctl;
	mp_trim(me, 1);
	mp_trim(me, 0);
}

/* ---- objects --------------------------------------------------------------- */

static void object_op(mp_self *me, kl_ctl *ctl)
{
	mp_handle h;
	(void)ctl;
	CHECK_EQ(mp_lock_create(me, &h), 0);
	CHECK(mp_obj_held(me->shm, h, me->aid));
	mp_obj_drop(me, h);
	CHECK(mp_obj_body(me->shm, h, MP_T_NONE) == NULL);
}

static void object_use(mp_self *me, kl_ctl *ctl)
{
	mp_handle h;
	(void)ctl;
	CHECK_EQ(mp_event_create(me, &h), 0);
	mp_event_set(me, mp_obj_body(me->shm, h, MP_T_EVENT));
	mp_obj_drop(me, h);
}

static void queue_op(mp_self *me, kl_ctl *ctl)
{
	mp_handle h;
	mp_queue *q = h_queue(me, 0, &h);
	(void)ctl;
	h_put(me, q, 5, 16);
	h_put(me, q, 6, 200);
	mp_obj_drop(me, h);
}

/* The creator lets go; the child, which inherited, is the last one. */
static void last_setup(mp_self *me)
{
	mp_queue *q = h_queue(me, 0, &h1);
	for (uint64_t i = 1; i < 4; i++)
		h_put(me, q, i, 100);
}

static void last_op(mp_self *me, kl_ctl *ctl)
{
	(void)ctl;
	kl_drop_last(me, h1);
}

static void last_spawned(mp_self *me, kl_ctl *ctl)
{
	(void)ctl;
	object_use(me, ctl);
	mp_obj_drop(me, h1);
}

static void last_check(mp_self *me, const kl_fate *f)
{
	(void)f;
	mp_obj_drop(me, h1);
}

/* ---- handles in messages ---------------------------------------------------- */

static void sent_setup(mp_self *me)
{
	h_queue(me, 0, &h1);
}

static void sent_op(mp_self *me, kl_ctl *ctl)
{
	mp_handle h;
	mp_out out;
	uint32_t n;
	CHECK_EQ(mp_event_create(me, &h), 0);
	mp_event_set(me, mp_obj_body(me->shm, h, MP_T_EVENT));
	h_make_with(me, 44, 16, h, &out);
	CHECK_EQ(mp_queue_put(me, mp_queue_body(me->shm, h1), &out, 1, 0, &n), 0);
	ctl->reported = 1;
	mp_obj_drop(me, h);
}

/* Gets a message with a handle, uses the object, lets go of it. */
static bool received(mp_self *me)
{
	mp_in in;
	uint32_t n = 0;
	int rc = mp_queue_get(me, mp_queue_body(me->shm, h1), &in, 1, 0, &n);
	if (rc == MP_EMPTY)
		return false;
	CHECK_EQ(rc, 0);
	CHECK_EQ(h_read(&in), 44);
	CHECK_EQ(in.nhandles, 1);
	mp_handle h = in.handles[0];
	CHECK(mp_obj_held(me->shm, h, me->aid));
	mp_event *e = mp_obj_body(me->shm, h, MP_T_EVENT);
	CHECK(e != NULL);
	CHECK(mp_event_is_set(e));
	mp_in_done(me, &in);
	mp_obj_drop(me, h);
	return true;
}

static void sent_use(mp_self *me, kl_ctl *ctl)
{
	mp_obj_collect(me);  /* must leave alone what a message lists */
	if (received(me))
		ctl->reported = 1;
}

static void sent_check(mp_self *me, const kl_fate *f)
{
	bool got = kl_ctl_get(7)->reported || (f->second && kl_ctl_get(1)->reported);
	mp_obj_collect(me);
	got |= received(me);
	if (kl_ctl_get(0)->reported && !(f->second && !f->second_done))
		CHECK(got);
	CHECK(!received(me));
	mp_obj_drop(me, h1);
}

static void recv_setup(mp_self *me)
{
	kl_ctl none = { 0 };
	h_queue(me, 0, &h1);
	sent_op(me, &none);
}

static void recv_op(mp_self *me, kl_ctl *ctl)
{
	(void)ctl;
	received(me);
}

static void recv_check(mp_self *me, const kl_fate *f)
{
	(void)f;
	received(me);
	mp_obj_drop(me, h1);
}

static void collect_setup(mp_self *me)
{
	mp_in in;
	uint32_t n;
	recv_setup(me);
	/* Taken and not held: garbage that only a collection finds. */
	CHECK_EQ(mp_queue_get(me, mp_queue_body(me->shm, h1), &in, 1, 0, &n), 0);
	mp_handle h = in.handles[0];
	mp_in_done(me, &in);
	mp_obj_drop(me, h);
	CHECK_EQ(mp_event_create(me, &h2), 0);
	kl_ctl none = { 0 };
	sent_op(me, &none);
}

static void collect_op(mp_self *me, kl_ctl *ctl)
{
	(void)ctl;
	mp_obj_collect(me);
}

static void collect_check(mp_self *me, const kl_fate *f)
{
	bool got = kl_ctl_get(7)->reported || (f->second && kl_ctl_get(1)->reported);
	got |= received(me);
	CHECK(got || (f->second && !f->second_done));
	mp_obj_drop(me, h2);
	mp_obj_drop(me, h1);
}

/* ---- actors ------------------------------------------------------------------ */

static void reserve_op(mp_self *me, kl_ctl *ctl)
{
	mp_aid a = mp_slot_reserve(me->shm, me->aid, MP_KIND_PROCESS);
	CHECK(a != 0);
	mp_obj_inherit(me->shm, me->aid, a);
	ctl->reported = a;
	mp_obj_forget(me, a);
	mp_slot_cancel(me->shm, a);
	a = mp_slot_reserve(me->shm, me->aid, MP_KIND_PROCESS);
	CHECK(a != 0);
	mp_obj_inherit(me->shm, me->aid, a);
}

static void reserve_use(mp_self *me, kl_ctl *ctl)
{
	mp_aid a = mp_slot_reserve(me->shm, me->aid, MP_KIND_PROCESS);
	(void)ctl;
	CHECK(a != 0);
	reserved_slot = mp_aid_slot(a);
	mp_slot_cancel(me->shm, a);
}

/* A killed sweeper may leave a revoked slot to the next look around. */
static void reserve_check(mp_self *me, const kl_fate *f)
{
	if (f->second)
		mp_sweep_all(me);
	mp_obj_drop(me, h1);
}

static const kl_scene scenes[] = {
	{ "acquire and release", lock_setup, lock_op, lock_use, lock_check, false },
	{ "acquire a held lock", busy_setup, busy_op, NULL, busy_check, false },
	{ "set, wait, clear, set", event_setup, event_op, NULL, event_check, false },
	{ "create and drop", kl_no_setup, object_op, object_use, kl_no_check, false },
	{ "create and drop a queue", kl_no_setup, queue_op, object_use, kl_no_check, false },
	{ "drop the last handle", last_setup, last_op, last_spawned, last_check, false },
	{ "send a handle", sent_setup, sent_op, sent_use, sent_check, false },
	{ "receive a handle", recv_setup, recv_op, object_use, recv_check, false },
	{ "collect", collect_setup, collect_op, sent_use, collect_check, false },
	{ "reserve a slot", event_setup, reserve_op, reserve_use, reserve_check, false },
	{ "trim", trim_setup, trim_op, blocks_use, blocks_check, false },
};

static void play_blocks(mp_self *me, const char *name, uint32_t turns, uint32_t n,
                        const uint64_t *sizes, double seconds)
{
	kl_scene s = { name, kl_no_setup, blocks_op, blocks_use, blocks_check, false };
	nblocks = n;
	rounds = turns;
	memcpy(block_sizes, sizes, n * sizeof *sizes);
	kl_play(me, &s, seconds);
}

static void all_blocks(mp_self *me)
{
	play_blocks(me, "alloc small", 2, 2, (uint64_t[]){ 100, 100 }, .6);
	play_blocks(me, "alloc of all sizes", 1, 4, (uint64_t[]){ 64, 1000, 5000, 30000 }, 1);
	play_blocks(me, "alloc large", 2, 1, (uint64_t[]){ 200000 }, 1);
	play_blocks(me, "alloc two large", 1, 3, (uint64_t[]){ 70000, 100, 140000 }, 1);
}

int main(void)
{
	return kl_main(&(kl_plan){ KL_SCENES(scenes), .seconds = .4, .more = all_blocks });
}
