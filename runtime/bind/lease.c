/* lease: taking items that stay one's own until a commit (link.c); not for
 * scripts.
 *
 *   q:lease(max, [timeout])     list | nil, reason. The items are finished by
 *                               core.commit, given back by core.release; should
 *                               decoding raise, release gives them back
 *     list.n                    how many
 *     list.lease                number of the first one's lease; those of the
 *                               others follow
 *     list.first                number of the first item in q, from 1 on; those
 *                               of the others follow
 *     list.tries                of an item that was delivered before, which
 *                               comes alone: how often, this time included
 *   core.keep(lease, [n])       n leases (1), from that number on, leave the
 *                               transaction: commits do not finish them
 *   core.claim(lease, [n])      they are part of it again
 *   core.release()              everything leased, or kept, goes back, as if it
 *                               had never been leased
 *
 * SPDX-License-Identifier: MIT */
#include <errno.h>

#include "../shm/bell.h"
#include "args.h"
#include "message.h"

/* ---- lease ------------------------------------------------------------------------ */

/* Upvalues of lease behind those of any method: names of the list's fields,
 * which are found quicker so than by their texts. */
enum { N = 4, LEASE, FIRST };

static void set_field(lua_State *L, int list, int name, uint64_t n)
{
	lua_pushvalue(L, lua_upvalueindex(name));
	lua_pushinteger(L, (lua_Integer)n);
	lua_rawset(L, list);
}

static int lease(lua_State *L, mp_ref *r, uint32_t max, int64_t deadline,
                 const char *call, uint32_t *n)
{
	int rc;
	while ((rc = mp_queue_lease(r->st->me, r->body, NULL, max, deadline, n))
	       == MP_INTERRUPTED)
		mp_message_interrupt(L, r, call);
	mp_bell_settle(r->st->me, r->h);
	return rc;
}

/* Pushes the list of what these leases have. */
static void push_leased(lua_State *L, mp_state *st, uint64_t number, uint32_t n,
                        const char *call)
{
	mp_in in;
	lua_createtable(L, (int)n, 4);
	int list = lua_gettop(L);
	set_field(L, list, N, n);
	set_field(L, list, LEASE, number);
	for (uint32_t i = 0; i < n; i++) {
		if (!mp_queue_leased(st->me, number + i, &in))
			mp_misuse(L, call, "a finalizer gave back what was leased meanwhile");
		if (i == 0)
			set_field(L, list, FIRST, in.seq);
		if (in.tries > 1) {
			lua_pushinteger(L, in.tries);
			lua_setfield(L, list, "tries");
		}
		mp_message_read(L, st, &in, false, call);
		lua_rawseti(L, list, i + 1);
	}
}

static int queue_lease(lua_State *L)
{
	static const char call[] = "Queue:lease";
	uint32_t n;
	mp_ref *r = mp_ref_self(L, call);
	lua_Integer max = mp_arg_max(L, 2, call);
	int64_t deadline = mp_arg_timeout(L, 3, call);
	int rc = lease(L, r, max < INT32_MAX ? (uint32_t)max : INT32_MAX, deadline, call, &n);
	if (rc != MP_OK)
		return mp_fail(L, rc == MP_EMPTY ? MP_TIMEOUT : rc, call);
	push_leased(L, r->st, r->st->me->leases.last - n + 1, n, call);
	return 1;
}

/* ---- keep, claim, release --------------------------------------------------------- */

static int move(lua_State *L, const char *call, int f(mp_self *, uint64_t, uint32_t),
                const char *already)
{
	mp_self *me = mp_state_self(L, mp_state_of(L), call);
	lua_Integer number = luaL_checkinteger(L, 1), n = luaL_optinteger(L, 2, 1);
	if (number < 1 || n < 0 || n > UINT32_MAX)
		mp_misuse(L, call, "expected the number of a lease and how many, got %I and %I",
		          (LUAI_UACINT)number, (LUAI_UACINT)n);
	int rc = f(me, (uint64_t)number, (uint32_t)n);
	if (rc != MP_OK)
		mp_misuse(L, call, "of the leases %I to %I %s", (LUAI_UACINT)number,
		          (LUAI_UACINT)(number + n - 1),
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

static int core_release(lua_State *L)
{
	mp_queue_release(mp_state_self(L, mp_state_of(L), "core.release"));
	return 0;
}

static const luaL_Reg functions[] = {
	{ "keep", core_keep },
	{ "claim", core_claim },
	{ "release", core_release },
	{ NULL, NULL }
};

/* A method of Queues alone, so not of all three types' list (queue.c). */
static void add_lease(lua_State *L)
{
	mp_type_methods(L);
	lua_getfield(L, -1, "Queue");
	mp_type_push(L, MP_T_QUEUE);
	lua_pushvalue(L, -2);
	lua_pushinteger(L, MP_T_QUEUE);
	lua_pushliteral(L, "n");
	lua_pushliteral(L, "lease");
	lua_pushliteral(L, "first");
	lua_pushcclosure(L, queue_lease, FIRST);
	lua_setfield(L, -2, "lease");
	lua_pop(L, 2);
}

void mp_open_lease(lua_State *L)
{
	add_lease(L);
	lua_getfield(L, -1, "core");
	luaL_setfuncs(L, functions, 0);
	lua_pop(L, 1);
}
