/* list: values in order.
 *
 * Layout: a store (store.h) whose shelf has a word for each value, from the
 * first on, without gaps. Indices here begin at 0.
 * Invariant: the words that are not 0 are the list.
 * Crash: the store's. At the end one store of a word appends or removes; in
 * the middle a new shelf is stored, and the record that comes or goes is in
 * `moving` meanwhile.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_LIST_H
#define MP_LIST_H

#include "store.h"

int mp_list_create(mp_self *me, mp_handle *h);

/* Copies value i. 0, MP_EMPTY (there is none), MP_FULL (see out->need). */
int mp_list_get(mp_self *me, mp_store *l, uint64_t i, mp_copy *out);
/* The same, and removes it: MP_LIST_LAST is the last one. expect, if given, is
 * the version that the last change must still have, or -EAGAIN. MP_NOMEM in
 * the middle: nothing happened. */
#define MP_LIST_LAST UINT64_MAX
int mp_list_pop(mp_self *me, mp_store *l, uint64_t i, const uint64_t *expect, mp_copy *out);
/* Replaces value i, or appends it if i is how many there are. 0, MP_EMPTY (i
 * is more; then *count is how many), MP_NOMEM, MP_TOOBIG. */
int mp_list_set(mp_self *me, mp_store *l, uint64_t i, const mp_given *v, uint64_t *count);
/* Puts a value before value i, or at the end if i is how many there are;
 * returns as above. */
int mp_list_insert(mp_self *me, mp_store *l, uint64_t i, const mp_given *v, uint64_t *count);

/* Appends n records made by mp_list_prepare, all at one moment (killed
 * meanwhile, the first of them). They are the list's then. 0, MP_NOMEM
 * (nothing happened). */
uint64_t mp_list_prepare(mp_self *me, mp_store *l, const mp_given *v, int *rc);
int mp_list_extend(mp_self *me, mp_store *l, const uint64_t *records, uint64_t n);

/* Puts the values in another order, if the version of the last change is
 * still this one: order is a permutation of all their indices, which is the
 * caller's to see to. 0, -EAGAIN, MP_NOMEM. */
int mp_list_arrange(mp_self *me, mp_store *l, uint64_t version, const uint64_t *order, uint64_t n);

extern const mp_type_ops mp_list_ops;

#endif
