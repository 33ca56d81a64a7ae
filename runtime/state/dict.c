/* dict: see dict.h.
 *
 * SPDX-License-Identifier: MIT */
#include "dict.h"

#include <errno.h>
#include <string.h>

#include "../base/crash.h"

enum { STEP = 2, CAP_MIN = 8 };
/* A segment of a queue is a block of 4160 bytes: no shelf is as large. */
_Static_assert((4160 - sizeof(mp_shelf)) / 8 / STEP % CAP_MIN != 0, "shelves are no segments");

int mp_dict_create(mp_self *me, mp_handle *h)
{
	return mp_store_create(me, MP_T_DICT, h);
}

/* ---- hashing --------------------------------------------------------------- */

static uint64_t mix(uint64_t a, uint64_t b)
{
	unsigned __int128 m = (unsigned __int128)a * b;
	return (uint64_t)m ^ (uint64_t)(m >> 64);
}

/* Seeded by the runtime, so that nobody can choose keys that collide. */
static uint64_t hash_of(const mp_self *me, const mp_key *key)
{
	const unsigned char *p = key->data;
	uint64_t h = me->shm->h->id ^ key->len * UINT64_C(0x9e3779b97f4a7c15) ^ key->kind, w;
	uint32_t n = key->len;
	for (; n >= 8; p += 8, n -= 8) {
		memcpy(&w, p, 8);
		h = mix(h ^ w, UINT64_C(0xa0761d6478bd642f));
	}
	w = 0;
	memcpy(&w, p, n);
	return mix(h ^ w, UINT64_C(0xe7037ed1a0b428db));
}

/* ---- places ------------------------------------------------------------------ */

static _Atomic uint64_t *hash_at(mp_shelf *t, uint64_t i)
{
	return mp_shelf_word(t, i) + 1;
}

/* The key's place, or else (false) the one to put it. */
static bool find(mp_self *me, mp_store *d, const mp_key *key, uint64_t hash, uint64_t *at)
{
	mp_shelf *t = mp_store_shelf(me, d);
	bool gone = false;
	*at = 0;
	for (uint64_t i = hash; t; i++) {
		uint64_t k = i & (t->cap - 1), r = mp_shelf_record(t, k);
		if (r == 0 || (r == MP_GONE && !gone)) {
			*at = gone ? *at : k;
			gone = true;
			if (r == 0)
				break;
		} else if (r != MP_GONE &&
		           atomic_load_explicit(hash_at(t, k), memory_order_relaxed) == hash &&
		           mp_record_is(mp_record_at(me, r), key)) {
			*at = k;
			return true;
		}
	}
	return false;
}

/* A shelf with room for one more, and without what is gone. */
static int rebuild(mp_self *me, mp_store *d)
{
	mp_shelf *old = mp_store_shelf(me, d), *t;
	uint64_t cap = CAP_MIN, off;
	int rc;
	while (cap < 2 * (d->count + 1))
		cap *= 2;
	off = mp_shelf_make(me, d, cap, STEP, &rc);
	if (!off)
		return rc;
	t = mp_at(me->shm, off);
	for (uint64_t i = 0; old && i < old->cap; i++) {
		uint64_t r = mp_shelf_record(old, i), hash, k;
		if (r <= MP_GONE)
			continue;
		hash = atomic_load_explicit(hash_at(old, i), memory_order_relaxed);
		for (k = hash & (cap - 1); mp_shelf_record(t, k); k = (k + 1) & (cap - 1))
			;
		atomic_store_explicit(hash_at(t, k), hash, memory_order_relaxed);
		atomic_store_explicit(mp_shelf_word(t, k), r, memory_order_relaxed);
	}
	MP_CRASHPOINT("dict.rebuilt");
	mp_shelf_commit(me, d, off);
	d->used = d->count;
	return MP_OK;
}

static bool is_full(const mp_store *d, mp_shelf *t)
{
	return !t || (d->used + 1) * 4 > t->cap * 3;
}

/* ---- changing ------------------------------------------------------------------ */

static int insert(mp_self *me, mp_store *d, const mp_key *key, uint64_t hash, uint64_t at,
                  uint64_t record)
{
	mp_shelf *t = mp_store_shelf(me, d);
	bool reused = t && mp_shelf_record(t, at) == MP_GONE;
	if (!reused && is_full(d, t)) {
		int rc = rebuild(me, d);
		if (rc != MP_OK)
			return rc;
		find(me, d, key, hash, &at);
		t = mp_store_shelf(me, d);
	}
	mp_record_version(me, record, ++d->version);
	atomic_store_explicit(hash_at(t, at), hash, memory_order_relaxed);
	mp_record_enter(me, mp_shelf_word(t, at), record);
	mp_store_lower(d, at);
	d->count++;
	d->used += !reused;
	return MP_OK;
}

