/* bytecode: see bytecode.h.
 *
 * Most of a thread's start would be to compile our modules. The first thread
 * that does leaves what came of it to the others, with all that tracebacks
 * want. It stays until the process ends: a list that only grows, at its head
 * and by a CAS, is one that a fork may copy at any time, unlike a mutex.
 *
 * SPDX-License-Identifier: MIT */
#include "bytecode.h"

#include <lauxlib.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "../proc/thread.h"

typedef struct compiled {
	struct compiled *next;
	const mp_embedded *of;
	char *bytes;
	size_t len, room;
} compiled;

static _Atomic(compiled *) all;

static compiled *find(compiled *c, const mp_embedded *m)
{
	while (c && c->of != m)
		c = c->next;
	return c;
}

static int write_some(lua_State *L, const void *p, size_t n, void *ud)
{
	compiled *c = ud;
	(void)L;
	if (c->room - c->len < n) {
		size_t room = 2 * c->room + n;
		char *more = realloc(c->bytes, room);
		if (!more)
			return 1;
		c->bytes = more;
		c->room = room;
	}
	memcpy(c->bytes + c->len, p, n);
	c->len += n;
	return 0;
}

/* Another thread may have been faster. */
static bool add(compiled *c)
{
	c->next = atomic_load(&all);
	do
		if (find(c->next, c->of))
			return false;
	while (!atomic_compare_exchange_weak(&all, &c->next, c));
	return true;
}

/* The function on top; where there is no memory for it, nobody needs it. */
static void keep(lua_State *L, const mp_embedded *m)
{
	compiled *c = calloc(1, sizeof *c);
	if (!c)
		return;
	c->of = m;
	if (lua_dump(L, write_some, c, 0) == 0 && add(c))
		return;
	free(c->bytes);
	free(c);
}

int mp_embedded_load(lua_State *L, const mp_embedded *m)
{
	bool thread = mp_thread_current();
	const compiled *c = thread ? find(atomic_load(&all), m) : NULL;
	int rc;
	if (c)
		return luaL_loadbufferx(L, c->bytes, c->len, m->chunk, "b");
	rc = luaL_loadbufferx(L, (const char *)m->bytes, m->len, m->chunk, "t");
	if (rc == LUA_OK && thread)
		keep(L, m);
	return rc;
}
