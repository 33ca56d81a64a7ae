/* list: see list.h.
 *
 * SPDX-License-Identifier: MIT */
#include "list.h"

#include <errno.h>
#include <string.h>

#include "../base/crash.h"

enum { STEP = 1, CAP_MIN = 8 };
/* A segment of a queue is a block of 4160 bytes: no shelf is as large. */
_Static_assert((4160 - sizeof(mp_shelf)) / 8 / STEP % CAP_MIN != 0, "shelves are no segments");

int mp_list_create(mp_self *me, mp_handle *h)
{
	return mp_store_create(me, MP_T_LIST, h);
}

/* ---- latched ------------------------------------------------------------------ */

static _Atomic uint64_t *word_at(mp_self *me, mp_store *l, uint64_t i)
{
	return mp_shelf_word(mp_store_shelf(me, l), i);
}

static mp_record *record_at(mp_self *me, mp_store *l, uint64_t i)
{
	return mp_record_at(me, mp_shelf_record(mp_store_shelf(me, l), i));
}

/* A private shelf with room for n words. */
static uint64_t shelf_for(mp_self *me, mp_store *l, uint64_t n, int *rc)
{
	uint64_t cap = CAP_MIN;
	while (cap < n)
		cap *= 2;
	return mp_shelf_make(me, l, cap, STEP, rc);
}

/* Words [from, from + n) of the shelf become those of t from to on. */
static void copy(mp_self *me, mp_store *l, uint64_t from, uint64_t n, uint64_t t, uint64_t to)
{
	mp_shelf *new = mp_at(me->shm, t);
	if (n)
		memcpy((void *)mp_shelf_word(new, to), (void *)word_at(me, l, from), n * sizeof(uint64_t));
}

static int reserve(mp_self *me, mp_store *l, uint64_t n)
{
	mp_shelf *t = mp_store_shelf(me, l);
	uint64_t new;
	int rc = MP_OK;
	if (t && l->count + n <= t->cap)
		return MP_OK;
	new = shelf_for(me, l, l->count + n, &rc);
	if (!new)
		return rc;
	copy(me, l, 0, l->count, new, 0);
	mp_shelf_commit(me, l, new);
	return MP_OK;
}

/* Room for it is there. */
static void append(mp_self *me, mp_store *l, uint64_t record)
{
	mp_record_version(me, record, ++l->version);
	mp_record_enter(me, word_at(me, l, l->count), record);
	mp_store_lower(l, l->count);
	l->used = ++l->count;
}

static int put_between(mp_self *me, mp_store *l, uint64_t i, uint64_t record)
{
	int rc;
	uint64_t new = shelf_for(me, l, l->count + 1, &rc);
	if (!new)
		return rc;
	mp_record_version(me, record, ++l->version);
	mp_record_enter(me, &l->moving, record);
	copy(me, l, 0, i, new, 0);
	atomic_store(mp_shelf_word(mp_at(me->shm, new), i), record);
	copy(me, l, i, l->count - i, new, i + 1);
	MP_CRASHPOINT("list.built");
	mp_shelf_commit(me, l, new);
	MP_CRASHPOINT("list.inserted");
	atomic_store(&l->moving, 0);
	l->used = ++l->count;
	return MP_OK;
}

/* new: a private shelf for what remains, 0 if it is the last that goes. */
static void take_out(mp_self *me, mp_store *l, uint64_t i, uint64_t new)
{
	l->version++;
	if (!new) {
		mp_record_leave(me, word_at(me, l, i), 0);
	} else {
		copy(me, l, 0, i, new, 0);
		copy(me, l, i + 1, l->count - 1 - i, new, i);
		atomic_store(&l->moving, mp_shelf_record(mp_store_shelf(me, l), i));
		MP_CRASHPOINT("list.moving");
		mp_shelf_commit(me, l, new);
		MP_CRASHPOINT("list.removed");
		mp_record_leave(me, &l->moving, 0);
	}
	l->used = --l->count;
}

static int pop(mp_self *me, mp_store *l, uint64_t i, mp_copy *out, bool *loosened)
{
	uint64_t new = 0;
	int rc = MP_OK;
	if (i >= l->count)
		return MP_EMPTY;
	/* First what may fail: what was read holds handles. */
	if (i < l->count - 1 && !(new = shelf_for(me, l, l->count - 1, &rc)))
		return rc;
	*loosened = mp_record_lists(record_at(me, l, i));
	rc = mp_record_read(me, record_at(me, l, i), out);
	if (rc == MP_OK)
		take_out(me, l, i, new);
	else if (new)
		mp_free(me, new);
	return rc;
}

/* ---- reading -------------------------------------------------------------------- */

