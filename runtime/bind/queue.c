/* queue: mp.Queue, mp.JoinableQueue, mp.SimpleQueue. Arguments are checked and
 * results pushed here; what a queue does, msg/queue.c decides.
 *
 * A value is encoded into a private message (mp_out) before the queue is
 * touched: what cannot travel raises and leaves it unharmed.
 *
 * SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>

#include "../shm/bell.h"
#include "args.h"
#include "message.h"

/* Messages moved at a time by put_many and get_many; they lie on the stack. */
#define BATCH 128
/* Items of a list that are looked at before signals get their turn. */
#define MANY (1 << 20)

/* The call's name in errors, by the type that the method belongs to. */
static const char *call_of(lua_State *L, const char *const names[3])
{
	lua_Integer t = lua_tointeger(L, lua_upvalueindex(3));
	return names[t == MP_T_QUEUE ? 0 : t == MP_T_JOINABLE_QUEUE ? 1 : 2];
}

#define CALL(L, METHOD) call_of(L, (const char *const[]){ \
	"Queue:" METHOD, "JoinableQueue:" METHOD, "SimpleQueue:" METHOD })

/* "empty" and "full" are for who would not wait; a deadline that passed is a
 * "timeout", 0 included. */
static int outcome(lua_State *L, int rc, bool nowait, const char *call)
{
	if (nowait)
		return mp_fail(L, rc == MP_NOMEM ? MP_FULL : rc, call);
	if (rc == MP_FULL || rc == MP_EMPTY || rc == MP_NOMEM)
		rc = MP_TIMEOUT;
	return mp_fail(L, rc, call);
}

/* ---- put --------------------------------------------------------------------- */

static int put(lua_State *L, mp_ref *r, int64_t deadline, bool nowait,
               const char *call)
{
	mp_out out;
	mp_state *st = r->st;
	int rc;
	while ((rc = mp_message_make(L, st, 2, 1, call, &out)) == MP_NOMEM
	       && (rc = mp_message_room(L, r, deadline, call)) == MP_OK)
		;
	if (rc == MP_OK)
		rc = mp_message_send(L, r, r->body, &out, deadline, call);
	if (rc == MP_TOOBIG)
		mp_message_toobig(L, st, call);
	if (rc != MP_OK)
		return outcome(L, rc, nowait, call);
	lua_pushboolean(L, 1);
	return 1;
}

static void need_item(lua_State *L, const char *call)
{
	if (lua_gettop(L) < 2)
		mp_misuse(L, call, "no item given (nil is one, if written)");
}

static int queue_put(lua_State *L)
{
	const char *call = CALL(L, "put");
	mp_ref *r = mp_ref_self(L, call);
	int64_t deadline = MP_FOREVER;
	bool nowait = false;
	int n = lua_gettop(L);
	if (n != 2) {
		need_item(L, call);
		deadline = mp_arg_deadline(L, 3, call, &nowait);
	}
	return put(L, r, deadline, nowait, call);
}

static int queue_put_nowait(lua_State *L)
{
	const char *call = CALL(L, "put_nowait");
	mp_ref *r = mp_ref_self(L, call);
	need_item(L, call);
	return put(L, r, 0, true, call);
}

/* ---- put_many ------------------------------------------------------------------
 * Outside the protected part: the messages made and not yet put, which are
 * dropped whatever happens. */

typedef struct many {
	mp_ref *r;
	const char *call;
	int64_t deadline;
	lua_Integer next, last;    /* items still to be made */
	lua_Integer at;            /* the item that is encoded now, 0: none */
	lua_Integer total;         /* put */
	bool checked;
	int rc;
	uint32_t n, done;
	mp_out outs[BATCH];
} many;

/* Makes messages until the batch or the memory is full. */
static int fill(lua_State *L, many *m)
{
	m->n = m->done = 0;
	for (; m->n < BATCH && m->next <= m->last; m->next++) {
		m->at = m->next;
		lua_rawgeti(L, 1, m->next);
		int rc = mp_message_make(L, m->r->st, lua_gettop(L), 1,
		                         m->call, &m->outs[m->n]);
		lua_pop(L, 1);
		m->at = 0;
		if (rc != MP_OK)
			return rc;
		m->n++;
	}
	return MP_OK;
}

/* Nothing is put before every item is known to be one that can travel. What
 * lies behind the first batch is encoded once for that alone; plain values
 * need no look. */
