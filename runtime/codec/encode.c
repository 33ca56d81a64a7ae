/* encode: values to bytes.
 *
 * Walks the values with a stack of its own (mp_codec.frames) instead of
 * recursion, so that a linked list can be as long as it likes. What needs no
 * frame (leaf) is written at once; the value to be written lies on top of the
 * Lua stack, and a frame's table or function below it, with its key.
 *
 * The message is built in the codec's scratch memory. Offsets in the message
 * and positions in the scratch memory differ by the large strings before,
 * which stay where they are.
 *
 * SPDX-License-Identifier: MIT */
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "code.h"
#include "codec.h"
#include "names.h"
#include "path.h"
#include "run.h"
#include "state.h"
#include "stretch.h"
#include "wire.h"

enum {
	SHARE_MIN = 4,   /* a shorter string is no longer than a reference to it */
	LEAF_ROOM = 16   /* what any leaf but a string takes at most */
};

typedef enum outcome {
	DONE,     /* the value on top is written and gone */
	DESCEND,  /* the value on top is to be written next */
	RESTART   /* names may be missing: build them and begin again */
} outcome;

typedef struct encoder {
	lua_State *L;
	mp_codec *c;
	uint8_t *buf;         /* copies of the codec's, to have them in registers */
	size_t cap;
	size_t pos;           /* written to buf */
	size_t external;      /* bytes in large strings so far */
	size_t cut;           /* buf up to here is in parts */
	size_t nparts;
	size_t nframes;
	uint32_t nhandles;
	const void *globals;
	int fresh;            /* the names are known to be up to date */
	int rebuilt;          /* they are from this message */
	int plain;            /* handles are refused */
	mp_place at;
} encoder;

/* --- writing ----------------------------------------------------------- */

static void more_room(encoder *e, size_t n)
{
	e->buf = e->c->buf = mp_grow(e->L, e->c->buf, &e->c->cap, e->pos + n, 1);
	e->cap = e->c->cap;
}

static inline uint8_t *room(encoder *e, size_t n)
{
	if (e->cap - e->pos < n)
		more_room(e, n);
	return e->buf + e->pos;
}

static inline void put_byte(encoder *e, uint8_t b)
{
	*room(e, 1) = b;
	e->pos++;
}

static inline void put_varint(encoder *e, uint64_t v)
{
	e->pos = (size_t)(w_varint(room(e, W_VARINT_MAX), v) - e->buf);
}

static void put_part(encoder *e, const void *data, size_t len)
{
	mp_codec *c = e->c;
	if (e->nparts >= c->capparts)
		c->parts = mp_grow(e->L, c->parts, &c->capparts, e->nparts + 1, sizeof *c->parts);
	c->parts[e->nparts++] = (mp_part){ data, len };
}

/* Ends the part that is being written; NULL stands for buf, which may move. */
static void cut_part(encoder *e)
{
	if (e->pos > e->cut)
		put_part(e, NULL, e->pos - e->cut);
	e->cut = e->pos;
}

static inline void put_copy(encoder *e, const void *s, size_t len)
{
	memcpy(room(e, len), s, len);
	e->pos += len;
}

/* The slot of something that may occur again. If it is new, it is noted that
 * its tag comes next. */
static inline mp_entry *note(encoder *e, const void *key, int *fresh)
{
	mp_entry *s = mp_map_add(e->L, &e->c->seen, (uint64_t)(uintptr_t)key, MP_OBJECT, fresh);
	if (*fresh) {
		s->off = e->pos + e->external;
		s->pos = e->pos;
	}
	return s;
}

static void mark_shared(encoder *e, uint64_t pos)
{
	uint8_t *tag = &e->buf[pos];
	*tag |= *tag < W_NIL ? W_STR_SHARED : *tag >= W_STR_SHARED + W_STR ? 0 : W_SHARED;
}

static void put_ref(encoder *e, const mp_entry *s)
{
	mark_shared(e, s->pos);
	put_byte(e, W_REF);
	put_varint(e, s->off);
}

