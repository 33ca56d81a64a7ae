/* tally: counts values that can be keys: strings, integers, floats, booleans.
 *
 * An entry a value, in the order in which they first came, and an index over
 * them with open addressing; long strings lie one after another in `bytes`. An
 * entry stays when its count becomes zero, and keeps its number, so that what is
 * known of a value stays known; `touched` lists those that have a count.
 *
 * Memory is this process's own, and the caller's to bound. A call that finds
 * none returns false, or 0: then counts are missing, the tally is broken and
 * seems empty, and all calls fail until mp_tally_clear.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_TALLY_H
#define MP_TALLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The lengths of what is no string. */
#define MP_TALLY_INTEGER UINT32_MAX
#define MP_TALLY_FLOAT   (UINT32_MAX - 1)
#define MP_TALLY_BOOLEAN (UINT32_MAX - 2)
#define MP_TALLY_LONGEST (UINT32_MAX - 3)   /* string */

typedef struct mp_tally_entry {
	uint64_t head;      /* a string's first bytes, zeros behind them; else the value */
	uint64_t at;        /* a longer string: where it lies in bytes */
	int64_t n;
	uint32_t len, hash;
} mp_tally_entry;

typedef struct mp_tally_cell {
	uint32_t hash, id;  /* id: an entry's number, 0: free */
} mp_tally_cell;

typedef struct mp_tally {
	mp_tally_entry *entries;     /* the first one's number is 1 */
	mp_tally_cell *index;
	uint32_t *touched;           /* numbers */
	char *bytes;
	size_t size, touches, used;
	size_t entries_room, touched_room, bytes_room;
	size_t mask;                 /* of the index */
	uint64_t seed;
	int64_t total;               /* all counts together */
	bool broken;
} mp_tally;

/* seed: so that nobody can write a text whose words all meet in one place. */
void mp_tally_init(mp_tally *t, uint64_t seed);
void mp_tally_free(mp_tally *t);
/* Forgets all, but keeps the memory. */
void mp_tally_clear(mp_tally *t);
/* Sets all counts to zero. */
void mp_tally_empty(mp_tally *t);
/* As if there had been no memory; false. */
bool mp_tally_break(mp_tally *t);
/* Bytes that its values take; after mp_tally_clear they are free for others. */
size_t mp_tally_bytes(const mp_tally *t);

/* The number of a value, which is new if need be: a string of at most
 * MP_TALLY_LONGEST bytes, an integer or a boolean with its value, a float that
 * is not NaN (1.0 is the integer 1). */
uint32_t mp_tally_string(mp_tally *t, const char *s, size_t len);
uint32_t mp_tally_scalar(mp_tally *t, uint32_t kind, uint64_t value);
uint32_t mp_tally_float(mp_tally *t, double x);
/* A number that one of these gave, 0 included; n from 1 on. */
bool mp_tally_count(mp_tally *t, uint32_t id, int64_t n);
/* Each word of a text once. */
bool mp_tally_words(mp_tally *t, const char *text, size_t len);

static inline bool mp_tally_is_string(const mp_tally_entry *e)
{
	return e->len <= MP_TALLY_LONGEST;
}

/* Of a string. */
static inline const char *mp_tally_text(const mp_tally *t, const mp_tally_entry *e)
{
	return e->len <= sizeof e->head ? (const char *)&e->head : t->bytes + e->at;
}

#endif
