/* board: what a pool's workers and its supervisor tell each other.
 *
 * Layout: words of an Array of i64: a line of eight for all, then a line for
 * each worker, which is numbered from 1. A worker writes its own line; the
 * supervisor one bit in it, and zeros when the worker has ended.
 *
 * Invariant: a worker's state goes 0 -> task -> task|FINISHING -> 0, by itself,
 * and task -> task|CONDEMNED by the supervisor; both steps away from the bare
 * task are a CAS of it. So a condemned worker never hands its task over, and one
 * that does so is never condemned.
 * Crash: nothing here is the truth about a task. Which messages wait, and
 * which are leased by whom, the queue says; a line tells what its worker was
 * at when it died.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_BOARD_H
#define MP_BOARD_H

#include "../state/array.h"

enum { MP_BOARD_WORDS = 8 };  /* of a line */

/* The line of all. */
enum { MP_BOARD_LEAVE,        /* so many workers are to leave */
       MP_BOARD_NEXT };       /* ns: when deadlines are looked at next; INT64_MAX: never */

/* A worker's line. Times are of CLOCK_MONOTONIC, in ns. */
enum { MP_BOARD_STATE,        /* 0: idle; else see mp_board_state, with a bit or none */
       MP_BOARD_BEGAN,
       MP_BOARD_DEADLINE,     /* 0: none */
       MP_BOARD_PID,
       MP_BOARD_TASKS,        /* finished; of a chunk, its items */
       MP_BOARD_BUSY,         /* ns in tasks */
       MP_BOARD_SINCE,        /* when it entered */
       MP_BOARD_FIRST };      /* of a chunk of a map: its first item; 0: no chunk */

/* A state: the id, how many tasks the worker has begun before (so that a chunk
 * of a map is not taken for the one before, which has its id), and a bit. */
#define MP_BOARD_TURN      48
#define MP_BOARD_ID        ((INT64_C(1) << MP_BOARD_TURN) - 1)
#define MP_BOARD_TURNS     UINT64_C(0xfff)
#define MP_BOARD_FINISHING (INT64_C(1) << 60)
#define MP_BOARD_CONDEMNED (INT64_C(1) << 61)
#define MP_BOARD_BITS      (MP_BOARD_FINISHING | MP_BOARD_CONDEMNED)

static inline int64_t mp_board_state(int64_t id, uint64_t turn)
{
	return id | (int64_t)((turn & MP_BOARD_TURNS) << MP_BOARD_TURN);
}

typedef _Atomic int64_t mp_board_word;

/* Line 0: that of all. The array is long enough. */
static inline mp_board_word *mp_board_line(mp_array *a, uint64_t k)
{
	return (mp_board_word *)(void *)a->data + MP_BOARD_WORDS * k;
}
/* How many workers an array has lines for; 0: it is no board. */
static inline uint64_t mp_board_workers(const mp_array *a)
{
	return a->kind == MP_I64 && a->n >= MP_BOARD_WORDS ? a->n / MP_BOARD_WORDS - 1 : 0;
}

/* state: one without a bit. */
static inline bool mp_board_move(mp_board_word *line, int64_t state, int64_t bit)
{
	return atomic_compare_exchange_strong(&line[MP_BOARD_STATE], &state, state | bit);
}

/* Takes a ticket to leave, if there is one. */
static inline bool mp_board_leave(mp_board_word *all)
{
	int64_t n = atomic_load_explicit(&all[MP_BOARD_LEAVE], memory_order_relaxed);
	while (n > 0)
		if (atomic_compare_exchange_weak(&all[MP_BOARD_LEAVE], &n, n - 1))
			return true;
	return false;
}

/* A word that only its worker writes. */
static inline void mp_board_add(mp_board_word *w, int64_t v)
{
	atomic_store_explicit(w, atomic_load_explicit(w, memory_order_relaxed) + v,
	                      memory_order_relaxed);
}

#endif
