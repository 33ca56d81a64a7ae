/* wait: mp.wait, for anything at once: objects that are ready, descriptors
 * that are readable.
 *
 * The list is looked at once before the wait, and again after a signal
 * handler, which may have changed it; in between only the core is asked.
 * Objects alone are slept for on the actor's doorbell, a futex; with
 * descriptors among them it sleeps in poll, and the objects ring its bell.
 *
 * For what Lua modules make that can be waited for:
 *   core.wait(list, [timeout], [once])  mp.wait without the two that follow;
 *                               once: after a signal's handler it returns, too
 *   core.watch_results(f)       mp.wait calls f(list, timeout) and returns what
 *                               that returns; nil: no more
 *   __mp_result                 a metatable's field: the same for a list that
 *                               has such a table among its items
 *
 * SPDX-License-Identifier: MIT */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "../proc/process.h"
#include "../proc/stdio.h"
#include "../shm/bell.h"
#include "../shm/sleep.h"
#include "bind.h"

static const char call[] = "mp.wait";

typedef struct item {
	mp_handle h;                  /* 0: a descriptor */
	void *body;
	bool (*ready)(mp_self *me, void *body);
	int fd;
	bool is;                      /* ready */
} item;

/* Lies in a userdata. */
typedef struct waiting {
	lua_State *L;
	mp_state *st;
	mp_self *me;
	int64_t deadline;
	lua_Integer n;                /* items */
	unsigned nobjects, nfds;
	bool once;                    /* until a handler has run */
	item *items;
	struct pollfd *polls;         /* of the descriptors, in order; one more for the bell */
} waiting;

/* ---- what an item is ------------------------------------------------------------- */

static _Noreturn void bad_item(lua_State *L, lua_Integer i, const char *what)
{
	mp_misuse(L, call, "item %I %s", (LUAI_UACINT)i, what);
}

static const char *name_at(lua_State *L, int idx)
{
	if (luaL_getmetafield(L, idx, "__name") == LUA_TSTRING)
		return lua_tostring(L, -1);
	return luaL_typename(L, idx);
}

/* A file, or LuaSocket's objects: they say so by their method dirty. */
static bool is_dirty(lua_State *L, int idx)
{
	luaL_Stream *s = luaL_testudata(L, idx, LUA_FILEHANDLE);
	bool dirty = false;
	if (s)
		return s->closef && mp_stdio_ahead(s->f) > 0;
	if (lua_getfield(L, idx, "dirty") == LUA_TFUNCTION) {
		lua_pushvalue(L, idx);
		lua_call(L, 1, 1);
		dirty = lua_toboolean(L, -1);
	}
	lua_pop(L, 1);
	return dirty;
}

static void object_item(lua_State *L, waiting *w, item *it, const mp_ref *r, lua_Integer i)
{
	const mp_type_ops *ops = w->me->shm->types[mp_obj_type(w->me->shm, r->h)];
	if (ops == &mp_process_ops && atomic_load(&((mp_process *)r->body)->state) == MP_P_NEW)
		bad_item(L, i, "is a process that has not been started");
	it->h = r->h;
	it->body = r->body;
	it->ready = ops->ready;
	w->nobjects++;
}

static void fd_item(lua_State *L, waiting *w, item *it, lua_Integer i)
{
	int isint = 0, top = lua_gettop(L);
	lua_Integer n = lua_type(L, top) == LUA_TNUMBER ? lua_tointegerx(L, top, &isint) : -1;
	if (isint && n >= 0 && n <= INT_MAX) {
		it->fd = (int)n;  /* poll tells whether it is open */
	} else {
		const char *name = lua_pushfstring(L, "%s: item %I", call, (LUAI_UACINT)i);
		it->fd = mp_arg_fd(L, top, name);
		it->is = lua_type(L, top) != LUA_TNUMBER && is_dirty(L, top);
	}
	lua_settop(L, top);
	w->polls[w->nfds++] = (struct pollfd){ it->fd, POLLIN, 0 };
}

/* The item at the stack's top. A further kind of thing that can be waited for
 * is added here. */
static void classify(lua_State *L, waiting *w, item *it, lua_Integer i)
{
	const mp_ref *r = mp_ref_test(L, -1, MP_T_NONE);
	int t = lua_type(L, -1);
	*it = (item){ .fd = -1 };
	if (r && !r->h)
		mp_misuse(L, call, "item %I, of type %s, is closed here", (LUAI_UACINT)i,
		          name_at(L, lua_gettop(L)));
	if (r && mp_obj_waitable(w->me->shm, r->h)) {
		object_item(L, w, it, r, i);
	} else if ((r && mp_obj_type(w->me->shm, r->h) != MP_T_FD) ||
	           (t != LUA_TNUMBER && t != LUA_TUSERDATA && t != LUA_TTABLE)) {
		mp_misuse(L, call, "item %I, of type %s, cannot be waited for (queues, events, "
		          "processes, pipe ends, descriptors, files and sockets can)",
		          (LUAI_UACINT)i, name_at(L, lua_gettop(L)));
	} else {
		fd_item(L, w, it, i);
	}
}

