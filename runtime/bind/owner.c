/* owner: see owner.h.
 *
 * SPDX-License-Identifier: MIT */
#include "owner.h"

#include <string.h>

#include "../sync/lock.h"

const mp_slot *mp_owner(const mp_ref *r)
{
	const mp_shm *s = &r->st->rt->shm;
	mp_aid owner = mp_lock_owner(r->body);
	return owner && !mp_gone(s, owner) ? mp_slot_of(s, owner) : NULL;
}

int mp_owner_locked(lua_State *L, const char *call)
{
	lua_pushboolean(L, mp_owner(mp_ref_self(L, call)) != NULL);
	return 1;
}

int mp_owner_index(lua_State *L, const char *name)
{
	lua_pushvalue(L, 2);
	if (lua_rawget(L, lua_upvalueindex(2)) != LUA_TNIL)
		return 1;
	const mp_slot *s = mp_owner(mp_ref_self(L, name));
	const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
	if (s && strcmp(key, "owner") == 0)
		lua_pushinteger(L, s->pid);
	else if (s && strcmp(key, "owner_name") == 0)
		lua_pushstring(L, s->name);
	else
		lua_pushnil(L);
	return 1;
}

int mp_owner_tostring(lua_State *L, enum mp_type type, const char *name,
                      uint32_t (*depth)(const mp_ref *r))
{
	mp_ref *r = mp_ref_test(L, 1, type);
	bool open = r && r->h && r->st->me;
	const mp_slot *s = open ? mp_owner(r) : NULL;
	if (!s)
		lua_pushfstring(L, "%s (%s)", name, open ? "free" : "closed here");
	else if (depth)
		lua_pushfstring(L, "%s (held by %s, pid %d, depth %d)", name,
		                s->name, (int)s->pid, (int)depth(r));
	else
		lua_pushfstring(L, "%s (held by %s, pid %d)", name, s->name, (int)s->pid);
	return 1;
}
