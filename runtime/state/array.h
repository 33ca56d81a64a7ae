/* array: numbers of one kind that processes share.
 *
 * Layout: how many and of which kind, which never changes, then the elements,
 * in one block.
 * Invariant: each element is an aligned atomic of its own, so a reader without
 * any lock sees one that was written, whole. Single accesses acquire and
 * release: who sees an element sees what its writer wrote before. Whole ranges
 * (fill, lists) are so many single accesses, in order of their index.
 * Crash: a store is done or not; of a range the first elements are. Nothing
 * is to be repaired.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_ARRAY_H
#define MP_ARRAY_H

#include "guard.h"

enum mp_kind { MP_I8, MP_I16, MP_I32, MP_I64, MP_U8, MP_U16, MP_U32, MP_F32,
               MP_F64, MP_KINDS };

typedef struct mp_kind_info {
	const char *name;
	uint32_t size;             /* bytes of an element */
	int64_t min, max;          /* of an integer */
} mp_kind_info;
extern const mp_kind_info mp_kinds[MP_KINDS];

static inline bool mp_kind_float(enum mp_kind k) { return k >= MP_F32; }

typedef struct mp_array {
	uint64_t n;
	enum mp_kind kind;
	mp_guard guard;
	_Alignas(64) unsigned char data[];
} mp_array;

/* i or f, as the kind says. */
typedef union mp_element {
	int64_t i;
	double f;
} mp_element;

/* n elements, all zero. 0, MP_NOMEM, MP_TOOBIG, -ENFILE. */
int mp_array_create(mp_self *me, enum mp_kind kind, uint64_t n, mp_handle *h);
static inline mp_array *mp_array_body(const mp_shm *s, mp_handle h)
{
	return mp_obj_body(s, h, MP_T_ARRAY);
}

/* Element i < n, counted from 0. */
static inline mp_element mp_array_get(const mp_array *a, uint64_t i)
{
	mp_element e;
#define MP_GET(type, field) \
	e.field = atomic_load_explicit((_Atomic type *)(void *)a->data + i, \
	                               memory_order_acquire); \
	break
	switch (a->kind) {
	case MP_I8: MP_GET(int8_t, i);
	case MP_I16: MP_GET(int16_t, i);
	case MP_I32: MP_GET(int32_t, i);
	case MP_U8: MP_GET(uint8_t, i);
	case MP_U16: MP_GET(uint16_t, i);
	case MP_U32: MP_GET(uint32_t, i);
	case MP_F32: MP_GET(float, f);
	case MP_F64: MP_GET(double, f);
	default: MP_GET(int64_t, i);
	}
#undef MP_GET
	return e;
}

/* e is in the kind's range. */
static inline void mp_array_set(mp_array *a, uint64_t i, mp_element e)
{
#define MP_SET(type, field) \
	atomic_store_explicit((_Atomic type *)(void *)a->data + i, (type)e.field, \
	                      memory_order_release); \
	break
	switch (a->kind) {
	case MP_I8: MP_SET(int8_t, i);
	case MP_I16: MP_SET(int16_t, i);
	case MP_I32: MP_SET(int32_t, i);
	case MP_U8: MP_SET(uint8_t, i);
	case MP_U16: MP_SET(uint16_t, i);
	case MP_U32: MP_SET(uint32_t, i);
	case MP_F32: MP_SET(float, f);
	case MP_F64: MP_SET(double, f);
	default: MP_SET(int64_t, i);
	}
#undef MP_SET
}

void mp_array_fill(mp_array *a, mp_element e);

extern const mp_type_ops mp_array_ops;

#endif
