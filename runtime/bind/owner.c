/* owner: see owner.h.
 *
 * SPDX-License-Identifier: MIT */
#include "owner.h"

#include <string.h>

const mp_slot *mp_owner(const mp_owned *o, const mp_ref *r)
{
	const mp_shm *s = &r->st->rt->shm;
	bool recursive;
	mp_aid owner = mp_lock_owner(o->lock(r, &recursive));
	return owner && !mp_gone(s, owner) ? mp_slot_of(s, owner) : NULL;
}

int mp_owner_locked(lua_State *L, const mp_owned *o, const char *call)
{
	lua_pushboolean(L, mp_owner(o, mp_ref_self(L, call)) != NULL);
	return 1;
}

int mp_owner_index(lua_State *L, const mp_owned *o)
{
	lua_pushvalue(L, 2);
	if (lua_rawget(L, lua_upvalueindex(2)) != LUA_TNIL)
		return 1;
	const mp_slot *s = mp_owner(o, mp_ref_self(L, o->name));
	const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
	if (s && strcmp(key, "owner") == 0)
		lua_pushinteger(L, s->pid);
	else if (s && strcmp(key, "owner_name") == 0)
		lua_pushstring(L, s->name);
	else
		lua_pushnil(L);
	return 1;
}

/* Pushes "held by main, pid 7, depth 1" or "free". */
static void push_holder(lua_State *L, const mp_owned *o, const mp_ref *r)
{
	const mp_slot *s = mp_owner(o, r);
	bool recursive;
	mp_lock *l = o->lock(r, &recursive);
	if (!s)
		lua_pushliteral(L, "free");
	else if (recursive)
		lua_pushfstring(L, "held by %s, pid %d, depth %d", s->name,
		                (int)s->pid, (int)mp_rlock_depth((mp_rlock *)l));
	else
		lua_pushfstring(L, "held by %s, pid %d", s->name, (int)s->pid);
}

int mp_owner_tostring(lua_State *L, const mp_owned *o)
{
	mp_ref *r = mp_ref_test(L, 1, o->type);
	if (r && r->h && r->st->me)
		push_holder(L, o, r);
	else
		lua_pushliteral(L, "closed here");
	lua_pushfstring(L, "%s (%s)", o->name, lua_tostring(L, -1));
	return 1;
}

_Noreturn void mp_owner_refuse(lua_State *L, const mp_owned *o, const mp_ref *r, const char *call)
{
	const mp_slot *s = mp_owner(o, r);
	if (!s)
		mp_misuse(L, call, "this lock is not locked");
	mp_misuse(L, call, "this %s does not hold the lock, %s (pid %d) does; only its "
	          "holder can release it", r->st->thread ? "thread" : "process", s->name, (int)s->pid);
}
