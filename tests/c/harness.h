/* harness: what the C tests share: an arena, actors, messages, an audit.
 *
 * A test is a process of its own with a deadline. It opens one small arena,
 * enters it as its first actor and forks the others; CHECK ends it with the
 * place and what was being tried. After each trial it audits: usage as
 * before, no block, chunk, latch or slot in the name of anyone dead.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_TEST_HARNESS_H
#define MP_TEST_HARNESS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/clock.h"
#include "msg/pipe.h"
#include "msg/fd.h"
#include "msg/queue.h"
#include "shm/object.h"
#include "shm/shm.h"
#include "sync/condition.h"
#include "sync/barrier.h"
#include "state/array.h"
#include "state/buffer.h"
#include "state/value.h"
#include "state/dict.h"
#include "state/list.h"
#include "sync/event.h"
#include "sync/lock.h"
#include "sync/rlock.h"
#include "sync/semaphore.h"

#if defined(__SANITIZE_THREAD__)
#define H_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define H_TSAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define H_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define H_ASAN 1
#endif
#endif
#ifndef H_TSAN
#define H_TSAN 0
#endif
#ifndef H_ASAN
#define H_ASAN 0
#endif

enum { H_PASS = 0, H_FAIL = 1, H_SKIP = 77 };

#define CHECK(c) \
	do { if (!(c)) h_fail(__FILE__, __LINE__, #c, 0, 0, 0); } while (0)
#define CHECK_EQ(a, b) \
	do { \
		long long h_a = (long long)(a), h_b = (long long)(b); \
		if (h_a != h_b) \
			h_fail(__FILE__, __LINE__, #a " == " #b, 1, h_a, h_b); \
	} while (0)

_Noreturn void h_fail(const char *file, int line, const char *what,
                      int values, long long a, long long b);
/* What is being tried; printed when a check fails. */
__attribute__((format(printf, 1, 2))) void h_now(const char *fmt, ...);

/* MP_PROVE=1: the long form. */
int h_prove(void);
/* The deadline of a short and of a long run, in seconds. */
void h_deadline(unsigned quick, unsigned prove);
/* A pseudo-random number, reproducible by MP_SEED; a failure prints it. */
uint64_t h_random(void);
void h_seed(uint64_t seed);  /* 0: by the clock */

/* Opens an arena and enters it as its first actor. */
void h_open(mp_shm *s, mp_self *me, uint64_t memory, uint32_t processes);
/* Forks an actor that holds what me holds. 0 in the child, with *me entered
 * as it; in the parent its pid and *aid. */
pid_t h_fork(mp_self *me, mp_aid *aid);
/* The same for a thread of this process: *child is ready to be used by it. */
void h_thread_self(mp_self *me, mp_self *child);
/* Waits for a child's orderly end, and sweeps it; its exit status. */
int h_join(mp_self *me, pid_t pid, mp_aid aid);
/* Ends this child without running any of the parent's exit code. */
_Noreturn void h_exit(int status);
/* An actor's id after it died: marked, and swept by me. */
void h_bury(mp_self *me, mp_aid aid);

/* Memory that several processes share and that is not the arena. */
void *h_shared(size_t n);

/* Blocks that stay, one in a chunk of each small class: to claim a chunk
 * costs thousands of instructions. */
void h_ballast(mp_self *me);
/* Collects until nobody asks for it any more. */
void h_collect(mp_self *me);
/* Gives back everything that can be. */
void h_settle(mp_self *me, mp_usage *u);
/* Settles, then compares with before, and looks for names of the dead. */
void h_audit(mp_self *me, const mp_usage *before);
void h_no_corpses(mp_shm *s);

/* Messages: a number and bytes that follow from it; len >= 8. */
void h_make(mp_self *me, uint64_t id, size_t len, mp_out *out);
void h_make_with(mp_self *me, uint64_t id, size_t len, mp_handle h, mp_out *out);
uint64_t h_read(const mp_in *in);  /* checks the bytes */
void h_put(mp_self *me, mp_queue *q, uint64_t id, size_t len);
/* Gets one without waiting: its number, 0 if there is none. */
uint64_t h_get(mp_self *me, mp_queue *q);
/* Gets until it is empty: how many, their numbers in ids[max]. */
uint32_t h_drain(mp_self *me, mp_queue *q, uint64_t *ids, uint32_t max);
mp_queue *h_queue(mp_self *me, uint64_t capacity, mp_handle *h);

/* An end of a pipe, which must be there, and its queues, NULL: has none. */
mp_pipe *h_end(mp_self *me, mp_handle h);
mp_queue *h_in(mp_self *me, mp_handle h);
mp_queue *h_out(mp_self *me, mp_handle h);

/* The last line of a test that passed. */
__attribute__((format(printf, 1, 2))) int h_done(const char *fmt, ...);

#endif
