/* block: the allocator.
 *
 * Layout: a chunk holds blocks of one class, or is part of a run that is one
 * large block. The record of each block (tag, home) lies beside the data, in
 * a table of its own, so that a late CAS on it never touches anybody's data.
 * A chunk's word is kind | aid << 8 | n << 36. Record 1 of a chunk that is
 * held or part of a run says by its size whether the chunk was WARM; a hole
 * is zero.
 *
 * Invariant: a block belongs to tag: nobody (0), an actor, or CONTAINER: then
 * the word at home refers to it. Chunks: FREE is a hole, WARM is allocated
 * but unused, HOLD names the actor that changes it.
 * Crash: claiming a block is one CAS on tag, a chunk one CAS to HOLD|me, a
 * run is committed by its first chunk's word. The sweep asks of each tag of
 * the dead whether a live word refers to it (then CONTAINER) or not (then
 * free), and makes HOLD chunks of the dead holes.
 *
 * SPDX-License-Identifier: MIT */
#include "shm.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include "../base/crash.h"
#include "eventcount.h"
#include "object.h"
#include "../msg/cell.h"

enum { CH_FREE, CH_WARM, CH_HOLD, CH_CLASS, CH_LARGE };

#define LARGE_OVER 32768u
#define SEG_CLASS  9u  /* for segments alone: the sweep knows cells by it */
#define WARM_MAX   (UINT64_C(64) << 20)
#define STARVED    40u  /* half slices in which everybody waited: nobody will free any */

static const uint32_t sizes[MP_CLASSES] = {
	128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, sizeof(mp_seg)
};
_Static_assert(sizeof(mp_seg) % MP_BLOCK_ALIGN == 0, "blocks are aligned");

static uint64_t word(unsigned kind, mp_aid aid, uint64_t n)
{
	return kind | (uint64_t)aid << 8 | n << 36;
}
static unsigned kind_of(uint64_t w) { return w & 0xff; }
static mp_aid aid_of(uint64_t w) { return (mp_aid)(w >> 8) & MP_AID_MASK; }
static uint64_t n_of(uint64_t w) { return w >> 36; }

static mp_meta *meta_of(const mp_shm *s, uint64_t chunk, uint32_t i)
{
	return &s->meta[chunk * MP_CHUNK_BLOCKS + i];
}

static uint64_t chunk_at(const mp_shm *s, uint64_t c)
{
	return s->h->data + (c << MP_CHUNK_SHIFT);
}

static uint32_t blocks_of(uint32_t k) { return (uint32_t)(MP_CHUNK / sizes[k]); }

static uint32_t class_of(uint64_t n)
{
	uint32_t k = 0;
	if (n == sizeof(mp_seg))
		return SEG_CLASS;
	while (sizes[k] < n)
		k++;
	return k;
}

/* Record and chunk of a block. */
static mp_meta *find(const mp_shm *s, uint64_t block, uint64_t *chunk)
{
	uint64_t c = (block - s->h->data) >> MP_CHUNK_SHIFT;
	uint64_t w = atomic_load_explicit(&s->chunks[c].word, memory_order_relaxed);
	uint32_t i = 0;
	if (kind_of(w) == CH_CLASS)  /* 32-bit: a 64-bit division is slow */
		i = (uint32_t)(block - chunk_at(s, c)) / sizes[n_of(w)];
	*chunk = c;
	return meta_of(s, c, i);
}

static void punch(mp_shm *s, uint64_t off, uint64_t len)
{
	fallocate(s->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)off, (off_t)len);
}

static void notify_memory(mp_shm *s)
{
	/* Without a fence: a waiter that is missed looks again after a slice. */
	if (atomic_load_explicit(&s->h->memory, memory_order_relaxed) & 1)
		mp_ec_notify(&s->h->memory, INT_MAX);
}

/* ---- chunks -------------------------------------------------------------- */

static void raise_to(mp_word *w, uint32_t n)
{
	uint32_t v = atomic_load(w);
	while (v < n && !atomic_compare_exchange_weak(w, &v, n))
		;
}

static void lower_to(mp_word *w, uint32_t n)
{
	uint32_t v = atomic_load_explicit(w, memory_order_relaxed);
	while (v > n && !atomic_compare_exchange_weak(w, &v, n))
		;
}

