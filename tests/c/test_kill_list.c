/* Killed at every change of a list: a survivor finds it as it was before or
 * after the operation, no value torn, none lost, and nothing leaked.
 *
 * SPDX-License-Identifier: MIT */
#include "killer.h"

#include <errno.h>

#include "things.h"

enum { SMALL = 16, BIG = 300, OTHER = 100, MOST = 64 };

static mp_handle h1;
static uint64_t old[MOST], new[MOST];  /* before, after */
static uint32_t nold, nnew;

static mp_store *list(mp_self *me)
{
	return mp_obj_body(me->shm, h1, MP_T_LIST);
}

/* 1 .. n are in it. */
static void set_up(mp_self *me, uint32_t n)
{
	CHECK_EQ(mp_list_create(me, &h1), 0);
	nold = nnew = n;
	for (uint32_t i = 0; i < n; i++) {
		old[i] = new[i] = i + 1;
		t_append(me, list(me), i + 1, i % 3 ? SMALL : BIG);
	}
}

/* What the operation will have done. */
static void without(uint32_t i)
{
	memmove(&new[i], &new[i + 1], (--nnew - i) * sizeof *new);
}

static void with(uint32_t i, uint64_t id)
{
	memmove(&new[i + 1], &new[i], (nnew++ - i) * sizeof *new);
	new[i] = id;
}

/* Appends one and takes it out again, and changes one in place. */
static void use(mp_self *me, kl_ctl *ctl)
{
	mp_store *l = list(me);
	uint64_t n, buf[64];
	mp_copy c = { .data = buf, .room = sizeof buf };
	mp_given v;
	(void)ctl;
	t_append(me, l, OTHER, SMALL);
	t_append(me, l, OTHER, BIG);
	CHECK_EQ(mp_list_pop(me, l, MP_LIST_LAST, NULL, &c), 0);
	v = t_given(1, SMALL, 0);
	CHECK_EQ(mp_list_set(me, l, 0, &v, &n), 0);
}

/* Without what use left there: its own value, or, where the two ran at the
 * same time, ones that its pop was meant for. */
static void check(mp_self *me, const kl_fate *f)
{
	static uint64_t is[MOST];
	uint32_t n = t_list(me, list(me), is, MOST), m = 0;
	CHECK_EQ(mp_store_count(me, list(me)), n);
	for (uint32_t i = 0; i < n; i++)
		if (is[i] != OTHER)
			is[m++] = is[i];
	if (!f->alive) {
		bool after = m == nnew && memcmp(is, new, m * sizeof *is) == 0;
		bool before = m == nold && memcmp(is, old, m * sizeof *is) == 0;
		CHECK(after || (before && !f->done));
		CHECK(n > m);
	}
	mp_store_clear(me, list(me));
	CHECK_EQ(t_list(me, list(me), is, MOST), 0);
	mp_obj_drop(me, h1);
}

/* ---- operations ------------------------------------------------------------ */

static void append_setup(mp_self *me) { set_up(me, 5); with(5, 50); }
static void grow_setup(mp_self *me) { set_up(me, 8); with(8, 50); }
static void first_setup(mp_self *me) { set_up(me, 1); with(1, 50); }

static void append_op(mp_self *me, kl_ctl *ctl)
{
	(void)ctl;
	t_append(me, list(me), 50, BIG);
}

static void insert_setup(mp_self *me) { set_up(me, 6); with(2, 50); }

static void insert_op(mp_self *me, kl_ctl *ctl)
{
	uint64_t n;
	mp_given v = t_given(50, BIG, 0);
	(void)ctl;
	CHECK_EQ(mp_list_insert(me, list(me), 2, &v, &n), 0);
}

static void pop_setup(mp_self *me) { set_up(me, 6); without(5); }
static void pop_middle_setup(mp_self *me) { set_up(me, 6); without(2); }

static void pop_at(mp_self *me, uint64_t i, kl_ctl *ctl)
{
	uint64_t buf[64];
	mp_copy c = { .data = buf, .room = sizeof buf };
	CHECK_EQ(mp_list_pop(me, list(me), i, NULL, &c), 0);
	ctl->reported = t_id(buf, c.len);
}

static void pop_op(mp_self *me, kl_ctl *ctl) { pop_at(me, MP_LIST_LAST, ctl); }
static void pop_middle_op(mp_self *me, kl_ctl *ctl) { pop_at(me, 2, ctl); }

static void pop_middle_check(mp_self *me, const kl_fate *f)
{
	if (f->done)
		CHECK_EQ(kl_ctl_get(0)->reported, 3);
	check(me, f);
}

static void set_setup(mp_self *me) { set_up(me, 6); new[4] = 50; }

