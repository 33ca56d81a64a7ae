/* store: see store.h.
 *
 * SPDX-License-Identifier: MIT */
#include "store.h"

#include <string.h>

#include "../base/crash.h"

#define BATCH 1024u  /* words emptied with the latch held once */

int mp_store_create(mp_self *me, enum mp_type type, mp_handle *h)
{
	return mp_obj_create(me, type, sizeof(mp_store), NULL, NULL, h);
}

/* ---- the latch, and what its last holder left -------------------------------- */

/* Each word's block belongs there, whoever had it in hand. Tells how many
 * words are used and refer to records, and whether one refers to this. */
static bool keep_all(mp_self *me, mp_shelf *t, uint64_t one, uint64_t *used, uint64_t *count)
{
	bool found = false;
	for (uint64_t i = 0; i < t->cap; i++) {
		uint64_t r = mp_shelf_record(t, i);
		*used += r != 0;
		if (r <= MP_GONE)
			continue;
		++*count;
		found |= r == one;
		mp_record_keep(me, mp_shelf_word(t, i));
	}
	return found;
}

static void repair(mp_self *me, mp_store *s)
{
	uint64_t moving = atomic_load(&s->moving), used = 0, count = 0, none = 0;
	bool found = false;
	if (atomic_load(&s->trash) == atomic_load(&s->shelf))
		atomic_store(&s->trash, 0);
	if (atomic_load(&s->shelf)) {
		mp_record_keep(me, &s->shelf);
		found = keep_all(me, mp_store_shelf(me, s), moving, &used, &count);
	}
	s->used = used;
	s->count = count;
	s->first = 0;
	if (atomic_load(&s->trash)) {
		mp_record_keep(me, &s->trash);
		keep_all(me, mp_at(me->shm, atomic_load(&s->trash)), 0, &none, &none);
	}
	MP_CRASHPOINT("store.repaired");
	if (found)
		atomic_store(&s->moving, 0);
	else if (moving)
		mp_record_leave(me, &s->moving, 0);
}

void mp_store_lock(mp_self *me, mp_store *s)
{
	if (mp_latch_hold(me, &s->latch) == MP_ABANDONED)
		repair(me, s);
}

/* ---- handles -------------------------------------------------------------------- */

void mp_store_sending(mp_self *me, mp_store *s, const mp_key *key, const mp_given *v)
{
	mp_handle h;
	bool is_handle = key && key->kind == MP_KEY_HANDLE;
	if (!is_handle && !v->nhandles)
		return;
	atomic_store(&s->lists, 1);
	for (uint32_t i = 0; i < v->nhandles; i++)
		mp_obj_sending(me, v->handles[i]);
	if (is_handle) {
		memcpy(&h, key->data, sizeof h);
		mp_obj_sending(me, h);
	}
}

void mp_store_op_contents(mp_self *me, void *body, void (*mark)(void *ud, mp_handle h), void *ud)
{
	mp_store *s = body;
	mp_shelf *t;
	if (!atomic_load(&s->lists))
		return;
	mp_store_lock(me, s);  /* nothing is freed meanwhile */
	t = mp_store_shelf(me, s);
	for (uint64_t i = 0; t && i < t->cap; i++)
		if (mp_shelf_record(t, i) > MP_GONE)
			mp_record_mark(mp_record_at(me, mp_shelf_record(t, i)), mark, ud);
	mp_store_unlock(me, s);
}

/* ---- shelves ---------------------------------------------------------------------- */

uint64_t mp_shelf_make(mp_self *me, mp_store *s, uint64_t cap, uint64_t step, int *rc)
{
	uint64_t words = cap * step * sizeof(uint64_t);
	uint64_t off = mp_alloc(me, sizeof(mp_shelf) + words, mp_off(me->shm, &s->shelf), rc);
	mp_shelf *t;
	if (!off)
		return 0;
	t = mp_at(me->shm, off);
	t->cap = cap;
	t->step = step;
	memset((void *)t->words, 0, words);
	return off;
}

void mp_shelf_commit(mp_self *me, mp_store *s, uint64_t shelf)
{
	if (atomic_load_explicit(&s->shelf, memory_order_relaxed))
		mp_record_replace(me, &s->shelf, shelf);
	else
		mp_record_enter(me, &s->shelf, shelf);
	s->first = 0;
}

/* Empties some of the trash. true: there is no more. */
static bool empty_some(mp_self *me, mp_store *s)
{
	uint64_t off = atomic_load(&s->trash), end;
	mp_shelf *t;
	if (!off)
		return true;
	t = mp_at(me->shm, off);
	end = t->cap - s->trash_at > BATCH ? s->trash_at + BATCH : t->cap;
	for (; s->trash_at < end; s->trash_at++)
		if (mp_shelf_record(t, s->trash_at) > MP_GONE)
			mp_record_leave(me, mp_shelf_word(t, s->trash_at), 0);
	MP_CRASHPOINT("store.emptied");
	if (end < t->cap)
		return false;
	mp_record_leave(me, &s->trash, 0);
	return true;
}

static void empty_trash(mp_self *me, mp_store *s)
{
	bool done;
	do {
		mp_store_lock(me, s);
		done = empty_some(me, s);
		mp_store_unlock(me, s);
	} while (!done);
}