/* A chunk of mine (HOLD|me) becomes free: warm while the cache has room. */
static void give_up(mp_shm *s, uint64_t c, bool warm)
{
	uint64_t meta_bytes = MP_CHUNK_BLOCKS * sizeof(mp_meta);
	if (warm) {
		atomic_fetch_add(&s->h->warm, 1);
	} else {
		punch(s, chunk_at(s, c), MP_CHUNK);
		punch(s, s->h->meta + c * meta_bytes, meta_bytes);
	}
	MP_CRASHPOINT("chunk.punched");
	atomic_store_explicit(&s->chunks[c].full, 0, memory_order_relaxed);
	atomic_store_explicit(&s->chunks[c].word, word(warm ? CH_WARM : CH_FREE, 0, 0),
	                      memory_order_release);
	lower_to(&s->h->chunks_hint, (uint32_t)c);
	notify_memory(s);
}

static bool room_for_warm(const mp_shm *s)
{
	uint64_t most = s->h->nchunks / 8;
	if (most > WARM_MAX >> MP_CHUNK_SHIFT)
		most = WARM_MAX >> MP_CHUNK_SHIFT;
	return (uint64_t)atomic_load_explicit(&s->h->warm, memory_order_relaxed) < most;
}

/* A free chunk becomes HOLD|me, really allocated. 0, MP_NOMEM (left as it
 * was), MP_EMPTY (not free). */
static int claim(mp_self *me, uint64_t c)
{
	mp_shm *s = me->shm;
	uint64_t w = atomic_load_explicit(&s->chunks[c].word, memory_order_relaxed);
	unsigned kind = kind_of(w);
	if (kind > CH_WARM ||
	    !atomic_compare_exchange_strong(&s->chunks[c].word, &w, word(CH_HOLD, me->aid, 0)))
		return MP_EMPTY;
	MP_CRASHPOINT("chunk.held");
	if (kind == CH_WARM) {
		atomic_fetch_sub(&s->h->warm, 1);
		meta_of(s, c, 1)->size = 1;
		return MP_OK;
	}
	if (mp_shm_commit(s, chunk_at(s, c), MP_CHUNK) ||
	    mp_shm_commit(s, mp_off(s, meta_of(s, c, 0)), MP_CHUNK_BLOCKS * sizeof(mp_meta)) ||
	    mp_shm_commit(s, mp_off(s, &s->chunks[c]), sizeof(mp_chunk))) {
		give_up(s, c, false);
		return MP_NOMEM;
	}
	meta_of(s, c, 1)->size = 0;
	return MP_OK;
}

/* An actor killed between a late CAS and the look at the chunk's word left
 * its tag in a chunk that was free meanwhile. */
static void clear_stale_tags(mp_shm *s, uint64_t c)
{
	for (uint32_t i = 0; i < MP_CHUNK_BLOCKS; i++) {
		mp_meta *m = meta_of(s, c, i);
		uint32_t tag = atomic_load_explicit(&m->tag, memory_order_relaxed);
		if (tag && tag != MP_CONTAINER && mp_gone(s, tag))
			atomic_compare_exchange_strong(&m->tag, &tag, 0);
	}
}

/* The first free chunk at or after from; extends the part in use. */
static int claim_any(mp_self *me, uint64_t *chunk)
{
	mp_shm *s = me->shm;
	uint32_t n = s->h->nchunks, from = atomic_load(&s->h->chunks_hint);
	for (uint32_t c = from; c < n; c++) {
		int rc;
		if (c >= atomic_load_explicit(&s->h->chunks_high, memory_order_relaxed)) {
			if (mp_shm_commit(s, mp_off(s, &s->chunks[c]), sizeof(mp_chunk)))
				return MP_NOMEM;
			raise_to(&s->h->chunks_high, c + 1);
		}
		rc = claim(me, c);
		if (rc == MP_EMPTY)
			continue;
		if (rc == MP_OK)
			*chunk = c;
		uint32_t hint = c;
		atomic_compare_exchange_strong(&s->h->chunks_hint, &hint, c + 1);
		return rc;
	}
	/* Who gave one back and was killed before it lowered the hint? */
	if (from > 0) {
		atomic_store(&s->h->chunks_hint, 0);
		return claim_any(me, chunk);
	}
	return MP_NOMEM;
}

