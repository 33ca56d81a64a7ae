/* eventcount: the word on which everything but locks sleeps.
 *
 * Layout: one u32: bit 0 says that somebody may sleep, the rest is a
 * sequence.
 * Invariant: a sleeper sets bit 0, then checks its condition once more, then
 * sleeps on the value it saw; a notifier that finds bit 0 bumps the sequence,
 * so that the sleeper either sees the condition or a changed word.
 * Crash: there is no count of sleepers that a dead one could leave wrong. A
 * notifier killed between publishing and waking: the sweep wakes every event
 * count, else the sleeper's slice ends.
 * Source: event counts after Reed and Kanodia (1979); the bit and sequence
 * scheme as in folly's EventCount, without its waiter count.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_EVENTCOUNT_H
#define MP_EVENTCOUNT_H

#include "latch.h"

typedef mp_word mp_ec;

/* The waits' slice: how late a death is noticed without a keeper. */
#define MP_SLICE (100 * MP_MS)

/* Waits until ready(arg) is true: spins briefly if there are processors to
 * spare, then sleeps on ec. 0, MP_TIMEOUT, MP_INTERRUPTED, and MP_ABANDONED
 * if as->probe was given and its holder is dead. ready is cheap, takes no
 * lock and may be wrong only in the direction of true. */
int mp_ec_wait(mp_self *me, mp_ec *ec, bool (*ready)(void *arg), void *arg,
               int64_t deadline, const mp_wait *as);

/* The spinning alone: true if ready(arg) was, which looks at so many things,
 * at least one. Says false at once where it would not help. */
bool mp_ec_spin(mp_self *me, uint32_t looks, bool (*ready)(void *arg), void *arg);

int mp_ec_notify_slow(mp_ec *ec, int n);

/* Orders what was published before the look for sleepers. A publisher's last
 * step is always an exchange (the latch it frees, the flag it sets), and on
 * x86 that is a full fence already; elsewhere it is not. */
static inline void mp_ec_fence(void)
{
#if defined(__x86_64__) || defined(__i386__)
	atomic_signal_fence(memory_order_seq_cst);
#else
	atomic_thread_fence(memory_order_seq_cst);
#endif
}

/* Wakes up to n sleepers; what they wait for was published before. Returns
 * true if bit 0 was set (then watchers' doorbells are to be rung as well). */
static inline bool mp_ec_notify(mp_ec *ec, int n)
{
	mp_ec_fence();
	if (!(atomic_load_explicit(ec, memory_order_relaxed) & 1))
		return false;
	mp_ec_notify_slow(ec, n);
	return true;
}

/* One bare sleep on ec, for floors that combine conditions: prepare, check
 * everything again, then sleep. */
static inline uint32_t mp_ec_prepare(mp_ec *ec)
{
	return atomic_fetch_or(ec, 1) | 1;
}
int mp_ec_sleep(mp_self *me, mp_ec *ec, uint32_t seen, int64_t deadline, const mp_wait *as);

#endif