static void read_list(waiting *w)
{
	lua_State *L = w->L;
	w->nobjects = w->nfds = 0;
	for (lua_Integer i = 1; i <= w->n; i++) {
		lua_rawgeti(L, 1, i);
		classify(L, w, &w->items[i - 1], i);
		lua_pop(L, 1);  /* the list keeps it */
	}
}

/* ---- looking ----------------------------------------------------------------------- */

static bool objects_ready(waiting *w)
{
	bool any = false;
	for (lua_Integer i = 0; i < w->n; i++) {
		item *it = &w->items[i];
		if (it->h)
			it->is = it->ready(w->me, it->body);
		any = any || it->is;
	}
	return any;
}

/* Notes what poll said. false: a descriptor is not open (*bad: which item). */
static bool read_polls(waiting *w, bool *any, lua_Integer *bad)
{
	const struct pollfd *p = w->polls;
	for (lua_Integer i = 0; i < w->n; i++) {
		item *it = &w->items[i];
		if (it->h)
			continue;
		if (p->revents & POLLNVAL) {
			*bad = i;
			return false;
		}
		it->is = it->is || p->revents != 0;
		*any = *any || it->is;
		p++;
	}
	return true;
}

static bool any_ready(waiting *w)
{
	bool any = objects_ready(w);
	lua_Integer bad;
	if (!w->nfds)
		return any;
	if (poll(w->polls, w->nfds, 0) < 0 && errno != EINTR)
		mp_misuse(w->L, call, "%s", strerror(errno));
	if (!read_polls(w, &any, &bad))
		mp_misuse(w->L, call, "item %I: descriptor %d is not open",
		          (LUAI_UACINT)bad + 1, w->items[bad].fd);
	return any;
}

/* ---- sleeping ---------------------------------------------------------------------- */

static void watch(waiting *w, void (*how)(mp_self *me, mp_handle h))
{
	for (lua_Integer i = 0; i < w->n; i++)
		if (w->items[i].h)
			how(w->me, w->items[i].h);
}

static bool ready_now(void *arg)
{
	return objects_ready(arg);
}

/* Until an object may be ready. 0, MP_TIMEOUT, MP_INTERRUPTED. */
static int sleep_for_objects(waiting *w)
{
	const mp_wait as = { .what = MP_W_ANY };
	mp_sleeper sl = { .me = w->me, .as = &as, .deadline = w->deadline };
	mp_ec *bell = &w->me->slot->doorbell;
	int rc = MP_OK;
	if (w->nobjects && mp_ec_spin(w->me, w->nobjects, ready_now, w))
		return MP_OK;
	while (rc == MP_OK) {
		uint32_t seen = mp_ec_prepare(bell);
		watch(w, mp_obj_watch);
		if (objects_ready(w))
			break;
		rc = mp_sleep_on(&sl, bell, seen, MP_SLICE);
	}
	mp_sleep_end(&sl);
	watch(w, mp_obj_unwatch);
	return rc;
}

/* Until a descriptor or an object may be ready. The same, or -errno. */
static int sleep_in_poll(waiting *w)
{
	const mp_wait as = { .what = MP_W_OUTSIDE };
	mp_sleeper sl = { .me = w->me, .as = &as, .deadline = w->deadline };
	int bell = w->nobjects ? mp_bell_own(w->me) : -1, rc = MP_EMPTY;
	unsigned n = w->nfds;
	if (w->nobjects && bell < 0)
		return bell;
	if (w->nobjects)
		w->polls[n++] = (struct pollfd){ bell, POLLIN, 0 };
	while (rc == MP_EMPTY) {
		if (w->nobjects)
			mp_bell_arm(w->me);
		watch(w, mp_obj_watch);
		rc = objects_ready(w) ? MP_OK : mp_sleep_in_poll(&sl, w->polls, n);
	}
	mp_sleep_end(&sl);
	if (w->nobjects)
		mp_bell_disarm(w->me);
	watch(w, mp_obj_unwatch);
	return rc;
}

static void wait_until_ready(waiting *w)
{
	while (!any_ready(w) && w->deadline) {
		int rc = w->nfds ? sleep_in_poll(w) : sleep_for_objects(w);
		if (rc == MP_INTERRUPTED) {
			mp_interrupt(w->L, w->st);
			read_list(w);
			if (w->once)
				w->deadline = 0;
		} else if (rc == MP_TIMEOUT) {
			w->deadline = 0;  /* one last look */
		} else if (rc < 0) {
			mp_fail(w->L, rc, call);
		}
	}
}

