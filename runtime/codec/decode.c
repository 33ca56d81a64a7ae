/* decode: bytes to values.
 *
 * The bytes may be anything. Every length is checked against what remains,
 * every reference against what was read, and sizes that a message merely
 * announces against a budget of as many slots as it has bytes, for all its
 * tables together.
 *
 * A value is pushed and then attached to the frame it belongs to, whose table
 * or function lies below it. Frames and shared values are kept where an error
 * frees them: in this C frame at first, in Lua userdata when there are many.
 * Nothing is kept in the codec: loading a module, or a finalizer, may decode
 * another message in the middle of this one.
 *
 * SPDX-License-Identifier: MIT */
#include <lauxlib.h>
#include <string.h>

#include "code.h"
#include "codec.h"
#include "names.h"
#include "run.h"
#include "state.h"
#include "wire.h"

enum { LOCAL_FRAMES = 16, LOCAL_SHARED = 32 };

/* What the next value will be to the frame. */
typedef enum part { ROOT, ELEMENT, KEY, VALUE, METATABLE, UPVALUE } part;

typedef struct frame {
	uint64_t i, n;   /* elements or upvalues: there are, there will be */
	int64_t at;      /* elements go behind so many others */
	uint8_t part;
	uint8_t pairs;   /* has pairs */
	uint8_t meta;    /* has a metatable */
} frame;

/* Stack slots that the decoder keeps for itself, below the values. */
enum { FRAMES, SHARED, OFFSETS, NRESERVED };

typedef struct decoder {
	lua_State *L;
	mp_codec *c;
	const uint8_t *p, *end, *data;
	int flags;
	int base;             /* of the reserved slots */
	int into;             /* list for a stretch; 0: none */
	size_t budget;        /* table slots that may still be announced */
	frame *frames;
	size_t nframes, capframes;
	uint64_t *offsets;    /* of the shared values, ascending; they themselves
	                       * are the elements of a list */
	size_t nshared, capshared;
	frame local_frames[LOCAL_FRAMES];
	uint64_t local_offsets[LOCAL_SHARED];
} decoder;

typedef enum outcome {
	BAD = -1,  /* the reason is on top */
	PUSHED,    /* a complete value is on top */
	OPENED,    /* a table or function is on top, and has become a frame */
	ENDED,     /* the run or the pairs of the frame are over */
	FILLED,    /* the next elements are in the frame's table already */
	JOINED     /* the upvalue is in its place already */
} outcome;

static outcome bad(decoder *d, const char *reason)
{
	luaL_checkstack(d->L, 2, "codec");
	lua_pushstring(d->L, reason);
	return BAD;
}

static outcome truncated(decoder *d)
{
	return bad(d, "the message is truncated");
}

static outcome malformed(decoder *d)
{
	return bad(d, "the bytes are no message");
}

static inline size_t left(const decoder *d)
{
	return (size_t)(d->end - d->p);
}

static inline int read_varint(decoder *d, uint64_t *v)
{
	const uint8_t *p = w_read_varint(d->p, d->end, v);
	if (!p)
		return 0;
	d->p = p;
	return 1;
}

/* Moves an array into a new userdata, twice as large, in a reserved slot. */
static void *enlarge(decoder *d, int slot, const void *old, size_t *cap, size_t size)
{
	lua_State *L = d->L;
	void *p = lua_newuserdatauv(L, *cap * 2 * size, 0);
	memcpy(p, old, *cap * size);
	*cap *= 2;
	lua_replace(L, d->base + slot);
	return p;
}

/* --- shared values -------------------------------------------------------- */

/* The value on top, whose tag is at off, will be referred to. */
static void share(decoder *d, uint64_t off)
{
	lua_State *L = d->L;
	if (d->nshared == 0) {
		lua_createtable(L, 8, 0);
		lua_replace(L, d->base + SHARED);
	}
	if (d->nshared >= d->capshared)
		d->offsets = enlarge(d, OFFSETS, d->offsets, &d->capshared, sizeof *d->offsets);
	d->offsets[d->nshared++] = off;
	lua_pushvalue(L, -1);
	lua_rawseti(L, d->base + SHARED, (lua_Integer)d->nshared);
}

/* Pushes the shared value whose tag is at off; 0 if there is none. */
static int push_shared(decoder *d, uint64_t off)
{
	size_t low = 0, high = d->nshared;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (d->offsets[mid] < off)
			low = mid + 1;
		else
			high = mid;
	}
	if (low >= d->nshared || d->offsets[low] != off)
		return 0;
	lua_rawgeti(d->L, d->base + SHARED, (lua_Integer)low + 1);
	return 1;
}

