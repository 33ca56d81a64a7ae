/* message: see message.h.
 *
 * SPDX-License-Identifier: MIT */
#include <string.h>

#include "../codec/still.h"
#include "message.h"

/* ---- handles -------------------------------------------------------------- */

/* A userdata belongs to one Lua state and that to one runtime, so a reference
 * seen here cannot be another runtime's; it can only be closed. */
static int handle_of(lua_State *L, int idx, uint64_t *h, void *ud)
{
	(void)ud;
	mp_ref *r = mp_ref_test(L, idx, MP_T_NONE);
	if (!r)
		return 0;
	if (!r->h)
		return -1;
	*h = r->h;
	return 1;
}

static void push_handle(lua_State *L, uint64_t h, void *ud)
{
	(void)ud;
	mp_ref_push(L, mp_state_of(L), h, false);
}

const mp_codec_hooks mp_message_hooks = { handle_of, push_handle, NULL };

/* ---- out ------------------------------------------------------------------- */

int mp_message_make(lua_State *L, mp_state *st, int first, int n,
                    const char *call, mp_out *out)
{
	mp_encoded e;
	mp_encode(L, st->codec, first, n, call, &e);
	mp_msg m = { .parts = e.parts, .nparts = e.nparts, .len = e.len,
	             .handles = e.handles, .nhandles = e.nhandles };
	return mp_out_make(st->me, &m, out);
}

int mp_message_make_task(lua_State *L, mp_state *st, uint64_t id, int first, int n,
                         const char *call, mp_out *out)
{
	mp_encoded e;
	mp_encode(L, st->codec, first, n, call, &e);
	mp_msg m = { .parts = e.parts, .nparts = e.nparts, .len = e.len,
	             .handles = e.handles, .nhandles = e.nhandles,
	             .first = { &id, sizeof id } };
	return mp_out_make(st->me, &m, out);
}

void mp_message_interrupt(lua_State *L, mp_ref *r, const char *call)
{
	mp_interrupt(L, r->st);
	if (!r->h)
		mp_misuse(L, call, "closed by a signal handler meanwhile");
}

int mp_message_room(lua_State *L, mp_ref *r, int64_t deadline, const char *call)
{
	if (!deadline)
		return MP_FULL;
	int rc = mp_memory_wait(r->st->me, deadline);
	if (rc != MP_INTERRUPTED)
		return rc;
	mp_message_interrupt(L, r, call);
	return MP_OK;
}

int mp_message_put(lua_State *L, mp_ref *r, mp_queue *q, mp_out *outs, uint32_t n,
                   int64_t deadline, const char *call, uint32_t *done)
{
	for (;;) {
		uint32_t k = 0;
		int rc = mp_queue_put(r->st->me, q, outs + *done,
		                      n - *done, deadline, &k);
		*done += k;
		if (rc == MP_INTERRUPTED)
			mp_message_interrupt(L, r, call);
		else if (rc != MP_NOMEM)
			return rc;
		else if ((rc = mp_message_room(L, r, deadline, call)) != MP_OK)
			return rc;
	}
}

typedef struct sending {
	mp_ref *r;
	mp_queue *q;
	mp_out *out;
	const char *call;
	int64_t deadline;
	uint32_t done;
	int rc;
} sending;

static int send_protected(lua_State *L)
{
	sending *s = lua_touserdata(L, 1);
	s->rc = mp_message_put(L, s->r, s->q, s->out, 1, s->deadline, s->call, &s->done);
	return 0;
}

/* Signal handlers may run, and raise: protected, so that no block is lost. */
static int send_waiting(lua_State *L, sending *s)
{
	mp_self *me = s->r->st->me;
	lua_pushcfunction(L, send_protected);
	lua_pushlightuserdata(L, s);
	int status = lua_pcall(L, 1, 0, 0);
	if (!s->done)
		mp_out_drop(me, s->out);
	return status == LUA_OK ? s->rc : lua_error(L);
}

int mp_message_send(lua_State *L, mp_ref *r, mp_queue *q, mp_out *out,
                    int64_t deadline, const char *call)
{
	uint32_t done = 0;
	int rc = mp_queue_put(r->st->me, q, out, 1, deadline, &done);
	if (rc == MP_INTERRUPTED || (rc == MP_NOMEM && deadline)) {
		sending s = { r, q, out, call, deadline, 0, 0 };
		return send_waiting(L, &s);
	}
	if (rc != MP_OK)
		mp_out_drop(r->st->me, out);
	return rc;
}

