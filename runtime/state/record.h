/* record: a value, and its key if it has one, in a block of its own.
 *
 * Layout: head, key, then one or two values of the same room; `which` says
 * which of them counts. A value is its head, the handles that it lists, its
 * bytes. Two fit where the block's class leaves space anyway.
 *
 * Invariant: the value that counts is whole; the other one is scratch. A
 * record that is referred to belongs to CONTAINER, or to the actor that has
 * the latch of what it lies in; who frees it first makes the word that refers
 * to it its home.
 * Crash: a value is replaced in place by writing the other one, then one
 * store of `which`; else the word that refers to the record is stored once.
 * Killed before that store, the old value counts, after it the new one; what
 * does not count is scratch, or in the name of the dead.
 *
 * Everything here but mp_record_make is called with the latch held.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_RECORD_H
#define MP_RECORD_H

#include "../base/part.h"
#include "../shm/object.h"

/* A value as its giver has it. */
typedef struct mp_given {
	const mp_part *parts;
	size_t nparts;
	size_t len;                /* of all parts, bytes */
	const mp_handle *handles;
	uint32_t nhandles;
} mp_given;

/* Keys are equal if kind and bytes are. What kinds there are is the caller's
 * affair, but for this one. */
enum { MP_KEY_HANDLE = 1 };    /* the bytes are a handle, which it keeps alive */

typedef struct mp_key {
	const void *data;
	uint32_t len;
	uint32_t kind;
} mp_key;

/* Where what is read goes: memory of the caller's, aligned as a handle is. */
typedef struct mp_copy {
	void *data;                /* the handles, then the bytes */
	size_t room;
	size_t need;               /* more than room: nothing was copied */
	uint32_t len, nhandles;
	uint64_t version;          /* of the value; never 0, never used twice */
} mp_copy;

typedef struct mp_payload {
	uint64_t version;
	uint32_t len, nhandles;
} mp_payload;

typedef struct mp_record {
	uint32_t keylen, kind;
	mp_word which;             /* the value that counts: 0 or 1 */
	uint32_t room;             /* of one value, its head included; 0: there is one */
} mp_record;

/* A private record (tag = me, no home). 0 and *rc: MP_NOMEM, MP_TOOBIG. key
 * may be NULL. */
uint64_t mp_record_make(mp_self *me, const mp_key *key, const mp_given *v, int *rc);
void mp_record_version(mp_self *me, uint64_t record, uint64_t version);

static inline mp_record *mp_record_at(const mp_self *me, uint64_t off)
{
	return mp_at(me->shm, off);
}
static inline unsigned char *mp_record_key(mp_record *r)
{
	return (unsigned char *)(r + 1);
}
bool mp_record_is(mp_record *r, const mp_key *key);
/* The value that counts. */
mp_payload *mp_record_value(mp_record *r);
static inline mp_handle *mp_payload_handles(mp_payload *v)
{
	return (mp_handle *)(v + 1);
}
static inline unsigned char *mp_payload_bytes(mp_payload *v)
{
	return (unsigned char *)(v + 1) + v->nhandles * sizeof(mp_handle);
}

/* Can it replace the value in place, soon done? */
bool mp_record_fits(const mp_record *r, const mp_given *v);
void mp_record_write(mp_record *r, const mp_given *v, uint64_t version);
/* Copies the value; its handles are held then. 0, MP_FULL (see need). */
int mp_record_read(mp_self *me, mp_record *r, mp_copy *out);
/* Does its value, or its key, list handles? */
bool mp_record_lists(mp_record *r);
void mp_record_mark(mp_record *r, void (*mark)(void *ud, mp_handle h), void *ud);

/* The word refers to a private record from now on, instead of to none. */
void mp_record_enter(mp_self *me, _Atomic uint64_t *word, uint64_t record);
/* The same, instead of to a record that is freed. */
void mp_record_replace(mp_self *me, _Atomic uint64_t *word, uint64_t record);
/* The word refers to nothing from now on (none is what it says then), and the
 * block that it referred to is freed. */
void mp_record_leave(mp_self *me, _Atomic uint64_t *word, uint64_t none);
/* After a death: the word refers to this block, whoever's it was. */
void mp_record_keep(mp_self *me, _Atomic uint64_t *word);

#endif
