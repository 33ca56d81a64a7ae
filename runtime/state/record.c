/* record: see record.h.
 *
 * SPDX-License-Identifier: MIT */
#include "record.h"

#include <string.h>

#include "../base/crash.h"

#define IN_PLACE_MOST 4096u  /* a latch is not held for longer copies */

static uint64_t align8(uint64_t n) { return (n + 7) & ~UINT64_C(7); }

static uint64_t head_size(uint32_t keylen)
{
	return align8(sizeof(mp_record) + keylen);
}

static uint64_t stored_size(const mp_given *v)
{
	return align8(sizeof(mp_payload) + v->nhandles * sizeof(mp_handle) + v->len);
}

static mp_payload *value_at(mp_record *r, uint32_t i)
{
	return (mp_payload *)((char *)r + head_size(r->keylen) + (uint64_t)i * r->room);
}

mp_payload *mp_record_value(mp_record *r)
{
	return value_at(r, atomic_load_explicit(&r->which, memory_order_relaxed));
}

static void fill(mp_payload *to, const mp_given *v, uint64_t version)
{
	unsigned char *p;
	to->version = version;
	to->len = (uint32_t)v->len;
	to->nhandles = v->nhandles;
	if (v->nhandles)
		memcpy(mp_payload_handles(to), v->handles, v->nhandles * sizeof *v->handles);
	p = mp_payload_bytes(to);
	for (size_t i = 0; i < v->nparts; i++) {
		memcpy(p, v->parts[i].data, v->parts[i].len);
		p += v->parts[i].len;
	}
}

uint64_t mp_record_make(mp_self *me, const mp_key *key, const mp_given *v, int *rc)
{
	uint32_t keylen = key ? key->len : 0;
	uint64_t head = head_size(keylen), one = stored_size(v), room, block;
	mp_record *r;
	if (head + one > UINT32_MAX) {
		*rc = MP_TOOBIG;
		return 0;
	}
	block = mp_alloc(me, head + one, 0, rc);
	if (!block)
		return 0;
	room = (mp_block_size(me->shm, block) - head) / 2 & ~UINT64_C(7);
	r = mp_record_at(me, block);
	r->keylen = keylen;
	r->kind = key ? key->kind : 0;
	r->room = one <= room ? (uint32_t)room : 0;
	atomic_store_explicit(&r->which, 0, memory_order_relaxed);
	if (keylen)
		memcpy(mp_record_key(r), key->data, keylen);
	fill(value_at(r, 0), v, 0);
	return block;
}

void mp_record_version(mp_self *me, uint64_t record, uint64_t version)
{
	mp_record_value(mp_record_at(me, record))->version = version;
}

bool mp_record_is(mp_record *r, const mp_key *key)
{
	return r->kind == key->kind && r->keylen == key->len &&
	       memcmp(mp_record_key(r), key->data, key->len) == 0;
}

bool mp_record_fits(const mp_record *r, const mp_given *v)
{
	uint64_t n = stored_size(v);
	return n <= r->room && n <= IN_PLACE_MOST;
}

void mp_record_write(mp_record *r, const mp_given *v, uint64_t version)
{
	uint32_t other = !atomic_load_explicit(&r->which, memory_order_relaxed);
	fill(value_at(r, other), v, version);
	MP_CRASHPOINT("record.filled");
	atomic_store_explicit(&r->which, other, memory_order_release);
	MP_CRASHPOINT("record.written");
}

int mp_record_read(mp_self *me, mp_record *r, mp_copy *out)
{
	mp_payload *v = mp_record_value(r);
	out->len = v->len;
	out->nhandles = v->nhandles;
	out->version = v->version;
	out->need = v->nhandles * sizeof(mp_handle) + v->len;
	if (out->need > out->room)
		return MP_FULL;
	memcpy(out->data, mp_payload_handles(v), out->need);
	for (uint32_t i = 0; i < v->nhandles; i++)
		mp_obj_hold(me, mp_payload_handles(v)[i]);
	return MP_OK;
}

bool mp_record_lists(mp_record *r)
{
	return r->kind == MP_KEY_HANDLE || mp_record_value(r)->nhandles;
}

void mp_record_mark(mp_record *r, void (*mark)(void *ud, mp_handle h), void *ud)
{
	mp_payload *v = mp_record_value(r);
	for (uint32_t i = 0; i < v->nhandles; i++)
		mark(ud, mp_payload_handles(v)[i]);
	if (r->kind == MP_KEY_HANDLE) {
		mp_handle h;
		memcpy(&h, mp_record_key(r), sizeof h);
		mark(ud, h);
	}
}

/* ---- referring ------------------------------------------------------------- */

void mp_record_enter(mp_self *me, _Atomic uint64_t *word, uint64_t record)
{
	mp_set_home(me, record, mp_off(me->shm, word));
	MP_CRASHPOINT("record.homed");
	atomic_store_explicit(word, record, memory_order_release);
	MP_CRASHPOINT("record.entered");
	mp_settle(me, record);
}

/* While it is in the name of me its home says whether the commit was done. */
static void exchange(mp_self *me, _Atomic uint64_t *word, uint64_t value)
{
	uint64_t old = atomic_load_explicit(word, memory_order_relaxed);
	mp_set_home(me, old, mp_off(me->shm, word));
	mp_take(me, old);
	MP_CRASHPOINT("record.taken");
	atomic_store_explicit(word, value, memory_order_release);
	MP_CRASHPOINT("record.left");
	mp_free(me, old);
}

void mp_record_leave(mp_self *me, _Atomic uint64_t *word, uint64_t none)
{
	exchange(me, word, none);
}

void mp_record_replace(mp_self *me, _Atomic uint64_t *word, uint64_t record)
{
	mp_set_home(me, record, mp_off(me->shm, word));
	exchange(me, word, record);
	mp_settle(me, record);
}

void mp_record_keep(mp_self *me, _Atomic uint64_t *word)
{
	uint64_t block = atomic_load_explicit(word, memory_order_relaxed);
	mp_set_home(me, block, mp_off(me->shm, word));
	mp_take(me, block);
	mp_settle(me, block);
}
