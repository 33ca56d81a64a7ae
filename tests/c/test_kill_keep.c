/* Killed at every change of lease, keep, claim and commits between them: each
 * input is afterwards either there, once, or what was made of it is. What was
 * kept goes back as if it had not been delivered; what was delivered before is
 * leased by itself.
 *
 * SPDX-License-Identifier: MIT */
#include "killer.h"

enum { IN = 1, SECOND = 100, SURVIVOR, OUT = 200, IDS = 300, MOST = 16 };

/* How far a turn goes; ctl->reported tells how far one came. */
enum stage { LEASED = 1, KEPT, FIRST, CLAIMED, BOTH, GIVEN };

static struct config {
	const char *name;
	enum stage to;
	uint32_t n;          /* inputs */
	uint32_t before;     /* of these were delivered before */
	uint32_t skip;       /* cells used up before, in both queues */
	size_t inlen, outlen;
	double seconds;
} cfg;

static mp_handle ha, hb;
static mp_queue *qa, *qb;

static void setup(mp_self *me)
{
	mp_in ins[MOST];
	uint32_t n;
	CHECK_EQ(mp_queue_create(me, 0, MP_Q_COUNT_LEASED | MP_Q_DRAIN_ALL, &ha), 0);
	qa = mp_queue_body(me->shm, ha);
	qb = h_queue(me, 0, &hb);
	for (uint32_t i = 0; i < cfg.skip; i++) {
		h_put(me, qa, 7, 8);
		CHECK_EQ(h_get(me, qa), 7);
		h_put(me, qb, 7, 8);
		CHECK_EQ(h_get(me, qb), 7);
	}
	for (uint32_t i = 0; i < cfg.n; i++) {
		h_put(me, qa, IN + i, cfg.inlen);
		if (i + 1 != cfg.before)
			continue;
		CHECK_EQ(mp_queue_lease(me, qa, ins, MOST, 0, &n), 0);
		mp_queue_desert(me);
	}
}

/* Those with an even number are kept. */
static bool keeps(uint64_t id) { return id % 2 == 0; }

/* What is made of those that are kept, or of the others. */
static void commit(mp_self *me, const uint64_t *ids, uint32_t n, bool kept)
{
	mp_out outs[MOST];
	mp_batch b = { qb, outs, 0 };
	for (uint32_t i = 0; i < n; i++)
		if (keeps(ids[i]) == kept)
			h_make(me, OUT + ids[i], cfg.outlen, &outs[b.n++]);
	CHECK_EQ(mp_queue_commit(me, &b, 1, mp_deadline(10)), 0);
}

/* Everything that is there, in leases as they come. */
static uint32_t lease_all(mp_self *me, kl_ctl *ctl, uint64_t *ids, uint64_t *first)
{
	mp_in ins[MOST];
	uint32_t all = 0, n;
	while (mp_queue_lease(me, qa, ins, MOST, 0, &n) == MP_OK) {
		if (!all)
			*first = ins[0].lease;
		for (uint32_t i = 0; i < n; i++) {
			CHECK_EQ(ins[i].lease, *first + all);
			CHECK(n == 1 || ins[i].tries == 1);
			ids[all++] = h_read(&ins[i]);
			kl_note(ctl, ids[all - 1]);
		}
	}
	return all;
}

static void op(mp_self *me, kl_ctl *ctl)
{
	uint64_t ids[MOST], first = 0;
	uint32_t n = lease_all(me, ctl, ids, &first);
	ctl->reported = LEASED;
	for (uint32_t i = 0; i < n; i++)
		if (keeps(ids[i]))
			CHECK_EQ(mp_queue_keep(me, first + i, 1), 0);
	ctl->reported = KEPT;
	if (cfg.to >= FIRST) {
		commit(me, ids, n, false);
		ctl->reported = FIRST;
	}
	for (uint32_t i = n; cfg.to >= CLAIMED && i-- > 0;)
		if (keeps(ids[i]))
			CHECK_EQ(mp_queue_claim(me, first + i, 1), 0);
	if (cfg.to >= CLAIMED)
		ctl->reported = CLAIMED;
	if (cfg.to == BOTH)
		commit(me, ids, n, true);
	else if (cfg.to == GIVEN)
		mp_queue_release(me);
	ctl->reported = cfg.to;
}

/* Takes one of each for good. */
static void use(mp_self *me, kl_ctl *ctl)
{
	uint64_t id;
	h_put(me, qb, ctl == kl_ctl_get(7) ? SURVIVOR : SECOND, 100);
	if ((id = h_get(me, qa)) != 0)
		kl_note(ctl, id);
	if ((id = h_get(me, qb)) != 0)
		kl_note(ctl, id);
	ctl->reported = 1;
}

