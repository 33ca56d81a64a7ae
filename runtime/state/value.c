/* value: see value.h.
 *
 * SPDX-License-Identifier: MIT */
#include "value.h"

#include <string.h>

#include "../base/futex.h"

_Static_assert(sizeof(mp_value) <= 64, "a value is one line");

static int init(mp_self *me, void *body, void *arg)
{
	(void)me;
	((mp_value *)body)->kind = *(enum mp_value_kind *)arg;
	return MP_OK;
}

int mp_value_create(mp_self *me, enum mp_value_kind kind, mp_handle *h)
{
	return mp_obj_create(me, MP_T_VALUE, sizeof(mp_value), init, &kind, h);
}

/* ---- typed ------------------------------------------------------------------- */

static double number(uint64_t bits)
{
	double x;
	memcpy(&x, &bits, sizeof x);
	return x;
}

static uint64_t bits_of(double x)
{
	uint64_t bits;
	memcpy(&bits, &x, sizeof bits);
	return bits;
}

int64_t mp_value_add_int(mp_value *v, int64_t n)
{
	return (int64_t)(atomic_fetch_add(&v->bits, (uint64_t)n) + (uint64_t)n);
}

double mp_value_add_float(mp_value *v, double n)
{
	uint64_t old = atomic_load(&v->bits);
	while (!atomic_compare_exchange_weak(&v->bits, &old, bits_of(number(old) + n)))
		;
	return number(old) + n;
}

bool mp_value_cas(mp_value *v, uint64_t old, uint64_t new)
{
	return atomic_compare_exchange_strong(&v->bits, &old, new);
}

/* Equal as numbers are: -0.0 to 0.0, and NaN to nothing. */
bool mp_value_cas_float(mp_value *v, double old, double new)
{
	uint64_t now = atomic_load(&v->bits);
	while (number(now) == old)
		if (atomic_compare_exchange_weak(&v->bits, &now, bits_of(new)))
			return true;
	return false;
}

/* ---- any --------------------------------------------------------------------- */

static mp_record *record_of(mp_self *me, mp_value *v)
{
	uint64_t at = atomic_load_explicit(&v->record, memory_order_acquire);
	return at ? mp_record_at(me, at) : NULL;
}

/* Who died holding it left nothing to repair: the word says which record
 * counts, and a record's home is always that word. */
static void lock(mp_self *me, mp_value *v)
{
	mp_latch_hold(me, &v->latch);
}

int mp_value_get(mp_self *me, mp_value *v, mp_copy *out)
{
	int rc = MP_EMPTY;
	out->version = 0;
	lock(me, v);
	mp_record *r = record_of(me, v);
	if (r)
		rc = mp_record_read(me, r, out);
	mp_unlatch(me, &v->latch);
	return rc;
}

/* Handles count as sent before anybody can read them here. */
static void sending(mp_self *me, mp_value *v, const mp_given *given)
{
	if (given->nhandles)
		atomic_store(&v->lists, 1);
	for (uint32_t i = 0; i < given->nhandles; i++)
		mp_obj_sending(me, given->handles[i]);
}

/* A change that is being made. */
typedef struct change {
	const mp_given *given;
	const uint64_t *expect;
	uint64_t record;           /* private, 0: none made yet */
	bool loosened;             /* what it replaced listed handles */
} change;

/* latched. MP_FULL: a record must be made first. */
static int apply(mp_self *me, mp_value *v, change *c)
{
	mp_record *r = record_of(me, v);
	if (c->expect && *c->expect != (r ? mp_record_value(r)->version : 0))
		return -EAGAIN;
	c->loosened = r && mp_record_lists(r);
	if (!c->given) {
		if (r)
			mp_record_leave(me, &v->record, 0);
	} else if (r && mp_record_fits(r, c->given)) {
		mp_record_write(r, c->given, ++v->version);
	} else if (!c->record) {
		return MP_FULL;
	} else {
		mp_record_version(me, c->record, ++v->version);
		if (r)
			mp_record_replace(me, &v->record, c->record);
		else
			mp_record_enter(me, &v->record, c->record);
		c->record = 0;
	}
	return MP_OK;
}

int mp_value_set(mp_self *me, mp_value *v, const mp_given *given, const uint64_t *expect)
{
	change c = { .given = given, .expect = expect };
	int rc;
	if (given)
		sending(me, v, given);
	for (;;) {
		lock(me, v);
		rc = apply(me, v, &c);
		mp_unlatch(me, &v->latch);
		if (rc != MP_FULL)
			break;
		c.record = mp_record_make(me, NULL, given, &rc);
		if (!c.record)
			break;
	}
	if (c.record)  /* not needed after all */
		mp_free(me, c.record);
	if (rc == MP_OK && c.loosened)
		mp_obj_loosened(me);
	return rc;
}

/* ---- the object's part in sweeps ------------------------------------------------ */

static void release(mp_self *me, void *body, mp_aid dead)
{
	mp_value *v = body;
	if ((atomic_load(&v->latch) & MP_AID_MASK) != dead)
		return;
	lock(me, v);
	mp_unlatch(me, &v->latch);
}

static void wake(mp_self *me, void *body)
{
	mp_value *v = body;
	(void)me;
	if (atomic_load(&v->latch) & MP_WAIT)
		mp_futex_wake(&v->latch, INT_MAX);
}

/* Nobody holds it any more: no latch is needed. */
static void destroy(mp_self *me, void *body)
{
	mp_value *v = body;
	if (record_of(me, v))
		mp_record_leave(me, &v->record, 0);
	if (atomic_load(&v->lists))
		mp_obj_loosened(me);
	mp_guard_drop(me, &v->guard);
}

static void contents(mp_self *me, void *body, void (*mark)(void *ud, mp_handle h), void *ud)
{
	mp_value *v = body;
	mp_guard_mark(&v->guard, mark, ud);
	if (!atomic_load(&v->lists))
		return;
	lock(me, v);
	mp_record *r = record_of(me, v);
	if (r)
		mp_record_mark(r, mark, ud);
	mp_unlatch(me, &v->latch);
}

const mp_type_ops mp_value_ops = {
	.name = "Value",
	.release = release,
	.wake = wake,
	.destroy = destroy,
	.contents = contents,
};
