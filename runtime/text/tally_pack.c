/* tally_pack: writing counts, and reading them.
 *
 * SPDX-License-Identifier: MIT */
#include "tally_pack.h"

#include <string.h>

enum { INTEGER, FLOAT, BOOLEAN, STRING };   /* and a string's length */

static uint64_t mark_of(const mp_tally_entry *e)
{
	if (mp_tally_is_string(e))
		return (uint64_t)STRING + e->len;
	return e->len == MP_TALLY_INTEGER ? INTEGER : e->len == MP_TALLY_FLOAT ? FLOAT : BOOLEAN;
}

static size_t bytes_of(const mp_tally_entry *e)
{
	return mp_tally_is_string(e) ? e->len : sizeof e->head;
}

static size_t width(uint64_t x)
{
	size_t n = 1;
	while (x >>= 7)
		n++;
	return n;
}

static char *put(char *to, uint64_t x)
{
	for (; x >= 0x80; x >>= 7)
		*to++ = (char)(x | 0x80);
	*to++ = (char)x;
	return to;
}

size_t mp_tally_packed(const mp_tally *t)
{
	size_t n = 0;
	for (size_t i = 0; i < t->touches; i++) {
		const mp_tally_entry *e = &t->entries[t->touched[i] - 1];
		n += width(mark_of(e)) + width((uint64_t)e->n) + bytes_of(e);
	}
	return n;
}

void mp_tally_pack(const mp_tally *t, char *to)
{
	for (size_t i = 0; i < t->touches; i++) {
		const mp_tally_entry *e = &t->entries[t->touched[i] - 1];
		to = put(to, mark_of(e));
		to = put(to, (uint64_t)e->n);
		memcpy(to, mp_tally_is_string(e) ? mp_tally_text(t, e) : (const char *)&e->head,
		       bytes_of(e));
		to += bytes_of(e);
	}
}

/* false: it ends in the middle, or is larger than 64 bits. */
static bool get(const char **at, const char *end, uint64_t *x)
{
	*x = 0;
	for (unsigned shift = 0; *at < end && shift < 64; shift += 7) {
		unsigned char c = (unsigned char)*(*at)++;
		*x |= (uint64_t)(c & 0x7F) << shift;
		if (c < 0x80)
			return true;
	}
	return false;
}

static uint32_t value(mp_tally *t, uint64_t mark, const char *bytes)
{
	static const uint32_t kinds[] = { MP_TALLY_INTEGER, MP_TALLY_FLOAT, MP_TALLY_BOOLEAN };
	uint64_t x;
	if (mark >= STRING)
		return mp_tally_string(t, bytes, mark - STRING);
	memcpy(&x, bytes, sizeof x);
	return mp_tally_scalar(t, kinds[mark], x);
}

int mp_tally_unpack(mp_tally *t, const char *bytes, size_t len)
{
	const char *end = bytes + len;
	while (bytes < end) {
		uint64_t mark, n;
		if (!get(&bytes, end, &mark) || !get(&bytes, end, &n) || n - 1 >= INT64_MAX)
			return MP_TALLY_BAD;
		uint64_t need = mark < STRING ? sizeof n : mark - STRING;
		if (need > (uint64_t)(end - bytes) || mark > (uint64_t)STRING + MP_TALLY_LONGEST)
			return MP_TALLY_BAD;
		if (!mp_tally_count(t, value(t, mark, bytes), (int64_t)n))
			return MP_TALLY_NOMEM;
		bytes += need;
	}
	return 0;
}