_Noreturn void mp_message_toobig(lua_State *L, mp_state *st, const char *call)
{
	lua_Integer mib = (lua_Integer)(((uint64_t)st->me->shm->h->nchunks << MP_CHUNK_SHIFT) >> 20);
	mp_misuse(L, call, "the item can never fit into this runtime's memory "
	          "of %I MiB; set a larger limit (mp.configure{memory=}, "
	          "mprun --memory, MPRUN_MEMORY) or send it in pieces", mib);
}

/* ---- in --------------------------------------------------------------------- */

/* Makes the userdata of every handle listed, before the codec asks for them.
 * The collector stands still meanwhile: the finalizer of an older userdata of
 * the same handle would clear the bit that the new one relies on. */
static int adopt(lua_State *L)
{
	const mp_in *in = lua_touserdata(L, 1);
	bool held = lua_toboolean(L, 2);
	mp_state *st = mp_state_of(L);
	lua_createtable(L, (int)in->nhandles, 0);
	for (uint32_t i = 0; i < in->nhandles; i++) {
		mp_ref_push(L, st, in->handles[i], held);
		lua_rawseti(L, -2, i + 1);
	}
	return 1;
}

int mp_message_pcall(lua_State *L, int nargs, int nresults, bool still)
{
	bool stop = still && mp_gc_still(L);
	int status = lua_pcall(L, nargs, nresults, 0);
	if (stop)
		mp_gc_goes_on(L);
	return status;
}

void mp_message_hold(lua_State *L, const mp_in *in, bool held)
{
	lua_pushcfunction(L, adopt);
	lua_pushlightuserdata(L, (void *)(uintptr_t)in);
	lua_pushboolean(L, held);
	if (mp_message_pcall(L, 2, 1, true) != LUA_OK)
		lua_error(L);
}

/* into: as in mp_decode_into, or 0. */
static int decode(lua_State *L, mp_state *st, const void *data, size_t len, int into,
                  const char *call)
{
	return into ? mp_decode_into(L, st->codec, data, len, 0, into, call)
	            : mp_decode(L, st->codec, data, len, 0, call);
}

static int read_into(lua_State *L, mp_state *st, const mp_in *in, bool held, int into,
                     const char *call)
{
	if (!in->nhandles)
		return decode(L, st, in->data, in->len, into, call);
	mp_message_hold(L, in, held);
	int keep = lua_gettop(L);
	int n = decode(L, st, in->data, in->len, into, call);
	lua_remove(L, keep);
	return n;
}

int mp_message_read(lua_State *L, mp_state *st, const mp_in *in, bool held,
                    const char *call)
{
	return read_into(L, st, in, held, 0, call);
}

typedef struct opening {
	mp_state *st;
	const mp_in *in;
	const char *call;
} opening;

/* (opening, [list]) */
static int open_protected(lua_State *L)
{
	opening *o = lua_touserdata(L, 1);
	return read_into(L, o->st, o->in, !o->in->leased, lua_gettop(L) == 2 ? 2 : 0, o->call);
}

/* Decoding may raise, and this one has something to give back. A leased one is
 * finished by task_done: no finalizer may call that while it is read. */
static int open_shared(lua_State *L, mp_state *st, mp_in *in, int into, const char *call)
{
	opening o = { st, in, call };
	int top = lua_gettop(L);
	lua_pushcfunction(L, open_protected);
	lua_pushlightuserdata(L, &o);
	if (into)
		lua_pushvalue(L, into);
	int status = mp_message_pcall(L, into ? 2 : 1, LUA_MULTRET, in->leased);
	mp_in_done(st->me, in);
	if (status != LUA_OK)
		return lua_error(L);
	return lua_gettop(L) - top;
}

/* Up to here copying the bytes aside is cheaper than a protected call. */
#define ASIDE 1024

static int open_aside(lua_State *L, mp_state *st, mp_in *in, int into, const char *call)
{
	unsigned char copy[ASIDE];
	size_t len = in->len;
	memcpy(copy, in->data, len);
	mp_in_done(st->me, in);
	return decode(L, st, copy, len, into, call);
}

int mp_message_open_into(lua_State *L, mp_state *st, mp_in *in, int into, const char *call)
{
	if (in->nhandles || in->len > ASIDE)
		return open_shared(L, st, in, into, call);
	if (in->block)
		return open_aside(L, st, in, into, call);
	return decode(L, st, in->data, in->len, into, call);
}

int mp_message_open(lua_State *L, mp_state *st, mp_in *in, const char *call)
{
	return mp_message_open_into(L, st, in, 0, call);
}