static void put_long_string(encoder *e, const char *s, size_t len)
{
	put_byte(e, W_STRN);
	put_varint(e, len);
	if (len < MP_EXTERNAL) {
		put_copy(e, s, len);
	} else {
		cut_part(e);
		put_part(e, s, len);
		e->external += len;
	}
}

static inline void put_string(encoder *e, int idx)
{
	size_t len;
	const char *s = lua_tolstring(e->L, idx, &len);
	if (len >= SHARE_MIN) {
		int fresh;
		const mp_entry *slot = note(e, s, &fresh);
		if (!fresh) {
			put_ref(e, slot);
			return;
		}
	}
	if (len <= W_STR_LAST - W_STR) {
		uint8_t *p = room(e, len + 1);
		*p = (uint8_t)(W_STR + len);
		memcpy(p + 1, s, len);
		e->pos += len + 1;
	} else if (len <= 0xFF) {
		uint8_t *p = room(e, len + 2);
		p[0] = W_STR8;
		p[1] = (uint8_t)len;
		memcpy(p + 2, s, len);
		e->pos += len + 2;
	} else {
		put_long_string(e, s, len);
	}
}

static inline uint8_t *write_number(lua_State *L, int idx, uint8_t *p)
{
	if (lua_isinteger(L, idx))
		return w_integer(p, lua_tointeger(L, idx));
	lua_Number x = lua_tonumber(L, idx);
	*p = W_F64;
	memcpy(p + 1, &x, sizeof x);
	return p + 1 + sizeof x;
}

/* Writes the value at idx, of this type, if it needs no frame. */
static inline int typed_leaf(encoder *e, int idx, int type)
{
	lua_State *L = e->L;
	uint8_t *p;
	switch (type) {
	case LUA_TSTRING:
		put_string(e, idx);
		return 1;
	case LUA_TNUMBER:
		p = room(e, LEAF_ROOM);
		e->pos += (size_t)(write_number(L, idx, p) - p);
		return 1;
	case LUA_TBOOLEAN:
		put_byte(e, lua_toboolean(L, idx) ? W_TRUE : W_FALSE);
		return 1;
	case LUA_TNIL:
		put_byte(e, W_NIL);
		return 1;
	case LUA_TLIGHTUSERDATA:
		if (lua_touserdata(L, idx))
			return 0;
		put_byte(e, W_NULL);  /* what several libraries have for null */
		return 1;
	default:
		return 0;
	}
}

static inline int leaf(encoder *e, int idx)
{
	return typed_leaf(e, idx, lua_type(e->L, idx));
}

/* --- tables, functions, handles ----------------------------------------- */

/* The value on top becomes a frame. */
static mp_frame *push_frame(encoder *e, mp_step step, uint64_t off, uint64_t pos)
{
	mp_codec *c = e->c;
	if (e->nframes >= MP_CODEC_MAX_DEPTH || !lua_checkstack(e->L, 8))
		luaL_error(e->L, "%s: cannot send values nested deeper than %d levels", e->at.call,
		           (int)e->nframes);
	if (e->nframes >= c->capframes)
		c->frames = mp_grow(e->L, c->frames, &c->capframes, e->nframes + 1, sizeof *c->frames);
	mp_frame *f = &c->frames[e->nframes++];
	*f = (mp_frame){ .off = off, .pos = pos, .base = lua_gettop(e->L), .step = (uint8_t)step };
	return f;
}

static _Noreturn void refuse_value(encoder *e)
{
	e->at.nframes = e->nframes;
	mp_refuse_value(e->L, e->c, &e->at);
}

/* Writes the name of the value on top, if it has one. */
static int put_name(encoder *e)
{
	int n = mp_name_of(e->L, e->c);
	if (n == 0)
		return 0;
	put_byte(e, W_NAME);
	put_byte(e, (uint8_t)n);
	for (int i = -n; i < 0; i++) {
		size_t len;
		const char *key = lua_tolstring(e->L, i, &len);
		put_varint(e, len);
		put_copy(e, key, len);
	}
	lua_pop(e->L, n + 1);
	return 1;
}