static unsigned char seen[IDS];

/* How often one that came back was delivered by the first, who had come so far. */
static void check_count(uint64_t id, unsigned delivered, const kl_fate *f)
{
	uint64_t at = kl_ctl_get(0)->reported;
	if (at == GIVEN || (at == cfg.to && at <= FIRST && keeps(id)))
		CHECK_EQ(delivered, 0);
	else if (at == KEPT && cfg.to == KEPT && !f->alive)
		CHECK_EQ(delivered, 1);
}

/* What is left of the inputs. A user that was killed may have counted one, too. */
static void drain(mp_self *me, const kl_fate *f, uint32_t lost)
{
	mp_in in;
	uint32_t n;
	while (mp_queue_get(me, qa, &in, 1, 0, &n) == MP_OK) {
		uint64_t id = h_read(&in);
		unsigned delivered = in.tries - 1 - (id < IN + cfg.before);
		kl_tally(seen, IDS, id);
		CHECK(delivered <= 1 + lost);
		if (!lost)
			check_count(id, delivered, f);
		mp_in_done(me, &in);
	}
	while (mp_queue_get(me, qb, &in, 1, 0, &n) == MP_OK) {
		kl_tally(seen, IDS, h_read(&in));
		mp_in_done(me, &in);
	}
}

/* All results of a commit are there, or none. */
static void check_group(bool kept, bool must, uint32_t lost)
{
	uint32_t n = 0, results = 0;
	for (uint32_t i = 0; i < kl_ctl_get(0)->n; i++) {
		uint64_t id = kl_ctl_get(0)->note[i];
		n += keeps(id) == kept;
		results += keeps(id) == kept && seen[OUT + id];
	}
	CHECK(results == 0 ? !must || n <= lost : results + lost >= n);
}

static void check(mp_self *me, const kl_fate *f)
{
	uint32_t lost = f->second_used && !f->second_done, missing = 0;
	uint64_t at = kl_ctl_get(0)->reported;
	mp_queue_stat st;
	memset(seen, 0, sizeof seen);
	drain(me, f, lost);
	for (unsigned c = 1; c < 8; c += 6)
		for (uint32_t i = 0; i < kl_ctl_get(c)->n; i++)
			if (c != 1 || f->second_used)
				kl_tally(seen, IDS, kl_ctl_get(c)->note[i]);
	for (uint64_t id = IN; id < IN + cfg.n; id++) {
		CHECK(!seen[id] || !seen[OUT + id]);
		missing += !seen[id] && !seen[OUT + id];
	}
	CHECK(missing <= 2 * lost);  /* taken by a user that was killed */
	check_group(false, at >= FIRST, lost);
	check_group(true, at == BOTH, lost);
	if (kl_ctl_get(7)->reported)
		CHECK(seen[SURVIVOR]);
	mp_queue_stats(me, qa, &st);
	CHECK_EQ(st.waiting, 0);
	CHECK_EQ(st.leased, 0);
	for (uint32_t i = 0; i < 70; i++) {  /* and it still works, over a segment's end */
		mp_in in;
		uint32_t n;
		h_put(me, qa, IN, 100);
		CHECK_EQ(mp_queue_lease(me, qa, &in, 1, 0, &n), 0);
		CHECK_EQ(mp_queue_keep(me, in.lease, 1), 0);
		CHECK_EQ(mp_queue_claim(me, in.lease, 1), 0);
		CHECK_EQ(mp_queue_commit(me, NULL, 0, 0), 0);
	}
	mp_obj_drop(me, ha);
	mp_obj_drop(me, hb);
}

static const struct config configs[] = {
	{ "keep some", KEPT, 5, 0, 0, 100, 16, .2 },
	{ "keep and commit", FIRST, 4, 0, 0, 16, 100, .3 },
	{ "keep and commit, blocks over segments", FIRST, 4, 0, 62, 100, 100, .4 },
	{ "claim and commit", BOTH, 2, 0, 0, 16, 16, .3 },
	{ "claim and commit, blocks over segments", BOTH, 4, 0, 62, 100, 100, .5 },
	{ "delivered before", BOTH, 4, 2, 62, 16, 100, .4 },
	{ "given back", GIVEN, 4, 0, 0, 16, 16, .3 },
};

static void play_all(mp_self *me)
{
	for (size_t i = 0; i < sizeof configs / sizeof *configs; i++) {
		cfg = configs[i];
		kl_scene s = { cfg.name, setup, op, use, check, false };
		kl_play(me, &s, cfg.seconds * .25);
	}
}

int main(void)
{
	return kl_main(&(kl_plan){ .more = play_all, .memory = 4 << 20 });
}
