/* event: mp.Event.
 *
 * SPDX-License-Identifier: MIT */
#include "../shm/bell.h"
#include "../sync/event.h"
#include "message.h"

static int event_set(lua_State *L)
{
	mp_ref *r = mp_ref_self(L, "Event:set");
	mp_event_set(r->st->me, r->body);
	return 0;
}

static int event_clear(lua_State *L)
{
	mp_ref *r = mp_ref_self(L, "Event:clear");
	mp_event_clear(r->body);
	mp_bell_settle(r->st->me, r->h);
	return 0;
}

static int event_is_set(lua_State *L)
{
	mp_event *e = mp_ref_self(L, "Event:is_set")->body;
	lua_pushboolean(L, mp_event_is_set(e));
	return 1;
}

static int event_wait(lua_State *L)
{
	static const char call[] = "Event:wait";
	mp_ref *r = mp_ref_self(L, call);
	int64_t deadline = mp_arg_timeout(L, 2, call);
	int rc;
	while ((rc = mp_event_wait(r->st->me, r->body, deadline)) == MP_INTERRUPTED)
		mp_message_interrupt(L, r, call);
	if (rc != MP_OK)
		return mp_fail(L, rc, call);
	lua_pushboolean(L, 1);
	return 1;
}

static int event_fileno(lua_State *L)
{
	return mp_bell_fileno(L, "Event:fileno");
}

static int event_tostring(lua_State *L)
{
	mp_ref *r = mp_ref_test(L, 1, MP_T_EVENT);
	const char *is = !r || !r->h ? "closed here"
	               : mp_event_is_set(r->body) ? "set" : "unset";
	lua_pushfstring(L, "Event (%s)", is);
	return 1;
}

static const luaL_Reg methods[] = {
	{ "set", event_set },
	{ "clear", event_clear },
	{ "is_set", event_is_set },
	{ "wait", event_wait },
	{ "fileno", event_fileno },
	{ "__tostring", event_tostring },
	{ NULL, NULL }
};

static int new_event(lua_State *L)
{
	static const char call[] = "mp.Event";
	mp_handle h;
	mp_state *st = mp_state_of(L);
	mp_self *me = mp_state_self(L, st, call);
	bool tried = false;
	int rc;
	do
		rc = mp_event_create(me, &h);
	while (mp_make_room(L, rc, &tried));
	if (rc != MP_OK)
		return mp_fail(L, rc, call);
	mp_ref_push(L, st, h, true);
	return 1;
}

void mp_open_event(lua_State *L)
{
	mp_type_define(L, MP_T_EVENT, "Event", methods);
	lua_pushcfunction(L, new_event);
	lua_setfield(L, -2, "Event");
}
