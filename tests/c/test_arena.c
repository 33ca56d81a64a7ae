/* Blocks: every size, exhaustion and recovery, giving back, many at once.
 *
 * SPDX-License-Identifier: MIT */
#include "harness.h"

#include <sys/wait.h>

enum { MEMORY = 4 << 20, HELD = 64 };

static mp_usage before;

static void sizes(mp_self *me)
{
	static const uint64_t n[] = { 1, 64, 128, 129, 256, 1000, 4096, 4160, 4161,
		16384, 32768, 32769, 65536, 65537, 1 << 20 };
	for (size_t i = 0; i < sizeof n / sizeof *n; i++) {
		int rc = -1;
		h_now("size %lu", (unsigned long)n[i]);
		uint64_t b = mp_alloc(me, n[i], 0, &rc);
		CHECK(b != 0 && rc == 0);
		CHECK_EQ(b % MP_BLOCK_ALIGN, 0);
		CHECK(mp_block_size(me->shm, b) >= n[i]);
		memset(mp_at(me->shm, b), 0x5a, n[i]);
		mp_free(me, b);
	}
	h_audit(me, &before);
}

static void exhaustion(mp_self *me, uint64_t size)
{
	static uint64_t b[MEMORY / 128 + 1];
	uint32_t n = 0, again = 0;
	int rc = 0;
	h_now("exhaustion by %lu", (unsigned long)size);
	while ((b[n] = mp_alloc(me, size, 0, &rc)) != 0)
		n++;
	CHECK_EQ(rc, MP_NOMEM);
	CHECK(n * size > MEMORY / 3);  /* not before a good part was used */
	for (uint32_t i = 0; i < n; i++)
		*(uint64_t *)mp_at(me->shm, b[i]) = i;
	for (uint32_t i = 0; i < n; i++)
		CHECK_EQ(*(uint64_t *)mp_at(me->shm, b[i]), i);
	mp_free(me, b[n / 2]);
	CHECK((b[n / 2] = mp_alloc(me, size, 0, &rc)) != 0);
	for (uint32_t i = 0; i < n; i++)
		mp_free(me, b[i]);
	/* Another size now: the memory is nobody's for good. */
	uint64_t big = mp_alloc(me, MEMORY / 2, 0, &rc);
	CHECK(big != 0);
	mp_free(me, big);
	while ((b[again] = mp_alloc(me, size, 0, &rc)) != 0)
		again++;
	CHECK_EQ(again, n);
	while (again > 0)
		mp_free(me, b[--again]);
	h_audit(me, &before);
}

static void limits(mp_self *me)
{
	int rc = 0;
	mp_usage u;
	h_now("limits");
	CHECK(mp_alloc(me, MEMORY + 1, 0, &rc) == 0);
	CHECK_EQ(rc, MP_TOOBIG);
	uint64_t all = mp_alloc(me, MEMORY, 0, &rc);
	CHECK(all != 0);
	CHECK(mp_alloc(me, 1, 0, &rc) == 0);
	CHECK_EQ(rc, MP_NOMEM);
	mp_usage_of(me->shm, &u);
	CHECK_EQ(u.limit, MEMORY);
	CHECK_EQ(u.allocated, MEMORY);
	mp_free(me, all);
	h_audit(me, &before);
}

/* Random; each block is filled with its owner's pattern and checked. */
static void churn(mp_self *me, uint32_t turns)
{
	uint64_t b[HELD] = { 0 };
	uint32_t size[HELD];
	for (uint32_t t = 0; t < turns; t++) {
		uint32_t i = h_random() % HELD;
		unsigned char fill = (unsigned char)(me->aid * 31 + i);
		if (b[i]) {
			unsigned char *p = mp_at(me->shm, b[i]);
			CHECK_EQ(p[0], fill);
			CHECK(memcmp(p, p + 1, size[i] - 1) == 0);
			mp_free(me, b[i]);
			b[i] = 0;
			continue;
		}
		int rc;
		uint64_t r = h_random();
		size[i] = r % 8 == 0 ? 1 + (r >> 8) % 200000 : 2 + (r >> 8) % 5000;
		b[i] = mp_alloc(me, size[i], 0, &rc);
		if (b[i])
			memset(mp_at(me->shm, b[i]), fill, size[i]);
		else
			CHECK_EQ(rc, MP_NOMEM);
		if (r % 97 == 0)
			mp_trim(me, r % 3);
	}
	for (uint32_t i = 0; i < HELD; i++)
		if (b[i])
			mp_free(me, b[i]);
}

static void parallel(mp_self *me)
{
	enum { N = 4 };
	pid_t pid[N];
	mp_aid aid[N];
	h_now("L01 L03: random sizes, several processes; then all is free");
	for (int i = 0; i < N; i++) {
		uint64_t seed = h_random();
		pid[i] = h_fork(me, &aid[i]);
		if (pid[i] == 0) {
			h_seed(seed);
			churn(me, h_prove() ? 2000000 : 20000);
			h_exit(0);
		}
	}
	for (int i = 0; i < N; i++)
		CHECK_EQ(h_join(me, pid[i], aid[i]), 0);
	h_audit(me, &before);
}

/* A full arena: who waits goes on when another frees. */
static void waiting(mp_self *me)
{
	int rc;
	mp_aid aid;
	h_now("waiting for memory");
	uint64_t all = mp_alloc(me, MEMORY, 0, &rc);
	CHECK(all != 0);
	CHECK(mp_memory_wait(me, mp_deadline(.01)) != MP_INTERRUPTED);
	pid_t pid = h_fork(me, &aid);
	if (pid == 0) {
		uint64_t b;
		while ((b = mp_alloc(me, 100, 0, &rc)) == 0)
			CHECK_EQ(mp_memory_wait(me, mp_deadline(10)), 0);
		mp_free(me, b);
		h_exit(0);
	}
	usleep(20000);
	mp_free(me, all);
	CHECK_EQ(h_join(me, pid, aid), 0);
	h_audit(me, &before);
}

int main(void)
{
	mp_shm shm;
	mp_self me;
	h_deadline(30, 600);
	h_seed(4);
	h_open(&shm, &me, MEMORY, 16);
	h_settle(&me, &before);
	CHECK_EQ(before.blocks, 0);
	CHECK_EQ(before.allocated, 0);
	sizes(&me);
	static const uint64_t some[] = { 100, 500, 4160, 9000, 30000, 65536, 100000 };
	for (size_t i = 0; i < sizeof some / sizeof *some; i++)
		exhaustion(&me, some[i]);
	limits(&me);
	h_now("churn");
	churn(&me, 50000);
	h_audit(&me, &before);
	if (!H_TSAN) {
		parallel(&me);
		waiting(&me);
	}
	return h_done("all sizes, exhaustion, limits, churn by 4 processes");
}
