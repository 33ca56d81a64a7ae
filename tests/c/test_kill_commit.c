/* Killed at every change of lease + commit over several queues: either all
 * inputs are back and no output is there, or all outputs and no input.
 *
 * SPDX-License-Identifier: MIT */
#include "killer.h"

enum { IN = 1, B0 = 1001, C0 = 2001, PREB = 3001, SECOND = 5001,
       SURVIVOR = 9001,
       CHURN = 4001, IDS = 9100, OUTS = 70 };

static struct config {
	const char *name;
	uint32_t lease;             /* inputs taken */
	uint32_t inputs;            /* inputs there */
	size_t inlen;
	uint32_t nb, nc;            /* outputs */
	size_t blen, clen;
	uint32_t skipa, skipb, skipc;
	uint32_t preb;
	uint64_t capb;
	double seconds;
	bool churn;                 /* use goes many segments around in qb */
} cfg;

static mp_handle ha, hb, hc;
static mp_queue *qa, *qb, *qc;

static mp_queue *advanced(mp_self *me, uint64_t cap, uint32_t skip, mp_handle *h)
{
	mp_queue *q = h_queue(me, cap, h);
	for (uint32_t i = 0; i < skip; i++) {
		h_put(me, q, 7, 8);
		CHECK_EQ(h_get(me, q), 7);
	}
	return q;
}

static void setup(mp_self *me)
{
	qa = advanced(me, 0, cfg.skipa, &ha);
	qb = advanced(me, cfg.capb, cfg.skipb, &hb);
	qc = advanced(me, 0, cfg.skipc, &hc);
	for (uint32_t i = 0; i < cfg.inputs; i++)
		h_put(me, qa, IN + i, cfg.inlen);
	for (uint32_t i = 0; i < cfg.preb; i++)
		h_put(me, qb, PREB + i, 100);
}

static void op(mp_self *me, kl_ctl *ctl)
{
	mp_in ins[OUTS];
	mp_out b[OUTS], c[OUTS];
	uint32_t n = 0;
	if (cfg.lease)
		CHECK_EQ(mp_queue_lease(me, qa, ins, cfg.lease, 0, &n) & ~MP_EMPTY, 0);
	for (uint32_t i = 0; i < n; i++)
		kl_note(ctl, h_read(&ins[i]));
	for (uint32_t i = 0; i < cfg.nb; i++)
		h_make(me, B0 + i, cfg.blen, &b[i]);
	for (uint32_t i = 0; i < cfg.nc; i++)
		h_make(me, C0 + i, cfg.clen, &c[i]);
	mp_batch batches[2] = { { qb, b, cfg.nb }, { qc, c, cfg.nc } };
	uint32_t nbatches = cfg.nc ? 2 : cfg.nb ? 1 : 0;
	int rc = mp_queue_commit(me, batches, nbatches, mp_deadline(.002));
	if (rc == 0) {
		ctl->reported = 1;
		return;
	}
	CHECK_EQ(rc, MP_TIMEOUT);
	CHECK(cfg.capb != 0);
	mp_queue_release(me);
	for (uint32_t i = 0; i < cfg.nb; i++)
		mp_out_drop(me, &b[i]);
	for (uint32_t i = 0; i < cfg.nc; i++)
		mp_out_drop(me, &c[i]);
}

static void take(mp_self *me, kl_ctl *ctl, mp_queue *q)
{
	uint64_t got = h_get(me, q);
	if (got && got != CHURN)
		kl_note(ctl, got);
}

static void use(mp_self *me, kl_ctl *ctl)
{
	uint64_t id = ctl == kl_ctl_get(7) ? SURVIVOR : SECOND;
	mp_out out;
	uint32_t n = 0;
	h_make(me, id, 100, &out);
	int rc = mp_queue_put(me, qb, &out, 1, mp_deadline(cfg.capb ? 0.001 : 10), &n);
	if (rc == 0) {
		ctl->reported = 1;
	} else {
		CHECK(cfg.capb && rc == MP_TIMEOUT);
		mp_out_drop(me, &out);
	}
	/* The inputs' segment is retired, and becomes one of qb's. */
	for (uint32_t i = 0; cfg.churn && i < 2; i++) {
		take(me, ctl, qa);
		h_put(me, qa, CHURN, 100);
	}
	for (uint32_t i = 0; cfg.churn && i < 16 * MP_CELLS; i++)
		h_put(me, qb, CHURN, 100);
	take(me, ctl, qa);
	take(me, ctl, qb);
	take(me, ctl, qc);
}

static unsigned char seen[IDS];

static void tally(uint64_t id)
{
	if (id != CHURN)
		kl_tally(seen, IDS, id);
}

static void drain(mp_self *me, mp_queue *q, bool ordered)
{
	static uint64_t ids[4 * IDS];
	uint32_t n = h_drain(me, q, ids, 4 * IDS);
	uint64_t last[10] = { 0 };
	mp_queue_stat st;
	for (uint32_t i = 0; i < n; i++) {
		unsigned who = (unsigned)(ids[i] / 1000);
		tally(ids[i]);
		CHECK(!ordered || ids[i] > last[who] || ids[i] == CHURN);
		last[who] = ids[i];
	}
	mp_queue_stats(me, q, &st);
	CHECK_EQ(st.waiting, 0);
	CHECK_EQ(st.leased, 0);
}

