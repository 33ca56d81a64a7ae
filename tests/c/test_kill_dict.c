/* Killed at every change of a dict: a survivor finds the old value or the new
 * one, never a torn one; other keys are untouched, and nothing leaks.
 *
 * SPDX-License-Identifier: MIT */
#include "killer.h"
#include "things.h"

enum { SMALL = 16, BIG = 300, HUGE = 100000, OTHER = 10000, MANY = 4000,
       REUSED = 120 };

static mp_handle h1;
static uint64_t nkeys;             /* 1 .. nkeys are set, to themselves */
static uint64_t key;               /* the one that is changed */
static uint64_t to;                /* its new value, 0: none */
static size_t len;

static mp_store *dict(mp_self *me)
{
	return mp_obj_body(me->shm, h1, MP_T_DICT);
}

static void set_up(mp_self *me, uint64_t n)
{
	nkeys = n;
	CHECK_EQ(mp_dict_create(me, &h1), 0);
	for (uint64_t i = 1; i <= n; i++)
		t_set(me, dict(me), i, i, i % 3 ? SMALL : BIG);
}

static void op(mp_self *me, kl_ctl *ctl)
{
	(void)ctl;
	if (to)
		t_set(me, dict(me), key, to, len);
	else
		t_remove(me, dict(me), key);
}

static void use(mp_self *me, kl_ctl *ctl)
{
	mp_store *d = dict(me);
	(void)ctl;
	t_set(me, d, OTHER, OTHER, SMALL);
	t_set(me, d, 2, 2, SMALL);
	t_remove(me, d, OTHER + 1);
	t_set(me, d, OTHER + 1, 7, BIG);
	t_remove(me, d, OTHER + 1);
	for (uint64_t i = 1; i < 4; i++)
		t_get(me, d, i);
}

static void check(mp_self *me, const kl_fate *f)
{
	mp_store *d = dict(me);
	uint64_t v = t_get(me, d, key), n = 0;
	uint64_t old = key <= nkeys ? key : 0;
	CHECK(v == to || (v == old && !f->done));
	for (uint64_t i = 1; i <= nkeys; i++)
		if (i != key) {
			CHECK_EQ(t_get(me, d, i), i);
			n++;
		}
	CHECK_EQ(t_get(me, d, OTHER), OTHER);
	CHECK_EQ(t_get(me, d, OTHER + 1), 0);
	CHECK_EQ(mp_store_count(me, d), n + 1 + (v != 0));
	mp_obj_drop(me, h1);
}

static void first_check(mp_self *me, const kl_fate *f)
{
	uint64_t v = t_get(me, dict(me), 6);
	CHECK(v == 60 || (v == 0 && !f->done));
	CHECK_EQ(mp_store_count(me, dict(me)), v != 0);
	mp_obj_drop(me, h1);
}

/* Whatever was freed by mistake is somebody else's after this: nearly all of
 * the blocks of a chunk. */
static void use_up(mp_self *me)
{
	static uint64_t b[REUSED];
	int rc;
	for (int i = 0; i < REUSED; i++) {
		CHECK((b[i] = mp_alloc(me, BIG, 0, &rc)) != 0);
		memset(mp_at(me->shm, b[i]), 0x55, BIG);
	}
	for (int i = 0; i < REUSED; i++)
		mp_free(me, b[i]);
}

static void larger_check(mp_self *me, const kl_fate *f)
{
	use_up(me);
	check(me, f);
}

static void plain(mp_self *me) { set_up(me, 5); }

static void what(uint64_t k, uint64_t value, size_t length)
{
	key = k;
	to = value;
	len = length;
}

static void new_setup(mp_self *me) { plain(me); what(6, 60, SMALL); }
static void first_setup(mp_self *me) { set_up(me, 0); what(6, 60, SMALL); }
static void grow_setup(mp_self *me) { set_up(me, 6); what(7, 70, SMALL); }
static void in_place_setup(mp_self *me) { plain(me); what(4, 40, 2 * SMALL); }
static void larger_setup(mp_self *me) { plain(me); what(4, 40, BIG); }
static void huge_setup(mp_self *me) { plain(me); what(4, 40, HUGE); }
static void remove_setup(mp_self *me) { plain(me); what(3, 0, 0); }

static void shrink_setup(mp_self *me)
{
	set_up(me, 65);
	for (uint64_t i = 65; i > 16; i--)
		t_remove(me, dict(me), i);
	nkeys = 16;
	what(16, 0, 0);
}

/* A shelf of several chunks; the key's word lies beyond the first. */
static void far_setup(mp_self *me)
{
	set_up(me, 0);
	for (uint64_t i = 1; i <= MANY; i++)
		t_set(me, dict(me), i, i, SMALL);
	for (uint64_t i = MANY; i > 1100; i--)
		t_remove(me, dict(me), i);
	nkeys = 1100;
	mp_shelf *t = mp_store_shelf(me, dict(me));
	CHECK(sizeof *t + t->cap * 16 > MP_CHUNK);
	for (uint64_t i = t->cap - 1;; i--) {
		uint64_t r = mp_shelf_record(t, i), k;
		if (r <= MP_GONE)
			continue;
		CHECK((uint64_t)((char *)mp_shelf_word(t, i) - (char *)t) > MP_CHUNK);
		memcpy(&k, mp_record_key(mp_record_at(me, r)), sizeof k);
		if (k > 4) {
			what(k, 4444, BIG);
			break;
		}
	}
}

/* ---- pop, clear ------------------------------------------------------------ */

static void pop_setup(mp_self *me) { plain(me); what(3, 0, 0); }

