/* route: aims, and the counts that follow them.
 *
 * SPDX-License-Identifier: MIT */
#include "route.h"

#include <stdlib.h>
#include <string.h>

bool mp_route_init(mp_route *r, size_t nways, uint64_t seed)
{
	*r = (mp_route){ .nways = nways };
	mp_tally_init(&r->from, seed);
	r->ways = nways ? calloc(nways, sizeof *r->ways) : NULL;
	if (nways && !r->ways)
		return false;
	for (size_t i = 0; i < nways; i++)
		mp_tally_init(&r->ways[i], seed);
	return true;
}

void mp_route_free(mp_route *r)
{
	mp_tally_free(&r->from);
	for (size_t i = 0; r->ways && i < r->nways; i++)
		mp_tally_free(&r->ways[i]);
	free(r->ways);
	free(r->aims);
	*r = (mp_route){ .nways = 0 };
}

void mp_route_clear(mp_route *r)
{
	mp_tally_clear(&r->from);
	for (size_t i = 0; i < r->nways; i++)
		mp_tally_clear(&r->ways[i]);
	if (r->aims)
		memset(r->aims, 0, r->room * sizeof *r->aims);
}

void mp_route_empty(mp_route *r)
{
	mp_tally_empty(&r->from);
	for (size_t i = 0; i < r->nways; i++)
		mp_tally_empty(&r->ways[i]);
}

size_t mp_route_bytes(const mp_route *r)
{
	size_t n = mp_tally_bytes(&r->from) + r->from.size * sizeof *r->aims;
	for (size_t i = 0; i < r->nways; i++)
		n += mp_tally_bytes(&r->ways[i]);
	return n;
}

static bool make_room(mp_route *r)
{
	size_t room = r->from.entries_room;
	mp_aim *aims = r->room < room ? realloc(r->aims, room * sizeof *aims) : r->aims;
	if (!aims && room)
		return false;
	if (r->room < room)
		memset(aims + r->room, 0, (room - r->room) * sizeof *aims);
	r->aims = aims;
	r->room = room;
	return true;
}

uint32_t mp_route_unknown(mp_route *r, size_t *at)
{
	mp_tally *t = &r->from;
	if (!make_room(r))
		mp_tally_break(t);
	for (; *at < t->touches; ++*at) {
		uint32_t id = t->touched[*at];
		if (!r->aims[id - 1].id)
			return id;
	}
	return 0;
}

void mp_route_aim(mp_route *r, uint32_t id, uint32_t way, uint32_t key)
{
	r->aims[id - 1] = (mp_aim){ way, key };
}

bool mp_route_pour(mp_route *r)
{
	const mp_tally *t = &r->from;
	for (size_t i = 0; i < t->touches; i++) {
		uint32_t id = t->touched[i];
		mp_aim aim = r->aims[id - 1];
		if (!mp_tally_count(&r->ways[aim.way], aim.id, t->entries[id - 1].n))
			return mp_tally_break(&r->from);
	}
	mp_tally_empty(&r->from);
	return true;
}