static void discard(mp_self *me, mp_store *d, uint64_t at)
{
	mp_shelf *t = mp_store_shelf(me, d);
	bool last = !mp_shelf_record(t, (at + 1) & (t->cap - 1));
	d->version++;
	mp_record_leave(me, mp_shelf_word(t, at), last ? 0 : MP_GONE);
	d->count--;
	d->used -= last;
	if (t->cap > 8 * CAP_MIN && d->count * 8 < t->cap)
		rebuild(me, d);  /* else it stays as large as it is */
}

/* A change that is being made. */
typedef struct change {
	const mp_key *key;
	const mp_given *v;
	const uint64_t *expect;
	uint64_t hash;
	uint64_t record;           /* private, 0: none made yet */
	bool loosened;             /* what it replaced listed handles */
} change;

/* latched. MP_FULL: a record must be made first. */
static int apply(mp_self *me, mp_store *d, change *c)
{
	uint64_t at, version = 0;
	mp_record *r = NULL;
	if (find(me, d, c->key, c->hash, &at)) {
		r = mp_record_at(me, mp_shelf_record(mp_store_shelf(me, d), at));
		version = mp_record_value(r)->version;
	}
	if (c->expect && *c->expect != version)
		return -EAGAIN;
	if (!r && !c->v)
		return MP_EMPTY;
	c->loosened = r && mp_record_lists(r);
	if (!c->v) {
		discard(me, d, at);
	} else if (r && mp_record_fits(r, c->v)) {
		mp_record_write(r, c->v, ++d->version);
	} else if (!c->record) {
		return MP_FULL;
	} else if (!r) {
		int rc = insert(me, d, c->key, c->hash, at, c->record);
		if (rc != MP_OK)
			return rc;
		c->record = 0;
	} else {
		mp_record_version(me, c->record, ++d->version);
		mp_record_replace(me, mp_shelf_word(mp_store_shelf(me, d), at), c->record);
		c->record = 0;
	}
	return MP_OK;
}

int mp_dict_set(mp_self *me, mp_store *d, const mp_key *key, const mp_given *v,
                const uint64_t *expect)
{
	change c = { .key = key, .v = v, .expect = expect, .hash = hash_of(me, key) };
	int rc;
	if (v)
		mp_store_sending(me, d, key, v);
	for (;;) {
		mp_store_lock(me, d);
		rc = apply(me, d, &c);
		mp_store_unlock(me, d);
		if (rc != MP_FULL)
			break;
		c.record = mp_record_make(me, key, v, &rc);
		if (!c.record)
			break;
	}
	if (c.record)  /* the place needed none after all */
		mp_free(me, c.record);
	if (rc == MP_OK && c.loosened)
		mp_obj_loosened(me);
	return rc;
}

/* ---- reading --------------------------------------------------------------------- */

static int look(mp_self *me, mp_store *d, const mp_key *key, mp_copy *out, bool pop)
{
	uint64_t hash = hash_of(me, key), at;
	bool loosened = false;
	int rc = MP_EMPTY;
	out->version = 0;
	mp_store_lock(me, d);
	if (find(me, d, key, hash, &at)) {
		mp_record *r = mp_record_at(me, mp_shelf_record(mp_store_shelf(me, d), at));
		rc = mp_record_read(me, r, out);
		if (rc == MP_OK && pop) {
			loosened = mp_record_lists(r);
			discard(me, d, at);
		}
	}
	mp_store_unlock(me, d);
	if (loosened)
		mp_obj_loosened(me);
	return rc;
}

int mp_dict_get(mp_self *me, mp_store *d, const mp_key *key, mp_copy *out)
{
	return look(me, d, key, out, false);
}

int mp_dict_pop(mp_self *me, mp_store *d, const mp_key *key, mp_copy *out)
{
	return look(me, d, key, out, true);
}

const mp_type_ops mp_dict_ops = {
	.name = "Dict",
	.repair = mp_store_op_repair,
	.wake = mp_store_op_wake,
	.destroy = mp_store_op_destroy,
	.contents = mp_store_op_contents,
};