static void pop_op(mp_self *me, kl_ctl *ctl)
{
	ctl->reported = t_pop(me, dict(me), 3);
}

static void pop_check(mp_self *me, const kl_fate *f)
{
	if (f->done)
		CHECK_EQ(kl_ctl_get(0)->reported, 3);
	check(me, f);
}

static void clear_op(mp_self *me, kl_ctl *ctl)
{
	(void)ctl;
	mp_store_clear(me, dict(me));
}

/* All or none. */
static void clear_check(mp_self *me, const kl_fate *f)
{
	mp_store *d = dict(me);
	uint64_t n = 0;
	for (uint64_t i = 1; i <= nkeys; i++) {
		uint64_t v = t_get(me, d, i);
		CHECK(v == 0 || v == i);
		n += v != 0 && i != 2;
	}
	CHECK(n == 0 || (n == nkeys - 1 && !f->done));
	if (!f->alive)  /* not cleared in the middle of use */
		CHECK_EQ(t_get(me, d, OTHER), OTHER);
	mp_store_clear(me, d);
	CHECK_EQ(mp_store_count(me, d), 0);
	mp_obj_drop(me, h1);
}

/* ---- whole dicts -------------------------------------------------------------- */

static void whole_op(mp_self *me, kl_ctl *ctl)
{
	mp_handle h;
	(void)ctl;
	CHECK_EQ(mp_dict_create(me, &h), 0);
	mp_store *d = mp_obj_body(me->shm, h, MP_T_DICT);
	t_set(me, d, 1, 1, SMALL);
	t_set(me, d, 2, 2, BIG);
	mp_obj_drop(me, h);
}

static void last_op(mp_self *me, kl_ctl *ctl)
{
	(void)ctl;
	kl_drop_last(me, h1);
}

static void last_check(mp_self *me, const kl_fate *f)
{
	(void)f;
	mp_obj_drop(me, h1);
}

/* ---- handles -------------------------------------------------------------------- */

static void keep_op(mp_self *me, kl_ctl *ctl)
{
	mp_handle h;
	uint64_t n = 9;
	mp_key k = t_key(&n);
	CHECK_EQ(mp_event_create(me, &h), 0);
	mp_event_set(me, mp_obj_body(me->shm, h, MP_T_EVENT));
	mp_given v = t_given(9, SMALL, h);
	CHECK_EQ(mp_dict_set(me, dict(me), &k, &v, NULL), 0);
	ctl->reported = 1;
	mp_obj_drop(me, h);
}

/* Reads, or takes, what keeps an event alive, and uses the event. */
static bool kept(mp_self *me, bool pop)
{
	uint64_t n = 9, buf[32];
	mp_key k = t_key(&n);
	mp_copy c = { .data = buf, .room = sizeof buf };
	int rc = (pop ? mp_dict_pop : mp_dict_get)(me, dict(me), &k, &c);
	if (rc == MP_EMPTY)
		return false;
	CHECK_EQ(rc, 0);
	CHECK_EQ(c.nhandles, 1);
	CHECK(mp_obj_held(me->shm, buf[0], me->aid));
	CHECK_EQ(t_id(&buf[1], c.len), 9);
	mp_event *e = mp_obj_body(me->shm, buf[0], MP_T_EVENT);
	CHECK(e && mp_event_is_set(e));
	mp_obj_drop(me, buf[0]);
	return true;
}

static void keep_use(mp_self *me, kl_ctl *ctl)
{
	mp_obj_collect(me);  /* must leave alone what a dict lists */
	if (kept(me, false))
		ctl->reported = 1;
}

static void keep_check(mp_self *me, const kl_fate *f)
{
	mp_obj_collect(me);
	bool there = kept(me, true);
	if (kl_ctl_get(0)->reported || f->done)
		CHECK(there);
	CHECK(!kept(me, true));
	mp_obj_drop(me, h1);
}

static void kept_setup(mp_self *me)
{
	kl_ctl ctl = { 0 };
	plain(me);
	keep_op(me, &ctl);
}

static void take_op(mp_self *me, kl_ctl *ctl)
{
	ctl->reported = kept(me, true);
}

static void take_check(mp_self *me, const kl_fate *f)
{
	if (f->done)
		CHECK(!kept(me, false));
	kept(me, true);
	mp_obj_drop(me, h1);
}

static const kl_scene scenes[] = {
	{ "set a new key", new_setup, op, use, check, false },
	{ "set the first key", first_setup, op, NULL, first_check, false },
	{ "grow", grow_setup, op, use, check, false },
	{ "replace in place", in_place_setup, op, use, check, false },
	{ "replace by a larger one", larger_setup, op, use, larger_check, false },
	{ "replace by a huge one", huge_setup, op, use, check, false },
	{ "remove", remove_setup, op, use, check, false },
	{ "shrink", shrink_setup, op, use, check, false },
	{ "replace in a large shelf", far_setup, op, use, check, true },
	{ "pop", pop_setup, pop_op, use, pop_check, false },
	{ "clear", plain, clear_op, use, clear_check, false },
	{ "create, set and drop", kl_no_setup, whole_op, whole_op, kl_no_check, false },
	{ "drop the last handle", plain, last_op, NULL, last_check, false },
	{ "keep a handle", plain, keep_op, keep_use, keep_check, false },
	{ "take a handle out", kept_setup, take_op, keep_use, take_check, false },
};

int main(void)
{
	return kl_main(&(kl_plan){ KL_SCENES(scenes), .seconds = .6, .memory = 4 << 20,
	                          .deadline = 110 });
}
