/* Killed at every change of shared values: the value is the old or the new
 * one, whole; nothing that it held, and no memory, is lost.
 *
 * A value of "any" is here a number, then bytes that follow from it.
 *
 * SPDX-License-Identifier: MIT */
#include "killer.h"

#include "sync/rlock.h"

enum { MOST = 3000 };

static mp_handle hv, he;
static uint64_t len_old, len_new;     /* 0: nil */
static bool with_handle;

static mp_value *value_of(mp_self *me)
{
	return mp_obj_body(me->shm, hv, MP_T_VALUE);
}

static unsigned char byte_at(uint64_t id, uint64_t i)
{
	return (unsigned char)(id * 7 + i);
}

/* Sets it to number id, of that length. */
static int set_to(mp_self *me, uint64_t id, uint64_t len, const uint64_t *expect)
{
	static unsigned char bytes[MOST];
	if (!len)
		return mp_value_set(me, value_of(me), NULL, expect);
	memcpy(bytes, &id, sizeof id);
	for (uint64_t i = sizeof id; i < len; i++)
		bytes[i] = byte_at(id, i);
	mp_part part = { bytes, len };
	mp_given g = { &part, 1, len, &he, with_handle };
	return mp_value_set(me, value_of(me), &g, expect);
}

/* Its number, 0 for nil; checks that it is whole, and what it holds alive. */
static uint64_t get_it(mp_self *me, uint64_t *version)
{
	static uint64_t room[MOST / 8 + 8];
	mp_copy c = { .data = room, .room = sizeof room };
	uint64_t id;
	int rc = mp_value_get(me, value_of(me), &c);
	if (version)
		*version = c.version;
	if (rc == MP_EMPTY)
		return 0;
	CHECK_EQ(rc, 0);
	CHECK_EQ(c.nhandles, with_handle);
	unsigned char *bytes = (unsigned char *)(room + c.nhandles);
	memcpy(&id, bytes, sizeof id);
	CHECK_EQ(c.len, id == 1 ? len_old : id == 2 ? len_new : 100);
	for (uint64_t i = sizeof id; i < c.len; i++)
		CHECK_EQ(bytes[i], byte_at(id, i));
	if (c.nhandles) {
		CHECK_EQ(room[0], he);
		CHECK(mp_obj_held(me->shm, he, me->aid));
		CHECK(mp_event_is_set(mp_obj_body(me->shm, he, MP_T_EVENT)));
		mp_obj_drop(me, he);
	}
	return id;
}

static void make(mp_self *me, enum mp_value_kind kind)
{
	CHECK_EQ(mp_value_create(me, kind, &hv), 0);
}

/* The event is held by nobody: the value alone keeps it. */
static void any_setup(mp_self *me)
{
	make(me, MP_V_ANY);
	if (!with_handle) {
		CHECK_EQ(set_to(me, 1, len_old, NULL), 0);
		return;
	}
	CHECK_EQ(mp_event_create(me, &he), 0);
	mp_event_set(me, mp_obj_body(me->shm, he, MP_T_EVENT));
	CHECK_EQ(set_to(me, 1, len_old, NULL), 0);
	mp_obj_drop(me, he);
}

/* A survivor reads what is there, then sets its own. */
static void any_use(mp_self *me, kl_ctl *ctl)
{
	mp_obj_collect(me);
	ctl->note[0] = get_it(me, NULL);
	ctl->n = 1;
	CHECK_EQ(set_to(me, 3, 100, NULL), 0);
	ctl->n = 2;
}

/* The record is the value's, not free to be given to somebody else. */
static void check_owned(mp_self *me)
{
	const mp_shm *s = me->shm;
	uint64_t at = atomic_load(&value_of(me)->record), chunk;
	if (!at)
		return;
	chunk = (at - s->h->data) >> MP_CHUNK_SHIFT;
	at = (at - s->h->data) % MP_CHUNK / mp_block_size(s, at);
	CHECK_EQ(atomic_load(&s->meta[chunk * MP_CHUNK_BLOCKS + at].tag), MP_CONTAINER);
}

static void any_drop(mp_self *me)
{
	mp_obj_drop(me, hv);
	mp_obj_collect(me);
	if (with_handle)
		CHECK(mp_obj_type(me->shm, he) == MP_T_NONE);
}

