/* Killed at every change of put, get, lease, release, close, peek: what was
 * put stays, in order; at most what a killed get had in hand is gone.
 *
 * SPDX-License-Identifier: MIT */
#include "killer.h"

enum { PRE = 1, OP = 1001, SECOND = 5001, SURVIVOR = 9001, IDS = 9100 };

enum kind { PUT, GET, LEASE, CLOSE, PEEK, PUTGET, CHURN };

static struct config {
	const char *name;
	enum kind kind;
	uint32_t n;          /* items of the operation */
	size_t len;
	uint32_t skip;       /* cells used up before */
	uint32_t pre;        /* items there before */
	size_t prelen;
	uint64_t cap;
	bool drop;           /* close: with what is in it */
	double seconds;
	bool all;            /* use takes all there is first */
} cfg;

static mp_handle handle;
static mp_queue *q;

static void setup(mp_self *me)
{
	q = h_queue(me, cfg.cap, &handle);
	for (uint32_t i = 0; i < cfg.skip; i++) {
		h_put(me, q, 7, 8);
		CHECK_EQ(h_get(me, q), 7);
	}
	for (uint32_t i = 0; i < cfg.pre; i++)
		h_put(me, q, PRE + i, cfg.prelen ? cfg.prelen : 16);
}

static void op_put(mp_self *me, kl_ctl *ctl, uint64_t id)
{
	mp_out outs[128];
	uint32_t n = 0;
	for (uint32_t i = 0; i < cfg.n; i++)
		h_make(me, id + i, cfg.len, &outs[i]);
	int rc = mp_queue_put(me, q, outs, cfg.n, mp_deadline(0.001), &n);
	ctl->reported = n;
	CHECK(rc == 0 ? n == cfg.n : rc == MP_TIMEOUT || rc == MP_CLOSED);
	for (uint32_t i = n; i < cfg.n; i++)
		mp_out_drop(me, &outs[i]);
}

static void op_get(mp_self *me, kl_ctl *ctl)
{
	mp_in ins[128];
	uint32_t n = 0;
	int rc = mp_queue_get(me, q, ins, cfg.n, mp_deadline(0.001), &n);
	CHECK(rc == 0 || rc == MP_TIMEOUT || rc == MP_CLOSED);
	for (uint32_t i = 0; i < n; i++) {
		kl_note(ctl, h_read(&ins[i]));
		mp_in_done(me, &ins[i]);
	}
}

static void op(mp_self *me, kl_ctl *ctl)
{
	mp_in ins[128];
	uint32_t n = 0;
	unsigned char *data;
	size_t len;
	switch (cfg.kind) {
	case PUT:
		op_put(me, ctl, OP);
		break;
	case GET:
		op_get(me, ctl);
		break;
	case PUTGET:
		op_put(me, ctl, OP);
		op_get(me, ctl);
		break;
	case CHURN:  /* several times around, over segments */
		for (uint32_t i = 0; i < 4; i++) {
			op_put(me, ctl, OP + i * cfg.n);
			op_get(me, ctl);
		}
		break;
	case LEASE:
		CHECK_EQ(mp_queue_lease(me, q, ins, cfg.n, 0, &n) & ~MP_EMPTY, 0);
		for (uint32_t i = 0; i < n; i++)
			h_read(&ins[i]);
		mp_queue_release(me);
		break;
	case CLOSE:
		mp_queue_close(me, q, cfg.drop);
		break;
	case PEEK:
		if (mp_queue_peek(me, q, &data, &len) == 0)
			free(data);
		break;
	}
}

static void use(mp_self *me, kl_ctl *ctl)
{
	uint64_t id = ctl == kl_ctl_get(7) ? SURVIVOR : SECOND;
	mp_out out;
	uint32_t n = 0;
	uint64_t got;
	/* First, without a latch of the producers. */
	while (cfg.all && (got = h_get(me, q)) != 0)
		kl_note(ctl, got);
	h_make(me, id, 100, &out);
	int rc = mp_queue_put(me, q, &out, 1, mp_deadline(cfg.cap ? 0.001 : 10), &n);
	if (rc == 0)
		ctl->reported = 1;
	else {
		CHECK(rc == MP_CLOSED || (cfg.cap && rc == MP_TIMEOUT));
		mp_out_drop(me, &out);
	}
	if ((got = h_get(me, q)) != 0)
		kl_note(ctl, got);
}

static unsigned char seen[IDS];

/* What one producer put comes out in its order. */
static void in_order(const uint64_t *ids, uint32_t n, const kl_fate *f)
{
	uint64_t last[10] = { 0 };
	bool all = !f->alive && !f->second && !f->used_first;
	for (uint32_t i = 0; i < n; i++) {
		unsigned who = all ? 0 : (unsigned)(ids[i] / 1000);
		if (cfg.kind == LEASE && (f->alive || f->second || f->used_first))
			continue;
		CHECK(ids[i] > last[who]);
		last[who] = ids[i];
	}
}

