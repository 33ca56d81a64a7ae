/* tally_pack: a tally's counts as bytes, which another process adds to its own.
 *
 * For each value: its kind and length, its count, its bytes; numbers in as few
 * bytes as they need, seven bits each, so the format is the same for all sizes.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_TALLY_PACK_H
#define MP_TALLY_PACK_H

#include "tally.h"

/* 0: nothing is counted. */
size_t mp_tally_packed(const mp_tally *t);
/* Writes so many bytes, all values that have a count. */
void mp_tally_pack(const mp_tally *t, char *to);

enum { MP_TALLY_BAD = 1, MP_TALLY_NOMEM };

/* 0, or why not: bytes that no tally has written, of which some may have been
 * counted. */
int mp_tally_unpack(mp_tally *t, const char *bytes, size_t len);

#endif