void mp_store_clear(mp_self *me, mp_store *s)
{
	for (;;) {
		empty_trash(me, s);
		mp_store_lock(me, s);
		if (!atomic_load(&s->trash))
			break;
		mp_store_unlock(me, s);  /* somebody else cleared it meanwhile */
	}
	s->version++;
	s->trash_at = 0;
	atomic_store(&s->trash, atomic_load(&s->shelf));
	MP_CRASHPOINT("store.thrown");
	atomic_store(&s->shelf, 0);
	MP_CRASHPOINT("store.cleared");
	s->count = s->used = s->first = 0;
	mp_store_unlock(me, s);
	empty_trash(me, s);
	if (atomic_load(&s->lists))
		mp_obj_loosened(me);
}

uint64_t mp_store_count(mp_self *me, mp_store *s)
{
	uint64_t n;
	mp_store_lock(me, s);
	n = s->count;
	mp_store_unlock(me, s);
	return n;
}

/* ---- showing ------------------------------------------------------------------------- */

static uint64_t align8(uint64_t n) { return (n + 7) & ~UINT64_C(7); }

static void measure(mp_record *r, int what, mp_copy *out)
{
	mp_payload *v = mp_record_value(r);
	out->len++;
	out->need += sizeof(mp_shown);
	if (what & MP_SHOW_KEYS) {
		out->need += align8(r->keylen);
		out->nhandles += r->kind == MP_KEY_HANDLE;
	}
	if (what & MP_SHOW_VALUES) {
		out->need += align8(v->len);
		out->nhandles += v->nhandles;
	}
}

static mp_handle *hold(mp_self *me, const void *list, uint32_t n, mp_handle *to)
{
	memcpy(to, list, n * sizeof *to);
	for (uint32_t i = 0; i < n; i++)
		mp_obj_hold(me, to[i]);
	return to + n;
}

static void show(mp_self *me, mp_record *r, int what, mp_handle **handles, mp_shown **to)
{
	mp_payload *v = mp_record_value(r);
	mp_shown *x = *to;
	bool key = what & MP_SHOW_KEYS, value = what & MP_SHOW_VALUES;
	*x = (mp_shown){ key ? r->keylen : 0, r->kind, value ? v->len : 0, 0 };
	memcpy((void *)mp_shown_key(x), mp_record_key(r), x->keylen);
	memcpy((void *)mp_shown_bytes(x), mp_payload_bytes(v), x->len);
	if (key && r->kind == MP_KEY_HANDLE)
		*handles = hold(me, mp_record_key(r), 1, *handles);
	if (value)
		*handles = hold(me, mp_payload_handles(v), v->nhandles, *handles);
	*to = (mp_shown *)mp_shown_next(x);
}

static void show_all(mp_self *me, mp_shelf *t, uint64_t first, int what, mp_copy *out)
{
	mp_handle *handles = out->data;
	mp_shown *to = (mp_shown *)mp_shown_first(out);
	for (uint64_t i = first, left = out->len; left > 0; i++)
		if (mp_shelf_record(t, i) > MP_GONE) {
			show(me, mp_record_at(me, mp_shelf_record(t, i)), what, &handles, &to);
			left--;
		}
}

int mp_store_show(mp_self *me, mp_store *s, uint64_t first, uint64_t n, int what, mp_copy *out)
{
	mp_shelf *t;
	int rc = MP_OK;
	out->len = out->nhandles = 0;
	out->need = 0;
	mp_store_lock(me, s);
	t = mp_store_shelf(me, s);
	out->version = s->version;
	while (t && s->first < t->cap && mp_shelf_record(t, s->first) <= MP_GONE)
		s->first++;
	if (first < s->first)
		first = s->first;
	for (uint64_t i = first; t && i < t->cap && out->len < n; i++)
		if (mp_shelf_record(t, i) > MP_GONE)
			measure(mp_record_at(me, mp_shelf_record(t, i)), what, out);
	out->need += out->nhandles * sizeof(mp_handle);
	if (out->need > out->room)
		rc = MP_FULL;
	else
		show_all(me, t, first, what, out);
	mp_store_unlock(me, s);
	return rc;
}

/* ---- the sweep's part ------------------------------------------------------------------ */

void mp_store_op_repair(mp_self *me, void *body, mp_aid dead)
{
	mp_store *s = body;
	if ((atomic_load(&s->latch) & MP_AID_MASK) == dead || atomic_load(&s->trash))
		empty_trash(me, s);
}

void mp_store_op_wake(mp_self *me, void *body)
{
	mp_word *w = &((mp_store *)body)->latch;
	(void)me;
	if (atomic_load(w) & MP_WAIT)
		mp_futex_wake(w, INT_MAX);
}

/* Nobody holds it any more: no latch is needed. */
static void destroy_shelf(mp_self *me, _Atomic uint64_t *home)
{
	mp_shelf *t;
	if (!atomic_load(home))
		return;
	t = mp_at(me->shm, atomic_load(home));
	for (uint64_t i = 0; i < t->cap; i++)
		if (mp_shelf_record(t, i) > MP_GONE)
			mp_record_leave(me, mp_shelf_word(t, i), 0);
	mp_record_leave(me, home, 0);
}

void mp_store_op_destroy(mp_self *me, void *body)
{
	mp_store *s = body;
	destroy_shelf(me, &s->trash);
	destroy_shelf(me, &s->shelf);
	if (atomic_load(&s->lists))
		mp_obj_loosened(me);
}