/* --- reading values ------------------------------------------------------- */

/* The value on top becomes a frame. NULL, with the reason on top: too deep. */
static frame *open_frame(decoder *d, part first, uint64_t n)
{
	if (d->nframes > MP_CODEC_MAX_DEPTH || !lua_checkstack(d->L, 8)) {
		bad(d, "the message is nested too deeply");
		return NULL;
	}
	if (d->nframes >= d->capframes)
		d->frames = enlarge(d, FRAMES, d->frames, &d->capframes, sizeof *d->frames);
	frame *f = &d->frames[d->nframes++];
	*f = (frame){ .n = n, .part = (uint8_t)first };
	return f;
}

static outcome read_string(decoder *d, uint64_t len)
{
	if (len > left(d))
		return truncated(d);
	lua_pushlstring(d->L, (const char *)d->p, (size_t)len);
	d->p += len;
	return PUSHED;
}

static outcome read_integer(decoder *d, unsigned width)
{
	int64_t v = 0;
	if (width > left(d))
		return truncated(d);
	memcpy(&v, d->p, width);
	unsigned unused = 64 - 8 * width;
	v = (int64_t)((uint64_t)v << unused) >> unused;
	d->p += width;
	lua_pushinteger(d->L, v);
	return PUSHED;
}

static outcome read_float(decoder *d)
{
	lua_Number x;
	if (sizeof x > left(d))
		return truncated(d);
	memcpy(&x, d->p, sizeof x);
	d->p += sizeof x;
	lua_pushnumber(d->L, x);
	return PUSHED;
}

/* Elements of the table that is being read: are so many missing? */
static int is_room(const decoder *d, unsigned n)
{
	const frame *f = &d->frames[d->nframes - 1];
	return f->part == ELEMENT && n <= f->n - f->i;
}

static outcome read_run(decoder *d, int integers)
{
	if (left(d) == 0)
		return truncated(d);
	unsigned head = *d->p++;
	unsigned log = integers ? head >> 6 : 3;
	unsigned n = (integers ? head & MP_RUN_INTS_N : head) + 1;
	if (!is_room(d, n))
		return malformed(d);
	if ((size_t)n << log > left(d))
		return truncated(d);
	frame *f = &d->frames[d->nframes - 1];
	lua_Integer first = f->at + (lua_Integer)f->i + 1;
	if (integers)
		mp_run_read_integers(d->L, d->p, log, n, first);
	else
		mp_run_read_floats(d->L, d->p, n, first);
	d->p += (size_t)n << log;
	f->i += n;
	return FILLED;
}

static outcome read_ref(decoder *d)
{
	uint64_t off;
	if (!read_varint(d, &off) || !push_shared(d, off))
		return malformed(d);
	return PUSHED;
}

/* A size for lua_createtable, as far as the budget goes. */
static int announced(decoder *d, uint64_t n)
{
	if (n > d->budget)
		n = d->budget;
	if (n > INT32_MAX / 2)
		n = INT32_MAX / 2;
	d->budget -= (size_t)n;
	return (int)n;
}

static outcome read_table(decoder *d, uint64_t off, int shared, int meta)
{
	uint64_t n;
	if (!read_varint(d, &n) || left(d) == 0)
		return truncated(d);
	unsigned hash = *d->p++;
	if (hash > 64)
		return malformed(d);
	uint64_t pairs = hash > 0 ? UINT64_C(1) << (hash - 1) : 0;
	int narray = announced(d, n);
	lua_createtable(d->L, narray, announced(d, pairs));
	if (shared)
		share(d, off);
	if (n == 0 && hash == 0 && !meta)
		return PUSHED;
	part first = n > 0 ? ELEMENT : hash > 0 ? KEY : METATABLE;
	frame *f = open_frame(d, first, n);
	if (!f)
		return BAD;
	f->pairs = hash > 0;
	f->meta = (uint8_t)meta;
	return OPENED;
}

/* Only a value of the message itself can go into the receiver's list, and only
 * one: else what is read of one could be overwritten. */