/* Before functions and metatables go by value: might they have a name by now?
 * Mere data never asks, so that it need not pay. */
static int names_missing(encoder *e)
{
	if (!e->fresh) {
		if (mp_names_stale(e->L, e->c))
			return 1;
		e->fresh = 1;
	}
	return 0;
}

/* The globals are the receiver's, and no copy. */
static int put_globals(encoder *e, const void *p)
{
	if (p != e->globals)
		return 0;
	put_byte(e, W_GLOBALS);
	lua_pop(e->L, 1);
	return 1;
}

/* The two texts of mp_codec_stays lie on top, above a table of that kind. */
static _Noreturn void refuse_kind(encoder *e)
{
	lua_rawgeti(e->L, -1, 1);
	lua_rawgeti(e->L, -2, 2);
	mp_refuse(e->L, e->c, &e->at, lua_tostring(e->L, -2), lua_tostring(e->L, -1));
}

static outcome enter_table(encoder *e, int as_metatable)
{
	lua_State *L = e->L;
	const void *p = lua_topointer(L, -1);
	int fresh;
	if (put_globals(e, p))
		return DONE;
	const mp_entry *s = note(e, p, &fresh);
	if (!fresh) {
		put_ref(e, s);
		lua_pop(L, 1);
		return DONE;
	}
	if (put_name(e))
		return DONE;
	if (as_metatable && names_missing(e))
		return RESTART;
	mp_frame *f = push_frame(e, MP_RUN, e->pos + e->external, e->pos);
	if (lua_getmetatable(L, -1)) {
		if (lua_rawgetp(L, LUA_REGISTRYINDEX, lua_topointer(L, -1)) == LUA_TTABLE)
			refuse_kind(e);
		lua_pop(L, 2);
		f->meta = 1;
	}
	f->n = lua_rawlen(L, -1);
	put_byte(e, f->meta ? W_TABLE_META : W_TABLE);
	put_varint(e, f->n);
	f->patch = e->pos;
	put_byte(e, 0);
	lua_pushnil(L);
	return DESCEND;
}

/* The code, or where the message already has the very same. */
static void put_code(encoder *e)
{
	size_t len;
	const uint8_t *code = mp_code_of(e->L, e->c, &len);
	uint64_t hash, seenlen = 0;
	int fresh;
	memcpy(&hash, code, sizeof hash);
	mp_entry *s = mp_map_add(e->L, &e->c->seen, hash, MP_CODE, &fresh);
	if (!fresh) {
		const uint8_t *seen = w_read_varint(e->buf + s->pos, e->buf + e->pos, &seenlen);
		if (seenlen == (uint64_t)len * 2 && memcmp(seen, code, len) == 0) {
			put_varint(e, s->off * 2 + 1);
			return;
		}
	}
	s->off = e->pos + e->external;
	s->pos = e->pos;
	put_varint(e, (uint64_t)len * 2);
	put_copy(e, code, len);
}

static outcome enter_function(encoder *e)
{
	lua_State *L = e->L;
	int fresh;
	const mp_entry *s = note(e, lua_topointer(L, -1), &fresh);
	if (!fresh) {
		put_ref(e, s);
		lua_pop(L, 1);
		return DONE;
	}
	if (put_name(e))
		return DONE;
	if (names_missing(e))
		return RESTART;
	if (lua_iscfunction(L, -1)) {
		if (!e->rebuilt)
			return RESTART;
		refuse_value(e);
	}
	mp_frame *f = push_frame(e, MP_UPVALUES, e->pos + e->external, e->pos);
	put_byte(e, W_FUNCTION);
	put_code(e);
	f->patch = e->pos;
	put_byte(e, 0);
	return DESCEND;
}

