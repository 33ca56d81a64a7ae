/* futex: sleeping on a 32-bit word in memory shared between processes.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_FUTEX_H
#define MP_FUTEX_H

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "clock.h"

typedef _Atomic uint32_t mp_word;

/* Sleeps while *w == val, until the absolute deadline.
 * 0 woken or changed, -ETIMEDOUT, -EINTR. */
static inline int mp_futex_wait(mp_word *w, uint32_t val, int64_t deadline)
{
	struct timespec ts = { deadline / MP_SEC, deadline % MP_SEC };
	if (syscall(SYS_futex, w, FUTEX_WAIT_BITSET, val,
	            deadline == MP_FOREVER ? NULL : &ts, NULL,
	            FUTEX_BITSET_MATCH_ANY) == 0 || errno == EAGAIN)
		return 0;
	return -errno;
}

/* Wakes up to n sleepers; returns how many it woke. */
static inline int mp_futex_wake(mp_word *w, int n)
{
	long r = syscall(SYS_futex, w, FUTEX_WAKE, n, NULL, NULL, 0);
	return r < 0 ? 0 : (int)r;
}

/* One turn of a spin loop. */
static inline void mp_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("isb" ::: "memory");
#endif
}

#endif
