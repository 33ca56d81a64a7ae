/* Tallies and their ways beside plain arrays; texts at the very end of memory;
 * no memory.
 *
 * SPDX-License-Identifier: MIT */
#include <sys/mman.h>
#include <sys/resource.h>

#include "harness.h"
#include "text/route.h"
#include "text/tally_pack.h"
#include "text/word.h"

enum { VALUES = 3000, STEPS = 200000 };

/* A value by its number: strings of all lengths that have their number in front
 * or at the end, with zeros in them; integers, floats, booleans. */
static uint32_t number(mp_tally *t, uint32_t k)
{
	char s[64] = { 0 };
	switch (k % 5) {
	case 0:
		memcpy(s, &k, sizeof k);
		return mp_tally_string(t, s, 4 + k % 30);
	case 1:
		memcpy(s + k % 40, &k, sizeof k);
		return mp_tally_string(t, s, 4 + k % 40);
	case 2:
		return mp_tally_scalar(t, MP_TALLY_INTEGER, k);
	case 3:
		return mp_tally_float(t, k + 0.5);
	default:
		return mp_tally_scalar(t, MP_TALLY_BOOLEAN, k % 2);
	}
}

/* Which number is the first one's with the same value. */
static uint32_t same(uint32_t k)
{
	return k % 5 == 4 ? (k % 2 ? 9 : 4) : k;
}

static int64_t want[VALUES];

static void check(mp_tally *t)
{
	int64_t total = 0;
	for (uint32_t k = 0; k < VALUES; k++) {
		uint32_t id = number(t, k);
		CHECK(id != 0);
		CHECK_EQ(t->entries[id - 1].n, want[same(k)]);
		total += want[k];
	}
	CHECK_EQ(t->total, total);
}

static void one(mp_tally *t)
{
	uint32_t k = (uint32_t)random() % VALUES;
	int64_t n = 1 + random() % 5;
	CHECK(mp_tally_count(t, number(t, k), n));
	want[same(k)] += n;
}

/* Counts at random, empties, forgets. */
static void counts(void)
{
	mp_tally t;
	mp_tally_init(&t, (uint64_t)random());
	memset(want, 0, sizeof want);
	for (int i = 0; i < STEPS; i++) {
		if (random() % 20000 == 0) {
			mp_tally_empty(&t);
			memset(want, 0, sizeof want);
		}
		one(&t);
		CHECK(t.touches <= t.size);
	}
	check(&t);
	size_t room = t.entries_room;
	CHECK(mp_tally_bytes(&t) > t.size * sizeof *t.entries);
	mp_tally_clear(&t);
	CHECK_EQ(t.entries_room, room);
	CHECK_EQ(mp_tally_bytes(&t), 0);
	CHECK_EQ(t.size, 0);
	memset(want, 0, sizeof want);
	check(&t);
	mp_tally_free(&t);
}

/* Two tallies, one fed by the ways of another as bytes. */
static void sent(void)
{
	mp_route r;
	mp_tally all;
	CHECK(mp_route_init(&r, 3, 1));
	mp_tally_init(&all, 2);
	memset(want, 0, sizeof want);
	for (int round = 0; round < 50; round++) {
		size_t at = 0;
		uint32_t id;
		for (int i = 0; i < 1000; i++)
			one(&r.from);
		while ((id = mp_route_unknown(&r, &at)) != 0) {
			mp_tally_entry e = r.from.entries[id - 1];
			uint32_t way = e.hash % 3;
			uint32_t key = mp_tally_is_string(&e)
				? mp_tally_string(&r.ways[way], mp_tally_text(&r.from, &e), e.len)
				: mp_tally_scalar(&r.ways[way], e.len, e.head);
			mp_route_aim(&r, id, way, key);
		}
		CHECK(mp_route_pour(&r));
		CHECK_EQ(r.from.total, 0);
		for (int w = 0; w < 3; w++) {
			size_t len = mp_tally_packed(&r.ways[w]);
			char *bytes = malloc(len);  /* no byte more: ASan sees those beyond */
			mp_tally_pack(&r.ways[w], bytes);
			CHECK_EQ(mp_tally_unpack(&all, bytes, len), 0);
			free(bytes);
		}
		if (round % 10 == 9)
			mp_route_clear(&r);
		else
			mp_route_empty(&r);
	}
	check(&all);
	mp_route_free(&r);
	mp_tally_free(&all);
}

