/* guard: see guard.h.
 *
 * SPDX-License-Identifier: MIT */
#include "guard.h"

#include "../base/crash.h"
#include "../sync/rlock.h"

int mp_guard_of(mp_self *me, mp_guard *g, mp_handle *h, bool *made)
{
	mp_handle there = atomic_load(g);
	int rc = there ? MP_OK : mp_rlock_create(me, h);
	*made = !there;
	if (rc != MP_OK)
		return rc;
	if (!there) {
		mp_obj_sending(me, *h);
		MP_CRASHPOINT("guard.made");
		if (atomic_compare_exchange_strong(g, &there, *h))
			return MP_OK;
		mp_obj_drop(me, *h);
	}
	*h = there;
	*made = false;
	return MP_OK;
}
