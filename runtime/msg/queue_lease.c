/* queue_lease: what an actor has leased, by number: keeping it out of the
 * transaction, claiming it again, giving it back.
 *
 * The truth is in the cells: the sweep gives back, or finishes, what a dead one
 * had by that alone. This table only tells which cells they are.
 *
 * Crash: keep and claim store LEASED or LEASED_TXN into cells of mine, one
 * after the other. No latch is needed: whoever reads states under one takes both
 * for leased, and until I am dead nobody but me stores into them. Outside of
 * mp_queue_commit my slot's commit is 0; killed there, everything goes back,
 * whichever of the two each cell says. In it, commit = 1 comes after all these
 * stores: the sweep that sees it finishes what was in the transaction, and
 * gives back what was kept. (The table may be wrong then; it died with me.)
 * A delivery too many may be counted, none too few that ends in a death.
 *
 * SPDX-License-Identifier: MIT */
#include "queue_body.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../base/crash.h"

/* ---- the table ----------------------------------------------------------------- */

static uint32_t *chain_of(const mp_leases *s, uint64_t number)
{
	return &s->chains[number & (s->cap - 1)];
}

static void enchain(mp_leases *s, uint32_t place)
{
	mp_lease *l = &s->at[place - 1];
	uint32_t *chain = chain_of(s, l->number);
	l->next = *chain;
	*chain = place;
}

/* One block of memory: places, chains, txn. */
static bool grow(mp_leases *s, uint64_t want)
{
	mp_leases old = *s;
	uint64_t cap = 64;
	while (cap < want)
		cap *= 2;
	if (cap > UINT32_MAX || !(s->at = malloc(cap * (sizeof *s->at + 2 * sizeof *s->txn)))) {
		s->at = old.at;
		return false;
	}
	s->cap = (uint32_t)cap;
	s->chains = (uint32_t *)(s->at + cap);
	s->txn = s->chains + cap;
	memset(s->chains, 0, cap * sizeof *s->chains);
	if (old.at) {
		memcpy(s->at, old.at, old.used * sizeof *s->at);
		memcpy(s->txn, old.txn, old.ntxn * sizeof *s->txn);
	}
	for (uint32_t place = 1; place <= s->used; place++)
		if (s->at[place - 1].number)
			enchain(s, place);
	free(old.at);
	return true;
}

bool mp_lease_room(mp_self *me, uint32_t n)
{
	mp_leases *s = &me->leases;
	return (uint64_t)s->n + n <= s->cap || grow(s, (uint64_t)s->n + n);
}

void mp_lease_add(mp_self *me, mp_lease l)
{
	mp_leases *s = &me->leases;
	uint32_t place = s->free;
	if (place)
		s->free = s->at[place - 1].next;
	else
		place = ++s->used;
	l.number = ++s->last;
	l.listed = true;
	s->at[place - 1] = l;
	enchain(s, place);
	s->txn[s->ntxn++] = place;
	s->n++;
}

void mp_lease_forget(mp_self *me, uint32_t place)
{
	mp_leases *s = &me->leases;
	mp_lease *l = &s->at[place - 1];
	uint32_t *link = chain_of(s, l->number);
	while (*link != place)
		link = &s->at[*link - 1].next;
	*link = l->next;
	l->number = 0;
	l->next = s->free;
	s->free = place;
	s->n--;
}

uint32_t mp_lease_find(const mp_self *me, uint64_t number)
{
	const mp_leases *s = &me->leases;
	uint32_t place = s->n ? *chain_of(s, number) : 0;
	while (place && s->at[place - 1].number != number)
		place = s->at[place - 1].next;
	return place;
}

bool mp_queue_leased_here(const mp_self *me, const mp_queue *q)
{
	const mp_leases *s = &me->leases;
	if (mp_queue_in_work(me, q))
		return true;
	for (uint32_t i = 0; s->n && i < s->used; i++)
		if (s->at[i].number && s->at[i].queue == mp_off(me->shm, q))
			return true;
	return false;
}

void mp_leases_free(mp_self *me)
{
	free(me->leases.at);
	me->leases = (mp_leases){ .last = me->leases.last };
}

