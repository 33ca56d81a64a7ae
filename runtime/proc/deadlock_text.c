/* deadlock_text: the report of a deadlock, a small table.
 *
 *   deadlock: 2 processes wait for each other
 *     process             waits for    held by             since   at
 *     Process-1 (4711)    Lock #3      Process-2 (4712)    1.3 s   dead.lua:12
 *     Process-2 (4712)    Lock #2      Process-1 (4711)    1.3 s   dead.lua:20
 *     help: take locks in the same order everywhere, or acquire with a timeout
 *
 * SPDX-License-Identifier: MIT */
#include "deadlock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/clock.h"
#include "../msg/pipe.h"
#include "../msg/queue.h"

#define SHOWN 20u  /* rows at most */
#define CELL  96

typedef struct row { char cell[5][CELL]; } row;

static void who(const mp_shm *s, mp_aid aid, char *to)
{
	mp_slot *sl = mp_slot_of(s, aid);
	snprintf(to, CELL, "%.63s (%u)", sl->name, (unsigned)atomic_load(&sl->pid));
}

/* ---- the table ------------------------------------------------------------------- */

static uint32_t queue_flags(const mp_shm *s, const mp_stuck *st)
{
	const mp_queue *q = st->what == MP_W_GET ? mp_queue_body(s, st->object) : NULL;
	return q ? mp_queue_flags(q) : 0;
}

/* Does it wait for work, or look after who does? It is not what is to be
 * mended. */
static bool only_serves(const mp_shm *s, const mp_stuck *st)
{
	return queue_flags(s, st) & MP_Q_TASKS || atomic_load(&mp_slot_of(s, st->aid)->serves);
}

static void object(const mp_shm *s, const mp_stuck *st, char *to)
{
	static const char *const before[] = {
		[MP_W_GET] = "an item of ", [MP_W_PUT] = "room in ",
		[MP_W_COMMIT] = "room in ", [MP_W_QJOIN] = "all items done of ",
		[MP_W_RECV] = "a message of ", [MP_W_SEND] = "room in ",
	};
	const char *of = st->what < sizeof before / sizeof *before && before[st->what]
	                 ? before[st->what] : "";
	if (st->what == MP_W_ANY)
		strcpy(to, "one of several");
	else if (queue_flags(s, st) & MP_Q_RESULTS)
		strcpy(to, "a pool's result");
	else if (st->what == MP_W_JOIN)
		snprintf(to, CELL, "end of %.63s", mp_slot_of(s, st->on)->name);
	else
		snprintf(to, CELL, "%s%s #%u", of, mp_obj_type_name(s, st->object),
		         (unsigned)st->object);
}

static void place(const mp_shm *s, mp_aid aid, char *to)
{
	mp_wait_record *r = &mp_slot_of(s, aid)->wait;
	uint32_t line = atomic_load(&r->line);
	if (line)
		snprintf(to, CELL, "%.31s:%u", r->source, (unsigned)line);
	else
		strcpy(to, "its end");
}

static void fill(const mp_shm *s, const mp_stuck *st, int64_t now, row *r)
{
	who(s, st->aid, r->cell[0]);
	object(s, st, r->cell[1]);
	strcpy(r->cell[2], "-");
	if (st->on)
		who(s, st->on, r->cell[2]);
	snprintf(r->cell[3], CELL, "%.1f s", (double)(now - st->since) / (double)MP_SEC);
	place(s, st->aid, r->cell[4]);
}

static void print_table(FILE *f, const row *rows, uint32_t n)
{
	int width[4] = { 0 };
	for (uint32_t i = 0; i < n; i++)
		for (int c = 0; c < 4; c++)
			if ((int)strlen(rows[i].cell[c]) > width[c])
				width[c] = (int)strlen(rows[i].cell[c]);
	for (uint32_t i = 0; i < n; i++) {
		fputs("  ", f);
		for (int c = 0; c < 4; c++)
			fprintf(f, "%-*s    ", width[c], rows[i].cell[c]);
		fprintf(f, "%s\n", rows[i].cell[4]);
	}
}

/* ---- what would help --------------------------------------------------------------- */

static const char *const advice[] = {
	[MP_W_LOCK] = "release a lock before waiting for something else, or wait with a timeout",
	[MP_W_GET] = "nobody is left to put: close the queue when the last item is put, or "
	             "send an end mark",
	[MP_W_PUT] = "nobody is left to get: take the items before joining who puts them, or "
	             "give the queue more room",
	[MP_W_COMMIT] = "nobody is left to get: take the items before joining who puts them",
	[MP_W_QJOIN] = "nobody is left to call task_done: call it once for each item that was got",
	[MP_W_EVENT] = "nobody is left to set the event: set it on every way out, or wait with "
	               "a timeout",
	[MP_W_CONDITION] = "nobody is left to notify: change the state and notify under the "
	                   "lock, and wait with wait_for, which looks first",
	[MP_W_SEMAPHORE] = "nobody is left to release the semaphore: release what was acquired "
	                   "on every way out (with, hold)",
	[MP_W_BARRIER] = "fewer processes are left than the barrier has parties: abort it, or "
	                 "wait with a timeout",
	[MP_W_RECV] = "nobody is left to send: close the end when the last message is sent",
	[MP_W_SEND] = "nobody is left to receive: receive the messages before joining who sends "
	              "them",
};
#define KINDS (sizeof advice / sizeof *advice)

