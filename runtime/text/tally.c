/* tally: entries and their index.
 *
 * SPDX-License-Identifier: MIT */
#include "tally.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "word.h"

enum { FIRST = 1024, SHORT = sizeof(uint64_t) };

static const uint64_t K1 = 0x9E3779B97F4A7C15u, K2 = 0xD6E8FEB86659FD93u;

/* ---- memory ------------------------------------------------------------------------ */

/* A list with room for `need`. NULL: no memory, and the old one is gone as well. */
static void *larger(void *list, size_t *room, size_t need, size_t unit)
{
	size_t n = *room ? *room : FIRST;
	while (n < need)
		n *= 2;
	void *p = realloc(list, n * unit);
	if (!p)
		free(list);
	*room = p ? n : 0;
	return p;
}

#define ROOM(t, list, need)                                                              \
	((need) <= (t)->list##_room ||                                                   \
	 ((t)->list = larger((t)->list, &(t)->list##_room, need, sizeof *(t)->list)))

bool mp_tally_break(mp_tally *t)
{
	t->size = t->used = t->touches = 0;
	t->total = 0;
	t->broken = true;
	return false;
}

void mp_tally_init(mp_tally *t, uint64_t seed)
{
	*t = (mp_tally){ .seed = seed };
}

void mp_tally_free(mp_tally *t)
{
	free(t->entries);
	free(t->index);
	free(t->touched);
	free(t->bytes);
	mp_tally_init(t, t->seed);
}

void mp_tally_clear(mp_tally *t)
{
	if (t->index)
		memset(t->index, 0, (t->mask + 1) * sizeof *t->index);
	mp_tally_empty(t);
	t->size = t->used = 0;
	t->broken = false;
}

void mp_tally_empty(mp_tally *t)
{
	for (size_t i = 0; i < t->touches; i++)
		t->entries[t->touched[i] - 1].n = 0;
	t->touches = 0;
	t->total = 0;
}

size_t mp_tally_bytes(const mp_tally *t)
{
	return t->used + t->size * (sizeof *t->entries + sizeof *t->touched + 2 * sizeof *t->index);
}

/* ---- the index --------------------------------------------------------------------- */

/* Twice as large; the first time, FIRST cells. */
static bool grow(mp_tally *t)
{
	size_t mask = t->index ? t->mask * 2 + 1 : FIRST - 1;
	mp_tally_cell *index = calloc(mask + 1, sizeof *index);
	if (!index)
		return mp_tally_break(t);
	for (size_t i = 0; i < t->size; i++) {
		uint32_t hash = t->entries[i].hash;
		size_t at = hash & mask;
		while (index[at].id)
			at = (at + 1) & mask;
		index[at] = (mp_tally_cell){ hash, (uint32_t)i + 1 };
	}
	free(t->index);
	t->index = index;
	t->mask = mask;
	return true;
}

static inline bool usable(mp_tally *t)
{
	return !t->broken && (t->index || grow(t));
}

/* e->at is set here; bytes: of a long string. */
static __attribute__((noinline)) uint32_t insert(mp_tally *t, mp_tally_entry e, const char *bytes,
                                                 size_t at)
{
	size_t extra = bytes ? e.len : 0;
	if (t->size == UINT32_MAX || !ROOM(t, entries, t->size + 1)
	    || !ROOM(t, bytes, t->used + extra))
		return mp_tally_break(t);
	if (bytes)
		memcpy(t->bytes + t->used, bytes, extra);
	e.at = t->used;
	t->used += extra;
	t->entries[t->size++] = e;
	uint32_t id = (uint32_t)t->size;
	t->index[at] = (mp_tally_cell){ e.hash, id };
	return t->size * 2 <= t->mask || grow(t) ? id : 0;
}

/* bytes: of a long string, else NULL: then head and len are all of it. */
static inline uint32_t find(mp_tally *t, uint64_t head, uint32_t len, uint32_t hash,
                            const char *bytes)
{
	for (size_t at = hash & t->mask;; at = (at + 1) & t->mask) {
		mp_tally_cell c = t->index[at];
		if (!c.id) {
			mp_tally_entry e = { .head = head, .len = len, .hash = hash };
			return insert(t, e, bytes, at);
		}
		if (c.hash != hash)
			continue;
		const mp_tally_entry *e = &t->entries[c.id - 1];
		if (e->head == head && e->len == len
		    && (!bytes || memcmp(t->bytes + e->at, bytes, len) == 0))
			return c.id;
	}
}

static inline bool count(mp_tally *t, uint32_t id, int64_t n)
{
	mp_tally_entry *e;
	if (!id)
		return false;
	e = &t->entries[id - 1];
	if (!e->n) {
		if (!ROOM(t, touched, t->touches + 1))
			return mp_tally_break(t);
		t->touched[t->touches++] = id;
	}
	e->n += n;
	t->total += n;
	return true;
}

/* ---- values ------------------------------------------------------------------------ */

static inline uint64_t load(const char *s)
{
	uint64_t x;
	memcpy(&x, s, sizeof x);
	return x;
}

static inline uint32_t last_mix(uint64_t h)
{
	h *= K1;
	h = (h ^ h >> 32) * K2;
	return (uint32_t)(h >> 32);
}

/* The last eight bytes are taken twice rather than one by one. */
static inline uint32_t hash_long(const char *s, size_t len, uint64_t h)
{
	for (size_t i = 0; i + SHORT < len; i += SHORT) {
		h = (h ^ load(s + i)) * K1;
		h ^= h >> 32;
	}
	return last_mix(h ^ load(s + len - SHORT));
}

/* The bytes of a short string, zeros behind them. beyond: 8 bytes may be read
 * there. Else two reads that overlap, not a loop. */
static inline uint64_t head_of(const char *s, size_t len, bool beyond)
{
	uint64_t head = 0;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	uint32_t a, b;
	uint16_t c, d;
	if (beyond && len)
		return load(s) & ~UINT64_C(0) >> (64 - 8 * len);
	if (len >= sizeof a) {
		memcpy(&a, s, sizeof a);
		memcpy(&b, s + len - sizeof b, sizeof b);
		return a | (uint64_t)b << (8 * (len - sizeof b));
	}
	if (len >= sizeof c) {
		memcpy(&c, s, sizeof c);
		memcpy(&d, s + len - sizeof d, sizeof d);
		return c | (uint64_t)d << (8 * (len - sizeof d));
	}
#endif
	(void)beyond;
	memcpy(&head, s, len);
	return head;
}

static inline uint32_t find_string(mp_tally *t, const char *s, size_t len, bool beyond)
{
	uint64_t h = t->seed + len;
	if (len > SHORT)
		return find(t, load(s), (uint32_t)len, hash_long(s, len, h), s);
	uint64_t head = head_of(s, len, beyond);
	return find(t, head, (uint32_t)len, last_mix(h ^ head), NULL);
}

uint32_t mp_tally_string(mp_tally *t, const char *s, size_t len)
{
	return usable(t) ? find_string(t, s, len, false) : 0;
}

uint32_t mp_tally_scalar(mp_tally *t, uint32_t kind, uint64_t value)
{
	return usable(t) ? find(t, value, kind, last_mix((t->seed + kind) ^ value), NULL) : 0;
}

uint32_t mp_tally_float(mp_tally *t, double x)
{
	uint64_t bits;
	if (x >= -0x1p63 && x < 0x1p63 && floor(x) == x)
		return mp_tally_scalar(t, MP_TALLY_INTEGER, (uint64_t)(int64_t)x);
	memcpy(&bits, &x, sizeof bits);
	return mp_tally_scalar(t, MP_TALLY_FLOAT, bits);
}

bool mp_tally_count(mp_tally *t, uint32_t id, int64_t n)
{
	return !t->broken && count(t, id, n);
}

bool mp_tally_words(mp_tally *t, const char *text, size_t len)
{
	mp_words w = mp_words_of(text, len, 0);
	size_t from, to;
	if (!usable(t))
		return false;
	while (mp_words_next(&w, &from, &to)) {
		if (to - from > MP_TALLY_LONGEST)
			return mp_tally_break(t);
		uint32_t id = find_string(t, text + from, to - from, len - from >= SHORT);
		if (!count(t, id, 1))
			return false;
	}
	return true;
}
