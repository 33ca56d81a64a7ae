/* Killed at every change of get, task_done, join and close of a JoinableQueue:
 * each item is finished once or comes back, and is then told as redelivered.
 *
 * SPDX-License-Identifier: MIT */
#include "killer.h"

enum { PRE = 1, SECOND = 150, SURVIVOR, HELD, IDS = 200 };

enum kind { WORK, JOIN, CLOSE, LEAVE };

static struct config {
	const char *name;
	enum kind kind;
	uint32_t n;          /* items taken by the operation */
	uint32_t done;       /* of them finished */
	uint32_t skip;       /* cells used up before */
	uint32_t pre;        /* items there before */
	size_t len;
	double seconds;
	bool held;           /* another has the very first in work */
} cfg;

static mp_handle handle;
static mp_queue *q;
static mp_self other;

/* Takes one and finishes it: its number, 0 if there is none. */
static uint64_t work_one(mp_self *me, uint8_t *tries)
{
	mp_in in;
	uint32_t n;
	if (mp_queue_get(me, q, &in, 1, 0, &n) != MP_OK)
		return 0;
	uint64_t id = h_read(&in);
	if (tries)
		*tries = in.tries;
	mp_in_done(me, &in);
	CHECK_EQ(mp_queue_task_done(me, q), 0);
	return id;
}

static void setup(mp_self *me)
{
	CHECK_EQ(mp_queue_create(me, 0, MP_Q_JOINABLE, &handle), 0);
	q = mp_queue_body(me->shm, handle);
	if (cfg.held) {
		mp_in in;
		uint32_t n;
		h_put(me, q, HELD, 16);
		h_thread_self(me, &other);
		CHECK_EQ(mp_queue_get(&other, q, &in, 1, 0, &n), 0);
	}
	for (uint32_t i = 0; i < cfg.skip; i++) {
		h_put(me, q, IDS - 1, 8);
		CHECK_EQ(work_one(me, NULL), IDS - 1);
	}
	for (uint32_t i = 0; i < cfg.pre; i++)
		h_put(me, q, PRE + i, cfg.len ? cfg.len : 16);
}

/* reported: two for each task_done that returned, one more during one. */
static void finish(mp_self *me, kl_ctl *ctl, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		ctl->reported = ctl->reported + 1;
		CHECK_EQ(mp_queue_task_done(me, q), 0);
		ctl->reported = ctl->reported + 1;
	}
}

static uint32_t take(mp_self *me, kl_ctl *ctl, uint32_t max)
{
	mp_in ins[128];
	uint32_t n = 0;
	int rc = mp_queue_get(me, q, ins, max, 0, &n);
	CHECK(rc == MP_OK || rc == MP_EMPTY || rc == MP_CLOSED);
	for (uint32_t i = 0; i < n; i++) {
		kl_note(ctl, h_read(&ins[i]));
		mp_in_done(me, &ins[i]);
	}
	return n;
}

static void op(mp_self *me, kl_ctl *ctl)
{
	uint32_t n;
	int rc;
	switch (cfg.kind) {
	case WORK:
		n = take(me, ctl, cfg.n);
		finish(me, ctl, n < cfg.done ? n : cfg.done);
		CHECK_EQ(mp_queue_in_work(me, q), n < cfg.done ? 0 : n - cfg.done);
		break;
	case JOIN:
		rc = mp_queue_join(me, q, mp_deadline(.001));
		CHECK(rc == MP_OK || (rc == MP_TIMEOUT && cfg.pre));
		break;
	case CLOSE:
		mp_queue_close(me, q, true);
		break;
	case LEAVE:  /* what it has in work is dropped when it ends */
		take(me, ctl, cfg.n);
		mp_queue_close(me, q, true);
		break;
	}
}

/* Puts first: a block that was given back too early would be used again. */
static void use(mp_self *me, kl_ctl *ctl)
{
	mp_out out;
	uint32_t n;
	h_make(me, ctl == kl_ctl_get(7) ? SURVIVOR : SECOND, cfg.len ? cfg.len : 16, &out);
	if (mp_queue_put(me, q, &out, 1, 0, &n) != MP_OK)
		mp_out_drop(me, &out);
	finish(me, ctl, take(me, ctl, 2));
	mp_queue_join(me, q, 0);
}