static const char joins[] = "a process must not join one that joins it; join with a timeout";
static const char copy[] = "close the end of the pipe that this process does not use: its own copy keeps "
                           "the end-of-file away";

/* What fits the circle as such; NULL: what fits each wait. */
static const char *circle_advice(const bool *seen)
{
	if (seen[MP_W_RECV] || seen[MP_W_SEND])
		return NULL;
	if (!seen[MP_W_LOCK])
		return joins;
	return seen[MP_W_JOIN] ? "release a lock before joining a process that needs it"
	       : "take locks in the same order everywhere, or acquire with a timeout";
}

static void print_help(FILE *f, const mp_shm *s, const mp_deadlock *d)
{
	bool seen[MP_W_OUTSIDE + 1] = { false }, copies = false, said = false, results = false;
	const char *one;
	for (uint32_t i = 0; i < d->n; i++) {
		const mp_stuck *st = &d->who[i];
		bool own = st->what == MP_W_RECV && mp_pipe_own_copy(s, st->object, st->aid);
		if (only_serves(s, st))
			continue;
		if (queue_flags(s, st) & MP_Q_RESULTS) {
			results = true;
			continue;
		}
		copies = copies || own;
		seen[st->what] = seen[st->what] || !own;
	}
	if (copies)
		fprintf(f, "  help: %s\n", copy);
	one = d->all ? NULL : circle_advice(seen);
	for (uint32_t k = 0; !one && k < KINDS; k++)
		if (seen[k] && advice[k]) {
			fprintf(f, "  help: %s\n", advice[k]);
			said = true;
		}
	if (!said && !one && !copies && results)
		one = "the task needs what only who waits for it can give: do that first, or wait with a timeout";
	if (!said && !one && !copies)
		one = seen[MP_W_ANY]
		      ? "nobody is left to make any of what is watched ready: wait with a timeout" : joins;
	if (one && (d->all || !copies))
		fprintf(f, "  help: %s\n", one);
}

/* What they are: 0 processes, 1 threads, 2 both. */
static int kinds_of(const mp_shm *s, const mp_deadlock *d)
{
	uint32_t threads = 0;
	for (uint32_t i = 0; i < d->n; i++)
		threads += atomic_load(&mp_slot_of(s, d->who[i].aid)->kind) == MP_KIND_THREAD;
	return threads == 0 ? 0 : threads == d->n ? 1 : 2;
}

static void print_head(FILE *f, const mp_shm *s, const mp_deadlock *d)
{
	static const char *const many[] = { "processes", "threads", "processes and threads" };
	int kinds = kinds_of(s, d);
	if (!d->all && d->n == 1)
		fprintf(f, "deadlock: a %s waits for itself\n", kinds ? "thread" : "process");
	else if (!d->all)
		fprintf(f, "deadlock: %u %s wait for each other\n", d->n, many[kinds]);
	else if (d->n == 1)
		fputs("deadlock: the only process waits, and nobody is left to end that\n", f);
	else
		fprintf(f, "deadlock: all %u %s wait, and nobody is left to end that\n", d->n, many[kinds]);
}

char *mp_deadlock_text(const mp_shm *s, const mp_deadlock *d)
{
	uint32_t n = 0, idle = 0;
	row *rows = calloc(SHOWN + 1, sizeof *rows);
	int64_t now = mp_now();
	char *text = NULL;
	size_t len;
	FILE *f = rows ? open_memstream(&text, &len) : NULL;
	if (f) {
		rows[0] = (row){ { "process", "waits for", "held by", "since", "at" } };
		for (uint32_t i = 0; i < d->n; i++)
			if (only_serves(s, &d->who[i]))
				idle++;
			else if (n < SHOWN)
				fill(s, &d->who[i], now, &rows[++n]);
		print_head(f, s, d);
		print_table(f, rows, n + 1);
		if (d->n > n + idle)
			fprintf(f, "  and %u more\n", d->n - n - idle);
		if (idle)
			fprintf(f, "  and %u of pools, which have nothing to do\n", idle);
		print_help(f, s, d);
		if (fclose(f)) {
			free(text);
			text = NULL;
		}
	}
	free(rows);
	return text;
}