/* Bytes that no tally wrote, and those of one with a byte changed or cut off. */
static void strange(void)
{
	mp_tally t, u;
	static char bytes[100000];
	mp_tally_init(&t, 1);
	mp_tally_init(&u, 2);
	for (int i = 0; i < 1000; i++)
		one(&t);
	size_t len = mp_tally_packed(&t);
	CHECK(len <= sizeof bytes);
	for (int i = 0; i < 2000; i++) {
		size_t cut = (size_t)random() % len;
		mp_tally_pack(&t, bytes);
		bytes[random() % (long)len] = (char)random();
		char *copy = malloc(cut + 1);
		memcpy(copy, bytes, cut);
		mp_tally_unpack(&u, copy, cut);
		CHECK(!u.broken);
		mp_tally_clear(&u);
		for (size_t j = 0; j < cut % 50; j++)
			copy[j] = (char)random();
		mp_tally_unpack(&u, copy, cut % 50);
		mp_tally_clear(&u);
		free(copy);
	}
	CHECK_EQ(mp_tally_unpack(&u, "\3\0", 2), MP_TALLY_BAD);   /* a count of 0 */
	CHECK_EQ(mp_tally_unpack(&u, "\x04\x01", 2), MP_TALLY_BAD);
	mp_tally_free(&t);
	mp_tally_free(&u);
}

/* Nothing is read beyond a text, nor before it. */
static void edges(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char *m = mmap(NULL, 3 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(m != MAP_FAILED);
	CHECK_EQ(mprotect(m + page, page, PROT_READ | PROT_WRITE), 0);
	char *end = m + 2 * page;
	for (size_t len = 0; len < 200; len++) {
		for (unsigned kind = 0; kind < 4; kind++) {
			mp_tally t;
			size_t from, to, n = 0;
			char *s = kind % 2 ? end - len : m + page;
			for (size_t i = 0; i < len; i++)
				s[i] = kind < 2 || i % 7 ? 'a' : ' ';
			mp_words w = mp_words_of(s, len, 0);
			while (mp_words_next(&w, &from, &to))
				n += to - from;
			CHECK_EQ(n, kind < 2 ? len : len - (len + 6) / 7);
			mp_tally_init(&t, 1);
			CHECK(mp_tally_words(&t, s, len));
			for (size_t i = 0; i < t.size; i++)
				n -= t.entries[i].len * (size_t)t.entries[i].n;
			CHECK_EQ(n, 0);
			CHECK(mp_tally_string(&t, s, len) != 0);
			mp_tally_free(&t);
		}
	}
	munmap(m, 3 * page);
}

/* Without memory all calls fail, and clear mends it. */
static void nothing_left(void)
{
	struct rlimit old, few;
	mp_tally t;
	uint64_t k = 0;
	mp_tally_init(&t, 1);
	getrlimit(RLIMIT_AS, &old);
	few = (struct rlimit){ (rlim_t)400 << 20, old.rlim_max };
	CHECK_EQ(setrlimit(RLIMIT_AS, &few), 0);
	while (mp_tally_count(&t, mp_tally_scalar(&t, MP_TALLY_INTEGER, k), 1))
		k++;
	CHECK(k > 1000);
	CHECK(t.broken);
	CHECK_EQ(t.size + t.touches, 0);
	CHECK_EQ(t.total, 0);
	CHECK(!mp_tally_count(&t, 1, 1));
	CHECK(!mp_tally_words(&t, "a", 1));
	CHECK_EQ(mp_tally_string(&t, "a", 1), 0);
	CHECK_EQ(mp_tally_packed(&t), 0);
	mp_tally_empty(&t);
	CHECK(t.broken);
	setrlimit(RLIMIT_AS, &old);
	mp_tally_clear(&t);
	CHECK(mp_tally_words(&t, "a b a", 5));
	CHECK_EQ(t.total, 3);
	CHECK_EQ(t.size, 2);
	mp_tally_free(&t);
}

int main(void)
{
	alarm(120);
	srandom((unsigned)mp_now());
	counts();
	sent();
	strange();
	edges();
	if (!H_TSAN && !H_ASAN)  /* they need much, and say themselves when there is none */
		nothing_left();
	return 0;
}
