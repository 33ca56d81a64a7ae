/* map: growing and emptying.
 *
 * SPDX-License-Identifier: MIT */
#include "map.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

void mp_map_init(lua_State *L, mp_map *m, unsigned log)
{
	mp_entry *slots = calloc((size_t)1 << log, sizeof *slots);
	if (!slots) {
		luaL_error(L, "not enough memory");
		abort();  /* not reached; luaL_error is not declared so */
	}
	free(m->slots);
	*m = (mp_map){ .slots = slots, .mask = (uint32_t)(((uint64_t)1 << log) - 1),
	               .shift = 64 - log, .epoch = 1 };
}

void mp_map_free(mp_map *m)
{
	free(m->slots);
	*m = (mp_map){ 0 };
}

void mp_map_clear(mp_map *m)
{
	m->used = 0;
	if (++m->epoch == 0) {
		memset(m->slots, 0, ((size_t)m->mask + 1) * sizeof *m->slots);
		m->epoch = 1;
	}
}

void mp_map_grow(lua_State *L, mp_map *m)
{
	mp_map bigger = { 0 };
	if (m->shift <= 33)
		luaL_error(L, "too many values in one message");
	mp_map_init(L, &bigger, 64 - m->shift + 1);
	for (uint64_t i = 0; i <= m->mask; i++) {
		const mp_entry *s = &m->slots[i];
		if (s->epoch == m->epoch) {
			mp_entry *to = mp_map_probe(&bigger, s->key, s->kind);
			*to = *s;
			to->epoch = bigger.epoch;
		}
	}
	bigger.used = m->used;
	free(m->slots);
	*m = bigger;
}