/* ---- small blocks -------------------------------------------------------- */

static uint64_t alloc_in(mp_self *me, uint64_t c, uint32_t k, uint64_t home, uint32_t size)
{
	mp_shm *s = me->shm;
	mp_chunk *ch = &s->chunks[c];
	uint32_t n = blocks_of(k), at = me->pos[k];
	uint64_t of_class = word(CH_CLASS, 0, k);
	if (atomic_load_explicit(&ch->word, memory_order_acquire) != of_class)
		return 0;
	for (uint32_t i = 0; i < n; i++, at++) {
		mp_meta *m;
		uint32_t nobody = 0;
		if (at >= n)
			at = 0;
		m = meta_of(s, c, at);
		if (atomic_load_explicit(&m->tag, memory_order_relaxed) != 0 ||
		    !atomic_compare_exchange_strong_explicit(&m->tag, &nobody, me->aid,
		            memory_order_acq_rel, memory_order_relaxed))
			continue;
		/* The chunk may have been given back and be another's by now. */
		if (atomic_load(&ch->word) != of_class) {
			atomic_store(&m->tag, 0);
			return 0;
		}
		m->size = size;
		atomic_store_explicit(&m->home, home, memory_order_release);
		me->chunk[k] = (uint32_t)c + 1;
		me->pos[k] = at + 1;
		return chunk_at(s, c) + (uint64_t)at * sizes[k];
	}
	atomic_store_explicit(&ch->full, 1, memory_order_relaxed);
	return 0;
}

static uint64_t alloc_from_chunks(mp_self *me, uint32_t k, uint64_t home, uint32_t size, bool even_full)
{
	mp_shm *s = me->shm;
	uint32_t high = atomic_load(&s->h->chunks_high);
	uint64_t of_class = word(CH_CLASS, 0, k), block;
	for (uint32_t c = 0; c < high; c++) {
		mp_chunk *ch = &s->chunks[c];
		if (atomic_load_explicit(&ch->word, memory_order_relaxed) != of_class ||
		    (!even_full && atomic_load_explicit(&ch->full, memory_order_relaxed)))
			continue;
		me->pos[k] = 0;
		if ((block = alloc_in(me, c, k, home, size)) != 0)
			return block;
	}
	return 0;
}

static uint64_t alloc_in_new(mp_self *me, uint32_t k, uint64_t home, uint32_t size)
{
	mp_shm *s = me->shm;
	uint64_t c, block = 0;
	while (!block && claim_any(me, &c) == MP_OK) {
		clear_stale_tags(s, c);
		atomic_store_explicit(&s->chunks[c].word, word(CH_CLASS, 0, k), memory_order_release);
		me->pos[k] = 0;
		block = alloc_in(me, c, k, home, size);
	}
	return block;
}

static uint64_t alloc_small(mp_self *me, uint64_t size, uint64_t home)
{
	uint32_t k = class_of(size), n = (uint32_t)size;
	uint64_t block = 0;
	if (me->chunk[k])
		block = alloc_in(me, me->chunk[k] - 1, k, home, n);
	if (!block)
		block = alloc_from_chunks(me, k, home, n, false);
	if (!block)
		block = alloc_in_new(me, k, home, n);
	if (!block && mp_trim(me, 0))
		block = alloc_in_new(me, k, home, n);
	if (!block)
		block = alloc_from_chunks(me, k, home, n, true);
	return block;
}

/* ---- large blocks: runs of chunks ---------------------------------------- */

/* Holds chunks [c, c+n); none if one of them is taken. */
static int hold_run(mp_self *me, uint64_t c, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		int rc = claim(me, c + i);
		if (rc) {
			while (i-- > 0)
				give_up(me->shm, c + i, true);
			return rc;
		}
	}
	return MP_OK;
}

/* The start of a run of n free chunks at or after c; nchunks if there is none. */
static uint64_t find_run(mp_shm *s, uint64_t c, uint64_t n)
{
	uint64_t found = 0, high = atomic_load(&s->h->chunks_high);
	for (; c < s->h->nchunks && found < n; c++) {
		bool is_free = c >= high || kind_of(atomic_load_explicit(&s->chunks[c].word,
		        memory_order_relaxed)) <= CH_WARM;
		found = is_free ? found + 1 : 0;
	}
	return found == n ? c - n : s->h->nchunks;
}

