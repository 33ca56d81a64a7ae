/* link: what flows are made of, on the table mp.core; not for scripts.
 *
 *   core.link([cap], [role]) -> q   a Queue whose capacity counts items in work,
 *                               and which has closed to readers only when no
 *                               other worker holds an item of it
 *                               role: "tasks" or "results" of a pool, for reports
 *   q:lease, core.keep, core.claim, core.release: see lease.c
 *   core.commit(q1, list1, …)   everything leased is finished and all of the
 *                               lists (n is honoured) are put, in one store:
 *                               true | nil, reason; then nothing happened
 *   core.wait(list, [timeout])  mp.wait for objects and descriptors (wait.c)
 *
 * SPDX-License-Identifier: MIT */
#include "message.h"

static int core_link(lua_State *L)
{
	static const char call[] = "core.link";
	mp_handle h;
	static const char *const roles[] = { "link", "tasks", "results", NULL };
	static const uint32_t marks[] = { 0, MP_Q_TASKS, MP_Q_RESULTS };
	lua_Integer cap = luaL_optinteger(L, 1, 0);
	uint32_t mark = marks[luaL_checkoption(L, 2, "link", roles)];
	if (cap < 0)
		mp_misuse(L, call, "cap must not be negative, got %I",
		          (LUAI_UACINT)cap);
	mp_state *st = mp_state_of(L);
	mp_self *me = mp_state_self(L, st, call);
	int rc = mp_queue_create(me, (uint64_t)cap,
	                         MP_Q_COUNT_LEASED | MP_Q_DRAIN_ALL | mark, &h);
	if (rc != MP_OK)
		return mp_fail(L, rc, call);
	mp_ref_push(L, st, h, true);
	return 1;
}

/* ---- commit -------------------------------------------------------------------- */

#define BATCHES 1024 /* outputs of one commit (lua/mp/flow/key.lua knows it too) */
#define SMALL   256  /* messages that lie on the stack */

typedef struct commit {
	mp_state *st;
	uint32_t n, made, total;   /* batches; messages made, of so many */
	mp_out *outs;
	int rc;
	mp_batch batches[BATCHES];
	int lists[BATCHES];        /* which argument is a batch's list */
} commit;

static const char call_commit[] = "core.commit";

/* Upvalues of commit, which are found quicker so: the state, the metatable of
 * Queues, the name of a list's n. */
enum { STATE = 1, META, N };

static int item_into(lua_State *L, commit *c, int list, lua_Integer i)
{
	int rc;
	do {
		lua_rawgeti(L, list, i);
		rc = mp_message_make(L, c->st, lua_gettop(L), 1, call_commit,
		                     &c->outs[c->made]);
		lua_pop(L, 1);
	} while (rc == MP_NOMEM
	         && (rc = mp_message_room(L, lua_touserdata(L, list - 1),
	                                  MP_FOREVER, call_commit)) == MP_OK);
	return rc;
}

static int make(lua_State *L, commit *c)
{
	for (uint32_t b = 0; b < c->n; b++) {
		mp_batch *batch = &c->batches[b];
		batch->outs = c->outs + c->made;
		for (uint32_t i = 1; i <= batch->n; i++, c->made++) {
			int rc = item_into(L, c, c->lists[b], i);
			if (rc != MP_OK)
				return rc;
		}
	}
	return MP_OK;
}

static void put(commit *c)
{
	c->rc = mp_queue_commit(c->st->me, c->batches, c->n, MP_FOREVER);
	if (c->rc == MP_OK)
		c->made = 0;
}

static void run_once(lua_State *L, commit *c)
{
	c->rc = make(L, c);
	if (c->rc == MP_OK)
		put(c);
}

/* Arguments: q1, list1, …, the commit. What it made and did not put is
 * dropped by its caller, whatever happens here. */
static int commit_protected(lua_State *L)
{
	commit *c = lua_touserdata(L, -1);
	lua_pop(L, 1);
	if (c->rc != MP_INTERRUPTED)
		run_once(L, c);
	while (c->rc == MP_INTERRUPTED) {
		for (uint32_t b = 0; b < c->n; b++)
			mp_message_interrupt(L, lua_touserdata(L, c->lists[b] - 1),
			                     call_commit);
		put(c);
	}
	return 0;
}