/* ---- fileno ------------------------------------------------------------------------ */

int mp_bell_fileno(lua_State *L, const char *name)
{
	mp_ref *r = mp_ref_self(L, name);
	int fd = mp_bell_open(r->st->me, r->h);
	if (fd < 0)
		return mp_fail(L, fd, name);
	lua_pushinteger(L, fd);
	return 1;
}

/* ---- mp.wait ------------------------------------------------------------------------- */

static lua_Integer list_len(lua_State *L)
{
	lua_Integer n = (lua_Integer)lua_rawlen(L, 1);
	lua_pushliteral(L, "n");
	if (lua_rawget(L, 1) != LUA_TNIL) {
		int isint;
		n = lua_tointegerx(L, -1, &isint);
		if (!isint || n < 0 || n > INT_MAX)
			mp_misuse(L, call, "the list's n must be a count, got %s",
			          luaL_tolstring(L, -1, NULL));
	}
	lua_pop(L, 1);
	return n;
}

/* Pushes it: the arrays lie behind the struct. */
static waiting *new_waiting(lua_State *L, lua_Integer n)
{
	size_t items = (size_t)n * sizeof(item);
	size_t polls = ((size_t)n + 1) * sizeof(struct pollfd);
	waiting *w = lua_newuserdatauv(L, sizeof *w + items + polls, 0);
	w->L = L;
	w->st = mp_state_of(L);
	w->me = mp_state_self(L, w->st, call);
	w->n = n;
	w->items = (item *)(w + 1);
	w->polls = (struct pollfd *)(w->items + n);
	return w;
}

static int push_ready(lua_State *L, const waiting *w)
{
	lua_Integer k = 0;
	lua_createtable(L, 4, 1);
	for (lua_Integer i = 0; i < w->n; i++) {
		if (!w->items[i].is)
			continue;
		lua_rawgeti(L, 1, i + 1);
		lua_rawseti(L, -2, ++k);
	}
	lua_pushinteger(L, k);
	lua_setfield(L, -2, "n");
	return 1;
}

/* Checks what is no item: the deadline, and how many items there are. */
static int64_t check_args(lua_State *L, lua_Integer *n)
{
	if (!lua_istable(L, 1))
		mp_misuse(L, call, "expected a list, got %s", name_at(L, 1));
	int64_t deadline = mp_arg_timeout(L, 2, call);
	*n = list_len(L);
	if (*n == 0 && deadline == MP_FOREVER)
		mp_misuse(L, call, "an empty list would be waited for for ever; give a timeout");
	lua_settop(L, 2);
	return deadline;
}

static int wait_plain(lua_State *L, lua_Integer n, int64_t deadline, bool once)
{
	waiting *w = new_waiting(L, n);
	w->deadline = deadline;
	w->once = once;
	read_list(w);
	wait_until_ready(w);
	return push_ready(L, w);
}

static int core_wait(lua_State *L)
{
	lua_Integer n;
	bool once = lua_toboolean(L, 3);
	int64_t deadline = check_args(L, &n);
	return wait_plain(L, n, deadline, once);
}

/* ---- who waits for results ------------------------------------------------------------ */

static const char watcher_key;

static int core_watch_results(lua_State *L)
{
	if (!lua_isnil(L, 1))
		luaL_checktype(L, 1, LUA_TFUNCTION);
	lua_settop(L, 1);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &watcher_key);
	return 0;
}

/* Pushes the function that the list is to be given to, if there is one. */
static bool push_watcher(lua_State *L, lua_Integer n)
{
	if (lua_rawgetp(L, LUA_REGISTRYINDEX, &watcher_key) == LUA_TFUNCTION)
		return true;
	lua_pop(L, 1);
	for (lua_Integer i = 1; i <= n; i++) {
		if (lua_rawgeti(L, 1, i) == LUA_TTABLE &&
		    luaL_getmetafield(L, -1, "__mp_result") != LUA_TNIL)
			return true;
		lua_pop(L, 1);
	}
	return false;
}

static int mp_wait_any(lua_State *L)
{
	lua_Integer n;
	int64_t deadline = check_args(L, &n);
	if (!push_watcher(L, n))
		return wait_plain(L, n, deadline, false);
	lua_insert(L, 1);
	lua_settop(L, 3);
	lua_call(L, 2, LUA_MULTRET);
	return lua_gettop(L);
}

void mp_open_wait(lua_State *L)
{
	lua_pushcfunction(L, mp_wait_any);
	lua_setfield(L, -2, "wait");
	lua_getfield(L, -1, "core");
	lua_pushcfunction(L, core_wait);
	lua_setfield(L, -2, "wait");
	lua_pushcfunction(L, core_watch_results);
	lua_setfield(L, -2, "watch_results");
	lua_pop(L, 1);
}
