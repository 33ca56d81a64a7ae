/* clock: monotonic time in nanoseconds, and absolute deadlines.
 *
 * A deadline is an absolute CLOCK_MONOTONIC time, so that a wake-up which
 * finds nothing never restarts the clock. 0 (long past) means "do not wait".
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_CLOCK_H
#define MP_CLOCK_H

#include <stdint.h>
#include <time.h>

#define MP_FOREVER INT64_MAX
#define MP_MS      INT64_C(1000000)
#define MP_SEC     INT64_C(1000000000)

static inline int64_t mp_now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * MP_SEC + ts.tv_nsec;
}

/* The deadline that lies s seconds ahead; s may be huge, infinite or <= 0. */
static inline int64_t mp_deadline(double s)
{
	if (!(s > 0))
		return 0;
	if (s > 4e9)
		return MP_FOREVER;
	return mp_now() + (int64_t)(s * 1e9);
}

#endif
