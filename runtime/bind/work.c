/* work: what a worker of a pool calls, on the table mp.core; not for scripts. The
 * other side, and what a pool consists of, is in task.c.
 *
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
 *   core.task_release()       gives the task back; that counts as one of its tries
 *
 * A worker that is condemned meanwhile does not return from task_done: it waits
 * for the signal that ends it. A thread, which no signal ends, and one whose
 * creator is gone raise { name = "Condemned" }.
 *
 * SPDX-License-Identifier: MIT */
#include <string.h>
#include <unistd.h>

#include "../base/clock.h"
#include "../shm/bell.h"
#include "../shm/eventcount.h"
#include "task.h"

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

/* ---- a worker: opening ----------------------------------------------------------- */

/* Leaves it on the stack. */
static mp_ref *field(lua_State *L, const char *name, enum mp_type type, const char *call)
{
	lua_getfield(L, 1, name);
	return mp_task_ref(L, lua_gettop(L), type, call, name);
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
	w->line = mp_task_line(board, k);
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
		return mp_task_none(L, why);
	w->id = mp_task_take_id(&in);
	w->begun = false;
	w->counts = 1;
	lua_settop(L, 0);
	lua_pushinteger(L, w->id);
	lua_pushinteger(L, in.tries);
	lua_pushinteger(L, in.label);
	if (!in.label && in.tries > most)
		return 3;
	lua_pushnil(L);
	if (!mp_task_decode(L, w->st, &in, true)) {
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
	int rc = mp_task_make(L, w->results, w->id, 1, lua_gettop(L), MP_FOREVER, mp_task_pool, &out);
	if (rc != MP_OK)
		return mp_fail(L, rc, mp_task_pool);
	return hand_over(L, w, mp_task_pool, &out, 1);
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
		r->rc = mp_task_make(L, r->w->tasks, r->w->id, first, r->m, MP_FOREVER, mp_task_pool, &r->outs[r->n]);
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
	int rc = mp_task_make(L, w->results, w->id, 3, (int)n, MP_FOREVER, mp_task_pool, &outs[0]);
	if (rc != MP_OK)
		return mp_fail(L, rc, mp_task_pool);
	lua_pushcfunction(L, make_rest);
	lua_insert(L, (int)n + 3);
	lua_pushlightuserdata(L, &r);
	bool raised = lua_pcall(L, (int)rest_n + 1, 0, 0) != LUA_OK;
	if (!raised && r.rc == MP_OK)
		return hand_over(L, w, mp_task_pool, outs, 1 + r.n);
	drop(w, outs, 1 + r.n);
	return raised ? lua_error(L) : mp_fail(L, r.rc, mp_task_pool);
}

static int core_task_release(lua_State *L)
{
	worker *w = worker_of(L, "core.task_release");
	mp_queue_desert(w->st->me);
	atomic_store(&w->line[MP_BOARD_STATE], 0);
	w->id = 0;
	return 0;
}

static const luaL_Reg functions[] = {
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

void mp_open_work(lua_State *L)
{
	lua_getfield(L, -1, "core");
	worker *w = lua_newuserdatauv(L, sizeof *w, 1);
	*w = (worker){ .st = mp_state_of(L) };
	luaL_setfuncs(L, functions, 1);
	lua_pop(L, 1);
}
