/* task: what pools are made of, on the table mp.core; not for scripts.
 *
 * A pool is a queue of tasks T and one of results R, both made by core.link,
 * and a board (msg/board.h), an Array of i64 with 8 elements for each worker
 * and 8 more. A task and its result have the same id, 0 < id < 2^48. A worker
 * leases one task; finishing it and putting its result is one commit.
 *
 *   core.task_put(T, call, id, timeout, …) -> its bytes | nil, "timeout" |
 *                             nil, "closed"; call is named in errors
 *   core.task_got(R, process, timeout, [f, x], [lists]) -> id, values… | id, "undecodable", text
 *                             | nil, "timeout" | nil, "closed" | nil, "lost":
 *                             the process (nil: none) has ended, and nothing is
 *                             left in R | nil, "again": a signal's handler ran,
 *                             and may have taken what was waited for. With f,
 *                             what there is becomes f(x, id, …), which is
 *                             returned; no handler runs before or in that.
 *                             lists[id] is where a part with a place goes (see
 *                             core.part)
 *   core.task_withdraw(T, id, [most]) -> how many tasks with this id were taken out
 *   core.task_condemn(board, k, id, [late]) -> boolean: worker k, which runs this
 *                             task, will not hand it over; late: if its time is over
 *   core.task_state(board, k) -> nil | id, "running" | "finishing" | "condemned"
 *   core.serve()              who calls it is a supervisor: reports of deadlocks
 *                             pass over it
 *   core.task_leave(board, n) so many workers are to leave
 *   core.task_next(board, ns) deadlines are looked at next then; to be called
 *                             before a look that must miss none
 *   core.memory()             bytes that the shared memory may have
 *   core.resident([pid])      bytes of memory of a process, or this one; 0: not
 *                             known
 *   core.can_send(call, v)    raises where v cannot travel
 *   core.encoded(call, v)     the same; the bytes that v would travel as
 *
 * What a worker calls is in work.c.
 *
 * SPDX-License-Identifier: MIT */
#include "task.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../base/clock.h"
#include "../codec/pack.h"
#include "../shm/bell.h"

/* ---- what both sides need -------------------------------------------------------- */

const char mp_task_pool[] = "Pool";

int mp_task_none(lua_State *L, const char *why)
{
	lua_pushnil(L);
	lua_pushstring(L, why);
	return 2;
}

mp_ref *mp_task_ref(lua_State *L, int idx, enum mp_type type, const char *call, const char *what)
{
	mp_ref *r = mp_ref_test(L, idx, type);
	if (!r || !r->h)
		mp_misuse(L, call, "%s must be open here, and of its type; got %s", what,
		          luaL_typename(L, idx));
	return r;
}

static lua_Integer id_at(lua_State *L, int arg, const char *call)
{
	lua_Integer id = luaL_checkinteger(L, arg);
	if (id < 1 || id > MP_BOARD_ID)
		mp_misuse(L, call, "an id must be positive and less than 2^48, got %I",
		          (LUAI_UACINT)id);
	return id;
}

mp_board_word *mp_task_line(const mp_ref *r, lua_Integer k)
{
	if (k < 1 || (uint64_t)k > mp_board_workers(r->body))
		return NULL;
	return mp_board_line(r->body, (uint64_t)k);
}

/* ---- messages ------------------------------------------------------------------- */

/* Takes the id off. */
int64_t mp_task_take_id(mp_in *in)
{
	int64_t id = 0;
	if (in->len >= sizeof id) {
		memcpy(&id, in->data, sizeof id);
		in->data += sizeof id;
		in->len -= sizeof id;
	}
	return id;
}

/* Makes a message, waiting until there is memory: MP_OK or as mp_message_room. */
int mp_task_make(lua_State *L, mp_ref *r, int64_t id, int first, int n, int64_t deadline,
                const char *call, mp_out *out)
{
	int rc;
	while ((rc = mp_message_make_task(L, r->st, (uint64_t)id, first, n, call, out)) == MP_NOMEM
	       && (rc = mp_message_room(L, r, deadline, call)) == MP_OK)
		;
	if (rc == MP_TOOBIG)
		mp_message_toobig(L, r->st, call);
	return rc;
}

typedef struct reading {
	mp_state *st;
	mp_in *in;
} reading;

static int open_protected(lua_State *L)
{
	reading *r = lua_touserdata(L, 1);
	return mp_message_open_into(L, r->st, r->in, lua_istable(L, 2) ? 2 : 0, mp_task_pool);
}

static int read_protected(lua_State *L)
{
	reading *r = lua_touserdata(L, 1);
	return mp_message_read(L, r->st, r->in, false, mp_task_pool);
}

/* Pushes the values, or why there are none. */
bool mp_task_decode(lua_State *L, mp_state *st, mp_in *in, bool leased)
{
	reading r = { st, in };
	lua_pushcfunction(L, leased ? read_protected : open_protected);
	lua_pushlightuserdata(L, &r);
	lua_rotate(L, -3, -1);
	if (lua_pcall(L, 2, LUA_MULTRET, 0) == LUA_OK)
		return true;
	if (mp_is_interrupt(L, -1))
		mp_pass_interrupt(L);
	luaL_tolstring(L, -1, NULL);
	lua_remove(L, -2);
	return false;
}