/* 255: or more. */
static void uncount(mp_cell *c)
{
	if (c->tries < UINT8_MAX)
		c->tries--;
}

/* ---- keeping -------------------------------------------------------------------- */

/* Are these n all mine, and all kept, or all not? */
static int check(const mp_self *me, uint64_t number, uint32_t n, bool kept)
{
	for (uint32_t i = 0; i < n; i++) {
		uint32_t place = mp_lease_find(me, number + i);
		if (!place)
			return -ENOENT;
		if (me->leases.at[place - 1].kept != kept)
			return -EALREADY;
	}
	return MP_OK;
}

static mp_lease *found(mp_self *me, uint64_t number)
{
	return &me->leases.at[mp_lease_find(me, number) - 1];
}

int mp_queue_keep(mp_self *me, uint64_t lease, uint32_t n)
{
	int rc = check(me, lease, n, false);
	for (uint32_t i = 0; rc == MP_OK && i < n; i++) {
		mp_lease *l = found(me, lease + i);
		mp_cell *c = mp_at(me->shm, l->cell);
		atomic_store_explicit(&c->state, mp_cell_word(MP_CELL_LEASED, me->aid),
		                      memory_order_release);
		MP_CRASHPOINT("keep.kept");
		uncount(c);
		l->kept = true;
	}
	return rc;
}

int mp_queue_claim(mp_self *me, uint64_t lease, uint32_t n)
{
	mp_leases *s = &me->leases;
	int rc = check(me, lease, n, true);
	for (uint32_t i = 0; rc == MP_OK && i < n; i++) {
		mp_lease *l = found(me, lease + i);
		mp_cell *c = mp_at(me->shm, l->cell);
		if (c->tries < UINT8_MAX)
			c->tries++;
		MP_CRASHPOINT("claim.counted");
		atomic_store_explicit(&c->state, mp_cell_word(MP_CELL_LEASED_TXN, me->aid),
		                      memory_order_release);
		l->kept = false;
		if (!l->listed)
			s->txn[s->ntxn++] = (uint32_t)(l - s->at) + 1;
		l->listed = true;
	}
	return rc;
}

/* ---- giving back ---------------------------------------------------------------- */

static int by_queue(const void *a, const void *b)
{
	uint64_t x = ((const mp_lease *)a)->queue, y = ((const mp_lease *)b)->queue;
	return x < y ? -1 : x > y;
}

/* The leases alone, at the places' beginning, those of a queue together. The
 * table is to be emptied. */
static void gather(mp_leases *s)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < s->used; i++)
		if (s->at[i].number)
			s->at[n++] = s->at[i];
	qsort(s->at, n, sizeof *s->at, by_queue);
}

static void clear(mp_leases *s)
{
	memset(s->chains, 0, s->cap * sizeof *s->chains);
	s->n = s->ntxn = s->used = s->free = 0;
}

/* head latched. Killed before READY, as well as after it, it goes back. */
static void return_one(mp_self *me, const mp_lease *l, bool counts)
{
	mp_cell *c = mp_at(me->shm, l->cell);
	if (!counts && !l->kept)
		uncount(c);
	MP_CRASHPOINT("release.counted");
	atomic_store_explicit(&c->state, mp_cell_word(MP_CELL_READY, 0), memory_order_release);
}

static void give_back(mp_self *me, bool counts)
{
	mp_leases *s = &me->leases;
	if (!s->n)
		return;
	gather(s);
	for (uint32_t i = 0; i < s->n;) {
		uint64_t at = s->at[i].queue;
		mp_queue *q = mp_at(me->shm, at);
		uint32_t from = i;
		mp_queue_lock_head(me, q);
		for (; i < s->n && s->at[i].queue == at; i++)
			return_one(me, &s->at[i], counts);
		mp_queue_repair_head(me, q);
		mp_unlatch(me, &q->head_latch);
		mp_queue_published(me, q, i - from);
	}
	clear(s);
}

void mp_queue_release(mp_self *me)
{
	give_back(me, false);
}

void mp_queue_desert(mp_self *me)
{
	give_back(me, true);
}