static void check(lua_State *L, many *m)
{
	m->checked = true;
	for (m->at = m->next; m->at <= m->last; m->at++) {
		mp_encoded e;
		if (m->at % MANY == 0)
			mp_interrupt(L, m->r->st);
		int t = lua_rawgeti(L, 1, m->at);
		if (t != LUA_TNIL && t != LUA_TBOOLEAN && t != LUA_TNUMBER
		    && t != LUA_TSTRING)
			mp_encode(L, m->r->st->codec, lua_gettop(L), 1, m->call, &e);
		lua_pop(L, 1);
	}
	m->at = 0;
}

static int many_protected(lua_State *L)
{
	many *m = lua_touserdata(L, 2);
	while (m->rc == MP_OK && m->next <= m->last) {
		int made = fill(L, m);
		if (!m->checked)
			check(L, m);
		if (m->n && (made != MP_TOOBIG || m->total))
			m->rc = mp_message_put(L, m->r, m->r->body, m->outs, m->n,
			                       m->deadline, m->call, &m->done);
		else if (made == MP_NOMEM)
			m->rc = mp_message_room(L, m->r, m->deadline, m->call);
		else
			m->rc = made;
		m->total += m->done;
	}
	return 0;
}

/* Raises for the item at m->at, from here, where the script's line is known. */
static void blame(lua_State *L, many *m)
{
	mp_encoded e;
	const char *call = lua_pushfstring(L, "%s: item %I", m->call,
	                                   (LUAI_UACINT)m->at);
	lua_rawgeti(L, 2, m->at);
	mp_encode(L, m->r->st->codec, lua_gettop(L), 1, call, &e);
	lua_pop(L, 2);
}

static void put_list(lua_State *L, many *m)
{
	lua_pushcfunction(L, many_protected);
	lua_pushvalue(L, 2);
	lua_pushlightuserdata(L, m);
	int status = lua_pcall(L, 2, 0, 0);
	for (uint32_t i = m->done; i < m->n; i++)
		mp_out_drop(m->r->st->me, &m->outs[i]);
	if (status == LUA_OK)
		return;
	if (m->at)
		blame(L, m);
	lua_error(L);
}

static void many_init(lua_State *L, many *m)
{
	m->call = CALL(L, "put_many");
	m->r = mp_ref_self(L, m->call);
	m->next = 1;
	m->at = m->total = 0;
	m->checked = false;
	m->rc = MP_OK;
	m->n = m->done = 0;
}

static int queue_put_many(lua_State *L)
{
	many m;  /* large: no initialiser */
	many_init(L, &m);
	if (!lua_istable(L, 2))
		mp_misuse(L, m.call, "expected a list, got %s", luaL_typename(L, 2));
	m.deadline = mp_arg_timeout(L, 3, m.call);
	m.last = mp_arg_list(L, 2, m.call);
	put_list(L, &m);
	if (m.rc == MP_TOOBIG)
		mp_message_toobig(L, m.r->st, m.call);
	lua_pushinteger(L, m.total);
	if (m.rc == MP_OK)
		return 1;
	outcome(L, m.rc, false, m.call);
	lua_remove(L, -2);  /* the nil before the reason */
	return 2;
}

/* ---- get --------------------------------------------------------------------- */

/* Takes up to max, running signal handlers while it waits (nothing is held). */
static int take(lua_State *L, mp_ref *r, mp_in *ins, uint32_t max,
                int64_t deadline, const char *call, uint32_t *n)
{
	int rc;
	while ((rc = mp_queue_get(r->st->me, r->body, ins, max, deadline, n))
	       == MP_INTERRUPTED)
		mp_message_interrupt(L, r, call);
	mp_bell_settle(r->st->me, r->h);
	return rc;
}

/* After the item: nil, "redelivered" if another had it and did not finish. */
static int again(lua_State *L, const mp_in *in)
{
	if (!in->leased || in->tries < 2)
		return 1;
	lua_pushnil(L);
	lua_pushliteral(L, "redelivered");
	return 3;
}

static int get(lua_State *L, mp_ref *r, int64_t deadline, bool nowait,
               const char *call)
{
	mp_in in;
	uint32_t n;
	int rc = take(L, r, &in, 1, deadline, call, &n);
	if (rc != MP_OK)
		return outcome(L, rc, nowait, call);
	mp_message_open(L, r->st, &in, call);
	return again(L, &in);
}