/* Upvalue 1 of all functions. */
static mp_state *state(lua_State *L, const char *call)
{
	mp_state *st = lua_touserdata(L, lua_upvalueindex(1));
	mp_state_self(L, st, call);
	return st;
}

/* ---- who submits ---------------------------------------------------------------- */

static int core_task_put(lua_State *L)
{
	mp_state *st = state(L, "core.task_put");
	const char *call = luaL_checkstring(L, 2);
	mp_ref *r = mp_task_ref(L, 1, MP_T_QUEUE, call, "the queue");
	int64_t id = id_at(L, 3, call), deadline = mp_arg_timeout(L, 4, call);
	mp_out out;
	int rc = mp_task_make(L, r, id, 5, lua_gettop(L) - 4, deadline, call, &out);
	uint32_t len = rc == MP_OK ? out.len : 0;
	if (rc == MP_OK)
		rc = mp_message_send(L, r, r->body, &out, deadline, call);
	if (rc == MP_TOOBIG)
		mp_message_toobig(L, st, call);
	if (rc == MP_FULL || rc == MP_NOMEM)
		rc = MP_TIMEOUT;
	if (rc != MP_OK)
		return mp_fail(L, rc, call);
	lua_pushinteger(L, len);
	return 1;
}

static bool is_gone(mp_state *st, const mp_process *p)
{
	mp_aid aid = atomic_load(&p->aid);
	return atomic_load(&p->state) == MP_P_ENDED || (aid && mp_gone(&st->rt->shm, aid));
}

/* What a dead one has committed may lie there unseen, in a queue that it had
 * latched: to ask for the numbers repairs that. */
static int last_look(mp_self *me, mp_queue *q, mp_in *in)
{
	mp_queue_stat st;
	uint32_t n;
	mp_queue_stats(me, q, &st);
	return mp_queue_get(me, q, in, 1, 0, &n);
}

/* As mp_queue_get; MP_EOF: p is gone, and nothing is left; MP_INTERRUPTED:
 * handlers have run. */
static int get(lua_State *L, mp_ref *r, const mp_process *p, int64_t deadline,
               const char *call, mp_in *in)
{
	mp_state *st = r->st;
	for (;;) {
		uint32_t n;
		int rc;
		if (p && is_gone(st, p)) {
			rc = last_look(st->me, r->body, in);
			return rc == MP_EMPTY ? MP_EOF : rc;
		}
		st->watched = p ? atomic_load(&p->aid) : 0;
		rc = mp_queue_get(st->me, r->body, in, 1, deadline, &n);
		st->watched = 0;
		if (rc == MP_INTERRUPTED)
			mp_message_interrupt(L, r, call);
		if (rc != MP_INTERRUPTED || !(p && is_gone(st, p)))
			return rc;
	}
}

/* f(x, the n values on top), in their place. What a handler raised before the
 * values are where they belong, they would be lost with. */
static int deliver(lua_State *L, mp_state *st, int n)
{
	int top = lua_gettop(L) - n;
	lua_pushvalue(L, 4);
	lua_pushvalue(L, 5);
	lua_rotate(L, top + 1, 2);
	st->held++;
	int status = lua_pcall(L, n + 1, LUA_MULTRET, 0);
	st->held--;
	if (status != LUA_OK)
		return lua_error(L);
	if (st->signals)
		mp_interrupt(L, st);
	return lua_gettop(L) - top;
}

static int core_task_got(lua_State *L)
{
	static const char call[] = "core.task_got";
	mp_state *st = state(L, call);
	mp_ref *r = mp_task_ref(L, 1, MP_T_QUEUE, call, "the queue");
	const mp_process *p = lua_isnoneornil(L, 2) ? NULL
	                      : mp_task_ref(L, 2, MP_T_PROCESS, call, "the process")->body;
	int64_t deadline = mp_arg_timeout(L, 3, call);
	mp_in in;
	lua_settop(L, 6);
	int rc = get(L, r, p, deadline, call, &in);
	mp_bell_settle(st->me, r->h);
	if (rc == MP_EOF)
		return mp_task_none(L, "lost");
	if (rc == MP_INTERRUPTED)
		return mp_task_none(L, "again");
	if (rc != MP_OK)
		return mp_fail(L, rc == MP_EMPTY ? MP_TIMEOUT : rc, call);
	int top = lua_gettop(L);
	int64_t id = mp_task_take_id(&in);
	lua_pushinteger(L, id);
	if (lua_istable(L, 6))
		lua_rawgeti(L, 6, id);
	else
		lua_pushnil(L);
	if (!mp_task_decode(L, st, &in, false)) {
		lua_pushliteral(L, "undecodable");
		lua_insert(L, -2);
	}
	int n = lua_gettop(L) - top;
	return lua_isnoneornil(L, 4) ? n : deliver(L, st, n);
}