static outcome read_stretch(decoder *d)
{
	uint64_t n, at;
	if (!read_varint(d, &n) || !read_varint(d, &at))
		return truncated(d);
	if (at > INT64_MAX / 2)
		return malformed(d);
	if (d->into && d->nframes == 1) {
		lua_pushvalue(d->L, d->into);
		d->into = 0;
	} else {
		lua_createtable(d->L, announced(d, n), 0);
		at = 0;
	}
	if (n == 0)
		return PUSHED;
	frame *f = open_frame(d, ELEMENT, n);
	if (!f)
		return BAD;
	f->at = (int64_t)at;
	return OPENED;
}

/* Finds the code of a function: here, or where it was before. */
static int read_code(decoder *d, const uint8_t **code, uint64_t *len)
{
	const uint8_t *p = w_read_varint(d->p, d->end, len);
	if (!p)
		return 0;
	d->p = p;
	if (*len & 1) {
		if (*len / 2 >= (uint64_t)(p - d->data))
			return 0;
		p = w_read_varint(d->data + *len / 2, d->end, len);
		if (!p || (*len & 1))
			return 0;
	}
	*len /= 2;
	*code = p;
	if (*len > (size_t)(d->end - p))
		return 0;
	if (p == d->p)
		d->p += *len;
	return 1;
}

static int are_globals(const decoder *d, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		if (i >= left(d) || d->p[i] != W_GLOBALS)
			return 0;
	}
	return 1;
}

static outcome read_function(decoder *d, uint64_t off, int shared)
{
	const uint8_t *code;
	uint64_t len;
	if (d->flags & MP_CODEC_NO_FUNCTIONS)
		return bad(d, "the message holds a function");
	if (!read_code(d, &code, &len) || left(d) == 0)
		return malformed(d);
	unsigned n = *d->p++;
	if (!mp_code_load(d->L, d->c, code, (size_t)len, (int)n, are_globals(d, n)))
		return bad(d, "the message holds a function that this Lua cannot load");
	if (shared)
		share(d, off);
	if (n == 0)
		return PUSHED;
	return open_frame(d, UPVALUE, n) ? OPENED : BAD;
}

/* An upvalue that the frame's function, on top, shares with another one. */
static outcome read_upref(decoder *d)
{
	lua_State *L = d->L;
	frame *f = &d->frames[d->nframes - 1];
	uint64_t off;
	if (f->part != UPVALUE || !read_varint(d, &off) || left(d) == 0)
		return malformed(d);
	int n = *d->p++;
	if (!push_shared(d, off))
		return malformed(d);
	if (!lua_isfunction(L, -1) || lua_iscfunction(L, -1) || !lua_getupvalue(L, -1, n))
		return malformed(d);
	lua_pop(L, 1);
	lua_upvaluejoin(L, -2, (int)f->i + 1, -1, n);
	lua_pop(L, 1);
	return JOINED;
}

static outcome read_name(decoder *d)
{
	if (d->flags & MP_CODEC_NO_FUNCTIONS)
		return bad(d, "the message holds the name of a function or module");
	int found = mp_name_resolve(d->L, d->p, d->end, &d->p);
	return found == 1 ? PUSHED : found == 0 ? BAD : malformed(d);
}

static outcome read_handle(decoder *d)
{
	uint64_t h;
	const mp_codec_hooks *hooks = d->c->hooks;
	if ((d->flags & MP_CODEC_NO_HANDLES) || !hooks)
		return bad(d, "the message holds a handle");
	if (sizeof h > left(d))
		return truncated(d);
	memcpy(&h, d->p, sizeof h);
	d->p += sizeof h;
	hooks->push_handle(d->L, h, hooks->ud);
	return PUSHED;
}

/* What has to be told of a value when it is complete: that it is shared. */
static outcome shared_if(decoder *d, outcome o, uint64_t off, int shared)
{
	if (o == PUSHED && shared)
		share(d, off);
	return o;
}

/* The tags with a shared bit. */
static outcome read_sharable(decoder *d, uint8_t tag)
{
	uint64_t off = (uint64_t)(d->p - 1 - d->data);
	uint64_t len;
	int shared = (tag & W_SHARED) != 0;
	switch (tag & ~W_SHARED) {
	case W_STR8:
		if (left(d) == 0)
			return truncated(d);
		len = *d->p++;
		return shared_if(d, read_string(d, len), off, shared);
	case W_STRN:
		if (!read_varint(d, &len))
			return truncated(d);
		return shared_if(d, read_string(d, len), off, shared);
	case W_TABLE:
		return read_table(d, off, shared, 0);
	case W_TABLE_META:
		return read_table(d, off, shared, 1);
	case W_FUNCTION:
		return read_function(d, off, shared);
	case W_NAME:
		return shared_if(d, read_name(d), off, shared);
	case W_HANDLE:
		return shared_if(d, read_handle(d), off, shared);
	default:
		return malformed(d);
	}
}

