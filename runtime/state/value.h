/* value: one value that processes share: an integer, a float, a boolean, or
 * anything that travels.
 *
 * Layout: typed ones are the 64 bits in the body. "any" refers to a record
 * (record.h), under a latch; none is nil.
 * Invariant: the bits change by single atomic operations, sequentially
 * consistent: no lock, and nothing is ever seen half. A record is read, and
 * replaced, with the latch held; what its value lists is held by the reader
 * before the latch is free.
 * Crash: killed before the one store (of the bits, of the record's `which`, of
 * the word that refers to it) the old value is there, after it the new one.
 * A record in the name of the dead is kept by the sweep if the word refers to
 * it, else freed; who steals the latch meanwhile has nothing to repair.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_VALUE_H
#define MP_VALUE_H

#include "../shm/latch.h"
#include "guard.h"
#include "record.h"

enum mp_value_kind { MP_V_I64, MP_V_F64, MP_V_BOOL, MP_V_ANY, MP_V_KINDS };

typedef struct mp_value {
	_Atomic uint64_t bits;
	enum mp_value_kind kind;
	mp_word latch;               /* of "any" alone, as the next three */
	_Atomic uint64_t record;
	uint64_t version;            /* of the value set last */
	mp_word lists;               /* 1: it listed handles, ever */
	mp_guard guard;
} mp_value;

/* Zero, false or nil. 0, MP_NOMEM, MP_TOOBIG, -ENFILE. */
int mp_value_create(mp_self *me, enum mp_value_kind kind, mp_handle *h);

/* The bits of a typed one: an int64_t, a double's, 0 or 1. */
static inline uint64_t mp_value_load(const mp_value *v)
{
	return atomic_load(&v->bits);
}
static inline void mp_value_store(mp_value *v, uint64_t bits)
{
	atomic_store(&v->bits, bits);
}
/* The new value. An integer wraps around, as Lua's do. */
int64_t mp_value_add_int(mp_value *v, int64_t n);
double mp_value_add_float(mp_value *v, double n);
/* True if it was old and is now new. */
bool mp_value_cas(mp_value *v, uint64_t old, uint64_t new);
bool mp_value_cas_float(mp_value *v, double old, double new);

/* The rest is for "any". No call waits for anything but the latch.
 *
 * Copies the value. 0, MP_FULL (out->need is more than its room: nothing was
 * copied), MP_EMPTY: it is nil, of version 0. */
int mp_value_get(mp_self *me, mp_value *v, mp_copy *out);
/* Replaces it; given NULL: by nil. With expect only if its version is still
 * that one, else -EAGAIN. 0, MP_NOMEM, MP_TOOBIG. */
int mp_value_set(mp_self *me, mp_value *v, const mp_given *given, const uint64_t *expect);

extern const mp_type_ops mp_value_ops;

#endif
