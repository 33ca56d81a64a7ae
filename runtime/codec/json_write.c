/* json_write: see json.h.
 *
 * Depth first, by recursion. An object's keys are left on the Lua stack while it
 * is written: there they are safe, and sorted by their numbers in the stack.
 *
 * SPDX-License-Identifier: MIT */
#include <lauxlib.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "state.h"

enum { PATH_ROOM = 120, KEY_ROOM = 40 };

struct mp_json_field {
	const char *s;             /* NULL: a number */
	size_t len;
	lua_Number number;
	int at;                    /* where the key lies in the Lua stack */
};

typedef struct writer {
	lua_State *L;
	mp_json *j;
	size_t n;                  /* bytes written */
	size_t nfields;
	int depth;
	const char *why;           /* what was refused, with */
	char path[PATH_ROOM];      /* where that was: its end, from here ... */
	size_t path_at;            /* ... on */
	bool path_cut;
	const void **open;         /* the tables around */
} writer;

/* ---- refusals ------------------------------------------------------------------ */

static bool refuse(writer *w, const char *what)
{
	w->why = what;
	return false;
}

/* The refused value is in the one at hand, under that key: put before the path. */
static bool refused_in(writer *w, const char *step, size_t len)
{
	if (w->path_cut || len > w->path_at) {
		w->path_cut = true;
		return false;
	}
	w->path_at -= len;
	memcpy(w->path + w->path_at, step, len);
	return false;
}

static bool refused_at_index(writer *w, lua_Integer i)
{
	char step[32];
	return refused_in(w, step, (size_t)snprintf(step, sizeof step, "[%lld]", (long long)i));
}

static bool refused_at_key(writer *w, const char *s, size_t len)
{
	char step[KEY_ROOM + 8];
	int shown = (int)(len < KEY_ROOM ? len : KEY_ROOM);
	return refused_in(w, step, (size_t)snprintf(step, sizeof step, ".%.*s%s", shown, s,
	                                            len > KEY_ROOM ? "..." : ""));
}

static void push_refusal(writer *w)
{
	const char *path = w->path + w->path_at;
	size_t len = PATH_ROOM - 1 - w->path_at;
	if (len == 0 && !w->path_cut)
		lua_pushfstring(w->L, "cannot write %s as JSON", w->why);
	else
		lua_pushfstring(w->L, "cannot write %s as JSON (at %s%s)", w->why,
		                w->path_cut ? "..." : "", path);
}

/* ---- scalars --------------------------------------------------------------------- */

static char *room(writer *w, size_t n)
{
	if (w->j->captext - w->n < n)
		w->j->text = mp_grow(w->L, w->j->text, &w->j->captext, w->n + n, 1);
	return w->j->text + w->n;
}

static void put(writer *w, const char *s, size_t len)
{
	memcpy(room(w, len), s, len);
	w->n += len;
}

static void put_byte(writer *w, char c)
{
	*room(w, 1) = c;
	w->n++;
}

static void put_escaped(writer *w, unsigned char c)
{
	static const char shorts[] = { ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f',
	                               ['\r'] = 'r', ['"'] = '"', ['\\'] = '\\' };
	put_byte(w, '\\');
	if (shorts[c])
		put_byte(w, shorts[c]);
	else
		w->n += (size_t)sprintf(room(w, 8), "u%04x", c);
}

static void put_string(writer *w, const char *s, size_t len)
{
	const char *end = s + len, *from = s;
	put_byte(w, '"');
	for (; s < end; s++) {
		unsigned char c = (unsigned char)*s;
		if (c >= 0x20 && c != '"' && c != '\\')
			continue;
		put(w, from, (size_t)(s - from));
		put_escaped(w, c);
		from = s + 1;
	}
	put(w, from, (size_t)(end - from));
	put_byte(w, '"');
}

static void put_integer(writer *w, lua_Integer i)
{
	w->n += (size_t)snprintf(room(w, 32), 32, "%lld", (long long)i);
}

static bool put_float(writer *w, double x)
{
	char *s = room(w, 40);
	if (!isfinite(x))
		return refuse(w, isnan(x) ? "a number that is none (NaN)" : "an infinite number");
	for (int digits = 14; digits <= 17; digits++) {
		snprintf(s, 40, "%.*g", digits, x);
		if (strtod(s, NULL) == x)
			break;
	}
	char *point = strchr(s, *localeconv()->decimal_point);
	if (point)
		*point = '.';
	if (s[strspn(s, "-0123456789")] == 0)
		strcat(s, ".0");
	w->n += strlen(s);
	return true;
}

static bool put_number(writer *w, int idx)
{
	if (!lua_isinteger(w->L, idx))
		return put_float(w, (double)lua_tonumber(w->L, idx));
	put_integer(w, lua_tointeger(w->L, idx));
	return true;
}

/* ---- tables ---------------------------------------------------------------------- */

static bool put_value(writer *w);

/* The length of the array that the table on top is, 0: it is none. */
static lua_Integer array_length(lua_State *L)
{
	lua_Integer most = 0, count = 0;
	lua_pushnil(L);
	while (lua_next(L, -2)) {
		lua_Integer k = lua_isinteger(L, -2) ? lua_tointeger(L, -2) : 0;
		if (k < 1) {
			lua_pop(L, 2);
			return 0;
		}
		most = k > most ? k : most;
		count++;
		lua_pop(L, 1);
	}
	return most <= 2 * count ? most : 0;
}

