/* Killed at every change of a worker's turn (lease, mark, commit) and of
 * withdraw: each task is afterwards exactly once waiting or a result, and one
 * that came back tells how far it had been begun.
 *
 * SPDX-License-Identifier: MIT */
#include "killer.h"

enum { GO = 1, OTHER = 100, SECOND = 300, SURVIVOR, IDS = 400, MARK = 7 };

enum kind { WORK, SPLIT, RELEASE, WITHDRAW };

static struct config {
	const char *name;
	enum kind kind;
	uint32_t skip;       /* cells used up before */
	uint32_t others;     /* tasks with ids of their own: before, between, behind ... */
	uint32_t go;         /* ... those that are withdrawn */
	size_t len;
	double seconds;
	bool listing;        /* the messages list a handle */
	bool held;           /* another has leased the very first one */
} cfg;

static mp_handle ht, hr, hlisted;
static mp_queue *tasks, *res;
static mp_self other;

static void put_as(mp_self *me, uint64_t id, uint16_t label)
{
	mp_out out;
	uint32_t n;
	if (cfg.listing)
		h_make_with(me, id, cfg.len, hlisted, &out);
	else
		h_make(me, id, cfg.len, &out);
	out.label = label;
	CHECK_EQ(mp_queue_put(me, tasks, &out, 1, mp_deadline(10), &n), 0);
}

/* Takes one for good: its id, 0 if there is none. */
static uint64_t get(mp_self *me, mp_queue *q, uint16_t *label, uint8_t *tries)
{
	mp_in in;
	uint64_t id;
	uint32_t n;
	if (mp_queue_get(me, q, &in, 1, 0, &n) != MP_OK)
		return 0;
	CHECK(in.len >= sizeof id);
	memcpy(&id, in.data, sizeof id);
	*label = in.label;
	*tries = in.tries;
	mp_in_done(me, &in);
	for (uint32_t i = 0; i < in.nhandles; i++)
		mp_obj_drop(me, hlisted);
	return id;
}

static void setup(mp_self *me)
{
	uint16_t label;
	uint8_t tries;
	CHECK_EQ(mp_queue_create(me, 0, MP_Q_COUNT_LEASED | MP_Q_DRAIN_ALL, &ht), 0);
	tasks = mp_queue_body(me->shm, ht);
	res = h_queue(me, 0, &hr);
	if (cfg.listing)
		h_queue(me, 0, &hlisted);
	for (uint32_t i = 0; i < cfg.skip; i++) {
		put_as(me, OTHER, 0);
		CHECK_EQ(get(me, tasks, &label, &tries), OTHER);
	}
	if (cfg.listing && cfg.skip)
		CHECK_EQ(mp_obj_hold(me, hlisted), 0);
	/* One of the others, two to be withdrawn, and so on. */
	for (uint16_t i = 0, o = 0, g = 0; o < cfg.others || g < cfg.go; i++)
		if ((i % 3 == 0 && o < cfg.others) || g == cfg.go)
			put_as(me, OTHER + o++, 0);
		else
			put_as(me, GO, g++);
	if (cfg.held) {
		mp_in in;
		uint32_t n;
		h_thread_self(me, &other);
		CHECK_EQ(mp_queue_lease(&other, tasks, &in, 1, 0, &n), 0);
	}
}

/* A worker's turn. Notes: the task; then how far it came, 1 marked. */
static void turn(mp_self *me, kl_ctl *ctl)
{
	mp_in in;
	uint64_t id;
	uint32_t n;
	mp_out outs[2];
	if (mp_queue_lease(me, tasks, &in, 1, 0, &n) != MP_OK)
		return;
	memcpy(&id, in.data, sizeof id);
	kl_note(ctl, id);
	mp_queue_mark(me, MARK);
	ctl->reported = 1;
	if (cfg.kind == RELEASE) {
		mp_queue_desert(me);
		return;
	}
	h_make(me, id, cfg.len, &outs[0]);
	h_make(me, id, cfg.len, &outs[1]);
	outs[1].label = 0;
	mp_batch batches[2] = { { res, &outs[0], 1 }, { tasks, &outs[1], 1 } };
	CHECK_EQ(mp_queue_commit(me, batches, cfg.kind == SPLIT ? 2 : 1, mp_deadline(10)), 0);
	if (cfg.kind != SPLIT)
		mp_out_drop(me, &outs[1]);
	ctl->reported = 2;
}

static void op(mp_self *me, kl_ctl *ctl)
{
	if (cfg.kind == WITHDRAW)
		ctl->reported = 1 + mp_queue_withdraw(me, tasks, GO, UINT32_MAX);
	else
		turn(me, ctl);
}

/* Which task it is: those to be withdrawn differ by their labels only. */
static uint64_t serial(uint64_t id, uint16_t label)
{
	return id == GO && cfg.go ? (uint64_t)IDS + label : id;
}

/* Puts first: a block that was given back too early would be used again. */
static void use(mp_self *me, kl_ctl *ctl)
{
	uint16_t label;
	uint8_t tries;
	uint64_t id;
	put_as(me, ctl == kl_ctl_get(7) ? SURVIVOR : SECOND, 0);
	if ((id = get(me, tasks, &label, &tries)) != 0)
		kl_note(ctl, serial(id, label));
	ctl->reported = 1;
}

/* By that: still in the queue; or taken by a user. */
static unsigned char waits[2 * IDS], taken[2 * IDS], is_result[IDS];