static void list_handle(encoder *e, uint64_t h)
{
	mp_codec *c = e->c;
	int fresh;
	mp_map_add(e->L, &c->seen, h, MP_HANDLE, &fresh);
	if (!fresh)
		return;
	if (e->nhandles >= c->caphandles)
		c->handles = mp_grow(e->L, c->handles, &c->caphandles, (size_t)e->nhandles + 1,
		                     sizeof *c->handles);
	c->handles[e->nhandles++] = h;
}

/* The stretch is on top; its frame has the list in its place. */
static outcome enter_stretch(encoder *e, const mp_stretch *s)
{
	lua_State *L = e->L;
	mp_frame *f = push_frame(e, MP_STRETCH, 0, 0);
	if (!lua_checkstack(L, MP_RUN_MAX + 8))
		luaL_error(L, "%s: out of memory", e->at.call);
	f->first = s->first;
	f->n = (uint64_t)s->n;
	put_byte(e, s->at > 0 ? W_STRETCH : W_TABLE);
	put_varint(e, f->n);
	put_varint(e, s->at > 0 ? (uint64_t)s->at - 1 : 0);  /* or: no pairs */
	lua_getiuservalue(L, -1, 1);
	lua_replace(L, -2);  /* now nothing may keep the stretch */
	lua_pushnil(L);
	return DESCEND;
}

static outcome enter_userdata(encoder *e)
{
	lua_State *L = e->L;
	const mp_codec_hooks *hooks = e->c->hooks;
	const mp_stretch *stretch;
	uint64_t h;
	int fresh, is = hooks ? hooks->handle_of(L, -1, &h, hooks->ud) : 0;
	if (is < 0) {
		e->at.nframes = e->nframes;
		mp_refuse(L, e->c, &e->at, "an object that is closed here", "");
	}
	if (!is) {
		if ((stretch = mp_stretch_test(L, -1)) != NULL)
			return enter_stretch(e, stretch);
		if (put_name(e))
			return DONE;
		if (names_missing(e))
			return RESTART;
		refuse_value(e);
	}
	if (e->plain) {
		e->at.nframes = e->nframes;
		mp_refuse(L, e->c, &e->at, "a handle",
		          ": packed, it would keep nothing alive; send it in a message");
	}
	const mp_entry *s = note(e, lua_touserdata(L, -1), &fresh);
	if (fresh) {
		list_handle(e, h);
		uint8_t *p = room(e, LEAF_ROOM);
		*p = W_HANDLE;
		memcpy(p + 1, &h, sizeof h);
		e->pos += 1 + sizeof h;
	} else {
		put_ref(e, s);
	}
	lua_pop(L, 1);
	return DONE;
}

/* Begins to write the value on top. */
static outcome enter(encoder *e)
{
	switch (lua_type(e->L, -1)) {
	case LUA_TTABLE:
		return enter_table(e, e->nframes > 0 && e->c->frames[e->nframes - 1].step == MP_META);
	case LUA_TFUNCTION:
		return enter_function(e);
	case LUA_TUSERDATA:
		return enter_userdata(e);
	default:
		refuse_value(e);
	}
}

/* The frame's table or function is on top, and complete. */
static outcome leave(encoder *e)
{
	lua_pop(e->L, 1);
	e->nframes--;
	return DONE;
}

/* --- going on with a frame ----------------------------------------------- */

/* All entries are written; the metatable remains, if there is one. */
static outcome finish_entries(encoder *e, mp_frame *f)
{
	if (f->step == MP_RUN && f->i < f->n)
		put_byte(e, W_END);
	if (f->pairs > 0) {
		put_byte(e, W_END);
		int log = f->pairs > 1 ? 64 - __builtin_clzll(f->pairs - 1) : 0;
		e->buf[f->patch] = (uint8_t)(log + 1);
	}
	if (!f->meta)
		return leave(e);
	f->step = MP_META;
	lua_getmetatable(e->L, -1);
	return DESCEND;
}

/* Is the key at idx the next element of the run? */
static inline int continues_run(lua_State *L, int idx, const mp_frame *f)
{
	return f->i < f->n && lua_isinteger(L, idx)
	       && (uint64_t)lua_tointeger(L, idx) == f->i + 1;
}