static void set_op(mp_self *me, kl_ctl *ctl)
{
	uint64_t n;
	mp_given v = t_given(50, SMALL, 0);
	(void)ctl;
	CHECK_EQ(mp_list_set(me, list(me), 4, &v, &n), 0);
}

static void set_larger_op(mp_self *me, kl_ctl *ctl)
{
	uint64_t n;
	mp_given v = t_given(50, 4 * BIG, 0);
	(void)ctl;
	CHECK_EQ(mp_list_set(me, list(me), 4, &v, &n), 0);
}

static void reverse_setup(mp_self *me)
{
	set_up(me, 6);
	for (uint32_t i = 0; i < 6; i++)
		new[i] = 6 - i;
}

/* Not if another changed it in between. */
static void reverse_op(mp_self *me, kl_ctl *ctl)
{
	static const uint64_t order[] = { 5, 4, 3, 2, 1, 0 };
	mp_copy c = { .data = NULL, .room = 0 };
	(void)ctl;
	mp_store_show(me, list(me), 0, UINT64_MAX, MP_SHOW_VALUES, &c);
	int rc = mp_list_arrange(me, list(me), c.version, order, 6);
	CHECK(rc == 0 || rc == -EAGAIN);
}

static void reverse_use(mp_self *me, kl_ctl *ctl)
{
	(void)ctl;
	t_append(me, list(me), OTHER, SMALL);
}

static void extend_setup(mp_self *me)
{
	set_up(me, 7);
	for (uint64_t i = 0; i < 4; i++)
		with((uint32_t)(7 + i), 50 + i);
}

static void extend_op(mp_self *me, kl_ctl *ctl)
{
	uint64_t r[4];
	(void)ctl;
	for (uint64_t i = 0; i < 4; i++) {
		int rc;
		mp_given v = t_given(50 + i, SMALL, 0);
		CHECK((r[i] = mp_list_prepare(me, list(me), &v, &rc)) != 0);
	}
	CHECK_EQ(mp_list_extend(me, list(me), r, 4), 0);
}

/* Killed, the first of them may be there. */
static void extend_check(mp_self *me, const kl_fate *f)
{
	static uint64_t is[MOST];
	uint32_t n = t_list(me, list(me), is, MOST), m = 0;
	for (uint32_t i = 0; i < n; i++)
		m += is[i] >= 50 && is[i] < OTHER;
	if (!f->done)
		nnew = 7 + m;
	check(me, f);
}

static void clear_setup(mp_self *me) { set_up(me, 6); nnew = 0; }

static void clear_op(mp_self *me, kl_ctl *ctl)
{
	(void)ctl;
	mp_store_clear(me, list(me));
}

static void whole_op(mp_self *me, kl_ctl *ctl)
{
	mp_handle h;
	uint64_t n;
	(void)ctl;
	CHECK_EQ(mp_list_create(me, &h), 0);
	mp_store *l = mp_obj_body(me->shm, h, MP_T_LIST);
	t_append(me, l, 1, SMALL);
	mp_given v = t_given(2, BIG, 0);
	CHECK_EQ(mp_list_insert(me, l, 0, &v, &n), 0);
	mp_obj_drop(me, h);
}

static void last_op(mp_self *me, kl_ctl *ctl)
{
	(void)ctl;
	kl_drop_last(me, h1);
}

static void last_setup(mp_self *me) { set_up(me, 5); }

static void last_check(mp_self *me, const kl_fate *f)
{
	(void)f;
	mp_obj_drop(me, h1);
}

static const kl_scene scenes[] = {
	{ "append", append_setup, append_op, use, check, false },
	{ "append and grow", grow_setup, append_op, use, check, false },
	{ "append to one", first_setup, append_op, use, check, false },
	{ "insert", insert_setup, insert_op, use, check, false },
	{ "pop the last", pop_setup, pop_op, use, check, false },
	{ "pop in the middle", pop_middle_setup, pop_middle_op, use, pop_middle_check, false },
	{ "set in place", set_setup, set_op, use, check, false },
	{ "set a larger one", set_setup, set_larger_op, use, check, false },
	{ "reverse", reverse_setup, reverse_op, reverse_use, check, false },
	{ "extend", extend_setup, extend_op, use, extend_check, false },
	{ "clear", clear_setup, clear_op, reverse_use, check, false },
	{ "create, fill and drop", kl_no_setup, whole_op, whole_op, kl_no_check, false },
	{ "drop the last handle", last_setup, last_op, NULL, last_check, false },
};

int main(void)
{
	return kl_main(&(kl_plan){ KL_SCENES(scenes), .seconds = .6, .memory = 4 << 20,
	                          .deadline = 110 });
}