/* What is there now, and what users took. */
static void count(mp_self *me, const kl_fate *f)
{
	uint16_t label;
	uint8_t tries;
	uint64_t id;
	bool marked = kl_ctl_get(0)->reported >= 1;
	memset(waits, 0, sizeof waits);
	memset(taken, 0, sizeof taken);
	memset(is_result, 0, sizeof is_result);
	while ((id = get(me, tasks, &label, &tries)) != 0) {
		kl_tally(waits, 2 * IDS, serial(id, label));
		if (cfg.kind == WITHDRAW)
			continue;
		CHECK(label == 0 || (label == MARK && tries >= 2));
		/* Once it said that it had begun, that is known. */
		if (marked && tries == 2 && id == kl_ctl_get(0)->note[0] && !f->alive)
			CHECK_EQ(label, MARK);
	}
	while ((id = get(me, res, &label, &tries)) != 0)
		kl_tally(is_result, IDS, id);
	for (unsigned c = 1; c < 8; c += 6)
		for (uint32_t i = 0; i < kl_ctl_get(c)->n; i++)
			if (c != 1 || f->second_used)
				kl_tally(taken, 2 * IDS, kl_ctl_get(c)->note[i]);
}

static void check_work(const kl_fate *f, uint32_t lost)
{
	uint32_t missing = 0, results = 0;
	for (uint32_t id = OTHER; id < OTHER + cfg.others; id++) {
		uint32_t n = waits[id] + taken[id], halves = cfg.kind == SPLIT && is_result[id];
		CHECK(n <= 1 && (halves || n + is_result[id] <= 1));
		missing += n + is_result[id] < 1 + halves;
		results += is_result[id];
	}
	CHECK(missing <= lost);
	CHECK(results <= 1);
	if (f->done && cfg.kind != RELEASE && kl_ctl_get(0)->n)
		CHECK_EQ(results, 1);
}

/* They go from the head on: those that are left are the last ones. */
static void check_withdrawn(const kl_fate *f, uint32_t lost)
{
	uint32_t left = 0, missing = 0;
	for (uint32_t i = cfg.held && !cfg.others; i < cfg.go; i++) {
		CHECK(waits[IDS + i] || !left);
		CHECK(waits[IDS + i] + taken[IDS + i] <= 1);
		left += waits[IDS + i];
	}
	for (uint32_t id = OTHER; id < OTHER + cfg.others; id++)
		missing += !waits[id] && !taken[id];
	CHECK(missing <= lost);
	if (cfg.held && !cfg.others)
		CHECK_EQ(waits[IDS], 1);
	if (f->done)
		CHECK_EQ(left, 0);
	if (f->done && !f->alive && !f->second)
		CHECK_EQ(kl_ctl_get(0)->reported - 1, cfg.go - (cfg.held && !cfg.others));
}

static void check(mp_self *me, const kl_fate *f)
{
	mp_queue_stat st;
	uint32_t lost = f->second_used && !f->second_done;
	if (cfg.held) {
		mp_queue_release(&other);
		mp_leases_free(&other);
		h_bury(me, other.aid);
	}
	count(me, f);
	if (cfg.kind == WITHDRAW)
		check_withdrawn(f, lost);
	else
		check_work(f, lost);
	if (kl_ctl_get(7)->reported)
		CHECK(waits[SURVIVOR] + taken[SURVIVOR] == 1);
	if (f->second_used && f->second_done)
		CHECK(waits[SECOND] + taken[SECOND] == 1);
	mp_queue_stats(me, tasks, &st);
	CHECK_EQ(st.waiting, 0);
	CHECK_EQ(st.leased, 0);
	CHECK(!mp_queue_ready(tasks, me->shm));
	for (uint32_t i = 0; i < 70; i++) {  /* and it still works, over a segment's end */
		h_put(me, tasks, 1 + i, 8);
		h_put(me, tasks, OTHER, 100);
		CHECK_EQ(mp_queue_withdraw(me, tasks, 1 + i, UINT32_MAX), 1);
		CHECK_EQ(h_get(me, tasks), OTHER);
	}
	if (cfg.listing)
		mp_obj_drop(me, hlisted);
	mp_obj_drop(me, ht);
	mp_obj_drop(me, hr);
}

static const struct config configs[] = {
	{ "a turn", WORK, 0, 3, 0, 16, .5, false, false },
	{ "a turn with blocks", WORK, 0, 3, 0, 100, .5, false, false },
	{ "a turn at a segment's end", WORK, 63, 2, 0, 100, .8, false, false },
	{ "a turn behind one that is leased", WORK, 0, 3, 0, 16, .5, false, true },
	{ "a split", SPLIT, 0, 2, 0, 16, .5, false, false },
	{ "a split of blocks at a segment's end", SPLIT, 62, 2, 0, 100, .8, false, false },
	{ "given back", RELEASE, 0, 2, 0, 16, .5, false, false },
	{ "withdraw one", WITHDRAW, 0, 0, 1, 16, .5, false, false },
	{ "withdraw among others", WITHDRAW, 0, 3, 4, 16, .5, false, false },
	{ "withdraw blocks", WITHDRAW, 0, 3, 4, 100, .5, false, false },
	{ "withdraw large blocks", WITHDRAW, 0, 1, 2, 70000, .5, false, false },
	{ "withdraw over a segment's end", WITHDRAW, 61, 2, 4, 16, .8, false, false },
	{ "withdraw blocks over a segment's end", WITHDRAW, 61, 2, 4, 100, .8, false, false },
	{ "withdraw what lists a handle", WITHDRAW, 0, 2, 2, 16, .5, true, false },
	{ "withdraw behind what is leased", WITHDRAW, 0, 0, 4, 100, .5, false, true },
	{ "withdraw, another leased", WITHDRAW, 0, 3, 3, 16, .5, false, true },
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
	return kl_main(&(kl_plan){ .more = play_all, .memory = 4 << 20 });
}