static int queue_get(lua_State *L)
{
	const char *call = CALL(L, "get");
	mp_ref *r = mp_ref_self(L, call);
	int64_t deadline = MP_FOREVER;
	bool nowait = false;
	if (lua_gettop(L) > 1)
		deadline = mp_arg_deadline(L, 2, call, &nowait);
	return get(L, r, deadline, nowait, call);
}

static int queue_get_nowait(lua_State *L)
{
	const char *call = CALL(L, "get_nowait");
	return get(L, mp_ref_self(L, call), 0, true, call);
}

static int items_next(lua_State *L)
{
	const char *call = CALL(L, "items");
	mp_in in;
	uint32_t n;
	mp_ref *r = mp_ref_self(L, call);
	int rc = take(L, r, &in, 1, MP_FOREVER, call, &n);
	if (rc == MP_CLOSED)
		return 0;
	if (rc != MP_OK)
		return mp_fail(L, rc, call);
	mp_message_open(L, r->st, &in, call);
	if (lua_isnil(L, -1))
		mp_misuse(L, call, "a nil item would end the loop; use get for "
		          "queues that carry nil");
	return 1;
}

static int queue_items(lua_State *L)
{
	mp_ref_self(L, CALL(L, "items"));
	for (int i = 1; i <= 3; i++)
		lua_pushvalue(L, lua_upvalueindex(i));
	lua_pushcclosure(L, items_next, 3);
	lua_pushvalue(L, 1);
	return 2;
}

/* ---- get_many ---------------------------------------------------------------- */

typedef struct batch {
	mp_ref *r;
	const char *call;
	uint32_t n, next;          /* taken; the next to be decoded */
	lua_Integer total, good;   /* places in the list; items in it */
	mp_in ins[BATCH];
} batch;

enum { LIST = 4, WHY, AGAIN };  /* where get_many's results lie */

/* Notes that the item at place i was given out before. */
static void note_again(lua_State *L, const mp_in *in, lua_Integer i)
{
	if (!in->leased || in->tries < 2)
		return;
	if (lua_isnil(L, AGAIN)) {
		lua_newtable(L);
		lua_replace(L, AGAIN);
	}
	lua_pushboolean(L, 1);
	lua_rawseti(L, AGAIN, i);
}

static int decode_protected(lua_State *L)
{
	batch *b = lua_touserdata(L, 2);
	mp_state *st = b->r->st;
	while (b->next < b->n) {
		mp_in *in = &b->ins[b->next];
		mp_message_read(L, st, in, !in->leased, b->call);
		lua_rawseti(L, 1, b->total + 1);
		b->total++;
		b->good++;
		b->next++;
		mp_in_done(st->me, in);
	}
	return 0;
}

/* Decodes what was taken into the list. An item that cannot be decoded here
 * costs no other: it is left out (one in work leaves its place empty, for it
 * counts for task_done), and the first one's reason is put at WHY. */
static void decode(lua_State *L, batch *b)
{
	bool leased = b->ins[0].leased;
	lua_Integer from = b->total;
	while (b->next < b->n) {
		lua_pushcfunction(L, decode_protected);
		lua_pushvalue(L, LIST);
		lua_pushlightuserdata(L, b);
		if (mp_message_pcall(L, 2, 0, leased) == LUA_OK)
			break;
		if (lua_isnil(L, WHY))
			lua_copy(L, -1, WHY);
		lua_pop(L, 1);
		b->total += leased;
		mp_in_done(b->r->st->me, &b->ins[b->next++]);
	}
	for (uint32_t i = 0; i < b->n; i++)
		note_again(L, &b->ins[i], from + i + 1);
}

static uint32_t up_to(lua_Integer left)
{
	return left < BATCH ? (uint32_t)left : BATCH;
}

static void set_n(lua_State *L, int list, lua_Integer n)
{
	lua_pushliteral(L, "n");
	lua_pushinteger(L, n);
	lua_rawset(L, list);
}

/* The list; with it, should an item have been undecodable here, why; and the
 * places of those that were redelivered. */
static int push_taken(lua_State *L, batch *b)
{
	set_n(L, LIST, b->total);
	if (!b->good) {
		lua_settop(L, WHY);
		return lua_error(L);
	}
	while (lua_isnil(L, -1))
		lua_pop(L, 1);
	return lua_gettop(L) - LIST + 1;
}