static bool head_tag(mp_self *me, uint64_t c, uint64_t size, uint64_t home)
{
	mp_meta *m = meta_of(me->shm, c, 0);
	uint32_t nobody = 0;
	clear_stale_tags(me->shm, c);
	if (!atomic_compare_exchange_strong(&m->tag, &nobody, me->aid))
		return false;
	m->size = (uint32_t)(size > UINT32_MAX ? UINT32_MAX : size);
	atomic_store(&m->home, home);
	return true;
}

static uint64_t alloc_run(mp_self *me, uint64_t size, uint64_t home)
{
	mp_shm *s = me->shm;
	uint64_t n = (size + MP_CHUNK - 1) >> MP_CHUNK_SHIFT, c = 0;
	while ((c = find_run(s, c, n)) < s->h->nchunks) {
		int rc;
		if (c + n > atomic_load(&s->h->chunks_high)) {
			if (mp_shm_commit(s, mp_off(s, &s->chunks[c]), n * sizeof(mp_chunk)))
				return 0;
			raise_to(&s->h->chunks_high, (uint32_t)(c + n));
		}
		rc = hold_run(me, c, n);
		if (rc == MP_NOMEM)
			return 0;
		if (rc || !head_tag(me, c, size, home)) {
			for (uint64_t i = 0; !rc && i < n; i++)
				give_up(s, c + i, true);
			c++;
			continue;
		}
		MP_CRASHPOINT("run.held");
		atomic_store_explicit(&s->chunks[c].word, word(CH_LARGE, 0, n), memory_order_release);
		return chunk_at(s, c);
	}
	return 0;
}

static uint64_t alloc_large(mp_self *me, uint64_t size, uint64_t home)
{
	uint64_t block;
	mp_latch_hold(me, &me->shm->h->large);  /* nothing to repair: the sweep does */
	block = alloc_run(me, size, home);
	if (!block && mp_trim(me, UINT32_MAX))
		block = alloc_run(me, size, home);
	mp_unlatch(me, &me->shm->h->large);
	return block;
}

static void free_large(mp_self *me, uint64_t c, uint64_t n, mp_meta *m)
{
	mp_shm *s = me->shm;
	/* The rest of the run is covered by its head until that changes. */
	for (uint64_t i = 1; i < n; i++)
		atomic_store_explicit(&s->chunks[c + i].word, word(CH_HOLD, me->aid, 0),
		                      memory_order_relaxed);
	atomic_store_explicit(&m->home, 0, memory_order_relaxed);
	atomic_store_explicit(&s->chunks[c].word, word(CH_HOLD, me->aid, 0), memory_order_release);
	MP_CRASHPOINT("run.unheaded");
	atomic_store_explicit(&m->tag, 0, memory_order_release);
	for (uint64_t i = 0; i < n; i++)
		give_up(s, c + i, room_for_warm(s));
}

/* ---- the interface -------------------------------------------------------- */

uint64_t mp_alloc(mp_self *me, uint64_t size, uint64_t home, int *rc)
{
	uint64_t block;
	if (size > (uint64_t)me->shm->h->nchunks << MP_CHUNK_SHIFT) {
		*rc = MP_TOOBIG;
		return 0;
	}
	block = size <= LARGE_OVER ? alloc_small(me, size, home) : alloc_large(me, size, home);
	*rc = block ? MP_OK : MP_NOMEM;
	if (block && atomic_load_explicit(&me->shm->h->keeper_idle, memory_order_relaxed))
		mp_wake_keeper(me->shm);
	return block;
}

/* Holes are zero: in a large block only what was used before is cleared. */
uint64_t mp_alloc_zeroed(mp_self *me, uint64_t size, uint64_t home, int *rc)
{
	mp_shm *s = me->shm;
	uint64_t block = mp_alloc(me, size, home, rc), c;
	if (!block)
		return 0;
	if (size <= LARGE_OVER) {
		memset(mp_at(s, block), 0, size);
		return block;
	}
	find(s, block, &c);
	for (uint64_t at = 0; at < size; at += MP_CHUNK, c++)
		if (meta_of(s, c, 1)->size)
			memset(mp_at(s, block + at), 0, size - at < MP_CHUNK ? size - at : MP_CHUNK);
	return block;
}