static outcome read_plain(decoder *d, uint8_t tag)
{
	lua_State *L = d->L;
	switch (tag) {
	case W_NIL:
		lua_pushnil(L);
		return PUSHED;
	case W_FALSE:
	case W_TRUE:
		lua_pushboolean(L, tag == W_TRUE);
		return PUSHED;
	case W_I8:
	case W_I16:
	case W_I32:
	case W_I64:
		return read_integer(d, 1u << (tag - W_I8));
	case W_F64:
		return read_float(d);
	case W_NULL:
		lua_pushlightuserdata(L, NULL);
		return PUSHED;
	case W_GLOBALS:
		if (d->flags & MP_CODEC_NO_FUNCTIONS)
			return bad(d, "the message holds the globals");
		lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
		return PUSHED;
	case W_REF:
		return read_ref(d);
	case W_END:
		return ENDED;
	case W_UPREF:
		return read_upref(d);
	case W_INTS:
	case W_FLOATS:
		return read_run(d, tag == W_INTS);
	case W_STRETCH:
		return read_stretch(d);
	default:
		return malformed(d);
	}
}

static inline outcome read_value(decoder *d)
{
	if (left(d) == 0)
		return truncated(d);
	uint8_t tag = *d->p++;
	if (tag <= W_INT_LAST) {
		lua_pushinteger(d->L, (lua_Integer)tag - W_INT_BIAS);
		return PUSHED;
	}
	if (tag <= W_STR_LAST)
		return read_string(d, tag - W_STR);
	if (tag < W_STR8)
		return read_plain(d, tag);
	if (tag < W_STR + W_STR_SHARED)
		return read_sharable(d, tag);
	uint64_t off = (uint64_t)(d->p - 1 - d->data);
	return shared_if(d, read_string(d, tag - W_STR - W_STR_SHARED), off, 1);
}

/* --- putting them together ------------------------------------------------ */

/* The run or the pairs are over: what comes next? PUSHED: the table is
 * complete, and no frame any more. */
static outcome next_part(decoder *d, frame *f)
{
	if (f->part == ELEMENT && f->pairs) {
		f->part = KEY;
		return OPENED;
	}
	if (f->meta) {
		f->part = METATABLE;
		return OPENED;
	}
	d->nframes--;
	return PUSHED;
}

static int is_key(lua_State *L)
{
	int type = lua_type(L, -1);
	if (type == LUA_TNUMBER) {
		lua_Number x = lua_tonumber(L, -1);
		return x == x;
	}
	return type != LUA_TNIL;
}

/* Puts the value on top where the innermost frame wants it. PUSHED: this has
 * completed the frame, whose value is on top now. */
static inline outcome attach(decoder *d)
{
	lua_State *L = d->L;
	frame *f = &d->frames[d->nframes - 1];
	switch (f->part) {
	case ELEMENT:
		lua_rawseti(L, -2, f->at + (lua_Integer)++f->i);
		return f->i == f->n ? next_part(d, f) : OPENED;
	case KEY:
		if (!is_key(L))
			return malformed(d);
		f->part = VALUE;
		return OPENED;
	case VALUE:
		lua_rawset(L, -3);
		f->part = KEY;
		return OPENED;
	case METATABLE:
		if (!lua_istable(L, -1))
			return malformed(d);
		lua_setmetatable(L, -2);
		d->nframes--;
		return PUSHED;
	case UPVALUE:
		if (!lua_setupvalue(L, -2, (int)++f->i))
			return malformed(d);
		if (f->i < f->n)
			return OPENED;
		d->nframes--;
		return PUSHED;
	default:
		return ++f->i < f->n ? OPENED : JOINED;
	}
}

/* Handles END, a run of numbers and a joined upvalue; PUSHED as in attach. */
static outcome advance(decoder *d, outcome o)
{
	frame *f = &d->frames[d->nframes - 1];
	if (o == FILLED)
		return f->i == f->n ? next_part(d, f) : OPENED;
	if (o == ENDED)
		return f->part == ELEMENT || f->part == KEY ? next_part(d, f) : malformed(d);
	if (++f->i < f->n)
		return OPENED;
	d->nframes--;
	return PUSHED;
}