static uint32_t list_n(lua_State *L, int arg)
{
	lua_Integer n;
	lua_pushvalue(L, lua_upvalueindex(N));
	if (lua_rawget(L, arg) == LUA_TNUMBER)
		n = lua_tointeger(L, -1);
	else
		n = (lua_Integer)lua_rawlen(L, arg);
	lua_pop(L, 1);
	if (n < 0 || n > INT32_MAX)
		mp_misuse(L, call_commit, "a list of %I items", (LUAI_UACINT)n);
	return (uint32_t)n;
}

/* The open queue at arg, NULL: it is none. */
static mp_ref *queue_at(lua_State *L, int arg)
{
	mp_ref *r = lua_touserdata(L, arg);
	if (!r || !lua_getmetatable(L, arg))
		return NULL;
	bool is = lua_rawequal(L, -1, lua_upvalueindex(META));
	lua_pop(L, 1);
	return is && r->h ? r : NULL;
}

/* Reads q1, list1, …; an empty list makes no batch. */
static void commit_args(lua_State *L, commit *c)
{
	int top = lua_gettop(L);
	if (top % 2 || top / 2 > BATCHES)
		mp_misuse(L, call_commit, "expected up to %d pairs of a queue "
		          "and a list", BATCHES);
	for (int arg = 1; arg < top; arg += 2) {
		mp_ref *r = queue_at(L, arg);
		if (!r || !lua_istable(L, arg + 1))
			mp_misuse(L, call_commit, "arguments %d and %d must be "
			          "an open queue and a list", arg, arg + 1);
		uint32_t n = list_n(L, arg + 1);
		if (!n)
			continue;
		c->batches[c->n] = (mp_batch){ r->body, NULL, n };
		c->lists[c->n++] = arg + 1;
		c->total += n;
	}
}

/* Many messages lie in a userdata at the stack's bottom, few on C's stack. */
static int run_protected(lua_State *L, commit *c)
{
	int nargs = lua_gettop(L);
	if (c->total > SMALL) {
		c->outs = lua_newuserdatauv(L, c->total * sizeof *c->outs, 0);
		lua_insert(L, 1);
	}
	lua_pushcfunction(L, commit_protected);
	lua_insert(L, -nargs - 1);
	lua_pushlightuserdata(L, c);
	return lua_pcall(L, nargs + 1, 0, 0);
}

/* Making one message loses nothing when it raises. */
static int run(lua_State *L, commit *c)
{
	if (c->total <= 1) {
		run_once(L, c);
		if (c->rc != MP_INTERRUPTED)
			return LUA_OK;
	}
	return run_protected(L, c);
}

static int core_commit(lua_State *L)
{
	commit c;
	mp_out small[SMALL];
	c.st = lua_touserdata(L, lua_upvalueindex(STATE));
	c.outs = small;
	c.n = c.made = c.total = 0;
	c.rc = MP_OK;
	mp_state_self(L, c.st, call_commit);
	commit_args(L, &c);
	int status = run(L, &c);
	for (uint32_t i = 0; i < c.made; i++)
		mp_out_drop(c.st->me, &c.outs[i]);
	if (status != LUA_OK)
		return lua_error(L);
	if (c.rc == MP_TOOBIG)
		mp_message_toobig(L, c.st, call_commit);
	if (c.rc != MP_OK)
		return mp_fail(L, c.rc, call_commit);
	lua_pushboolean(L, 1);
	return 1;
}

static const luaL_Reg functions[] = {
	{ "link", core_link },
	{ NULL, NULL }
};

void mp_open_link(lua_State *L)
{
	if (lua_getfield(L, -1, "core") != LUA_TTABLE) {
		lua_pop(L, 1);
		lua_newtable(L);
		lua_pushvalue(L, -1);
		lua_setfield(L, -3, "core");
	}
	luaL_setfuncs(L, functions, 0);
	lua_pushlightuserdata(L, mp_state_of(L));
	mp_type_push(L, MP_T_QUEUE);
	lua_pushliteral(L, "n");
	lua_pushcclosure(L, core_commit, N);
	lua_setfield(L, -2, "commit");
	lua_pop(L, 1);
}