void mp_free(mp_self *me, uint64_t block)
{
	mp_shm *s = me->shm;
	uint64_t c;
	mp_meta *m = find(s, block, &c);
	uint64_t w = atomic_load_explicit(&s->chunks[c].word, memory_order_relaxed);
	if (kind_of(w) == CH_LARGE) {
		free_large(me, c, n_of(w), m);
		return;
	}
	atomic_store_explicit(&m->home, 0, memory_order_relaxed);
	atomic_store_explicit(&m->tag, 0, memory_order_release);
	if (atomic_load_explicit(&s->chunks[c].full, memory_order_relaxed))
		atomic_store_explicit(&s->chunks[c].full, 0, memory_order_relaxed);
	notify_memory(s);
}

void mp_take(mp_self *me, uint64_t block)
{
	uint64_t c;
	mp_meta *m = find(me->shm, block, &c);
	uint32_t tag = atomic_load_explicit(&m->tag, memory_order_relaxed);
	while (!atomic_compare_exchange_weak(&m->tag, &tag, me->aid))
		;
}

void mp_settle(mp_self *me, uint64_t block)
{
	uint64_t c;
	uint32_t tag = me->aid;
	atomic_compare_exchange_strong(&find(me->shm, block, &c)->tag, &tag, MP_CONTAINER);
}

void mp_set_home(mp_self *me, uint64_t block, uint64_t home)
{
	uint64_t c;
	atomic_store_explicit(&find(me->shm, block, &c)->home, home, memory_order_release);
}

uint64_t mp_block_size(const mp_shm *s, uint64_t block)
{
	uint64_t c;
	find(s, block, &c);
	uint64_t w = atomic_load(&s->chunks[c].word);
	return kind_of(w) == CH_LARGE ? n_of(w) << MP_CHUNK_SHIFT : sizes[n_of(w)];
}

struct moved { mp_ec *ec; uint32_t seen; };

static bool memory_moved(void *arg)
{
	struct moved *m = arg;
	return (atomic_load(m->ec) | 1) != m->seen;
}

/* Is every other process in a wait of ours that has no deadline? A timed one,
 * or one that is not waiting, may still free something. */
static bool all_wait(const mp_self *me)
{
	mp_shm *s = me->shm;
	for (uint32_t i = 1; i < atomic_load(&s->h->slots_high); i++) {
		mp_slot *sl = &s->slots[i];
		uint32_t phase = atomic_load(&sl->state) & 0xffff;
		uint32_t what = atomic_load(&sl->wait.what);
		if (sl == me->slot || phase == MP_SLOT_FREE || atomic_load(&sl->kind) == MP_KIND_KEEPER)
			continue;
		if (phase != MP_SLOT_LIVE || what == MP_W_NONE ||
		    (what != MP_W_MEMORY && atomic_load(&sl->wait.deadline) != MP_FOREVER))
			return false;
	}
	return true;
}

int mp_memory_wait(mp_self *me, int64_t deadline)
{
	/* MP_W_MEMORY says for ever, though the waits on record are short. */
	mp_wait as = { .what = deadline == MP_FOREVER ? MP_W_MEMORY : MP_W_PUT };
	struct moved m = { &me->shm->h->memory, 0 };
	/* Half a slice at most: a missed notice costs no more than that. */
	int64_t soon = mp_now() + MP_SLICE / 2;
	int rc;
	m.seen = mp_ec_prepare(m.ec);
	rc = mp_ec_wait(me, m.ec, memory_moved, &m, soon < deadline ? soon : deadline, &as);
	if (rc != MP_TIMEOUT || soon >= deadline) {
		me->starved = 0;
		return rc;
	}
	me->starved = deadline == MP_FOREVER && all_wait(me) ? me->starved + 1 : 0;
	if (me->starved < STARVED)
		return MP_OK;
	me->starved = 0;
	return -ENOMEM;
}

