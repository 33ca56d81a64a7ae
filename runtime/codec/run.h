/* run: numbers of one kind that follow each other in a list, as a block.
 *
 *   W_INTS    u8 (log << 6 | n - 1); n integers of 2^log bytes
 *   W_FLOATS  u8 (n - 1); n floats
 *
 * A block is short: so the reader checks once for many, and one large number
 * makes only the few beside it wide.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_CODEC_RUN_H
#define MP_CODEC_RUN_H

#include <lua.h>
#include <stdint.h>
#include <string.h>

#include "wire.h"

enum {
	MP_RUN_MAX = 64,                    /* numbers */
	MP_RUN_MIN = 4,                     /* fewer go one by one: that is shorter */
	MP_RUN_ROOM = 2 + MP_RUN_MAX * 8,
	MP_RUN_INTS_N = MP_RUN_MAX - 1      /* mask of n - 1; log is above it */
};

typedef union mp_number {
	int64_t i;
	lua_Number x;
} mp_number;

/* log2 of the bytes that the widest of them needs. */
static inline unsigned mp_run_log(const mp_number *v, unsigned n)
{
	uint64_t bits = 0;
	for (unsigned k = 0; k < n; k++)
		bits |= (uint64_t)(v[k].i ^ (v[k].i >> 63));
	return bits < 0x80 ? 0 : bits < 0x8000 ? 1 : bits < UINT64_C(0x80000000) ? 2 : 3;
}

static inline uint8_t *mp_run_floats(uint8_t *p, const mp_number *v, unsigned n)
{
	if (n >= MP_RUN_MIN) {
		*p++ = W_FLOATS;
		*p++ = (uint8_t)(n - 1);
		memcpy(p, v, n * sizeof *v);
		return p + n * sizeof *v;
	}
	for (unsigned k = 0; k < n; k++) {
		*p = W_F64;
		memcpy(p + 1, &v[k], sizeof *v);
		p += 1 + sizeof *v;
	}
	return p;
}

static inline uint8_t *mp_run_integers(uint8_t *p, const mp_number *v, unsigned n)
{
	if (n < MP_RUN_MIN) {
		for (unsigned k = 0; k < n; k++)
			p = w_integer(p, v[k].i);
		return p;
	}
	unsigned log = mp_run_log(v, n);
	*p++ = W_INTS;
	*p++ = (uint8_t)(log << 6 | (n - 1));
	switch (log) {
	case 0:
		for (unsigned k = 0; k < n; k++)
			p[k] = (uint8_t)v[k].i;
		break;
	case 1:
		for (unsigned k = 0; k < n; k++)
			memcpy(p + 2 * k, &v[k].i, 2);
		break;
	case 2:
		for (unsigned k = 0; k < n; k++)
			memcpy(p + 4 * k, &v[k].i, 4);
		break;
	default:
		memcpy(p, v, n * sizeof *v);
	}
	return p + ((size_t)n << log);
}

/* Writes n numbers, at most MP_RUN_MAX, all integers or all floats; there is
 * MP_RUN_ROOM at p, which is returned as it is behind them. */
static inline uint8_t *mp_run_write(uint8_t *p, const mp_number *v, unsigned n, int integers)
{
	return integers ? mp_run_integers(p, v, n) : mp_run_floats(p, v, n);
}

/* n integers of so many bytes become elements i, i + 1, ... of the table on
 * top. With a constant width this is a loop without a decision. */
static inline void mp_run_fill(lua_State *L, const uint8_t *p, size_t width, unsigned n,
                               lua_Integer i)
{
	unsigned unused = 64 - 8 * (unsigned)width;
	for (unsigned k = 0; k < n; k++) {
		uint64_t v = 0;
		memcpy(&v, p + k * width, width);
		lua_pushinteger(L, (int64_t)(v << unused) >> unused);
		lua_rawseti(L, -2, i + k);
	}
}

static inline void mp_run_read_integers(lua_State *L, const uint8_t *p, unsigned log, unsigned n,
                                        lua_Integer i)
{
	switch (log) {
	case 0:
		mp_run_fill(L, p, 1, n, i);
		break;
	case 1:
		mp_run_fill(L, p, 2, n, i);
		break;
	case 2:
		mp_run_fill(L, p, 4, n, i);
		break;
	default:
		mp_run_fill(L, p, 8, n, i);
	}
}

static inline void mp_run_read_floats(lua_State *L, const uint8_t *p, unsigned n, lua_Integer i)
{
	for (unsigned k = 0; k < n; k++) {
		lua_Number x;
		memcpy(&x, p + k * sizeof x, sizeof x);
		lua_pushnumber(L, x);
		lua_rawseti(L, -2, i + k);
	}
}

#endif
