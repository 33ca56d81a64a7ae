/* things: see things.h.
 *
 * SPDX-License-Identifier: MIT */
#include "things.h"

mp_given t_given(uint64_t id, size_t len, mp_handle h)
{
	static _Thread_local unsigned char bytes[1 << 20];
	static _Thread_local mp_part part;
	static _Thread_local mp_handle handle;
	CHECK(len >= 8 && len <= sizeof bytes);
	memcpy(bytes, &id, 8);
	memset(bytes + 8, (int)(0x80 | id), len - 8);
	part = (mp_part){ bytes, len };
	handle = h;
	return (mp_given){ &part, 1, len, &handle, h ? 1 : 0 };
}

uint64_t t_id(const void *bytes, size_t len)
{
	const unsigned char *p = bytes;
	uint64_t id;
	CHECK(len >= 8);
	memcpy(&id, p, 8);
	for (size_t i = 8; i < len; i++)
		CHECK_EQ(p[i], (unsigned char)(0x80 | id));
	return id;
}

mp_key t_key(const uint64_t *n)
{
	return (mp_key){ n, sizeof *n, 2 };
}

void t_set(mp_self *me, mp_store *d, uint64_t n, uint64_t id, size_t len)
{
	mp_key k = t_key(&n);
	mp_given v = t_given(id, len, 0);
	CHECK_EQ(mp_dict_set(me, d, &k, &v, NULL), 0);
}

static _Thread_local uint64_t bytes[(1 << 20) / 8];

static uint64_t value_of(int rc, const mp_copy *c)
{
	if (rc == MP_EMPTY)
		return 0;
	CHECK_EQ(rc, 0);
	CHECK_EQ(c->nhandles, 0);
	return t_id(c->data, c->len);
}

uint64_t t_get(mp_self *me, mp_store *d, uint64_t n)
{
	mp_key k = t_key(&n);
	mp_copy c = { .data = bytes, .room = sizeof bytes };
	return value_of(mp_dict_get(me, d, &k, &c), &c);
}

uint64_t t_pop(mp_self *me, mp_store *d, uint64_t n)
{
	mp_key k = t_key(&n);
	mp_copy c = { .data = bytes, .room = sizeof bytes };
	return value_of(mp_dict_pop(me, d, &k, &c), &c);
}

bool t_remove(mp_self *me, mp_store *d, uint64_t n)
{
	mp_key k = t_key(&n);
	int rc = mp_dict_set(me, d, &k, NULL, NULL);
	CHECK(rc == 0 || rc == MP_EMPTY);
	return rc == 0;
}

void t_append(mp_self *me, mp_store *l, uint64_t id, size_t len)
{
	int rc;
	mp_given v = t_given(id, len, 0);
	uint64_t r = mp_list_prepare(me, l, &v, &rc);
	CHECK(r != 0);
	CHECK_EQ(mp_list_extend(me, l, &r, 1), 0);
}

uint32_t t_list(mp_self *me, mp_store *l, uint64_t *ids, uint32_t max)
{
	mp_copy c = { .data = bytes, .room = sizeof bytes };
	CHECK_EQ(mp_store_show(me, l, 0, UINT64_MAX, MP_SHOW_VALUES, &c), 0);
	CHECK(c.len <= max);
	const mp_shown *x = mp_shown_first(&c);
	for (uint32_t i = 0; i < c.len; i++, x = mp_shown_next(x))
		ids[i] = t_id(mp_shown_bytes(x), x->len);
	return c.len;
}
