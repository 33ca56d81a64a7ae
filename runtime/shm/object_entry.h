/* object_entry: an object's entry, for the files that implement the table.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_OBJECT_ENTRY_H
#define MP_OBJECT_ENTRY_H

#include "../base/crash.h"
#include "object.h"

static inline uint32_t gen_of(uint64_t w) { return (uint32_t)(w >> 32); }
static inline enum mp_type type_of(uint64_t w) { return (enum mp_type)((w >> 8) & 0xff); }
static inline unsigned state_of(uint64_t w) { return w & 0xff; }
static inline uint32_t index_of(mp_handle h) { return (uint32_t)h; }

/* The two bitmaps over the slots: holders, then watchers. */
static inline _Atomic uint64_t *holders(const mp_shm *s, uint32_t i)
{
	return (_Atomic uint64_t *)mp_at(s, s->h->bits) + (uint64_t)i * 2 * s->h->words;
}

static inline bool no_bits(const mp_shm *s, _Atomic uint64_t *row)
{
	for (uint32_t i = 0; i < s->h->words; i++) {
		if (atomic_load(&row[i]))
			return false;
		MP_CRASHPOINT("object.word");
	}
	return true;
}

static inline const mp_type_ops *ops_of(const mp_shm *s, enum mp_type t)
{
	return t < MP_TYPES && s->types ? s->types[t] : NULL;
}

/* Was it sent since this collection began? 0: ever. */
static inline bool sent_since(const mp_obj *o, uint32_t began)
{
	uint32_t sent = atomic_load(&o->sent);
	return sent && (!began || (int32_t)(sent - began) >= 0);
}

/* Destroys an object that nobody holds, if that is still so once it is marked
 * DYING, and that was not sent since. */
void mp_obj_destroy_if_alone(mp_self *me, uint32_t i, uint64_t w, uint32_t began);
/* Calls f for entry i, held, if it is alive. */
void mp_obj_visit_entry(mp_self *me, uint32_t i,
                        void (*f)(mp_self *me, const mp_type_ops *ops, void *body, void *ud), void *ud);

#endif
