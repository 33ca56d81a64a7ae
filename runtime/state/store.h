/* store: what Dict and List are made of: records, and a shelf of words that
 * refer to them.
 *
 * Layout: the body holds a latch and refers to a shelf, a block of words: 0
 * empty, MP_GONE, or the offset of a record. It grows, and a list is changed
 * in its middle, by a new shelf that is stored once. What clear threw away is
 * the trash, a shelf that is emptied bit by bit. `moving` is a record that is
 * on its way into or out of the shelf.
 *
 * Invariant: the shelf is the truth; count, used and first are hints, right
 * while nobody has the latch. A record is referred to by one word: of the shelf, of
 * the trash, or by moving (and then perhaps by the shelf as well).
 * Crash: killed holding the latch, whoever gets it next says of each word's
 * block that it belongs there, counts anew, and frees what was moving if the
 * shelf does not have it. A shelf that was not stored yet, or that was
 * replaced, is in the name of the dead. Trash that nobody empties any more,
 * the sweep empties.
 *
 * No call here waits for anything but the latch, which is held for short
 * times only; none calls back.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_STORE_H
#define MP_STORE_H

#include "../shm/latch.h"
#include "record.h"

enum { MP_GONE = 1 };           /* a word whose record was removed */

typedef struct mp_shelf {
	uint64_t cap, step;           /* words used: every step-th of cap * step */
	_Atomic uint64_t words[];
} mp_shelf;

typedef struct mp_store {
	mp_word latch;
	mp_word lists;                /* 1: a value listed handles, ever */
	_Atomic uint64_t shelf;       /* 0: none, nothing is in it */
	_Atomic uint64_t trash;       /* equals shelf: clear was not committed */
	_Atomic uint64_t moving;
	uint64_t trash_at;            /* the words before are empty */
	uint64_t version;             /* of the last change */
	uint64_t count;               /* records: hint */
	uint64_t used;                /* words that are not 0: hint */
	uint64_t first;               /* no record lies before that word: hint */
} mp_store;

int mp_store_create(mp_self *me, enum mp_type type, mp_handle *h);
/* Both sides of everything below. */
void mp_store_lock(mp_self *me, mp_store *s);
static inline void mp_store_unlock(mp_self *me, mp_store *s)
{
	mp_unlatch(me, &s->latch);
}

/* Before a value is published: what it lists is not garbage. No latch. */
void mp_store_sending(mp_self *me, mp_store *s, const mp_key *key, const mp_given *v);

/* ---- with the latch ---- */

/* NULL: there is none. */
static inline mp_shelf *mp_store_shelf(const mp_self *me, const mp_store *s)
{
	uint64_t off = atomic_load_explicit(&s->shelf, memory_order_relaxed);
	return off ? mp_at(me->shm, off) : NULL;
}
static inline _Atomic uint64_t *mp_shelf_word(mp_shelf *t, uint64_t i)
{
	return &t->words[i * t->step];
}
static inline uint64_t mp_shelf_record(mp_shelf *t, uint64_t i)
{
	return atomic_load_explicit(mp_shelf_word(t, i), memory_order_relaxed);
}
/* Word i refers to a record now. */
static inline void mp_store_lower(mp_store *s, uint64_t i)
{
	if (i < s->first)
		s->first = i;
}
/* A private shelf, all words 0. The offset, or 0 and *rc. */
uint64_t mp_shelf_make(mp_self *me, mp_store *s, uint64_t cap, uint64_t step, int *rc);
/* It is the shelf from now on; the old one is freed. */
void mp_shelf_commit(mp_self *me, mp_store *s, uint64_t shelf);

/* ---- without ---- */

uint64_t mp_store_count(mp_self *me, mp_store *s);
void mp_store_clear(mp_self *me, mp_store *s);

/* A picture of several records: handles (held), then for each record a head,
 * its key and its value's bytes, both padded to 8. */
typedef struct mp_shown {
	uint32_t keylen, kind, len, pad;
} mp_shown;
enum { MP_SHOW_KEYS = 1, MP_SHOW_VALUES = 2 };

/* Shows n records, or as many as there are, from that word on, all at one
 * moment. out->len is how many, out->version that of the last change. 0,
 * MP_FULL (see out->need). */
int mp_store_show(mp_self *me, mp_store *s, uint64_t first, uint64_t n, int what,
                  mp_copy *out);
static inline const mp_shown *mp_shown_first(const mp_copy *c)
{
	return (const mp_shown *)((const char *)c->data + c->nhandles * sizeof(mp_handle));
}
static inline const unsigned char *mp_shown_key(const mp_shown *x)
{
	return (const unsigned char *)(x + 1);
}
static inline const unsigned char *mp_shown_bytes(const mp_shown *x)
{
	return mp_shown_key(x) + ((x->keylen + UINT64_C(7)) & ~UINT64_C(7));
}
static inline const mp_shown *mp_shown_next(const mp_shown *x)
{
	return (const void *)(mp_shown_bytes(x) + ((x->len + UINT64_C(7)) & ~UINT64_C(7)));
}

/* For mp_type_ops. */
void mp_store_op_repair(mp_self *me, void *body, mp_aid dead);
void mp_store_op_wake(mp_self *me, void *body);
void mp_store_op_destroy(mp_self *me, void *body);
void mp_store_op_contents(mp_self *me, void *body, void (*mark)(void *ud, mp_handle h), void *ud);

#endif
