/* link: what flows are made of, on the table mp.core; not for scripts.
 *
 *   core.link([cap], [role]) -> q   a Queue whose capacity counts items in work,
 *                               and which has closed to readers only when no
 *                               other worker holds an item of it
 *                               role: "tasks" or "results" of a pool, for reports
 *   q:lease(max, [timeout])     see queue.c
 *   core.keep(lease, [n])       n leases (1), from that number on, leave the
 *                               transaction: commits do not finish them
 *   core.claim(lease, [n])      they are part of it again
 *   core.commit(q1, list1, …)   everything leased is finished and all of the
 *                               lists (n is honoured) are put, in one store:
 *                               true | nil, reason; then nothing happened
 *   core.release()              everything leased goes back, as if it had never
 *                               been leased
 *   core.wait(list, [timeout])  mp.wait for objects and descriptors (wait.c)
 *
 * SPDX-License-Identifier: MIT */
#include <errno.h>

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
#define SMALL   32   /* messages that lie on the stack */

typedef struct commit {
	mp_state *st;
	uint32_t n, made, total;   /* batches; messages made, of so many */
	mp_out *outs;
	int rc;
	mp_batch batches[BATCHES];
	int lists[BATCHES];        /* which argument is a batch's list */
} commit;

static const char call_commit[] = "core.commit";

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

/* Arguments: q1, list1, …, the commit. What it made and did not put is
 * dropped by its caller, whatever happens here. */
static int commit_protected(lua_State *L)
{
	commit *c = lua_touserdata(L, -1);
	lua_pop(L, 1);
	for (uint32_t b = 0; b < c->n; b++) {
		mp_batch *batch = &c->batches[b];
		batch->outs = c->outs + c->made;
		for (uint32_t i = 1; i <= batch->n; i++, c->made++) {
			c->rc = item_into(L, c, c->lists[b], i);
			if (c->rc != MP_OK)
				return 0;
		}
	}
	while ((c->rc = mp_queue_commit(c->st->me, c->batches, c->n,
	                                MP_FOREVER)) == MP_INTERRUPTED)
		for (uint32_t b = 0; b < c->n; b++)
			mp_message_interrupt(L, lua_touserdata(L, c->lists[b] - 1),
			                     call_commit);
	if (c->rc == MP_OK)
		c->made = 0;
	return 0;
}

static uint32_t list_n(lua_State *L, int arg)
{
	lua_Integer n = (lua_Integer)lua_rawlen(L, arg);
	lua_pushliteral(L, "n");
	if (lua_rawget(L, arg) == LUA_TNUMBER)
		n = lua_tointeger(L, -1);
	lua_pop(L, 1);
	if (n < 0 || n > INT32_MAX)
		mp_misuse(L, call_commit, "a list of %I items", (LUAI_UACINT)n);
	return (uint32_t)n;
}

/* Reads q1, list1, …; an empty list makes no batch. */
static void commit_args(lua_State *L, commit *c)
{
	int top = lua_gettop(L);
	if (top % 2 || top / 2 > BATCHES)
		mp_misuse(L, call_commit, "expected up to %d pairs of a queue "
		          "and a list", BATCHES);
	for (int arg = 1; arg < top; arg += 2) {
		mp_ref *r = mp_ref_test(L, arg, MP_T_QUEUE);
		if (!r || !r->h || !lua_istable(L, arg + 1))
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
static int run_commit(lua_State *L, commit *c, mp_out *small)
{
	int nargs = lua_gettop(L);
	c->outs = small;
	if (c->total > SMALL) {
		c->outs = lua_newuserdatauv(L, c->total * sizeof *c->outs, 0);
		lua_insert(L, 1);
	}
	lua_pushcfunction(L, commit_protected);
	lua_insert(L, -nargs - 1);
	lua_pushlightuserdata(L, c);
	return lua_pcall(L, nargs + 1, 0, 0);
}

static int core_commit(lua_State *L)
{
	commit c;
	mp_out small[SMALL];
	c.st = mp_state_of(L);
	c.n = c.made = c.total = 0;
	c.rc = MP_OK;
	mp_state_self(L, c.st, call_commit);
	commit_args(L, &c);
	int status = run_commit(L, &c, small);
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

static int core_release(lua_State *L)
{
	mp_state *st = mp_state_of(L);
	mp_queue_release(mp_state_self(L, st, "core.release"));
	return 0;
}

/* ---- keep, claim ------------------------------------------------------------------ */

static int move(lua_State *L, const char *call, int f(mp_self *, uint64_t, uint32_t),
                const char *already)
{
	mp_self *me = mp_state_self(L, mp_state_of(L), call);
	lua_Integer lease = luaL_checkinteger(L, 1), n = luaL_optinteger(L, 2, 1);
	if (lease < 1 || n < 0 || n > UINT32_MAX)
		mp_misuse(L, call, "expected the number of a lease and how many, got %I and %I",
		          (LUAI_UACINT)lease, (LUAI_UACINT)n);
	int rc = f(me, (uint64_t)lease, (uint32_t)n);
	if (rc != MP_OK)
		mp_misuse(L, call, "of the leases %I to %I %s", (LUAI_UACINT)lease,
		          (LUAI_UACINT)(lease + n - 1),
		          rc == -EALREADY ? already : "not all are this process's; list.lease "
		          "tells the first one's number, core.commit and core.release end them");
	return 0;
}

static int core_keep(lua_State *L)
{
	return move(L, "core.keep", mp_queue_keep, "some are kept already");
}

static int core_claim(lua_State *L)
{
	return move(L, "core.claim", mp_queue_claim, "some are not kept; core.keep keeps them");
}

static const luaL_Reg functions[] = {
	{ "link", core_link },
	{ "keep", core_keep },
	{ "claim", core_claim },
	{ "commit", core_commit },
	{ "release", core_release },
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
	lua_pop(L, 1);
}
