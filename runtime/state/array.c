/* array: see array.h.
 *
 * SPDX-License-Identifier: MIT */
#include "array.h"

const mp_kind_info mp_kinds[MP_KINDS] = {
	[MP_I8] = { "i8", 1, INT8_MIN, INT8_MAX },
	[MP_I16] = { "i16", 2, INT16_MIN, INT16_MAX },
	[MP_I32] = { "i32", 4, INT32_MIN, INT32_MAX },
	[MP_I64] = { "i64", 8, INT64_MIN, INT64_MAX },
	[MP_U8] = { "u8", 1, 0, UINT8_MAX },
	[MP_U16] = { "u16", 2, 0, UINT16_MAX },
	[MP_U32] = { "u32", 4, 0, UINT32_MAX },
	[MP_F32] = { "f32", 4, 0, 0 },
	[MP_F64] = { "f64", 8, 0, 0 },
};

struct settings {
	uint64_t n;
	enum mp_kind kind;
};

static int init(mp_self *me, void *body, void *arg)
{
	const struct settings *st = arg;
	mp_array *a = body;
	(void)me;
	a->n = st->n;
	a->kind = st->kind;
	return MP_OK;
}

int mp_array_create(mp_self *me, enum mp_kind kind, uint64_t n, mp_handle *h)
{
	struct settings st = { n, kind };
	if (n > me->shm->size)
		return MP_TOOBIG;
	return mp_obj_create(me, MP_T_ARRAY, sizeof(mp_array) + n * mp_kinds[kind].size,
	                     init, &st, h);
}

void mp_array_fill(mp_array *a, mp_element e)
{
	for (uint64_t i = 0; i < a->n; i++)
		mp_array_set(a, i, e);
}

static void destroy(mp_self *me, void *body)
{
	mp_guard_drop(me, &((mp_array *)body)->guard);
}

static void contents(mp_self *me, void *body, void (*mark)(void *ud, mp_handle h), void *ud)
{
	(void)me;
	mp_guard_mark(&((mp_array *)body)->guard, mark, ud);
}

const mp_type_ops mp_array_ops = {
	.name = "Array", .destroy = destroy, .contents = contents,
};
