/* things: values for the tests of Dict and List: a number, and bytes that
 * follow from it, so that a torn one is noticed.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_TEST_THINGS_H
#define MP_TEST_THINGS_H

#include "harness.h"

/* Borrowed until the next one; len >= 8. h: a handle that it lists, or 0. */
mp_given t_given(uint64_t id, size_t len, mp_handle h);
/* The number of a value that was read (its bytes are checked). */
uint64_t t_id(const void *bytes, size_t len);

mp_key t_key(const uint64_t *n);

void t_set(mp_self *me, mp_store *d, uint64_t n, uint64_t id, size_t len);
/* The number of the value at n, 0: there is none. */
uint64_t t_get(mp_self *me, mp_store *d, uint64_t n);
uint64_t t_pop(mp_self *me, mp_store *d, uint64_t n);
bool t_remove(mp_self *me, mp_store *d, uint64_t n);

void t_append(mp_self *me, mp_store *l, uint64_t id, size_t len);
/* The numbers in a list, at most max; how many. */
uint32_t t_list(mp_self *me, mp_store *l, uint64_t *ids, uint32_t max);

#endif