/* Owns every block of an empty chunk, then the chunk. */
static bool empty_chunk(mp_self *me, uint64_t c, uint32_t k)
{
	mp_shm *s = me->shm;
	uint32_t i, n = blocks_of(k);
	uint64_t of_class = word(CH_CLASS, 0, k);
	for (i = 0; i < n; i++)
		if (atomic_load_explicit(&meta_of(s, c, i)->tag, memory_order_relaxed))
			return false;
	for (i = 0; i < n; i++) {
		uint32_t nobody = 0;
		if (!atomic_compare_exchange_strong(&meta_of(s, c, i)->tag, &nobody, me->aid))
			break;
	}
	bool mine = i == n && atomic_compare_exchange_strong(&s->chunks[c].word, &of_class,
	                                                     word(CH_HOLD, me->aid, 0));
	MP_CRASHPOINT("trim.held");
	while (i-- > 0)
		atomic_store(&meta_of(s, c, i)->tag, 0);
	return mine;
}

uint32_t mp_trim(mp_self *me, uint32_t keep)
{
	mp_shm *s = me->shm;
	uint32_t freed = 0, high = atomic_load(&s->h->chunks_high), warm = 0;
	for (uint32_t c = 0; c < high; c++) {
		uint64_t w = atomic_load_explicit(&s->chunks[c].word, memory_order_relaxed);
		if (kind_of(w) == CH_CLASS && empty_chunk(me, c, (uint32_t)n_of(w))) {
			give_up(s, c, warm < keep);
			warm += warm < keep;
			freed++;
		} else if (kind_of(w) == CH_WARM && ++warm > keep && claim(me, c) == MP_OK) {
			give_up(s, c, false);
			freed++;
		}
	}
	/* A killed actor may have left the count wrong; this is the truth. */
	atomic_store(&s->h->warm, (int32_t)(warm < keep ? warm : keep));
	return freed;
}

static void count_class(mp_shm *s, uint64_t c, uint32_t k, mp_usage *u)
{
	for (uint32_t i = 0; i < blocks_of(k); i++)
		if (atomic_load(&meta_of(s, c, i)->tag)) {
			u->nblocks++;
			u->blocks += sizes[k];
		}
	u->allocated += MP_CHUNK;
}

void mp_usage_of(mp_shm *s, mp_usage *u)
{
	uint32_t high = atomic_load(&s->h->chunks_high);
	*u = (mp_usage){ .limit = (uint64_t)s->h->nchunks << MP_CHUNK_SHIFT };
	for (uint64_t c = 0; c < high; c++) {
		uint64_t w = atomic_load(&s->chunks[c].word);
		switch (kind_of(w)) {
		case CH_CLASS:
			count_class(s, c, (uint32_t)n_of(w), u);
			break;
		case CH_LARGE:
			u->nblocks++;
			u->blocks += n_of(w) << MP_CHUNK_SHIFT;
			u->allocated += n_of(w) << MP_CHUNK_SHIFT;
			c += n_of(w) - 1;
			break;
		case CH_FREE:
			break;
		default:
			u->allocated += MP_CHUNK;
		}
	}
	for (uint32_t i = 1; i < atomic_load(&s->h->objs_high); i++)
		u->objects += mp_obj_type(s, i | atomic_load(&s->objs[i].word) >> 32 << 32) != MP_T_NONE;
	for (uint32_t i = 1; i < atomic_load(&s->h->slots_high); i++)
		u->actors += (atomic_load(&s->slots[i].state) & 0xffff) != MP_SLOT_FREE;
}

/* ---- sweep ---------------------------------------------------------------- */

/* The block that an address lies in, its record and its chunk's word; 0: in
 * none. Only the first chunk of a run says that it is one: the others stay
 * HOLD, in the name of whoever allocated it. */
static uint64_t around(const mp_shm *s, uint64_t at, mp_meta **m, uint64_t *w)
{
	uint64_t c = (at - s->h->data) >> MP_CHUNK_SHIFT, first = c;
	uint32_t i = 0, k;
	*w = atomic_load(&s->chunks[c].word);
	while (kind_of(*w) == CH_HOLD && first > 0)
		*w = atomic_load(&s->chunks[--first].word);
	if (kind_of(*w) == CH_CLASS && first == c) {
		k = (uint32_t)n_of(*w);
		i = (uint32_t)(at - chunk_at(s, c)) / sizes[k];
		*m = meta_of(s, c, i);
		return chunk_at(s, c) + (uint64_t)i * sizes[k];
	}
	if (kind_of(*w) != CH_LARGE || first + n_of(*w) <= c)
		return 0;
	*m = meta_of(s, first, 0);
	return chunk_at(s, first);
}