static int queue_get_many(lua_State *L)
{
	batch b;
	b.call = CALL(L, "get_many");
	b.r = mp_ref_self(L, b.call);
	b.total = b.good = 0;
	lua_Integer max = mp_arg_max(L, 2, b.call), got = 0;
	int64_t deadline = mp_arg_timeout(L, 3, b.call);
	lua_settop(L, 3);
	int rc = take(L, b.r, b.ins, up_to(max), deadline, b.call, &b.n);
	if (rc != MP_OK)
		return outcome(L, rc, false, b.call);
	lua_createtable(L, (int)b.n, 1);
	lua_settop(L, AGAIN);
	for (;;) {
		uint32_t asked = up_to(max - got);
		b.next = 0;
		got += b.n;
		decode(L, &b);
		if (b.n < asked || got == max ||
		    take(L, b.r, b.ins, up_to(max - got), 0, b.call, &b.n) != MP_OK)
			break;
	}
	return push_taken(L, &b);
}

/* ---- the rest ------------------------------------------------------------------ */

typedef struct peeked {
	mp_state *st;
	const char *call;
	const unsigned char *data;
	size_t len;
} peeked;

static int peek_protected(lua_State *L)
{
	peeked *p = lua_touserdata(L, 1);
	return mp_decode(L, p->st->codec, p->data, p->len, 0, p->call);
}

static int queue_peek(lua_State *L)
{
	peeked p = { .call = CALL(L, "peek") };
	mp_ref *r = mp_ref_self(L, p.call);
	unsigned char *data;
	int rc = mp_queue_peek(r->st->me, r->body, &data, &p.len);
	if (rc != MP_OK)
		return mp_fail(L, rc, p.call);
	p.st = r->st;
	p.data = data;
	lua_pushcfunction(L, peek_protected);
	lua_pushlightuserdata(L, &p);
	int status = lua_pcall(L, 1, 1, 0);
	free(data);
	return status == LUA_OK ? 1 : lua_error(L);
}

static int queue_close(lua_State *L)
{
	const char *call = CALL(L, "close");
	mp_ref *r = mp_ref_self(L, call);
	int t = lua_type(L, 2);
	if (t != LUA_TNONE && t != LUA_TNIL && t != LUA_TBOOLEAN)
		mp_misuse(L, call, "drop must be true or false, got %s",
		          luaL_tolstring(L, 2, NULL));
	mp_queue_close(r->st->me, r->body, lua_toboolean(L, 2));
	return 0;
}

static mp_queue_stat stats(lua_State *L, const char *call)
{
	mp_queue_stat s;
	mp_ref *r = mp_ref_self(L, call);
	mp_queue_stats(r->st->me, r->body, &s);
	return s;
}

static int queue_qsize(lua_State *L)
{
	lua_pushinteger(L, (lua_Integer)stats(L, CALL(L, "qsize")).waiting);
	return 1;
}

static int queue_empty(lua_State *L)
{
	lua_pushboolean(L, stats(L, CALL(L, "empty")).waiting == 0);
	return 1;
}

static int queue_full(lua_State *L)
{
	lua_pushboolean(L, stats(L, CALL(L, "full")).full);
	return 1;
}

static int queue_closed(lua_State *L)
{
	lua_pushboolean(L, mp_queue_closed(mp_ref_self(L, CALL(L, "closed"))->body));
	return 1;
}

static int queue_fileno(lua_State *L)
{
	return mp_bell_fileno(L, CALL(L, "fileno"));
}

/* There is no feeder thread: put has put when it returns. */
static int queue_join_thread(lua_State *L)
{
	mp_ref_self(L, CALL(L, "join_thread"));
	return 0;
}

/* ---- JoinableQueue ------------------------------------------------------------- */

static int queue_task_done(lua_State *L)
{
	const char *call = CALL(L, "task_done");
	mp_ref *r = mp_ref_self(L, call);
	if (mp_queue_task_done(r->st->me, r->body) != MP_OK)
		mp_misuse(L, call, "this process has no unfinished item of this "
		          "queue; call it once for each item it has got");
	return 0;
}

