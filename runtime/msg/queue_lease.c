/* queue_lease: what an actor has leased, by number, and giving it back.
 *
 * The truth is in the cells: the sweep gives back what a dead one had by that
 * alone. This table only tells which cells they are.
 *
 * SPDX-License-Identifier: MIT */
#include "queue_body.h"

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

bool mp_leased_of(const mp_self *me, const mp_queue *q)
{
	const mp_leases *s = &me->leases;
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
	if (!counts && c->tries < UINT8_MAX)
		c->tries--;
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
