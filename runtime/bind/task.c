/* task: what pools are made of, on the table mp.core; not for scripts.
 *
 * A pool is a queue of tasks T and one of results R, both made by core.link,
 * and a board (msg/board.h), an Array of i64 with 8 elements for each worker
 * and 8 more. A task and its result have the same id, 0 < id < 2^48. A worker
 * leases one task; finishing it and putting its result is one commit.
 *
 *   core.task_put(T, call, id, timeout, …) -> its bytes | nil, "timeout" |
 *                             nil, "closed"; call is named in errors
 *   core.task_got(R, process, timeout, [f, x]) -> id, values… | id, "undecodable", text
 *                             | nil, "timeout" | nil, "closed" | nil, "lost":
 *                             the process (nil: none) has ended, and nothing is
 *                             left in R | nil, "again": a signal's handler ran,
 *                             and may have taken what was waited for. With f,
 *                             what there is becomes f(x, id, …), which is
 *                             returned; no handler runs before or in that
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
 * of a worker:
 *   core.task_open{tasks=, results=, board=, number=k, creator=process, thread=}
 *   core.task_take([timeout], [most]) -> id, tries, label, values… | id, -tries,
 *                             label, text (it cannot be decoded here) | id,
 *                             tries, 0: more tries than `most` and none began
 *                             it, so it is not read again | nil, "closed"
 *                             | nil, "leave" (a ticket was taken) | nil, "orphan"
 *                             | nil, "idle" (nothing in that time)
 *   core.task_begin(label, [timeout], [first]) -> must the supervisor be told, for
 *                             its deadline comes before the next look? The
 *                             label is what the next holder is given, should
 *                             this one die; first, of a chunk, its first item,
 *                             is noted on the board. Again: only the label, and
 *                             a timeout.
 *   core.task_elapsed()       ns since the task began
 *   core.task_counts(n)       it is to count as so many on the board, not as one
 *   core.task_done(…) -> ns that it took | nil, "closed"
 *   core.task_split(n, m, …)  the same; the first n values are the result, of
 *                             the others each m go into T (two at most) as a task
 *                             with the same id
 *                             nil, "closed", and what cannot be sent: nothing
 *                             has happened, the task is still this worker's
 *   core.task_release()       gives the task back
 *
 * A worker that is condemned meanwhile does not return from task_done: it waits
 * for the signal that ends it. A thread, which no signal ends, and one whose
 * creator is gone raise { name = "Condemned" }.
 *
 * SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../base/clock.h"
#include "../codec/pack.h"
#include "../msg/board.h"
#include "../proc/process.h"
#include "../shm/bell.h"
#include "../shm/eventcount.h"
#include "message.h"

static const char pool[] = "Pool";  /* whom errors name that a task's author sees */

/* Upvalue 1 of all functions; its user value keeps what it refers to. */
typedef struct worker {
	mp_state *st;
	mp_ref *tasks, *results;
	mp_board_word *all, *line;  /* of the board */
	mp_aid self;                /* whom task_open made a worker; 0: nobody */
	mp_aid creator;
	bool thread;
	bool begun;
	int64_t id;                 /* of the task in hand, 0: none */
	int64_t state;              /* of the board, once it has begun */
	uint64_t turns;             /* tasks begun */
	int64_t counts;             /* as so many tasks */
	int64_t began;
} worker;

static worker *upvalue(lua_State *L, const char *call)
{
	worker *w = lua_touserdata(L, lua_upvalueindex(1));
	mp_state_self(L, w->st, call);
	return w;
}

static int none(lua_State *L, const char *why)
{
	lua_pushnil(L);
	lua_pushstring(L, why);
	return 2;
}

static mp_ref *ref_of(lua_State *L, int idx, enum mp_type type, const char *call, const char *what)
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

/* ---- messages ------------------------------------------------------------------- */

/* Takes the id off. */
static int64_t id_of(mp_in *in)
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
static int make(lua_State *L, mp_ref *r, int64_t id, int first, int n, int64_t deadline,
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
	return mp_message_open(L, r->st, r->in, pool);
}

static int read_protected(lua_State *L)
{
	reading *r = lua_touserdata(L, 1);
	return mp_message_read(L, r->st, r->in, false, pool);
}