/* Writes the key of the pair on top. Returns 0 if it needs a frame: then a
 * copy of it is on top. */
static inline int put_key(encoder *e, mp_frame *f)
{
	if (f->step == MP_RUN) {
		if (continues_run(e->L, -2, f)) {
			f->i++;
			return 1;
		}
		if (f->i < f->n)
			put_byte(e, W_END);
		f->step = MP_PAIRS;
	}
	f->pairs++;
	if (leaf(e, -2))
		return 1;
	f->step = MP_VALUE;
	lua_pushvalue(e->L, -2);
	return 0;
}

/* Is the value on top a number of this kind? */
static inline int is_number(lua_State *L, int integer)
{
	return lua_isinteger(L, -1) == integer && (integer || lua_type(L, -1) == LUA_TNUMBER);
}

/* The pair on top is the next element, and a number: writes it, and those
 * behind it that are alike. Returns 0 at the end of the table; else the pair
 * that follows is on top. */
static int put_run(encoder *e, mp_frame *f)
{
	lua_State *L = e->L;
	mp_number v[MP_RUN_MAX];
	unsigned n = 0;
	int integers = lua_isinteger(L, -1), more;
	do {
		if (integers)
			v[n++].i = lua_tointeger(L, -1);
		else
			v[n++].x = lua_tonumber(L, -1);
		f->i++;
		lua_pop(L, 1);
		more = lua_next(L, -2);
	} while (more && n < MP_RUN_MAX && is_number(L, integers) && continues_run(L, -2, f));
	e->pos = (size_t)(mp_run_write(room(e, MP_RUN_ROOM), v, n, integers) - e->buf);
	return more;
}

static outcome step_table(encoder *e, mp_frame *f)
{
	lua_State *L = e->L;
	if (f->step == MP_META)
		return leave(e);
	if (f->step == MP_VALUE) {
		f->step = MP_PAIRS;
		if (!leaf(e, -1))
			return DESCEND;
		lua_pop(L, 1);
	}
	int more = lua_next(L, -2);
	while (more) {
		int type = lua_type(L, -1);
		if (type == LUA_TNUMBER && f->step == MP_RUN && f->n >= MP_RUN_MIN
		    && continues_run(L, -2, f)) {
			more = put_run(e, f);
			continue;
		}
		if (!put_key(e, f) || !typed_leaf(e, -1, type))
			return DESCEND;
		lua_pop(L, 1);
		more = lua_next(L, -2);
	}
	return finish_entries(e, f);
}

/* The number on top is the next element of a stretch: writes it, and those
 * behind it that are alike. */
static void put_stretch_run(encoder *e, mp_frame *f)
{
	lua_State *L = e->L;
	mp_number v[MP_RUN_MAX];
	unsigned n = 0;
	int integers = lua_isinteger(L, -1);
	uint64_t most = f->n - f->i < MP_RUN_MAX ? f->n - f->i : MP_RUN_MAX;
	lua_Integer next = f->first + (lua_Integer)f->i;
	do {  /* what is read stays on the stack for now: that is quicker */
		if (integers)
			v[n++].i = lua_tointeger(L, -1);
		else
			v[n++].x = lua_tonumber(L, -1);
	} while (n < most && lua_rawgeti(L, f->base, ++next) == LUA_TNUMBER
	         && lua_isinteger(L, -1) == integers);
	f->i += n;
	lua_settop(L, f->base + 1);
	e->pos = (size_t)(mp_run_write(room(e, MP_RUN_ROOM), v, n, integers) - e->buf);
}

/* Above the list lies the key of the element that is written. */
static outcome step_stretch(encoder *e, mp_frame *f)
{
	lua_State *L = e->L;
	while (f->i < f->n) {
		int type = lua_rawgeti(L, f->base, f->first + (lua_Integer)f->i);
		if (type == LUA_TNUMBER) {
			put_stretch_run(e, f);
			continue;
		}
		f->i++;
		if (!typed_leaf(e, -1, type)) {
			lua_pushinteger(L, (lua_Integer)f->i);
			lua_replace(L, f->base + 1);
			return DESCEND;
		}
		lua_pop(L, 1);
	}
	lua_pop(L, 1);
	return leave(e);
}

