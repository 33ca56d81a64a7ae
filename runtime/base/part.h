/* part: one piece of a message that is gathered when it is copied.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_PART_H
#define MP_PART_H

#include <stddef.h>

typedef struct mp_part {
	const void *data;
	size_t len;
} mp_part;

#endif
