/* map: from addresses (and other 64-bit keys) to places in a message.
 *
 * Open addressing. A new epoch empties it at no cost, so that each message
 * starts afresh. Kinds keep keys of different origin apart.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_CODEC_MAP_H
#define MP_CODEC_MAP_H

#include <lua.h>
#include <stdint.h>

typedef enum mp_kind { MP_OBJECT, MP_UPVALUE, MP_CODE, MP_HANDLE } mp_kind;

typedef struct mp_entry {
	uint64_t key;
	uint32_t epoch;  /* in use if equal to the map's */
	uint16_t kind;
	uint16_t n;      /* the rest belongs to who uses the map */
	uint64_t off;
	uint64_t pos;
} mp_entry;

typedef struct mp_map {
	mp_entry *slots;
	uint32_t mask;   /* slots - 1 */
	uint32_t shift;  /* 64 - log2(slots) */
	uint32_t used;
	uint32_t epoch;
} mp_map;

/* Makes room for 2^log slots; raises for want of memory. */
void mp_map_init(lua_State *L, mp_map *m, unsigned log);
void mp_map_free(mp_map *m);
void mp_map_clear(mp_map *m);
void mp_map_grow(lua_State *L, mp_map *m);

/* The slot of key, or the free one where it belongs. */
static inline mp_entry *mp_map_probe(const mp_map *m, uint64_t key, mp_kind kind)
{
	uint32_t i = (uint32_t)(((key + kind) * UINT64_C(0x9E3779B97F4A7C15)) >> m->shift);
	for (;; i = (i + 1) & m->mask) {
		mp_entry *s = &m->slots[i];
		if (s->epoch != m->epoch || (s->key == key && s->kind == kind))
			return s;
	}
}

static inline mp_entry *mp_map_find(const mp_map *m, uint64_t key, mp_kind kind)
{
	mp_entry *s = mp_map_probe(m, key, kind);
	return s->epoch == m->epoch ? s : NULL;
}

/* The slot of key, made if need be; *fresh says so. Valid until the next. */
static inline mp_entry *mp_map_add(lua_State *L, mp_map *m, uint64_t key, mp_kind kind, int *fresh)
{
	if (m->used >= m->mask / 2)
		mp_map_grow(L, m);
	mp_entry *s = mp_map_probe(m, key, kind);
	*fresh = s->epoch != m->epoch;
	if (*fresh) {
		s->key = key;
		s->kind = (uint16_t)kind;
		s->epoch = m->epoch;
		m->used++;
	}
	return s;
}

#endif