/* Pushes the values, or why there are none. */
static bool decode(lua_State *L, mp_state *st, mp_in *in, lua_CFunction how)
{
	reading r = { st, in };
	lua_pushcfunction(L, how);
	lua_pushlightuserdata(L, &r);
	if (lua_pcall(L, 1, LUA_MULTRET, 0) == LUA_OK)
		return true;
	if (mp_is_interrupt(L, -1))
		mp_pass_interrupt(L);
	luaL_tolstring(L, -1, NULL);
	lua_remove(L, -2);
	return false;
}

/* ---- who submits ---------------------------------------------------------------- */

static int core_task_put(lua_State *L)
{
	mp_state *st = upvalue(L, "core.task_put")->st;
	const char *call = luaL_checkstring(L, 2);
	mp_ref *r = ref_of(L, 1, MP_T_QUEUE, call, "the queue");
	int64_t id = id_at(L, 3, call), deadline = mp_arg_timeout(L, 4, call);
	mp_out out;
	int rc = make(L, r, id, 5, lua_gettop(L) - 4, deadline, call, &out);
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
	mp_state *st = upvalue(L, call)->st;
	mp_ref *r = ref_of(L, 1, MP_T_QUEUE, call, "the queue");
	const mp_process *p = lua_isnoneornil(L, 2) ? NULL
	                      : ref_of(L, 2, MP_T_PROCESS, call, "the process")->body;
	int64_t deadline = mp_arg_timeout(L, 3, call);
	mp_in in;
	lua_settop(L, 5);
	int rc = get(L, r, p, deadline, call, &in);
	mp_bell_settle(st->me, r->h);
	if (rc == MP_EOF)
		return none(L, "lost");
	if (rc == MP_INTERRUPTED)
		return none(L, "again");
	if (rc != MP_OK)
		return mp_fail(L, rc == MP_EMPTY ? MP_TIMEOUT : rc, call);
	int top = lua_gettop(L);
	lua_pushinteger(L, id_of(&in));
	if (!decode(L, st, &in, open_protected)) {
		lua_pushliteral(L, "undecodable");
		lua_insert(L, -2);
	}
	int n = lua_gettop(L) - top;
	return lua_isnoneornil(L, 4) ? n : deliver(L, st, n);
}

static int core_task_withdraw(lua_State *L)
{
	static const char call[] = "core.task_withdraw";
	mp_state *st = upvalue(L, call)->st;
	mp_ref *r = ref_of(L, 1, MP_T_QUEUE, call, "the queue");
	lua_Integer id = id_at(L, 2, call);
	lua_Integer most = luaL_optinteger(L, 3, UINT32_MAX);
	lua_pushinteger(L, mp_queue_withdraw(st->me, r->body, (uint64_t)id, (uint32_t)most));
	return 1;
}

/* ---- the board ------------------------------------------------------------------ */

/* Line k, or NULL: the array has none. */
static mp_board_word *line_of(const mp_ref *r, lua_Integer k)
{
	if (k < 1 || (uint64_t)k > mp_board_workers(r->body))
		return NULL;
	return mp_board_line(r->body, (uint64_t)k);
}

static mp_board_word *line_at(lua_State *L, const char *call)
{
	upvalue(L, call);
	lua_Integer k = luaL_checkinteger(L, 2);
	mp_board_word *line = line_of(ref_of(L, 1, MP_T_ARRAY, call, "the board"), k);
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
	upvalue(L, call);
	const mp_ref *r = ref_of(L, 1, MP_T_ARRAY, call, "the board");
	if (!mp_board_workers(r->body))
		mp_misuse(L, call, "the board has no worker 1");
	return mp_board_line(r->body, 0);
}

static int core_serve(lua_State *L)
{
	atomic_store(&upvalue(L, "core.serve")->st->me->slot->serves, 1);
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
	mp_encode(L, upvalue(L, pool)->st->codec, 2, 1, luaL_checkstring(L, 1), &e);
	return 0;
}

static int core_encoded(lua_State *L)
{
	mp_encoded e;
	mp_encode(L, upvalue(L, pool)->st->codec, 2, 1, luaL_checkstring(L, 1), &e);
	mp_pack_push(L, &e);
	return 1;
}