/* Old or new, and new for certain when the operation had returned. */
static void any_check(mp_self *me, const kl_fate *f)
{
	uint64_t old = len_old ? 1 : 0, new = len_new ? 2 : 0;
	kl_ctl *mine = kl_ctl_get(7);
	uint64_t first = mine->note[0];
	if (mine->n && !f->second) {
		CHECK(first == old || first == new);
		if (f->done && !f->alive)
			CHECK_EQ(first, new);
	}
	uint64_t last = get_it(me, NULL);
	check_owned(me);
	if (f->used && !f->alive)
		CHECK_EQ(last, 3);
	else
		CHECK(last == old || last == new || last == 3);
	any_drop(me);
}

static void set_op(mp_self *me, kl_ctl *ctl)
{
	CHECK_EQ(set_to(me, 2, len_new, NULL), 0);
	ctl->reported = 1;
}

static void get_op(mp_self *me, kl_ctl *ctl)
{
	(void)ctl;
	get_it(me, NULL);
}

static void get_check(mp_self *me, const kl_fate *f)
{
	uint64_t id = get_it(me, NULL);
	CHECK_EQ(id, f->used ? 3 : 1);
	any_drop(me);
}

/* Replaces what it read, unless another did meanwhile. */
static void cas_op(mp_self *me, kl_ctl *ctl)
{
	uint64_t version;
	if (get_it(me, &version) != 1)
		return;
	int rc = set_to(me, 2, len_new, &version);
	CHECK(rc == 0 || rc == -EAGAIN);
	ctl->reported = 1 + (rc == 0);
}

static void cas_check(mp_self *me, const kl_fate *f)
{
	kl_ctl *mine = kl_ctl_get(7), *op = kl_ctl_get(0);
	if (mine->n && !f->second) {
		CHECK(mine->note[0] == 1 || mine->note[0] == 2);
		if (op->reported == 2)
			CHECK_EQ(mine->note[0], 2);
	}
	/* It was there first: what it replaced was what it had seen. */
	CHECK(!f->alive || get_it(me, NULL) == 3);
	check_owned(me);
	any_drop(me);
}

/* The creator lets go; the child, which inherited, is the last one. */
static void destroy_op(mp_self *me, kl_ctl *ctl)
{
	(void)ctl;
	kl_drop_last(me, hv);
}

static void destroy_use(mp_self *me, kl_ctl *ctl)
{
	(void)ctl;
	mp_obj_collect(me);
	mp_obj_drop(me, hv);
}

static void destroy_check(mp_self *me, const kl_fate *f)
{
	(void)f;
	any_drop(me);
}

/* ---- typed ------------------------------------------------------------------- */

static void int_setup(mp_self *me) { make(me, MP_V_I64); }
static void float_setup(mp_self *me) { make(me, MP_V_F64); }

static void int_op(mp_self *me, kl_ctl *ctl)
{
	mp_value *v = value_of(me);
	mp_value_add_int(v, 1);
	ctl->reported = 1;
	mp_value_cas(v, 1, 1000);
}

static void int_use(mp_self *me, kl_ctl *ctl)
{
	(void)ctl;
	mp_value_add_int(value_of(me), 10);
}

static void int_check(mp_self *me, const kl_fate *f)
{
	uint64_t n = mp_value_load(value_of(me));
	uint64_t use = (f->used ? 10 : 0) + (f->second_used && f->second_done ? 10 : 0);
	if (f->second_used && !f->second_done && n >= use + 10 && n % 1000 >= use + 10)
		use += 10;
	CHECK(n == use || n == use + 1 || n == use + 1000);
	if (kl_ctl_get(0)->reported)
		CHECK(n != use);
	mp_obj_drop(me, hv);
}

static void float_op(mp_self *me, kl_ctl *ctl)
{
	mp_value_add_float(value_of(me), .5);
	ctl->reported = 1;
}

static void float_use(mp_self *me, kl_ctl *ctl)
{
	(void)ctl;
	mp_value_add_float(value_of(me), 8);
}

static void float_check(mp_self *me, const kl_fate *f)
{
	double x = mp_value_add_float(value_of(me), 0);
	double use = (f->used ? 8 : 0) + (f->second_used && f->second_done ? 8 : 0);
	if (f->second_used && !f->second_done && x >= use + 8)
		use += 8;
	CHECK(x == use + .5 || (x == use && !kl_ctl_get(0)->reported));
	mp_obj_drop(me, hv);
}

/* ---- the lock that goes with it -------------------------------------------------- */

static mp_handle lock_of(mp_self *me)
{
	mp_handle h;
	bool made;
	CHECK_EQ(mp_guard_of(me, &value_of(me)->guard, &h, &made), 0);
	if (!made)
		CHECK_EQ(mp_obj_hold(me, h), 0);
	CHECK(mp_obj_type(me->shm, h) == MP_T_RLOCK);
	return h;
}

