/* route: a tally whose counts go on to others, its ways, under keys.
 *
 * To which way a value goes, and under which key, is asked once per value and
 * then known until all is forgotten: mp_route_unknown until there is none, and
 * then mp_route_pour, which moves all counts. So nothing is moved before all is
 * known. When memory is missing there, `from` is broken.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_ROUTE_H
#define MP_ROUTE_H

#include "tally.h"

typedef struct mp_aim {
	uint32_t way, id;     /* id: in that way, 0: unknown */
} mp_aim;

typedef struct mp_route {
	mp_tally from;
	mp_tally *ways;
	mp_aim *aims;         /* by number, from 1 on */
	size_t nways, room;
} mp_route;

/* false: no memory. */
bool mp_route_init(mp_route *r, size_t nways, uint64_t seed);
void mp_route_free(mp_route *r);
void mp_route_clear(mp_route *r);
void mp_route_empty(mp_route *r);
size_t mp_route_bytes(const mp_route *r);

/* The next value with a count and no aim, 0: none. *at begins at 0. */
uint32_t mp_route_unknown(mp_route *r, size_t *at);
/* It goes to ways[way] as that value there. */
void mp_route_aim(mp_route *r, uint32_t id, uint32_t way, uint32_t key);
/* false: no memory. */
bool mp_route_pour(mp_route *r);

#endif