static int core_memory(lua_State *L)
{
	const mp_shm *s = upvalue(L, "core.memory")->st->me->shm;
	lua_pushinteger(L, (lua_Integer)((uint64_t)s->h->nchunks << MP_CHUNK_SHIFT));
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

/* ---- a worker: opening ----------------------------------------------------------- */

/* Leaves it on the stack. */
static mp_ref *field(lua_State *L, const char *name, enum mp_type type, const char *call)
{
	lua_getfield(L, 1, name);
	return ref_of(L, lua_gettop(L), type, call, name);
}

static void enter(worker *w, mp_self *me)
{
	for (int i = 0; i < MP_BOARD_WORDS; i++)
		atomic_store(&w->line[i], 0);
	atomic_store(&w->line[MP_BOARD_PID], getpid());
	atomic_store(&w->line[MP_BOARD_SINCE], mp_now());
	w->self = me->aid;
	w->id = 0;
}

static int core_task_open(lua_State *L)
{
	static const char call[] = "core.task_open";
	worker *w = upvalue(L, call);
	luaL_checktype(L, 1, LUA_TTABLE);
	lua_settop(L, 1);
	w->self = 0;
	w->tasks = field(L, "tasks", MP_T_QUEUE, call);
	w->results = field(L, "results", MP_T_QUEUE, call);
	const mp_ref *board = field(L, "board", MP_T_ARRAY, call);
	const mp_process *creator = field(L, "creator", MP_T_PROCESS, call)->body;
	lua_getfield(L, 1, "number");
	lua_Integer k = lua_tointeger(L, -1);
	w->line = line_of(board, k);
	if (!w->line)
		mp_misuse(L, call, "the board has no worker %I", (LUAI_UACINT)k);
	w->all = mp_board_line(board->body, 0);
	w->creator = atomic_load(&creator->aid);
	lua_getfield(L, 1, "thread");
	w->thread = lua_toboolean(L, -1);
	lua_newtable(L);
	for (int i = 2; i <= 5; i++) {
		lua_pushvalue(L, i);
		lua_rawseti(L, -2, i);
	}
	lua_setiuservalue(L, lua_upvalueindex(1), 1);
	enter(w, w->st->me);
	return 0;
}

static worker *worker_of(lua_State *L, const char *call)
{
	worker *w = upvalue(L, call);
	if (!w->self || w->self != w->st->me->aid)
		mp_misuse(L, call, "this process is no worker; core.task_open makes it one");
	if (!w->tasks->h || !w->results->h)
		mp_misuse(L, call, "the pool's queues are closed here");
	return w;
}

/* ---- a worker: a task -------------------------------------------------------------- */

/* Leases one. NULL, or why there is none. */
static const char *lease(lua_State *L, worker *w, int64_t deadline, const char *call, mp_in *in)
{
	mp_state *st = w->st;
	for (;;) {
		uint32_t n;
		int rc;
		if (mp_board_leave(w->all))
			return "leave";
		if (mp_gone(&st->rt->shm, w->creator))
			return "orphan";
		st->watched = w->creator;
		st->leave = &w->all[MP_BOARD_LEAVE];
		rc = mp_queue_lease(st->me, w->tasks->body, in, 1, deadline, &n);
		st->watched = 0;
		st->leave = NULL;
		if (rc == MP_OK)
			return NULL;
		if (rc == MP_CLOSED)
			return "closed";
		if (rc == MP_TIMEOUT || rc == MP_EMPTY)
			return "idle";
		if (rc != MP_INTERRUPTED)
			mp_fail(L, rc, call);
		mp_message_interrupt(L, w->tasks, call);
	}
}

static int core_task_take(lua_State *L)
{
	static const char call[] = "core.task_take";
	worker *w = worker_of(L, call);
	mp_in in;
	if (w->id)
		mp_misuse(L, call, "the last task is not finished");
	lua_Integer most = luaL_optinteger(L, 2, UINT8_MAX);
	const char *why = lease(L, w, mp_arg_timeout(L, 1, call), call, &in);
	mp_bell_settle(w->st->me, w->tasks->h);
	if (why)
		return none(L, why);
	w->id = id_of(&in);
	w->begun = false;
	w->counts = 1;
	lua_settop(L, 0);
	lua_pushinteger(L, w->id);
	lua_pushinteger(L, in.tries);
	lua_pushinteger(L, in.label);
	if (!in.label && in.tries > most)
		return 3;
	if (!decode(L, w->st, &in, read_protected)) {
		lua_pushinteger(L, -(lua_Integer)in.tries);
		lua_replace(L, 2);
	}
	return lua_gettop(L);
}

/* All is there before the state: who sees the task sees its deadline. */
static void begin(worker *w, int64_t deadline, int64_t first)
{
	if (w->begun)
		return;
	w->began = mp_now();
	w->begun = true;
	atomic_store_explicit(&w->line[MP_BOARD_BEGAN], w->began, memory_order_relaxed);
	atomic_store_explicit(&w->line[MP_BOARD_DEADLINE], deadline, memory_order_relaxed);
	atomic_store_explicit(&w->line[MP_BOARD_FIRST], first, memory_order_relaxed);
	w->state = mp_board_state(w->id, ++w->turns);
	atomic_store_explicit(&w->line[MP_BOARD_STATE], w->state, memory_order_release);
}

static worker *busy_worker(lua_State *L, const char *call)
{
	worker *w = worker_of(L, call);
	if (!w->id)
		mp_misuse(L, call, "no task was taken");
	return w;
}

static int core_task_begin(lua_State *L)
{
	static const char call[] = "core.task_begin";
	worker *w = busy_worker(L, call);
	lua_Integer label = luaL_checkinteger(L, 1);
	int64_t deadline = mp_arg_timeout(L, 2, call);
	if (label < 0 || label > UINT16_MAX)
		mp_misuse(L, call, "a label must be at most 65535, got %I", (LUAI_UACINT)label);
	if (deadline == 0)  /* at once: not the same as none */
		deadline = mp_now();
	if (deadline == MP_FOREVER)
		deadline = 0;
	begin(w, deadline, luaL_optinteger(L, 3, 0));
	if (deadline)  /* the state is there before NEXT is looked at: see task_next */
		atomic_store(&w->line[MP_BOARD_DEADLINE], deadline);
	mp_queue_mark(w->st->me, (uint16_t)label);
	lua_pushboolean(L, deadline && deadline < atomic_load(&w->all[MP_BOARD_NEXT]));
	return 1;
}

static int core_task_elapsed(lua_State *L)
{
	const worker *w = busy_worker(L, "core.task_elapsed");
	lua_pushinteger(L, w->begun ? mp_now() - w->began : 0);
	return 1;
}

static int core_task_counts(lua_State *L)
{
	busy_worker(L, "core.task_counts")->counts = luaL_checkinteger(L, 1);
	return 0;
}

/* ---- a worker: handing over ---------------------------------------------------------- */

static bool never(void *arg)
{
	(void)arg;
	return false;
}

static void wait_for_end(lua_State *L, worker *w)
{
	static const mp_wait as = { .what = MP_W_SLEEP };
	mp_state *st = w->st;
	while (!mp_gone(&st->rt->shm, w->creator)) {
		mp_ec word = 0;
		st->watched = w->creator;
		mp_ec_wait(st->me, &word, never, NULL, MP_FOREVER, &as);
		st->watched = 0;
		mp_interrupt(L, st);
	}
}

static _Noreturn void condemned(lua_State *L, worker *w)
{
	if (!w->thread)
		wait_for_end(L, w);
	lua_createtable(L, 0, 1);
	lua_pushliteral(L, "Condemned");
	lua_setfield(L, -2, "name");
	lua_error(L);
	__builtin_unreachable();
}

typedef struct handing {
	worker *w;
	const char *call;
	mp_batch *batches;
	uint32_t n;
	int rc;
} handing;

static int commit_protected(lua_State *L)
{
	handing *h = lua_touserdata(L, 1);
	while ((h->rc = mp_queue_commit(h->w->st->me, h->batches, h->n, MP_FOREVER)) == MP_INTERRUPTED)
		mp_message_interrupt(L, h->w->results, h->call);
	return 0;
}

/* Signal handlers may run, and raise, only where it waits. False: it raised. */
static bool commit(lua_State *L, handing *h)
{
	h->rc = mp_queue_commit(h->w->st->me, h->batches, h->n, 0);
	if (h->rc == MP_OK || h->rc == MP_CLOSED)
		return true;
	lua_pushcfunction(L, commit_protected);
	lua_pushlightuserdata(L, h);
	return lua_pcall(L, 1, 0, 0) == LUA_OK;
}

static void drop(worker *w, mp_out *outs, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		mp_out_drop(w->st->me, &outs[i]);
}

/* For the numbers of the pool; or, with -1, takes them back. */
static void account(worker *w, int sign, int64_t took)
{
	mp_board_add(&w->line[MP_BOARD_TASKS], sign * w->counts);
	mp_board_add(&w->line[MP_BOARD_BUSY], sign * took);
}

/* Claims the task and commits; outs are the queues' or dropped afterwards. */
static int hand_over(lua_State *L, worker *w, const char *call, mp_out *outs, uint32_t n)
{
	mp_batch batches[2] = { { w->results->body, &outs[0], 1 }, { w->tasks->body, &outs[1], n - 1 } };
	handing h = { w, call, batches, n > 1 ? 2 : 1, 0 };
	begin(w, 0, 0);
	if (!mp_board_move(w->line, w->state, MP_BOARD_FINISHING)) {
		drop(w, outs, n);
		condemned(L, w);
	}
	int64_t took = mp_now() - w->began;
	account(w, 1, took);  /* before: who has the result finds it counted */
	bool returned = commit(L, &h);
	if (returned && h.rc == MP_OK) {
		atomic_store_explicit(&w->line[MP_BOARD_STATE], 0, memory_order_release);
		w->id = 0;
		lua_pushinteger(L, took);
		return 1;
	}
	account(w, -1, took);
	atomic_store(&w->line[MP_BOARD_STATE], w->state);
	drop(w, outs, n);
	return returned ? mp_fail(L, h.rc, call) : lua_error(L);
}

static int core_task_done(lua_State *L)
{
	worker *w = busy_worker(L, "core.task_done");
	mp_out out;
	int rc = make(L, w->results, w->id, 1, lua_gettop(L), MP_FOREVER, pool, &out);
	if (rc != MP_OK)
		return mp_fail(L, rc, pool);
	return hand_over(L, w, pool, &out, 1);
}

#define PARTS 2  /* into which the rest of a task may go */

typedef struct rest {
	worker *w;
	mp_out *outs;
	uint32_t n;                 /* made */
	int m;                      /* values of each */
	int rc;
} rest;

static int make_rest(lua_State *L)
{
	rest *r = lua_touserdata(L, -1);
	lua_pop(L, 1);
	int top = lua_gettop(L);
	for (int first = 1; first <= top && r->rc == MP_OK; first += r->m) {
		r->rc = make(L, r->w->tasks, r->w->id, first, r->m, MP_FOREVER, pool, &r->outs[r->n]);
		r->n += r->rc == MP_OK;
	}
	return 0;
}

static int core_task_split(lua_State *L)
{
	static const char call[] = "core.task_split";
	worker *w = busy_worker(L, call);
	lua_Integer n = luaL_checkinteger(L, 1), m = luaL_checkinteger(L, 2);
	lua_Integer rest_n = lua_gettop(L) - 2 - n;
	mp_out outs[1 + PARTS];
	rest r = { w, outs + 1, 0, (int)m, MP_OK };
	if (n < 0 || m < 1 || rest_n < m || rest_n % m || rest_n / m > PARTS)
		mp_misuse(L, call, "expected %I values, and once or twice %I", (LUAI_UACINT)n,
		          (LUAI_UACINT)m);
	int rc = make(L, w->results, w->id, 3, (int)n, MP_FOREVER, pool, &outs[0]);
	if (rc != MP_OK)
		return mp_fail(L, rc, pool);
	lua_pushcfunction(L, make_rest);
	lua_insert(L, (int)n + 3);
	lua_pushlightuserdata(L, &r);
	bool raised = lua_pcall(L, (int)rest_n + 1, 0, 0) != LUA_OK;
	if (!raised && r.rc == MP_OK)
		return hand_over(L, w, pool, outs, 1 + r.n);
	drop(w, outs, 1 + r.n);
	return raised ? lua_error(L) : mp_fail(L, r.rc, pool);
}

static int core_task_release(lua_State *L)
{
	worker *w = worker_of(L, "core.task_release");
	mp_queue_release(w->st->me);
	atomic_store(&w->line[MP_BOARD_STATE], 0);
	w->id = 0;
	return 0;
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
	{ "task_open", core_task_open },
	{ "task_take", core_task_take },
	{ "task_begin", core_task_begin },
	{ "task_elapsed", core_task_elapsed },
	{ "task_counts", core_task_counts },
	{ "task_done", core_task_done },
	{ "task_split", core_task_split },
	{ "task_release", core_task_release },
	{ NULL, NULL }
};

void mp_open_task(lua_State *L)
{
	lua_getfield(L, -1, "core");
	worker *w = lua_newuserdatauv(L, sizeof *w, 1);
	*w = (worker){ .st = mp_state_of(L) };
	luaL_setfuncs(L, functions, 1);
	lua_pop(L, 1);
}
