/* collect: destroys what only messages could have kept, and none does.
 *
 * An object that nobody holds lives in messages alone, if at all. A collection
 * gets a number, then candidates are noted, then the contents of all objects
 * are searched for them. An item that is taken and sent on meanwhile could
 * hide from the search: but its taker's bit is set before the item is
 * finished, and stays until it was sent, with the number that holds then; who
 * sends with an older one had its bit when candidates were noted, or was done
 * by then. So a candidate that no message listed, that nobody holds now, and
 * that was not sent since, is garbage. One that was is searched itself: what
 * it lists lives by it. That others send other things does not matter.
 *
 * SPDX-License-Identifier: MIT */
#include "object_entry.h"

#define CANDIDATES 1024

struct candidates {
	uint32_t n, at;                /* at: where the next round begins */
	uint32_t began;                /* the collection's number */
	mp_handle h[CANDIDATES];
	bool marked[CANDIDATES];
};

/* The first that is not before entry i: they are in order. */
static uint32_t position(const struct candidates *c, uint32_t i)
{
	uint32_t lo = 0, hi = c->n;
	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;
		if (index_of(c->h[mid]) < i)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static void mark(void *ud, mp_handle h)
{
	struct candidates *c = ud;
	uint32_t k = position(c, index_of(h));
	if (k < c->n && c->h[k] == h)
		c->marked[k] = true;
}

/* Maybe just one that looks into it: that one then asks for a collection. */
static bool has_holder(mp_shm *s, uint32_t i)
{
	if (no_bits(s, holders(s, i)))
		return false;
	if (atomic_load(&s->objs[i].sent))
		atomic_store(&s->objs[i].left, 1);
	return !no_bits(s, holders(s, i));
}

static void note_candidates(mp_shm *s, struct candidates *c)
{
	uint32_t high = atomic_load(&s->h->objs_high);
	for (c->n = 0; c->at < high && c->n < CANDIDATES; c->at++) {
		uint64_t w = atomic_load(&s->objs[c->at].word);
		if (state_of(w) != MP_OBJ_LIVE || has_holder(s, c->at))
			continue;
		c->marked[c->n] = false;
		c->h[c->n++] = (w >> 32 << 32) | c->at;
	}
}

static void search_in(mp_self *me, const mp_type_ops *ops, void *body, void *ud)
{
	if (ops->contents)
		ops->contents(me, body, mark, ud);
}

static bool is_candidate(const struct candidates *c, uint32_t i)
{
	uint32_t k = position(c, i);
	return k < c->n && index_of(c->h[k]) == i;
}

/* Bits first, as always. */
static bool lives(mp_shm *s, const struct candidates *c, uint32_t k)
{
	uint32_t i = index_of(c->h[k]);
	return c->marked[k] || !no_bits(s, holders(s, i)) || sent_since(&s->objs[i], c->began);
}

static bool has_contents(const mp_shm *s, uint32_t i)
{
	const mp_type_ops *ops = ops_of(s, type_of(atomic_load(&s->objs[i].word)));
	return ops && ops->contents;
}

/* A candidate that is listed somewhere lives, and so does what it lists. */
static void search_contents(mp_self *me, struct candidates *c)
{
	uint32_t high = atomic_load(&me->shm->h->objs_high);
	bool searched[CANDIDATES] = { false }, more = true;
	for (uint32_t i = 1; i < high; i++)
		if (has_contents(me->shm, i) && !is_candidate(c, i))
			mp_obj_visit_entry(me, i, search_in, c);
	MP_CRASHPOINT("collect.searched");
	while (more) {
		more = false;
		for (uint32_t k = 0; k < c->n; k++) {
			if (searched[k] || !lives(me->shm, c, k))
				continue;
			searched[k] = more = true;
			mp_obj_visit_entry(me, index_of(c->h[k]), search_in, c);
		}
	}
}

void mp_obj_collect(mp_self *me)
{
	mp_shm *s = me->shm;
	struct candidates c = { .at = 1 };
	atomic_store(&s->h->gc, 0);
	do {
		c.began = (atomic_fetch_add(&s->h->collections, 2) + 2) | 1;
		note_candidates(s, &c);
		MP_CRASHPOINT("collect.noted");
		if (c.n)
			search_contents(me, &c);
		for (uint32_t k = 0; k < c.n; k++) {
			uint32_t i = index_of(c.h[k]);
			uint64_t w = atomic_load(&s->objs[i].word);
			if (!c.marked[k] && gen_of(w) == gen_of(c.h[k]) && state_of(w) == MP_OBJ_LIVE)
				mp_obj_destroy_if_alone(me, i, w, c.began);
		}
	} while (c.n == CANDIDATES);
}
