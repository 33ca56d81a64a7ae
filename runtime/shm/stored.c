/* stored: see stored.h.
 *
 * SPDX-License-Identifier: MIT */
#include "stored.h"

#include <string.h>

#include "../base/crash.h"

int mp_stored_put(mp_self *me, _Atomic uint64_t *where, uint32_t kind,
                  const mp_part *parts, size_t nparts, size_t len,
                  const mp_handle *handles, uint32_t nhandles)
{
	size_t head = sizeof(mp_stored) + nhandles * sizeof *handles;
	int rc;
	uint64_t block = mp_alloc(me, head + len, mp_off(me->shm, where), &rc);
	mp_stored *st = mp_at(me->shm, block);
	char *to = (char *)st + head;
	if (!block)
		return rc;
	st->len = len;
	st->nhandles = nhandles;
	st->kind = kind;
	for (uint32_t i = 0; i < nhandles; i++) {
		st->handles[i] = handles[i];
		mp_obj_sending(me, handles[i]);
	}
	for (size_t i = 0; i < nparts; i++) {
		memcpy(to, parts[i].data, parts[i].len);
		to += parts[i].len;
	}
	MP_CRASHPOINT("stored.written");
	atomic_store(where, block);
	MP_CRASHPOINT("stored.referred");
	mp_settle(me, block);
	return MP_OK;
}

const mp_stored *mp_stored_get(const mp_shm *s, _Atomic uint64_t *where)
{
	uint64_t block = atomic_load(where);
	return block ? mp_at(s, block) : NULL;
}

void mp_stored_free(mp_self *me, _Atomic uint64_t *where)
{
	uint64_t block = atomic_load(where);
	bool lists;
	if (!block)
		return;
	lists = ((const mp_stored *)mp_at(me->shm, block))->nhandles > 0;
	mp_take(me, block);
	atomic_store(where, 0);
	mp_free(me, block);
	if (lists)
		mp_obj_loosened(me);
}

void mp_stored_mark(const mp_shm *s, _Atomic uint64_t *where,
                    void (*mark)(void *ud, mp_handle h), void *ud)
{
	const mp_stored *st = mp_stored_get(s, where);
	for (uint32_t i = 0; st && i < st->nhandles; i++)
		mark(ud, st->handles[i]);
}