static void guard_op(mp_self *me, kl_ctl *ctl)
{
	mp_handle h = lock_of(me);
	mp_rlock *l = mp_obj_body(me->shm, h, MP_T_RLOCK);
	int rc = mp_rlock_acquire(me, l, mp_deadline(5));
	CHECK(rc == 0 || rc == MP_ABANDONED);
	ctl->reported = 1;
	CHECK_EQ(mp_rlock_release(me, l), 0);
	ctl->reported = 2;
	mp_obj_drop(me, h);
}

static void guard_check(mp_self *me, const kl_fate *f)
{
	mp_obj_collect(me);
	mp_handle h = lock_of(me);
	(void)f;
	mp_rlock *l = mp_obj_body(me->shm, h, MP_T_RLOCK);
	int rc = mp_rlock_acquire(me, l, 0);
	CHECK(rc == 0 || rc == MP_ABANDONED);
	CHECK_EQ(mp_rlock_release(me, l), 0);
	mp_obj_drop(me, h);
	mp_obj_collect(me);
	CHECK(mp_obj_type(me->shm, h) == MP_T_RLOCK);
	mp_obj_drop(me, hv);
	mp_obj_collect(me);
	CHECK(mp_obj_type(me->shm, h) == MP_T_NONE);
}

/* ---- arrays and buffers ------------------------------------------------------------ */

static void large_op(mp_self *me, kl_ctl *ctl)
{
	mp_handle h;
	uint64_t len;
	(void)ctl;
	CHECK_EQ(mp_buffer_create(me, 150000, &h), 0);
	unsigned char *p = mp_buffer_data(me->shm, h, &len);
	for (uint64_t i = 0; i < 150000; i += 4093)
		CHECK_EQ(p[i], 0);
	p[0] = p[70000] = p[149999] = 255;
	mp_obj_drop(me, h);
}

static void array_op(mp_self *me, kl_ctl *ctl)
{
	mp_handle h;
	(void)ctl;
	CHECK_EQ(mp_array_create(me, MP_I16, 10, &h), 0);
	mp_array *a = mp_array_body(me->shm, h);
	for (uint64_t i = 0; i < 10; i++)
		CHECK_EQ(mp_array_get(a, i).i, 0);
	mp_array_fill(a, (mp_element){ .i = -2 });
	CHECK_EQ(mp_array_get(a, 9).i, -2);
	mp_obj_drop(me, h);
}

static const kl_scene scenes[] = {
	{ "add an integer", int_setup, int_op, int_use, int_check, false },
	{ "add a float", float_setup, float_op, float_use, float_check, false },
	{ "make and use its lock", int_setup, guard_op, guard_op, guard_check, true },
	{ "make and drop an array", kl_no_setup, array_op, array_op, kl_no_check, true },
	{ "make and drop a large buffer", kl_no_setup, large_op, large_op, kl_no_check, true },
};

static void play_any(mp_self *me, const char *name, kl_op *op, kl_op *use,
                     void (*check)(mp_self *, const kl_fate *), uint64_t from,
                     uint64_t to, bool handle)
{
	kl_scene s = { name, any_setup, op, use, check, false };
	len_old = from;
	len_new = to;
	with_handle = handle;
	kl_play(me, &s, .5);
}

static void play_all(mp_self *me)
{
	play_any(me, "set in place", set_op, any_use, any_check, 20, 24, false);
	play_any(me, "set from nil", set_op, any_use, any_check, 0, 24, false);
	play_any(me, "set to nil", set_op, any_use, any_check, 24, 0, false);
	play_any(me, "set to a larger one", set_op, any_use, any_check, 24, MOST, false);
	play_any(me, "set to a smaller one", set_op, any_use, any_check, MOST, 24, false);
	play_any(me, "set a handle", set_op, any_use, any_check, 24, 300, true);
	play_any(me, "get", get_op, any_use, get_check, 24, 24, false);
	play_any(me, "get a handle", get_op, any_use, get_check, 24, 24, true);
	play_any(me, "cas in place", cas_op, any_use, cas_check, 24, 32, false);
	play_any(me, "cas", cas_op, any_use, cas_check, 24, MOST, false);
	play_any(me, "destroy", destroy_op, destroy_use, destroy_check, MOST, 0, false);
	play_any(me, "destroy with a handle", destroy_op, destroy_use, destroy_check, 24, 0, true);
}

int main(void)
{
	return kl_main(&(kl_plan){ KL_SCENES(scenes), .seconds = .4, .more = play_all });
}