static int queue_join(lua_State *L)
{
	const char *call = CALL(L, "join");
	mp_ref *r = mp_ref_self(L, call);
	int64_t deadline = mp_arg_timeout(L, 2, call);
	int rc;
	while ((rc = mp_queue_join(r->st->me, r->body, deadline)) == MP_INTERRUPTED)
		mp_message_interrupt(L, r, call);
	if (rc == -EDEADLK)
		mp_misuse(L, call, "this process has unfinished items of this queue "
		          "itself (%d) and would wait for itself for ever; call "
		          "task_done before", (int)mp_queue_in_work(r->st->me, r->body));
	if (rc != MP_OK)
		return mp_fail(L, rc, call);
	lua_pushboolean(L, 1);
	return 1;
}

/* ---- SimpleQueue --------------------------------------------------------------- */

static int simple_empty(lua_State *L)
{
	const char *call = CALL(L, "empty");
	if (mp_queue_closed(mp_ref_self(L, call)->body))
		mp_misuse(L, call, "this SimpleQueue is closed");
	return queue_empty(L);
}

/* ---- the types ------------------------------------------------------------------ */

#define QUEUE_METHODS \
	{ "put", queue_put }, \
	{ "put_nowait", queue_put_nowait }, \
	{ "put_many", queue_put_many }, \
	{ "get", queue_get }, \
	{ "get_nowait", queue_get_nowait }, \
	{ "get_many", queue_get_many }, \
	{ "items", queue_items }, \
	{ "peek", queue_peek }, \
	{ "close", queue_close }, \
	{ "closed", queue_closed }, \
	{ "qsize", queue_qsize }, \
	{ "empty", queue_empty }, \
	{ "full", queue_full }, \
	{ "fileno", queue_fileno }, \
	{ "join_thread", queue_join_thread }, \
	{ "cancel_join_thread", queue_join_thread }

static const luaL_Reg queue_methods[] = {
	QUEUE_METHODS,
	{ NULL, NULL }
};

static const luaL_Reg joinable_methods[] = {
	QUEUE_METHODS,
	{ "task_done", queue_task_done },
	{ "join", queue_join },
	{ NULL, NULL }
};

static const luaL_Reg simple_methods[] = {
	{ "put", queue_put },
	{ "get", queue_get },
	{ "empty", simple_empty },
	{ "close", queue_close },
	{ NULL, NULL }
};

/* A count as the constructor takes it: absent, 0 (unlimited, as in
 * multiprocessing), or a positive integer. */
static uint64_t arg_maxsize(lua_State *L, const char *call)
{
	if (lua_isnoneornil(L, 1))
		return 0;
	int isint = 0;
	lua_Integer n = 0;
	if (lua_type(L, 1) == LUA_TNUMBER)
		n = lua_tointegerx(L, 1, &isint);
	if (!isint || n < 0)
		mp_misuse(L, call, lua_type(L, 1) == LUA_TSTRING
		          ? "maxsize must be a positive integer, got \"%s\""
		          : "maxsize must be a positive integer, got %s",
		          luaL_tolstring(L, 1, NULL));
	return (uint64_t)n;
}

static int create(lua_State *L, uint64_t max, uint32_t flags, const char *call)
{
	mp_handle h;
	mp_state *st = mp_state_of(L);
	mp_self *me = mp_state_self(L, st, call);
	bool tried = false;
	int rc;
	do
		rc = mp_queue_create(me, max, flags, &h);
	while (mp_make_room(L, rc, &tried));
	if (rc != MP_OK)
		return mp_fail(L, rc, call);
	mp_ref_push(L, st, h, true);
	return 1;
}

static int new_queue(lua_State *L)
{
	static const char call[] = "mp.Queue";
	return create(L, arg_maxsize(L, call), 0, call);
}

static int new_joinable(lua_State *L)
{
	static const char call[] = "mp.JoinableQueue";
	return create(L, arg_maxsize(L, call), MP_Q_JOINABLE, call);
}

static int new_simple(lua_State *L)
{
	return create(L, 0, MP_Q_SIMPLE, "mp.SimpleQueue");
}

void mp_open_queue(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "Queue", new_queue },
		{ "JoinableQueue", new_joinable },
		{ "SimpleQueue", new_simple },
		{ NULL, NULL }
	};
	mp_type_define(L, MP_T_QUEUE, "Queue", queue_methods);
	mp_type_define(L, MP_T_JOINABLE_QUEUE, "JoinableQueue", joinable_methods);
	mp_type_define(L, MP_T_SIMPLE_QUEUE, "SimpleQueue", simple_methods);
	luaL_setfuncs(L, functions, 0);
}