static int core_task_withdraw(lua_State *L)
{
	static const char call[] = "core.task_withdraw";
	mp_state *st = state(L, call);
	mp_ref *r = mp_task_ref(L, 1, MP_T_QUEUE, call, "the queue");
	lua_Integer id = id_at(L, 2, call);
	lua_Integer most = luaL_optinteger(L, 3, UINT32_MAX);
	lua_pushinteger(L, mp_queue_withdraw(st->me, r->body, (uint64_t)id, (uint32_t)most));
	return 1;
}

/* ---- the board ------------------------------------------------------------------ */

static mp_board_word *line_at(lua_State *L, const char *call)
{
	state(L, call);
	lua_Integer k = luaL_checkinteger(L, 2);
	mp_board_word *line = mp_task_line(mp_task_ref(L, 1, MP_T_ARRAY, call, "the board"), k);
	if (!line)
		mp_misuse(L, call, "the board has no worker %I", (LUAI_UACINT)k);
	return line;
}

static int core_task_condemn(lua_State *L)
{
	static const char call[] = "core.task_condemn";
	mp_board_word *line = line_at(L, call);
	lua_Integer id = id_at(L, 3, call);
	int64_t state = atomic_load(&line[MP_BOARD_STATE]);
	/* Of this state: a deadline is written before its state is. */
	int64_t deadline = atomic_load(&line[MP_BOARD_DEADLINE]);
	bool spared = lua_toboolean(L, 4) && (!deadline || deadline > mp_now());
	lua_pushboolean(L, !spared && !(state & MP_BOARD_BITS) && (state & MP_BOARD_ID) == id &&
	                   mp_board_move(line, state, MP_BOARD_CONDEMNED));
	return 1;
}

static int core_task_state(lua_State *L)
{
	int64_t state = atomic_load(&line_at(L, "core.task_state")[MP_BOARD_STATE]);
	if (!state)
		return 0;
	lua_pushinteger(L, state & MP_BOARD_ID);
	lua_pushstring(L, state & MP_BOARD_FINISHING ? "finishing"
	               : state & MP_BOARD_CONDEMNED ? "condemned" : "running");
	return 2;
}

/* The board's line of all. */
static mp_board_word *all_at(lua_State *L, const char *call)
{
	state(L, call);
	const mp_ref *r = mp_task_ref(L, 1, MP_T_ARRAY, call, "the board");
	if (!mp_board_workers(r->body))
		mp_misuse(L, call, "the board has no worker 1");
	return mp_board_line(r->body, 0);
}

static int core_serve(lua_State *L)
{
	atomic_store(&state(L, "core.serve")->me->slot->serves, 1);
	return 0;
}

static int core_task_leave(lua_State *L)
{
	mp_board_word *all = all_at(L, "core.task_leave");
	atomic_store(&all[MP_BOARD_LEAVE], luaL_checkinteger(L, 2));
	return 0;
}

/* No load that follows may overtake the store: who begins a task meanwhile
 * sees the new time, or its task is seen. */
static int core_task_next(lua_State *L)
{
	mp_board_word *all = all_at(L, "core.task_next");
	atomic_store(&all[MP_BOARD_NEXT], luaL_checkinteger(L, 2));
	return 0;
}

static int core_can_send(lua_State *L)
{
	mp_encoded e;
	mp_encode(L, state(L, mp_task_pool)->codec, 2, 1, luaL_checkstring(L, 1), &e);
	return 0;
}

static int core_encoded(lua_State *L)
{
	mp_encoded e;
	mp_encode(L, state(L, mp_task_pool)->codec, 2, 1, luaL_checkstring(L, 1), &e);
	mp_pack_push(L, &e);
	return 1;
}

static int core_memory(lua_State *L)
{
	const mp_shm *s = state(L, "core.memory")->me->shm;
	uint64_t bytes = (uint64_t)s->h->nchunks << MP_CHUNK_SHIFT;
	lua_pushinteger(L, (lua_Integer)bytes);
	return 1;
}

static int core_resident(lua_State *L)
{
	char text[128] = "/proc/self/statm";
	long long pages = 0;
	if (!lua_isnoneornil(L, 1))
		snprintf(text, sizeof text, "/proc/%lld/statm", (long long)luaL_checkinteger(L, 1));
	int fd = open(text, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = 0;
	if (sscanf(text, "%*d %lld", &pages) != 1)
		pages = 0;
	lua_pushinteger(L, pages * sysconf(_SC_PAGESIZE));
	return 1;
}

static const luaL_Reg functions[] = {
	{ "task_put", core_task_put },
	{ "task_got", core_task_got },
	{ "task_withdraw", core_task_withdraw },
	{ "task_condemn", core_task_condemn },
	{ "task_state", core_task_state },
	{ "serve", core_serve },
	{ "task_leave", core_task_leave },
	{ "task_next", core_task_next },
	{ "can_send", core_can_send },
	{ "encoded", core_encoded },
	{ "memory", core_memory },
	{ "resident", core_resident },
	{ NULL, NULL }
};

void mp_open_task(lua_State *L)
{
	lua_getfield(L, -1, "core");
	lua_pushlightuserdata(L, mp_state_of(L));
	luaL_setfuncs(L, functions, 1);
	lua_pop(L, 1);
}