int mp_list_get(mp_self *me, mp_store *l, uint64_t i, mp_copy *out)
{
	int rc = MP_EMPTY;
	mp_store_lock(me, l);
	if (i < l->count)
		rc = mp_record_read(me, record_at(me, l, i), out);
	mp_store_unlock(me, l);
	return rc;
}

int mp_list_pop(mp_self *me, mp_store *l, uint64_t i, const uint64_t *expect, mp_copy *out)
{
	bool loosened = false;
	int rc = -EAGAIN;
	mp_store_lock(me, l);
	if (!expect || *expect == l->version)
		rc = pop(me, l, i == MP_LIST_LAST ? l->count - 1 : i, out, &loosened);
	mp_store_unlock(me, l);
	if (rc == MP_OK && loosened)
		mp_obj_loosened(me);
	return rc;
}

/* ---- changing -------------------------------------------------------------------- */

/* A change that is being made. */
typedef struct change {
	uint64_t i;
	const mp_given *v;
	bool insert;
	uint64_t record;           /* private, 0: none made yet */
	bool loosened;             /* what it replaced listed handles */
	uint64_t *count;
} change;

static int grow(mp_self *me, mp_store *l, change *c)
{
	int rc;
	if (c->i < l->count)
		rc = put_between(me, l, c->i, c->record);
	else if ((rc = reserve(me, l, 1)) == MP_OK)
		append(me, l, c->record);
	if (rc == MP_OK)
		c->record = 0;
	return rc;
}

/* latched. MP_FULL: a record must be made first. */
static int apply(mp_self *me, mp_store *l, change *c)
{
	mp_record *r;
	*c->count = l->count;
	if (c->i > l->count)
		return MP_EMPTY;
	if (c->insert || c->i == l->count)
		return c->record ? grow(me, l, c) : MP_FULL;
	r = record_at(me, l, c->i);
	c->loosened = mp_record_lists(r);
	if (mp_record_fits(r, c->v)) {
		mp_record_write(r, c->v, ++l->version);
		return MP_OK;
	}
	if (!c->record)
		return MP_FULL;
	mp_record_version(me, c->record, ++l->version);
	mp_record_replace(me, word_at(me, l, c->i), c->record);
	c->record = 0;
	return MP_OK;
}

static int change_by(mp_self *me, mp_store *l, change *c)
{
	int rc;
	mp_store_sending(me, l, NULL, c->v);
	for (;;) {
		mp_store_lock(me, l);
		rc = apply(me, l, c);
		mp_store_unlock(me, l);
		if (rc != MP_FULL)
			break;
		c->record = mp_record_make(me, NULL, c->v, &rc);
		if (!c->record)
			break;
	}
	if (c->record)
		mp_free(me, c->record);
	if (rc == MP_OK && c->loosened)
		mp_obj_loosened(me);
	return rc;
}

int mp_list_set(mp_self *me, mp_store *l, uint64_t i, const mp_given *v, uint64_t *count)
{
	change c = { .i = i, .v = v, .count = count };
	return change_by(me, l, &c);
}

int mp_list_insert(mp_self *me, mp_store *l, uint64_t i, const mp_given *v, uint64_t *count)
{
	change c = { .i = i, .v = v, .insert = true, .count = count };
	return change_by(me, l, &c);
}

uint64_t mp_list_prepare(mp_self *me, mp_store *l, const mp_given *v, int *rc)
{
	mp_store_sending(me, l, NULL, v);
	return mp_record_make(me, NULL, v, rc);
}

int mp_list_extend(mp_self *me, mp_store *l, const uint64_t *records, uint64_t n)
{
	int rc;
	mp_store_lock(me, l);
	rc = reserve(me, l, n);
	for (uint64_t i = 0; rc == MP_OK && i < n; i++)
		append(me, l, records[i]);
	mp_store_unlock(me, l);
	return rc;
}

int mp_list_arrange(mp_self *me, mp_store *l, uint64_t version, const uint64_t *order, uint64_t n)
{
	int rc = -EAGAIN;
	uint64_t new;
	mp_store_lock(me, l);
	if (l->version == version && l->count == n) {
		new = shelf_for(me, l, n, &rc);
		for (uint64_t i = 0; new && i < n; i++)
			atomic_store_explicit(mp_shelf_word(mp_at(me->shm, new), i),
			        atomic_load_explicit(word_at(me, l, order[i]), memory_order_relaxed),
			        memory_order_relaxed);
		l->version++;
		MP_CRASHPOINT("list.arranged");
		if (new)
			mp_shelf_commit(me, l, new);
	}
	mp_store_unlock(me, l);
	return rc;
}

const mp_type_ops mp_list_ops = {
	.name = "List",
	.repair = mp_store_op_repair,
	.wake = mp_store_op_wake,
	.destroy = mp_store_op_destroy,
	.contents = mp_store_op_contents,
};