/* Is the upvalue on top the globals, or (busted and other frameworks do it)
 * something that a script has instead of them? A table without a metatable
 * hides the globals on purpose: it travels. */
static int is_environment(encoder *e, const char *name)
{
	if (!lua_istable(e->L, -1))
		return 0;
	if (lua_topointer(e->L, -1) == e->globals)
		return 1;
	if (strcmp(name, "_ENV") != 0 || !lua_getmetatable(e->L, -1))
		return 0;
	lua_pop(e->L, 1);
	return 1;
}

/* Writes the upvalue on top as one that is already in the message, if it is. */
static int put_upref(encoder *e, const mp_frame *f)
{
	int fresh;
	uint64_t id = (uint64_t)(uintptr_t)lua_upvalueid(e->L, -2, (int)f->i);
	mp_entry *s = mp_map_add(e->L, &e->c->seen, id, MP_UPVALUE, &fresh);
	if (fresh) {
		s->off = f->off;
		s->pos = f->pos;
		s->n = (uint16_t)f->i;
		return 0;
	}
	mark_shared(e, s->pos);
	uint8_t n = (uint8_t)s->n;
	put_byte(e, W_UPREF);
	put_varint(e, s->off);
	put_byte(e, n);
	return 1;
}

static outcome step_function(encoder *e, mp_frame *f)
{
	lua_State *L = e->L;
	const char *name;
	while ((name = lua_getupvalue(L, -1, (int)f->i + 1)) != NULL) {
		f->i++;
		if (is_environment(e, name))
			put_byte(e, W_GLOBALS);
		else if (!put_upref(e, f) && !leaf(e, -1))
			return DESCEND;
		lua_pop(L, 1);
	}
	e->buf[f->patch] = (uint8_t)f->i;
	return leave(e);
}

/* Writes the value on top, and takes it away. */
static outcome put_value(encoder *e)
{
	if (leaf(e, -1)) {
		lua_pop(e->L, 1);
		return DONE;
	}
	for (;;) {
		if (enter(e) == RESTART)
			return RESTART;
		outcome o = DONE;
		while (o == DONE) {
			if (e->nframes == 0)
				return DONE;
			mp_frame *f = &e->c->frames[e->nframes - 1];
			o = f->step == MP_STRETCH ? step_stretch(e, f)
			    : f->step == MP_UPVALUES ? step_function(e, f) : step_table(e, f);
		}
	}
}

/* --- messages ------------------------------------------------------------- */

/* Gives scratch memory back that no message has needed for a while. */
static void trim(lua_State *L, mp_codec *c)
{
	c->idle = c->used > MP_SCRATCH_KEEP ? 0 : c->idle + 1;
	if (c->idle <= MP_SCRATCH_PATIENCE)
		return;
	free(c->buf);
	free(c->frames);
	c->buf = NULL;
	c->frames = NULL;
	c->cap = c->capframes = 0;
	c->big = 0;
	c->idle = 0;
	mp_map_free(&c->seen);
	mp_codec_wake(L, c);
}

/* Notes how much scratch memory there is, and how much of it was needed. */
static void measure(const encoder *e)
{
	mp_codec *c = e->c;
	size_t map = ((size_t)c->seen.mask + 1) * sizeof *c->seen.slots;
	size_t frames = c->capframes * sizeof *c->frames;
	size_t seen = c->seen.used * 2 * sizeof *c->seen.slots;
	c->big = c->cap > MP_SCRATCH_KEEP || map > MP_SCRATCH_KEEP || frames > MP_SCRATCH_KEEP;
	c->used = e->pos > seen ? e->pos : seen;
}

