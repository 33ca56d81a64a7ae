/* wire: the bytes of an encoded message.
 *
 *   message  = header value*          header: 0xB0 + number of values, or
 *                                     0xBF and the number as a varint
 *   value    = one tag byte and what the table below says
 *
 * A value that occurs again later has the shared bit in its tag, set by the
 * encoder when it meets the value for the second time; REF then gives the
 * offset of that tag. So what occurs once costs the reader nothing.
 * Numbers are little-endian; varints have seven bits per byte, low first.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_CODEC_WIRE_H
#define MP_CODEC_WIRE_H

#include <stdint.h>
#include <string.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the wire format is little-endian and copied as it lies in memory"
#endif

enum {
	W_HEADER = 0xB0,
	W_MANY = 0x0F,

	W_INT = 0x00,           /* 0x00-0x3F: the integers -16 .. 47 */
	W_INT_BIAS = 16,
	W_INT_LAST = 0x3F,
	W_STR = 0x40,           /* 0x40-0x7F: a string of 0 .. 63 bytes */
	W_STR_LAST = 0x7F,
	W_STR_SHARED = 0x80,    /* the shared bit of these: 0xC0-0xFF */

	W_NIL = 0x80,
	W_FALSE,
	W_TRUE,
	W_I8,
	W_I16,
	W_I32,
	W_I64,
	W_F64,
	W_NULL,                 /* the light userdata NULL */
	W_GLOBALS,              /* the receiver's globals */
	W_REF,                  /* varint: offset of a shared value's tag */
	W_END,                  /* ends the run or the pairs of a table */
	W_UPREF,                /* varint offset of a function, u8: shares that upvalue */
	W_INTS,                 /* so many elements of a table at once: see run.h */
	W_FLOATS,
	W_STRETCH,              /* varint n, at; n values: elements at + 1, ... of a list
	                         * that the receiver may have for them: see mp_decode_into */

	W_SHARED = 0x20,        /* the shared bit of those below */
	W_STR8 = 0x90,          /* u8 length, bytes */
	W_STRN,                 /* varint length, bytes */
	W_TABLE,                /* varint n, hash; n values (END stops early); if
	                         * hash: key, value, ..., END. The pairs are more
	                         * than 2^(hash-2) and at most 2^(hash-1). */
	W_TABLE_META,           /* the same; then the metatable */
	W_FUNCTION,             /* code, u8 number of upvalues, that many values */
	W_NAME,                 /* u8 n; n times varint length, bytes */
	W_HANDLE                /* u64 */
};

/* code = varint (length * 2), bytes; or varint (offset * 2 + 1): as there */

enum { W_VARINT_MAX = 10 };

static inline uint8_t *w_varint(uint8_t *p, uint64_t v)
{
	while (v >= 0x80) {
		*p++ = (uint8_t)(v | 0x80);
		v >>= 7;
	}
	*p++ = (uint8_t)v;
	return p;
}

/* Reads a varint; NULL if it does not end before end or exceeds 64 bits. */
static inline const uint8_t *w_read_varint(const uint8_t *p, const uint8_t *end, uint64_t *v)
{
	uint64_t x = 0;
	for (unsigned shift = 0; p < end && shift < 64; shift += 7) {
		uint8_t b = *p++;
		x |= (uint64_t)(b & 0x7F) << shift;
		if (b < 0x80) {
			*v = x;
			return p;
		}
	}
	return NULL;
}

/* An integer that the tag alone cannot hold, in as few bytes as it needs. */
static inline uint8_t *w_integer(uint8_t *p, int64_t v)
{
	if (v >= -W_INT_BIAS && v <= W_INT_LAST - W_INT_BIAS) {
		*p = (uint8_t)(v + W_INT_BIAS);
		return p + 1;
	}
	unsigned log = v == (int8_t)v ? 0 : v == (int16_t)v ? 1 : v == (int32_t)v ? 2 : 3;
	*p++ = (uint8_t)(W_I8 + log);
	memcpy(p, &v, sizeof v);  /* the bytes past the width are overwritten next */
	return p + ((size_t)1 << log);
}

#endif