static void check(mp_self *me, const kl_fate *f)
{
	bool disturbed = f->used_first || f->alive || f->second;
	uint32_t lost = f->second_used && !f->second_done;
	memset(seen, 0, sizeof seen);
	drain(me, qa, !disturbed);
	drain(me, qb, true);
	drain(me, qc, true);
	for (unsigned c = 1; c < 8; c = c == 1 ? 7 : 8)
		for (uint32_t i = 0; i < kl_ctl_get(c)->n; i++)
			if (c != 1 || f->second)
				tally(kl_ctl_get(c)->note[i]);
	kl_ctl *mine = kl_ctl_get(0);
	uint32_t outs = kl_present(seen, B0, cfg.nb) + kl_present(seen, C0, cfg.nc);
	bool committed = mine->reported || outs;
	if (cfg.lease && kl_present(seen, IN, cfg.inputs) + lost < cfg.inputs)
		committed = true;
	if (committed) {
		for (uint32_t i = 0; i < mine->n; i++)
			CHECK_EQ(seen[mine->note[i]], 0);
		CHECK(outs + lost >= cfg.nb + cfg.nc);
		CHECK(kl_present(seen, IN, cfg.inputs) + mine->n + lost >= cfg.inputs);
		if (cfg.lease && !f->alive)
			CHECK(mine->n > 0);
	} else {
		CHECK_EQ(outs, 0);
		CHECK(kl_present(seen, IN, cfg.inputs) + lost >= cfg.inputs);
		CHECK(!f->done || cfg.capb);
	}
	CHECK(kl_present(seen, PREB, cfg.preb) + lost >= cfg.preb);
	if (kl_ctl_get(7)->reported)
		CHECK(seen[SURVIVOR]);
	if (f->second_used && f->second_done && kl_ctl_get(1)->reported)
		CHECK(seen[SECOND]);
	for (uint32_t i = 0; i < 70; i++) {  /* and they still work */
		h_put(me, qb, 20 + i, 8);
		h_put(me, qc, 20 + i, 100);
		h_put(me, qa, 20 + i, 100);
		CHECK_EQ(h_get(me, qb), 20 + i);
		CHECK_EQ(h_get(me, qc), 20 + i);
		CHECK_EQ(h_get(me, qa), 20 + i);
	}
	mp_obj_drop(me, ha);
	mp_obj_drop(me, hb);
	mp_obj_drop(me, hc);
}

static const struct config configs[] = {
	{ "one to one", 1, 3, 16, 1, 0, 16, 0, 0, 0, 0, 0, 0, 1, 0 },
	{ "one to one and one", 1, 3, 16, 1, 1, 16, 40, 0, 0, 0, 2, 0, 1, 0 },
	{ "one to none", 1, 3, 200, 0, 0, 0, 0, 0, 0, 0, 0, 0, .6, 0 },
	{ "none to two and one", 0, 0, 8, 2, 1, 16, 200, 0, 0, 0, 0, 0, 1, 0 },
	{ "two to three and two, blocks", 2, 4, 100, 3, 2, 100, 300, 0, 0, 0, 1, 0, 1.5, 0 },
	{ "eight to eight and eight", 8, 10, 16, 8, 8, 16, 100, 0, 0, 0, 0, 0, 1.5, 0 },
	{ "eight over all segments' ends", 8, 10, 16, 8, 8, 16, 16, 60, 60, 60, 0, 0, 2, 0 },
	{ "two blocks over all ends", 2, 3, 100, 2, 2, 100, 100, 63, 63, 63, 0, 0, 1.5, 0 },
	{ "one at a segment's end", 1, 1, 16, 1, 1, 16, 16, 63, 64, 63, 0, 0, 1, 0 },
	{ "one to many, two segments on", 1, 2, 16, 66, 1, 16, 16, 0, 63, 0, 0, 0, 2, 0 },
	{ "large outputs", 1, 2, 70000, 1, 1, 70000, 140000, 0, 0, 0, 0, 0, 1, 0 },
	{ "the segment recycled", 2, 2, 100, 1, 1, 100, 100, 62, 0, 0, 0, 0, 1, true },
	{ "to a nearly full queue", 2, 3, 16, 4, 1, 16, 100, 0, 0, 0, 2, 3, 1, 0 },
	{ "to a full queue", 2, 3, 100, 2, 1, 100, 100, 0, 0, 0, 2, 2, 1, 0 },
};

static void play_all(mp_self *me)
{
	for (size_t i = 0; i < sizeof configs / sizeof *configs; i++) {
		cfg = configs[i];
		kl_scene s = { cfg.name, setup, op, use, check, cfg.churn };
		kl_play(me, &s, cfg.seconds * .4);
	}
}

int main(void)
{
	return kl_main(&(kl_plan){ .more = play_all, .memory = 4 << 20 });
}