static bool put_array(writer *w, lua_Integer n)
{
	put_byte(w, '[');
	for (lua_Integer i = 1; i <= n; i++) {
		if (i > 1)
			put_byte(w, ',');
		lua_rawgeti(w->L, -1, i);
		if (!put_value(w))
			return refused_at_index(w, i);
		lua_pop(w->L, 1);
	}
	put_byte(w, ']');
	return true;
}

static int by_name(const void *a, const void *b)
{
	const mp_json_field *x = a, *y = b;
	if (!x->s || !y->s)
		return x->s || y->s ? (x->s ? 1 : -1) : (x->number > y->number) - (x->number < y->number);
	int order = memcmp(x->s, y->s, x->len < y->len ? x->len : y->len);
	return order ? order : (x->len > y->len) - (x->len < y->len);
}

/* A field for the key on top, which stays there. */
static bool add_field(writer *w)
{
	lua_State *L = w->L;
	mp_json_field f = { .at = lua_gettop(L) };
	if (lua_type(L, -1) == LUA_TSTRING) {
		f.s = lua_tolstring(L, -1, &f.len);
	} else if (lua_type(L, -1) == LUA_TNUMBER) {
		f.number = lua_tonumber(L, -1);
	} else {
		return refuse(w, "a key that is no string or number");
	}
	if (w->nfields >= w->j->capfields)
		w->j->fields = mp_grow(L, w->j->fields, &w->j->capfields, w->nfields + 1, sizeof f);
	w->j->fields[w->nfields++] = f;
	return true;
}

/* The keys of the table on top go onto the stack. */
static bool collect(writer *w)
{
	lua_State *L = w->L;
	int t = lua_gettop(L);
	lua_pushnil(L);
	while (lua_next(L, t)) {
		lua_pop(L, 1);
		if (!lua_checkstack(L, 8))
			return refuse(w, "a table of so many fields");
		if (!add_field(w))
			return false;
		lua_pushvalue(L, -1);
	}
	return true;
}

static bool put_field(writer *w, int t, mp_json_field f)
{
	lua_State *L = w->L;
	if (f.s) {
		put_string(w, f.s, f.len);
	} else {
		put_byte(w, '"');
		if (!put_number(w, f.at))
			return false;
		put_byte(w, '"');
	}
	put_byte(w, ':');
	lua_pushvalue(L, f.at);
	lua_rawget(L, t);
	if (put_value(w)) {
		lua_pop(L, 1);
		return true;
	}
	return f.s ? refused_at_key(w, f.s, f.len) : refused_at_index(w, (lua_Integer)f.number);
}

static bool put_object(writer *w)
{
	int t = lua_gettop(w->L);
	size_t first = w->nfields;
	if (!collect(w))
		return false;
	size_t n = w->nfields - first;
	if (n > 1)
		qsort(w->j->fields + first, n, sizeof *w->j->fields, by_name);
	put_byte(w, '{');
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			put_byte(w, ',');
		if (!put_field(w, t, w->j->fields[first + i]))
			return false;
	}
	put_byte(w, '}');
	w->nfields = first;
	lua_settop(w->L, t);
	return true;
}

static bool put_table(writer *w)
{
	const void *t = lua_topointer(w->L, -1);
	for (int i = 0; i < w->depth; i++)
		if (w->open[i] == t)
			return refuse(w, "a table that is inside itself");
	if (w->depth == MP_JSON_DEPTH || !lua_checkstack(w->L, 8))
		return refuse(w, "tables nested so deeply");
	w->open[w->depth++] = t;
	lua_Integer n = array_length(w->L);
	bool fine = n ? put_array(w, n) : put_object(w);
	w->depth--;
	return fine;
}

/* The value on top, which stays there; refused, there may be more above it. */
static bool put_value(writer *w)
{
	lua_State *L = w->L;
	size_t len;
	const char *s;
	switch (lua_type(L, -1)) {
	case LUA_TNIL:
		put(w, "null", 4);
		return true;
	case LUA_TBOOLEAN:
		put(w, lua_toboolean(L, -1) ? "true" : "false", lua_toboolean(L, -1) ? 4 : 5);
		return true;
	case LUA_TNUMBER:
		return put_number(w, -1);
	case LUA_TSTRING:
		s = lua_tolstring(L, -1, &len);
		put_string(w, s, len);
		return true;
	case LUA_TTABLE:
		return put_table(w);
	case LUA_TFUNCTION:
		return refuse(w, "a function");
	case LUA_TTHREAD:
		return refuse(w, "a coroutine");
	case LUA_TLIGHTUSERDATA:
		if (!lua_touserdata(L, -1)) {
			put(w, "null", 4);
			return true;
		}
	}
	return refuse(w, "a userdata");
}

bool mp_json_write(lua_State *L, mp_json *j, int idx)
{
	const void *open[MP_JSON_DEPTH];
	writer w = { .L = L, .j = j, .path_at = PATH_ROOM - 1, .open = open };
	int top = lua_gettop(L);
	luaL_checkstack(L, 8, "json");
	lua_pushvalue(L, idx);
	bool fine = put_value(&w);
	lua_settop(L, top);
	if (fine)
		lua_pushlstring(L, j->text, w.n);
	else
		push_refusal(&w);
	if (j->captext > MP_SCRATCH_KEEP || j->capfields > MP_SCRATCH_KEEP)
		mp_json_free(j);
	return fine;
}