/* Reads the n values of the message. */
static outcome read_values(decoder *d, uint64_t n)
{
	if (n == 0)
		return PUSHED;
	if (!open_frame(d, ROOT, n))
		return BAD;
	for (;;) {
		outcome o = read_value(d);
		if (o == ENDED || o == FILLED || o == JOINED)
			o = advance(d, o);
		while (o == PUSHED)
			o = attach(d);
		if (o == BAD)
			return BAD;
		if (o == JOINED)
			return PUSHED;  /* the root has all its values */
	}
}

static outcome read_message(decoder *d, uint64_t *n)
{
	if (left(d) == 0)
		return truncated(d);
	uint8_t header = *d->p++;
	if ((header & ~W_MANY) != W_HEADER)
		return malformed(d);
	*n = header & W_MANY;
	if (*n == W_MANY && !read_varint(d, n))
		return truncated(d);
	if (*n > left(d))
		return truncated(d);
	if (*n > INT32_MAX || !lua_checkstack(d->L, (int)*n + 8))
		return bad(d, "the message has too many values");
	if (read_values(d, *n) == BAD)
		return BAD;
	return d->p == d->end ? PUSHED : malformed(d);
}

static int decode(lua_State *L, mp_codec *c, const uint8_t *data, size_t len, int flags, int into)
{
	decoder d;
	uint64_t n;
	luaL_checkstack(L, NRESERVED + 10, "codec");
	d.L = L;
	d.c = c;
	d.p = d.data = data;
	d.end = data + len;
	d.flags = flags;
	d.into = into;
	d.budget = len;
	d.frames = d.local_frames;
	d.capframes = LOCAL_FRAMES;
	d.offsets = d.local_offsets;
	d.capshared = LOCAL_SHARED;
	d.nframes = d.nshared = 0;
	d.base = lua_gettop(L) + 1;
	lua_settop(L, d.base - 1 + NRESERVED);
	if (read_message(&d, &n) == BAD) {
		lua_replace(L, d.base);
		lua_settop(L, d.base);
		return -1;
	}
	if (n == 1) {
		lua_replace(L, d.base);
		lua_settop(L, d.base);
	} else {
		lua_rotate(L, d.base, -NRESERVED);
		lua_settop(L, d.base - 1 + (int)n);
	}
	return (int)n;
}

/* The commonest messages, one number or string, at once; 0 if it is another. */
static inline int decode_scalar(lua_State *L, const uint8_t *p, size_t len)
{
	if (len < 2 || p[0] != W_HEADER + 1)
		return 0;
	uint8_t tag = p[1];
	if (tag <= W_INT_LAST && len == 2) {
		lua_pushinteger(L, (lua_Integer)tag - W_INT_BIAS);
	} else if (tag >= W_STR && tag <= W_STR_LAST && len == 2 + (size_t)(tag - W_STR)) {
		lua_pushlstring(L, (const char *)p + 2, len - 2);
	} else if (tag == W_STR8 && len > 2 && len == 3 + (size_t)p[2]) {
		lua_pushlstring(L, (const char *)p + 3, len - 3);
	} else if (tag >= W_I8 && tag <= W_I64 && len == 2 + ((size_t)1 << (tag - W_I8))) {
		unsigned unused = 64 - 8 * (unsigned)(len - 2);
		uint64_t v = 0;
		memcpy(&v, p + 2, len - 2);
		lua_pushinteger(L, (int64_t)(v << unused) >> unused);
	} else if (tag == W_F64 && len == 2 + sizeof(lua_Number)) {
		lua_Number x;
		memcpy(&x, p + 2, sizeof x);
		lua_pushnumber(L, x);
	} else {
		return 0;
	}
	return 1;
}

int mp_decode_try(lua_State *L, mp_codec *c, const void *data, size_t len, int flags)
{
	if (decode_scalar(L, data, len))
		return 1;
	return decode(L, c, data, len, flags, 0);
}

int mp_decode_into(lua_State *L, mp_codec *c, const void *data, size_t len, int flags,
                   int into, const char *call)
{
	int n = decode(L, c, data, len, flags, into);
	if (n < 0)
		return luaL_error(L, "%s: %s", call, lua_tostring(L, -1));
	return n;
}

int mp_decode(lua_State *L, mp_codec *c, const void *data, size_t len, int flags, const char *call)
{
	int n = mp_decode_try(L, c, data, len, flags);
	if (n < 0)
		return luaL_error(L, "%s: %s", call, lua_tostring(L, -1));
	return n;
}