static void check(mp_self *me, const kl_fate *f)
{
	static uint64_t ids[IDS];
	uint32_t n = h_drain(me, q, ids, IDS), lost = 0;
	bool putting = cfg.kind == PUT || cfg.kind == PUTGET || cfg.kind == CHURN;
	uint32_t nput = !putting ? 0 : cfg.kind == CHURN ? 4 * cfg.n : cfg.n;
	memset(seen, 0, sizeof seen);
	in_order(ids, n, f);
	for (uint32_t i = 0; i < n; i++)
		kl_tally(seen, IDS, ids[i]);
	for (unsigned c = 0; c < 8; c = c ? c + 6 : 1)
		for (uint32_t i = 0; i < kl_ctl_get(c)->n; i++)
			if (c != 1 || f->second)
				kl_tally(seen, IDS, kl_ctl_get(c)->note[i]);
	if (!f->done && cfg.kind != LEASE && cfg.kind != PUT)
		lost += cfg.n;   /* it had taken them, and was killed */
	if (f->second_used && !f->second_done)
		lost += 1;
	uint32_t missing = cfg.pre - kl_present(seen, PRE, cfg.pre);
	if (cfg.drop)
		lost += cfg.pre + 2;
	if (f->done && !cfg.cap && nput)
		CHECK(kl_present(seen, OP, nput) + lost >= nput);
	if (kl_ctl_get(0)->reported && nput && cfg.kind != CHURN)
		CHECK(kl_present(seen, OP, nput) + lost >= kl_ctl_get(0)->reported);
	if (nput && cfg.kind == PUT && !lost)  /* the first ones, no holes */
		for (uint32_t i = 1; i < nput; i++)
			CHECK(seen[OP + i] <= seen[OP + i - 1]);
	CHECK(missing <= lost);
	if (kl_ctl_get(7)->reported)
		CHECK(seen[SURVIVOR] || cfg.drop);
	if (f->second_used && f->second_done && kl_ctl_get(1)->reported)
		CHECK(seen[SECOND] || lost);
	CHECK(h_get(me, q) == 0);
	mp_queue_stat st;
	mp_queue_stats(me, q, &st);
	CHECK_EQ(st.waiting, 0);
	CHECK_EQ(st.leased, 0);
	if (cfg.kind != CLOSE) {  /* and it still works, over a segment's end */
		for (uint32_t i = 0; i < 70; i++) {
			h_put(me, q, 20 + i, 8);
			CHECK_EQ(h_get(me, q), 20 + i);
		}
	} else if (f->done) {
		CHECK(mp_queue_closed(q));
	}
	mp_obj_drop(me, handle);
}

static const struct config configs[] = {
	{ "put inline", PUT, 1, 16, 0, 2, 0, 0, 0, .5, 0 },
	{ "put three inline", PUT, 3, 48, 0, 0, 0, 0, 0, .5, 0 },
	{ "put a block", PUT, 1, 200, 0, 2, 0, 0, 0, .5, 0 },
	{ "put three blocks", PUT, 3, 1000, 0, 0, 0, 0, 0, .7, 0 },
	{ "put a large block", PUT, 1, 100000, 0, 0, 0, 0, 0, .5, 0 },
	{ "put over a segment's end", PUT, 3, 16, 62, 1, 0, 0, 0, .8, 0 },
	{ "put blocks over a segment's end", PUT, 3, 100, 63, 0, 0, 0, 0, .8, 0 },
	{ "put behind a full segment", PUT, 1, 16, 0, 64, 0, 0, 0, .5, 0 },
	{ "put, all taken", PUT, 3, 100, 62, 1, 0, 0, 0, .8, true },
	{ "put behind a full segment, all taken", PUT, 2, 16, 0, 64, 0, 0, 0, .8, true },
	{ "put into a full queue", PUT, 2, 200, 0, 2, 0, 2, 0, .5, 0 },
	{ "put into one place", PUT, 2, 200, 0, 2, 0, 3, 0, .5, 0 },
	{ "get inline", GET, 1, 0, 0, 3, 0, 0, 0, .5, 0 },
	{ "get four", GET, 4, 0, 0, 6, 0, 0, 0, .5, 0 },
	{ "get a block", GET, 1, 0, 0, 3, 200, 0, 0, .5, 0 },
	{ "get three blocks", GET, 3, 0, 0, 5, 500, 0, 0, .5, 0 },
	{ "get a large block", GET, 1, 0, 0, 2, 100000, 0, 0, .5, 0 },
	{ "get over a segment's end", GET, 4, 0, 62, 6, 0, 0, 0, .8, 0 },
	{ "get blocks over a segment's end", GET, 4, 0, 62, 6, 100, 0, 0, .8, 0 },
	{ "get the last of a segment", GET, 1, 0, 63, 1, 0, 0, 0, .5, 0 },
	{ "get from an empty queue", GET, 1, 0, 0, 0, 0, 0, 0, .5, 0 },
	{ "get from a full queue", GET, 1, 0, 0, 2, 200, 2, 0, .5, 0 },
	{ "put and get", PUTGET, 2, 100, 60, 3, 100, 0, 0, .8, 0 },
	{ "put and get many", CHURN, 10, 16, 50, 0, 0, 0, 0, 1, 0 },
	{ "lease and release", LEASE, 3, 0, 0, 5, 0, 0, 0, .5, 0 },
	{ "get, all taken", GET, 4, 0, 62, 6, 100, 0, 0, .8, true },
	{ "lease and release, all taken", LEASE, 3, 0, 60, 8, 100, 0, 0, .8, true },
	{ "lease and release blocks", LEASE, 4, 0, 62, 5, 100, 0, 0, .5, 0 },
	{ "close", CLOSE, 0, 0, 0, 3, 100, 0, 0, .3, 0 },
	{ "close and drop", CLOSE, 0, 0, 62, 5, 100, 0, true, .5, 0 },
	{ "peek", PEEK, 0, 0, 0, 3, 100, 0, 0, .3, 0 },
};

static void play_all(mp_self *me)
{
	for (size_t i = 0; i < sizeof configs / sizeof *configs; i++) {
		cfg = configs[i];
		kl_scene s = { cfg.name, setup, op, use, check, false };
		kl_play(me, &s, cfg.seconds * .35);
	}
}

int main(void)
{
	return kl_main(&(kl_plan){ .more = play_all });
}