/* Does the word at home still refer to block, in something alive? What lies
 * in a block of the dead is alive if that block is: a queue that was being
 * made is not, nor is its first segment. */
static bool referred(mp_shm *s, uint64_t home, uint64_t block)
{
	uint64_t w, holder, in;
	uint32_t tag;
	mp_meta *m;
	if (!home)
		return false;
	if (home < s->h->data)  /* an object's entry */
		return atomic_load((_Atomic uint64_t *)mp_at(s, home)) == block &&
		       mp_obj_alive((const mp_obj *)mp_at(s, home - offsetof(mp_obj, body)));
	if (!(holder = around(s, home, &m, &w)))
		return false;
	tag = atomic_load(&m->tag);
	/* Of any dead: who swept it may have been killed with it in hand. */
	if (!tag || (tag != MP_CONTAINER && mp_gone(s, tag) &&
	             !referred(s, atomic_load(&m->home), holder)))
		return false;
	in = home - holder;
	if (w == word(CH_CLASS, 0, SEG_CLASS) && in >= offsetof(mp_seg, cells)) {
		mp_cell *cell = mp_at(s, home - offsetof(mp_cell, ref));
		uint32_t st = atomic_load(&cell->state) >> MP_CELL_SHIFT;
		return atomic_load(&cell->ref) == (uint32_t)(block / MP_BLOCK_ALIGN) &&
		       st != MP_CELL_EMPTY && st != MP_CELL_DONE;
	}
	return atomic_load((_Atomic uint64_t *)mp_at(s, home)) == block;
}

static void sweep_block(mp_self *me, mp_meta *m, uint64_t block, mp_aid dead)
{
	uint32_t tag = dead;
	if (atomic_load_explicit(&m->tag, memory_order_acquire) != dead)
		return;
	if (referred(me->shm, atomic_load_explicit(&m->home, memory_order_acquire), block)) {
		atomic_compare_exchange_strong(&m->tag, &tag, MP_CONTAINER);
	} else if (atomic_compare_exchange_strong(&m->tag, &tag, me->aid)) {
		atomic_store_explicit(&m->home, 0, memory_order_relaxed);
		atomic_store_explicit(&m->tag, 0, memory_order_release);
	}
}

/* A run of the dead that nothing refers to: taken in the sweeper's name. */
static void sweep_run(mp_self *me, uint64_t c, uint64_t n, mp_aid dead)
{
	mp_shm *s = me->shm;
	mp_meta *m = meta_of(s, c, 0);
	uint32_t tag = dead;
	if (atomic_load(&m->tag) != dead)
		return;
	if (referred(s, atomic_load(&m->home), chunk_at(s, c)))
		atomic_compare_exchange_strong(&m->tag, &tag, MP_CONTAINER);
	else if (atomic_compare_exchange_strong(&m->tag, &tag, me->aid))
		free_large(me, c, n, m);
}

void mp_blocks_sweep(mp_self *me, mp_aid dead)
{
	mp_shm *s = me->shm;
	uint32_t high = atomic_load(&s->h->chunks_high);
	for (uint64_t c = 0; c < high; c++) {
		uint64_t w = atomic_load_explicit(&s->chunks[c].word, memory_order_acquire);
		uint32_t k = (uint32_t)n_of(w);
		if (kind_of(w) == CH_CLASS) {
			for (uint32_t i = 0; i < blocks_of(k); i++)
				sweep_block(me, meta_of(s, c, i), chunk_at(s, c) + (uint64_t)i * sizes[k], dead);
		} else if (kind_of(w) == CH_LARGE) {
			uint64_t n = n_of(w);
			sweep_run(me, c, n, dead);
			c += n - 1;
		} else if (kind_of(w) == CH_HOLD && aid_of(w) == dead &&
		           atomic_compare_exchange_strong(&s->chunks[c].word, &w,
		                                          word(CH_HOLD, me->aid, 0))) {
			for (uint32_t i = 0; i < MP_CHUNK_BLOCKS; i++) {
				uint32_t tag = dead;
				atomic_compare_exchange_strong(&meta_of(s, c, i)->tag, &tag, 0);
			}
			give_up(s, c, false);
		}
	}
}