static void begin(encoder *e, int n)
{
	mp_codec *c = e->c;
	e->buf = c->buf;
	e->cap = c->cap;
	e->pos = e->external = e->cut = e->nparts = e->nframes = e->nhandles = 0;
	mp_map_clear(&c->seen);
	if (n < W_MANY) {
		put_byte(e, (uint8_t)(W_HEADER + n));
	} else {
		put_byte(e, W_HEADER + W_MANY);
		put_varint(e, (uint64_t)n);
	}
}

static outcome put_values(encoder *e, int first, int n)
{
	begin(e, n);
	for (int i = 0; i < n; i++) {
		e->at.arg = i + 1;
		lua_pushvalue(e->L, first + i);
		if (put_value(e) == RESTART)
			return RESTART;
	}
	cut_part(e);
	return DONE;
}

static void finish(const encoder *e, mp_encoded *out)
{
	const mp_codec *c = e->c;
	const uint8_t *p = c->buf;
	for (size_t i = 0; i < e->nparts; i++) {
		if (!c->parts[i].data) {
			c->parts[i].data = p;
			p += c->parts[i].len;
		}
	}
	*out = (mp_encoded){ c->parts, e->nparts, e->pos + e->external, c->handles, e->nhandles };
}

static void encode(lua_State *L, mp_codec *c, int first, int n, const char *call, int plain,
                   mp_encoded *out)
{
	encoder e = { .L = L, .c = c, .plain = plain, .at = { .call = call, .nargs = n } };
	int top = lua_gettop(L);
	luaL_checkstack(L, 10, "codec");
	lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
	e.globals = lua_topointer(L, -1);
	lua_pop(L, 1);
	while (put_values(&e, first, n) == RESTART) {
		lua_settop(L, top);
		mp_names_build(L, c);
		e.fresh = e.rebuilt = 1;
	}
	finish(&e, out);
	measure(&e);
}

/* The commonest messages, one number, boolean, nil or string, at once. */
static int encode_scalar(lua_State *L, mp_codec *c, int idx, mp_encoded *out)
{
	uint8_t *p = c->buf;
	size_t len = 0;
	const char *s = NULL;
	*p++ = W_HEADER + 1;
	switch (lua_type(L, idx)) {
	case LUA_TNUMBER:
		p = write_number(L, idx, p);
		break;
	case LUA_TBOOLEAN:
		*p++ = lua_toboolean(L, idx) ? W_TRUE : W_FALSE;
		break;
	case LUA_TNIL:
		*p++ = W_NIL;
		break;
	case LUA_TSTRING:
		s = lua_tolstring(L, idx, &len);
		if (len <= W_STR_LAST - W_STR) {
			*p++ = (uint8_t)(W_STR + len);
		} else if (len <= 0xFF) {
			*p++ = W_STR8;
			*p++ = (uint8_t)len;
		} else {
			*p++ = W_STRN;
			p = w_varint(p, len);
		}
		break;
	default:
		return 0;
	}
	size_t head = (size_t)(p - c->buf);
	int external = len >= MP_EXTERNAL;
	if (external)
		c->parts[1] = (mp_part){ s, len };
	else if (s)
		memcpy(p, s, len);
	c->parts[0] = (mp_part){ c->buf, external ? head : head + len };
	*out = (mp_encoded){ c->parts, 1 + (size_t)external, head + len, NULL, 0 };
	return 1;
}

static void encode_any(lua_State *L, mp_codec *c, int first, int n, const char *call, int plain,
                       mp_encoded *out)
{
	if (!c->buf)
		mp_codec_wake(L, c);
	first = lua_absindex(L, first);
	if (c->big)
		trim(L, c);
	if (n == 1 && encode_scalar(L, c, first, out))
		c->used = 0;
	else
		encode(L, c, first, n, call, plain, out);
}

void mp_encode(lua_State *L, mp_codec *c, int first, int n, const char *call, mp_encoded *out)
{
	encode_any(L, c, first, n, call, 0, out);
}

void mp_encode_plain(lua_State *L, mp_codec *c, int first, int n, const char *call,
                     mp_encoded *out)
{
	encode_any(L, c, first, n, call, 1, out);
}