static unsigned char seen[IDS];

/* Counts what one has finished for certain; returns 1 if it may be one more. */
static uint32_t finished_by(const kl_ctl *ctl)
{
	for (uint32_t i = 0; i < ctl->reported / 2; i++)
		kl_tally(seen, IDS, ctl->note[i]);
	return ctl->reported & 1;
}

static bool noted(const kl_ctl *ctl, uint64_t id)
{
	for (uint32_t i = 0; i < ctl->n; i++)
		if (ctl->note[i] == id)
			return true;
	return false;
}

static void check(mp_self *me, const kl_fate *f)
{
	mp_queue_stat st;
	uint32_t maybe = 0, missing = 0;
	uint8_t tries;
	uint64_t id;
	bool drops = cfg.kind == CLOSE || cfg.kind == LEAVE;
	if (cfg.held) {
		mp_works_free(&other);
		h_bury(me, other.aid);
	}
	memset(seen, 0, sizeof seen);
	maybe += finished_by(kl_ctl_get(0));
	maybe += finished_by(kl_ctl_get(7));
	if (f->second_used)
		maybe += finished_by(kl_ctl_get(1));
	while ((id = work_one(me, &tries)) != 0) {
		kl_tally(seen, IDS, id);
		if (noted(kl_ctl_get(0), id) || (f->second_used && noted(kl_ctl_get(1), id)))
			CHECK(tries >= 2);
	}
	for (uint32_t i = 0; i < cfg.pre; i++)
		missing += !seen[PRE + i];
	CHECK(missing <= maybe || drops);
	CHECK_EQ(seen[HELD], cfg.held);
	mp_queue_stats(me, q, &st);
	CHECK_EQ(st.waiting, 0);
	CHECK_EQ(st.leased, 0);
	CHECK_EQ(mp_queue_join(me, q, 0), 0);
	CHECK_EQ(mp_queue_task_done(me, q), -EPERM);
	CHECK_EQ(me->held, 0);
	for (uint32_t i = 0; !drops && i < 70; i++) {  /* over a segment's end */
		h_put(me, q, 1 + i, 8);
		CHECK_EQ(mp_queue_join(me, q, 0), MP_TIMEOUT);
		CHECK_EQ(work_one(me, NULL), 1 + i);
	}
	CHECK_EQ(mp_queue_join(me, q, MP_FOREVER), 0);
	mp_obj_drop(me, handle);
}

static const struct config configs[] = {
	{ "get, finish", WORK, 1, 1, 0, 3, 0, .5, false },
	{ "get, leave", WORK, 2, 0, 0, 3, 0, .5, false },
	{ "get, finish some", WORK, 3, 2, 0, 5, 0, .5, false },
	{ "get, finish blocks", WORK, 3, 2, 0, 4, 500, .5, false },
	{ "get, finish a large block", WORK, 1, 1, 0, 2, 100000, .5, false },
	{ "get, finish over a segment's end", WORK, 4, 3, 62, 6, 0, .8, false },
	{ "get, finish blocks over a segment's end", WORK, 4, 3, 62, 6, 100, .8, false },
	{ "finish the last of a segment", WORK, 1, 1, 63, 2, 100, .5, false },
	{ "get, finish all", WORK, 4, 4, 0, 4, 100, .5, false },
	{ "finish the second segment, the first in work", WORK, 3, 3, 125, 4, 0, .8, true },
	{ "finish one behind two in work", WORK, 4, 3, 189, 5, 100, .8, true },
	{ "join", JOIN, 0, 0, 0, 2, 0, .5, false },
	{ "join what is finished", JOIN, 0, 0, 62, 0, 0, .3, false },
	{ "close and drop", CLOSE, 0, 0, 60, 6, 100, .5, false },
	{ "get, close and drop, leave", LEAVE, 3, 0, 60, 6, 100, .5, false },
};

static void play_all(mp_self *me)
{
	for (size_t i = 0; i < sizeof configs / sizeof *configs; i++) {
		cfg = configs[i];
		kl_scene s = { cfg.name, setup, op, use, check, false };
		kl_play(me, &s, cfg.seconds * .7);
	}
}

int main(void)
{
	return kl_main(&(kl_plan){ .more = play_all });
}
