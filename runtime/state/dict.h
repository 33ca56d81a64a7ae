/* dict: keys and values.
 *
 * Layout: a store (store.h) whose shelf is a hash table with open addressing:
 * two words a place, the record's offset and the key's hash.
 * Invariant: from the place that a key's hash says, up to the next empty
 * word, lies its record if there is one.
 * Crash: the store's; a hash beside a word that refers to no record is
 * scratch.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_DICT_H
#define MP_DICT_H

#include "store.h"

int mp_dict_create(mp_self *me, mp_handle *h);

/* Copies the value. 0, MP_EMPTY (there is none; version 0), MP_FULL. */
int mp_dict_get(mp_self *me, mp_store *d, const mp_key *key, mp_copy *out);
/* The same, and removes it; not if it is MP_FULL. */
int mp_dict_pop(mp_self *me, mp_store *d, const mp_key *key, mp_copy *out);
/* Sets, or with v NULL removes. expect, if given, is the version that the
 * value must still have (0: none). 0, MP_EMPTY (nothing to remove), -EAGAIN
 * (it has another), MP_NOMEM, MP_TOOBIG. */
int mp_dict_set(mp_self *me, mp_store *d, const mp_key *key, const mp_given *v,
                const uint64_t *expect);

extern const mp_type_ops mp_dict_ops;

#endif
